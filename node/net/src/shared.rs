//! State that the handle, the driver and the transfers share: linked peers, listen addresses, counters of losses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::Multiaddr;
use weft_core::PeerId;

use crate::outbox::Outbox;

#[derive(Default)]
pub(crate) struct Shared {
    links: Mutex<BTreeMap<PeerId, Linked>>,
    listening: Mutex<Vec<String>>,
    /// All listen addresses, also those that most nodes can't use.
    listening_all: Mutex<Vec<Multiaddr>>,
    dropped: AtomicU64,
    unknown: AtomicU64,
}

/// A peer that messages can be sent to.
struct Linked {
    outbox: Arc<Outbox>,
    /// The version that is spoken with it.
    version: u8,
}

impl Shared {
    /// Queues an encoded frame for a peer; counted as dropped if it can't be queued, and as unknown if that peer does not
    /// know what came in version `since`.
    pub(crate) fn send(&self, to: PeerId, since: u8, frame: Vec<u8>) {
        let links = lock(&self.links);
        let linked = links.get(&to);
        if linked.is_some_and(|linked| linked.version < since) {
            self.count_unknown();
        } else if !linked.is_some_and(|linked| linked.outbox.push(frame)) {
            self.count_dropped();
        }
    }

    /// The outboxes of these peers, of those that are linked.
    pub(crate) fn outboxes(&self, peers: &[PeerId]) -> Vec<Arc<Outbox>> {
        let links = lock(&self.links);
        peers.iter().filter_map(|peer| links.get(peer).map(|linked| Arc::clone(&linked.outbox))).collect()
    }

    pub(crate) fn link(&self, peer: PeerId, outbox: Arc<Outbox>, version: u8) {
        lock(&self.links).insert(peer, Linked { outbox, version });
    }

    pub(crate) fn unlink(&self, peer: PeerId) {
        lock(&self.links).remove(&peer);
    }

    pub(crate) fn unlink_all(&self) {
        lock(&self.links).clear();
    }

    pub(crate) fn is_linked(&self, peer: PeerId) -> bool {
        lock(&self.links).contains_key(&peer)
    }

    pub(crate) fn linked(&self) -> Vec<PeerId> {
        lock(&self.links).keys().copied().collect()
    }

    pub(crate) fn listening(&self) -> Vec<String> {
        lock(&self.listening).clone()
    }

    pub(crate) fn listening_all(&self) -> Vec<Multiaddr> {
        lock(&self.listening_all).clone()
    }

    pub(crate) fn set_listening_all(&self, addresses: Vec<Multiaddr>) {
        *lock(&self.listening_all) = addresses;
    }

    pub(crate) fn set_listening(&self, addresses: Vec<String>) {
        *lock(&self.listening) = addresses;
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
