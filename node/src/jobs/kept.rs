//! Jobs that are kept: found by their names, read again and again, and forgotten.

use std::task::{Context, Poll};

use weft_core::JobId;

use super::{JobTable, NoSuchJob, Portion, Taken};

/// The job is unknown, or has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEnded {
    /// It never was in the table, or was forgotten.
    #[error("no such job")]
    Unknown,
    /// Tasks of it are open.
    #[error("the job has not ended")]
    Open,
}

impl JobTable {
    /// Copies results of a detached job from the `cursor`-th on; waits while there are none.
    ///
    /// # Errors
    /// Ready with [`NoSuchJob`] when the job is unknown.
    pub fn poll_read(
        &self,
        cx: &Context<'_>,
        job: JobId,
        cursor: usize,
        portion: Portion,
    ) -> Poll<Result<Taken, NoSuchJob>> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Ready(Err(NoSuchJob)) };
        if let Some(prints) = entry.take_printed() {
            return Poll::Ready(Ok(Taken::Printed(prints)));
        }
        if let Some(results) = entry.read(cursor, portion) {
            return Poll::Ready(Ok(Taken::Results(results)));
        }
        entry.ended_or_wait(cx, job)
    }

    /// The same without a wait: where there are no more results, the job as far as it is.
    ///
    /// # Errors
    /// When the job is unknown.
    pub fn read(&self, job: JobId, cursor: usize, portion: Portion) -> Result<Taken, NoSuchJob> {
        let table = self.lock();
        let entry = table.jobs.get(&job).ok_or(NoSuchJob)?;
        let results = entry.read(cursor, portion);
        Ok(results.map_or_else(|| Taken::Ended(entry.summary(job)), Taken::Results))
    }

    /// Forgets a job that has ended, with its results.
    ///
    /// # Errors
    /// When it is unknown, or has not ended.
    pub fn forget(&self, job: JobId) -> Result<(), NotEnded> {
        let mut table = self.lock();
        let entry = table.jobs.get(&job).ok_or(NotEnded::Unknown)?;
        if !entry.is_ended() {
            return Err(NotEnded::Open);
        }
        table.ended_detached.retain(|ended| *ended != job);
        table.ended_attached.retain(|ended| *ended != job);
        table.forget(job);
        Ok(())
    }

    /// The jobs whose ids begin with these lower-case digits, at most `most` of them.
    #[must_use]
    pub fn beginning(&self, digits: &str, most: usize) -> Vec<JobId> {
        let table = self.lock();
        let fitting = table.jobs.keys().filter(|job| job.to_string().starts_with(digits));
        fitting.take(most).copied().collect()
    }

    /// The jobs of that name, newest first, at most `most` of them.
    #[must_use]
    pub fn named(&self, name: &str, most: usize) -> Vec<JobId> {
        let table = self.lock();
        let fitting = table.jobs.iter().filter(|(_, entry)| entry.meta.title.name == name);
        let mut fitting: Vec<_> = fitting.map(|(job, entry)| (entry.meta.submitted_ms, *job)).collect();
        fitting.sort_unstable();
        fitting.into_iter().rev().take(most).map(|(_, job)| job).collect()
    }
}
