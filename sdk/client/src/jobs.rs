//! The jobs of the node: hand one in, find it again, list them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::{Stream, stream};

use crate::api::{self, JobFilter, Position};
use crate::error::Error;
use crate::http::{About, Call};
use crate::input::Input;
use crate::job::Job;
use crate::map;
use crate::mesh::Mesh;
use crate::patience::Patience;
use crate::pump::Pump;
use crate::task::Task;

/// How long a job that no node leads is asked for: another one takes over in less.
const LEAD_TIME: Duration = Duration::from_secs(30);
/// Longest name of a job, in bytes.
const NAME_BYTES_MAX: usize = 256;

impl Mesh {
    /// Hands in a detached job: it goes on without this program, and the node keeps its results. Returns when the node
    /// has accepted it with all its inputs, and keeps it at the level of the task (see [`Task::level`]).
    ///
    /// One above memory goes on with the rest of its inputs where its node is started again meanwhile, within two minutes.
    ///
    /// A job in memory is kept until the node has to forget its oldest ended jobs (a thousand jobs, 256 MiB of results).
    ///
    /// ```no_run
    /// use weft_client::{Mesh, Module, Task};
    ///
    /// # async fn example() -> Result<(), weft_client::Error> {
    /// let mesh = Mesh::connect().await?;
    /// let score = Task::command(Module::file("score.wasm")).name("friday").label("team", "fonts");
    /// let job = mesh.submit(&score, ["one", "two"]).await?;
    /// println!("{}", job.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the job could not be handed in whole; the node has then cancelled what came.
    pub async fn submit<I>(&self, task: &Task, inputs: I) -> Result<Job, Error>
    where
        I: IntoIterator,
        I::Item: Into<Input> + 'static,
        I::IntoIter: Send + 'static,
    {
        self.submit_stream(task, stream::iter(inputs.into_iter().map(Into::into))).await
    }

    /// [`Mesh::submit`] for inputs that come one by one.
    ///
    /// # Errors
    /// As [`Mesh::submit`].
    pub async fn submit_stream<S>(&self, task: &Task, inputs: S) -> Result<Job, Error>
    where
        S: Stream<Item = Input> + Send + 'static,
    {
        let parts = self.parts(task, true).await?;
        let module = parts.module;
        let open = map::open_frame(task, parts, true)?;
        let pump = Pump::detached();
        let body = pump.body(self.clone(), open, task.handing(true), inputs);
        let mut taken = map::start(self, body, module, pump).await?.of_detached(task);
        match taken.next_told().await {
            None => Ok(Job::new(self.clone(), taken.job().to_owned())),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Err(Error::protocol("a detached job sent a result")),
        }
    }

    /// A job that was handed in before, by its id, a prefix of it that no other job has, or its name.
    ///
    /// ```no_run
    /// use futures::StreamExt;
    /// use weft_client::Mesh;
    ///
    /// # async fn example() -> Result<(), weft_client::Error> {
    /// let mesh = Mesh::connect().await?;
    /// let job = mesh.attach("friday").await?;
    /// let mut results = job.results().await?;
    /// while let Some(result) = results.next().await {
    ///     println!("{}", result?.outcome);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] when several jobs begin so, or have that name.
    pub async fn attach(&self, job: &str) -> Result<Job, Error> {
        Ok(Job::new(self.clone(), self.job(job).await?.job))
    }

