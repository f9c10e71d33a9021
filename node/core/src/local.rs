//! The credit for short tasks that this node's own worker gives its own owner: one value, made before the owner places
//! tasks, so that the owner never reads the worker's state. Made by `worker/`, used by `owner/`.

use crate::message::Class;
use crate::policy::bounds::Bounds;
use crate::policy::rank::wait_us;
use crate::policy::{fit, never, window};
use crate::submission::Submission;

/// The worker as its own owner sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalCapacity<'a> {
    pub(crate) node: fit::Node<'a>,
    /// Whether it takes new tasks at all: it is not draining, and its disk is not full.
    pub(crate) takes_new: bool,
    /// What it keeps at most.
    pub(crate) bounds: Bounds,
    /// Load for tasks of each class, in the order of [`Class::ALL`].
    pub(crate) classes: [ClassLoad; Class::ALL.len()],
    /// Slots until held and promised tasks of all classes together reach their bound.
    pub(crate) left: u32,
    /// Tasks that were sent to it since this was made.
    pub(crate) sent: u32,
}

/// The load that a short task of one class finds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClassLoad {
    /// Slots without a long task of this class or above.
    pub(crate) slots: u32,
    /// Short tasks of this class or above that are held.
    pub(crate) held: u32,
    /// Whether another owner's call is served before more tasks of this class.
    pub(crate) is_others_turn: bool,
}

impl LocalCapacity<'_> {
    /// Whether it takes tasks of a job now, if it has a slot.
    pub(crate) fn takes(&self, spec: &Submission) -> bool {
        let Submission { needs, program, class, .. } = spec;
        let task = fit::Task { owner: self.node.id, needs, program, class: *class };
        self.takes_new
            && never::never(program, needs).is_none()
            && self.bounds.excess(program).is_none()
            && fit::unfit(self.node, task).is_none()
            && !self.load(*class).is_others_turn
    }

    /// Wait of a short task behind those that were sent, in microseconds; `None` when there is no slot for it.
    pub(crate) fn wait_us(&self, class: Class, service_us: u32) -> Option<u64> {
        let ClassLoad { slots, held, .. } = self.load(class);
        let held = held + self.sent;
        let full = held >= window::slots_to_offer_own(slots, service_us) || self.left <= self.sent;
        if full { None } else { Some(wait_us(u64::from(held), slots, service_us)) }
    }

    /// Counts a task that is sent to it.
    pub(crate) fn take(&mut self) {
        self.sent += 1;
    }

    fn load(&self, class: Class) -> ClassLoad {
        let of_class = self.classes.iter().zip(Class::ALL).find(|(_, of)| *of == class);
        of_class.map(|(load, _)| *load).unwrap_or_default()
    }
}
