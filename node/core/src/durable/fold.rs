//! One job's log, read from its beginning: what the records say together. It refuses what no owner writes, with a name,
//! and touches nothing else. The driver feeds it, one job at a time.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::record::{Accepted, Kept, LOG_VERSION, LogRecord, ParentEnd, Rest};
use super::restored::{Fate, KeptEnd, KeptTask, Restored};
use crate::id::JobId;
use crate::refusal::Refusal;
use crate::task::{Payload, Report};
use crate::time::Time;

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
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => write!(
                f,
                "a record is of version {found}, this program reads version {LOG_VERSION}: start the version of weft that \
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
            Self::RetriedEarly => f.write_str("the job was tried again before it had ended"),
        }
    }
}

impl core::error::Error for Unsound {}

/// The fold over one job's log.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    job: Option<Box<Restored>>,
    /// Tasks of the submission.
    submitted: usize,
}

impl Fold {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next record.
    ///
    /// # Errors
    /// When no owner writes it there. The fold is of no use afterwards.
    pub fn apply(&mut self, record: LogRecord) -> Result<(), Unsound> {
        let submitted = self.submitted;
        let Some(job) = self.job.as_deref_mut() else {
            let LogRecord::Accepted(accepted) = record else { return Err(Unsound::NotAccepted) };
            self.submitted = usize::try_from(accepted.tasks).unwrap_or(usize::MAX);
            self.job = Some(Box::new(accept(*accepted)?));
            return Ok(());
        };
        let again = matches!(record, LogRecord::Retried { .. });
        if job.ended && !again {
            return Err(Unsound::AfterEnd);
        }
        if !matches!(record, LogRecord::Extended { .. }) {
            check_whole(job, submitted)?;
        }
        match record {
            LogRecord::Accepted(_) => Err(Unsound::AcceptedTwice),
            LogRecord::Extended { inputs } => extend(job, inputs, submitted),
            LogRecord::Closed => {
                job.open = false;
                Ok(())
            }
            LogRecord::Outcomes(all) => all.iter().try_for_each(|kept| end(job, kept)),
            LogRecord::Rest(rest) => end_rest(job, &rest),
            LogRecord::ParentEnded(parent) => on_parent_ended(job, parent),
            LogRecord::Cancelled => {
                (job.cancelled, job.open) = (true, false);
                Ok(())
            }
            LogRecord::GivenUp { failed: _ } => {
                (job.given_up, job.open) = (true, false);
                Ok(())
            }
            LogRecord::Restarted { epoch, at: _ } => enter(job, epoch),
            LogRecord::Ended => end_job(job),
            LogRecord::Retried { epoch, at } => retry(job, epoch, at),
        }
    }

    /// What the records so far say together; nothing before the first.
    #[must_use]
    pub fn so_far(&self) -> Option<&Restored> {
        self.job.as_deref()
    }

    /// The job, after the last record.
    ///
    /// # Errors
    /// When there was no record, or inputs are missing.
    pub fn into_restored(self) -> Result<Box<Restored>, Unsound> {
        let job = self.job.ok_or(Unsound::NotAccepted)?;
        check_whole(&job, self.submitted)?;
        Ok(job)
    }
}

fn accept(accepted: Accepted) -> Result<Restored, Unsound> {
    let Accepted { mut spec, tasks: _, at, parents } = accepted;
    spec.check().map_err(Unsound::Refused)?;
    let inputs = core::mem::take(&mut spec.inputs);
    let mut job = Restored {
        open: !spec.closed,
        spec,
        at,
        epoch: FIRST_EPOCH,
        cancelled: false,
        given_up: false,
        ended: false,
        retried: false,
        parents: Vec::new(),
        tasks: Vec::new(),
    };
    parents.into_iter().try_for_each(|parent| on_parent_ended(&mut job, parent))?;
    add(&mut job, inputs)?;
    Ok(job)
}

/// The epoch of a kept job's first life. A job in memory has epoch 0 for ever.
pub(crate) const FIRST_EPOCH: u32 = 1;

