//! What this node's own owner is told before it places short tasks: one value, so that it never reads the worker's state.

use super::market::Market;
use crate::local::{ClassLoad, LocalCapacity};
use crate::message::Class;
use crate::time::Time;

impl<'a> Market<'a> {
    /// What this worker takes of its own owner's short tasks now.
    pub(super) fn local_capacity(self, now: Time) -> LocalCapacity<'a> {
        LocalCapacity {
            node: self.identity.as_node(),
            takes_new: self.identity.takes_work(),
            bounds: self.identity.bounds,
            classes: Class::ALL.map(|class| self.class_load(now, class)),
            left: self.room().left_for_own(),
            sent: 0,
        }
    }

    fn class_load(self, now: Time, class: Class) -> ClassLoad {
        let short = self.room().short(class);
        let is_others_turn = self.is_others_turn(now, self.identity.me, class);
        ClassLoad { slots: short.slots, held: short.held, is_others_turn }
    }
}
