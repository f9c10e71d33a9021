//! The places for incoming connections that are being set up. Such a connection has proved nothing yet, so places are
//! counted by address: the address with the most places loses its own first, silent connections before those that sent
//! something. Some places are reserved for addresses of known members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Most incoming connections that are being set up.
const PLACES: usize = 64;
/// How many of them are reserved for addresses of known members.
const KEPT: usize = 16;
/// An address with this many more places than the newcomer's loses one to it at once.
const SHARE: usize = 8;
/// A connection that sent something keeps its place this long against another one of the same rank.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: BTreeSet<IpAddr>,
    /// In order of arrival.
    guests: BTreeMap<u64, Guest>,
    next: u64,
}

struct Guest {
    from: IpAddr,
    known: bool,
    since: Instant,
    spoke: bool,
    leave: Arc<Notify>,
}

/// A place; freed when it is dropped.
pub(crate) struct Pass {
    gate: Arc<Gate>,
    number: u64,
    leave: Arc<Notify>,
}

impl Gate {
    /// Sets the addresses of known members.
    pub(crate) fn know(&self, addresses: impl Iterator<Item = IpAddr>) {
        self.lock().known = addresses.map(network).collect();
    }

    /// A place for a connection from this address, for which another one may lose its place; `None` if there is none.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr, now: Instant) -> Option<Pass> {
        let from = network(ip);
        let mut state = self.lock();
        let known = state.known.contains(&from);
        if !state.has_room(known) {
            let victim = state.victim(from, known, now)?;
            if let Some(guest) = state.guests.remove(&victim) {
                guest.leave.notify_one();
            }
        }
        let (number, leave) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        let guest = Guest { from, known, since: now, spoke: false, leave: Arc::clone(&leave) };
        state.guests.insert(number, guest);
        drop(state);
        Some(Pass { gate: Arc::clone(self), number, leave })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, known: bool) -> bool {
        let strangers = self.guests.values().filter(|guest| !guest.known).count();
        self.guests.len() < PLACES && (known || strangers < PLACES - KEPT)
    }

    /// The connection that loses its place to a newcomer: of the address with the most places the oldest silent one,
    /// else the oldest.
    fn victim(&self, newcomer: IpAddr, known: bool, now: Instant) -> Option<u64> {
        let has_strangers = self.guests.values().any(|guest| !guest.known);
        let counts = |guest: &&Guest| if has_strangers { !guest.known } else { known };
        let mut places: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for guest in self.guests.values().filter(counts) {
            *places.entry(guest.from).or_default() += 1;
        }
        let own = places.get(&newcomer).copied().unwrap_or(0);
        // Among addresses with as many places, the newcomer's own loses one first.
        let (greedy, most) = places.into_iter().max_by_key(|(ip, count)| (*count, *ip == newcomer))?;
        let theirs = || self.guests.iter().filter(|(_, g)| counts(g) && g.from == greedy);
        let silent = theirs().find(|(_, guest)| !guest.spoke);
        let (number, oldest) = silent.or_else(|| theirs().next())?;
        let may_go = !oldest.spoke || most > own + SHARE || now - oldest.since > PATIENCE;
        may_go.then_some(*number)
    }
}

impl Pass {
    /// The other side sent something.
    pub(crate) fn spoke(&self) {
        if let Some(guest) = self.gate.lock().guests.get_mut(&self.number) {
            guest.spoke = true;
        }
    }

    /// Completes when another connection got the place.
    pub(crate) async fn dismissed(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.lock().guests.remove(&self.number);
    }
}

/// The key of an address: an IPv6 /64 network counts as one, for a machine has all of its addresses.
fn network(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(ip) = ip.to_canonical() else { return ip.to_canonical() };
    if ip.is_unicast_link_local() {
        return ip.into();
    }
    let high = u128::from(ip) >> 64 << 64;
    Ipv6Addr::from(high).into()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_out(pass: &Pass) -> bool {
        !pass.gate.lock().guests.contains_key(&pass.number)
    }

    #[test]
    fn silent_ones_of_one_address_push_out_each_other_and_nobody_else() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        let member = gate.enter(ip(1), now).unwrap();
        let flood: Vec<_> = (0..1000).map(|_| gate.enter(ip(9), now).unwrap()).collect();
        assert!(!is_out(&member));
        assert!(gate.lock().guests.len() <= PLACES);
        assert!(is_out(&flood[0]) && flood[0].dismissed().now_or_never().is_some(), "the oldest goes");
        let last = flood.last().unwrap();
        assert!(!is_out(last) && last.dismissed().now_or_never().is_none(), "the newest stays");
        let further: Vec<_> = (10..20).map(|last| gate.enter(ip(last), now).unwrap()).collect();
        assert!(!further.iter().any(is_out), "further addresses find room");
    }

    #[test]
    fn who_speaks_outlives_silent_ones_of_the_same_address() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        let member = gate.enter(ip(9), now).unwrap();
        member.spoke();
        let _flood: Vec<_> = (0..1000).map(|_| gate.enter(ip(9), now).unwrap()).collect();
        assert!(!is_out(&member));
    }

    #[test]
    fn a_crowd_that_speaks_is_not_pushed_out_by_later_ones() {
        // Many nodes of one machine that start at once: the first ones must come to an end.
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        let crowd: Vec<_> = (0..200).filter_map(|_| gate.enter(ip(9), now)).collect();
        crowd.iter().for_each(Pass::spoke);
        let still: Vec<_> = crowd.iter().filter(|pass| !is_out(pass)).collect();
        assert!(gate.enter(ip(9), now).is_none());
        assert!(!still.iter().any(|pass| is_out(pass)));
        // Another address gets a share of its own at once, and the same one in time.
        assert!(gate.enter(ip(1), now).is_some());
        assert!(gate.enter(ip(9), now + PATIENCE * 2).is_some());
    }

    #[test]
    fn known_addresses_find_a_place_whatever_strangers_do() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        gate.know([ip(1)].into_iter());
        let strangers: Vec<_> =
            (0..=255u8).filter_map(|low| gate.enter(IpAddr::from([10, 0, 0, low]), now)).collect();
        strangers.iter().for_each(Pass::spoke);
        assert_eq!(gate.lock().guests.len(), PLACES - KEPT);
        let members: Vec<_> = (0..KEPT).map(|_| gate.enter(ip(1), now).unwrap()).collect();
        assert!(!members.iter().any(is_out));
        assert!(strangers.iter().filter(|pass| !is_out(pass)).count() == PLACES - KEPT);
    }

    #[test]
    fn a_place_is_given_back() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        for _ in 0..1000 {
            drop(gate.enter(ip(1), now).unwrap());
        }
        assert!(gate.lock().guests.is_empty());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_ne!(address("fe80::1"), address("fe80::2"));
        assert_eq!(address("::ffff:192.0.2.1"), ip(1));
    }
}