fn count(job: &Restored) -> u32 {
    u32::try_from(job.tasks.len()).unwrap_or(u32::MAX)
}

fn check_whole(job: &Restored, submitted: usize) -> Result<(), Unsound> {
    if job.tasks.len() >= submitted {
        return Ok(());
    }
    Err(Unsound::Incomplete { found: count(job), tasks: u32::try_from(submitted).unwrap_or(u32::MAX) })
}

fn extend(job: &mut Restored, inputs: Vec<Payload>, submitted: usize) -> Result<(), Unsound> {
    let total = job.tasks.len().saturating_add(inputs.len());
    if !job.open && total > submitted {
        return Err(Unsound::ExtendedAfterClose);
    }
    add(job, inputs)
}

fn add(job: &mut Restored, inputs: Vec<Payload>) -> Result<(), Unsound> {
    let total = job.tasks.len().saturating_add(inputs.len());
    u32::try_from(total).ok().ok_or(Unsound::TooManyTasks)?;
    for input in inputs {
        if !input.is_sound() {
            return Err(Unsound::TooLong { index: count(job) });
        }
        job.tasks.push(KeptTask { input, end: None });
    }
    Ok(())
}

fn end(job: &mut Restored, kept: &Kept) -> Result<(), Unsound> {
    if !kept.report.is_sound() {
        return Err(Unsound::TooLong { index: kept.index });
    }
    end_task(job, kept.index, kept.into())
}

fn end_rest(job: &mut Restored, rest: &Rest) -> Result<(), Unsound> {
    if let Some(first) = rest.tasks.first().filter(|_| !Report::bare(rest.outcome.clone()).is_sound()) {
        return Err(Unsound::TooLong { index: first.index });
    }
    let fate = rest.fate();
    rest.tasks.iter().try_for_each(|task| {
        end_task(job, task.index, KeptEnd { fate, attempts: task.attempts, recalled: false })
    })
}

fn end_task(job: &mut Restored, index: u32, end: KeptEnd) -> Result<(), Unsound> {
    let tasks = count(job);
    let place = usize::try_from(index).unwrap_or(usize::MAX);
    let task = job.tasks.get_mut(place).ok_or(Unsound::NoSuchTask { index, tasks })?;
    if task.end.is_some() {
        return Err(Unsound::EndedTwice { index });
    }
    if matches!(end.fate, Fate::Done(_)) {
        task.input = Payload::empty();
    }
    task.end = Some(end);
    Ok(())
}

fn on_parent_ended(job: &mut Restored, end: ParentEnd) -> Result<(), Unsound> {
    if !job.spec.after.contains(&end.parent) {
        return Err(Unsound::NoSuchParent { parent: end.parent });
    }
    // Told again after a restart.
    if !job.parents.iter().any(|known| known.parent == end.parent) {
        job.parents.push(end);
    }
    Ok(())
}

fn enter(job: &mut Restored, epoch: u32) -> Result<(), Unsound> {
    if epoch <= job.epoch {
        return Err(Unsound::EpochBack { before: job.epoch, epoch });
    }
    job.epoch = epoch;
    Ok(())
}

fn end_job(job: &mut Restored) -> Result<(), Unsound> {
    let open = job.figures().open();
    if job.open || open > 0 {
        return Err(Unsound::EndedEarly { open });
    }
    job.ended = true;
    Ok(())
}

fn retry(job: &mut Restored, epoch: u32, at: Time) -> Result<(), Unsound> {
    if !job.ended {
        return Err(Unsound::RetriedEarly);
    }
    enter(job, epoch)?;
    job.try_again(at);
    Ok(())
}

impl Restored {
    /// Its tasks that ended otherwise than done are open again.
    pub(crate) fn try_again(&mut self, at: Time) {
        (self.at, self.retried) = (at, true);
        (self.cancelled, self.given_up, self.ended) = (false, false, false);
        for task in &mut self.tasks {
            task.end = task.end.filter(|end| matches!(end.fate, Fate::Done(_)));
        }
    }
}
