//! Jobs as their submitters see them: what was handed in, how far it is, and the results until they are taken.
//!
//! The loop calls [`JobTable::record`] for every event: one short lock, no I/O, and a wake-up only where a client
//! waits. The API's streams take from here. The engine's own view of a job (queued, leased) is in its snapshot.
//!
//! ```text
//!   create -> submitted* -> close        by the API, before the matching command is sent
//!   record(TaskEnded)* -> JobEnded       by the loop
//!   take (attached) / read (detached)    by the API's streams
//!   forget (ended)                       by the API
//! ```
//!
//! Bounds: an attached job keeps what was not taken, and its stream stops reading inputs meanwhile. A detached job
//! keeps everything; beyond [`DETACHED_JOBS_MAX`] ended jobs or [`RESULT_BYTES_MAX`] the longest ended is forgotten,
//! and is unknown from then on. Where running jobs alone exceed it, [`JobTable::is_full`] says so and the API takes
//! no more for detached jobs. What tasks print is kept up to [`PRINTED_BYTES_MAX`] a job and then dropped: it only
//! comes early, the result has all of it.

mod entry;
mod kept;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::task::{Context, Poll};

use weft_core::{Event, JobId, Outcome, Payload, Proof, Refusal, Report};

use entry::Entry;
pub use kept::NotEnded;
pub use view::{JobMeta, JobSummary, Portion, Print, Taken, TaskEnd, Title};

/// Detached jobs remembered after their end.
pub const DETACHED_JOBS_MAX: usize = 1000;
/// Attached jobs remembered, without results, after their end: as many as the engine remembers for those that come
/// after.
pub const ATTACHED_JOBS_MAX: usize = 1000;
/// Bytes inside the results that detached jobs keep.
pub const RESULT_BYTES_MAX: u64 = 256 << 20;
/// Results that detached jobs keep.
pub const RESULTS_MAX: u64 = 4_000_000;
/// Jobs that have not ended; a further one is refused.
pub const UNFINISHED_MAX: usize = 10_000;

/// Most bytes that one job's tasks printed and that no client has taken; what is beyond it is dropped.
pub const PRINTED_BYTES_MAX: usize = 256 << 10;

/// The job is not in the table: it never was, or was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such job")]
pub struct NoSuchJob;

/// The table has as many unfinished jobs as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{UNFINISHED_MAX} jobs are unfinished")]
pub struct TableFull;

/// All jobs of this node.
#[derive(Debug, Default)]
pub struct JobTable {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    jobs: BTreeMap<JobId, Entry>,
    unfinished: usize,
    /// Ended jobs, longest ended first.
    ended_detached: VecDeque<JobId>,
    ended_attached: VecDeque<JobId>,
    /// What detached jobs keep.
    kept: Kept,
}

/// Results kept for detached jobs.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    results: u64,
    bytes: u64,
}

impl Kept {
    fn is_over(self) -> bool {
        self.results > RESULTS_MAX || self.bytes > RESULT_BYTES_MAX
    }
}

impl JobTable {
    /// A table without jobs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a job; before its `Submit` is sent.
    ///
    /// # Errors
    /// When too many jobs are unfinished.
    pub fn create(&self, job: JobId, meta: JobMeta) -> Result<(), TableFull> {
        let mut table = self.lock();
        if table.unfinished >= UNFINISHED_MAX {
            return Err(TableFull);
        }
        table.unfinished += 1;
        table.jobs.insert(job, Entry::new(meta));
        Ok(())
    }

    /// Notes further tasks; before the command that carries them is sent.
    pub fn submitted(&self, job: JobId, inputs: &[Payload]) {
        if let Some(entry) = self.lock().jobs.get_mut(&job) {
            entry.submitted(inputs);
        }
    }

    /// Notes that all tasks came.
    pub fn close(&self, job: JobId) {
        if let Some(entry) = self.lock().jobs.get_mut(&job) {
            entry.closed = true;
            entry.wake();
        }
    }

    /// Notes that it is cancelled: its stream takes no more inputs.
    pub fn cancel(&self, job: JobId) {
        if let Some(entry) = self.lock().jobs.get_mut(&job) {
            entry.cancelled_by_user |= !entry.is_ended();
            entry.closed = true;
            entry.wake();
        }
    }

