//! Events of the mesh adapter. All data in them is parsed and bounded.

use weft_core::{Gossip, Message, PeerId};

/// An event of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// The node can be reached at this address.
    Listening(String),
    /// The node can't be reached at this address any more.
    ListeningNoMore(String),
    /// The link to a peer is up. Up and Down alternate for each peer.
    Up {
        /// The peer.
        peer: PeerId,
        /// Its boot nonce.
        boot: u64,
        /// Its address.
        address: String,
    },
    /// The link to a peer is down; the peer is dialled again.
    Down {
        /// The peer.
        peer: PeerId,
        /// Why, for people.
        reason: String,
        /// Whether the connection was closed, as by a process that ended; otherwise the peer fell silent or this node
        /// closed it.
        closed: bool,
    },
    /// A message of a peer. Messages of one peer are in order between Up and Down.
    Received {
        /// The peer.
        from: PeerId,
        /// Its content.
        message: Message,
    },
    /// Gossip of a node; may arrive twice, late or never.
    Heard {
        /// The node that signed it.
        origin: PeerId,
        /// Its content.
        gossip: Gossip,
    },
    /// The round trip to a peer, when it changed by a fifth or every five seconds.
    Rtt {
        /// The peer.
        peer: PeerId,
        /// Microseconds.
        rtt_us: u32,
    },
    /// A node was not admitted, or did not admit this node. At most once a minute for one address and reason.
    Refused {
        /// The address.
        address: String,
        /// Why, for people.
        reason: String,
    },
    /// A problem of the network, for people; `None` when it is over. Repeated only when it changes, or after an hour.
    Trouble {
        /// The subject; the same text when it is over.
        about: String,
        /// The problem, its consequence, and what to do.
        text: Option<String>,
    },
    /// Another process runs with this node's identity.
    SameIdentity {
        /// The address.
        address: String,
    },
}
