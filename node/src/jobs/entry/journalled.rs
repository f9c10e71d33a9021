//! What an entry knows of a job whose results are in the journal: how it came back, what of it is on the disk, when it was
//! read.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use weft_core::Refusal;

use super::super::{NotAccepted, RestoredJob, TaskEnd, not_taken, now_ms};
use super::{Before, Entry, Journalled};

/// The same moment, of milliseconds since 1970. A clock that was set back makes it later, and never later than now.
pub(super) fn instant_of(ms: u64) -> Instant {
    let ago = Duration::from_millis(now_ms().saturating_sub(ms));
    Instant::now().checked_sub(ago).unwrap_or_else(Instant::now)
}

impl Entry {
    /// As the journal remembers it.
    pub(in crate::jobs) fn restored(job: RestoredJob) -> Self {
        let RestoredJob {
            meta,
            ended_ms,
            read_ms,
            closed,
            cancelled,
            given_up,
            counts,
            input_bytes,
            told,
            ended,
            accepted,
            restarted,
            refused_more,
            custody,
        } = job;
        let mut entry = Self::new(meta);
        entry.created = instant_of(entry.meta.submitted_ms);
        entry.ended_at = ended_ms.map(instant_of);
        entry.journal = Some(Journalled { told, read_ms, noted_ms: read_ms });
        entry.accepted = accepted;
        entry.accepted_tasks = counts.tasks;
        entry.restarted = restarted;
        entry.refused_more = refused_more;
        entry.custody = custody;
        entry.closed = closed;
        entry.cancelled_by_user = cancelled;
        entry.given_up = given_up;
        entry.counts = counts;
        entry.input_bytes = input_bytes;
        entry.ended = ended;
        entry
    }

    /// As it is once what did not succeed is tried again; how it had ended is kept until the disk knows.
    pub(in crate::jobs) fn reopened(job: RestoredJob, before: &Self) -> Self {
        let mut entry = Self::restored(job);
        entry.created = before.created;
        // Who leads and keeps it may have changed while its log was read; that it was read counts whatever comes of this.
        entry.custody.clone_from(&before.custody);
        if let (Some(journal), Some(before)) = (&mut entry.journal, before.journal) {
            (journal.read_ms, journal.noted_ms) = (before.read_ms, before.noted_ms);
        }
        entry.before = Some(Before {
            counts: before.counts,
            ended_at: before.ended_at,
            cancelled_by_user: before.cancelled_by_user,
            given_up: before.given_up,
        });
        entry
    }

    /// Notes that its submitter may rely on it, with that many of its tasks.
    pub(in crate::jobs) fn accept(&mut self, tasks: u32) {
        self.accepted = true;
        self.before = None;
        self.accepted_tasks = self.accepted_tasks.max(tasks);
        self.wake();
    }

    /// Whether its submitter may rely on it.
    pub(in crate::jobs) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// How many of its tasks its submitter may rely on, if it was accepted.
    pub(in crate::jobs) fn kept_tasks(&self) -> Option<u32> {
        self.accepted.then_some(self.accepted_tasks)
    }

    /// Notes that all of its tasks came. What was accepted before that has a record of its own for it.
    pub(in crate::jobs) fn close(&mut self) {
        self.closing |= self.is_journalled() && self.accepted && !self.closed;
        self.closed = true;
        self.wake();
    }

    /// Notes how many tasks it has by the results of another job, and whether it gets no more.
    pub(in crate::jobs) fn grow(&mut self, tasks: u32, closed: bool) {
        self.counts.tasks = self.counts.tasks.max(tasks);
        self.closed |= closed;
        self.wake();
    }

    /// Notes that what was said last of the whole job is safe: that it is tried again, or closed.
    pub(in crate::jobs) fn confirm(&mut self) {
        self.closing = false;
        self.accept(0);
    }

    /// Notes why it never began. What its tasks end with is kept here.
    pub(in crate::jobs) fn refuse(&mut self, reason: String) {
        self.refused = Some(NotAccepted::Refused(reason));
        self.journal = None;
        self.wake();
    }

