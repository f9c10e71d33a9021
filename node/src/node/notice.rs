//! What a running node has to say to a person: who comes and goes, what is wrong, what becomes of work. The loop sends it;
//! the terminal, the demo and an embedding program read it.

use weft_core::PeerId;

/// Something that a person at the terminal may want to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The node can be reached at this address.
    Listening(String),
    /// A peer came.
    PeerUp {
        /// The peer.
        peer: PeerId,
        /// Where it is.
        address: String,
    },
    /// A peer went.
    PeerDown {
        /// The peer.
        peer: PeerId,
        /// The reason.
        reason: String,
    },
    /// A node was not admitted, or did not admit this one.
    Refused {
        /// The address.
        address: String,
        /// The reason.
        reason: String,
    },
    /// Another process runs with this node's identity.
    SameIdentity {
        /// The address.
        address: String,
    },
    /// Something is wrong with the network, the journal or a job, in a sentence that says what there is to do.
    Trouble(String),
    /// What became of jobs that are kept on disk, in a sentence.
    Kept(String),
    /// That the node drains or ends, and what becomes of work meanwhile, in a sentence.
    Leaving(String),
}

impl Notice {
    /// Writes it to the log.
    pub(crate) fn log(&self) {
        match self {
            Self::Trouble(text) => tracing::warn!("{text}"),
            Self::Kept(text) | Self::Leaving(text) => tracing::info!("{text}"),
            Self::Listening(_)
            | Self::PeerUp { .. }
            | Self::PeerDown { .. }
            | Self::Refused { .. }
            | Self::SameIdentity { .. } => tracing::debug!("{self:?}"),
        }
    }
}
