//! One job's state: plain bookkeeping of its tasks, without a word to anybody. The owner drives it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::ahead::Asks;
use super::tasks::Tasks;
use crate::id::{BidId, CallId, PeerId};
use crate::input::Submission;
use crate::message::{Call, Reason};
use crate::programs::average_us;
use crate::receipt::Proof;
use crate::snapshot::{JobView, Regime, Said};
use crate::task::{Outcome, Payload, Report, TaskKey};
use crate::time::Time;
use crate::worker::is_short;

/// Bids of one worker that may stand at once; beyond it the newest is released.
const BIDS_PER_WORKER_MAX: usize = 16;

/// Doublings of the time for which a worker that loses task after task is given none: about four minutes at most.
const STREAK_MAX: u32 = 10;

/// A job and its tasks.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) what: Submission,
    pub(super) open: bool,
    pub(super) tasks: Tasks,
    pub(super) queue: VecDeque<u32>,
    pub(super) call: Option<OpenCall>,
    pub(super) said: BTreeMap<PeerId, (Time, Said)>,
    /// Who lost tasks of this job in a row: how often, and until when it is given none.
    pub(super) shunned: BTreeMap<PeerId, (u32, Time)>,
    /// Moving average of what its tasks took, in microseconds; 0 before the first outcome.
    pub(super) service_us: u32,
    pub(super) counts: Counts,
    /// Tasks in all; stays when the tasks themselves are forgotten at the job's end.
    pub(super) total: u32,
    pub(super) ended: bool,
    /// Its place in the order of submissions.
    pub(super) number: u64,
    /// What it calls for while its tasks are short.
    pub(super) asks: Asks,
    /// When it came, or a task of it was placed last.
    pub(super) placed_at: Time,
    key: TaskKey,
}

/// How many of its tasks are where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) leased: u32,
    pub(super) done: u32,
    pub(super) failed: u32,
    pub(super) cancelled: u32,
    pub(super) retried: u32,
    pub(super) recalled: u32,
}

/// One task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) input: Payload,
    pub(super) state: State,
    /// Attempts issued so far; the next lease carries the next number.
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    /// Attempts that may still bring an outcome, overdue ones included.
    pub(super) live: Vec<Attempt>,
    /// Who failed or lost it last, and until when the next attempt waits for somebody else to bid.
    pub(super) avoid: Option<(PeerId, Time)>,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Queued,
    Leased,
    /// It ended; the number tells outcomes apart.
    Ended(u64),
    Cancelled,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) worker: PeerId,
    pub(super) since: Time,
    pub(super) expires_at: Time,
    /// Its lease ran out; its outcome still counts if it is the first.
    pub(super) overdue: bool,
    /// Its outcome is here, and so many blobs of it are still on their way.
    pub(super) fetching: Option<Box<(u8, Brought)>>,
    /// The worker holds it back for tasks of a higher class, by its last word.
    pub(super) paused: bool,
    renewed_at: Time,
    /// How long it was held back, in microseconds, at most [`PAUSED_MAX_US`].
    paused_us: u64,
    /// What it streamed, in bytes.
    pub(super) printed: u64,
}

/// The number of an attempt that nobody makes: the task's result is known, and what it rests on is on its way here.
pub(super) const RECALLED: u32 = 0;

/// Most of the time for which a worker says that it held a task back that is not held against it, in microseconds: a
/// worker that lies can keep a task no longer than this beyond what any other may.
const PAUSED_MAX_US: u64 = 3_600_000_000;

/// What an attempt brought home.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    pub(super) report: Report,
    /// Who computed it before, if the worker only remembered it.
    pub(super) memo: Option<PeerId>,
    /// The worker's signature, which belongs to the report.
    pub(super) proof: Option<Proof>,
}

impl From<Report> for Brought {
    fn from(report: Report) -> Self {
        Self { report, memo: None, proof: None }
    }
}

impl Attempt {
    pub(super) fn new(number: u32, worker: PeerId, since: Time, expires_at: Time) -> Self {
        Self {
            number,
            worker,
            since,
            expires_at,
            overdue: false,
            fetching: None,
            paused: false,
            renewed_at: since,
            paused_us: 0,
            printed: 0,
        }
    }