    /// Forgets a job that was never given to the engine.
    pub fn retract(&self, job: JobId) {
        let mut table = self.lock();
        if table.jobs.get(&job).is_some_and(|entry| !entry.is_ended()) {
            table.unfinished -= 1;
            table.forget(job);
        }
    }

    /// Notes that no client will take the job's results any more: those that came and those to come are dropped.
    pub fn abandon(&self, job: JobId) {
        let mut table = self.lock();
        if let Some(entry) = table.jobs.get_mut(&job) {
            let freed = entry.abandon();
            if entry.meta.detached {
                table.release(freed);
            }
        }
    }

    /// Takes note of what happened. Never blocks for long: no I/O, and memory only for what it was given.
    pub fn record(&self, event: Event) {
        let mut table = self.lock();
        match event {
            Event::TaskEnded { job, index, report, worker, attempts, memo, proof, verified } => {
                let verified = verified.map(Box::new);
                let end = TaskEnd { index, report, worker, attempts, memo, receipt: None, verified };
                table.task_ended(job, end, proof);
            }
            Event::Printed { job, index, attempt, stream, offset, bytes } => {
                if let Some(entry) = table.jobs.get_mut(&job) {
                    entry.printed(Print { index, attempt, stream, offset, bytes });
                }
            }
            Event::JobEnded { job } => table.job_ended(job),
            Event::JobGivenUp { job, failed: _ } => {
                if let Some(entry) = table.jobs.get_mut(&job) {
                    entry.given_up = true;
                }
            }
            Event::OwnerGone { owner, tasks, closed, unheard_ms } => {
                let how = if closed { "its connection was closed" } else { "it fell silent" };
                tracing::warn!(
                    "{tasks} tasks of node {} are stopped: {how}, and nothing was heard of it for {} s",
                    owner.short(),
                    unheard_ms / 1000
                );
            }
            Event::Differed { .. }
            | Event::DependenciesSatisfied { .. }
            | Event::Accepted { .. }
            | Event::ExtensionRefused { .. }
            | Event::Forgotten { .. } => {}
            Event::Refused { job, reason } => table.job_refused(job, &reason),
            Event::Lost { job, index: _, worker: _ } => {
                if let Some(entry) = table.jobs.get_mut(&job) {
                    entry.lost = entry.lost.saturating_add(1);
                }
            }
        }
    }

    /// Takes results of an attached job out of the table, if there are any.
    #[must_use]
    pub fn try_take(&self, job: JobId, portion: Portion) -> Option<Vec<TaskEnd>> {
        self.lock().jobs.get_mut(&job).and_then(|entry| entry.take(portion))
    }

