//! Which submissions are refused: a pure function of the submission, for clients that check before and for the engine,
//! which does not accept a job that can't run.

use core::fmt;

use crate::id::{BlobId, JobId};
use crate::message::Reason;
use crate::policy::never;
use crate::submission::{Join, Submission};
use crate::task::{INLINE_BYTES_MAX, Payload};

/// Most nodes on which a task may be computed and compared.
pub const VERIFY_MAX: u32 = 15;

/// Most slots that one task may hold.
pub const TASK_SLOTS_MAX: u32 = 1024;

/// Most parents of a job.
pub const AFTER_MAX: usize = 64;

/// Why a submission is refused.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Refusal {
    /// Two runs of an impure task may differ, so they can't be compared.
    VerifyImpure,
    /// More nodes than [`VERIFY_MAX`] were asked for.
    VerifyTooMany {
        /// The number asked for.
        asked: u32,
    },
    /// More slots for one task than [`TASK_SLOTS_MAX`] were asked for.
    SlotsTooMany {
        /// The number asked for.
        asked: u32,
    },
    /// It has more parents than [`AFTER_MAX`].
    ParentsTooMany {
        /// The number asked for.
        asked: u32,
    },
    /// It names a parent twice.
    ParentTwice {
        /// The parent.
        job: JobId,
    },
    /// It names itself as a parent.
    ParentItself,
    /// A parent is not known to this node.
    ParentUnknown {
        /// The parent.
        job: JobId,
    },
    /// No node can ever take one of its tasks.
    NoNodeTakes(Reason),
    /// An inline input of it is too long.
    InputTooLong {
        /// Its length, in bytes.
        bytes: u64,
    },
    /// This node keeps no jobs on its disk any more: its journal failed, or it has none.
    JournalFailed,
    /// This node's disk has too little room for more kept jobs.
    DiskLow,
    /// The job gets no more tasks: it was closed, cancelled or given up, or has ended.
    JobOver,
    /// The job is not to be tried again: it has not ended.
    JobGoesOn,
    /// The job is not to be tried again as it was read: it went on since, or was forgotten.
    LogOutdated,
    /// Fewer than three nodes can keep a job at level `mesh` now.
    TooFewKeepers {
        /// Nodes that can.
        found: u32,
    },
    /// A kept job can't come after one that survives less: a restart, or the loss of this node, would end it.
    ParentNotKept {
        /// The parent.
        job: JobId,
    },
    /// A job at level `mesh` can't come after two that different nodes keep.
    ParentsKeptApart {
        /// The second of them.
        job: JobId,
    },
    /// A job takes each result of one parent; it names another number of them.
    ResultsOfSeveral {
        /// The number of parents that it names.
        asked: u32,
    },
    /// A job that takes results of others as its inputs gets no inputs from a client.
    TakesResults,
    /// Results of a job in memory are not kept, so that no other job can take them.
    ResultsNotKept {
        /// The parent.
        job: JobId,
    },
    /// Bytes that a kept job names are not in the store of the node that it was submitted to.
    BlobMissing {
        /// The first that is missing.
        blob: BlobId,
    },
    /// A job is to gather the results of its parents, and names none.
    GathersNothing,
}

