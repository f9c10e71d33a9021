//! What the members of a trio tell each other about a job. Unchecked: the receiver must validate it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::position::{Position, Spans};
use crate::id::JobId;

/// One message between two members. Records travel as their bytes; each belongs to the epoch of the one before unless it
/// begins one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum CustodyMessage {
    /// Leader to follower: keep these records. Without records it says that the leader is there.
    Keep {
        /// The job.
        job: JobId,
        /// The leader's epoch.
        epoch: u32,
        /// The record before the first of these.
        after: Position,
        /// The records.
        records: Vec<Arc<[u8]>>,
        /// All up to this number is committed.
        committed: u32,
        /// The number of the leader's last record.
        last: u32,
    },
    /// Follower to leader: all up to that number is on its disk, with the blobs that it names, and equals the leader's.
    Kept {
        /// The job.
        job: JobId,
        /// The leader's epoch.
        epoch: u32,
        /// The number of the last of them.
        upto: u32,
        /// The number of the follower's disk.
        disk: u64,
    },
    /// Follower to leader: the record before the first of yours is not in this log.
    Behind {
        /// The job.
        job: JobId,
        /// The leader's epoch.
        epoch: u32,
        /// What this log is made of.
        spans: Spans,
        /// The number of the follower's disk.
        disk: u64,
    },
    /// To a leader or candidate: a higher epoch was promised. A node that left the job says so, too.
    Stale {
        /// The job.
        job: JobId,
        /// The promised epoch.
        promised: u32,
    },
    /// Candidate to the others: take nothing of a lower epoch any more, and say what you have.
    Seal {
        /// The job.
        job: JobId,
        /// The candidate's epoch.
        epoch: u32,
    },
    /// To a candidate: its epoch is promised, on disk.
    Sealed {
        /// The job.
        job: JobId,
        /// The candidate's epoch.
        epoch: u32,
        /// What this log is made of; all of it is on disk.
        spans: Spans,
        /// All up to this number is committed.
        committed: u32,
        /// The number of this member's disk.
        disk: u64,
    },
    /// Candidate to a member that sealed: the records behind this one.
    Want {
        /// The job.
        job: JobId,
        /// The candidate's epoch.
        epoch: u32,
        /// The last record that both have.
        after: Position,
    },
    /// To a candidate: some of them. To a member that never had the job, in the first epoch: the first record.
    Have {
        /// The job.
        job: JobId,
        /// The candidate's epoch.
        epoch: u32,
        /// The record before the first of these.
        after: Position,
        /// The records.
        records: Vec<Arc<[u8]>>,
    },
    /// Leader to follower: its user wants the job forgotten.
    Forget {
        /// The job.
        job: JobId,
        /// The leader's epoch.
        epoch: u32,
    },
    /// To each member that asks: this job was forgotten. The receiver forgets it, too.
    Forgotten {
        /// The job.
        job: JobId,
    },
    /// To a node that sat in the trio once: another sits on its seat. The receiver removes its log.
    Dismissed {
        /// The job.
        job: JobId,
        /// The record with which it lost its seat, which is committed.
        at: Position,
    },
    /// To the others, before a member seals: it has not heard the leader of this epoch for long; have they? Nothing is promised
    /// by it.
    PreSeal {
        /// The job.
        job: JobId,
        /// The epoch that the sender promised.
        epoch: u32,
    },
    /// The answer to that.
    PreSealed {
        /// The job.
        job: JobId,
        /// The epoch that was asked about.
        epoch: u32,
        /// Whether the sender has not heard a leader lately either.
        silent: bool,
    },
    /// To a member that asks: this node has no log of the job, did not leave it, and does not know that it was forgotten.
    Unknown {
        /// The job.
        job: JobId,
        /// The number of this node's disk.
        disk: u64,
    },
    /// Leader to follower: lead the job from here on, for the leader's node drains.
    HandOver {
        /// The job.
        job: JobId,
        /// The leader's epoch.
        epoch: u32,
    },
}

impl CustodyMessage {
    /// The job.
    #[must_use]
    pub fn job(&self) -> JobId {
        match self {
            Self::Keep { job, .. }
            | Self::Kept { job, .. }
            | Self::Behind { job, .. }
            | Self::Stale { job, .. }
            | Self::Seal { job, .. }
            | Self::Sealed { job, .. }
            | Self::Want { job, .. }
            | Self::Have { job, .. }
            | Self::Forget { job, .. }
            | Self::Forgotten { job }
            | Self::Dismissed { job, .. }
            | Self::PreSeal { job, .. }
            | Self::PreSealed { job, .. }
            | Self::Unknown { job, .. }
            | Self::HandOver { job, .. } => *job,
        }
    }

    /// The epoch that its receiver would promise or seal beyond, if it is greater than all that it knows.
    pub(super) fn ahead(&self) -> Option<u32> {
        match self {
            Self::Keep { epoch, .. } | Self::Seal { epoch, .. } | Self::Forget { epoch, .. } => Some(*epoch),
            Self::Stale { promised, .. } => Some(*promised),
            Self::Dismissed { at, .. } => Some(at.epoch),
            Self::Kept { .. }
            | Self::Behind { .. }
            | Self::Sealed { .. }
            | Self::Want { .. }
            | Self::Have { .. }
            | Self::Forgotten { .. }
            | Self::PreSeal { .. }
            | Self::PreSealed { .. }
            | Self::Unknown { .. }
            | Self::HandOver { .. } => None,
        }
    }

    /// Whether it is the last word about the job, which is never answered.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Forgotten { .. } | Self::Dismissed { .. } | Self::Unknown { .. })
    }

    /// Leaves out the records that it carries beyond that number: its sender sends them again. The number of those that stay.
    pub(super) fn leave_records(&mut self, most: usize) -> usize {
        let (Self::Keep { records, .. } | Self::Have { records, .. }) = self else { return 0 };
        records.truncate(most);
        records.len()
    }

    /// The number of records that it carries.
    pub(super) fn records(&self) -> usize {
        if let Self::Keep { records, .. } | Self::Have { records, .. } = self { records.len() } else { 0 }
    }

    /// An upper bound of its encoded length, in bytes, so that a frame is not made too long.
    #[must_use]
    pub fn cost(&self) -> usize {
        let (records, spans) = match self {
            Self::Keep { records, .. } | Self::Have { records, .. } => (records.as_slice(), 0),
            Self::Behind { spans, .. } | Self::Sealed { spans, .. } => ([].as_slice(), spans.epochs().len()),
            Self::Kept { .. }
            | Self::Stale { .. }
            | Self::Seal { .. }
            | Self::Want { .. }
            | Self::Forget { .. }
            | Self::Forgotten { .. }
            | Self::Dismissed { .. }
            | Self::PreSeal { .. }
            | Self::PreSealed { .. }
            | Self::Unknown { .. }
            | Self::HandOver { .. } => ([].as_slice(), 0),
        };
        let records: usize = records.iter().map(|bytes| bytes.len().saturating_add(9)).sum();
        records.saturating_add(spans.saturating_mul(10)).saturating_add(64)
    }
}