    /// All jobs of the node, oldest first.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn jobs(&self) -> Result<Vec<api::Job>, Error> {
        self.list_all(&JobFilter::default()).await
    }

    /// The newest jobs that pass a filter, oldest first: one page of at most 1000. The page before begins with
    /// [`JobFilter::before`] the first job of this one.
    ///
    /// ```no_run
    /// use weft_client::{JobFilter, JobState, Mesh};
    ///
    /// # async fn example() -> Result<(), weft_client::Error> {
    /// let mesh = Mesh::connect().await?;
    /// let labels = vec![("team".into(), "fonts".into())];
    /// let filter = JobFilter { states: vec![JobState::Failed], labels, ..JobFilter::default() };
    /// for job in mesh.list(&filter).await? {
    ///     println!("{} {}: {} failed", job.job, job.name, job.failed);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] for a limit beyond 1000; when the node does not answer.
    pub async fn list(&self, filter: &JobFilter) -> Result<Vec<api::Job>, Error> {
        Ok(self.page(filter).await?.jobs)
    }

    /// All jobs that pass a filter, oldest first; its place and limit are not looked at.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn list_all(&self, filter: &JobFilter) -> Result<Vec<api::Job>, Error> {
        Ok(self.pages(filter).await?.jobs)
    }

    /// As [`Mesh::list`], also with the nodes that did not say what they lead where the filter asks for the jobs of all nodes.
    ///
    /// # Errors
    /// As [`Mesh::list`].
    pub async fn page(&self, filter: &JobFilter) -> Result<api::MeshJobs, Error> {
        let mut path = String::from("/v1/jobs");
        for (at, (name, value)) in filter.pairs().iter().enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            path.push_str(&format!("{mark}{name}={}", encoded(value)));
        }
        let call = Call::get(path, About { what: "jobs", name: "" }).soon();
        if filter.mesh {
            return self.http().json(call).await;
        }
        Ok(api::MeshJobs { jobs: self.http().json(call).await?, silent: Vec::new() })
    }

    /// As [`Mesh::list_all`], with those nodes.
    ///
    /// # Errors
    /// As [`Mesh::list_all`].
    pub async fn pages(&self, filter: &JobFilter) -> Result<api::MeshJobs, Error> {
        let (mut pages, mut silent) = (Vec::new(), BTreeMap::new());
        let mut before = None;
        loop {
            let page = self.page(&JobFilter { before, limit: None, ..filter.clone() }).await?;
            silent.extend(page.silent.into_iter().map(|node| (node.peer.clone(), node)));
            let Some(first) = page.jobs.first() else { break };
            before = Some(Position::of(first));
            pages.push(page.jobs);
        }
        pages.reverse();
        Ok(api::MeshJobs { jobs: pages.concat(), silent: silent.into_values().collect() })
    }

    /// One job of any node, by its id, a prefix of it that no other job has, or its name. Where another node is about to take
    /// the lead of it, that is waited for.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] when several jobs begin so, or have that name.
    pub async fn job(&self, job: &str) -> Result<api::Job, Error> {
        self.job_within(job, LEAD_TIME, |_| ()).await
    }

    /// The same, asking for `time`, two minutes at most, where no node leads the job now; `waits` is told why each time before it is
    /// asked for again.
    ///
    /// # Errors
    /// As [`Mesh::job`].
    pub async fn job_within(
        &self,
        job: &str,
        time: Duration,
        mut waits: impl FnMut(&Error),
    ) -> Result<api::Job, Error> {
        let path = format!("/v1/jobs/{}", job_name(job)?);
        let (mut patience, until) = (Patience::new(), Instant::now() + time);
        loop {
            match self.http().json(Call::get(path.clone(), about_job(job)).soon()).await {
                // Another node is about to take the lead.
                Err(error @ Error::NotNow { .. }) if Instant::now() < until => {
                    let Some(pause) = patience.after(&error) else { return Err(error) };
                    waits(&error);
                    tokio::time::sleep(pause).await;
                }
                told => return told,
            }
        }
    }

    /// Cancels a job: what waits or runs ends as cancelled, soon. Of a job that has ended, nothing changes.
    ///
    /// # Errors
    /// As [`Mesh::job`].
    pub async fn cancel(&self, job: &str) -> Result<(), Error> {
        self.tell(job, "cancel").await
    }

    /// Runs the tasks of a job again that did not end as done; results that are there stay. Only jobs of
    /// [`api::Level::Disk`] and [`api::Level::Mesh`] have kept their inputs.
    ///
    /// # Errors
    /// As [`Mesh::job`]; [`Error::Refused`] for a job that has not ended, or has nothing to retry.
    pub async fn retry(&self, job: &str) -> Result<(), Error> {
        self.tell(job, "retry").await
    }

    /// Forgets a job that has ended, with its results: no call knows it from now on.
    ///
    /// # Errors
    /// As [`Mesh::job`]; [`Error::Refused`] for a job that has not ended.
    pub async fn forget(&self, job: &str) -> Result<(), Error> {
        self.tell(job, "forget").await
    }

    /// Makes a new job of one that the node keeps a copy of and that no node leads any more: with the same inputs, and with the
    /// results that the copy has. The old job is left as it is, under its own id, and goes on if its nodes come back.
    /// [`api::Level::Memory`] is refused.
    ///
    /// ```no_run
    /// use weft_client::{Level, Mesh};
    ///
    /// # async fn example() -> Result<(), weft_client::Error> {
    /// let mesh = Mesh::connect().await?;
    /// let adopted = mesh.adopt("a7c372edeab46585", Level::Disk).await?;
    /// println!("{} goes on as {}", adopted.from, adopted.job);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] where the node has no copy; [`Error::Refused`] when a node leads the job, when it was cancelled, when it
    /// was adopted before, or when bytes that it rests on are not there.
    pub async fn adopt(&self, job: &str, level: api::Level) -> Result<api::Adopted, Error> {
        let path = format!("/v1/jobs/{}/adopt?force=true&level={level}", job_name(job)?);
        self.http().json(Call::post(path, about_job(job))).await
    }

    /// Why the node would not make a new job of this one, as [`Mesh::adopt`] does; or what it would do, if it would.
    ///
    /// # Errors
    /// When the node does not answer, or knows no such job.
    pub async fn ask_to_adopt(&self, job: &str) -> Result<String, Error> {
        let call = Call::post(format!("/v1/jobs/{}/adopt", job_name(job)?), about_job(job)).soon();
        match self.http().done(call).await {
            Err(refused @ Error::Refused { .. }) => Ok(refused.to_string()),
            Err(error) => Err(error),
            Ok(()) => Err(Error::protocol("a job was adopted that was only asked for")),
        }
    }

    async fn tell(&self, job: &str, verb: &str) -> Result<(), Error> {
        let call = Call::post(format!("/v1/jobs/{}/{verb}", job_name(job)?), about_job(job)).soon();
        self.http().done(call).await
    }

    /// Where a task of a job is, and what every node answered about it; without an index, the first task that has not
    /// ended.
    ///
    /// # Errors
    /// As [`Mesh::job`], and when the job has no such task.
    pub async fn why(&self, job: &str, index: Option<u32>) -> Result<api::Why, Error> {
        let query = index.map(|index| format!("?index={index}")).unwrap_or_default();
        let path = format!("/v1/jobs/{}/why{query}", job_name(job)?);
        self.http().json(Call::get(path, about_job(job)).soon()).await
    }
}

fn about_job(job: &str) -> About<'_> {
    About { what: "job", name: job }
}

/// A job's id, the beginning of one, or a name, as a part of a path.
fn job_name(job: &str) -> Result<String, Error> {
    // Such parts of a path are taken for directories.
    let is_a_part = !matches!(job, "" | "." | "..") && job.len() <= NAME_BYTES_MAX;
    if is_a_part { Ok(encoded(job)) } else { Err(Error::not_found("job", job)) }
}

/// A text of which nothing has a meaning of its own in a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes every text"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(job_name("a7c372ed").unwrap(), "a7c372ed");
        assert_eq!(job_name("on friday/1?x=é").unwrap(), "on%20friday%2F1%3Fx%3D%C3%A9");
        for wrong in ["", ".", "..", "x".repeat(257).as_str()] {
            assert!(matches!(job_name(wrong), Err(Error::NotFound { .. })), "{wrong}");
        }
    }
}
