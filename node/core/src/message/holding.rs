//! What a worker says about attempts of an earlier epoch, so that a job whose owner restarted, or that another node leads by
//! now, goes on with them. Unchecked: the receiver must validate it.

use alloc::vec::Vec;

use crate::id::{JobId, LeaseId};

/// The attempts of one job that a worker holds from epochs before the one that was asked about, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Holding {
    /// The job.
    pub job: JobId,
    /// The epoch of the question.
    pub epoch: u32,
    /// At most [`super::BATCH_MAX`] of them.
    pub all: Vec<HeldLease>,
    /// No further part follows.
    pub is_last: bool,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct HeldLease {
    /// The attempt.
    pub lease: LeaseId,
    /// How far it is.
    pub state: HeldState,
}

/// How far a held attempt is. What has not begun is not held for the next epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum HeldState {
    /// It is in the slots.
    Running,
    /// It ended, and its outcome follows.
    Ended,
}
