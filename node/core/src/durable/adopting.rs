//! What of a job that no node leads any more goes over to a new job, which its user wants in its place: read from one node's
//! copy of its log. The new job has another id, so no id ever has two committed outcomes. Pure. The driver reads the log twice:
//! for this first, and then for the inputs and for the records that this names.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use super::fold::Fold;
use super::kept::Kept;
use super::record::{LogRecord, NotTaken};
use super::restored::{Fate, KeptTask, Restored};
use super::unsound::Unsound;
use crate::id::{BlobId, JobId};
use crate::submission::Submission;

/// A log while it is read for that.
#[derive(Debug, Default)]
pub struct Adopting {
    fold: Fold,
    /// By task: the number of the record that has its outcome, or 0 if none has.
    told_by: Vec<u32>,
    blobs: BTreeSet<BlobId>,
}

/// What goes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    spec: Submission,
    had_ended: bool,
    is_half: bool,
    not_taken: Option<NotTaken>,
    told_by: Vec<u32>,
    blobs: BTreeSet<BlobId>,
}

/// Why nothing goes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdoptable {
    /// The copy makes no job, or lacks inputs.
    Unsound(Unsound),
    /// Its user cancelled it, or its client did not come back.
    Cancelled,
    /// Its inputs are results of other jobs.
    TakesResults,
    /// It comes after a job that did not succeed.
    Skipped {
        /// That job.
        parent: JobId,
    },
}

impl From<Unsound> for NotAdoptable {
    fn from(why: Unsound) -> Self {
        Self::Unsound(why)
    }
}

impl fmt::Display for NotAdoptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsound(why) => write!(f, "its copy here can't be used: {why}"),
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::TakesResults => f.write_str(
                "its inputs are results of another job: adopt that one, and submit this one again with the id that it gets",
            ),
            Self::Skipped { parent } => {
                write!(f, "it was skipped, because job {parent}, which it comes after, did not succeed")
            }
        }
    }
}

impl core::error::Error for NotAdoptable {}

impl Adopting {
    /// The next record, and its number in the log.
    ///
    /// # Errors
    /// When no owner writes it there. This is of no use afterwards.
    pub fn apply(&mut self, seq: u32, record: LogRecord) -> Result<(), Unsound> {
        if let LogRecord::Outcomes(all) = &record {
            all.iter().for_each(|kept| self.note(kept.index, seq));
        } else if let LogRecord::Rest(rest) = &record {
            // What ended with its job runs again, whatever it ended with before it was tried again.
            rest.tasks.iter().for_each(|task| self.note(task.index, 0));
        } else if matches!(record, LogRecord::Accepted(_) | LogRecord::Extended { .. }) {
            self.blobs.extend(record.blobs());
        }
        self.fold.apply(record)?;
        let tasks = self.fold.so_far().map_or(0, |job| job.tasks.len());
        self.told_by.resize(tasks, 0);
        Ok(())
    }

    fn note(&mut self, index: u32, seq: u32) {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(told_by) = self.told_by.get_mut(place) {
            *told_by = seq;
        }
    }

    /// What goes over, after the last record.
    ///
    /// # Errors
    /// [`NotAdoptable`].
    pub fn finish(self) -> Result<Adoption, NotAdoptable> {
        let Self { fold, mut told_by, blobs } = self;
        let job = fold.into_restored()?;
        if !job.is_whole() {
            let found = u32::try_from(job.tasks.len()).unwrap_or(u32::MAX);
            return Err(Unsound::Incomplete { found, tasks: job.submitted }.into());
        }
        if job.cancelled {
            return Err(NotAdoptable::Cancelled);
        }
        if job.spec.join.takes_results() {
            return Err(NotAdoptable::TakesResults);
        }
        if let Some(parent) = failed_parent(&job) {
            return Err(NotAdoptable::Skipped { parent });
        }
        let failures_count = !has_failed_too_often(&job);
        for (told_by, task) in told_by.iter_mut().zip(&job.tasks) {
            if !goes_over(task, failures_count) {
                *told_by = 0;
            }
        }
        let after = job.spec.after.iter().copied().filter(|parent| job.waits_for(*parent)).collect();
        let Restored { spec, ended: had_ended, not_taken, open, .. } = *job;
        Ok(Adoption {
            spec: Submission { after, closed: false, ..spec },
            had_ended,
            is_half: open || not_taken.is_some(),
            not_taken,
            told_by,
            blobs,
        })
    }
}

/// A job that it comes after, and whose end is why none of its tasks may begin.
fn failed_parent(job: &Restored) -> Option<JobId> {
    let failed = job.parents.iter().find(|end| !end.succeeded && job.spec.join.wants_success());
    failed.map(|end| end.parent)
}

/// Whether as many of its tasks failed as end a job: with all of these the new one would end before the rest of it came.
fn has_failed_too_often(job: &Restored) -> bool {
    job.given_up || job.spec.policy.failures_max.is_some_and(|most| job.figures().failed > most)
}

