//! The addresses of one peer and their sources. An address that worked comes first, and addresses of one source never
//! displace those of another: a machine with many interfaces tells more than fit, and none of them need be right.

use std::time::Duration;

use libp2p::Multiaddr;
use tokio::time::Instant;

use crate::address::socket_of;

/// Most addresses of one peer, of all sources together.
pub(crate) const ADDRESSES_MAX: usize = 20;
/// A multicast address that was not repeated for this long is removed.
const ANNOUNCED_FOR: Duration = Duration::from_secs(60);

/// The source of an address, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The peer was reached there, or connected from there.
    Proven,
    /// It was announced by multicast on a network of this machine.
    Multicast,
    /// The peer told it.
    Itself,
    /// Another peer told it.
    Other,
}

impl Source {
    /// Most addresses of this source; a newer one replaces the oldest.
    fn max(self) -> usize {
        match self {
            Self::Proven | Self::Multicast | Self::Other => 4,
            Self::Itself => 8,
        }
    }
}

struct Place {
    address: Multiaddr,
    source: Source,
    at: Instant,
}

/// The addresses of one peer, the best first; of one source, the newest.
#[derive(Default)]
pub(crate) struct Places(Vec<Place>);

impl Places {
    /// Adds an address, or moves it to a better source; returns whether it was new.
    pub(crate) fn learn(&mut self, address: Multiaddr, source: Source, now: Instant) -> bool {
        let known = self.0.iter().position(|place| place.address == address);
        let old = known.map(|at| self.0.remove(at));
        let source = old.as_ref().map_or(source, |old| old.source.min(source));
        let first = self.0.partition_point(|place| place.source < source);
        self.0.insert(first, Place { address, source, at: now });
        let of_it = self.0.iter().filter(|place| place.source == source).count();
        if of_it > source.max() {
            self.0.remove(first + of_it - 1);
        }
        old.is_none()
    }

    /// The peer is not there.
    pub(crate) fn forget(&mut self, address: &Multiaddr) {
        self.0.retain(|place| place.address != *address);
    }

    /// Removes the addresses that the peer told itself.
    pub(crate) fn forget_told(&mut self) {
        self.0.retain(|place| place.source != Source::Itself);
    }

    /// Removes multicast addresses that are not announced any more.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.0.retain(|place| place.source != Source::Multicast || now - place.at < ANNOUNCED_FOR);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Multiaddr> {
        self.0.iter().map(|place| &place.address)
    }

    pub(crate) fn all(&self) -> Vec<Multiaddr> {
        self.iter().cloned().collect()
    }

    /// What to dial after that number of failures in a row. Every other attempt, the first included, is over IPv4 alone
    /// where the peer was reached or heard of on a network of this machine, or nothing better is known: of addresses that
    /// are dialled together any may win, and `--verify` tells machines apart by their IPv4 addresses.
    pub(crate) fn to_dial(&self, failures: u32) -> Vec<Multiaddr> {
        let least = self.0.first().map_or(Source::Multicast, |best| Ord::max(best.source, Source::Multicast));
        let is_ipv4 = |place: &&Place| socket_of(&place.address).is_some_and(|socket| socket.is_ipv4());
        let mut ipv4 = self.0.iter().filter(is_ipv4).peekable();
        if failures.is_multiple_of(2) && ipv4.peek().is_some_and(|best| best.source <= least) {
            return ipv4.map(|place| place.address.clone()).collect();
        }
        self.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Multiaddr {
        crate::address::multiaddr_of(([192, 0, 2, 1], port).into())
    }

    #[test]
    fn what_worked_comes_first_and_is_never_cut_off() {
        let (mut places, now) = (Places::default(), Instant::now());
        places.learn(at(1), Source::Multicast, now);
        places.learn(at(2), Source::Proven, now);
        for port in 10..60 {
            places.learn(at(port), Source::Itself, now);
            places.learn(at(100 + port), Source::Other, now);
        }
        let all = places.all();
        assert_eq!(all[..2], [at(2), at(1)]);
        assert!(all.len() <= ADDRESSES_MAX);
        places.forget_told();
        assert_eq!(places.all().len(), 2 + Source::Other.max());
    }

    #[test]
    fn a_better_word_moves_an_address_up_and_a_worse_one_leaves_it() {
        let (mut places, now) = (Places::default(), Instant::now());
        assert!(places.learn(at(1), Source::Other, now));
        assert!(places.learn(at(2), Source::Other, now));
        assert!(!places.learn(at(1), Source::Proven, now));
        assert!(!places.learn(at(1), Source::Other, now));
        assert_eq!(places.all(), [at(1), at(2)]);
        places.forget_told();
        assert_eq!(places.all(), [at(1), at(2)]);
    }

    #[test]
    fn ipv4_is_dialled_alone_first_where_it_is_as_good() {
        let (mut places, now) = (Places::default(), Instant::now());
        let ipv6 = crate::address::multiaddr_of("[2001:db8::1]:7117".parse().unwrap());
        places.learn(ipv6.clone(), Source::Other, now);
        assert_eq!(places.to_dial(0), std::slice::from_ref(&ipv6));
        places.learn(at(1), Source::Other, now);
        places.learn(ipv6.clone(), Source::Multicast, now);
        // It was only told of, and the other one was heard of on this network.
        assert_eq!(places.to_dial(0), [ipv6.clone(), at(1)]);
        places.learn(at(1), Source::Multicast, now);
        places.learn(ipv6.clone(), Source::Proven, now);
        places.learn(at(2), Source::Itself, now);
        assert_eq!(places.to_dial(0), [at(1), at(2)]);
        assert_eq!(places.to_dial(1), [ipv6.clone(), at(1), at(2)]);
        assert_eq!(places.to_dial(2), [at(1), at(2)]);
    }

    #[test]
    fn announcements_lapse_unless_they_are_repeated() {
        let (mut places, now) = (Places::default(), Instant::now());
        places.learn(at(1), Source::Multicast, now);
        places.learn(at(2), Source::Multicast, now);
        places.learn(at(2), Source::Multicast, now + ANNOUNCED_FOR);
        places.expire(now + ANNOUNCED_FOR);
        assert_eq!(places.all(), [at(2)]);
    }
}
