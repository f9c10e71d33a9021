//! How many slots a worker may still promise, and to what: the one place that weighs what is held against what is
//! promised. It reads and writes nothing else.

use super::ledger::Ledger;
use super::runs::RunQueue;
use crate::message::Class;
use crate::policy::{admission, window};

/// A worker's slots, and what takes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'a> {
    pub(super) slots: u32,
    pub(super) runs: &'a RunQueue,
    pub(super) ledger: &'a Ledger,
}

/// How much room short tasks have.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortRoom {
    /// Slots that no long task has.
    pub(super) slots: u32,
    /// Slots' worth of the other tasks that are held.
    pub(super) held: u32,
}

impl Room<'_> {
    /// Slots that are held or promised, but for credit: what comes on that is so short that it only waits.
    pub(super) fn taken(&self) -> u32 {
        self.runs.held_slots() + self.ledger.promised(Class::Scavenger)
    }

    /// Slots of a window that are neither held nor promised.
    pub(super) fn free(&self, window: u32) -> u32 {
        window.saturating_sub(self.taken())
    }

    /// Slots until all that is held and promised comes to the most that it ever may.
    pub(super) fn left(&self) -> u32 {
        let taken = self.runs.held_slots().saturating_add(self.ledger.promised_in_all());
        window::offered_max(self.slots).saturating_sub(taken)
    }

    /// Slots for a call of that class where this many are free: those, and what runs there and would be paused for it,
    /// unless it waits behind a call for several slots, of that class or above, which keeps them.
    pub(super) fn for_call(&self, class: Class, free: u32, kept_for: Option<Class>) -> u32 {
        let behind = kept_for.is_some_and(|kept| class <= kept);
        let more = if behind { 0 } else { self.preemptible(class, free) };
        (free + more).min(self.left())
    }

    /// Slots beyond the free ones that a task of that class may have at once, because what runs there is of a lower
    /// class and would be paused.
    fn preemptible(&self, class: Class, free: u32) -> u32 {
        let above = self.runs.held_at_least(class) + self.ledger.promised(class);
        let left = self.slots.saturating_sub(above.saturating_add(free));
        // Each that is paused frees a slot at least.
        let paused = self.runs.active_below(class).min(self.slots.saturating_sub(self.runs.paused()));
        (paused + self.gap(class).saturating_sub(free)).min(left)
    }

    /// Slots that are idle because what is paused takes too many to go on: a task of a higher class than that may have
    /// them.
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

    /// When a task of that class would get its slots, in microseconds from now.
    pub(super) fn start_in_us(&self, class: Class, slots: u32) -> u64 {
        let (held, work_us) = (self.runs.held_at_least(class), self.runs.work_us_at_least(class));
        admission::start_in_us(self.slots, slots, held, work_us)
    }
}
