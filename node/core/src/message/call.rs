//! A call and what answers it: bids, declines, awards. Unchecked: the receiver must validate them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::class::Class;
use super::needs::Needs;
use super::reason::Reason;
use crate::id::{BidId, CallId, JobId, LeaseId, PeerId};
use crate::task::{Payload, Program, Terms};

/// A call for bids.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Call {
    /// Its id.
    pub call: CallId,
    /// The job.
    pub job: JobId,
    /// The program that every task of it runs.
    pub program: Arc<Program>,
    /// What a worker must offer.
    pub needs: Needs,
    /// Its priority class.
    pub class: Class,
    /// Options about results: memo, receipts, streaming.
    pub terms: Terms,
    /// Tasks that wait now.
    pub count: u32,
    /// Measured service time of its tasks, in microseconds; 0 while unknown.
    pub service_us: u32,
    /// Time left until the deadline, in milliseconds; `None` without a deadline, or if it can't be met any more.
    pub deadline_ms: Option<u32>,
    /// For how long no task of it was awarded although some waited, in milliseconds.
    pub waited_ms: u32,
    /// The nodes that may lead it, by their seats, at most [`super::KEEPERS_MAX`]; none if it is not at level `mesh`.
    pub keepers: Vec<PeerId>,
}

/// A worker's offer. It reserves its slots until its TTL ends.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Bid {
    /// The call.
    pub call: CallId,
    /// Its id.
    pub bid: BidId,
    /// Tasks that it takes, each with as many slots as the call wants for one.
    pub slots: u32,
    /// When the first task would start, in microseconds from now.
    pub start_in_us: u32,
    /// Whether the worker has the module's bytes.
    pub warm: bool,
    /// How long it is valid, in milliseconds.
    pub ttl_ms: u32,
}

/// A worker's refusal of a call.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Decline {
    /// The call.
    pub call: CallId,
    /// Why it declines.
    pub reason: Reason,
    /// Whether the reason lasts while node and task stay as they are, so that asking again is useless. A worker that
    /// declined because no slot was free keeps the call and bids once it has one.
    pub is_permanent: bool,
}

/// An owner's award of tasks to a bid.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Award {
    /// The call that the bid answered.
    pub call: CallId,
    /// The bid; each grant uses one of the tasks that it offered.
    pub bid: BidId,
    /// Tasks of the call that still wait after these; the worker continues to bid for that many.
    pub left: u32,
    /// The tasks.
    pub grants: Vec<Grant>,
}

/// One task of an award.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Grant {
    /// The lease.
    pub lease: LeaseId,
    /// The task's input.
    pub input: Payload,
}
