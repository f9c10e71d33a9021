//! The open calls of all jobs by their names, and when the next of them is due. Plain bookkeeping: what a call is and whom
//! it was sent to is with its job.

use alloc::collections::BTreeMap;

use crate::id::{CallId, JobId};
use crate::time::Time;

/// Open calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    by_id: BTreeMap<CallId, JobId>,
    due_at: Option<Time>,
}

impl Calls {
    pub(super) fn open(&mut self, call: CallId, job: JobId) {
        self.by_id.insert(call, job);
    }

    pub(super) fn close(&mut self, call: CallId) {
        let known = self.by_id.remove(&call);
        debug_assert!(known.is_some(), "a call is closed once");
    }

    /// The job that a call is of: peers name calls, also closed ones.
    pub(super) fn job_of(&self, call: CallId) -> Option<JobId> {
        self.by_id.get(&call).copied()
    }

    /// Their jobs, in the order of the calls.
    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.by_id.values().copied()
    }

    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// One of them is due then, if none is sooner.
    pub(super) fn remind(&mut self, at: Time) {
        self.due_at = Some(self.due_at.map_or(at, |before| before.min(at)));
    }

    /// When the next one is due.
    pub(super) fn due_at(&self) -> Option<Time> {
        self.due_at
    }

    /// Whether one is due now; the caller looks through them and reminds of those that are due later.
    pub(super) fn take_due(&mut self, now: Time) -> bool {
        let due = self.due_at.is_some_and(|at| at <= now);
        if due {
            self.due_at = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_reminder_counts_and_is_taken_once() {
        let (mut calls, at) = (Calls::default(), |ms| Time::ZERO.plus_ms(ms));
        calls.open(CallId(1), JobId(7));
        [30, 10, 20].into_iter().for_each(|ms| calls.remind(at(ms)));
        assert_eq!((calls.due_at(), calls.take_due(at(9))), (Some(at(10)), false));
        assert_eq!((calls.take_due(at(10)), calls.take_due(at(100)), calls.due_at()), (true, false, None));
        assert_eq!((calls.job_of(CallId(1)), calls.job_of(CallId(2))), (Some(JobId(7)), None));
        calls.close(CallId(1));
        assert_eq!((calls.count(), calls.job_of(CallId(1))), (0, None));
    }
}
