//! What an owner does at its time: one list of alarms for all jobs, the earliest first. Plain bookkeeping; `owner/clock.rs`
//! takes what is due and routes it. The ends of leases are kept by [`super::lease_table`].

use alloc::collections::BTreeSet;

use crate::id::JobId;
use crate::time::Time;

/// What is due at an instant. Of one instant they go off in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// The job may start.
    Start(JobId),
    /// What of the job has not ended expires.
    Expire(JobId),
    /// The task's backoff is over.
    Retry(JobId, u32),
    /// No further attempt of the task may begin.
    GiveUp(JobId, u32),
    /// The job's tasks are checked for stragglers.
    Speculate(JobId),
    /// Workers were asked what they hold of the job, and answers are waited for no longer.
    Answers(JobId),
    /// The nodes that keep the job, for which others here wait, are asked how it ended.
    AskEnd(JobId),
    /// The log of the job, whose results others here take, is read on.
    Read(JobId),
    /// The results of the job's parents are asked for again, as its input.
    Gather(JobId),
}

impl Alarm {
    /// The job that it is about.
    pub(super) fn job(self) -> JobId {
        match self {
            Self::Start(job)
            | Self::Expire(job)
            | Self::Retry(job, _)
            | Self::GiveUp(job, _)
            | Self::Speculate(job)
            | Self::Answers(job)
            | Self::AskEnd(job)
            | Self::Read(job)
            | Self::Gather(job) => job,
        }
    }
}

/// Holds at most five entries for each job that has not ended, one for each job of other nodes that one of them waits for, one for
/// each job whose results one of them takes, and two for each task that was tried.
#[derive(Debug, Default)]
pub(super) struct Agenda(BTreeSet<(Time, Alarm)>);

impl Agenda {
    pub(super) fn set(&mut self, at: Time, alarm: Alarm) {
        self.0.insert((at, alarm));
    }

    /// It does not go off then, if it was set.
    pub(super) fn clear(&mut self, at: Time, alarm: Alarm) {
        self.0.remove(&(at, alarm));
    }

    /// Takes the next one out whose time has come.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Alarm> {
        let due = self.0.first().is_some_and(|(at, _)| *at <= now);
        if due { self.0.pop_first().map(|(_, alarm)| alarm) } else { None }
    }

    pub(super) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let (at, alarm) = self.0.first()?;
        let why = match alarm {
            Alarm::Start(_) => "a job may start",
            Alarm::Expire(_) => "a job expires",
            Alarm::Retry(..) => "a failed task is tried again",
            Alarm::GiveUp(..) => "a task is given up",
            Alarm::Speculate(_) => "slow tasks are looked for",
            Alarm::Answers(_) => "answers of workers are waited for no longer",
            Alarm::AskEnd(_) => "nodes are asked how a job ended",
            Alarm::Read(_) => "results that other jobs take are looked for",
            Alarm::Gather(_) => "results that are one input are asked for again",
        };
        Some((*at, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_go_off_in_order_and_not_before_their_time() {
        let mut agenda = Agenda::default();
        let at = |ms| Time::ZERO.plus_ms(ms);
        agenda.set(at(20), Alarm::Start(JobId(1)));
        agenda.set(at(10), Alarm::Speculate(JobId(1)));
        agenda.set(at(10), Alarm::Retry(JobId(9), 3));
        agenda.set(at(15), Alarm::Expire(JobId(1)));
        agenda.clear(at(15), Alarm::Expire(JobId(1)));
        assert_eq!(agenda.next_wakeup(), Some((at(10), "a failed task is tried again")));
        assert_eq!(agenda.pop_due(at(9)), None);
        assert_eq!(agenda.pop_due(at(30)), Some(Alarm::Retry(JobId(9), 3)));
        assert_eq!(agenda.pop_due(at(30)), Some(Alarm::Speculate(JobId(1))));
        assert_eq!(agenda.pop_due(at(30)), Some(Alarm::Start(JobId(1))));
        assert_eq!((agenda.pop_due(at(30)), agenda.next_wakeup()), (None, None));
    }
}
