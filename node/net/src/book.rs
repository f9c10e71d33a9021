//! Who is where, and whom to dial when. Pure: the driver hands in the time, dials what is due and reports back.
//! An address book only: that a peer is in it says nothing about whether it may come in.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::time::Instant;
use weft_core::PeerId;

/// Peers in the book; beyond it the most useless unconnected one makes room.
const PEERS_MAX: usize = 512;
/// Addresses of one peer; beyond it the oldest is dropped.
pub(crate) const ADDRESSES_MAX: usize = 8;
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Peers that never came up, or not for a long time, are tried this often.
const BACKOFF_COLD: Duration = Duration::from_secs(60);
/// Failures until a peer that never came up is cold, and one that did: about a minute and about ten.
const FAILURES_STRANGER: u32 = 10;
const FAILURES_MEMBER: u32 = 60;
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
    /// Counts ups, so that the latest are remembered first.
    ups: u64,
}

struct Entry {
    /// Best first.
    addresses: Vec<Multiaddr>,
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
        Self { me, own: Vec::new(), peers: BTreeMap::new(), targets, ups: 0 }
    }

    /// An address is this node's own.
    pub(crate) fn is_own(&mut self, address: &Multiaddr) {
        let address = bare(address);
        for entry in self.peers.values_mut() {
            entry.addresses.retain(|known| *known != address);
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

    /// Somebody says that a peer is there.
    pub(crate) fn learn(&mut self, peer: PeerId, address: &Multiaddr, now: Instant) {
        let address = bare(address);
        if peer == self.me || self.own.contains(&address) || !self.has_room_for(peer) {
            return;
        }
        let at = now + if self.me < peer { Duration::ZERO } else { COURTESY };
        let new = || Entry { addresses: Vec::new(), connected: false, try_: Try::new(at), up: 0 };
        let entry = self.peers.entry(peer).or_insert_with(new);
        if entry.addresses.contains(&address) {
            return;
        }
        entry.addresses.insert(0, address);
        entry.addresses.truncate(ADDRESSES_MAX);
        // News about a peer that was given up is a reason to try at once.
        entry.try_.at = entry.try_.at.min(at);
    }

    /// A peer says where it is itself: what else was known is old.
    pub(crate) fn replace(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.addresses.clear();
        }
        for address in addresses.iter().rev() {
            self.learn(peer, address, now);
        }
    }

    /// An address of a peer that was only heard of is no longer announced.
    pub(crate) fn expire(&mut self, peer: PeerId, address: &Multiaddr) {
        let address = bare(address);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.connected || entry.up > 0 {
            return;
        }
        entry.addresses.retain(|known| *known != address);
        if entry.addresses.is_empty() && !entry.try_.dialing {
            self.peers.remove(&peer);
        }
    }

    /// A peer from the last run, the latest first.
    pub(crate) fn remember(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        self.replace(peer, addresses, now);
        if let Some(entry) = self.peers.get_mut(&peer) {
            self.ups += 1;
            entry.up = self.ups;
        }
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
        // Then those that were members already: outsiders decide how many are only heard of, and what they are called.
        let mut peers: Vec<_> = self.peers.iter_mut().collect();
        peers.sort_by_key(|(_, entry)| (entry.up == 0, entry.try_.at));
        for (peer, entry) in peers {
            let asked = self.targets.iter().any(|t| t.peer == Some(*peer) && t.try_.dialing);
            if dials.len() < max
                && !asked
                && !entry.connected
                && entry.try_.due(now)
                && !entry.addresses.is_empty()
            {
                entry.try_.dialing = true;
                dials.push(Dial::Peer(*peer, entry.addresses.clone()));
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
            self.learn(peer, address, now);
            for target in self.targets.iter_mut().filter(|t| bare(&t.address) == bare(address)) {
                target.peer = Some(peer);
            }
        }
        if !self.has_room_for(peer) {
            return;
        }
        let new = || Entry { addresses: Vec::new(), connected: true, try_: Try::new(now), up: 0 };
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
            entry.addresses.retain(|known| *known != address);
        }
    }

    /// Forgets a peer that is not connected. Whether there was one.
    pub(crate) fn forget(&mut self, peer: PeerId) -> bool {
        let gone = self.peers.get(&peer).is_some_and(|entry| !entry.connected);
        gone && self.peers.remove(&peer).is_some()
    }

    /// Where a peer is.
    pub(crate) fn addresses(&self, peer: PeerId) -> &[Multiaddr] {
        self.peers.get(&peer).map_or(&[], |entry| &entry.addresses)
    }

    /// Peers worth remembering, the latest up first, at most `max`.
    pub(crate) fn memorable(&self, max: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut known: Vec<_> =
            self.peers.iter().filter(|(_, entry)| entry.up > 0 && !entry.addresses.is_empty()).collect();
        known.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.up));
        known.into_iter().take(max).map(|(peer, entry)| (*peer, entry.addresses.clone())).collect()
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
mod tests {
    use super::*;

