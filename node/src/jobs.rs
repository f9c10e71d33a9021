//! Jobs as their submitters see them: what was handed in, how far it is, and the results until they are taken.
//!
//! The loop calls [`JobTable::record`] for every event: one short lock, no I/O, and a wake-up only where a client
//! waits. The API's streams take from here. The engine's own view of a job (queued, leased) is in its snapshot.
//!
//! ```text
//!   create -> submitted* -> close        by the API, before the matching command is sent
//!   await_client -> feed_on                      by the loop and the API, for a job that was open when its leader ended
//!   record(TaskEnded)* -> JobEnded       by the loop
//!   take (attached) / read (detached)    by the API's streams
//!   forget (ended)                       by the API
//! ```
//!
//! The results of a job at level `disk` are in the journal; the table has their number, and `crate::handle` reads them. While a
//! client reads them as they come, those that were told a moment ago are in `lately.rs`, too.
//! Such a job stays until it is forgotten by its user, or by the loop when it was not read for long enough.
//!
//! Bounds: an attached job keeps what was not taken, and its stream stops reading inputs meanwhile. A detached job
//! keeps everything; beyond [`DETACHED_JOBS_MAX`] ended jobs or [`RESULT_BYTES_MAX`] the longest ended is forgotten,
//! and is unknown from then on. Where running jobs alone exceed it, [`JobTable::is_full`] says so and the API takes
//! no more for detached jobs. Tasks of a detached job in the journal that have not ended are bounded over all jobs
//! ([`JobTable::poll_room`]), by their number and their inputs. What tasks print is kept up to [`PRINTED_BYTES_MAX`] a job and then dropped: it only
//! comes early, the result has all of it.

mod custody;
mod entry;
mod events;
mod feeding;
mod forgotten;
mod kept;
mod lately;
mod led;
mod open;
mod table;
mod view;

use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use weft_core::{JobId, Payload, Refusal};

pub use custody::{Custody, Led, Moved, NotHere};
use entry::Entry;
pub(crate) use entry::WAKERS_MAX;
pub use events::{EVENTS_MAX, Events, Happened, Look};
pub use feeding::{CLIENT_WAIT_MAX, Feed, NotFed};
pub use kept::NotEnded;
pub(crate) use lately::Listener;
use table::Table;
pub use view::{
    Counts, JobMeta, JobState, JobSummary, Portion, Print, Restarted, RestoredJob, Results, Shown, Taken,
    TaskEnd, Title,
};
pub(crate) use view::{InputName, not_taken};

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
/// Jobs in the journal; a further one is refused.
pub const KEPT_JOBS_MAX: usize = 100_000;

/// Most bytes that one job's tasks printed and that no client has taken; what is beyond it is dropped.
pub const PRINTED_BYTES_MAX: usize = 256 << 10;

/// The job is not in the table: it never was, or was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such job")]
pub struct NoSuchJob;

/// The table has as many jobs as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableFull {
    /// Jobs that have not ended.
    #[error("{UNFINISHED_MAX} jobs are unfinished")]
    Unfinished,
    /// Jobs in the journal.
    #[error("{KEPT_JOBS_MAX} jobs are kept on disk; forget some (`weft forget JOB`)")]
    Kept,
}

/// Why a job was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// It is not in the table.
    #[error(transparent)]
    Unknown(#[from] NoSuchJob),
    /// Another node leads it now, and knows.
    #[error(transparent)]
    Moved(#[from] Moved),
    /// The engine refused it, with this reason.
    #[error("{0}")]
    Refused(String),
    /// It ended before all of its tasks were there, and takes none of those that came later.
    #[error("it ended before all of its inputs came")]
    Over,
    /// What of it did not succeed is not tried again, for this reason.
    #[error("{0}")]
    NotRetried(Refusal),
    /// The journal failed before the disk was known to have all of it.
    #[error(
        "the journal failed before the disk was known to have all of job {job}: {why}; `weft jobs` shows after the next \
         start whether it is there"
    )]
    JournalFailed {
        /// The job.
        job: JobId,
        /// Why the journal failed.
        why: String,
    },
}

