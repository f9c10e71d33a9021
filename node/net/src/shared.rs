//! State that the handle, the driver and the transfers share: linked peers, listen addresses, counters of losses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::Multiaddr;
use weft_core::PeerId;

use crate::outbox::Outbox;

#[derive(Default)]
pub(crate) struct Shared {
    links: Mutex<BTreeMap<PeerId, Arc<Outbox>>>,
    listening: Mutex<Vec<String>>,
    /// All listen addresses, also those that most nodes can't use.
    listening_all: Mutex<Vec<Multiaddr>>,
    dropped: AtomicU64,
}

impl Shared {
    /// Queues an encoded frame for a peer; counted as dropped if it can't be queued.
    pub(crate) fn send(&self, to: PeerId, frame: Vec<u8>) {
        let sent = lock(&self.links).get(&to).is_some_and(|outbox| outbox.push(frame));
        if !sent {
            self.count_dropped();
        }
    }

    /// The outboxes of these peers, of those that are linked.
    pub(crate) fn outboxes(&self, peers: &[PeerId]) -> Vec<Arc<Outbox>> {
        let links = lock(&self.links);
        peers.iter().filter_map(|peer| links.get(peer).cloned()).collect()
    }

    pub(crate) fn link(&self, peer: PeerId, outbox: Arc<Outbox>) {
        lock(&self.links).insert(peer, outbox);
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

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
