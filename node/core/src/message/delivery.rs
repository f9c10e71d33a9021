//! What workers report of leases: which they hold, how attempts ended, known results. Unchecked: the receiver must
//! validate them.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::progress::Progress;
use crate::id::{LeaseId, PeerId, TaskId};
use crate::receipt::Proof;
use crate::task::Report;

/// Leases of one job, epoch and attempt with consecutive indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct LeaseRange {
    /// The first.
    pub first: LeaseId,
    /// Number of leases.
    pub count: u32,
    /// Whether they are paused for tasks of a higher class, so that their running time does not count.
    pub paused: bool,
    /// What the worker does with them: for people. It decides only whether a retracted task counts as begun.
    pub progress: Progress,
}

impl LeaseRange {
    /// Whether that lease follows the last one of this range.
    #[must_use]
    pub fn continues_with(&self, lease: LeaseId) -> bool {
        let next = self.first.index.checked_add(self.count);
        let (one, other) = (&self.first, &lease);
        (one.job, one.epoch, one.attempt) == (other.job, other.epoch, other.attempt)
            && next == Some(lease.index)
    }
}

/// One ended attempt.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Delivery {
    /// The attempt.
    pub lease: LeaseId,
    /// Its outcome and output.
    pub report: Arc<Report>,
    /// The node that computed it before, if the worker had the result in its memo table.
    pub memo: Option<PeerId>,
    /// The worker's signature, if the job asked for receipts.
    pub proof: Option<Box<Proof>>,
}

/// A known result of a pure task: the same task always has the same result.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Known {
    /// The task.
    pub task: TaskId,
    /// Its result; only results with the outcome `Done` are kept.
    pub report: Arc<Report>,
    /// The node that computed it.
    pub worker: PeerId,
}
