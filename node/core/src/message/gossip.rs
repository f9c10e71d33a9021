//! What everybody is told: soft state, authenticated by its carrier and old when it arrives.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Class, Delivery, Known, LeaseRange};
use crate::id::{LeaseId, PeerId};
use crate::policy::Owners;
use crate::referral::Scope;

/// Soft state, told to everybody; old when it arrives. Its origin is authenticated by the carrier.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
#[expect(clippy::large_enum_variant, reason = "a gossip is handed over once, and lives no longer")]
pub enum Gossip {
    /// What I have free.
    Capacity(Capacity),
    /// An outcome that I could not hand to its owner directly.
    Outcome {
        /// Who waits for it.
        owner: PeerId,
        /// The outcome.
        delivery: Delivery,
    },
    /// I still hold these, and can't tell their owner directly.
    Renew {
        /// Who awarded them.
        owner: PeerId,
        /// The leases, at most [`GOSSIP_RANGES_MAX`](super::GOSSIP_RANGES_MAX) ranges.
        leases: Vec<LeaseRange>,
    },
    /// Outcomes that reached me that way; whoever holds them may forget them.
    Ack {
        /// Who holds them.
        worker: PeerId,
        /// Which.
        leases: Vec<LeaseId>,
    },
    /// Results worth remembering that I computed.
    Known(Vec<Known>),
    /// I serve my cell as its exchange.
    Exchange {
        /// Slots of the workers that I know in it.
        slots: u32,
    },
}

impl Gossip {
    /// How far it must go at least.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Capacity(_) | Self::Known(_) => Scope::Cell,
            Self::Outcome { .. } | Self::Renew { .. } | Self::Ack { .. } | Self::Exchange { .. } => {
                Scope::Mesh
            }
        }
    }
}

/// What a node tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Capacity {
    /// The node's boot nonce: a change says that it was restarted.
    pub boot: u64,
    /// Counts up with every announcement of one boot; an older one is ignored.
    pub seq: u64,
    /// A name for people, at most 64 bytes.
    pub name: String,
    /// Slots.
    pub slots: u32,
    /// Slots without a task.
    pub free: u32,
    /// Memory that one task may have, in bytes.
    pub memory_bytes: u64,
    /// Labels, at most 32.
    pub labels: Vec<(String, String)>,
    /// Tasks that it owns and that wait.
    pub backlog: u32,
    /// Takes no new work.
    pub draining: bool,
    /// The lowest class that it takes.
    pub class_min: Class,
    /// Whose tasks it takes, beside its own.
    pub owners: Owners,
}
