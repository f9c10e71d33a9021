//! Messages about credit for short tasks. Unchecked: the receiver must validate them.

use alloc::vec::Vec;

use super::call::{Call, Grant};
use super::class::Class;
use crate::id::{BidId, LeaseId};

/// Credit that a worker grants to one owner: it takes short tasks of any job of that owner without a call. It reserves
/// its room until its TTL ends. Counts are totals since the credit began, so that messages may cross on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Credit {
    /// Its id.
    pub bid: BidId,
    /// Tasks that had arrived on it when this was sent.
    pub taken: u64,
    /// Further tasks that it takes.
    pub room: u32,
    /// Short tasks of all owners that the worker held then.
    pub held: u32,
    /// Slots without long tasks.
    pub slots: u32,
    /// How long it is valid, in milliseconds.
    pub ttl_ms: u32,
    /// The lowest class that it takes.
    pub class_min: Class,
}

/// An owner sends tasks of one job on credit.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Assign {
    /// The call that the worker did not get; its count is what still waits after these tasks.
    pub call: Call,
    /// The credit.
    pub bid: BidId,
    /// Tasks sent on it so far, these included.
    pub placed: u64,
    /// Outcomes that are stored, as in [`super::Message::Ack`].
    pub acks: Vec<LeaseId>,
    /// The tasks.
    pub grants: Vec<Grant>,
}