    /// Takes what running tasks printed, or else results, of an attached job out of the table; waits while there are
    /// none.
    ///
    /// # Errors
    /// Ready with [`NoSuchJob`] when the job is unknown.
    pub fn poll_take(
        &self,
        cx: &Context<'_>,
        job: JobId,
        portion: Portion,
    ) -> Poll<Result<Taken, NoSuchJob>> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Ready(Err(NoSuchJob)) };
        if let Some(prints) = entry.take_printed() {
            return Poll::Ready(Ok(Taken::Printed(prints)));
        }
        if let Some(results) = entry.take(portion) {
            return Poll::Ready(Ok(Taken::Results(results)));
        }
        entry.ended_or_wait(cx, job)
    }

    /// The job's summary, if it has ended and all its results were taken.
    #[must_use]
    pub fn try_end(&self, job: JobId) -> Option<JobSummary> {
        self.lock()
            .jobs
            .get_mut(&job)
            .filter(|entry| !entry.has_results())
            .and_then(|entry| entry.told_end(job))
    }

    /// Waits until fewer than `outstanding_max` tasks are outstanding, or the job has ended or is unknown.
    pub fn poll_room(&self, cx: &Context<'_>, job: JobId, outstanding_max: u32) -> Poll<()> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Ready(()) };
        if entry.is_ended() || entry.outstanding() < outstanding_max {
            return Poll::Ready(());
        }
        entry.ended_or_wait(cx, job).map(|_| ())
    }

    /// Waits for the job's end.
    ///
    /// # Errors
    /// Ready with [`NoSuchJob`] when the job is unknown.
    pub fn poll_ended(&self, cx: &Context<'_>, job: JobId) -> Poll<Result<(), NoSuchJob>> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Ready(Err(NoSuchJob)) };
        // To know of the end is not to have taken the results.
        if entry.is_ended() {
            return Poll::Ready(Ok(()));
        }
        entry.ended_or_wait(cx, job).map_ok(|_| ())
    }

    /// Tasks of an attached job that have not ended or were not taken; of a detached job, that have not ended.
    #[must_use]
    pub fn outstanding(&self, job: JobId) -> u32 {
        self.lock().jobs.get(&job).map_or(0, Entry::outstanding)
    }

    /// Whether a user cancelled it.
    #[must_use]
    pub fn is_cancelled(&self, job: JobId) -> bool {
        self.lock().jobs.get(&job).is_none_or(|entry| entry.cancelled_by_user)
    }

    /// Whether detached jobs keep as much as they may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lock().kept.is_over()
    }

    /// One job.
    #[must_use]
    pub fn summary(&self, job: JobId) -> Option<JobSummary> {
        self.lock().jobs.get(&job).map(|entry| entry.summary(job))
    }

    /// All jobs, oldest first.
    #[must_use]
    pub fn summaries(&self) -> Vec<JobSummary> {
        let table = self.lock();
        let mut entries: Vec<_> = table.jobs.iter().collect();
        entries.sort_by_key(|(job, entry)| (entry.created, **job));
        entries.into_iter().map(|(job, entry)| entry.summary(*job)).collect()
    }

    /// The first task that has not ended, if there is one.
    #[must_use]
    pub fn first_unended(&self, job: JobId) -> Option<u32> {
        self.lock().jobs.get(&job).and_then(Entry::first_unended)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().expect("no thread panics while it holds this lock")
    }
}

impl Table {
    fn task_ended(&mut self, job: JobId, end: TaskEnd, proof: Option<Proof>) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let kept = entry.task_ended(end, proof);
        if entry.meta.detached {
            self.kept.results += kept.results;
            self.kept.bytes += kept.bytes;
            if self.kept.is_over() {
                self.forget_surplus();
            }
        }
    }

    /// Nothing of it will ever run, and each of its tasks says why.
    fn job_refused(&mut self, job: JobId, reason: &Refusal) {
        let tasks = self.jobs.get(&job).map_or(0, |entry| entry.tasks);
        for index in 0..tasks {
            let report = Report::bare(Outcome::Invalid(reason.to_string()));
            let end = TaskEnd {
                index,
                report,
                worker: None,
                attempts: 0,
                memo: None,
                receipt: None,
                verified: None,
            };
            self.task_ended(job, end, None);
        }
        self.job_ended(job);
    }

    fn job_ended(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if entry.is_ended() {
            return;
        }
        entry.end();
        self.unfinished -= 1;
        let ended = if entry.meta.detached { &mut self.ended_detached } else { &mut self.ended_attached };
        ended.push_back(job);
        self.forget_surplus();
    }

    /// Forgets the longest ended jobs until the rest is within its bounds, or nothing ended is left.
    fn forget_surplus(&mut self) {
        while self.ended_detached.len() > DETACHED_JOBS_MAX || self.kept.is_over() {
            let Some(job) = self.ended_detached.pop_front() else { break };
            self.forget(job);
        }
        // An ended job whose results still flow stays until they have; there is one per open stream at most.
        let mut left = self.ended_attached.len();
        while self.ended_attached.len() > ATTACHED_JOBS_MAX && left > 0 {
            left -= 1;
            let Some(job) = self.ended_attached.pop_front() else { break };
            if self.jobs.get(&job).is_some_and(Entry::is_wanted) {
                self.ended_attached.push_back(job);
            } else {
                self.forget(job);
            }
        }
    }

    fn forget(&mut self, job: JobId) {
        let Some(mut entry) = self.jobs.remove(&job) else { return };
        let freed = entry.abandon();
        if entry.meta.detached {
            self.release(freed);
        }
        entry.wake();
    }

    fn release(&mut self, freed: Kept) {
        self.kept.results -= freed.results;
        self.kept.bytes -= freed.bytes;
    }
}

#[cfg(test)]
mod tests;
