//! Room: how many slots a worker may still promise. The one place that compares held slots with promised ones;
//! read-only.

use super::ledger::Ledger;
use super::runs::RunQueue;
use crate::message::Class;
use crate::policy::{admission, window};

/// A worker's slots, and the parts that take them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'a> {
    pub(super) slots: u32,
    pub(super) runs: &'a RunQueue,
    pub(super) ledger: &'a Ledger,
}

/// Room for short tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortRoom {
    /// Slots without a long task.
    pub(super) slots: u32,
    /// Slots of the other held tasks.
    pub(super) held: u32,
}

impl Room<'_> {
    /// Slots held, bid or advertised. Credit is not counted: tasks on credit are short and may wait.
    pub(super) fn taken(&self) -> u32 {
        self.runs.held_slots() + self.ledger.promised(Class::Scavenger)
    }

    /// Slots of a window that are neither held nor promised.
    pub(super) fn free(&self, window: u32) -> u32 {
        window.saturating_sub(self.taken())
    }

    /// Slots until held and promised ones reach their bound.
    pub(super) fn left(&self) -> u32 {
        self.left_of(window::offered_max(self.slots))
    }

    /// The same for this node's own owner.
    pub(super) fn left_for_own(&self) -> u32 {
        self.left_of(window::offered_own_max(self.slots))
    }

    fn left_of(&self, most: u32) -> u32 {
        let taken = self.runs.held_slots().saturating_add(self.ledger.promised_in_all());
        most.saturating_sub(taken)
    }

    /// Slots for a call of that class: the free ones, and those of tasks that would be paused for it. The latter not
    /// behind a multi-slot call of that class or above, `kept_for`, which waits for the same slots.
    pub(super) fn for_call(&self, class: Class, free: u32, kept_for: Option<Class>) -> u32 {
        let behind = kept_for.is_some_and(|kept| class <= kept);
        let more = if behind { 0 } else { self.preemptible(class, free) };
        (free + more).min(self.left())
    }

    /// Slots beyond the free ones that a task of that class gets at once by preemption.
    fn preemptible(&self, class: Class, free: u32) -> u32 {
        let above = self.runs.held_at_least(class) + self.ledger.promised(class);
        let left = self.slots.saturating_sub(above.saturating_add(free));
        // Each paused task frees at least one slot.
        let paused = self.runs.active_below(class).min(self.slots.saturating_sub(self.runs.paused()));
        (paused + self.gap(class).saturating_sub(free)).min(left)
    }

    /// Slots that idle because the next paused task needs more; a task of a higher class may use them.
    fn gap(&self, class: Class) -> u32 {
        if self.runs.paused_class().is_none_or(|paused| paused >= class) {
            return 0;
        }
        let taken = self.runs.unpaused_slots().saturating_add(self.ledger.promised(Class::Scavenger));
        self.slots.saturating_sub(taken)
    }

    /// Room for short tasks of that class.
    pub(super) fn short(&self, class: Class) -> ShortRoom {
        let long = self.runs.long_at_least(class);
        ShortRoom {
            slots: self.slots.saturating_sub(long),
            held: self.runs.held_at_least(class).saturating_sub(long),
        }
    }

    /// Expected time until a task of that class gets its slots, in microseconds.
    pub(super) fn start_in_us(&self, class: Class, slots: u32) -> u64 {
        let (held, work_us) = (self.runs.held_at_least(class), self.runs.work_us_at_least(class));
        admission::start_in_us(self.slots, slots, held, work_us)
    }
}