    const ALICE: PeerId = PeerId([1; 32]);
    const BOB: PeerId = PeerId([2; 32]);

    fn due(book: &mut Book, now: Instant) -> Vec<Dial> {
        book.due(now, usize::MAX)
    }

    fn at(port: u16) -> Multiaddr {
        crate::config::multiaddr_of(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn the_smaller_id_dials_at_once_and_the_larger_waits() {
        let now = Instant::now();
        let mut alice = Book::new(ALICE, vec![], now);
        alice.learn(BOB, &at(1), now);
        assert_eq!(due(&mut alice, now), [Dial::Peer(BOB, vec![at(1)])]);
        let mut bob = Book::new(BOB, vec![], now);
        bob.learn(ALICE, &at(2), now);
        assert_eq!(due(&mut bob, now), []);
        assert_eq!(due(&mut bob, now + COURTESY), [Dial::Peer(ALICE, vec![at(2)])]);
    }

    #[test]
    fn a_configured_address_is_tried_for_ever_with_growing_pauses() {
        let mut now = Instant::now();
        let mut book = Book::new(ALICE, vec![at(1)], now);
        let dial = Dial::Target(at(1));
        let mut pause = Duration::ZERO;
        for _ in 0..100 {
            now += pause;
            assert_eq!(due(&mut book, now), std::slice::from_ref(&dial));
            assert_eq!(due(&mut book, now), [], "one at a time");
            book.dialled(&dial, false, now);
            pause = (pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
            assert_eq!(due(&mut book, now + pause - Duration::from_millis(1)), []);
        }
        assert_eq!(pause, BACKOFF_MAX);
    }

    #[test]
    fn a_configured_address_rests_while_its_peer_is_connected() {
        let now = Instant::now();
        let mut book = Book::new(ALICE, vec![at(1)], now);
        let dials = due(&mut book, now);
        book.dialled(&dials[0], true, now);
        book.connected(BOB, Some(&at(1)), now);
        assert_eq!(due(&mut book, now + BACKOFF_MAX), []);
        book.disconnected(BOB, now);
        assert_eq!(due(&mut book, now), []);
        assert_eq!(due(&mut book, now + BACKOFF_MIN), [Dial::Target(at(1))]);
    }

    #[test]
    fn ones_own_addresses_are_never_dialled() {
        let now = Instant::now();
        let mut book = Book::new(ALICE, vec![at(1)], now);
        book.learn(BOB, &at(1), now);
        book.is_own(&at(1));
        book.learn(BOB, &at(1), now);
        book.learn(ALICE, &at(2), now);
        assert_eq!(due(&mut book, now + BACKOFF_MAX), []);
    }

    #[test]
    fn a_peer_that_is_gone_can_be_forgotten_and_one_that_is_here_cannot() {
        let now = Instant::now();
        let mut book = Book::new(ALICE, vec![], now);
        book.connected(BOB, Some(&at(1)), now);
        book.up(BOB, now);
        assert!(!book.forget(BOB));
        book.disconnected(BOB, now);
        assert!(book.forget(BOB));
        assert_eq!(due(&mut book, now + BACKOFF_MAX), []);
        assert_eq!(book.memorable(10), []);
    }

    #[test]
    fn the_book_is_bounded_and_keeps_whom_it_knows() {
        let now = Instant::now();
        let mut book = Book::new(ALICE, vec![], now);
        book.connected(BOB, Some(&at(1)), now);
        book.up(BOB, now);
        for i in 0..2000u32 {
            let mut name = [9; 32];
            name[..4].copy_from_slice(&i.to_be_bytes());
            book.learn(PeerId(name), &at(2), now);
            for dial in due(&mut book, now) {
                book.dialled(&dial, false, now);
            }
        }
        assert!(book.peers.len() <= PEERS_MAX);
        for port in 0..100 {
            book.learn(BOB, &at(port), now);
        }
        assert_eq!(book.addresses(BOB).len(), ADDRESSES_MAX);
        assert_eq!(book.memorable(10).len(), 1);
    }
    #[test]
    fn a_member_that_went_is_dialled_before_any_number_of_strangers() {
        let now = Instant::now();
        let mut book = Book::new(ALICE, vec![], now);
        book.connected(BOB, Some(&at(1)), now);
        book.up(BOB, now);
        for i in 0..300u32 {
            let mut name = [0; 32];
            name[..4].copy_from_slice(&i.to_be_bytes());
            book.learn(PeerId(name), &at(2), now);
        }
        book.disconnected(BOB, now);
        let later = now + BACKOFF_MAX;
        assert_eq!(book.due(later, 1), [Dial::Peer(BOB, vec![at(1)])]);
    }

    #[test]
    fn an_address_that_is_ones_own_no_more_is_dialled_again() {
        let now = Instant::now();
        let mut book = Book::new(ALICE, vec![at(1)], now);
        book.is_own(&at(1));
        assert_eq!(due(&mut book, now), []);
        book.is_own_no_more(&at(1));
        assert_eq!(due(&mut book, now), [Dial::Target(at(1))]);
    }
}