fn goes_over(task: &KeptTask, failures_count: bool) -> bool {
    match task.end.map(|end| end.fate) {
        Some(Fate::Done(_)) => true,
        Some(Fate::Failed(_) | Fate::Expired) => failures_count,
        Some(Fate::Cancelled) | None => false,
    }
}

impl Adoption {
    /// The new job as it is to be submitted, but for its id, its level and what people know it by, which are still the old one's. It
    /// is open, has no inputs yet, and comes after those jobs of which the log does not say how they ended.
    #[must_use]
    pub fn spec(&self) -> &Submission {
        &self.spec
    }

    /// Its tasks.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        u32::try_from(self.told_by.len()).unwrap_or(u32::MAX)
    }

    /// Tasks of which the copy has outcomes that go over.
    #[must_use]
    pub fn outcomes(&self) -> u32 {
        let told = self.told_by.iter().filter(|told_by| **told_by > 0).count();
        u32::try_from(told).unwrap_or(u32::MAX)
    }

    /// Whether the old job had ended.
    #[must_use]
    pub fn had_ended(&self) -> bool {
        self.had_ended
    }

    /// Whether the old job was to have more tasks, so that the new one is to be cancelled: half a job must not pass for a whole
    /// one.
    #[must_use]
    pub fn is_half(&self) -> bool {
        self.is_half
    }

    /// Those of them that were refused, if some were.
    #[must_use]
    pub fn not_taken(&self) -> Option<&NotTaken> {
        self.not_taken.as_ref()
    }

    /// What its program and its inputs name: all of it must be here.
    #[must_use]
    pub fn blobs(&self) -> &BTreeSet<BlobId> {
        &self.blobs
    }

    /// The records with the outcomes of this many tasks from that one on.
    #[must_use]
    pub fn records_of(&self, first: u32, tasks: usize) -> BTreeSet<u32> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let told_by = self.told_by.iter().skip(first).take(tasks);
        told_by.copied().filter(|told_by| *told_by > 0).collect()
    }

    /// Whether this outcome, of the record with that number, goes over.
    #[must_use]
    pub fn takes(&self, seq: u32, kept: &Kept) -> bool {
        let place = usize::try_from(kept.index).unwrap_or(usize::MAX);
        seq > 0 && self.told_by.get(place) == Some(&seq)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::sync::Arc;
    use alloc::vec;

    use super::super::{Accepted, Level, ParentEnd, Rest, RestTask};
    use super::*;
    use crate::custody::trio::{Keepers, Seat, Trio};
    use crate::id::PeerId;
    use crate::outcome::{Failure, Outcome};
    use crate::policy::Policy;
    use crate::submission::Join;
    use crate::task::{Payload, Program, Report};
    use crate::time::Time;

    const PARENT: JobId = JobId(6);
    const MODULE: BlobId = BlobId([3; 32]);

    fn spec() -> Submission {
        let inputs = vec![Payload::inline(b"0"), Payload::inline(b"1")];
        let program = Arc::new(Program::command(MODULE, 6));
        Submission { level: Level::Mesh, closed: false, ..Submission::new(JobId(7), program, inputs) }
    }

    fn accepted(spec: Submission) -> LogRecord {
        let seat = |number: u8| Seat { peer: PeerId([number; 32]), disk: u64::from(number) };
        let keepers = Keepers::Trio(Trio([seat(1), seat(2), seat(3)]));
        LogRecord::Accepted(Box::new(Accepted { spec, tasks: 2, at: Time(5), parents: Vec::new(), keepers }))
    }

    fn more() -> LogRecord {
        LogRecord::Extended { inputs: vec![Payload::inline(b"2"), Payload::inline(b"3")] }
    }

    fn kept(index: u32, outcome: Outcome) -> Kept {
        let report = Report::bare(outcome).into();
        Kept { index, report, worker: None, attempts: 1, memo: None, proof: None, verified: None }
    }

    fn ended(index: u32, outcome: Outcome) -> LogRecord {
        LogRecord::Outcomes(vec![kept(index, outcome)])
    }

    fn failed() -> Outcome {
        Outcome::Failed(Failure::Exit(1))
    }

    fn rest(outcome: Outcome, indexes: &[u32]) -> LogRecord {
        let tasks = indexes.iter().map(|index| RestTask { index: *index, attempts: 1 }).collect();
        LogRecord::Rest(Rest { outcome, tasks })
    }

    fn read(log: Vec<LogRecord>) -> Result<Adoption, NotAdoptable> {
        let mut adopting = Adopting::default();
        for (seq, record) in (1..).zip(log) {
            adopting.apply(seq, record)?;
        }
        adopting.finish()
    }

    #[test]
    fn inputs_and_outcomes_go_over_and_what_has_none_is_open() {
        let log = vec![
            accepted(spec()),
            more(),
            ended(2, Outcome::Done),
            LogRecord::Closed,
            LogRecord::Led { epoch: 4, at: Time(9) },
            ended(0, failed()),
        ];
        let adoption = read(log).expect("it can be adopted");
        assert_eq!((adoption.tasks(), adoption.outcomes()), (4, 2));
        assert!(!adoption.is_half() && !adoption.had_ended() && !adoption.spec().closed);
        assert_eq!((adoption.records_of(0, 2), adoption.records_of(2, 9)), ([6].into(), [3].into()));
        assert!(adoption.records_of(3, 1).is_empty() && adoption.records_of(u32::MAX, 1).is_empty());
        assert!(adoption.takes(3, &kept(2, Outcome::Done)) && !adoption.takes(6, &kept(2, Outcome::Done)));
        assert!(!adoption.takes(0, &kept(1, Outcome::Done)) && !adoption.takes(6, &kept(9, failed())));
        assert_eq!(adoption.blobs(), &[MODULE].into());
    }

    #[test]
    fn an_outcome_that_a_retry_replaced_does_not_go_over() {
        let expired = Outcome::Expired(crate::task::Expiry::Unfinished { after_ms: 1 });
        let log = vec![
            accepted(spec()),
            LogRecord::Closed,
            ended(0, failed()),
            ended(1, Outcome::Done),
            LogRecord::Ended { at: Time(9) },
            LogRecord::Retried { epoch: 6, at: Time(9) },
            rest(expired, &[0]),
            LogRecord::Ended { at: Time(9) },
        ];
        let before = read(log.iter().take(5).cloned().collect()).expect("it can be adopted");
        assert_eq!((before.outcomes(), before.had_ended()), (2, true));
        let retried = read(log.iter().take(6).cloned().collect()).expect("it can be adopted");
        assert_eq!((retried.outcomes(), retried.records_of(0, 2)), (1, [4].into()));
        assert_eq!(read(log).expect("it can be adopted").outcomes(), 1, "what expired runs again");
    }

    #[test]
    fn of_a_job_that_failed_too_often_only_what_is_done_goes_over() {
        let strict = Submission { policy: Policy { failures_max: Some(0), ..Policy::DEFAULT }, ..spec() };
        let log = [
            accepted(strict),
            LogRecord::Closed,
            ended(1, Outcome::Done),
            ended(0, failed()),
            LogRecord::GivenUp { failed: 1 },
        ];
        for records in [4, 5] {
            let adoption = read(log.iter().take(records).cloned().collect()).expect("it can be adopted");
            assert_eq!(
                (adoption.outcomes(), adoption.records_of(0, 2)),
                (1, [3].into()),
                "{records} records"
            );
        }
    }

    #[test]
    fn half_a_job_is_known_as_such() {
        assert!(read(vec![accepted(spec()), more()]).expect("it can be adopted").is_half());
        let not_taken = LogRecord::NotTaken(NotTaken { tasks: 3, why: String::from("no room") });
        let lacking = read(vec![accepted(spec()), not_taken, LogRecord::Closed]).expect("it can be adopted");
        assert!(lacking.is_half() && lacking.not_taken().is_some_and(|lacks| lacks.tasks == 3));
        let one = Submission { inputs: vec![Payload::inline(b"0")], ..spec() };
        let lacks = NotAdoptable::Unsound(Unsound::Incomplete { found: 1, tasks: 2 });
        assert_eq!(read(vec![accepted(one)]), Err(lacks));
    }

    #[test]
    fn cancelled_and_skipped_jobs_are_not_adopted() {
        let cancelled = vec![accepted(spec()), LogRecord::Cancelled, rest(Outcome::Cancelled, &[0, 1])];
        assert_eq!(read(cancelled), Err(NotAdoptable::Cancelled));
        let child = |join| accepted(Submission { after: vec![PARENT, JobId(5)], join, ..spec() });
        let end = LogRecord::ParentEnded(ParentEnd { parent: PARENT, succeeded: false });
        let skipped = read(vec![child(Join::AllSucceeded), end.clone()]);
        assert_eq!(skipped, Err(NotAdoptable::Skipped { parent: PARENT }));
        let adoption = read(vec![child(Join::AllEnded), end]).expect("it can be adopted");
        assert_eq!(adoption.spec().after, [JobId(5)], "of the other one's end nothing is known");
    }

    #[test]
    fn records_that_no_owner_writes_are_refused_within_bounds() {
        let far = read(vec![accepted(spec()), ended(u32::MAX, Outcome::Done)]);
        let no_task = Unsound::NoSuchTask { index: u32::MAX, tasks: 2 };
        assert_eq!(far, Err(NotAdoptable::Unsound(no_task)));
        assert_eq!(read(Vec::new()), Err(NotAdoptable::Unsound(Unsound::NotAccepted)));
    }
}