    /// The worker still has it.
    pub(super) fn on_renewed(&mut self, now: Time, paused: bool) {
        if self.paused {
            let more = now.since_us(self.renewed_at);
            self.paused_us = self.paused_us.saturating_add(more).min(PAUSED_MAX_US);
        }
        self.paused = paused;
        self.renewed_at = now;
    }

    /// How long the worker has had it, without the time for which it was held back, in microseconds.
    pub(super) fn held_us(&self, now: Time) -> u64 {
        now.since_us(self.since).saturating_sub(self.paused_us)
    }
}

/// A call that stands.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) call: CallId,
    pub(super) bids: Vec<StandingBid>,
    pub(super) asked: Vec<PeerId>,
    pub(super) repeat_at: Time,
}

/// Room that a worker promised.
#[derive(Clone, Debug)]
pub(super) struct StandingBid {
    pub(super) bid: BidId,
    pub(super) worker: PeerId,
    pub(super) left: u32,
    pub(super) start_in_us: u32,
    pub(super) warm: bool,
    pub(super) came_at: Time,
    pub(super) expires_at: Time,
}

impl Job {
    /// A job whose program is known to have this key and to take so long, in microseconds; 0 when that is not known.
    pub(super) fn new(what: Submission, number: u64, key: TaskKey, service_us: u32, now: Time) -> Self {
        Self {
            open: !what.closed,
            what,
            tasks: Tasks::default(),
            queue: VecDeque::new(),
            call: None,
            said: BTreeMap::new(),
            shunned: BTreeMap::new(),
            service_us,
            counts: Counts::default(),
            total: 0,
            ended: false,
            number,
            asks: Asks::default(),
            placed_at: now,
            key,
        }
    }

    /// One more task, which is not in the queue yet; its place.
    pub(super) fn add(&mut self, input: Payload) -> u32 {
        let index = self.total;
        self.total += 1;
        self.tasks.push(Task::new(input));
        index
    }

    /// What its tasks' names have in common.
    pub(super) fn key(&self) -> TaskKey {
        self.key
    }

    /// Whether its tasks are so short that they are bound ahead of need.
    pub(super) fn is_short(&self) -> bool {
        is_short(self.service_us, 0)
    }

    pub(super) fn task_mut(&mut self, index: u32) -> Option<&mut Task> {
        self.tasks.get_mut(index)
    }

    pub(super) fn task(&self, index: u32) -> Option<&Task> {
        self.tasks.get(index)
    }

    /// A task's state was set to one that is never left; told once per task.
    pub(super) fn on_task_ended(&mut self, index: u32) {
        self.tasks.on_ended(index);
        if self.queue.capacity() > 4096 && self.queue.len() < self.queue.capacity() / 4 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
    }

    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn unfinished(&self) -> u32 {
        self.total - self.counts.done - self.counts.failed - self.counts.cancelled
    }

    /// Whether this node's own worker is called like others: what is short is handed over without a word.
    pub(super) fn calls_here(&self) -> bool {
        !self.is_short() || self.asks == Asks::ForAnybody
    }

    /// Puts a task back at the head of the queue, unless another attempt of it is still due.
    pub(super) fn requeue(&mut self, index: u32) {
        let Some(task) = self.task_mut(index) else { return };
        let due = task.live.iter().any(|attempt| !attempt.overdue);
        if task.state != State::Leased || due {
            return;
        }
        task.state = State::Queued;
        self.counts.leased -= 1;
        self.queue.push_front(index);
    }

    /// A worker lost a task; many at once are one mishap.
    pub(super) fn shun(&mut self, worker: PeerId, now: Time, grace_ms: u64) {
        let (streak, until) = self.shunned.entry(worker).or_default();
        if now >= *until {
            *streak = (*streak + 1).min(STREAK_MAX);
            *until = now.plus_ms((grace_ms / 2) << *streak);
        }
    }

    pub(super) fn measure(&mut self, wall_us: u64) {
        self.service_us = average_us(self.service_us, wall_us);
    }

