//! What this node is and accepts: its slots, memory, labels, lowest class and owners, and whether it accepts work at
//! all. Independent of what is promised or held.

use alloc::string::String;
use alloc::vec::Vec;

use crate::config::NodeConfig;
use crate::ctx::Ctx;
use crate::id::{CallId, PeerId};
use crate::message::{Class, Decline, Message, NODE_LABEL, Reason};
use crate::policy::bounds::Bounds;
use crate::policy::{Owners, fit, never};
use crate::time::Time;

/// Why tasks are returned to their owner without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// They were not accepted, were accepted on a wrong estimate, or their owner counted as gone.
    Refused,
    /// This node takes no work any more.
    Drains,
}

/// Why a call is declined, and whether the reason lasts.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) is_permanent: bool,
}

impl Refusal {
    /// A reason that passes.
    pub(super) fn for_now(reason: Reason) -> Self {
        Self { reason, is_permanent: false }
    }

    /// A reason that stays while node and task stay as they are.
    fn for_good(reason: Reason) -> Self {
        Self { reason, is_permanent: true }
    }

    /// Why tasks are returned that came without a call.
    pub(super) fn returns(&self) -> Returned {
        if self.reason == Reason::Draining { Returned::Drains } else { Returned::Refused }
    }

    /// Declines a call for this reason.
    pub(super) fn tell(self, ctx: &mut Ctx<'_>, owner: PeerId, call: CallId) {
        let Self { reason, is_permanent } = self;
        ctx.counters.declines += 1;
        ctx.send(owner, Message::Decline(Decline { call, reason, is_permanent }));
    }
}

/// This node as a worker.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) me: PeerId,
    pub(super) slots: u32,
    /// Memory that one task may have, in bytes.
    pub(super) memory_bytes: u64,
    /// What it keeps at most.
    pub(super) bounds: Bounds,
    pub(super) labels: Vec<(String, String)>,
    /// The lowest class that it takes.
    pub(super) class_min: Class,
    /// The owners whose tasks it takes, besides its own.
    pub(super) owners: Owners,
    pub(super) draining: bool,
    /// Until when it promises nothing, because its disk had no room for a blob that a task needs.
    pub(super) disk_full_until: Option<Time>,
}

impl Identity {
    pub(super) fn new(me: PeerId, node: &NodeConfig) -> Self {
        let mut labels = node.labels.clone();
        labels.push((String::from(NODE_LABEL), alloc::format!("{me}")));
        Self {
            me,
            slots: node.slots,
            memory_bytes: node.memory_bytes,
            bounds: Bounds { module_bytes: node.module_bytes, store_bytes: node.store_bytes },
            labels,
            class_min: node.class_min,
            owners: node.owners.clone(),
            draining: false,
            disk_full_until: None,
        }
    }

    /// Whether it accepts work at all.
    pub(super) fn takes_work(&self) -> bool {
        !self.draining && self.disk_full_until.is_none()
    }

    /// Why this node can't run such a task; `None` if it can.
    pub(super) fn inability(&self, task: fit::Task<'_>) -> Option<Refusal> {
        if self.draining {
            return Some(Refusal::for_now(Reason::Draining));
        }
        if self.disk_full_until.is_some() {
            return Some(Refusal::for_now(Reason::NoRoom));
        }
        if let Some(reason) = never::never(task.program, task.needs) {
            return Some(Refusal::for_good(reason));
        }
        if let Some(reason) = self.bounds.excess(task.program) {
            return Some(Refusal::for_good(reason));
        }
        fit::unfit(self.as_node(), task).map(Refusal::for_good)
    }

    /// This node as [`fit`] compares it with a task.
    pub(super) fn as_node(&self) -> fit::Node<'_> {
        fit::Node {
            id: self.me,
            labels: &self.labels,
            memory_bytes: self.memory_bytes,
            slots: self.slots,
            class_min: self.class_min,
            owners: &self.owners,
        }
    }
}
