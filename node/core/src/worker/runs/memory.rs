//! Memory of what runs and of what is paused for tasks of a higher class: together never more than the node gives, which
//! is what it gives to one task, once for each slot. A task counts with what it may use at most. Plain arithmetic; what
//! is stopped when there is too little is [`super::preempt`]'s choice.
//!
//! What runs alone is always within the bound: a slot has one task at a time, and none is taken that may use more than
//! the node gives. What is paused adds to it.

use alloc::collections::BTreeMap;

/// What the tasks that the slots were given may use.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Of those that are not paused: how many may use each number of bytes. Some wait in the slots' own queue.
    busy: BTreeMap<u64, u32>,
    /// All that are paused together, in bytes.
    paused: u64,
}

impl Memory {
    /// A task runs from now on, or waits in the slots' own queue.
    pub(super) fn run(&mut self, bytes: u64) {
        *self.busy.entry(bytes).or_default() += 1;
    }

    /// A task does so no more.
    pub(super) fn end_run(&mut self, bytes: u64) {
        let count = self.busy.get_mut(&bytes).expect("what ends was counted when it began");
        *count -= 1;
        if *count == 0 {
            self.busy.remove(&bytes);
        }
    }

    /// A task is paused from now on.
    pub(super) fn pause(&mut self, bytes: u64) {
        self.paused = self.paused.saturating_add(bytes);
    }

    /// A task is paused no more.
    pub(super) fn end_pause(&mut self, bytes: u64) {
        self.paused = self.paused.saturating_sub(bytes);
    }

    /// Whether nothing is paused that takes memory.
    pub(super) fn is_undivided(&self) -> bool {
        self.paused == 0
    }

    /// Most that all may use at once, in bytes, if one is paused that was not and one more comes. Of those that are not
    /// paused as many run as there are slots, be it those that may use most.
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
