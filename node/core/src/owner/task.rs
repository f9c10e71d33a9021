//! One task: where it is, which attempts of it there are, and what an attempt brings home. Plain bookkeeping, driven by
//! the owner. [`Task::transition`] is the only writer of a task's state and of its job's counts of states.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::lease_table::Lease;
use crate::durable::Fate;
use crate::id::{LeaseId, PeerId};
use crate::message::{LeaseRange, Progress};
use crate::outcome::Verified;
use crate::policy::{Policy, times};
use crate::receipt::Proof;
use crate::task::{Payload, Recalled, Report};
use crate::time::Time;

/// The number of an attempt that no worker runs: the task's result is known, and its blobs are on their way here.
pub(super) const RECALLED: u32 = 0;

/// Most of the time for which a worker says that it held a task back that is not held against it, in microseconds: a
/// worker that lies can keep a task no longer than this beyond what any other may.
const PAUSED_MAX_US: u64 = 3_600_000_000;

/// One task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) input: Payload,
    state: TaskState,
    /// Attempts issued so far; the next lease carries the next number.
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    /// How often it was stopped where it ran, for another of a higher class.
    pub(super) stops: u32,
    /// Attempts that may still bring an outcome, overdue ones included.
    pub(super) live: Vec<Attempt>,
    /// The worker that failed or lost it last, and until when the next attempt waits for another one to bid.
    pub(super) avoid: Option<(PeerId, Time)>,
    /// When its first attempt was issued.
    pub(super) first_at: Option<Time>,
    /// No attempt is issued sooner, after a failure.
    pub(super) wait_until: Time,
    /// It had its speculative copy.
    pub(super) copied: bool,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// Its input is a result of another job that is not known here yet.
    Awaiting,
    /// It waits for a worker; or for its job's dependencies, which the job knows.
    Queued,
    Leased,
    /// It failed, and its next attempt waits until then.
    Delayed(Time),
    /// It ended well; the number is that of its answer ([`crate::digest::Digest::short`]).
    Done(u64),
    /// It ended otherwise, with the same number.
    Failed(u64),
    Cancelled,
    Expired,
}

impl From<Fate> for TaskState {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Done(digest) => Self::Done(digest),
            Fate::Failed(digest) => Self::Failed(digest),
            Fate::Cancelled => Self::Cancelled,
            Fate::Expired => Self::Expired,
        }
    }
}

impl TaskState {
    pub(super) fn is_end(self) -> bool {
        match self {
            Self::Awaiting | Self::Queued | Self::Leased | Self::Delayed(_) => false,
            Self::Done(_) | Self::Failed(_) | Self::Cancelled | Self::Expired => true,
        }
    }

    /// Whether a task may go from here to there: an end is never left, and what waits for its input or its time is not leased
    /// before.
    fn may_become(self, to: Self) -> bool {
        match (self, to) {
            (Self::Queued, Self::Queued)
            | (Self::Leased, Self::Leased)
            | (_, Self::Awaiting)
            | (Self::Awaiting, Self::Leased | Self::Delayed(_))
            | (Self::Delayed(_), Self::Leased) => false,
            (Self::Awaiting | Self::Queued | Self::Leased | Self::Delayed(_), _) => true,
            (Self::Done(_) | Self::Failed(_) | Self::Cancelled | Self::Expired, _) => false,
        }
    }
}

/// How many tasks of a job are where. Those that are queued are counted by the job's queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    awaiting: u32,
    leased: u32,
    delayed: u32,
    done: u32,
    failed: u32,
    cancelled: u32,
}

impl Counts {
    pub(super) fn awaiting(&self) -> u32 {
        self.awaiting
    }

    pub(super) fn leased(&self) -> u32 {
        self.leased
    }

    pub(super) fn delayed(&self) -> u32 {
        self.delayed
    }

    pub(super) fn done(&self) -> u32 {
        self.done
    }

    /// Ended otherwise than done, and not cancelled.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    pub(super) fn cancelled(&self) -> u32 {
        self.cancelled
    }

    pub(super) fn ended(&self) -> u32 {
        self.done + self.failed + self.cancelled
    }

    fn of(&mut self, state: TaskState) -> Option<&mut u32> {
        match state {
            TaskState::Awaiting => Some(&mut self.awaiting),
            TaskState::Queued => None,
            TaskState::Leased => Some(&mut self.leased),
            TaskState::Delayed(_) => Some(&mut self.delayed),
            TaskState::Done(_) => Some(&mut self.done),
            TaskState::Failed(_) | TaskState::Expired => Some(&mut self.failed),
            TaskState::Cancelled => Some(&mut self.cancelled),
        }
    }
}

