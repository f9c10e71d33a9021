//! What this node's own worker takes of short tasks now: one value, made before the owner is asked to place, so that the
//! owner never reads the worker's state. Made by `worker/`, used by `owner/`.

use crate::input::Submission;
use crate::message::Class;
use crate::policy::rank::wait_us;
use crate::policy::{fit, never, window};

/// The worker as its own owner sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalCapacity<'a> {
    pub(crate) node: fit::Node<'a>,
    /// It takes new tasks at all: it is not draining, and has room for what they need.
    pub(crate) takes_new: bool,
    /// Longest module that it takes, in bytes.
    pub(crate) module_bytes: u64,
    /// For tasks of each class, in the order of [`Class::ALL`].
    pub(crate) classes: [ClassLoad; Class::ALL.len()],
    /// Slots until all that is held and promised, of whatever class, comes to the most that it may.
    pub(crate) left: u32,
    /// Tasks that were sent to it since this was made.
    pub(crate) sent: u32,
}

/// What a short task of one class finds here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClassLoad {
    /// Slots that no long task of this class or above has.
    pub(crate) slots: u32,
    /// Short tasks of this class or above that are held.
    pub(crate) held: u32,
    /// Another owner's call waits whose turn it is before more of this class.
    pub(crate) is_others_turn: bool,
}

impl LocalCapacity<'_> {
    /// Whether it takes tasks of a job now, if it has a slot.
    pub(crate) fn takes(&self, spec: &Submission) -> bool {
        let Submission { needs, program, class, .. } = spec;
        let task = fit::Task { owner: self.node.id, needs, program, class: *class };
        self.takes_new
            && never::never(program, needs).is_none()
            && program.module_bytes <= self.module_bytes
            && fit::unfit(self.node, task).is_none()
            && !self.load(*class).is_others_turn
    }

    /// When a short task would begin here, in microseconds from now, behind those that were sent; `None` when there is no
    /// slot for it.
    pub(crate) fn wait_us(&self, class: Class, service_us: u32) -> Option<u64> {
        let ClassLoad { slots, held, .. } = self.load(class);
        let held = held + self.sent;
        let full = held >= window::slots_to_offer(slots, service_us, 0) || self.left <= self.sent;
        if full { None } else { Some(wait_us(u64::from(held), slots, service_us)) }
    }

    /// A task is sent to it.
    pub(crate) fn take(&mut self) {
        self.sent += 1;
    }

    fn load(&self, class: Class) -> ClassLoad {
        let of_class = self.classes.iter().zip(Class::ALL).find(|(_, of)| *of == class);
        of_class.map(|(load, _)| *load).unwrap_or_default()
    }
}
