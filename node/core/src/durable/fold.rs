//! One job's log, read from its beginning: what the records say together. It refuses what no owner writes, with a name,
//! and touches nothing else. The driver feeds it, one job at a time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::record::{Accepted, Kept, LogRecord, NotTaken, ParentEnd, REASON_BYTES_MAX, Rest};
use super::restored::{Fate, Figures, KeptEnd, KeptTask, Restored};
use super::unsound::Unsound;
use crate::task::{Payload, Report};
use crate::time::Time;

/// The fold over one job's log.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    job: Option<Box<Restored>>,
    /// Tasks of the submission.
    submitted: usize,
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
        let submitted = self.submitted;
        let Some(job) = self.job.as_deref_mut() else {
            let LogRecord::Accepted(accepted) = record else { return Err(Unsound::NotAccepted) };
            self.submitted = usize::try_from(accepted.tasks).unwrap_or(usize::MAX);
            let mut job = accept(*accepted)?;
            if self.figures.is_some() {
                (job.figures, job.tasks, self.submitted) = (self.figures, Vec::new(), 0);
            }
            self.job = Some(Box::new(job));
            return Ok(());
        };
        let again = matches!(record, LogRecord::Retried { .. });
        if job.ended && !again {
            return Err(Unsound::AfterEnd);
        }
        let is_of_tasks =
            matches!(record, LogRecord::Extended { .. } | LogRecord::Outcomes(_) | LogRecord::Rest(_));
        if self.figures.is_some() && is_of_tasks {
            return Ok(());
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
            LogRecord::Led { epoch, at: _ } => enter(job, epoch),
            LogRecord::Replaced { .. } => Ok(()),
            LogRecord::NotTaken(not_taken) => note_not_taken(job, not_taken),
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
    /// When there was no record, or inputs are missing, or a job that was known to have ended has not.
    pub fn into_restored(self) -> Result<Box<Restored>, Unsound> {
        let job = self.job.ok_or(Unsound::NotAccepted)?;
        check_whole(&job, self.submitted)?;
        if self.figures.is_some() && !job.ended {
            return Err(Unsound::NotEnded);
        }
        Ok(job)
    }
}

