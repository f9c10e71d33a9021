//! What can be asked of jobs through the handle: whether one was accepted, its results from memory or from the journal
//! alike, cancelling it, trying it again, forgetting it.

use std::fmt;
use std::future::poll_fn;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::timeout;
use weft_core::{Command, JobId, Level};

use super::{NodeHandle, NodeStopped, Request};
use crate::jobs::{
    Custody, JobSummary, Listener, Moved, NoSuchJob, NotAccepted, NotEnded, NotHere, Portion, Results, now_ms,
};
use crate::keeping::{Kept, Unreadable};

/// That results were read is noted in the journal once in this time, in milliseconds: what was not read for long is forgotten.
const NOTE_READ_EVERY_MS: u64 = 60_000;

/// How long a change of a job may take until it is as safe as the level of the job promises.
const CHANGE_MAX: Duration = Duration::from_secs(10);

/// Why there are no results to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoResults {
    /// The job is unknown.
    #[error(transparent)]
    Unknown(#[from] NoSuchJob),
    /// Another node leads it, and has them.
    #[error(transparent)]
    Moved(#[from] Moved),
    /// Nothing keeps them.
    #[error("the results of job {0} flow to its submitter and are not kept")]
    NotKept(JobId),
    /// The journal can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The journal has fewer than there should be: a fault of weft.
    #[error(
        "the journal has no result of job {job} behind number {cursor}, which is a fault of weft; please report it"
    )]
    Missing {
        /// The job.
        job: JobId,
        /// Results that were read.
        cursor: u64,
    },
}

/// Why a job was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotChanged {
    /// The job is unknown.
    #[error(transparent)]
    Unknown(#[from] NoSuchJob),
    /// Another node leads it, and can change it.
    #[error(transparent)]
    Moved(#[from] Moved),
    /// It has not ended.
    #[error("job {0} has not ended")]
    NotEnded(JobId),
    /// It was not kept.
    #[error(
        "job {0} is not kept on disk, and its inputs are gone: submit it again, at level disk if it may have to be retried"
    )]
    NotKept(JobId),
    /// All of its tasks are done.
    #[error("job {0} has no task that ended otherwise than done")]
    AllDone(JobId),
    /// The journal takes nothing more.
    #[error("this node can't keep jobs on its disk any more: {0}")]
    JournalFailed(String),
    /// The disk has too little room for new work.
    #[error("the disk of this node has too little room to try job {0} again: make room")]
    DiskLow(JobId),
    /// The journal refused it.
    #[error(transparent)]
    Refused(#[from] NotAccepted),
    /// Another client changes it now.
    #[error("job {0} is being retried, forgotten or adopted already: look at it, and ask again")]
    Changing(JobId),
    /// It is not certain yet: a disk that is to know of it has not answered.
    #[error("job {job} {change} {condition} within {late} s", condition = condition(*.level), late = CHANGE_MAX.as_secs())]
    Late {
        /// The job.
        job: JobId,
        /// The change.
        change: Changes,
        /// The level of the job.
        level: Level,
    },
    /// The journal can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The loop has ended.
    #[error(transparent)]
    Stopped(#[from] NodeStopped),
}

/// A change of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// It is cancelled.
    Cancel,
    /// It is tried again.
    Retry,
    /// It is forgotten.
    Forget,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancel => "is cancelled",
            Self::Retry => "is tried again",
            Self::Forget => "is forgotten",
        })
    }
}

/// When a change counts, for people.
fn condition(level: Level) -> &'static str {
    match level {
        Level::Mesh => "once a second node that keeps it answers, which none did",
        Level::Memory | Level::Disk => "once it is on the disk of its node, which did not answer",
    }
}

impl From<NotHere> for NotChanged {
    fn from(error: NotHere) -> Self {
        match error {
            NotHere::Unknown(unknown) => unknown.into(),
            NotHere::Moved(moved) => moved.into(),
        }
    }
}

impl From<NotHere> for NoResults {
    fn from(error: NotHere) -> Self {
        match error {
            NotHere::Unknown(unknown) => unknown.into(),
            NotHere::Moved(moved) => moved.into(),
        }
    }
}

/// A job at level `mesh` may move: another node leads it after a failure, and its owner leads it again when it is back. Each
/// of the questions below that can wait ends with [`Moved`] when that happens, and who asked goes on at the leader.
impl NodeHandle {
    /// Who keeps and who leads a job; none if it is unknown here, or is not at level `mesh`.
    #[must_use]
    pub fn custody(&self, job: JobId) -> Option<Custody> {
        self.jobs.summary(job).and_then(|summary| summary.custody)
    }

