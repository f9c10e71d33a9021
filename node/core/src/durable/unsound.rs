//! Why a log, or a record of it, is not one that an owner wrote. Words for people; nothing is decided here.

use core::fmt;

use crate::id::JobId;
use crate::refusal::Refusal;

/// The newest version of a record that this program reads. The first byte of each record is the one that brought its form.
pub const LOG_VERSION: u8 = 8;
/// The oldest version of a record that this program reads.
pub const LOG_VERSION_OLDEST: u8 = 2;

/// Why a log is not one of a job. The job is not to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// A record was written by another version.
    Version {
        /// The version that it names.
        found: u8,
    },
    /// A record is not one.
    Malformed,
    /// The first record does not say what the job is.
    NotAccepted,
    /// A later record says it again.
    AcceptedTwice,
    /// The job is one that no node accepts.
    Refused(Refusal),
    /// Inputs of the submission are missing: no client was told that the job is accepted.
    Incomplete {
        /// Inputs that are there.
        found: u32,
        /// Inputs that there were.
        tasks: u32,
    },
    /// It got tasks after it was closed.
    ExtendedAfterClose,
    /// It has more tasks than a job can have.
    TooManyTasks,
    /// A task got an input that had one, or had ended.
    ResolvedTwice {
        /// The task's place in the job.
        index: u32,
    },
    /// A record names a task that the job does not have.
    NoSuchTask {
        /// The task's place in the job.
        index: u32,
        /// Tasks that it has.
        tasks: u32,
    },
    /// A task ended twice.
    EndedTwice {
        /// The task's place in the job.
        index: u32,
    },
    /// A text or an inline payload is longer than any may be.
    TooLong {
        /// The task's place in the job.
        index: u32,
    },
    /// It comes after no such job.
    NoSuchParent {
        /// The job that a record names.
        parent: JobId,
    },
    /// An epoch follows one that is not lower.
    EpochBack {
        /// The epoch before.
        before: u32,
        /// The epoch that a record names.
        epoch: u32,
    },
    /// It ended although tasks had not.
    EndedEarly {
        /// Tasks that had not ended, or 0 if it could still get some.
        open: u32,
    },
    /// A record follows the job's end.
    AfterEnd,
    /// It was tried again before it had ended.
    RetriedEarly,
    /// It is listed as one that has ended, and has not.
    NotEnded,
    /// A job at level mesh is kept by three nodes, and a record names no such three.
    NoTrio,
    /// A record has no place in the log of a job at level mesh: it names no seat, or there are too many of its kind.
    Misplaced,
    /// A record is one of a job at another level.
    OtherLevel,
    /// A record does not name two nodes, one with a disk, for a job and its copy.
    NoPair,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => write!(
                f,
                "a record is of version {found}, this program reads versions {LOG_VERSION_OLDEST} to {LOG_VERSION}: start the version of weft that \
                 wrote it"
            ),
            Self::Malformed => f.write_str("a record is malformed"),
            Self::NotAccepted => f.write_str("the first record does not say what the job is"),
            Self::AcceptedTwice => f.write_str("two records say what the job is"),
            Self::Refused(reason) => write!(f, "no node accepts such a job: {reason}"),
            Self::Incomplete { found, tasks } => {
                write!(f, "{found} of {tasks} inputs are there: the job was never accepted")
            }
            Self::ExtendedAfterClose => f.write_str("the job got tasks after it was closed"),
            Self::ResolvedTwice { index } => {
                write!(f, "task {index} got an input, and needed none")
            }
            Self::TooManyTasks => f.write_str("the job has more tasks than a job can have"),
            Self::NoSuchTask { index, tasks } => {
                write!(f, "a record names task {index}, the job has {tasks} tasks")
            }
            Self::EndedTwice { index } => write!(f, "task {index} ended twice"),
            Self::TooLong { index } => {
                write!(f, "task {index} has a longer text or inline payload than any may have")
            }
            Self::NoSuchParent { parent } => {
                write!(f, "a record says that job {parent} ended, the job does not come after it")
            }
            Self::EpochBack { before, epoch } => write!(f, "epoch {epoch} follows epoch {before}"),
            Self::EndedEarly { open } => write!(f, "the job ended with {open} tasks that had not"),
            Self::AfterEnd => f.write_str("a record follows the job's end"),
            Self::NotEnded => {
                f.write_str("the job is listed as one that has ended, its records say that it has not")
            }
            Self::RetriedEarly => f.write_str("the job was tried again before it had ended"),
            Self::NoTrio => f.write_str("a record does not name three nodes with disks that keep the job"),
            Self::Misplaced => f.write_str("a record has no place in the log of a job that three nodes keep"),
            Self::OtherLevel => f.write_str("a record is one of a job at another level"),
            Self::NoPair => {
                f.write_str("a record does not name two nodes that keep the job, the owner with a disk")
            }
        }
    }
}

impl core::error::Error for Unsound {}
