//! One job's state: plain bookkeeping of its tasks, without a word to anybody. The owner drives it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::ahead::Asks;
pub(super) use super::attempt::{Attempt, Brought, RECALLED};
use super::joins::{Children, Gate};
use super::open::OpenCall;
use super::tasks::Tasks;
use super::verify::Ballot;
use crate::id::{CallId, PeerId};
use crate::input::Submission;
use crate::message::{Call, Reason};
use crate::policy::times;
use crate::policy::window::is_short;
use crate::snapshot::{JobView, Regime, Said};
use crate::standing::Standings;
use crate::stats::RuntimeStats;
use crate::task::{Payload, Recall, TaskKey, Terms};
use crate::time::Time;

/// A job and its tasks.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) what: Submission,
    pub(super) open: bool,
    pub(super) tasks: Tasks,
    pub(super) queue: VecDeque<u32>,
    /// Whether its tasks may begin, and those that wait until they may.
    pub(super) gate: Gate,
    pub(super) held: VecDeque<u32>,
    /// Jobs that wait for its end.
    pub(super) children: Children,
    pub(super) call: Option<OpenCall>,
    pub(super) said: BTreeMap<PeerId, (Time, Said)>,
    /// Begun tasks that want one more node.
    pub(super) extra: BTreeSet<u32>,
    /// What was said so far about tasks that several nodes compute.
    pub(super) ballots: BTreeMap<u32, Ballot>,
    /// Who gave tasks of this job up: what it lacks for them it may not lack for another job's.
    pub(super) standings: Standings,
    /// When slow tasks are looked for.
    pub(super) look_at: Option<Time>,
    /// How long its tasks take, as far as that was measured.
    pub(super) stats: RuntimeStats,
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
    pub(super) submitted_at: Time,
    /// When its first task may start.
    pub(super) starts_at: Time,
    /// Since when none of its tasks was awarded although some waited.
    pub(super) fed_at: Time,
    /// Nobody can make its deadline, by their own word.
    pub(super) hopeless: bool,
    /// More of its tasks failed than it allows.
    pub(super) given_up: bool,
    /// Its user cancelled it.
    pub(super) stopped: bool,
    key: TaskKey,
}

/// How many of its tasks are where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) leased: u32,
    pub(super) delayed: u32,
    pub(super) done: u32,
    pub(super) failed: u32,
    pub(super) cancelled: u32,
    pub(super) retried: u32,
    pub(super) recalled: u32,
    /// Backup copies that were awarded.
    pub(super) copies: u32,
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
    /// How often it was stopped where it ran, for another of a higher class.
    pub(super) stops: u32,
    /// Attempts that may still bring an outcome, overdue ones included.
    pub(super) live: Vec<Attempt>,
    /// Who failed or lost it last, and until when the next attempt waits for somebody else to bid.
    pub(super) avoid: Option<(PeerId, Time)>,
    /// When its first attempt was issued.
    pub(super) first_at: Option<Time>,
    /// No attempt is issued sooner, after a failure.
    pub(super) wait_until: Time,
    /// It had its backup copy.
    pub(super) copied: bool,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for a worker; or is held, which its job knows.
    Queued,
    Leased,
    /// It failed, and its next attempt waits until then.
    Delayed(Time),
    /// It ended; the number tells outcomes apart.
    Ended(u64),
    Cancelled,
    Expired,
}

