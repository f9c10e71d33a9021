//! What happened in a world, counted by name: inputs by their kind, reasons to wake, faults, the engines' own counters,
//! and how long tasks took. `weft-sim compare` prints the figures of two worlds, and a test requires that the swarm
//! reaches the rare branches.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_core::durable::LogRecord;
use weft_core::snapshot::Counters;
use weft_core::{Command, Effect, Event, Input, JobId, Time};

use crate::fault::Fault;
use crate::replay::{Replayed, kind};

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    submitted: BTreeMap<JobId, Time>,
    /// Sum over all ended tasks of the time since their job's submission, in microseconds.
    took_us: u64,
    ended: u64,
}

impl Coverage {
    /// How often the event of this name happened.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// All names that were counted, in alphabetical order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(name, count)| (*name, *count))
    }

    /// The number of tasks whose end was reported to their user.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Mean time from a job's submission to the end of each of its tasks.
    #[must_use]
    pub fn mean_completion(&self) -> Duration {
        Duration::from_micros(self.took_us / self.ended.max(1))
    }

    /// Adds the counts of another world.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(name, count)| self.add(name, count));
        self.took_us += other.took_us;
        self.ended += other.ended;
    }

    /// The counts of a replayed log.
    #[must_use]
    pub fn of_log(log: &Replayed) -> Self {
        let mut coverage = Self { counts: log.kinds.clone(), ..Self::default() };
        coverage.add("effects", log.effects);
        coverage.on_life_ended(&log.engine.snapshot().counters);
        coverage
    }

    pub(crate) fn add(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.counts.entry(name).or_default() += count;
        }
    }

    pub(crate) fn on_input(&mut self, now: Time, input: &Input, wake: Option<&'static str>) {
        self.add(kind(input), 1);
        match (input, wake) {
            (Input::Command(Command::Submit(what)), _) => {
                self.submitted.entry(what.job).or_insert(now);
            }
            (Input::Wake, Some(reason)) => self.add(reason, 1),
            _ => {}
        }
    }

    pub(crate) fn on_effect(&mut self, now: Time, effect: &Effect) {
        self.add(
            "a join fires",
            u64::from(matches!(effect, Effect::Notify(Event::DependenciesSatisfied { .. }))),
        );
        self.add("a job is refused", u64::from(matches!(effect, Effect::Notify(Event::Refused { .. }))));
        if let Effect::Persist { record, .. } = effect {
            self.on_record(record);
        }
        let Effect::Notify(Event::TaskEnded { job, report, .. }) = effect else { return };
        self.add(report.outcome.word(), 1);
        let began = self.submitted.get(job).copied().unwrap_or(now);
        self.took_us += now.since_us(began);
        self.ended += 1;
    }

    /// What becomes of a job at level `mesh` when a node of it is gone.
    fn on_record(&mut self, record: &LogRecord) {
        self.add("another member leads a job", u64::from(matches!(record, LogRecord::Led { .. })));
        self.add(
            "a member's seat is another node's",
            u64::from(matches!(record, LogRecord::Replaced { .. })),
        );
    }

    pub(crate) fn on_fault(&mut self, fault: &Fault) {
        let name = match fault {
            Fault::Kill { told: true, .. } => "fault: a process is killed",
            Fault::Kill { told: false, .. } => "fault: a machine loses power",
            Fault::Stop(_) => "fault: a process is ended by its user",
            Fault::Restart(_) => "fault: a dead process is started",
            Fault::Wipe(_) => "fault: a disk is lost",
            Fault::Copy(_) => "fault: a disk is copied",
            Fault::GoBack(_) => "fault: a disk is an older one",
            Fault::Tear { .. } => "fault: a record is torn",
            Fault::Lose(_) => "fault: a machine is lost for ever",
            Fault::Pause(_) => "fault: a process is stopped",
            Fault::Resume(_) => "fault: a stopped process goes on",
            Fault::Cut { .. } => "fault: a direction is cut",
            Fault::Mend { .. } => "fault: a direction is mended",
            Fault::Slow { .. } => "fault: a pace changes",
            Fault::Drain { .. } => "fault: draining is switched",
            Fault::GiveBack(_) => "fault: a draining node gives back what it runs",
            Fault::DiskFails(_) => "fault: a disk fails",
            Fault::Full { on: true, .. } => "fault: a disk is full",
            Fault::Full { on: false, .. } => "fault: a disk has room again",
            Fault::Lie { .. } => "fault: a peer lies",
        };
        self.add(name, 1);
    }

    /// Adds the counters of an engine whose process ends.
    pub(crate) fn on_life_ended(&mut self, counters: &Counters) {
        Counters::TABLE.iter().for_each(|row| self.add(row.metric, (row.get)(counters)));
    }
}

/// Rare branches that 120 seeds must reach: a swarm that never reaches one proves nothing about it.
pub const SOMETIMES: [&str; 48] = [
    "a bid ends",
    "a blob can't be had",
    "a call ends",
    "a connection is closed",
    "a job is cancelled",
    "a job is refused",
    "a job goes on by an older log",
    "a job is restored",
    "a join fires",
    "a lease ends",
    "a task was stopped for want of memory",
    "a member's seat is another node's",
    "a peer falls silent",
    "a wide task begins",
    "an award is refused",
    "another member leads a job",
    "an outcome is sent again",
    "outcomes are read back",
    "outcomes come with credit",
    "tasks are given back by a node that drains",
    "tasks come on credit",
    "weft_attempts_adopted_total",
    "weft_memo_answered_total",
    "weft_awards_refused_total",
    "weft_messages_dropped_total",
    "weft_outcomes_forged_total",
    "weft_outcomes_late_total",
    "weft_outcomes_gossiped_home_total",
    "weft_tasks_preempted_total",
    "weft_memo_recalled_total",
    "weft_tasks_abandoned_total",
    "weft_tasks_given_back_total",
    "weft_bids_unasked_total",
    "fault: a disk fails",
    "fault: a disk is an older one",
    "fault: a disk is full",
    "fault: a disk is lost",
    "fault: a draining node gives back what it runs",
    "fault: a machine is lost for ever",
    "fault: a machine loses power",
    "fault: a peer lies",
    "fault: a process is ended by its user",
    "fault: a process is stopped",
    "fault: a record is torn",
    "gossip: acknowledgements",
    "gossip: renewals",
    "skipped",
    "what runs is not short any more",
];
