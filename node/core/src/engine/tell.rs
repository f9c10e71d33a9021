//! What a node tells everybody about itself, and when: at once what changed, otherwise now and then; in a mesh of cells
//! more seldom.

use super::Engine;
use crate::effect::Effect;
use crate::message::{Capacity, Gossip};
use crate::time::Time;

impl Engine {
    /// Tells the mesh what is free, when it changed by enough or at the slow heartbeat.
    pub(super) fn announce(&mut self) {
        if !self.members.any_connected() {
            return;
        }
        self.announce_soon = self.news() != self.announced;
        if self.now < self.announce_at() {
            return;
        }
        self.announced = self.capacity();
        self.announced_at = self.now;
        self.announce_soon = false;
        self.effects.push(Effect::Publish(Gossip::Capacity(self.announced.clone())));
    }

    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            boot: self.node.boot,
            seq: self.now.0.max(self.announced.seq + 1),
            name: self.node.name.clone(),
            slots: self.node.slots,
            free: self.node.slots.saturating_sub(self.worker.held()),
            memory_bytes: self.worker.memory_bytes(),
            labels: self.worker.labels().to_vec(),
            backlog: self.owner.backlog(),
            draining: self.worker.is_draining(),
        }
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

    /// When capacity is told next: soon if it changed, and in a mesh of cells more seldom if it did not.
    pub(super) fn announce_at(&self) -> Time {
        let seldom_ms =
            if self.members.cells().on() { self.mesh.cell_tell_ms } else { self.mesh.capacity_ms };
        let wait_ms = if self.announce_soon { self.mesh.capacity_min_ms } else { seldom_ms };
        self.announced_at.plus_ms(wait_ms)
    }
}