    pub(super) fn call_message(&self, call: CallId) -> Call {
        Call {
            call,
            job: self.what.job,
            program: self.what.program.clone(),
            needs: self.what.needs.clone(),
            class: self.what.class,
            terms: self.what.terms,
            count: self.waiting(),
            service_us: if self.asks == Asks::ForAnybody { 0 } else { self.service_us },
        }
    }

    pub(super) fn view(&self) -> JobView {
        JobView {
            job: self.what.job,
            class: self.what.class,
            open: self.open,
            tasks: self.total,
            queued: self.waiting(),
            leased: self.counts.leased,
            done: self.counts.done,
            failed: self.counts.failed,
            cancelled: self.counts.cancelled,
            retried: self.counts.retried,
            recalled: self.counts.recalled,
            service_us: self.service_us,
            regime: if self.is_short() { Regime::BiddingAhead } else { Regime::LateBinding },
        }
    }

    /// Forgets everything but the figures.
    pub(super) fn forget_tasks(&mut self) {
        self.ended = true;
        self.tasks = Tasks::default();
        self.queue = VecDeque::new();
        self.said = BTreeMap::new();
        self.shunned = BTreeMap::new();
    }
}

impl Task {
    /// One that waits.
    pub(super) fn new(input: Payload) -> Self {
        Self {
            input,
            state: State::Queued,
            attempts: 0,
            failures: 0,
            losses: 0,
            live: Vec::new(),
            avoid: None,
        }
    }

    /// Whether the next attempt should rather not go to that worker.
    pub(super) fn avoids(&self, worker: PeerId) -> bool {
        self.avoid.is_some_and(|(avoided, _)| avoided == worker)
    }

    /// Whether it is worth waiting for somebody else than the avoided worker.
    pub(super) fn is_patient(&self, now: Time) -> bool {
        self.avoid.is_some_and(|(_, until)| now < until)
    }
}

impl OpenCall {
    /// Takes a bid, unless that worker has too many standing already.
    pub(super) fn take(&mut self, bid: StandingBid) -> bool {
        let same = self.bids.iter().filter(|other| other.worker == bid.worker).count();
        let fits = same < BIDS_PER_WORKER_MAX;
        if fits {
            self.bids.push(bid);
        }
        fits
    }

    /// Forgets bids that ended.
    pub(super) fn expire(&mut self, now: Time) {
        self.bids.retain(|bid| bid.left > 0 && bid.expires_at > now);
    }
}

impl StandingBid {
    /// When a task awarded now is expected to start, in microseconds from now: what the worker said, less what has
    /// passed since, plus the way there and, where the module is cold, its fetch.
    pub(super) fn expected_us(&self, me: PeerId, rtt_us: u32, now: Time) -> u64 {
        const COLD_US: u64 = 5000;
        let queue = u64::from(self.start_in_us).saturating_sub(now.since_us(self.came_at));
        let away = if self.worker == me { 0 } else { u64::from(rtt_us) + 1 };
        let cold = if self.warm || self.worker == me { 0 } else { COLD_US };
        queue + away + cold
    }
}

/// Tells outcomes of pure tasks apart: equal numbers for equal endings.
pub(super) fn fingerprint(report: &Report) -> u64 {
    let mut bytes = [0u8; 8];
    let id = report.output.id();
    bytes.copy_from_slice(id.0.get(..8).expect("an id has 32 bytes"));
    let mut left = [0u8; 8];
    if report.files.bytes_len() > 0 {
        left.copy_from_slice(report.files.id().0.get(..8).expect("an id has 32 bytes"));
    }
    let kind = match report.outcome {
        Outcome::Done => 0,
        Outcome::Failed(_) => 1,
        Outcome::Trapped(_) => 2,
        Outcome::LimitExceeded(_) => 3,
        Outcome::Invalid(_) => 4,
        Outcome::Cancelled => 5,
        Outcome::Lost(_) => 6,
    };
    u64::from_le_bytes(bytes) ^ u64::from_le_bytes(left).rotate_left(32) ^ kind
}

/// Says why a peer is not asked.
pub(super) fn not_asked(reason: Reason) -> Said {
    Said::NotAsked(reason)
}