fn accept(accepted: Accepted) -> Result<Restored, Unsound> {
    let Accepted { mut spec, tasks: _, at, parents, trio: _ } = accepted;
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
        not_taken: None,
        figures: None,
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
        job.tasks.push(KeptTask { input: Some(input), end: None });
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
        self.parents.clear();
        (self.cancelled, self.given_up, self.ended) = (false, false, false);
        for task in &mut self.tasks {
            task.end = task.end.filter(|end| matches!(end.fate, Fate::Done(_)));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::sync::Arc;
    use alloc::vec;

    use super::super::{LOG_VERSION, Level, RECORD_BYTES_MAX, RestTask};
    use super::*;
    use crate::id::{BlobId, JobId};
    use crate::outcome::{Failure, Outcome};
    use crate::submission::Submission;
    use crate::task::{Entry, INLINE_BYTES_MAX, Limits, Profile, Program};

    const JOB: JobId = JobId(7);
    const PARENT: JobId = JobId(6);

    fn accepted(inputs: u32, tasks: u32) -> LogRecord {
        let program = Program {
            module: BlobId::of(b"module"),
            module_bytes: 6,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::Blob { id: BlobId::of(b"files"), bytes: 5 },
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        };
        let spec = Submission {
            level: Level::Disk,
            after: vec![PARENT],
            ..Submission::new(JOB, Arc::new(program), inputs_from(0..inputs))
        };
        LogRecord::Accepted(Box::new(Accepted { spec, tasks, at: Time(5), parents: Vec::new(), trio: None }))
    }

    fn inputs_from(numbers: core::ops::Range<u32>) -> Vec<Payload> {
        numbers.map(|number| Payload::inline(&number.to_le_bytes())).collect()
    }

    fn kept(index: u32, outcome: Outcome) -> Kept {
        let report = Report::bare(outcome);
        Kept { index, report, worker: None, attempts: 2, memo: None, proof: None, verified: None }
    }

    fn failed() -> Outcome {
        Outcome::Failed(Failure::Exit(1))
    }

    fn outcomes(all: &[(u32, Outcome)]) -> LogRecord {
        LogRecord::Outcomes(all.iter().map(|(index, outcome)| kept(*index, outcome.clone())).collect())
    }

    fn rest(indexes: &[u32]) -> LogRecord {
        let tasks = indexes.iter().map(|index| RestTask { index: *index, attempts: 1 });
        LogRecord::Rest(Rest { outcome: Outcome::Cancelled, tasks: tasks.collect() })
    }

    fn fold(records: Vec<LogRecord>) -> Result<Box<Restored>, Unsound> {
        let mut fold = Fold::new();
        records.into_iter().try_for_each(|record| fold.apply(LogRecord::decode(&record.encode())?))?;
        fold.into_restored()
    }

    #[test]
    fn a_log_says_what_the_job_is() {
        let log = vec![
            accepted(1, 3),
            LogRecord::Extended { inputs: inputs_from(1..3) },
            outcomes(&[(2, Outcome::Done)]),
            LogRecord::Restarted { epoch: 2, at: Time(9) },
            outcomes(&[(0, failed())]),
            LogRecord::ParentEnded(ParentEnd { parent: PARENT, succeeded: true }),
            LogRecord::Cancelled,
            rest(&[1]),
            LogRecord::Ended,
        ];
        let job = fold(log.clone()).expect("an owner may write it");
        let figures = job.figures();
        assert_eq!((figures.tasks, figures.done, figures.failed, figures.cancelled), (3, 1, 1, 1));
        assert!(job.has_ended() && job.is_cancelled() && !job.is_open());
        assert_eq!((job.epoch, job.submitted_at(), job.parents.len()), (2, Time(5), 1));
        let again = LogRecord::Retried { epoch: 3, at: Time(20) };
        let job = fold(log.into_iter().chain([again]).collect()).expect("an owner may write it");
        assert_eq!((job.figures().open(), job.figures().done, job.submitted_at()), (2, 1, Time(20)));
        assert!(!job.has_ended() && !job.is_cancelled() && job.retried);
        let input = job.tasks.first().and_then(|task| task.input.clone());
        assert_eq!(input, inputs_from(0..1).pop(), "what failed can be tried again");
    }

    #[test]
    fn of_a_job_that_is_known_to_have_ended_records_of_tasks_may_be_left_out() {
        let figures = Figures { tasks: 3, done: 1, failed: 1, cancelled: 1 };
        let log = [
            accepted(1, 3),
            LogRecord::Restarted { epoch: 2, at: Time(9) },
            LogRecord::Cancelled,
            rest(&[1]),
            LogRecord::Ended,
            LogRecord::Retried { epoch: 3, at: Time(20) },
            LogRecord::Cancelled,
            LogRecord::Ended,
        ];
        let fold = |records: usize| {
            let mut fold = Fold::of_ended(figures);
            log.iter().take(records).cloned().try_for_each(|record| fold.apply(record))?;
            fold.into_restored()
        };
        let job = fold(8).expect("an owner may write it");
        assert_eq!((job.figures(), job.epoch, job.tasks.len()), (figures, 3, 0));
        assert!(job.has_ended() && job.is_cancelled());
        assert!(fold(5).is_ok());
        for (records, why) in [(0, Unsound::NotAccepted), (4, Unsound::NotEnded), (7, Unsound::NotEnded)] {
            assert_eq!(fold(records).err(), Some(why), "{records} records");
        }
    }

    #[test]
    fn what_no_owner_writes_is_refused_by_its_name() {
        let restarted = |epoch| LogRecord::Restarted { epoch, at: Time(9) };
        let more = || LogRecord::Extended { inputs: inputs_from(1..2) };
        let all = || outcomes(&[(0, Outcome::Done)]);
        let parent = ParentEnd { parent: JOB, succeeded: true };
        let long = vec![Payload::Inline(vec![0; INLINE_BYTES_MAX + 1].into())];
        let table = [
            (vec![], Unsound::NotAccepted),
            (vec![LogRecord::Closed], Unsound::NotAccepted),
            (vec![accepted(1, 1), accepted(1, 1)], Unsound::AcceptedTwice),
            (vec![accepted(1, 2)], Unsound::Incomplete { found: 1, tasks: 2 }),
            (vec![accepted(1, 2), all()], Unsound::Incomplete { found: 1, tasks: 2 }),
            (vec![accepted(1, 1), more()], Unsound::ExtendedAfterClose),
            (vec![accepted(0, 1), LogRecord::Extended { inputs: long }], Unsound::TooLong { index: 0 }),
            (vec![accepted(1, 1), rest(&[1])], Unsound::NoSuchTask { index: 1, tasks: 1 }),
            (vec![accepted(1, 1), all(), all()], Unsound::EndedTwice { index: 0 }),
            (vec![accepted(1, 1), all(), rest(&[0])], Unsound::EndedTwice { index: 0 }),
            (
                vec![accepted(1, 1), outcomes(&[(0, Outcome::Lost("x".repeat(20_000)))])],
                Unsound::TooLong { index: 0 },
            ),
            (vec![accepted(1, 1), LogRecord::ParentEnded(parent)], Unsound::NoSuchParent { parent: JOB }),
            (vec![accepted(1, 1), restarted(1)], Unsound::EpochBack { before: 1, epoch: 1 }),
            (vec![accepted(1, 1), restarted(3), restarted(2)], Unsound::EpochBack { before: 3, epoch: 2 }),
            (vec![accepted(1, 1), LogRecord::Ended], Unsound::EndedEarly { open: 1 }),
            (vec![accepted(1, 1), all(), LogRecord::Ended, restarted(2)], Unsound::AfterEnd),
            (vec![accepted(1, 1), LogRecord::Retried { epoch: 2, at: Time(9) }], Unsound::RetriedEarly),
        ];
        for (number, (records, why)) in table.into_iter().enumerate() {
            assert_eq!(fold(records).err(), Some(why), "log {number}");
        }
    }

    #[test]
    fn bytes_of_another_version_or_shape_are_refused() {
        let bytes = LogRecord::Closed.encode();
        let newer: Vec<u8> = [LOG_VERSION + 1].into_iter().chain(bytes.iter().copied().skip(1)).collect();
        let tail: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        // Variant 1 is `Extended`; its vector claims 2^62 inputs.
        let forged = vec![LOG_VERSION, 1, 253, 0, 0, 0, 0, 0, 0, 0, 64];
        for (bytes, why) in [
            (newer, Unsound::Version { found: LOG_VERSION + 1 }),
            (tail, Unsound::Malformed),
            (forged, Unsound::Malformed),
            (Vec::new(), Unsound::Malformed),
        ] {
            assert_eq!(LogRecord::decode(&bytes), Err(why), "{bytes:?}");
        }
        assert_eq!(LogRecord::decode(&bytes), Ok(LogRecord::Closed));
    }

    #[test]
    fn the_longest_records_are_within_their_bound_and_name_their_blobs() {
        let report = Report {
            output: Payload::inline(&[1; INLINE_BYTES_MAX]),
            errors: Payload::inline(&[1; INLINE_BYTES_MAX]),
            files: Payload::Blob { id: BlobId::of(b"out"), bytes: 3 },
            ..Report::bare(Outcome::Lost(String::from("x")))
        };
        let kept = Kept { report, ..kept(0, Outcome::Done) };
        let mut all = Vec::new();
        let mut cost = 0;
        while cost < super::super::RECORD_BYTES_SOFT {
            cost += kept.cost();
            all.push(kept.clone());
        }
        assert!(LogRecord::Outcomes(all).encode().len() <= RECORD_BYTES_MAX);
        let tasks = (0..65_536).map(|index| RestTask { index: u32::MAX - index, attempts: u32::MAX });
        let rest = LogRecord::Rest(Rest { outcome: Outcome::Cancelled, tasks: tasks.collect() });
        let bytes = rest.encode();
        assert!(bytes.len() <= RECORD_BYTES_MAX && LogRecord::decode(&bytes) == Ok(rest));
        let named: Vec<BlobId> = accepted(1, 1).blobs().collect();
        assert_eq!(named, [BlobId::of(b"module"), BlobId::of(b"files")]);
        let named: Vec<BlobId> = LogRecord::Outcomes(vec![kept]).blobs().collect();
        assert_eq!(named, [BlobId::of(b"out")]);
    }
}
