//! What connected processes said of themselves, and identities that two processes use: shared by admission, which reads the
//! nonces, and the driver, which compares them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libp2p::Multiaddr;
use weft_core::PeerId;

use crate::book::bare;
use crate::versions::Spoken;

/// Most admitted connections that the driver has not processed yet.
const ARRIVED_MAX: usize = 256;

/// What is known of a process that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Its boot nonce.
    pub(crate) boot: u64,
    pub(crate) spoken: Spoken,
}

#[derive(Default)]
pub(crate) struct Census {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    arrived: VecDeque<(PeerId, Multiaddr, Admitted)>,
    /// Refused boot nonces by identity.
    twins: BTreeMap<PeerId, Vec<u64>>,
}

impl Census {
    /// A connection was admitted. What another process had at that place and never came to the driver is over.
    pub(crate) fn arrived(&self, peer: PeerId, address: &Multiaddr, process: Admitted) {
        let (mut state, address) = (self.lock(), bare(address));
        let is_other = |other: &Admitted| other.boot != process.boot;
        state.arrived.retain(|(who, place, other)| *who != peer || *place != address || !is_other(other));
        if state.arrived.len() >= ARRIVED_MAX {
            state.arrived.pop_front();
        }
        state.arrived.push_back((peer, address, process));
    }

    /// Takes what is known of the process whose connection was admitted with this address.
    pub(crate) fn take(&self, peer: PeerId, address: &Multiaddr) -> Option<Admitted> {
        let (mut state, address) = (self.lock(), bare(address));
        let at = state.arrived.iter().position(|(who, place, _)| *who == peer && *place == address)?;
        state.arrived.remove(at).map(|(_, _, process)| process)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_never_came_up_lends_its_nonce_to_no_later_process() {
        let (census, bob) = (Census::default(), PeerId([2; 32]));
        let place: Multiaddr = "/ip4/127.0.0.1/tcp/7117".parse().unwrap();
        let process = |boot| Admitted { boot, spoken: Spoken::LEAST };
        census.arrived(bob, &place, process(1));
        census.arrived(bob, &place, process(2));
        census.arrived(bob, &place, process(2));
        assert_eq!(census.take(bob, &place), Some(process(2)));
        assert_eq!(census.take(bob, &place), Some(process(2)));
        assert_eq!(census.take(bob, &place), None);
    }
}