    /// Notes that what did not succeed is not tried again after all: it has ended as it had before.
    pub(in crate::jobs) fn refuse_again(&mut self, reason: Refusal) {
        self.refused = Some(NotAccepted::NotRetried(reason));
        self.end();
        if let Some(before) = self.before.take() {
            let Before { counts, ended_at, cancelled_by_user, given_up } = before;
            (self.counts, self.ended_at) = (counts, ended_at);
            (self.cancelled_by_user, self.given_up) = (cancelled_by_user, given_up);
        }
        self.accepted = true;
    }

    /// Notes that its last tasks were not taken.
    pub(in crate::jobs) fn refuse_more(&mut self, tasks: u32, reason: &Refusal) {
        self.counts.tasks = self.counts.tasks.saturating_sub(tasks);
        self.refused_tasks = self.refused_tasks.saturating_add(tasks);
        self.refused_more = Some(not_taken(self.refused_tasks, &reason.to_string()));
        self.wake();
    }

    /// Whether tasks of it were refused: those that come later would be given their places.
    pub(in crate::jobs) fn refuses_more(&self) -> bool {
        self.refused_more.is_some()
    }

    /// Whether it ended, and the disk does not know yet that it is tried again.
    pub(in crate::jobs) fn is_retried(&self) -> bool {
        self.before.is_some()
    }

    /// Whether its results are in the journal.
    pub(in crate::jobs) fn is_journalled(&self) -> bool {
        self.journal.is_some()
    }

    /// Counts an end that is in the journal; its number there. None if it is not a task of this job, or had ended before.
    pub(in crate::jobs) fn tell(&mut self, end: &TaskEnd) -> Option<u64> {
        if !self.mark(end.index) {
            return None;
        }
        self.counts.end(&end.report.outcome);
        let journal = self.journal.as_mut()?;
        let number = journal.told;
        journal.told += 1;
        self.wake();
        Some(number)
    }

    /// Ends of tasks that were told so far; results can be read from any of these numbers on.
    pub(in crate::jobs) fn told(&self) -> u64 {
        self.journal.map_or(u64::from(self.taken) + self.results.len() as u64, |journal| journal.told)
    }

    /// Notes that it is read. Whether that is to be noted in the journal, too: it is there, and that was not done for `every_ms`.
    pub(in crate::jobs) fn note_read(&mut self, now_ms: u64, every_ms: u64) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        journal.read_ms = Some(now_ms);
        let is_due = journal.noted_ms.is_none_or(|at| now_ms >= at.saturating_add(every_ms));
        if is_due {
            journal.noted_ms = Some(now_ms);
        }
        is_due
    }

    /// When it was last of use, in milliseconds since 1970: none if it has not ended, or is not in the journal, or another
    /// node leads it.
    pub(in crate::jobs) fn last_use_ms(&self) -> Option<u64> {
        let journal = self.journal.filter(|_| self.is_here())?;
        self.ended_ms().map(|ended| ended.max(journal.read_ms.unwrap_or(0)))
    }

    pub(in crate::jobs) fn ended_ms(&self) -> Option<u64> {
        let took = self.ended_at?.saturating_duration_since(self.created);
        Some(self.meta.submitted_ms.saturating_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Whether it was accepted with the tasks that it has now, once that is known; if not, `cx` is woken by the next change.
    pub(in crate::jobs) fn accepted_or_wait(&mut self, cx: &Context<'_>) -> Poll<Result<(), NotAccepted>> {
        if let Some(reason) = &self.refused {
            return Poll::Ready(Err(reason.clone()));
        }
        // Of a job that is over, the record that closes it is never written.
        let is_over = self.is_ended() || self.given_up || self.cancelled_by_user;
        let has_all = self.accepted_tasks >= self.counts.tasks && (is_over || !self.closing);
        let is_whole = self.journal.is_none() || has_all;
        if self.accepted && is_whole {
            return Poll::Ready(Ok(()));
        }
        if self.is_ended() {
            return Poll::Ready(Err(NotAccepted::Over));
        }
        self.wait(cx);
        Poll::Pending
    }
}