    /// Waits until another node leads a job; at once if one does. Never ready for a job of this node alone. Ask it next to a
    /// wait that has no such end by itself.
    ///
    /// # Errors
    /// When the job is unknown, or is forgotten meanwhile.
    pub async fn moved(&self, job: JobId) -> Result<Moved, NoSuchJob> {
        poll_fn(|cx| self.jobs.poll_moved(cx, job)).await
    }

    /// Waits until a job is accepted with all tasks that it has now: at level `disk` that is once they are on the disk, at
    /// level `mesh` once they are on the disks of two nodes, at level `memory` at once.
    ///
    /// # Errors
    /// [`NotAccepted`] when it was refused, or is unknown.
    pub async fn accepted(&self, job: JobId) -> Result<(), NotAccepted> {
        poll_fn(|cx| self.jobs.poll_accepted(cx, job)).await
    }

    /// A client reads a job's results as they come from now on: while this lives, what was told a moment ago is not read from the
    /// journal.
    #[must_use]
    pub(crate) fn listen(&self, job: JobId) -> Listener {
        Listener::new(&self.jobs, job)
    }

    /// Results of a job from the `cursor`-th on, from memory or from the journal; waits while there are none and it has not
    /// ended. They can be read again and again.
    ///
    /// # Errors
    /// [`NoResults`].
    pub async fn results(&self, job: JobId, cursor: u64, portion: Portion) -> Result<Results, NoResults> {
        let mut cursor = cursor;
        loop {
            poll_fn(|cx| self.jobs.poll_told(cx, job, cursor)).await?;
            let results = match self.jobs.results(job, cursor, portion) {
                Some(told) => {
                    self.note_read(job);
                    told
                }
                None => self.results_now(job, cursor, portion).await?,
            };
            if !results.ends.is_empty() || results.end.is_some() {
                return Ok(results);
            }
            if results.next == cursor {
                return Err(NoResults::Missing { job, cursor });
            }
            // All that came was tried again later.
            cursor = results.next;
        }
    }

    /// As [`NodeHandle::results`], but without waiting: perhaps none.
    ///
    /// # Errors
    /// [`NoResults`].
    pub async fn results_now(&self, job: JobId, cursor: u64, portion: Portion) -> Result<Results, NoResults> {
        let summary = self.jobs.summary(job).ok_or(NoSuchJob)?;
        // What was told a moment ago is for those who listen.
        let in_memory = if summary.journalled { None } else { self.jobs.results(job, cursor, portion) };
        if let Some(results) = in_memory {
            self.note_read(job);
            return Ok(results);
        }
        if !summary.is_left_copy() {
            summary.here()?;
        }
        let kept = self.kept.as_ref().filter(|_| summary.journalled);
        let kept = kept.ok_or(NoResults::NotKept(job))?;
        self.note_read(job);
        let part = kept.results(&summary, cursor, portion).await?;
        let is_last = summary.ended && part.next >= summary.told;
        Ok(Results { ends: part.ends, next: part.next, end: is_last.then_some(summary) })
    }

