//! A job that goes on without us.

use crate::api;
use crate::error::Error;
use crate::http::{About, Call};
use crate::map::{self, Map};
use crate::mesh::Mesh;
use crate::pump::Pump;

/// How long the node holds back the answer to one question for a job's end.
const WAIT_MS: u32 = 20_000;

/// A job that was handed in. Dropping this changes nothing about it.
#[derive(Clone, Debug)]
pub struct Job {
    mesh: Mesh,
    id: String,
}

impl Job {
    pub(crate) fn new(mesh: Mesh, id: String) -> Self {
        Self { mesh, id }
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

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`Job::progress`].
    pub async fn wait(&self) -> Result<api::Job, Error> {
        loop {
            let path = format!("/v1/jobs/{}?wait_ms={WAIT_MS}", self.id);
            let job: api::Job = self.mesh.http().json(Call::get(path, self.about())).await?;
            if job.state == api::JobState::Ended {
                return Ok(job);
            }
        }
    }

    /// Its results from the first on, as they were told; ends when the job has ended and all were told. May be asked
    /// for again and by several at once; dropping the stream does not cancel the job.
    ///
    /// # Errors
    /// As [`Job::progress`]; [`Error::Refused`] for a job whose results flow to the client that submitted it.
    pub async fn results(&self) -> Result<Map, Error> {
        let call = Call::get(format!("/v1/jobs/{}/results", self.id), self.about());
        map::follow(&self.mesh, call, Pump::finished()).await
    }

    /// Cancels it.
    ///
    /// # Errors
    /// As [`Job::progress`].
    pub async fn cancel(&self) -> Result<(), Error> {
        self.mesh.cancel(&self.id).await
    }

    fn about(&self) -> About<'_> {
        About { what: "job", name: &self.id }
    }
}
