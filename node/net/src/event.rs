//! What the mesh adapter tells its owner. Everything here was parsed and bounded.

use weft_core::{Gossip, Message, PeerId};

/// Something happened on the mesh.
#[expect(clippy::large_enum_variant, reason = "the large ones are nearly all of them")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// The node can be reached at this address.
    Listening(String),
    /// It can't be reached there any more.
    ListeningNoMore(String),
    /// A peer can be spoken to. Up and Down alternate for each peer.
    Up {
        /// Who.
        peer: PeerId,
        /// Its boot nonce.
        boot: u64,
        /// Where it is.
        address: String,
    },
    /// A peer can't be spoken to any more; it is being looked for.
    Down {
        /// Who.
        peer: PeerId,
        /// Why, for people.
        reason: String,
        /// Whether the connection was closed, as by a process that ended; if not, the peer fell silent or was cut off
        /// by this node.
        closed: bool,
    },
    /// A peer said something. Order between two peers holds from Up to Down.
    Received {
        /// Who.
        from: PeerId,
        /// What.
        message: Message,
    },
    /// A node told everybody something; may come twice, late or never.
    Heard {
        /// Who first said it, by signature.
        origin: PeerId,
        /// What.
        gossip: Gossip,
    },
    /// The round trip to a peer, when it changed by a fifth or every five seconds.
    Rtt {
        /// Which peer.
        peer: PeerId,
        /// Microseconds.
        rtt_us: u32,
    },
    /// Somebody was not admitted, or did not admit this node. Told once a minute for one address and reason.
    Refused {
        /// Where.
        address: String,
        /// Why, for people.
        reason: String,
    },
    /// Something is wrong with the network or what is on it, for people; `None` when it no longer is. Told again only
    /// when it changes, or an hour later.
    Trouble {
        /// What it is about; the same words when it is over.
        about: String,
        /// What is wrong, what follows from it, and what to do.
        text: Option<String>,
    },
    /// Another process runs with this node's identity.
    SameIdentity {
        /// Where.
        address: String,
    },
}