    /// Cancels a job, unless it has ended. Returns when that is as safe as the level of the job promises.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn cancel(&self, job: JobId) -> Result<(), NotChanged> {
        self.cancel_within(job, CHANGE_MAX).await
    }

    async fn cancel_within(&self, job: JobId, most: Duration) -> Result<(), NotChanged> {
        let summary = self.jobs.summary(job).ok_or(NoSuchJob)?;
        summary.here()?;
        if summary.ended {
            return Ok(());
        }
        self.kept.as_ref().filter(|_| summary.journalled).map_or(Ok(()), check_journal)?;
        // From here on nothing is waited for until both are done: a caller that goes away leaves no half of it.
        let place = self.requests.reserve().await.ok().ok_or(NodeStopped)?;
        self.jobs.cancel(job);
        // It closes an open job, too. Closed before it, one whose tasks so far are done would end as if that were all of it.
        place.send(Request::Command(Command::Cancel { job }));
        let ended = poll_fn(|cx| self.jobs.poll_told(cx, job, u64::MAX));
        match timeout(most, ended).await {
            // It ended, and with it more jobs that came after it than are remembered.
            Ok(Err(NotHere::Unknown(NoSuchJob))) => Ok(()),
            Ok(told) => Ok(told?),
            Err(_late) => Err(late(&summary, Changes::Cancel)),
        }
    }

    /// Has the tasks of a kept job that ended otherwise than done tried again. Returns when that is on the disk.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn retry(&self, job: JobId) -> Result<(), NotChanged> {
        let _one = Change::begin(self, job)?;
        let summary = self.ended(job)?;
        let kept = self.kept.as_ref().filter(|_| summary.journalled);
        let kept = kept.ok_or(NotChanged::NotKept(job))?;
        check_journal(kept)?;
        if kept.journal().is_disk_low {
            return Err(NotChanged::DiskLow(job));
        }
        if summary.done == summary.tasks {
            return Err(NotChanged::AllDone(job));
        }
        // It is of use: it is not forgotten meanwhile.
        self.note_read(job);
        let (restored, reopened) = kept.reopened(&summary).await?;
        // From here on nothing is waited for until both are done: a caller that goes away leaves no half of it.
        let place = self.requests.reserve().await.ok().ok_or(NodeStopped)?;
        if !self.jobs.reopen(job, reopened) {
            if let Some(now) = self.jobs.summary(job) {
                now.here()?;
            }
            return Err(NotChanged::NotEnded(job));
        }
        place.send(Request::Command(Command::Retry(restored)));
        Ok(timeout(CHANGE_MAX, self.accepted(job))
            .await
            .map_err(|_late| late(&summary, Changes::Retry))??)
    }

    /// Forgets a job that has ended, and its results. Returns when the disk has forgotten it, too.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn forget(&self, job: JobId) -> Result<(), NotChanged> {
        let _one = Change::begin(self, job)?;
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.is_quarantined(job)) {
            check_journal(kept)?;
            let quarantined = NotChanged::Late { job, change: Changes::Forget, level: Level::Disk };
            return timeout(CHANGE_MAX, kept.forget(job)).await.map_err(|_late| quarantined);
        }
        let summary = self.ended(job)?;
        if !summary.journalled {
            return match self.jobs.forget(job) {
                Ok(()) => Ok(()),
                Err(NotEnded::Unknown) => Err(NoSuchJob.into()),
                Err(NotEnded::Open) => Err(NotChanged::NotEnded(job)),
            };
        }
        self.kept.as_ref().map_or(Ok(()), check_journal)?;
        self.command(Command::ForgetJob { job }).await?;
        let gone = poll_fn(|cx| self.jobs.poll_forgotten(cx, job));
        let gone = timeout(CHANGE_MAX, gone).await.map_err(|_late| late(&summary, Changes::Forget))?;
        gone.map_err(NotChanged::JournalFailed)
    }

    /// Notes that a job is of use, now and then in the journal, too.
    fn note_read(&self, job: JobId) {
        let is_due = self.jobs.note_read(job, now_ms(), NOTE_READ_EVERY_MS);
        if let Some(kept) = self.kept.as_ref().filter(|_| is_due) {
            kept.note_read(job, now_ms());
        }
    }

    fn ended(&self, job: JobId) -> Result<JobSummary, NotChanged> {
        let summary = self.jobs.summary(job).ok_or(NoSuchJob)?;
        summary.here()?;
        if summary.ended { Ok(summary) } else { Err(NotChanged::NotEnded(job)) }
    }
}

fn late(summary: &JobSummary, change: Changes) -> NotChanged {
    NotChanged::Late { job: summary.job, change, level: summary.meta.level }
}

/// A change of a job, the only one of it at a time.
pub(super) struct Change<'a> {
    handle: &'a NodeHandle,
    job: JobId,
}

impl<'a> Change<'a> {
    pub(super) fn begin(handle: &'a NodeHandle, job: JobId) -> Result<Self, NotChanged> {
        let is_new = handle.changing.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
        if is_new { Ok(Self { handle, job }) } else { Err(NotChanged::Changing(job)) }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.handle.changing.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.job);
    }
}

