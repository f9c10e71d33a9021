//! Gossip: soft state for all nodes, authenticated by its carrier and possibly outdated when it arrives.

use alloc::string::String;
use alloc::vec::Vec;

use super::class::Class;
use super::delivery::{Delivery, Known, LeaseRange};
use crate::id::{LeaseId, PeerId};
use crate::policy::Owners;
use crate::referral::Scope;

/// Soft state for all nodes; possibly outdated when it arrives. Its origin is authenticated by the carrier.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Gossip {
    /// The publisher's capacity.
    Capacity(Capacity),
    /// An outcome that the publisher could not deliver to its owner directly.
    Outcome {
        /// The owner.
        owner: PeerId,
        /// The outcome.
        delivery: Delivery,
    },
    /// The publisher still holds these leases, and can't reach their owner directly.
    Renew {
        /// The owner.
        owner: PeerId,
        /// The leases, at most [`GOSSIP_RANGES_MAX`](super::GOSSIP_RANGES_MAX) ranges.
        leases: Vec<LeaseRange>,
    },
    /// Outcomes that reached the publisher by gossip; the worker may forget them.
    Ack {
        /// The worker that holds them.
        worker: PeerId,
        /// Their leases.
        leases: Vec<LeaseId>,
    },
    /// Results worth keeping that the publisher computed.
    Known(Vec<Known>),
    /// The publisher serves its cell as matchmaker.
    Matchmaker {
        /// Slots of the workers that it knows in its cell.
        slots: u32,
    },
}

impl Gossip {
    /// Which nodes must get it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Capacity(_) | Self::Known(_) => Scope::Cell,
            Self::Outcome { .. } | Self::Renew { .. } | Self::Ack { .. } | Self::Matchmaker { .. } => {
                Scope::Mesh
            }
        }
    }
}

/// What a node announces about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Capacity {
    /// The node's boot nonce: it changes with every restart.
    pub boot: u64,
    /// Increases with every announcement of one boot; an announcement with a lower number is ignored.
    pub seq: u64,
    /// A name for people, at most 64 bytes.
    pub name: String,
    /// Slots of the node.
    pub slots: u32,
    /// Slots without a task.
    pub free: u32,
    /// Memory that one task may have, in bytes.
    pub memory_bytes: u64,
    /// Labels, at most 32.
    pub labels: Vec<(String, String)>,
    /// Tasks of its own jobs that wait.
    pub backlog: u32,
    /// Whether it takes no new work.
    pub draining: bool,
    /// The lowest class that it takes.
    pub class_min: Class,
    /// Owners whose tasks it takes, besides its own.
    pub owners: Owners,
    /// The number of its disk ([`crate::NodeConfig::disk`]); 0 if it keeps no jobs of others.
    pub disk: u64,
}
