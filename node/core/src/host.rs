//! Which machine a node runs on, by the address of its connection. A holder of the mesh key can make any number of
//! identities, but addresses of a LAN are limited; so where several nodes are compared, each address has one vote.
//!
//! A machine may be reached over IPv4 and IPv6 at once. So that it still has one vote, only the nodes that are reached
//! in one of these ways have votes: [`Reach`].

use crate::id::PeerId;

/// The machine of a peer. Plain data from the driver, which knows the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Host {
    /// The driver does not know it. All such peers count as one machine.
    #[default]
    Unknown,
    /// This machine: the address is loopback, or one of this machine's own.
    Here,
    /// This IPv4 address, mapped (`::ffff:a.b.c.d`), or this IPv6 network of 64 bits, with all other bytes 0: a machine
    /// may use any number of addresses of its network.
    At([u8; 16]),
}

impl Host {
    /// How a peer on this machine is reached.
    pub(crate) fn reach(self) -> Reach {
        match self {
            Self::Here => Reach::Here,
            Self::Unknown => Reach::Unknown,
            Self::At([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]) => Reach::Ipv4,
            Self::At(_) => Reach::Ipv6,
        }
    }
}

/// How peers are reached; later variants tell machines apart better. Of the connected peers, only those of the last
/// variant present have votes, and this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// On this machine. If no other machine is connected, each node has a vote.
    #[default]
    Here,
    /// At an address that the driver does not know: all such peers together have one vote.
    Unknown,
    /// Over IPv6: each network of 64 bits has a vote.
    Ipv6,
    /// Over IPv4: each address has a vote.
    Ipv4,
}

impl Reach {
    /// Whose vote an answer of a node at `host` is, if peers reached this way have votes; `None` if it has none.
    pub(crate) fn voice(self, node: PeerId, host: Host) -> Option<Voice> {
        match (self, host) {
            (Self::Here, Host::Here) => Some(Voice::Node(node)),
            (_, Host::Here) => Some(Voice::Host(host)),
            (_, Host::Unknown | Host::At(_)) => (host.reach() == self).then_some(Voice::Host(host)),
        }
    }
}

/// A voter when the answers of several nodes are compared. Each has one vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Voice {
    /// All nodes on that machine together.
    Host(Host),
    /// This node alone: the whole mesh is on one machine, where nodes differ only by id.
    Node(PeerId),
}

/// The highest class of [`seniority`]: known for about an hour or longer.
const SENIOR: u32 = 6;

/// A class of nodes by the time since they were first connected, in microseconds: twice as long is one class higher,
/// from a minute to an hour. Nodes that came within seconds of each other are in the same class.
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
        // which peers have votes -> whose vote each of these is
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
