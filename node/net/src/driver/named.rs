//! Dials, also configured peers with a host name. The name is resolved again at each attempt, for its address may
//! change; each attempt uses the next of several addresses.

use std::net::SocketAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use tokio::time::Instant;

use super::Driver;
use super::state::Done;
use crate::address::multiaddr_of;
use crate::book::Dial;
use crate::caught::caught;
use crate::config::{Admission, name_of};

/// Longest time to resolve a name; the resolver's own timeout is half a minute or more.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);

impl Driver {
    /// Begins to dial; the swarm reports the result.
    pub(super) fn dial(&mut self, options: DialOpts, dial: Dial) {
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => drop(self.dials.insert(id, dial)),
            Err(error) => {
                tracing::debug!(%error, "a dial could not begin");
                self.book.dialled(&dial, false, Instant::now());
            }
        }
    }

    /// Resolves the name; [`Driver::on_looked_up`] dials.
    pub(super) fn look_up(&mut self, target: Multiaddr) {
        let Some((host, port)) = name_of(&target) else { return };
        self.tasks.spawn_local(async move {
            let looking = async {
                let found = tokio::net::lookup_host((host, port)).await;
                found.map(Iterator::collect::<Vec<_>>).map_err(|error| error.to_string())
            };
            let found =
                match tokio::time::timeout(LOOK_UP_MAX, caught("a look-up of a host name", looking)).await {
                    Ok(Ok(found)) => found,
                    Ok(Err(panicked)) => Err(panicked.to_string()),
                    Err(_late) => Err(format!("no answer within {} s", LOOK_UP_MAX.as_secs())),
                };
            Done::LookedUp { target, found }
        });
    }

    pub(super) fn on_looked_up(&mut self, target: Multiaddr, found: Result<Vec<SocketAddr>, String>) {
        let admission = self.setting.admission;
        let named = self.named.entry(target.clone()).or_default();
        let address = found.and_then(|found| choose(&found, named.attempts, admission));
        named.attempts = named.attempts.wrapping_add(1);
        let failure = address.as_ref().err().cloned();
        if failure != named.failure
            && let Some(text) = &failure
        {
            tracing::warn!("peer {target}: its name can't be looked up: {text}; it is tried again");
        }
        named.failure = failure;
        let dial = Dial::Target(target);
        match address {
            Ok(address) => {
                let address = with_peer_of(multiaddr_of(address), &dial);
                self.dial(DialOpts::unknown_peer_id().address(address).allocate_new_port().build(), dial);
            }
            Err(_failure) => self.book.dialled(&dial, false, Instant::now()),
        }
    }
}

/// The address for this attempt, among those that may be dialled.
fn choose(found: &[SocketAddr], attempt: usize, admission: Admission) -> Result<SocketAddr, String> {
    let sound = |socket: &&SocketAddr| !socket.ip().is_unspecified() && !socket.ip().is_multicast();
    let allowed = |socket: &&SocketAddr| admission != Admission::Loopback || socket.ip().is_loopback();
    let sound: Vec<&SocketAddr> = found.iter().filter(sound).collect();
    let allowed: Vec<&SocketAddr> = sound.iter().copied().filter(allowed).collect();
    let turn = attempt.checked_rem(allowed.len()).and_then(|place| allowed.get(place));
    turn.map(|socket| **socket).ok_or_else(|| {
        String::from(if sound.is_empty() {
            "it has no address"
        } else {
            "it is another machine, and without a mesh key a node keeps to its own"
        })
    })
}

/// Appends the peer id, if the user configured it.
fn with_peer_of(address: Multiaddr, dial: &Dial) -> Multiaddr {
    let Dial::Target(target) = dial else { return address };
    target.iter().filter(|part| matches!(part, Protocol::P2p(_))).fold(address, Multiaddr::with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_takes_the_next_address_that_may_be_dialled() {
        let found: Vec<SocketAddr> = ["0.0.0.0:7", "127.0.0.1:7", "192.0.2.1:7", "[2001:db8::1]:7"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let all: Vec<_> = (0..4).map(|attempt| choose(&found, attempt, Admission::Open).unwrap()).collect();
        assert_eq!(all, [found[1], found[2], found[3], found[1]]);
        assert_eq!(choose(&found, 1, Admission::Loopback), Ok(found[1]));
        assert!(choose(&found[2..], 0, Admission::Loopback).unwrap_err().contains("another machine"));
        assert!(choose(&[], 0, Admission::Open).unwrap_err().contains("no address"));
    }
}
