//! Messages of a mesh of cells besides calls, bids and awards. A worker advertises a bid at its cell's matchmaker, an
//! owner sends a request there, the matchmaker matches them, and the owner claims the worker. Unchecked: a forged or
//! late message costs one refused claim, because only the worker knows which of its bids are valid.
//!
//! **Simulated only:** see [`crate::cells`].

use alloc::vec::Vec;

use crate::id::{BidId, CallId, PeerId};
use crate::message::call::{Award, Call};
use crate::message::class::Class;
use crate::message::needs::{Needs, labels_bytes};
use crate::message::reason::label_excess;

/// Bids in one [`CellMessage::Advertise`] or [`CellMessage::Flock`]; more are ignored.
pub const ADVERTS_MAX: usize = 64;
/// Workers that one [`BidRequest`] excludes; a matchmaker drops a longer one.
pub const WITHOUT_MAX: usize = 32;
/// Memory of a [`BidRequest`] without labels at a matchmaker, its entries in lists included, in bytes.
const REQUEST_BYTES: usize = 512;

/// One message of a mesh of cells.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum CellMessage {
    /// Worker to matchmaker: bids that any owner may use. They reserve their slots, like any bid, until their TTL ends.
    Advertise {
        /// The bids and their slots. A known bid is replaced, and withdrawn with 0 slots.
        bids: Vec<(BidId, u32)>,
        /// How long they are valid, in milliseconds.
        ttl_ms: u32,
    },
    /// Owner to matchmaker: tasks need slots.
    Request(BidRequest),
    /// Matchmaker to owner: no bid fits now; the request waits here.
    Waits {
        /// The call.
        call: CallId,
        /// The owner's number for the matchmaker that it asked.
        request_id: u32,
    },
    /// Matchmaker to matchmaker: tasks wait here; pass on bids that no owner at yours waits for, now or soon.
    FlockRequest {
        /// Tasks that wait.
        count: u32,
        /// Memory that one may use, in bytes.
        memory_bytes: u64,
    },
    /// Matchmaker to matchmaker: bids that were advertised here and are now advertised at yours.
    Flock {
        /// Workers, their bids, and the slots of each.
        bids: Vec<(PeerId, BidId, u32)>,
        /// How long all of them are valid, in milliseconds.
        ttl_ms: u32,
    },
    /// Matchmaker to owner: a bid that fits. The matchmaker forgets the bid when it sends this.
    Match(Match),
    /// Owner to worker, which did not get the call: the call and the award in one message.
    Claim {
        /// The call; its count is what still waits after these tasks.
        call: Call,
        /// The award, of a bid that was advertised at a matchmaker.
        award: Award,
    },
}

/// An owner's request for bids at a matchmaker. One of the same call and `request_id` replaces the one before.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct BidRequest {
    /// Its call.
    pub call: CallId,
    /// The owner's number for the matchmaker that it asked.
    pub request_id: u32,
    /// Its priority class.
    pub class: Class,
    /// What a worker must offer.
    pub needs: Needs,
    /// Memory that one task may use, in bytes.
    pub memory_bytes: u64,
    /// Tasks that wait; 0 withdraws it.
    pub count: u32,
    /// Workers that must not be matched: they computed these tasks already, or get no tasks now. At most
    /// [`WITHOUT_MAX`].
    pub without: Vec<PeerId>,
}

impl BidRequest {
    /// Whether a worker can have its labels, and it names at most [`WITHOUT_MAX`] workers.
    pub(crate) fn is_sound(&self) -> bool {
        label_excess(&self.needs.labels).is_none() && self.without.len() <= WITHOUT_MAX
    }

    /// Its memory at a matchmaker, in bytes.
    pub(crate) fn kept_bytes(&self) -> usize {
        REQUEST_BYTES + labels_bytes(&self.needs.labels) + self.without.len() * size_of::<PeerId>()
    }
}

/// An advertised bid, passed to an owner.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Match {
    /// The owner's call.
    pub call: CallId,
    /// The owner's number for the matchmaker that it asked.
    pub request_id: u32,
    /// The worker.
    pub worker: PeerId,
    /// Its bid: an owner that knows the id may use it.
    pub bid: BidId,
    /// Tasks that it takes, each with as many slots as the request wants for one.
    pub slots: u32,
    /// How long it is still valid, in milliseconds.
    pub ttl_ms: u32,
}

/// Which nodes must get a gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The publisher's cell; all nodes while there are no cells.
    Cell,
    /// All nodes.
    Mesh,
}
