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
    Kept { index, report: report.into(), worker: None, attempts: 2, memo: None, proof: None, verified: None }
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
        LogRecord::Ended { at: Time(9) },
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
        LogRecord::Ended { at: Time(9) },
        LogRecord::Retried { epoch: 3, at: Time(20) },
        LogRecord::Cancelled,
        LogRecord::Ended { at: Time(9) },
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
        (vec![accepted(1, 1), LogRecord::Ended { at: Time(9) }], Unsound::EndedEarly { open: 1 }),
        (vec![accepted(1, 1), all(), LogRecord::Ended { at: Time(9) }, restarted(2)], Unsound::AfterEnd),
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
    log.extend([rest(&[2]), LogRecord::Ended { at: Time(9) }]);
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
        LogRecord::Ended { at: Time(9) },
        led(8),
        LogRecord::Replaced { seat: 2, by: seat(1) },
        LogRecord::Retried { epoch: 11, at: Time(20) },
        outcomes(&[(0, Outcome::Done)]),
        LogRecord::Ended { at: Time(9) },
    ];
    let upto = |records: usize| fold(log.iter().take(records).cloned().collect()).expect("a leader wrote it");
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
    let ended =
        fold(vec![of_mesh(1, 2), led(4), LogRecord::Ended { at: Time(9) }]).expect("it is to be forgotten");
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
    let older: Vec<u8> = [LOG_VERSION_OLDEST - 1].into_iter().chain(bytes.iter().copied().skip(1)).collect();
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
    let kept = Kept { report: report.into(), ..kept(0, Outcome::Done) };
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