impl fmt::Display for Refusal {
    #[expect(clippy::too_many_lines, reason = "one sentence a refusal")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VerifyImpure => {
                f.write_str("an impure task can't be verified: two correct runs of it may differ")
            }
            Self::SlotsTooMany { asked } => {
                write!(f, "a task can have {TASK_SLOTS_MAX} slots at most, not {asked}")
            }
            Self::VerifyTooMany { asked } => {
                write!(f, "a task can be verified on {VERIFY_MAX} nodes at most, not on {asked}")
            }
            Self::ParentsTooMany { asked } => {
                write!(f, "a job can come after {AFTER_MAX} others at most, not after {asked}")
            }
            Self::ParentTwice { job } => {
                write!(f, "job {job} is named twice among those that it comes after")
            }
            Self::ParentItself => f.write_str("a job can't come after itself"),
            Self::ParentUnknown { job } => write!(
                f,
                "it comes after job {job}, which was not submitted to this node, or ended so long ago that it is \
                 forgotten"
            ),
            Self::NoNodeTakes(reason @ Reason::TooLong { .. }) => {
                write!(
                    f,
                    "no node can take such a task: {reason}; pass long texts as the task's input or as files"
                )
            }
            Self::NoNodeTakes(reason) => write!(f, "no node can take such a task: {reason}"),
            Self::InputTooLong { bytes } => {
                write!(
                    f,
                    "an inline input has {bytes} bytes, expected at most {INLINE_BYTES_MAX}: put it into a blob"
                )
            }
            Self::JournalFailed => f.write_str(
                "this node can't keep jobs on its disk now: `weft status` says why; mend that and start the node again, or submit \
                 the job with --level memory, and it ends with this node",
            ),
            Self::DiskLow => f.write_str(
                "this node's disk has too little room to keep more jobs: make room on it, or submit the job with --level memory, \
                 and it ends with this node",
            ),
            Self::JobOver => {
                f.write_str("the job gets no more tasks: it was closed, cancelled or given up, or has ended")
            }
            Self::JobGoesOn => {
                f.write_str("the job has not ended, so nothing of it is tried again: wait for its end, or cancel it first")
            }
            Self::LogOutdated => {
                f.write_str("the job was tried again or forgotten meanwhile: look at it")
            }
            Self::TooFewKeepers { found } => write!(
                f,
                "a job at level mesh is kept by three nodes, and {found} here can keep one now, this one included: start `weft \
                 node` on another machine of this mesh, or take --level disk, which keeps the job on this node alone"
            ),
            Self::BlobMissing { blob } => write!(
                f,
                "it names blob {blob}, which is not in the store of this node: upload it (`weft blob put FILE`), and submit the job again"
            ),
            Self::ParentNotKept { job } => write!(
                f,
                "it comes after job {job}, which survives less than it is to survive itself: submit that one at the same level, \
                 too"
            ),
            Self::ResultsOfSeveral { asked } => {
                write!(f, "a job takes each result of one job, and {asked} were named: name one")
            }
            Self::TakesResults => f.write_str(
                "the job takes the results of another one as its inputs, so it gets no inputs of its own: submit them as another job",
            ),
            Self::GathersNothing => {
                f.write_str("a job gathers the results of one job or several, and none was named: name one")
            }
            Self::ResultsNotKept { job } => write!(
                f,
                "it takes the results of job {job}, which is in memory, where results are not kept: submit that one with --level \
                 disk or --level mesh"
            ),
            Self::ParentsKeptApart { job } => write!(
                f,
                "it comes after job {job} and another one, which are kept by different nodes: have it come after one of them, \
                 submit it with --level disk, or the other one anew with --keep-with {job}"
            ),
        }
    }
}

impl core::error::Error for Refusal {}

impl Submission {
    /// Whether the submission is accepted.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn check(&self) -> Result<(), Refusal> {
        let slots = self.needs.slots;
        if slots > TASK_SLOTS_MAX {
            return Err(Refusal::SlotsTooMany { asked: slots });
        }
        let asked = self.policy.verify;
        if asked > VERIFY_MAX {
            return Err(Refusal::VerifyTooMany { asked });
        }
        if asked > 1 && !self.program.is_pure() {
            return Err(Refusal::VerifyImpure);
        }
        if let Some(reason) = never::never(&self.program, &self.needs) {
            return Err(Refusal::NoNodeTakes(reason));
        }
        Self::check_inputs(&self.inputs)?;
        self.check_parents()?;
        self.check_results()
    }

    /// Whether it takes the results of one parent, and nothing besides, if it takes any.
    fn check_results(&self) -> Result<(), Refusal> {
        let asked = u32::try_from(self.after.len()).unwrap_or(u32::MAX);
        match self.join {
            Join::AllSucceeded | Join::AllEnded => Ok(()),
            Join::EachResult if !self.inputs.is_empty() || self.closed => Err(Refusal::TakesResults),
            Join::EachResult if asked != 1 => Err(Refusal::ResultsOfSeveral { asked }),
            Join::EachResult => Ok(()),
            Join::Gather if asked == 0 => Err(Refusal::GathersNothing),
            Join::Gather if self.closed && self.inputs == [Payload::empty()] => Ok(()),
            Join::Gather => Err(Refusal::TakesResults),
        }
    }

    /// Whether inputs are accepted, of a submission or of tasks that come later.
    ///
    /// # Errors
    /// The first that is too long.
    pub fn check_inputs(inputs: &[Payload]) -> Result<(), Refusal> {
        let long = inputs.iter().find(|input| !input.is_sound());
        long.map_or(Ok(()), |input| Err(Refusal::InputTooLong { bytes: input.bytes_len() }))
    }

    fn check_parents(&self) -> Result<(), Refusal> {
        let asked = u32::try_from(self.after.len()).unwrap_or(u32::MAX);
        if self.after.len() > AFTER_MAX {
            return Err(Refusal::ParentsTooMany { asked });
        }
        if self.after.contains(&self.job) {
            return Err(Refusal::ParentItself);
        }
        let twice =
            |(place, job): &(usize, &JobId)| self.after.iter().take(*place).any(|other| other == *job);
        let twice = self.after.iter().enumerate().find(twice);
        twice.map_or(Ok(()), |(_, job)| Err(Refusal::ParentTwice { job: *job }))
    }
}