impl Job {
    /// A job whose program is known to have this key and to take so long, in microseconds; 0 when that is not known.
    pub(super) fn new(what: Submission, number: u64, key: TaskKey, service_us: u32, now: Time) -> Self {
        Self {
            open: !what.closed,
            submitted_at: now,
            starts_at: times::starts_at(&what.policy, now),
            fed_at: now,
            hopeless: false,
            given_up: false,
            stopped: false,
            gate: Gate::new(&what),
            held: VecDeque::new(),
            children: Children::new(),
            what,
            tasks: Tasks::default(),
            queue: VecDeque::new(),
            call: None,
            said: BTreeMap::new(),
            extra: BTreeSet::new(),
            ballots: BTreeMap::new(),
            standings: Standings::default(),
            look_at: None,
            stats: RuntimeStats::from(service_us),
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

    /// Whether its tasks are so short that they are bound ahead of need. What has a deadline, or is computed by several,
    /// or needs several slots is chosen a worker with care all the same.
    pub(super) fn is_short(&self) -> bool {
        let plain =
            self.what.policy.deadline_ms.is_none() && !self.verifies() && self.what.needs.width() == 1;
        plain && is_short(self.service_us(), 0)
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

    /// Whether it looks for somebody by calls and bids, this node's own worker among them: what is short is handed over
    /// without a word, but for what found no room and for copies of slow tasks.
    pub(super) fn wants_bids(&self) -> bool {
        !self.is_short()
            || matches!(self.asks, Asks::ForAnybody | Asks::AtExchanges)
            || !self.extra.is_empty()
    }

    /// What one of its tasks takes by what was measured, in microseconds; 0 before the first outcome.
    pub(super) fn service_us(&self) -> u32 {
        self.stats.service.us()
    }

    pub(super) fn measure(&mut self, wall_us: u64) {
        self.stats.service.add(wall_us);
    }

    pub(super) fn call_message(&self, call: CallId, now: Time) -> Call {
        let deadline_ms = self.deadline_left_ms(now);
        // Workers answer a call for short tasks with standing room, unless there is a deadline.
        let hides = deadline_ms.is_none() && is_short(self.service_us(), 0) && self.wants_bids();
        Call {
            call,
            job: self.what.job,
            program: self.what.program.clone(),
            needs: self.what.needs.clone(),
            class: self.what.class,
            // What others told is for this node to believe or not: a worker answers with what it computed.
            terms: Terms { memo: self.what.terms.memo.min(Recall::Own), ..self.what.terms },
            count: self.wanted(),
            service_us: if hides { 0 } else { self.service_us() },
            deadline_ms,
            waited_ms: u32::try_from(now.since_us(self.fed_at) / 1000).unwrap_or(u32::MAX),
        }
    }

    /// The same for a worker that is hired: it makes no bid any more.
    pub(super) fn hire_message(&self, call: CallId, now: Time) -> Call {
        Call { service_us: self.service_us(), ..self.call_message(call, now) }
    }

    pub(super) fn view(&self) -> JobView {
        JobView {
            job: self.what.job,
            class: self.what.class,
            open: self.open,
            tasks: self.total,
            queued: self.waiting(),
            delayed: self.counts.delayed,
            leased: self.counts.leased,
            done: self.counts.done,
            failed: self.counts.failed,
            cancelled: self.counts.cancelled,
            retried: self.counts.retried,
            recalled: self.counts.recalled,
            service_us: self.service_us(),
            regime: if self.is_short() && self.asks != Asks::AtExchanges {
                Regime::BiddingAhead
            } else {
                Regime::LateBinding
            },
            given_up: self.given_up,
            held: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
        }
    }

    /// Forgets everything but the figures.
    pub(super) fn forget_tasks(&mut self) {
        self.ended = true;
        self.tasks = Tasks::default();
        (self.queue, self.held) = (VecDeque::new(), VecDeque::new());
        self.said = BTreeMap::new();
        self.extra = BTreeSet::new();
        self.standings = Standings::default();
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
            stops: 0,
            live: Vec::new(),
            avoid: None,
            first_at: None,
            wait_until: Time::ZERO,
            copied: false,
        }
    }

    /// Attempts whose lease has not run out.
    pub(super) fn due(&self) -> impl Iterator<Item = &Attempt> {
        self.live.iter().filter(|attempt| !attempt.overdue)
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

/// Says why a peer is not asked.
pub(super) fn not_asked(reason: Reason) -> Said {
    Said::NotAsked(reason)
}
