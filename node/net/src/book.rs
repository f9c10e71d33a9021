//! The address book: addresses of peers, and when to dial which. Pure: the driver passes the time, dials what is due
//! and reports the result. Being in the book does not mean that a peer is admitted.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::time::Instant;
use weft_core::PeerId;

use crate::places::{Places, Source};

/// Most peers in the book; beyond it the least useful unconnected one is removed.
const PEERS_MAX: usize = 512;
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Peers that never came up, or not for a long time, are dialled this often.
const BACKOFF_COLD: Duration = Duration::from_secs(60);
/// Failures after which a peer that never came up counts as cold (about a minute), and one that did (about ten
/// minutes).
const FAILURES_STRANGER: u32 = 10;
const FAILURES_MEMBER: u32 = 60;
/// An address at which this node's own identity was announced is probed this often; at most `PROBES_MAX` are kept.
const PROBE_EVERY: Duration = Duration::from_secs(60);
const PROBES_MAX: usize = 16;
/// The node with the larger id waits this long, so that the other dials first.
const COURTESY: Duration = Duration::from_secs(1);

/// The address book of one node.
pub(crate) struct Book {
    me: PeerId,
    /// This node's own addresses, and those that lead to it.
    own: Vec<Multiaddr>,
    peers: BTreeMap<PeerId, Entry>,
    /// Configured addresses: dialled for ever, whichever peer is there.
    targets: Vec<Target>,
    /// Addresses at which this node's own identity was announced, and when each was last probed.
    probes: Vec<(Multiaddr, Option<Instant>)>,
    /// Number of links that came up, so that the latest peers are saved first.
    ups: u64,
}

struct Entry {
    places: Places,
    connected: bool,
    try_: Try,
    /// Number of its last link; 0 if it never had one.
    up: u64,
}

struct Target {
    address: Multiaddr,
    /// The last peer at this address.
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
    /// Any peer at this address.
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
        // Interfaces are few; bounded nevertheless.
        if self.own.len() < 64 && !self.own.contains(&address) {
            self.own.push(address);
        }
    }

    /// An address is not this node's own any more: another node may get it.
    pub(crate) fn is_own_no_more(&mut self, address: &Multiaddr) {
        let address = bare(address);
        self.own.retain(|known| *known != address);
        for target in self.targets.iter_mut().filter(|target| bare(&target.address) == address) {
            target.own = false;
        }
    }

    /// Adds an address of a peer, from this source.
    pub(crate) fn learn(&mut self, peer: PeerId, address: &Multiaddr, source: Source, now: Instant) {
        let address = bare(address);
        if peer == self.me || self.own.contains(&address) || !self.has_room_for(peer) {
            return;
        }
        let at = now + if self.me < peer { Duration::ZERO } else { COURTESY };
        let new = || Entry { places: Places::default(), connected: false, try_: Try::new(at), up: 0 };
        let entry = self.peers.entry(peer).or_insert_with(new);
        if entry.places.learn(address, source, now) {
            // A new address of a peer in backoff is a reason to dial at once.
            entry.try_.at = entry.try_.at.min(at);
        }
    }

    /// This node's own identity was announced at this address. If another process has it, both nodes report it when
    /// they connect.
    pub(crate) fn probe(&mut self, address: &Multiaddr, now: Instant) {
        let address = bare(address);
        self.probes.retain(|(_, at)| at.is_none_or(|at| now - at < PROBE_EVERY));
        let known = self.own.contains(&address) || self.probes.iter().any(|(probed, _)| *probed == address);
        if !known && self.probes.len() < PROBES_MAX {
            self.probes.push((address, None));
        }
    }

    /// Replaces the addresses that a peer told about itself. Addresses from other sources are kept.
    pub(crate) fn replace(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.places.forget_told();
        }
        for address in addresses.iter().rev() {
            self.learn(peer, address, Source::Itself, now);
        }
    }

    /// Removes multicast addresses that were not repeated for long, of peers that were never connected.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.peers.retain(|_, entry| {
            if entry.connected || entry.up > 0 || entry.try_.dialing {
                return true;
            }
            entry.places.expire(now);
            !entry.places.is_empty()
        });
    }

    /// Adds a peer of the last run; called with the latest peer last and its best address first.
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

    /// Addresses of former members, and the configured addresses.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Multiaddr> {
        let members = self.peers.values().filter(|entry| entry.up > 0);
        let targets = self.targets.iter().map(|target| &target.address);
        members.flat_map(|entry| entry.places.iter()).chain(targets)
    }

    /// Dials that are due; each counts as in progress until its result is reported.
    pub(crate) fn due(&mut self, now: Instant, max: usize) -> Vec<Dial> {
        let mut dials = Vec::new();
        // Configured addresses first: unverified addresses must not crowd them out.
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
        // Then former members: outsiders control the number and ids of unverified peers.
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
                dials.push(Dial::Peer(*peer, entry.places.to_dial(entry.try_.failures)));
            }
        }
        dials
    }

    /// Reports the result of a dial; [`Book::connected`] reports successful ones as well.
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

    /// A peer is connected; `address` is the dialled address, if it was dialled.
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

    /// A configured address was dialled and led to this peer.
    pub(crate) fn reached(&mut self, target: &Multiaddr, peer: PeerId) {
        for known in self.targets.iter_mut().filter(|known| known.address == *target) {
            known.peer = Some(peer);
        }
    }

    /// The framed stream to a peer is up.
    pub(crate) fn up(&mut self, peer: PeerId, now: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            self.ups += 1;
            entry.up = self.ups;
            entry.try_ = Try::new(now);
        }
    }

    /// A peer is not connected any more; it is dialled again after a moment.
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

    /// Removes an address of a peer: another node is there.
    pub(crate) fn forget_address(&mut self, peer: PeerId, address: &Multiaddr) {
        let address = bare(address);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.places.forget(&address);
        }
    }

    /// Removes a peer that is not connected; returns whether it was there.
    pub(crate) fn forget(&mut self, peer: PeerId) -> bool {
        let gone = self.peers.get(&peer).is_some_and(|entry| !entry.connected);
        gone && self.peers.remove(&peer).is_some()
    }

    /// Addresses of a peer, the best first.
    pub(crate) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        self.peers.get(&peer).map_or_else(Vec::new, |entry| entry.places.all())
    }

    /// At most `max` peers to save, the latest link first.
    pub(crate) fn memorable(&self, max: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut known: Vec<_> =
            self.peers.iter().filter(|(_, entry)| entry.up > 0 && !entry.places.is_empty()).collect();
        known.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.up));
        known.into_iter().take(max).map(|(peer, entry)| (*peer, entry.places.all())).collect()
    }

    /// Whether the peer is in the book or can be added, perhaps after removing another one.
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
