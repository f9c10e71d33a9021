//! A job that goes on without us.

use crate::error::Error;
use crate::http::{About, Call};
use crate::map::{self, Map};
use crate::mesh::Mesh;
use crate::patience::Patience;
use crate::pump::Pump;
use crate::{again, api};

/// How long the node holds back the answer to one question for a job's end.
const WAIT_MS: u32 = 20_000;

/// A job that was handed in. Dropping this changes nothing about it.
#[derive(Clone, Debug)]
pub struct Job {
    mesh: Mesh,
    id: String,
}

/// Which results of a job are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The number of the first one ([`crate::TaskResult::number`]), in the order in which they came; 0 for all.
    pub from: u64,
    /// Whether those that are not there yet are waited for. Without it the stream ends behind the last one that is.
    pub follow: bool,
}

impl Job {
    pub(crate) fn new(mesh: Mesh, id: String) -> Self {
        Self { mesh, id }
    }

    /// The job of a view, on the same node.
    #[must_use]
    pub fn of(mesh: &Mesh, view: &api::Job) -> Self {
        Self::new(mesh.clone(), view.job.clone())
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the node has forgotten it.
    pub async fn progress(&self) -> Result<api::Job, Error> {
        self.mesh.job(&self.id).await
    }

    /// Waits for its end. Goes on where its node is started again meanwhile, or another node takes over the job: for two
    /// minutes at most.
    ///
    /// ```no_run
    /// # async fn example(job: weft_client::Job) -> Result<(), weft_client::Error> {
    /// let ended = job.wait().await?;
    /// println!("{} done, {} failed", ended.done, ended.failed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Job::progress`].
    pub async fn wait(&self) -> Result<api::Job, Error> {
        let mut patience = Patience::new();
        loop {
            let path = format!("/v1/jobs/{}?wait_ms={WAIT_MS}", self.id);
            let asked: Result<api::Job, Error> = self.mesh.http().json(Call::get(path, self.about())).await;
            match asked {
                Ok(job) if job.state.has_ended() => return Ok(job),
                Ok(_unended) => patience.renew(),
                Err(error) => match patience.after(&error) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
            }
        }
    }

    /// Its results from the first on, as they were told; ends when the job has ended and all were told. May be asked
    /// for again and by several at once; dropping the stream does not cancel the job.
    ///
    /// # Errors
    /// As [`Job::progress`]; [`Error::Refused`] for a job whose results flow to the client that submitted it.
    pub async fn results(&self) -> Result<Map, Error> {
        self.read(Reading { from: 0, follow: true }).await
    }

    /// A part of its results, in the order in which they came, which never changes.
    ///
    /// ```no_run
    /// use futures::StreamExt;
    /// use weft_client::Reading;
    ///
    /// # async fn example(job: weft_client::Job) -> Result<(), weft_client::Error> {
    /// let mut there = job.read(Reading { from: 1000, follow: false }).await?;
    /// while let Some(result) = there.next().await {
    ///     println!("{}", result?.index);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Job::results`].
    pub async fn read(&self, reading: Reading) -> Result<Map, Error> {
        let mut patience = Patience::new();
        loop {
            let call = Call::get(again::results_path(&self.id, reading), self.about());
            let error = match map::follow(&self.mesh, call, Pump::finished()).await {
                Ok(map) => return Ok(map.reading(reading)),
                // Who follows a job waits for the node that leads it next.
                Err(error @ Error::NotNow { .. }) if reading.follow => error,
                Err(error) => return Err(error),
            };
            let Some(pause) = patience.after(&error) else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Cancels it.
    ///
    /// # Errors
    /// As [`Job::progress`].
    pub async fn cancel(&self) -> Result<(), Error> {
        self.mesh.cancel(&self.id).await
    }

    /// Runs its tasks again that did not end as done.
    ///
    /// # Errors
    /// As [`Mesh::retry`].
    pub async fn retry(&self) -> Result<(), Error> {
        self.mesh.retry(&self.id).await
    }

    /// Forgets it, with its results.
    ///
    /// # Errors
    /// As [`Mesh::forget`].
    pub async fn forget(self) -> Result<(), Error> {
        self.mesh.forget(&self.id).await
    }

    fn about(&self) -> About<'_> {
        About { what: "job", name: &self.id }
    }
}
