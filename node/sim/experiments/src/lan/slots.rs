//! The slots of a host in a lean world: running, waiting and paused executions.

use std::collections::{BTreeMap, VecDeque};

use weft_core::RunId;

/// One execution.
#[derive(Debug)]
struct Run {
    service_us: u32,
    /// The remaining running time, in microseconds.
    left_us: u64,
    /// While it has a slot: when it ends, in microseconds.
    ends: Option<u64>,
    /// How often it got a slot.
    turn: u32,
}

/// An execution that got a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) run: RunId,
    /// How often it has got a slot, this time included.
    pub(super) turn: u32,
    /// When it ends unless it loses its slot, in microseconds.
    pub(super) ends: u64,
}

/// A host's slots.
#[derive(Debug)]
pub(super) struct Slots {
    count: u32,
    /// The factor by which executions are slower than usual.
    pub(super) slowness: u32,
    running: u32,
    runs: BTreeMap<RunId, Run>,
    waiting: VecDeque<RunId>,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self { count, slowness: 1, running: 0, runs: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Adds an execution, which waits for a slot.
    pub(super) fn put(&mut self, run: RunId, service_us: u32) {
        let service_us = service_us.saturating_mul(self.slowness);
        self.runs.insert(run, Run { service_us, left_us: u64::from(service_us), ends: None, turn: 0 });
        self.waiting.push_back(run);
    }

    /// Begins waiting executions as long as slots are free.
    pub(super) fn fill(&mut self, now: u64) -> Vec<Begun> {
        let mut begun = Vec::new();
        while self.running < self.count
            && let Some(run) = self.waiting.pop_front()
        {
            let Some(held) = self.runs.get_mut(&run) else { continue };
            self.running += 1;
            held.turn += 1;
            let ends = now + held.left_us;
            held.ends = Some(ends);
            begun.push(Begun { run, turn: held.turn, ends });
        }
        begun
    }

    /// Pauses an execution: it loses its slot, and its running time stops.
    pub(super) fn pause(&mut self, run: RunId, now: u64) {
        self.waiting.retain(|waiting| *waiting != run);
        if let Some(held) = self.runs.get_mut(&run)
            && let Some(ends) = held.ends.take()
        {
            held.left_us = ends - now;
            self.running -= 1;
        }
    }

    /// Resumes an execution, which waits for a slot before all others.
    pub(super) fn resume(&mut self, run: RunId) {
        self.waiting.push_front(run);
    }

    /// Whether it still has the slot of this turn.
    pub(super) fn is_due(&self, run: RunId, turn: u32) -> bool {
        self.runs.get(&run).is_some_and(|held| held.ends.is_some() && held.turn == turn)
    }

    /// Removes an execution, whether it had a slot or not. Returns its running time, in microseconds.
    pub(super) fn take(&mut self, run: RunId) -> Option<u32> {
        self.waiting.retain(|waiting| *waiting != run);
        let held = self.runs.remove(&run)?;
        self.running -= u32::from(held.ends.is_some());
        Some(held.service_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_execution_goes_on_where_it_was() {
        let (long, short) = (RunId(1), RunId(2));
        let mut slots = Slots::new(1);
        slots.put(long, 100);
        slots.put(short, 10);
        assert_eq!(slots.fill(0), [Begun { run: long, turn: 1, ends: 100 }]);
        slots.pause(long, 30);
        assert_eq!(slots.fill(30), [Begun { run: short, turn: 1, ends: 40 }]);
        assert!(!slots.is_due(long, 1), "its first turn is over");
        assert_eq!(slots.take(short), Some(10));
        slots.resume(long);
        assert_eq!(slots.fill(40), [Begun { run: long, turn: 2, ends: 110 }]);
        assert!(slots.is_due(long, 2));
    }
}