/// Nothing is changed that the disk would not know of.
fn check_journal(kept: &Kept) -> Result<(), NotChanged> {
    kept.journal().failure.map_or(Ok(()), |failure| Err(NotChanged::JournalFailed(failure)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use tokio::sync::mpsc;
    use weft_core::message::Class;
    use weft_core::{BlobId, Event, PeerId, Recall};

    use super::*;
    use crate::handle::{NodeInfo, REQUESTS_MAX, StoreFault};
    use crate::jobs::{JobMeta, JobTable, Title};

    const JOB: JobId = JobId(7);
    const ME: PeerId = PeerId([1; 32]);

    fn meta() -> JobMeta {
        JobMeta {
            module: BlobId([0; 32]),
            class: Class::Batch,
            detached: true,
            level: Level::Mesh,
            owner: ME,
            shared: false,
            title: Arc::new(Title { name: String::new(), labels: BTreeMap::new() }),
            submitted_ms: 0,
            streamed: false,
            signed: None,
            after: Arc::default(),
            takes_results: false,
        }
    }

    /// The handle of a node that leads a job at level mesh, and what its loop would be asked.
    fn handle(dir: &std::path::Path) -> (NodeHandle, mpsc::Receiver<Request>) {
        let store = weft_blobs::Store::open(dir, weft_blobs::Quota { bytes: 1 << 20 }).unwrap();
        let info = NodeInfo {
            peer: ME,
            name: String::from("anna"),
            version: "0",
            data_dir: dir.to_owned(),
            memo: Recall::Own,
            mesh: String::from("key"),
            listen: Mutex::default(),
            troubles: Mutex::default(),
            started: Instant::now(),
            store_fault: StoreFault::default(),
            grace: Duration::ZERO,
        };
        let jobs = Arc::new(JobTable::new());
        jobs.create(JOB, meta()).unwrap();
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        (NodeHandle::new(requests, store, jobs, Arc::new(info)), asked)
    }

    #[tokio::test]
    async fn a_cancellation_is_answered_once_it_is_certain() {
        let dir = tempfile::tempdir().unwrap();
        let (handle, mut asked) = handle(dir.path());
        let soon = Duration::from_millis(20);
        let late = NotChanged::Late { job: JOB, change: Changes::Cancel, level: Level::Mesh };
        assert_eq!(handle.cancel_within(JOB, soon).await, Err(late.clone()), "no second node has answered");
        assert_eq!(
            late.to_string(),
            "job 0000000000000007 is cancelled once a second node that keeps it answers, which none did within 10 s"
        );
        // Closed before, a job whose tasks so far are done would end as a success.
        let Some(Request::Command(Command::Cancel { job: JOB })) = asked.recv().await else {
            panic!("the first word is that it is cancelled")
        };
        assert!(asked.try_recv().is_err(), "and the only one");
        let ends = async {
            let _cancel = asked.recv().await;
            handle.jobs().record(Event::JobEnded { job: JOB });
        };
        let long = Duration::from_secs(30);
        let (cancelled, ()) = tokio::join!(handle.cancel_within(JOB, long), ends);
        assert_eq!(cancelled, Ok(()));
        assert_eq!(handle.cancel_within(JOB, soon).await, Ok(()), "it has ended already");
    }

    #[tokio::test]
    async fn a_cancellation_whose_caller_goes_away_is_done_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (handle, mut asked) = handle(dir.path());
        for _ in 0..REQUESTS_MAX {
            handle.command(Command::Drain(false)).await.unwrap();
        }
        let gone = timeout(Duration::from_millis(20), handle.cancel(JOB)).await;
        assert!(gone.is_err() && !handle.jobs().is_cancelled(JOB), "the loop was not told of it");
        let _place = asked.recv().await;
        let gone = timeout(Duration::from_millis(20), handle.cancel(JOB)).await;
        assert!(gone.is_err() && handle.jobs().is_cancelled(JOB));
        let mut last = None;
        while let Ok(request) = asked.try_recv() {
            last = Some(request);
        }
        assert!(matches!(last, Some(Request::Command(Command::Cancel { job: JOB }))));
    }

    #[tokio::test]
    async fn a_job_that_is_forgotten_as_soon_as_it_is_cancelled_was_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let (handle, mut asked) = handle(dir.path());
        let ends = async {
            let _cancel = asked.recv().await;
            handle.jobs().record(Event::JobEnded { job: JOB });
            handle.jobs().forget(JOB).unwrap();
        };
        let (cancelled, ()) = tokio::join!(handle.cancel_within(JOB, Duration::from_secs(30)), ends);
        assert_eq!(cancelled, Ok(()));
    }

    #[tokio::test]
    async fn a_cancellation_of_a_job_that_moves_is_asked_for_at_its_leader() {
        let dir = tempfile::tempdir().unwrap();
        let (handle, mut asked) = handle(dir.path());
        let moves = async {
            let _cancel = asked.recv().await;
            handle.jobs().follow(JOB, None);
        };
        let (cancelled, ()) = tokio::join!(handle.cancel_within(JOB, Duration::from_secs(30)), moves);
        assert_eq!(cancelled, Err(NotChanged::Moved(Moved { job: JOB, leader: None })));
    }
}