impl Task {
    /// One that waits.
    pub(super) fn new(input: Payload) -> Self {
        Self {
            input,
            state: TaskState::Queued,
            attempts: 0,
            failures: 0,
            losses: 0,
            stops: 0,
            live: Vec::new(),
            avoid: None,
            first_at: None,
            wait_until: Time::ZERO,
            copied: false,
        }
    }

    /// One whose input is not known yet.
    pub(super) fn awaiting(counts: &mut Counts) -> Self {
        counts.awaiting += 1;
        Self { state: TaskState::Awaiting, ..Self::new(Payload::empty()) }
    }

    pub(super) fn state(&self) -> TaskState {
        self.state
    }

    /// Changes where it is, and its job's counts with it.
    pub(super) fn transition(&mut self, to: TaskState, counts: &mut Counts) {
        assert!(self.state.may_become(to), "a task goes from {:?} to {to:?}", self.state);
        if let Some(count) = counts.of(self.state) {
            *count -= 1;
        }
        if let Some(count) = counts.of(to) {
            *count += 1;
        }
        self.state = to;
    }

    /// An attempt by its lease.
    pub(super) fn attempt(&self, lease: LeaseId) -> Option<&Attempt> {
        self.live.iter().find(|attempt| attempt.lease.id() == lease)
    }

    /// The same.
    pub(super) fn attempt_mut(&mut self, lease: LeaseId) -> Option<&mut Attempt> {
        self.live.iter_mut().find(|attempt| attempt.lease.id() == lease)
    }

    /// Attempts whose lease has not run out.
    pub(super) fn due(&self) -> impl Iterator<Item = &Attempt> {
        self.live.iter().filter(|attempt| !attempt.overdue)
    }

    /// Whether an attempt of it may still bring its outcome in time.
    pub(super) fn is_due(&self) -> bool {
        self.due().next().is_some()
    }

    /// Whether the next attempt should rather not go to that worker.
    pub(super) fn avoids(&self, worker: PeerId) -> bool {
        self.avoid.is_some_and(|(avoided, _)| avoided == worker)
    }

    /// Whether it is worth waiting for another than the avoided worker.
    pub(super) fn is_patient(&self, now: Time) -> bool {
        self.avoid.is_some_and(|(_, until)| now < until)
    }

    /// When no further attempt of it may begin any more, if there is such a time.
    pub(super) fn gives_up_at(&self, policy: &Policy) -> Option<Time> {
        self.first_at.and_then(|first| times::gives_up_at(policy, first))
    }

    /// Whether an attempt that begins then would begin too late.
    pub(super) fn is_given_up(&self, policy: &Policy, at: Time) -> bool {
        self.gives_up_at(policy).is_some_and(|end| end <= at)
    }

    /// Nothing that counts has happened to it: its attempts were refused, and none failed, was lost or stopped.
    pub(super) fn is_untried(&self) -> bool {
        self.stops + self.failures + self.losses == 0 && self.live.is_empty()
    }
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) lease: Lease,
    pub(super) since: Time,
    /// Its lease ran out; its outcome still counts if it is the first.
    pub(super) overdue: bool,
    /// Its outcome is here, and blobs of it are still on their way.
    pub(super) fetching: Option<Box<Fetching>>,
    /// This node had no room for one of these blobs: they are fetched when there is.
    pub(super) starved: bool,
    /// The worker holds it back for tasks of a higher class, by its last word.
    pub(super) paused: bool,
    /// What the worker is at with it, by its last word.
    pub(super) progress: Progress,
    renewed_at: Time,
    /// How long it was held back, in microseconds, at most [`PAUSED_MAX_US`].
    paused_us: u64,
    /// What it streamed, in bytes.
    pub(super) printed: u64,
    /// It is the second one of a straggler.
    pub(super) copy: bool,
    /// It is of an earlier epoch: when it began is not known here.
    pub(super) is_adopted: bool,
}

/// An outcome whose blobs are on their way.
#[derive(Clone, Debug)]
pub(super) struct Fetching {
    /// Blobs that are not here yet.
    pub(super) missing: u8,
    pub(super) brought: Brought,
}

/// What an attempt brought home.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    pub(super) report: Arc<Report>,
    /// The node that computed it before and whose word that is, if it was only remembered.
    pub(super) memo: Option<(PeerId, Recalled)>,
    /// The worker's signature, which belongs to the report.
    pub(super) proof: Option<Box<Proof>>,
    /// Whose it is and which others said the same, if several nodes computed it.
    pub(super) verified: Option<(PeerId, Verified)>,
}