/// All jobs of this node.
#[derive(Debug, Default)]
pub struct JobTable {
    table: Mutex<Table>,
    events: Events,
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
        self.lock().enter(job, Entry::new(meta.clone()))?;
        self.events.note(Happened::Submitted { job, meta: Box::new(meta) });
        Ok(())
    }

    /// Opens a job of the journal again that has ended here; false if it has not, and then nothing is changed.
    pub fn reopen(&self, job: JobId, reopened: RestoredJob) -> bool {
        let mut table = self.lock();
        let may_begin = |entry: &&Entry| entry.is_ended() && entry.is_journalled() && entry.is_here();
        let Some(before) = table.jobs.get(&job).filter(may_begin) else { return false };
        let entry = Entry::reopened(reopened, before);
        table.insert(job, entry);
        drop(table);
        self.events.note(Happened::Retried { job });
        true
    }

    /// Enters a job that the journal brought back.
    pub fn restore(&self, job: JobId, restored: RestoredJob) {
        self.insert_led(job, restored);
    }

    /// Notes further tasks; before the command that carries them is sent.
    pub fn submitted(&self, job: JobId, inputs: &[Payload]) {
        self.lock().change(job, |entry| entry.submitted(inputs));
    }

    /// Notes that all tasks came.
    pub fn close(&self, job: JobId) {
        self.lock().change(job, Entry::close);
    }

    /// Notes that it is cancelled: its stream takes no more inputs.
    pub fn cancel(&self, job: JobId) {
        if let Some(entry) = self.lock().jobs.get_mut(&job) {
            entry.cancel();
        }
    }

    /// Forgets a job that was never given to the engine.
    pub fn retract(&self, job: JobId) {
        let mut table = self.lock();
        if table.jobs.get(&job).is_some_and(|entry| !entry.is_ended()) {
            table.forget(job);
            drop(table);
            self.events.note(Happened::Forgotten { job });
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

    /// Waits until a detached job may have more tasks: it has fewer than `share` open ones; or it is in the journal, and all
    /// detached jobs together have room. Ready, too, when the job has ended or is unknown. When other jobs make room, `cx` is
    /// not woken.
    pub fn poll_room(&self, cx: &Context<'_>, job: JobId, share: u32) -> Poll<()> {
        let mut table = self.lock();
        let Table { jobs, open, .. } = &mut *table;
        let Some(entry) = jobs.get_mut(&job) else { return Poll::Ready(()) };
        let has_room = entry.outstanding() < share || (entry.is_journalled() && !open.is_full());
        if has_room || entry.is_ended() || !entry.is_here() {
            return Poll::Ready(());
        }
        entry.ended_or_wait(cx, job).map(|_| ())
    }

    /// Waits until it is known whether a job was accepted: one at level `disk` is once its record is on the disk, with all
    /// tasks that were submitted by now.
    ///
    /// # Errors
    /// Ready with [`NotAccepted`] when it was refused, or is unknown.
    pub fn poll_accepted(&self, cx: &Context<'_>, job: JobId) -> Poll<Result<(), NotAccepted>> {
        let mut table = self.lock();
        let Table { jobs, journal_failure, .. } = &mut *table;
        let Some(entry) = jobs.get_mut(&job) else { return Poll::Ready(Err(NoSuchJob.into())) };
        entry.here(job)?;
        let accepted = entry.accepted_or_wait(cx);
        match journal_failure {
            Some(why) if accepted.is_pending() => {
                Poll::Ready(Err(NotAccepted::JournalFailed { job, why: why.clone() }))
            }
            Some(_) | None => accepted,
        }
    }

    /// Notes that the disk takes nothing more: those that wait for it are answered.
    pub fn note_journal_failed(&self, why: &str) {
        let mut table = self.lock();
        table.journal_failure.get_or_insert_with(|| why.to_owned());
        table.jobs.values_mut().for_each(Entry::wake);
    }

    /// Waits until a job is unknown.
    ///
    /// # Errors
    /// Ready with the reason if the disk takes nothing more: it would not know of that.
    pub fn poll_forgotten(&self, cx: &Context<'_>, job: JobId) -> Poll<Result<(), String>> {
        let mut table = self.lock();
        let Table { jobs, journal_failure, .. } = &mut *table;
        let Some(entry) = jobs.get_mut(&job) else { return Poll::Ready(Ok(())) };
        if let Some(why) = journal_failure {
            return Poll::Ready(Err(why.clone()));
        }
        entry.wait(cx);
        Poll::Pending
    }

    /// Waits until more than `cursor` ends of tasks were told, or the job has ended.
    ///
    /// # Errors
    /// Ready with [`NotHere`] when the job is unknown, or another node leads it.
    pub fn poll_told(&self, cx: &Context<'_>, job: JobId, cursor: u64) -> Poll<Result<(), NotHere>> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Ready(Err(NoSuchJob.into())) };
        entry.here(job)?;
        if entry.told() > cursor || entry.is_ended() {
            return Poll::Ready(Ok(()));
        }
        entry.ended_or_wait(cx, job).map_ok(|_| ()).map_err(NotHere::from)
    }

    /// Notes that a job is read. Whether that is to be noted in the journal, too: it is there, and that was not done for
    /// `every_ms`.
    pub fn note_read(&self, job: JobId, now_ms: u64, every_ms: u64) -> bool {
        self.lock().jobs.get_mut(&job).is_some_and(|entry| entry.note_read(now_ms, every_ms))
    }

    /// Whether a job in memory has not ended, or has results that flow to its submitter.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.lock().jobs.values().any(Entry::is_awaited)
    }

    /// Ended jobs of the journal that were neither read nor running since that time, in milliseconds since 1970; at most
    /// `most`.
    #[must_use]
    pub fn unread_since(&self, ms: u64, most: usize) -> Vec<JobId> {
        let table = self.lock();
        let unread = table.jobs.iter().filter(|(_, entry)| entry.last_use_ms().is_some_and(|last| last < ms));
        unread.map(|(job, _)| *job).take(most).collect()
    }

    /// Waits for the job's end.
    ///
    /// # Errors
    /// Ready with [`NotHere`] when the job is unknown, or another node leads it.
    pub fn poll_ended(&self, cx: &Context<'_>, job: JobId) -> Poll<Result<(), NotHere>> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Ready(Err(NoSuchJob.into())) };
        entry.here(job)?;
        // To know of the end is not to have taken the results.
        if entry.is_ended() {
            return Poll::Ready(Ok(()));
        }
        entry.ended_or_wait(cx, job).map_ok(|_| ()).map_err(NotHere::from)
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

/// The time, in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
