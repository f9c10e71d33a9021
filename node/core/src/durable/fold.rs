//! One job's log, read from its beginning: what the records say together. It refuses what no owner writes, with a name,
//! and touches nothing else. The driver feeds it, one job at a time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::given::{GIVEN_RANGES_MAX, Given, GivenTasks};
use super::kept::Kept;
use super::record::{Accepted, LogRecord, NotTaken, ParentEnd, REASON_BYTES_MAX, Rest};
use super::restored::{Fate, Figures, KeptEnd, KeptTask, Restored};
use super::unsound::Unsound;
use crate::custody::outline::Outline;
use crate::custody::trio::{self, Keepers};
use crate::id::PeerId;
use crate::submission::Level;
use crate::task::{Payload, Report};
use crate::time::Time;

/// The fold over one job's log.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    job: Option<Box<Restored>>,
    /// How its tasks ended, if they are not to be read one by one.
    figures: Option<Figures>,
}

impl Fold {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Before the first record of a job that is known to have ended like this. Records of inputs and of outcomes may be left
    /// out; what they say of single tasks is not remembered.
    #[must_use]
    pub fn of_ended(figures: Figures) -> Self {
        Self { figures: Some(figures), ..Self::default() }
    }

    /// The next record.
    ///
    /// # Errors
    /// When no owner writes it there. The fold is of no use afterwards.
    pub fn apply(&mut self, record: LogRecord) -> Result<(), Unsound> {
        let Some(job) = self.job.as_deref_mut() else {
            let mesh = Outline::new(&record);
            let LogRecord::Accepted(accepted) = record else { return Err(Unsound::NotAccepted) };
            let mut job = accept(*accepted, mesh)?;
            if self.figures.is_some() {
                (job.figures, job.tasks, job.submitted) = (self.figures, Vec::new(), 0);
            }
            self.job = Some(Box::new(job));
            return Ok(());
        };
        job.records = job.records.saturating_add(1);
        let is_of_tasks = matches!(
            record,
            LogRecord::Extended { .. }
                | LogRecord::Outcomes(_)
                | LogRecord::Rest(_)
                | LogRecord::Leased { .. }
                | LogRecord::Resolved { .. }
        );
        if self.figures.is_some() && is_of_tasks {
            return Ok(());
        }
        // Who leads a job at level mesh and who keeps it changes whatever there is of it.
        if !matches!(record, LogRecord::Led { .. } | LogRecord::Replaced { .. }) {
            check_place(job, &record)?;
        }
        let has_place = job.mesh.as_mut().is_none_or(|mesh| mesh.push(&record));
        match record {
            LogRecord::Accepted(_) => Err(Unsound::AcceptedTwice),
            LogRecord::Extended { inputs } => extend(job, inputs),
            LogRecord::Closed => {
                (job.open, job.closed) = (false, true);
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
            LogRecord::Restarted { epoch, at: _ } if job.mesh.is_none() => enter(job, epoch),
            LogRecord::Ended { at: _ } => end_job(job),
            LogRecord::Retried { epoch, at } => retry(job, epoch, at),
            LogRecord::Led { epoch, at: _ } if job.mesh.is_some() => enter(job, epoch),
            LogRecord::Replaced { .. } if job.mesh.is_some() => Ok(()),
            LogRecord::NotTaken(not_taken) => note_not_taken(job, not_taken),
            LogRecord::Given { workers } => note_given(job, &workers),
            LogRecord::Leased { all } => note_leased(job, &all),
            LogRecord::Resolved { inputs } => resolve(job, inputs),
            LogRecord::Restarted { .. } | LogRecord::Led { .. } | LogRecord::Replaced { .. } => {
                Err(Unsound::OtherLevel)
            }
        }?;
        if has_place { Ok(()) } else { Err(Unsound::Misplaced) }
    }

    /// What the records so far say together; nothing before the first.
    #[must_use]
    pub fn so_far(&self) -> Option<&Restored> {
        self.job.as_deref()
    }

    /// The job, after the last record. One at level mesh may lack inputs ([`Restored::is_whole`]): the node that led it may not
    /// have sent all of them, and others keep what there is.
    ///
    /// # Errors
    /// When there was no record, or inputs of a job at level disk are missing, or a job that was known to have ended has not.
    pub fn into_restored(self) -> Result<Box<Restored>, Unsound> {
        let is_shared = self.job.as_ref().is_some_and(|job| job.mesh.is_some());
        let job = self.into_part()?;
        if !is_shared {
            check_whole(&job)?;
        }
        Ok(job)
    }

    /// The same of a copy, to which its owner may not have sent all inputs.
    ///
    /// # Errors
    /// When there was no record, or a job that was known to have ended has not.
    pub fn into_part(self) -> Result<Box<Restored>, Unsound> {
        let job = self.job.ok_or(Unsound::NotAccepted)?;
        if self.figures.is_some() && !job.ended {
            return Err(Unsound::NotEnded);
        }
        Ok(job)
    }
}

fn accept(accepted: Accepted, mesh: Option<Outline>) -> Result<Restored, Unsound> {
    let Accepted { mut spec, tasks, at, parents, keepers } = accepted;
    spec.check().map_err(Unsound::Refused)?;
    let epoch = if spec.level == Level::Mesh { trio::FIRST_EPOCH } else { FIRST_EPOCH };
    match (spec.level, keepers) {
        (Level::Mesh, Keepers::Trio(_)) if mesh.is_some() => {}
        (Level::Mesh, _) => return Err(Unsound::NoTrio),
        (Level::Memory | Level::Disk, Keepers::Owner) => {}
        (Level::Disk, Keepers::Copied(pair)) if pair.is_sound() => {}
        (Level::Disk, Keepers::Copied(_)) => return Err(Unsound::NoPair),
        (Level::Memory | Level::Disk, _) => return Err(Unsound::OtherLevel),
    }
    let inputs = core::mem::take(&mut spec.inputs);
    let mut job = Restored {
        open: !spec.closed,
        closed: spec.closed,
        spec,
        at,
        epoch,
        submitted: tasks,
        cancelled: false,
        given_up: false,
        ended: false,
        retried: false,
        parents: Vec::new(),
        given: Given::default(),
        first_epoch: epoch,
        not_taken: None,
        figures: None,
        tasks: Vec::new(),
        records: 1,
        keepers,
        mesh,
    };
    parents.into_iter().try_for_each(|parent| on_parent_ended(&mut job, parent))?;
    add(&mut job, inputs)?;
    Ok(job)
}

/// The epoch of a kept job's first life. A job in memory has epoch 0 for ever, one at level mesh begins with
/// [`trio::FIRST_EPOCH`].
pub(crate) const FIRST_EPOCH: u32 = 1;

/// Whether a record of the job itself may follow those so far.
fn check_place(job: &Restored, record: &LogRecord) -> Result<(), Unsound> {
    if job.ended && !matches!(record, LogRecord::Retried { .. }) {
        return Err(Unsound::AfterEnd);
    }
    // A job at level mesh that can never be whole is ended, to be forgotten.
    let may_lack = matches!(record, LogRecord::Ended { .. }) && job.mesh.is_some();
    if may_lack || matches!(record, LogRecord::Extended { .. }) { Ok(()) } else { check_whole(job) }
}

fn count(job: &Restored) -> u32 {
    u32::try_from(job.tasks.len()).unwrap_or(u32::MAX)
}

fn check_whole(job: &Restored) -> Result<(), Unsound> {
    if job.is_whole() {
        return Ok(());
    }
    Err(Unsound::Incomplete { found: count(job), tasks: job.submitted })
}

fn extend(job: &mut Restored, inputs: Vec<Payload>) -> Result<(), Unsound> {
    let total = job.tasks.len().saturating_add(inputs.len());
    if !job.open && total > usize::try_from(job.submitted).unwrap_or(usize::MAX) {
        return Err(Unsound::ExtendedAfterClose);
    }
    add(job, inputs)
}

fn add(job: &mut Restored, inputs: Vec<Payload>) -> Result<(), Unsound> {
    let total = job.tasks.len().saturating_add(inputs.len());
    u32::try_from(total).ok().ok_or(Unsound::TooManyTasks)?;
    let is_known = !job.spec.join.takes_results();
    for input in inputs {
        if !input.is_sound() {
            return Err(Unsound::TooLong { index: count(job) });
        }
        job.tasks.push(KeptTask { input: is_known.then_some(input), end: None });
    }
    Ok(())
}

/// Results of other jobs, which are inputs of this one, are known.
fn resolve(job: &mut Restored, inputs: Vec<(u32, Payload)>) -> Result<(), Unsound> {
    for (index, input) in inputs {
        if !input.is_sound() {
            return Err(Unsound::TooLong { index });
        }
        let tasks = count(job);
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let task = job.tasks.get_mut(place).ok_or(Unsound::NoSuchTask { index, tasks })?;
        if task.input.is_some() || task.end.is_some() {
            return Err(Unsound::ResolvedTwice { index });
        }
        task.input = Some(input);
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
        task.input = None;
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

fn note_not_taken(job: &mut Restored, not_taken: NotTaken) -> Result<(), Unsound> {
    if not_taken.why.len() > REASON_BYTES_MAX {
        return Err(Unsound::Malformed);
    }
    job.not_taken = Some(not_taken);
    Ok(())
}

fn note_given(job: &mut Restored, workers: &[PeerId]) -> Result<(), Unsound> {
    let have_room = workers.iter().all(|worker| job.given.add_worker(*worker));
    if have_room { Ok(()) } else { Err(Unsound::Malformed) }
}

fn note_leased(job: &mut Restored, all: &[GivenTasks]) -> Result<(), Unsound> {
    let total = count(job);
    let Restored { given, tasks, .. } = job;
    let has_ended = |index| {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        tasks.get(place).is_none_or(|task| task.end.is_some())
    };
    let ranges = all.iter().fold(0_usize, |sum, of| sum.saturating_add(of.ranges.len()));
    if ranges > GIVEN_RANGES_MAX || !all.iter().all(|of| given.add_worker(of.worker)) {
        return Err(Unsound::Malformed);
    }
    for GivenTasks { worker, ranges } in all {
        for range in ranges {
            let index = range.first.saturating_add(range.more);
            let places = range.within(total).ok_or(Unsound::NoSuchTask { index, tasks: total })?;
            // One for which there is no room runs again.
            given.add(*worker, places, has_ended);
        }
    }
    Ok(())
}

fn enter(job: &mut Restored, epoch: u32) -> Result<(), Unsound> {
    // Another life is to be possible after it.
    if epoch <= job.epoch || epoch == u32::MAX {
        return Err(Unsound::EpochBack { before: job.epoch, epoch });
    }
    job.epoch = epoch;
    Ok(())
}

fn end_job(job: &mut Restored) -> Result<(), Unsound> {
    let open = job.figures().open();
    // What takes results ends with its parent, which may have more for it when both are tried again.
    let awaits_more = job.open && !job.spec.join.takes_results();
    if job.is_whole() && (awaits_more || open > 0) {
        return Err(Unsound::EndedEarly { open });
    }
    (job.ended, job.open) = (true, false);
    job.given.clear();
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
        (self.at, self.retried, self.first_epoch) = (at, true, self.epoch);
        self.parents.clear();
        self.given.clear();
        (self.cancelled, self.given_up, self.ended) = (false, false, false);
        // No client brings the rest, but the parent has it still.
        self.open = self.spec.join.takes_results() && !self.closed;
        for task in &mut self.tasks {
            task.end = task.end.filter(|end| matches!(end.fate, Fate::Done(_)));
        }
    }
}

#[cfg(test)]
mod tests;
