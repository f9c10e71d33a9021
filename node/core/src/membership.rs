//! Who is here and what they told about themselves. Soft state: it says whom to ask, never who got what.

use alloc::collections::BTreeMap;

use crate::config::MeshConfig;
use crate::id::PeerId;
use crate::input::Submission;
use crate::message::{Capacity, Needs, Reason};
use crate::policy::fit;
use crate::time::Time;

/// Peers remembered, connected or not; beyond it the longest disconnected is forgotten, and a connected one ignored.
pub(crate) const PEERS_MAX: usize = 4096;
/// Labels that a peer may tell.
const LABELS_MAX: usize = 32;

/// One peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) connected: bool,
    pub(crate) boot: u64,
    pub(crate) rtt_us: u32,
    pub(crate) capacity: Capacity,
    /// When the capacity came; `None` before the first.
    pub(crate) told_at: Option<Time>,
    pub(crate) changed_at: Time,
    pub(crate) done: u64,
    pub(crate) lost: u64,
}

/// What a connection's start says about the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Never seen, or back with its memory intact.
    Same,
    /// It was restarted since it was last here, and knows nothing of what it held.
    Restarted,
    /// No room to remember it.
    Ignored,
}

/// All peers.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    peers: BTreeMap<PeerId, Peer>,
    /// How many of them are connected.
    connected: usize,
}

impl Membership {
    pub(crate) fn on_up(&mut self, peer: PeerId, boot: u64, now: Time) -> Arrival {
        if !self.make_room(peer) {
            return Arrival::Ignored;
        }
        let entry = self.peers.entry(peer).or_default();
        let restarted = entry.boot != 0 && entry.boot != boot;
        if restarted {
            entry.told_at = None;
        }
        self.connected += usize::from(!entry.connected);
        entry.connected = true;
        entry.boot = boot;
        entry.changed_at = now;
        if restarted { Arrival::Restarted } else { Arrival::Same }
    }

    pub(crate) fn on_down(&mut self, peer: PeerId, now: Time) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            self.connected -= usize::from(entry.connected);
            entry.connected = false;
            entry.changed_at = now;
        }
    }

    pub(crate) fn on_rtt(&mut self, peer: PeerId, rtt_us: u32) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.rtt_us = rtt_us;
        }
    }

    /// Takes what a peer tells about itself, unless it is older than what is known or beyond its bounds.
    pub(crate) fn on_capacity(&mut self, peer: PeerId, capacity: Capacity, now: Time) -> bool {
        if capacity.labels.len() > LABELS_MAX || capacity.name.len() > 64 || !self.make_room(peer) {
            return false;
        }
        let entry = self.peers.entry(peer).or_default();
        let newer = entry.told_at.is_none()
            || entry.capacity.boot != capacity.boot
            || entry.capacity.seq < capacity.seq;
        if newer {
            entry.capacity = capacity;
            entry.told_at = Some(now);
        }
        newer
    }

    pub(crate) fn rtt_us(&self, peer: PeerId) -> u32 {
        self.peers.get(&peer).map_or(0, |entry| entry.rtt_us)
    }

    /// The round trip to a connected peer, in microseconds, and what memory it gives to one task, in bytes, by what it
    /// told; all there is until it did.
    pub(crate) fn means(&self, peer: PeerId) -> Option<(u32, u64)> {
        let entry = self.peers.get(&peer).filter(|entry| entry.connected)?;
        let memory_bytes = if entry.told_at.is_some() { entry.capacity.memory_bytes } else { u64::MAX };
        Some((entry.rtt_us, memory_bytes))
    }

    /// Tasks that wait with a peer, by what it told less than three intervals ago.
    pub(crate) fn backlog(&self, peer: PeerId, now: Time, mesh: &MeshConfig) -> u32 {
        let fresh = |at: Time| now.since_us(at) <= 3000 * mesh.capacity_ms;
        let told = self.peers.get(&peer).filter(|entry| entry.told_at.is_some_and(fresh));
        told.map_or(0, |entry| entry.capacity.backlog)
    }

    /// Whether a peer has these labels, by what it told; true until it did.
    pub(crate) fn fits(&self, peer: PeerId, needs: &Needs) -> bool {
        let told = self.peers.get(&peer).filter(|entry| entry.told_at.is_some());
        told.is_none_or(|entry| needs.labels.iter().all(|wanted| entry.capacity.labels.contains(wanted)))
    }

    pub(crate) fn is_connected(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|entry| entry.connected)
    }

    pub(crate) fn any_connected(&self) -> bool {
        self.connected > 0
    }

    /// How many can be spoken to now.
    pub(crate) fn count_connected(&self) -> usize {
        self.connected
    }

    pub(crate) fn connected(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.iter().filter(|(_, peer)| peer.connected)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    pub(crate) fn count_done(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.done += 1;
        }
    }

    pub(crate) fn count_lost(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.lost += 1;
        }
    }

    /// Why a peer need not be asked, by what it told less than three intervals ago; `None` if it should be.
    pub(crate) fn unfit(peer: &Peer, what: &Submission, now: Time, mesh: &MeshConfig) -> Option<Reason> {
        let told_at = peer.told_at?;
        if now.since_us(told_at) > 3000 * mesh.capacity_ms {
            return None;
        }
        let told = &peer.capacity;
        if told.draining {
            return Some(Reason::Draining);
        }
        let node = fit::Node { labels: &told.labels, memory_bytes: told.memory_bytes, class_min: None };
        fit::unfit(node, &what.needs, &what.program, what.class)
    }

    fn make_room(&mut self, peer: PeerId) -> bool {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer) {
            return true;
        }
        let gone = self.peers.iter().filter(|(_, entry)| !entry.connected);
        let oldest = gone.min_by_key(|(_, entry)| entry.changed_at).map(|(id, _)| *id);
        oldest.is_some_and(|id| self.peers.remove(&id).is_some())
    }
}
