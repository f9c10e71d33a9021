//! What this node's own owner is told before it places short tasks: one value, so that it never reads the worker's state.

use super::Worker;
use crate::local::{ClassLoad, LocalCapacity};
use crate::message::Class;
use crate::policy::window::offered_max;
use crate::time::Time;

impl Worker {
    /// What this worker takes of its own owner's short tasks now.
    pub(crate) fn local_capacity(&self, now: Time) -> LocalCapacity<'_> {
        LocalCapacity {
            node: self.as_node(),
            takes_new: !self.draining && self.no_room_until.is_none(),
            module_bytes: self.module_bytes,
            classes: Class::ALL.map(|class| self.class_load(now, class)),
            promised: self.held_slots.saturating_add(self.reserved()),
            promised_max: offered_max(self.slots),
            sent: 0,
        }
    }

    fn class_load(&self, now: Time, class: Class) -> ClassLoad {
        let (slots, held) = self.short_load(class);
        ClassLoad { slots, held, is_others_turn: self.is_others_turn(now, self.me, class) }
    }
}
