//! Memory of running and paused tasks: never more than the node's limit for one task, times its slots. A task counts
//! with its own limit. Plain arithmetic; [`super::preempt`] chooses what is stopped when there is too little.
//!
//! Running tasks alone are always within the bound: a slot has one task at a time, and no task is accepted whose limit
//! is above the node's. Paused tasks add to it.

use alloc::collections::BTreeMap;

/// Memory limits of the tasks that were handed to the slots.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Tasks that are not paused, counted by their limit in bytes. Some wait in the slots' own queue.
    busy: BTreeMap<u64, u32>,
    /// Sum of the paused tasks' limits, in bytes.
    paused: u64,
}

impl Memory {
    /// A task was handed to the slots, or resumed.
    pub(super) fn run(&mut self, bytes: u64) {
        *self.busy.entry(bytes).or_default() += 1;
    }

    /// A task left the slots, or was paused.
    pub(super) fn end_run(&mut self, bytes: u64) {
        let count = self.busy.get_mut(&bytes).expect("what ends was counted when it began");
        *count -= 1;
        if *count == 0 {
            self.busy.remove(&bytes);
        }
    }

    /// A task was paused.
    pub(super) fn pause(&mut self, bytes: u64) {
        self.paused = self.paused.saturating_add(bytes);
    }

    /// A paused task resumed or ended.
    pub(super) fn end_pause(&mut self, bytes: u64) {
        self.paused = self.paused.saturating_sub(bytes);
    }

    /// Whether no paused task takes memory.
    pub(super) fn is_undivided(&self) -> bool {
        self.paused == 0
    }

    /// Most memory that all may use at once, in bytes, if a task with the limit `paused` were paused and one with the
    /// limit `more` came. Of the unpaused tasks as many count as there are slots, the largest first.
    pub(super) fn in_use(&self, slots: u32, paused: Option<u64>, more: Option<u64>) -> u64 {
        let (mut left, mut sum) = (slots, self.paused.saturating_add(paused.unwrap_or(0)));
        let mut spared = paused;
        let mut coming = more;
        let mut add = |bytes: u64, count: u32| {
            let count = count.min(left);
            left -= count;
            sum = sum.saturating_add(bytes.saturating_mul(u64::from(count)));
            left > 0
        };
        for (bytes, count) in self.busy.iter().rev() {
            if let Some(bytes) = coming.take_if(|coming| *coming >= *bytes) {
                add(bytes, 1);
            }
            let spared = u32::from(spared.take_if(|spared| spared == bytes).is_some());
            if !add(*bytes, count - spared) {
                break;
            }
        }
        if let Some(bytes) = coming {
            add(bytes, 1);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_counts_once_a_slot_and_what_is_paused_always() {
        let (mut memory, slots) = (Memory::default(), 2);
        assert_eq!(memory.in_use(slots, None, None), 0);
        for bytes in [1, 5, 3, 5] {
            memory.run(bytes);
        }
        assert_eq!(memory.in_use(slots, None, None), 10, "two run, be it the largest");
        // paused from now on, one more -> in use
        let table = [
            (None, Some(9), 14),
            (None, Some(5), 10),
            (None, Some(0), 10),
            (Some(5), None, 13),
            (Some(5), Some(4), 14),
            (Some(3), Some(4), 13),
            (Some(1), Some(7), 13),
        ];
        for (paused, more, in_use) in table {
            assert_eq!(memory.in_use(slots, paused, more), in_use, "{paused:?} {more:?}");
        }
        memory.end_run(5);
        memory.pause(5);
        assert_eq!(memory.in_use(slots, None, None), 13);
        memory.end_run(5);
        assert_eq!(memory.in_use(slots, None, None), 9);
        memory.end_pause(5);
        memory.run(5);
        assert_eq!(memory.in_use(slots, None, None), 8);
        memory.end_run(3);
        memory.pause(3);
        memory.end_pause(3);
        memory.end_run(5);
        assert_eq!(memory.in_use(slots, None, None), 1);
    }
}
