//! Memory of what runs and of what is held for tasks of a higher class: together never more than the node gives, which
//! is what it gives to one task, once for each slot. A task counts with what it may use at most.
//!
//! What runs alone is always within it: a slot has one task at a time, and none is taken that may use more than the node
//! gives. What is held adds to it. Where there is no room for a task to be held, it is stopped for good and given back
//! to its owner, who has it begin anew, here or elsewhere: of those of a lower class it is the lowest and the youngest,
//! which has least to lose. So a task of a higher class begins at once all the same. (Kubernetes evicts so; Slurm, which
//! suspends, leaves it to the administrator to have memory enough.)
//!
//! What was begun twice before is not stopped: it is held where there is memory for that, and waited for where there is
//! none. Otherwise a steady stream of tasks of a higher class would have a long one begin anew for ever.

use alloc::collections::BTreeMap;
use core::cmp::Reverse;

use super::{Held, Stage, Worker};
use crate::ctx::Ctx;
use crate::id::RunId;
use crate::message::{Class, Message};
use crate::policy::agreed::STOPPED_ATTEMPTS_MAX;

/// What the tasks that the slots were given may use.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Of those that are not held: how many may use so many bytes each. Some wait in the slots' own queue.
    busy: BTreeMap<u64, u32>,
    /// All that are held together, in bytes.
    held: u64,
}

impl Memory {
    /// The slots are given a task.
    pub(super) fn enter(&mut self, bytes: u64) {
        *self.busy.entry(bytes).or_default() += 1;
    }

    /// A task that was not held has left.
    pub(super) fn leave(&mut self, bytes: u64) {
        let Some(count) = self.busy.get_mut(&bytes) else { return };
        *count -= 1;
        if *count == 0 {
            self.busy.remove(&bytes);
        }
    }

    /// A task is held from now on.
    pub(super) fn hold(&mut self, bytes: u64) {
        self.leave(bytes);
        self.held = self.held.saturating_add(bytes);
    }

    /// A held task goes on.
    pub(super) fn resume(&mut self, bytes: u64) {
        self.leave_held(bytes);
        self.enter(bytes);
    }

    /// A held task has left.
    pub(super) fn leave_held(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Most that all may use at once, in bytes, if one is held that was not and one more comes. Of those that are not
    /// held as many run as there are slots, be it those that may use most.
    fn in_use(&self, slots: u32, held: Option<u64>, more: Option<u64>) -> u64 {
        let (mut left, mut sum) = (slots, self.held.saturating_add(held.unwrap_or(0)));
        let mut spared = held;
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

impl Held {
    /// What it may use at most, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.program.limits.memory_bytes
    }

    /// Whether it may be stopped for good to make memory free.
    fn may_be_stopped(&self) -> bool {
        self.lease.attempt <= STOPPED_ATTEMPTS_MAX
    }
}

impl Worker {
    /// Most that what runs and what is held may use, in bytes.
    pub(crate) fn memory_in_use(&self) -> u64 {
        self.memory.in_use(self.slots, None, None)
    }

    /// Most that it may ever be, in bytes.
    pub(crate) fn memory_max(&self) -> u64 {
        self.memory_bytes.saturating_mul(u64::from(self.slots))
    }

    /// Whether a task of that class that may use so many bytes can begin now, a slot being free; where it helps, what is
    /// held is stopped for it, and the task begins when that has left.
    pub(super) fn finds_memory(&mut self, ctx: &mut Ctx<'_>, class: Class, bytes: u64) -> bool {
        // What runs alone always fits.
        let fits =
            self.memory.held == 0 || self.memory.in_use(self.slots, None, Some(bytes)) <= self.memory_max();
        if !fits {
            self.stop_one(ctx, class, None);
        }
        fits
    }

    /// Holds a task that runs for one of that class which may use so many bytes. False where there is no memory for it:
    /// then it, or what is held and matters less, is stopped, and the place is free when that has left.
    pub(super) fn make_room(
        &mut self,
        ctx: &mut Ctx<'_>,
        victim: RunId,
        (class, bytes): (Class, u64),
    ) -> bool {
        // Whoever is leaving makes room enough, as far as can be told.
        if !self.stopping.is_empty() {
            return false;
        }
        let held = self.runs.get(&victim).map(|held| held.memory_bytes());
        let fits = self.memory.in_use(self.slots, held, Some(bytes)) <= self.memory_max();
        if fits {
            self.pause(ctx, victim);
        } else {
            self.stop_one(ctx, class, Some(victim));
        }
        fits
    }

    /// Stops for good what matters least of what is held and of a task that would have to be held, if it is of a lower
    /// class. One at a time: what it had is free when it has left the slots.
    fn stop_one(&mut self, ctx: &mut Ctx<'_>, class: Class, victim: Option<RunId>) {
        if !self.stopping.is_empty() {
            return;
        }
        let held = self.resting.iter().map(|(_, run)| *run).chain(victim);
        let of_run = held.filter_map(|run| self.runs.get(&run).map(|held| (run, held)));
        let lower = of_run.filter(|(_, held)| held.class < class && held.may_be_stopped());
        let least = lower.map(|(run, held)| (held.class, Reverse(held.handed_at), run)).min();
        if let Some((_, _, run)) = least {
            self.stop(ctx, run);
        }
    }

    /// Stops a task for good and gives it back to its owner.
    fn stop(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        let Some(held) = self.runs.get(&run) else { return };
        debug_assert!(
            matches!(held.stage, Stage::Handed | Stage::Paused),
            "only what the slots have is stopped"
        );
        let (owner, lease) = (held.owner, held.lease);
        self.leases.remove(&(owner, lease));
        self.stopping.insert(run);
        self.abort(ctx, run);
        ctx.send(owner, Message::Stopped { leases: alloc::vec![lease] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_counts_once_a_slot_and_what_is_held_always() {
        let (mut memory, slots) = (Memory::default(), 2);
        assert_eq!(memory.in_use(slots, None, None), 0);
        for bytes in [1, 5, 3, 5] {
            memory.enter(bytes);
        }
        assert_eq!(memory.in_use(slots, None, None), 10, "two run, be it the largest");
        // held from now on, one more -> in use
        let table = [
            (None, Some(9), 14),
            (None, Some(5), 10),
            (None, Some(0), 10),
            (Some(5), None, 13),
            (Some(5), Some(4), 14),
            (Some(3), Some(4), 13),
            (Some(1), Some(7), 13),
        ];
        for (held, more, in_use) in table {
            assert_eq!(memory.in_use(slots, held, more), in_use, "{held:?} {more:?}");
        }
        memory.hold(5);
        assert_eq!(memory.in_use(slots, None, None), 13);
        memory.leave(5);
        assert_eq!(memory.in_use(slots, None, None), 9);
        memory.resume(5);
        assert_eq!(memory.in_use(slots, None, None), 8);
        memory.hold(3);
        memory.leave_held(3);
        memory.leave(5);
        assert_eq!(memory.in_use(slots, None, None), 1);
    }
}
