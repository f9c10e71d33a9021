//! A job as its log says that it is: what the fold makes, and what an owner takes over. Plain data.

use alloc::vec::Vec;

use super::given::Given;
use super::kept::Kept;
use super::record::{NotTaken, ParentEnd, Rest};
use crate::custody::outline::Outline;
use crate::custody::trio::{Keepers, Pair, Trio};
use crate::id::JobId;
use crate::submission::Submission;
use crate::task::{Outcome, Payload, Report};
use crate::time::Time;

/// A job that was kept. Only [`Fold`](super::Fold) makes one.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Restored {
    /// As submitted, without inputs.
    pub(crate) spec: Submission,
    /// When it was submitted, or tried again.
    pub(crate) at: Time,
    /// The epoch of its last life.
    pub(crate) epoch: u32,
    /// Tasks of the submission.
    pub(crate) submitted: u32,
    /// It may get more tasks.
    pub(crate) open: bool,
    /// Its log says that it has all of its tasks; what ended it before that may not be the last word.
    pub(crate) closed: bool,
    pub(crate) cancelled: bool,
    pub(crate) given_up: bool,
    pub(crate) ended: bool,
    /// It was tried again: of the jobs that it comes after it waits for those that have not ended.
    pub(crate) retried: bool,
    /// Those of the jobs that it comes after which have ended.
    pub(crate) parents: Vec<ParentEnd>,
    /// Workers that were given tasks of it since it was tried again last, and which.
    pub(crate) given: Given,
    /// Attempts of epochs before this one are of no use: it was tried again since.
    pub(crate) first_epoch: u32,
    /// Tasks that it was to have and does not.
    pub(crate) not_taken: Option<NotTaken>,
    /// How its tasks ended, where they are not known one by one: of a job that has ended.
    pub(crate) figures: Option<Figures>,
    pub(crate) tasks: Vec<KeptTask>,
    /// Records of its log, as far as they were read.
    pub(crate) records: u32,
    /// Who was to keep it when it was accepted.
    pub(crate) keepers: Keepers,
    /// The log of a job at level mesh, in outline.
    pub(crate) mesh: Option<Outline>,
}

/// One task of it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct KeptTask {
    /// None if it was done, and so will never run again; or if it is a result of another job that is not known here yet.
    pub(crate) input: Option<Payload>,
    pub(crate) end: Option<KeptEnd>,
}

/// How a task ended, as far as it matters to its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct KeptEnd {
    pub(crate) fate: Fate,
    pub(crate) attempts: u32,
    pub(crate) recalled: bool,
}

/// How a task ended. The number is that of its answer ([`crate::digest::Digest::short`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) enum Fate {
    Done(u64),
    Failed(u64),
    Cancelled,
    Expired,
}

impl Fate {
    /// That of a task with an outcome of its own.
    pub(crate) fn of(report: &Report) -> Self {
        match report.outcome {
            Outcome::Expired(_) => Self::Expired,
            Outcome::Done => Self::Done(report.digest().short()),
            Outcome::Failed(_)
            | Outcome::Trapped(_)
            | Outcome::LimitExceeded(_)
            | Outcome::Invalid(_)
            | Outcome::Cancelled
            | Outcome::Lost(_)
            | Outcome::NoRoom(_)
            | Outcome::ParentFailed { job: _ } => Self::Failed(report.digest().short()),
        }
    }

    /// That of a task that ended with its job.
    pub(crate) fn with_job(report: &Report) -> Self {
        if report.outcome == Outcome::Cancelled { Self::Cancelled } else { Self::of(report) }
    }
}

impl From<&Kept> for KeptEnd {
    fn from(kept: &Kept) -> Self {
        Self { fate: Fate::of(&kept.report), attempts: kept.attempts, recalled: kept.memo.is_some() }
    }
}

impl Rest {
    /// How all of its tasks ended.
    pub(crate) fn fate(&self) -> Fate {
        Fate::with_job(&Report::bare(self.outcome.clone()))
    }
}

/// How many tasks of a kept job are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Figures {
    /// Tasks in all.
    pub tasks: u32,
    /// Tasks that were done.
    pub done: u32,
    /// Tasks that ended otherwise, and were not cancelled.
    pub failed: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
}

impl Figures {
    /// Tasks that have not ended: they run again.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.tasks.saturating_sub(self.done).saturating_sub(self.failed).saturating_sub(self.cancelled)
    }
}

impl Restored {
    /// Its id.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.spec.job
    }

    /// What was submitted, without inputs.
    #[must_use]
    pub fn spec(&self) -> &Submission {
        &self.spec
    }

    /// When it was submitted, or tried again.
    #[must_use]
    pub fn submitted_at(&self) -> Time {
        self.at
    }

    /// Whether it may get more tasks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a client may bring it more tasks.
    #[must_use]
    pub fn awaits_client(&self) -> bool {
        self.open && !self.ended && !self.spec.join.takes_results()
    }

    /// Whether all of it ended: then only its user can have it tried again.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether its user cancelled it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Whether more of its tasks failed than it allows.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Tasks that it was to have and does not, if some were not taken.
    #[must_use]
    pub fn not_taken(&self) -> Option<&NotTaken> {
        self.not_taken.as_ref()
    }

    /// Whether it is to begin after that job, whose end its log does not know.
    #[must_use]
    pub fn waits_for(&self, parent: JobId) -> bool {
        let is_told = self.parents.iter().any(|end| end.parent == parent);
        !self.retried && !is_told && self.spec.after.contains(&parent)
    }

    /// Whether all inputs of the submission are there. If not, no client was told that the job is accepted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tasks.len() >= usize::try_from(self.submitted).unwrap_or(usize::MAX)
    }

    /// The nodes that keep a job at level mesh, by its last record.
    #[must_use]
    pub fn trio(&self) -> Option<Trio> {
        self.mesh.as_ref().map(Outline::trio)
    }

    /// The two nodes of a job at level disk that has a copy.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        self.keepers.pair()
    }

    /// The epochs and the length of the log of a job at level mesh.
    #[must_use]
    pub fn outline(&self) -> Option<&Outline> {
        self.mesh.as_ref()
    }

    /// Forgets the inputs of its tasks, which nothing needs of a job that ended: it is tried again from its log.
    pub fn forget_inputs(&mut self) {
        self.tasks.iter_mut().for_each(|task| task.input = None);
    }

    /// Forgets its tasks: no engine is told of it.
    pub fn forget_tasks(&mut self) {
        (self.tasks, self.submitted) = (Vec::new(), 0);
    }

    /// How many of its tasks are where.
    #[must_use]
    pub fn figures(&self) -> Figures {
        if let Some(figures) = self.figures {
            return figures;
        }
        let mut figures = Figures::default();
        for task in &self.tasks {
            figures.tasks = figures.tasks.saturating_add(1);
            match task.end.map(|end| end.fate) {
                None => {}
                Some(Fate::Done(_)) => figures.done += 1,
                Some(Fate::Failed(_) | Fate::Expired) => figures.failed += 1,
                Some(Fate::Cancelled) => figures.cancelled += 1,
            }
        }
        figures
    }
}
