//! What nodes of a mesh of cells say to one another beyond calls, bids and awards: a worker stands a bid at its cell's
//! exchange, an owner seeks there, the exchange introduces them, the owner hires. Raw messages, not to be believed: one
//! that is forged or late costs one refused hire, because only the worker itself knows which of its bids are valid.
//!
//! **Simulated only:** see [`crate::cells`].

use alloc::vec::Vec;

use crate::id::{BidId, CallId, PeerId};
use crate::message::{Award, Call, Class, Needs, label_excess, labels_bytes};

/// Bids in one [`CellWord::Stand`] or [`CellWord::Lend`]; more are ignored.
pub const STAND_MAX: usize = 64;
/// Workers that one [`Seek`] does not want; an exchange drops a longer one.
pub const WITHOUT_MAX: usize = 32;
/// What a [`Seek`] without labels takes in the memory of an exchange that keeps it, its places in lists included, in bytes.
const SEEK_BYTES: usize = 512;

/// One word of a mesh of cells.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum CellWord {
    /// Worker to exchange: I have room. It reserves its slots, like any bid, until its ttl.
    Stand {
        /// The bids and their slots; one that is known already is replaced, and ended by 0 slots.
        bids: Vec<(BidId, u32)>,
        /// How long they stand, in milliseconds.
        ttl_ms: u32,
    },
    /// Owner to exchange: I look for room.
    Seek(Seek),
    /// Exchange to owner: nobody stands here for these; they wait here.
    Waits {
        /// The call.
        call: CallId,
        /// The owner's number for where it asked.
        desk: u32,
        /// How many tasks wait here. Owners don't read it.
        count: u32,
    },
    /// Exchange to exchange: tasks wait here; lend me bids if nobody waits at yours, now or soon.
    Scout {
        /// How many tasks.
        count: u32,
        /// Memory that one may use, in bytes.
        memory_bytes: u64,
    },
    /// Exchange to exchange: these stood here and stand at yours now.
    Lend {
        /// Workers, their bids, and how many slots of each.
        bids: Vec<(PeerId, BidId, u32)>,
        /// For how long they all stand, in milliseconds.
        ttl_ms: u32,
    },
    /// Exchange to owner: this worker has room. The exchange forgets the bid with it.
    Introduce(Introduction),
    /// Owner to worker, who has not heard the call: the call and the award in one.
    Hire {
        /// The call; its count is what still waits.
        call: Call,
        /// The award, of a bid that stood at an exchange.
        award: Award,
    },
}

/// An owner looks for room at an exchange. One of the same call and desk replaces the last.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Seek {
    /// Its call.
    pub call: CallId,
    /// Its number for the exchange that it asked.
    pub desk: u32,
    /// How urgent.
    pub class: Class,
    /// What a worker must have.
    pub needs: Needs,
    /// Memory that one task may use, in bytes.
    pub memory_bytes: u64,
    /// For how many tasks; 0 ends it.
    pub count: u32,
    /// Who need not be introduced: it had its part in what is left, or is given nothing now. At most [`WITHOUT_MAX`].
    pub without: Vec<PeerId>,
}

impl Seek {
    /// Whether it asks for no more than any worker can have, and names no more than may be named.
    pub(crate) fn is_sound(&self) -> bool {
        label_excess(&self.needs.labels).is_none() && self.without.len() <= WITHOUT_MAX
    }

    /// What it takes in the memory of an exchange that keeps it, in bytes.
    pub(crate) fn kept_bytes(&self) -> usize {
        SEEK_BYTES + labels_bytes(&self.needs.labels) + self.without.len() * size_of::<PeerId>()
    }
}

/// A standing bid, handed on.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Introduction {
    /// The owner's call.
    pub call: CallId,
    /// The owner's number for where it asked.
    pub desk: u32,
    /// Who has room.
    pub worker: PeerId,
    /// Its bid: whoever knows the name may use it.
    pub bid: BidId,
    /// For how many tasks it has room, each with as many slots as the seek wants for one.
    pub slots: u32,
    /// For how long they still stand, in milliseconds.
    pub ttl_ms: u32,
}

/// How far a gossip must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The teller's cell; everybody while there are no cells.
    Cell,
    /// Everybody.
    Mesh,
}
