//! What an engine did or was told in one step. Plain data for the checks after it.

use std::sync::Arc;

use weft_core::{BlobId, JobId, LeaseId, PeerId, Proof, Recalled, Report, TaskId, Verified};

/// Something that an engine did or was told in one step.
#[derive(Debug)]
pub(crate) enum Fact {
    /// It told its user that a task ended.
    Ended(End),
    /// It told its user what a task printed.
    Printed { job: JobId, index: u32, bytes: Arc<[u8]> },
    /// It told its user that a node's result differed from the majority's.
    Named { job: JobId, index: u32, worker: PeerId },
    /// It told its user that a job ended.
    JobEnded(JobId),
    /// It told its user that too many tasks of a job failed.
    GivenUp(JobId),
    /// It awarded an attempt to another node.
    Awarded(LeaseId),
    /// It began an execution; `missing` is a blob that was not there.
    Started { task: TaskId, missing: Option<BlobId> },
    /// It sent a message of `bytes` bytes that names at most `leases` leases.
    Sent { to: PeerId, bytes: usize, leases: usize },
    /// It was told by the worker, or told it, that these leases have ended.
    Parted { worker: PeerId, leases: Vec<LeaseId> },
    /// Its peer ended these leases or acknowledged their outcomes, or it returned them.
    Excused { owner: PeerId, leases: Vec<LeaseId> },
    /// It was given tasks back by a worker that drains, and blamed it this much before.
    GivenBack { worker: PeerId, leases: Vec<LeaseId>, before: u64 },
    /// It told its user that a worker lost a task.
    Lost { job: JobId, index: u32, worker: PeerId },
    /// It told its user that an owner is gone, and stopped that owner's tasks.
    GaveUp { owner: PeerId },
    /// It met a peer that has restarted.
    Restarted(PeerId),
    /// It published a gossip of `bytes` bytes; `None` if it can't be encoded.
    Published { bytes: Option<usize> },
}

/// A task's end as it was reported to its user.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) job: JobId,
    pub(crate) index: u32,
    pub(crate) report: Arc<Report>,
    pub(crate) worker: Option<PeerId>,
    pub(crate) memo: Option<Recalled>,
    pub(crate) proof: Option<Box<Proof>>,
    pub(crate) verified: Option<Verified>,
    /// Its job was cancelled before it ended.
    pub(crate) is_after_cancel: bool,
}
