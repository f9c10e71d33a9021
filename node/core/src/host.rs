//! Which machine a node is on, as far as its owner can tell: by the address of its connection. Identities cost nothing to
//! who holds the mesh key, addresses of a LAN cost a little; so where several nodes are asked, an address has one voice.

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
    /// Whether it is reached over IPv4.
    pub(crate) fn is_ipv4(self) -> bool {
        matches!(self, Self::At([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]))
    }

    /// Whose vote those at this place have together. Where IPv4 addresses tell machines apart, IPv6 networks don't:
    /// what is reached over IPv6 counts as one machine then.
    pub(crate) fn voice(self, any_ipv4: bool) -> Voice {
        match self {
            Self::At(_) if any_ipv4 && !self.is_ipv4() => Voice::Host(Self::Unknown),
            Self::Unknown | Self::Here | Self::At(_) => Voice::Host(self),
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
    fn ipv6_networks_are_one_voice_where_ipv4_addresses_tell_machines_apart() {
        let ipv4 = Host::At([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 8]);
        let ipv6 = Host::At([0xfd, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        let table = [
            (ipv6, false, ipv6),
            (ipv6, true, Host::Unknown),
            (ipv4, true, ipv4),
            (Host::Here, true, Host::Here),
            (Host::Unknown, true, Host::Unknown),
        ];
        for (host, any_ipv4, voice) in table {
            assert_eq!(host.voice(any_ipv4), Voice::Host(voice), "{host:?}, any over IPv4: {any_ipv4}");
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