/// An outcome that is whole: everything that it names is here.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) lease: LeaseId,
    pub(super) from: PeerId,
    pub(super) brought: Brought,
}

impl Brought {
    /// Whether it names blobs, which must be fetched before it is whole.
    pub(super) fn names_blobs(&self) -> bool {
        self.report.blobs().next().is_some()
    }
}

impl From<Arc<Report>> for Brought {
    fn from(report: Arc<Report>) -> Self {
        Self { report, memo: None, proof: None, verified: None }
    }
}

impl From<Report> for Brought {
    fn from(report: Report) -> Self {
        Arc::new(report).into()
    }
}

impl Attempt {
    pub(super) fn new(lease: Lease, since: Time) -> Self {
        Self {
            lease,
            since,
            overdue: false,
            fetching: None,
            starved: false,
            paused: false,
            progress: Progress::Unknown,
            renewed_at: since,
            paused_us: 0,
            printed: 0,
            copy: false,
            is_adopted: false,
        }
    }

    /// One of an earlier epoch, which its worker still has.
    pub(super) fn adopted(lease: Lease, now: Time) -> Self {
        Self { is_adopted: true, progress: Progress::Running, ..Self::new(lease, now) }
    }

    pub(super) fn number(&self) -> u32 {
        self.lease.id().attempt
    }

    pub(super) fn worker(&self) -> PeerId {
        self.lease.worker()
    }

    /// The worker still has it.
    pub(super) fn on_renewed(&mut self, now: Time, range: &LeaseRange) {
        if self.paused {
            let more = now.since_us(self.renewed_at);
            self.paused_us = self.paused_us.saturating_add(more).min(PAUSED_MAX_US);
        }
        self.paused = range.paused;
        self.progress = range.progress;
        self.renewed_at = now;
    }

    /// Whether it began, as far as its worker told.
    pub(super) fn has_run(&self) -> bool {
        self.paused || self.printed > 0 || self.progress == Progress::Running
    }

    /// How long the worker has had it, without the time for which it was held back, in microseconds.
    pub(super) fn held_us(&self, now: Time) -> u64 {
        now.since_us(self.since).saturating_sub(self.paused_us)
    }

    /// Whether its time still runs: it is neither over, nor suspended because its outcome is here.
    pub(super) fn is_running(&self) -> bool {
        !self.overdue && self.fetching.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [TaskState; 8] = [
        TaskState::Awaiting,
        TaskState::Queued,
        TaskState::Leased,
        TaskState::Delayed(Time::ZERO),
        TaskState::Done(1),
        TaskState::Failed(1),
        TaskState::Cancelled,
        TaskState::Expired,
    ];

    #[test]
    fn no_end_is_left_and_each_other_state_leads_to_every_end() {
        for (from, to) in STATES.into_iter().flat_map(|from| STATES.map(|to| (from, to))) {
            match (from.is_end(), to.is_end()) {
                (true, _) => assert!(!from.may_become(to), "{from:?} to {to:?}"),
                (false, true) => assert!(from.may_become(to), "{from:?} to {to:?}"),
                (false, false) => {}
            }
        }
        assert!(!TaskState::Delayed(Time::ZERO).may_become(TaskState::Leased), "a backoff is waited for");
        assert!(!TaskState::Awaiting.may_become(TaskState::Leased), "an input is waited for");
        assert!(STATES.into_iter().all(|from| !from.may_become(TaskState::Awaiting)), "an input stays");
        assert!(TaskState::Delayed(Time::ZERO).may_become(TaskState::Delayed(Time::ZERO.plus_ms(1))));
    }

    #[test]
    fn counts_follow_the_states() {
        let (mut task, mut counts) = (Task::new(Payload::empty()), Counts::default());
        for to in [TaskState::Leased, TaskState::Delayed(Time::ZERO), TaskState::Queued, TaskState::Leased] {
            task.transition(to, &mut counts);
        }
        assert_eq!((counts.leased(), counts.delayed(), counts.ended()), (1, 0, 0));
        task.transition(TaskState::Expired, &mut counts);
        assert_eq!((counts.leased(), counts.failed(), counts.ended()), (0, 1, 1));
    }

    #[test]
    #[should_panic(expected = "a task goes from Done(1) to Cancelled")]
    fn an_end_is_never_left() {
        let (mut task, mut counts) = (Task::new(Payload::empty()), Counts::default());
        task.transition(TaskState::Done(1), &mut counts);
        task.transition(TaskState::Cancelled, &mut counts);
    }
}
