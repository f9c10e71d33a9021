//! What a node announces about itself, and when: soon after a change, otherwise at a slow heartbeat. In a mesh of cells
//! it announces less often.

use alloc::string::String;

use super::Engine;
use crate::effect::Effect;
use crate::message::{Capacity, Gossip};
use crate::policy::Owners;
use crate::time::Time;

/// Bytes of labels beyond which a gossip has no room for the owners that a node names.
const LABELS_BYTES_MAX: usize = 2048;

impl Engine {
    /// Announces the capacity, if it changed or the heartbeat is due.
    pub(super) fn announce(&mut self) {
        if !self.members.any_connected() || self.now < self.announce_at() {
            return;
        }
        self.announce_soon = false;
        self.checked_at = self.now;
        if self.news() == self.announced && self.now < self.heartbeat() {
            return;
        }
        self.announced = self.capacity();
        self.announced_at = self.now;
        self.out.emit(Effect::Publish(Gossip::Capacity(self.announced.clone())));
    }

    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            boot: self.node.boot,
            seq: self.now.0.max(self.announced.seq + 1),
            name: self.node.name.clone(),
            slots: self.node.slots,
            free: self.node.slots.saturating_sub(self.worker.held_slots()),
            memory_bytes: self.worker.memory_bytes(),
            labels: self.worker.labels().to_vec(),
            backlog: self.owner.backlog(),
            draining: self.worker.is_draining(),
            class_min: self.node.class_min,
            owners: self.owners_told(),
            // A node whose disk is full or failed keeps no further job.
            disk: if self.owner.refuses_to_keep().is_none() { self.node.disk } else { 0 },
        }
    }

    /// Owners whose tasks it takes, unless its labels leave too little room in a gossip to name them. Then an owner
    /// that it refuses learns it from the decline.
    fn owners_told(&self) -> Owners {
        let length = |(name, value): &(String, String)| name.len() + value.len();
        let labels: usize = self.worker.labels().iter().map(length).sum();
        if labels > LABELS_BYTES_MAX { Owners::All } else { self.node.owners.clone() }
    }

    /// The capacity to announce now. In a mesh of cells no node plans by free slots and backlog, so a change of those
    /// alone is not announced.
    fn news(&self) -> Capacity {
        let told = Capacity { seq: self.announced.seq, ..self.capacity() };
        if self.members.cells().on() && self.announced.boot == told.boot {
            Capacity { free: self.announced.free, backlog: self.announced.backlog, ..told }
        } else {
            told
        }
    }

    /// When to check for changes: rarely enough that announcing every change is cheap.
    pub(super) fn announce_at(&self) -> Time {
        let look = self.checked_at.plus_ms(self.mesh.capacity_min_ms);
        if self.announce_soon { look.min(self.heartbeat()) } else { self.heartbeat() }
    }

    /// When capacity is announced again without a change: less often in a mesh of cells.
    fn heartbeat(&self) -> Time {
        let cells = self.members.cells().on();
        self.announced_at.plus_ms(if cells { self.mesh.cell_tell_ms } else { self.mesh.capacity_ms })
    }
}
