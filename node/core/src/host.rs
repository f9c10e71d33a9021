//! Which machine a node is on, as far as its owner can tell: by the address of its connection. Identities cost nothing to
//! who holds the mesh key, addresses of a LAN cost a little; so where several nodes are asked, an address has one vote.
//!
//! A machine may be reached in several ways at once, over IPv4 and over IPv6. So that it has one vote all the same, only
//! the nodes that are reached in one of these ways have any: [`Reach`].

use crate::id::PeerId;

/// Where a peer is. Plain data from the driver, which knows the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Host {
    /// The driver can't tell. All such peers count as one machine.
    #[default]
    Unknown,
    /// On this machine: its address is loopback, or one of this machine's own.
    Here,
    /// At this IPv4 address, mapped (`::ffff:a.b.c.d`), or in this IPv6 network of 64 bits, whose other bytes are 0: a
    /// machine takes as many addresses of its network as it likes.
    At([u8; 16]),
}

impl Host {
    /// How a peer there is reached.
    pub(crate) fn reach(self) -> Reach {
        match self {
            Self::Here => Reach::Here,
            Self::Unknown => Reach::Unknown,
            Self::At([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]) => Reach::Ipv4,
            Self::At(_) => Reach::Ipv6,
        }
    }
}

/// How peers are reached; the later, the better it tells their machines apart. Of those that are connected, only the
/// peers of the last kind have votes, and this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// On this machine. Where no other one is connected, each node has a vote.
    #[default]
    Here,
    /// At an address that the driver can't tell: all of them together have one vote.
    Unknown,
    /// Over IPv6: each network of 64 bits has a vote.
    Ipv6,
    /// Over IPv4: each address has a vote.
    Ipv4,
}

impl Reach {
    /// Whose vote an answer of a node at `host` is, where peers of this kind have the vote; `None` if it has none.
    pub(crate) fn voice(self, node: PeerId, host: Host) -> Option<Voice> {
        match (self, host) {
            (Self::Here, Host::Here) => Some(Voice::Node(node)),
            (_, Host::Here) => Some(Voice::Host(host)),
            (_, Host::Unknown | Host::At(_)) => (host.reach() == self).then_some(Voice::Host(host)),
        }
    }
}

/// Whose vote it is when the answers of several nodes are compared: one has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Voice {
    /// All nodes on that machine together.
    Host(Host),
    /// This node alone: the mesh is on one machine, and there is nothing else to tell nodes apart by.
    Node(PeerId),
}

/// The highest class of [`seniority`]: known for an hour, or longer.
const SENIOR: u32 = 6;

/// A class of nodes by how long they have been known, in microseconds: twice as long is one class higher, from a minute
/// to an hour. A difference of seconds between members that came together says nothing.
pub(crate) fn seniority(known_us: u64) -> u32 {
    (known_us / 60_000_000 + 1).ilog2().min(SENIOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_reached_in_two_ways_has_one_vote() {
        let node = PeerId([1; 32]);
        let ipv4 = Host::At([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 8]);
        let ipv6 = Host::At([0xfd, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        let all = [Host::Here, Host::Unknown, ipv6, ipv4];
        assert_eq!(all.map(Host::reach), [Reach::Here, Reach::Unknown, Reach::Ipv6, Reach::Ipv4]);
        let of = |host| Some(Voice::Host(host));
        // who has the vote -> whose vote each of these is
        let table = [
            (Reach::Here, [Some(Voice::Node(node)), None, None, None]),
            (Reach::Unknown, [of(Host::Here), of(Host::Unknown), None, None]),
            (Reach::Ipv6, [of(Host::Here), None, of(ipv6), None]),
            (Reach::Ipv4, [of(Host::Here), None, None, of(ipv4)]),
        ];
        for (reach, voices) in table {
            assert_eq!(all.map(|host| reach.voice(node, host)), voices, "{reach:?}");
        }
    }

    #[test]
    fn twice_as_long_is_one_class_higher() {
        // minutes known -> class
        for (minutes, class) in [(0, 0), (1, 1), (2, 1), (3, 2), (7, 3), (62, 5), (63, 6), (24 * 60, 6)] {
            assert_eq!(seniority(minutes * 60_000_000), class, "{minutes} minutes");
        }
        assert_eq!(seniority(59_999_999), 0);
    }
}
