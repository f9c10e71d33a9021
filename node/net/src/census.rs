//! The boot nonces of connected processes, and identities that two processes use: shared by admission, which reads the
//! nonces, and the driver, which compares them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libp2p::Multiaddr;
use weft_core::PeerId;

use crate::book::bare;

/// Most admitted connections that the driver has not processed yet.
const ARRIVED_MAX: usize = 256;

#[derive(Default)]
pub(crate) struct Census {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    arrived: VecDeque<(PeerId, Multiaddr, u64)>,
    /// Refused boot nonces by identity.
    twins: BTreeMap<PeerId, Vec<u64>>,
}

impl Census {
    /// A connection was admitted.
    pub(crate) fn arrived(&self, peer: PeerId, address: &Multiaddr, boot: u64) {
        let mut state = self.lock();
        if state.arrived.len() >= ARRIVED_MAX {
            state.arrived.pop_front();
        }
        state.arrived.push_back((peer, bare(address), boot));
    }

    /// Takes the boot nonce of the connection that was admitted with this address.
    pub(crate) fn take(&self, peer: PeerId, address: &Multiaddr) -> Option<u64> {
        let (mut state, address) = (self.lock(), bare(address));
        let at = state.arrived.iter().position(|(who, place, _)| *who == peer && *place == address)?;
        state.arrived.remove(at).map(|(_, _, boot)| boot)
    }

    /// Whether this process must be refused, because the other one with its identity is connected.
    pub(crate) fn is_twin(&self, peer: PeerId, boot: u64) -> bool {
        self.lock().twins.get(&peer).is_some_and(|boots| boots.contains(&boot))
    }

    /// Sets the processes of this identity that are refused from now on.
    pub(crate) fn refuse(&self, peer: PeerId, boots: Vec<u64>) {
        let mut state = self.lock();
        if boots.is_empty() {
            state.twins.remove(&peer);
        } else {
            state.twins.insert(peer, boots);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
