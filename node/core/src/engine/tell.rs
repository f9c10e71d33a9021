//! What a node tells everybody about itself, and when: at once what changed, otherwise now and then; in a mesh of cells
//! more seldom.

use alloc::string::String;

use super::Engine;
use crate::effect::Effect;
use crate::message::{Capacity, Gossip};
use crate::policy::Owners;
use crate::time::Time;

/// Labels longer than this leave no room in a gossip for the owners that a node names, in bytes.
const LABELS_BYTES_MAX: usize = 2048;

impl Engine {
    /// Tells the mesh what is free, when it changed by enough or at the slow heartbeat.
    pub(super) fn announce(&mut self) {
        if !self.members.any_connected() || self.now < self.announce_at() {
            return;
        }
        self.announce_soon = false;
        self.looked_at = self.now;
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
        }
    }

    /// Whom it takes tasks of, unless labels leave too little room in a gossip to name them: whoever calls in vain is
    /// told.
    fn owners_told(&self) -> Owners {
        let length = |(name, value): &(String, String)| name.len() + value.len();
        let labels: usize = self.worker.labels().iter().map(length).sum();
        if labels > LABELS_BYTES_MAX { Owners::All } else { self.node.owners.clone() }
    }

    /// What would be told now. In a mesh of cells nobody plans by what is free or waits, so that alone is not news.
    fn news(&self) -> Capacity {
        let told = Capacity { seq: self.announced.seq, ..self.capacity() };
        if self.members.cells().on() && self.announced.boot == told.boot {
            Capacity { free: self.announced.free, backlog: self.announced.backlog, ..told }
        } else {
            told
        }
    }

    /// When to look whether something is to be told: seldom enough that it costs nothing to tell it all.
    pub(super) fn announce_at(&self) -> Time {
        let look = self.looked_at.plus_ms(self.mesh.capacity_min_ms);
        if self.announce_soon { look.min(self.heartbeat()) } else { self.heartbeat() }
    }

    /// When capacity is told again though nothing changed: in a mesh of cells more seldom.
    fn heartbeat(&self) -> Time {
        let cells = self.members.cells().on();
        self.announced_at.plus_ms(if cells { self.mesh.cell_tell_ms } else { self.mesh.capacity_ms })
    }
}
