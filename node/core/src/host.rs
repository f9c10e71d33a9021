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
    /// At this IPv6 address; an IPv4 one is mapped (`::ffff:a.b.c.d`).
    At([u8; 16]),
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
    fn twice_as_long_is_one_class_higher() {
        // minutes known -> class
        for (minutes, class) in [(0, 0), (1, 1), (2, 1), (3, 2), (7, 3), (62, 5), (63, 6), (24 * 60, 6)] {
            assert_eq!(seniority(minutes * 60_000_000), class, "{minutes} minutes");
        }
        assert_eq!(seniority(59_999_999), 0);
    }
}
