//! How many slots a worker may still promise, and to what.

use super::{OpenCall, Worker};
use crate::id::{CallId, PeerId};
use crate::message::Class;
use crate::policy::{wide, window};
use crate::time::Time;

impl Worker {
    /// Slots of everything that is held.
    pub(crate) fn held_slots(&self) -> u32 {
        self.runs.held_slots()
    }

    /// Slots taken by what is in them, or in their own queue, and not paused.
    pub(crate) fn active_slots(&self) -> u32 {
        self.runs.active_slots()
    }

    /// Whether a call that is next and finds too little room keeps others from what becomes free.
    pub(super) fn holds_up(&self, now: Time, (key, open): (&(PeerId, CallId), &OpenCall)) -> bool {
        let narrow = open.call.needs.width() == 1;
        narrow || wide::keeps(self.me, key.1, now.since_us(open.waits_since))
    }

    /// Slots that nobody has because what is paused is too wide to go on: a task of a higher class than that may have
    /// them.
    pub(super) fn gap(&self, class: Class) -> u32 {
        if self.runs.paused_class().is_none_or(|paused| paused >= class) {
            return 0;
        }
        self.slots.saturating_sub(self.runs.unpaused_slots().saturating_add(self.reserved))
    }

    /// Room in slots that a call of that class may have of a window: what is free, unless somebody before it has it,
    /// and what runs there and would be held back for it.
    pub(super) fn room_for(&self, class: Class, free: u32, kept_for: Option<Class>) -> u32 {
        // Who stands behind a wide call must not stop what that waits for.
        let more = if kept_for.is_some_and(|kept| class <= kept) { 0 } else { self.preemptible(class, free) };
        let most = window::offered_max(self.slots);
        (free + more).min(most.saturating_sub(self.held_slots().saturating_add(self.reserved())))
    }
}
