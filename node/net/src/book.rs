//! Who is where, and whom to dial when. Pure: the driver hands in the time, dials what is due and reports back.
//! An address book only: that a peer is in it says nothing about whether it may come in.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::time::Instant;
use weft_core::PeerId;

use crate::places::{Places, Source};

/// Peers in the book; beyond it the most useless unconnected one makes room.
const PEERS_MAX: usize = 512;
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Peers that never came up, or not for a long time, are tried this often.
const BACKOFF_COLD: Duration = Duration::from_secs(60);
/// Failures until a peer that never came up is cold, and one that did: about a minute and about ten.
const FAILURES_STRANGER: u32 = 10;
const FAILURES_MEMBER: u32 = 60;
/// An address where this node's own identity was announced is looked at this often, and so many of them at once.
const PROBE_EVERY: Duration = Duration::from_secs(60);
const PROBES_MAX: usize = 16;
/// The larger of two ids lets the smaller dial first.
const COURTESY: Duration = Duration::from_secs(1);

/// The address book of one node.
pub(crate) struct Book {
    me: PeerId,
    /// Addresses that are this node's own, or lead to it.
    own: Vec<Multiaddr>,
    peers: BTreeMap<PeerId, Entry>,
    /// Configured addresses: dialled for ever, whoever is there.
    targets: Vec<Target>,
    /// Where this node's own identity was announced, and when it was looked for there.
    probes: Vec<(Multiaddr, Option<Instant>)>,
    /// Counts ups, so that the latest are remembered first.
    ups: u64,
}

struct Entry {
    places: Places,
    connected: bool,
    try_: Try,
    /// Number of its last up; 0 when it never was.
    up: u64,
}

struct Target {
    address: Multiaddr,
    /// Who was there last.
    peer: Option<PeerId>,
    try_: Try,
    /// It leads to this node itself.
    own: bool,
}

struct Try {
    at: Instant,
    failures: u32,
    dialing: bool,
}

/// What to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dial {
    /// This peer, at any of these addresses.
    Peer(PeerId, Vec<Multiaddr>),
    /// Whoever is there.
    Target(Multiaddr),
}

impl Try {
    fn new(at: Instant) -> Self {
        Self { at, failures: 0, dialing: false }
    }

    fn due(&self, now: Instant) -> bool {
        !self.dialing && self.at <= now
    }

    fn failed(&mut self, now: Instant, cold_after: u32) {
        let doubled = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10));
        let pause = if self.failures >= cold_after { BACKOFF_COLD } else { doubled.min(BACKOFF_MAX) };
        *self = Self { at: now + pause, failures: self.failures + 1, dialing: false };
    }
}

impl Book {
    pub(crate) fn new(me: PeerId, targets: Vec<Multiaddr>, now: Instant) -> Self {
        let target = |address| Target { address, peer: None, try_: Try::new(now), own: false };
        let targets = targets.into_iter().map(target).collect();
        Self { me, own: Vec::new(), peers: BTreeMap::new(), targets, probes: Vec::new(), ups: 0 }
    }

    /// An address is this node's own.
    pub(crate) fn is_own(&mut self, address: &Multiaddr) {
        let address = bare(address);
        for entry in self.peers.values_mut() {
            entry.places.forget(&address);
        }
        for target in &mut self.targets {
            target.own |= bare(&target.address) == address;
        }
        // Interfaces are few; a bound all the same.
        if self.own.len() < 64 && !self.own.contains(&address) {
            self.own.push(address);
        }
    }

    /// An address was this node's own: it may be somebody else's tomorrow.
    pub(crate) fn is_own_no_more(&mut self, address: &Multiaddr) {
        let address = bare(address);
        self.own.retain(|known| *known != address);
        for target in self.targets.iter_mut().filter(|target| bare(&target.address) == address) {
            target.own = false;
        }
    }

