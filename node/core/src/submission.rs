//! A job as its user submits it. Plain data; [`crate::Refusal`] says which submissions are refused.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::JobId;
use crate::message::{Class, Needs};
use crate::policy::Policy;
use crate::task::{Payload, Program, Terms};

/// A new job.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Submission {
    /// Its id, random; a submission with an id in use is ignored.
    pub job: JobId,
    /// The program that every task runs.
    pub program: Arc<Program>,
    /// What a worker must offer.
    pub needs: Needs,
    /// Its priority class.
    pub class: Class,
    /// Options about results: memo, receipts, streaming.
    pub terms: Terms,
    /// When, how often and how reliably its tasks run.
    pub policy: Policy,
    /// Inputs of its first tasks.
    pub inputs: Vec<Payload>,
    /// Whether it gets no further tasks.
    pub closed: bool,
    /// The parents: jobs that must end before any of its tasks starts. Distinct jobs of the same owner, submitted
    /// before it and not forgotten, at most [`crate::AFTER_MAX`]. Its own times still count from its submission.
    pub after: Vec<JobId>,
    /// How its parents must have ended, and whether their results are its inputs.
    pub join: Join,
    /// What it survives.
    pub level: Level,
    /// What people know it by. No decision of the engine depends on it.
    pub about: About,
}

/// What people know a job by, which all nodes that keep it can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct About {
    /// Its name, or nothing.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Whether every member of the mesh may cancel, retry and forget it; otherwise only the node that it was submitted to.
    pub shared: bool,
    /// When it was submitted, in milliseconds since 1970 by the clock of the node that it was submitted to.
    pub submitted_ms: u64,
}

impl Submission {
    /// A closed job of these tasks with all options at their defaults.
    #[must_use]
    pub fn new(job: JobId, program: Arc<Program>, inputs: Vec<Payload>) -> Self {
        Self {
            job,
            program,
            needs: Needs::default(),
            class: Class::Batch,
            terms: Terms::default(),
            policy: Policy::DEFAULT,
            inputs,
            closed: true,
            after: Vec::new(),
            join: Join::AllSucceeded,
            level: Level::Memory,
            about: About::default(),
        }
    }
}

/// How the parents of a job must have ended, and whether it takes their results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Join {
    /// With every task done. If a task of a parent ends otherwise, or a parent is cancelled or was skipped itself, the
    /// job never starts: its tasks end as [`crate::Outcome::ParentFailed`].
    #[default]
    AllSucceeded,
    /// In any way.
    AllEnded,
    /// The job takes its inputs from its parent, which is one kept job: it has one task for each task of that one, under the same
    /// index, with that one's output as input. Each begins when its own parent's task is done; where that ended otherwise, it
    /// ends as [`crate::Outcome::ParentFailed`] once the parent has ended.
    EachResult,
    /// The job has one task, and its input is all results of its parents, which are kept jobs: one parcel, in which each output is a
    /// file ([`crate::Effect::Gather`]). Its submission has one empty input, which is the place of that. It begins when every task of every parent is done; where one ended otherwise, it ends as
    /// [`crate::Outcome::ParentFailed`].
    Gather,
}

impl Join {
    /// Whether the inputs of the job are results of its parents, and none come from its client.
    #[must_use]
    pub fn takes_results(self) -> bool {
        match self {
            Self::AllSucceeded | Self::AllEnded => false,
            Self::EachResult | Self::Gather => true,
        }
    }

    /// Whether the job has a task for each task of its parent. They begin one by one while the parent runs.
    #[must_use]
    pub fn takes_each(self) -> bool {
        match self {
            Self::AllSucceeded | Self::AllEnded | Self::Gather => false,
            Self::EachResult => true,
        }
    }

    /// Whether the job never begins where a parent did not succeed.
    #[must_use]
    pub fn wants_success(self) -> bool {
        match self {
            Self::AllSucceeded | Self::Gather => true,
            Self::AllEnded | Self::EachResult => false,
        }
    }
}

/// What a job survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Level {
    /// The death of any worker. It ends with its owner.
    #[default]
    Memory,
    /// Also a restart of its owner, whose disk keeps it.
    Disk,
    /// Also the loss of any one node for ever: three nodes keep it.
    Mesh,
}

impl Level {
    /// Its name in lower case.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Mesh => "mesh",
        }
    }
}
