//! One job's log, read from its beginning: what the records say together. It refuses what no owner writes, with a name,
//! and touches nothing else. The driver feeds it, one job at a time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::given::{GIVEN_RANGES_MAX, Given, GivenTasks};
use super::record::{Accepted, Kept, LogRecord, NotTaken, ParentEnd, REASON_BYTES_MAX, Rest};
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
            LogRecord::Restarted { epoch, at: _ } if job.mesh.is_none() => enter(job, epoch),
            LogRecord::Ended => end_job(job),
            LogRecord::Retried { epoch, at } => retry(job, epoch, at),
            LogRecord::Led { epoch, at: _ } if job.mesh.is_some() => enter(job, epoch),
            LogRecord::Replaced { .. } if job.mesh.is_some() => Ok(()),
            LogRecord::NotTaken(not_taken) => note_not_taken(job, not_taken),
            LogRecord::Given { workers } => note_given(job, &workers),
            LogRecord::Leased { all } => note_leased(job, &all),
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
    let may_lack = matches!(record, LogRecord::Ended) && job.mesh.is_some();
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
    if job.is_whole() && (job.open || open > 0) {
        return Err(Unsound::EndedEarly { open });
    }
    job.ended = true;
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

    use super::super::{
        GIVEN_MAX, LOG_VERSION, LOG_VERSION_OLDEST, Level, RECORD_BYTES_MAX, RestTask, TaskRange,
    };
    use super::*;
    use crate::custody::trio::{Seat, Trio};
    use crate::id::{BlobId, JobId, PeerId};
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
        LogRecord::Accepted(Box::new(Accepted {
            spec,
            tasks,
            at: Time(5),
            parents: Vec::new(),
            keepers: Keepers::Owner,
        }))
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

    fn leased(worker: u8, ranges: &[(u32, u32)]) -> GivenTasks {
        let ranges = ranges.iter().map(|&(first, more)| TaskRange { first, more }).collect();
        GivenTasks { worker: PeerId([worker; 32]), ranges }
    }

    #[test]
    fn a_log_says_which_tasks_each_worker_was_given() {
        let given = |workers: &[u8]| LogRecord::Given {
            workers: workers.iter().map(|worker| PeerId([*worker; 32])).collect(),
        };
        let mut log = vec![
            accepted(3, 3),
            given(&[9]),
            LogRecord::Leased { all: vec![leased(1, &[(0, 1)]), leased(2, &[(2, 0)])] },
            outcomes(&[(1, Outcome::Done), (0, failed())]),
            LogRecord::Leased { all: vec![leased(2, &[(0, 0)])] },
        ];
        let of = |job: &Restored| {
            let workers: Vec<u8> = job.given.workers().map(|worker| worker.0[0]).collect();
            let tasks = |worker: u8| (0..4).filter(move |index| job.given.has(PeerId([worker; 32]), *index));
            workers.into_iter().map(|worker| (worker, tasks(worker).collect())).collect::<Vec<_>>()
        };
        let job = fold(log.clone()).expect("an owner may write it");
        // Of the one that an older program named it is not known what it was given.
        assert_eq!(of(&job), [(1, vec![0, 1]), (2, vec![0, 2]), (9, vec![])]);
        log.extend([rest(&[2]), LogRecord::Ended]);
        assert_eq!(of(&fold(log.clone()).expect("an owner may write it")), []);
        log.push(LogRecord::Retried { epoch: 2, at: Time(20) });
        log.push(LogRecord::Leased { all: vec![leased(1, &[(2, 0)])] });
        let again = fold(log).expect("an owner may write it");
        assert_eq!(of(&again), [(1, vec![2])], "what was given before it was tried again is of no use");
    }

    #[test]
    fn tasks_that_a_job_does_not_have_and_too_much_that_was_given_are_refused() {
        let of = |all: Vec<GivenTasks>| vec![accepted(2, 2), LogRecord::Leased { all }];
        let workers = |count: usize| -> Vec<GivenTasks> {
            let ids = (0..count).map(|number| {
                let mut id = [7; 32];
                id.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, of)| *byte = of);
                PeerId(id)
            });
            ids.map(|worker| GivenTasks { worker, ..leased(0, &[(1, 0)]) }).collect()
        };
        let ranges = |count: usize| vec![leased(1, &vec![(0, 1); count])];
        for (number, fine) in [workers(GIVEN_MAX), ranges(GIVEN_RANGES_MAX)].into_iter().enumerate() {
            assert!(fold(of(fine)).is_ok(), "log {number}");
        }
        let no_such = |index| Unsound::NoSuchTask { index, tasks: 2 };
        let end = of(vec![leased(1, &[(1, 1)])]);
        // It has that task only later.
        let early = [end.clone(), vec![LogRecord::Extended { inputs: inputs_from(2..3) }]].concat();
        let table = [
            (end, no_such(2)),
            (early, no_such(2)),
            (of(vec![leased(1, &[(0, 0), (2, 0)])]), no_such(2)),
            (of(vec![leased(1, &[(1, u32::MAX)])]), no_such(u32::MAX)),
            (of(vec![leased(1, &[(u32::MAX, 0)])]), no_such(u32::MAX)),
            (of(workers(GIVEN_MAX + 1)), Unsound::Malformed),
            (of(ranges(GIVEN_RANGES_MAX + 1)), Unsound::Malformed),
            (
                vec![accepted(1, 2), LogRecord::Leased { all: vec![leased(1, &[(0, 0)])] }],
                Unsound::Incomplete { found: 1, tasks: 2 },
            ),
        ];
        for (number, (records, why)) in table.into_iter().enumerate() {
            assert_eq!(fold(records).err(), Some(why), "log {number}");
        }
    }

    #[test]
    fn many_ranges_of_tasks_are_bounded_and_ended_ones_make_room() {
        let tasks = 4 * u32::try_from(GIVEN_RANGES_MAX).expect("it is small");
        let (first, second) = ((0..tasks / 2).step_by(2), (tasks / 2..tasks).step_by(2));
        let of = |worker, all: core::iter::StepBy<core::ops::Range<u32>>| LogRecord::Leased {
            all: vec![leased(worker, &all.map(|index| (index, 0)).collect::<Vec<_>>())],
        };
        let last = (PeerId([2; 32]), tasks - 2);
        let full = vec![accepted(tasks, tasks), of(1, first.clone()), of(2, second.clone())];
        let job = fold(full).expect("it is well-formed");
        assert!(job.given.has(PeerId([1; 32]), 0) && !job.given.has(last.0, last.1), "there is no room");
        let done: Vec<(u32, Outcome)> = (0..tasks / 2).map(|index| (index, Outcome::Done)).collect();
        let room = vec![accepted(tasks, tasks), of(1, first), outcomes(&done), of(2, second)];
        let job = fold(room).expect("it is well-formed");
        assert!(!job.given.has(PeerId([1; 32]), 0) && job.given.has(last.0, last.1));
    }

    fn seat(number: u8) -> Seat {
        Seat { peer: PeerId([number; 32]), disk: u64::from(number) }
    }

    /// The first record of a job at level mesh.
    fn of_mesh(inputs: u32, tasks: u32) -> LogRecord {
        let LogRecord::Accepted(mut first) = accepted(inputs, tasks) else { unreachable!() };
        (first.spec.level, first.keepers) = (Level::Mesh, Keepers::Trio(Trio([seat(1), seat(2), seat(3)])));
        LogRecord::Accepted(first)
    }

    fn led(epoch: u32) -> LogRecord {
        LogRecord::Led { epoch, at: Time(9) }
    }

    #[test]
    fn a_log_at_level_mesh_says_its_epochs_and_its_members() {
        let log = vec![
            of_mesh(1, 2),
            LogRecord::Extended { inputs: inputs_from(1..2) },
            outcomes(&[(1, Outcome::Done)]),
            led(7),
            LogRecord::Replaced { seat: 0, by: seat(4) },
            outcomes(&[(0, failed())]),
            LogRecord::Ended,
            led(8),
            LogRecord::Replaced { seat: 2, by: seat(1) },
            LogRecord::Retried { epoch: 11, at: Time(20) },
            outcomes(&[(0, Outcome::Done)]),
            LogRecord::Ended,
        ];
        let upto =
            |records: usize| fold(log.iter().take(records).cloned().collect()).expect("a leader wrote it");
        let of = |job: &Restored| {
            let spans = job.outline().expect("it is at level mesh").spans();
            let epochs = spans.epochs().iter().map(|span| (span.epoch, span.first));
            (epochs.collect::<Vec<_>>(), spans.last().seq)
        };
        let first = upto(2);
        assert_eq!((first.epoch, of(&first)), (3, (vec![(3, 1)], 2)));
        let ended = upto(9);
        assert!(ended.has_ended(), "who leads and who keeps it may change when it has ended");
        assert_eq!((ended.epoch, of(&ended)), (8, (vec![(3, 1), (7, 4), (8, 8)], 9)));
        assert_eq!(ended.trio(), Some(Trio([seat(4), seat(2), seat(1)])));
        let again = upto(10);
        assert!(!again.has_ended() && again.figures().open() == 1 && again.submitted_at() == Time(20));
        let all = upto(12);
        assert!(all.has_ended() && all.figures().done == 2);
        assert_eq!(of(&all), (vec![(3, 1), (7, 4), (8, 8), (11, 10)], 12));
    }

    #[test]
    fn a_log_at_level_mesh_that_lacks_inputs_is_kept_and_says_so() {
        let part = fold(vec![of_mesh(1, 2), led(4)]).expect("the rest may never come");
        assert!(!part.is_whole());
        assert_eq!(fold(vec![of_mesh(1, 2)]).map(|job| job.is_whole()), Ok(false));
        assert_eq!(fold(vec![of_mesh(2, 2)]).map(|job| job.is_whole()), Ok(true));
        let ended = fold(vec![of_mesh(1, 2), led(4), LogRecord::Ended]).expect("it is to be forgotten");
        assert!(ended.has_ended() && !ended.is_whole());
        let told = fold(vec![of_mesh(1, 2), outcomes(&[(0, Outcome::Done)])]);
        assert_eq!(told.err(), Some(Unsound::Incomplete { found: 1, tasks: 2 }));
    }

    #[test]
    fn records_of_another_level_and_trios_of_less_than_three_are_refused() {
        let without = |change: fn(&mut Accepted)| {
            let LogRecord::Accepted(mut first) = of_mesh(1, 1) else { unreachable!() };
            change(&mut first);
            LogRecord::Accepted(first)
        };
        let twice = Trio([seat(1), seat(2), Seat { disk: 9, ..seat(1) }]);
        let by = |seat: u8, by| LogRecord::Replaced { seat, by };
        let table = [
            (vec![without(|first| first.keepers = Keepers::Owner)], Unsound::NoTrio),
            (
                vec![without(|first| first.keepers = Keepers::Trio(Trio([seat(1), seat(0), seat(3)])))],
                Unsound::NoTrio,
            ),
            (vec![without(|first| first.spec.level = Level::Disk)], Unsound::OtherLevel),
            (vec![of_mesh(1, 1), LogRecord::Restarted { epoch: 4, at: Time(9) }], Unsound::OtherLevel),
            (vec![accepted(1, 1), led(4)], Unsound::OtherLevel),
            (vec![accepted(1, 1), by(0, seat(4))], Unsound::OtherLevel),
            (vec![of_mesh(1, 1), by(3, seat(4))], Unsound::Misplaced),
            (vec![of_mesh(1, 1), by(1, seat(3))], Unsound::Misplaced),
            (vec![of_mesh(1, 1), led(3)], Unsound::EpochBack { before: 3, epoch: 3 }),
            (vec![of_mesh(1, 1), led(u32::MAX)], Unsound::EpochBack { before: 3, epoch: u32::MAX }),
        ];
        for (number, (records, why)) in table.into_iter().enumerate() {
            assert_eq!(fold(records).err(), Some(why), "log {number}");
        }
        assert!(!twice.is_sound());
    }

    #[test]
    fn bytes_of_another_version_or_shape_are_refused() {
        let bytes = LogRecord::Closed.encode();
        let newer: Vec<u8> = [LOG_VERSION + 1].into_iter().chain(bytes.iter().copied().skip(1)).collect();
        let older: Vec<u8> =
            [LOG_VERSION_OLDEST - 1].into_iter().chain(bytes.iter().copied().skip(1)).collect();
        let tail: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        // Variant 1 is `Extended`; its vector claims 2^62 inputs.
        let forged = vec![LOG_VERSION_OLDEST, 1, 253, 0, 0, 0, 0, 0, 0, 0, 64];
        for (bytes, why) in [
            (newer, Unsound::Version { found: LOG_VERSION + 1 }),
            (older, Unsound::Version { found: LOG_VERSION_OLDEST - 1 }),
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
        let far = u32::MAX - 70_000;
        let all = (0..=255).map(|worker| leased(worker, &[(far, 70_000); GIVEN_RANGES_MAX / 256]));
        assert!(LogRecord::Leased { all: all.collect() }.encode().len() <= RECORD_BYTES_MAX);
        let named: Vec<BlobId> = accepted(1, 1).blobs().collect();
        assert_eq!(named, [BlobId::of(b"module"), BlobId::of(b"files")]);
        let named: Vec<BlobId> = LogRecord::Outcomes(vec![kept]).blobs().collect();
        assert_eq!(named, [BlobId::of(b"out")]);
    }
}