    /// A peer can be found there, by what this source says.
    pub(crate) fn learn(&mut self, peer: PeerId, address: &Multiaddr, source: Source, now: Instant) {
        let address = bare(address);
        if peer == self.me || self.own.contains(&address) || !self.has_room_for(peer) {
            return;
        }
        let at = now + if self.me < peer { Duration::ZERO } else { COURTESY };
        let new = || Entry { places: Places::default(), connected: false, try_: Try::new(at), up: 0 };
        let entry = self.peers.entry(peer).or_insert_with(new);
        if entry.places.learn(address, source, now) {
            // News about a peer that was given up is a reason to try at once.
            entry.try_.at = entry.try_.at.min(at);
        }
    }

    /// This node's own identity is said to be there. If that is another process, both are told when they meet.
    pub(crate) fn probe(&mut self, address: &Multiaddr, now: Instant) {
        let address = bare(address);
        self.probes.retain(|(_, at)| at.is_none_or(|at| now - at < PROBE_EVERY));
        let known = self.own.contains(&address) || self.probes.iter().any(|(probed, _)| *probed == address);
        if !known && self.probes.len() < PROBES_MAX {
            self.probes.push((address, None));
        }
    }

    /// A peer says where it is itself: what it said before is old. What others know stays: they reach it there.
    pub(crate) fn replace(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.places.forget_told();
        }
        for address in addresses.iter().rev() {
            self.learn(peer, address, Source::Itself, now);
        }
    }

    /// Forgets what multicast has not repeated for long, about peers that were only heard of.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.peers.retain(|_, entry| {
            if entry.connected || entry.up > 0 || entry.try_.dialing {
                return true;
            }
            entry.places.expire(now);
            !entry.places.is_empty()
        });
    }

    /// A peer from the last run, the latest first; its best address first.
    pub(crate) fn remember(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        self.replace(peer, addresses, now);
        if let Some(best) = addresses.first() {
            self.learn(peer, best, Source::Proven, now);
        }
        if let Some(entry) = self.peers.get_mut(&peer) {
            self.ups += 1;
            entry.up = self.ups;
        }
    }

    /// Where those are who were members, and the configured addresses.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Multiaddr> {
        let members = self.peers.values().filter(|entry| entry.up > 0);
        let targets = self.targets.iter().map(|target| &target.address);
        members.flat_map(|entry| entry.places.iter()).chain(targets)
    }

    /// What is due now; each counts as being dialled until it is reported back.
    pub(crate) fn due(&mut self, now: Instant, max: usize) -> Vec<Dial> {
        let mut dials = Vec::new();
        // Configured ones first: nothing that is only heard of may crowd them out.
        for target in &mut self.targets {
            let entry = target.peer.and_then(|peer| self.peers.get(&peer));
            let there = entry.is_some_and(|entry| entry.connected || entry.try_.dialing);
            if dials.len() < max && !there && !target.own && target.try_.due(now) {
                target.try_.dialing = true;
                dials.push(Dial::Target(target.address.clone()));
            }
        }
        for (address, at) in self.probes.iter_mut().filter(|(_, at)| at.is_none()) {
            if dials.len() < max {
                *at = Some(now);
                dials.push(Dial::Target(address.clone()));
            }
        }
        // Then those that were members already: outsiders decide how many are only heard of, and what they are called.
        let mut peers: Vec<_> = self.peers.iter_mut().collect();
        peers.sort_by_key(|(_, entry)| (entry.up == 0, entry.try_.at));
        for (peer, entry) in peers {
            let asked = self.targets.iter().any(|t| t.peer == Some(*peer) && t.try_.dialing);
            if dials.len() < max
                && !asked
                && !entry.connected
                && entry.try_.due(now)
                && !entry.places.is_empty()
            {
                entry.try_.dialing = true;
                dials.push(Dial::Peer(*peer, entry.places.all()));
            }
        }
        dials
    }

    /// A dial ended, well or not; `connected` says more about the well ones.
    pub(crate) fn dialled(&mut self, dial: &Dial, well: bool, now: Instant) {
        let (attempt, cold_after) = match dial {
            Dial::Peer(peer, _) => {
                let Some(entry) = self.peers.get_mut(peer) else { return };
                let cold = if entry.up > 0 { FAILURES_MEMBER } else { FAILURES_STRANGER };
                (&mut entry.try_, cold)
            }
            Dial::Target(address) => {
                let Some(target) = self.targets.iter_mut().find(|t| t.address == *address) else { return };
                (&mut target.try_, u32::MAX)
            }
        };
        if well {
            *attempt = Try::new(now);
        } else {
            attempt.failed(now, cold_after);
        }
    }

    /// A peer is connected; `address` is where it was dialled, if it was.
    pub(crate) fn connected(&mut self, peer: PeerId, address: Option<&Multiaddr>, now: Instant) {
        if let Some(address) = address {
            self.learn(peer, address, Source::Proven, now);
            for target in self.targets.iter_mut().filter(|t| bare(&t.address) == bare(address)) {
                target.peer = Some(peer);
            }
        }
        if !self.has_room_for(peer) {
            return;
        }
        let new = || Entry { places: Places::default(), connected: true, try_: Try::new(now), up: 0 };
        self.peers.entry(peer).or_insert_with(new).connected = true;
    }

    /// A configured address was dialled, and this peer is there.
    pub(crate) fn reached(&mut self, target: &Multiaddr, peer: PeerId) {
        for known in self.targets.iter_mut().filter(|known| known.address == *target) {
            known.peer = Some(peer);
        }
    }

    /// The framed stream to a peer stands.
    pub(crate) fn up(&mut self, peer: PeerId, now: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            self.ups += 1;
            entry.up = self.ups;
            entry.try_ = Try::new(now);
        }
    }

    /// A peer is no longer connected; it is dialled again after a moment.
    pub(crate) fn disconnected(&mut self, peer: PeerId, now: Instant) {
        let courtesy = if self.me < peer { Duration::ZERO } else { COURTESY };
        let at = now + BACKOFF_MIN + courtesy;
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.connected = false;
            entry.try_.at = entry.try_.at.max(at);
        }
        for target in self.targets.iter_mut().filter(|t| t.peer == Some(peer)) {
            target.try_.at = target.try_.at.max(at);
        }
    }

    /// Somebody else is there, or nobody of this mesh.
    pub(crate) fn forget_address(&mut self, peer: PeerId, address: &Multiaddr) {
        let address = bare(address);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.places.forget(&address);
        }
    }

    /// Forgets a peer that is not connected. Whether there was one.
    pub(crate) fn forget(&mut self, peer: PeerId) -> bool {
        let gone = self.peers.get(&peer).is_some_and(|entry| !entry.connected);
        gone && self.peers.remove(&peer).is_some()
    }

    /// Where a peer is, the best address first.
    pub(crate) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        self.peers.get(&peer).map_or_else(Vec::new, |entry| entry.places.all())
    }

    /// Peers worth remembering, the latest up first, at most `max`.
    pub(crate) fn memorable(&self, max: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut known: Vec<_> =
            self.peers.iter().filter(|(_, entry)| entry.up > 0 && !entry.places.is_empty()).collect();
        known.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.up));
        known.into_iter().take(max).map(|(peer, entry)| (*peer, entry.places.all())).collect()
    }

    /// Whether the peer is in the book or there is room, made if need be.
    fn has_room_for(&mut self, peer: PeerId) -> bool {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer) {
            return true;
        }
        let useless = self.peers.iter().filter(|(_, entry)| !entry.connected && entry.try_.failures > 0);
        let Some(victim) = useless.max_by_key(|(_, e)| (e.up == 0, e.try_.failures)).map(|(peer, _)| *peer)
        else {
            return false;
        };
        self.peers.remove(&victim);
        true
    }
}

/// The address without the peer's name behind it.
pub(crate) fn bare(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

#[cfg(test)]
mod tests;
