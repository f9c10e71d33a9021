//! The bytes of a kept job's records as they are on disks: a change of them is a new version, never a surprise.
#![expect(clippy::panic, reason = "a test may panic")]

use std::sync::Arc;

use weft_core::custody::{Keepers, Pair, Seat, Trio};
use weft_core::durable::{
    Accepted, Fold, GivenTasks, Kept, LOG_VERSION, LOG_VERSION_OLDEST, LogRecord, NotTaken, ParentEnd, Rest,
    RestTask, TaskRange, Unsound,
};
use weft_core::message::{Class, Needs};
use weft_core::*;

const NODE: PeerId = PeerId([0xab; 32]);

/// One record of each kind, with something in each of its fields, and its bytes as digits. A kind that is missing does not
/// compile.
fn name(record: &LogRecord) -> &'static str {
    match record {
        LogRecord::Accepted(_) => "accepted",
        LogRecord::Extended { .. } => "extended",
        LogRecord::Closed => "closed",
        LogRecord::Outcomes(_) => "outcomes",
        LogRecord::Rest(_) => "rest",
        LogRecord::ParentEnded(_) => "parent ended",
        LogRecord::Cancelled => "cancelled",
        LogRecord::GivenUp { .. } => "given up",
        LogRecord::Restarted { .. } => "restarted",
        LogRecord::Ended { .. } => "ended",
        LogRecord::Retried { .. } => "retried",
        LogRecord::Led { .. } => "led",
        LogRecord::Replaced { .. } => "replaced",
        LogRecord::NotTaken(_) => "not taken",
        LogRecord::Given { .. } => "given",
        LogRecord::Leased { .. } => "leased",
        LogRecord::Resolved { .. } => "resolved",
    }
}

fn blob(name: &[u8], bytes: u64) -> Payload {
    Payload::Blob { id: BlobId::of(name), bytes }
}

/// A job with something in each field of its submission.
fn accepted() -> Accepted {
    let program = Program {
        module: BlobId::of(b"module"),
        module_bytes: 1000,
        entry: Entry::Function(String::from("score")),
        args: vec![String::from("-v")],
        env: vec![(String::from("LANG"), String::from("C"))],
        files: blob(b"files", 2048),
        profile: Profile::Portable,
        limits: Limits { fuel: Some(5), ..Limits::DEFAULT },
    };
    let policy = Policy {
        not_before_ms: 1,
        deadline_ms: Some(2),
        expires_ms: Some(3),
        retries: 4,
        backoff: Backoff { first_ms: 5, most_ms: 6, jitter_percent: 7 },
        give_up_ms: Some(8),
        failures_max: Some(9),
        verify: 3,
        backups: false,
    };
    let spec = Submission {
        needs: Needs { labels: vec![(String::from("gpu"), String::from("yes"))], slots: 2 },
        class: Class::Interactive,
        terms: Terms { memo: Recall::Mesh, receipts: true, stream: true },
        policy,
        closed: false,
        after: vec![JobId(6)],
        join: Join::AllEnded,
        level: Level::Mesh,
        about: About {
            name: String::from("friday"),
            labels: vec![(String::from("team"), String::from("fonts"))],
            shared: true,
            submitted_ms: 1_700_000_000_000,
        },
        ..Submission::new(JobId(7), Arc::new(program), vec![Payload::inline(b"first"), blob(b"long", 70_000)])
    };
    let seat = |number: u8| Seat { peer: PeerId([number; 32]), disk: u64::from(number) };
    Accepted {
        spec,
        tasks: 3,
        at: Time(1_700_000_000_000_000),
        parents: vec![ParentEnd { parent: JobId(6), succeeded: true }],
        keepers: Keepers::Trio(Trio([1, 2, 3].map(seat))),
    }
}

fn outcomes() -> Vec<Kept> {
    let usage = Usage {
        wall_us: 1,
        cpu_us: 2,
        compile_us: 3,
        queue_us: 4,
        memory_bytes: 5,
        fuel: Some(6),
        in_bytes: 7,
        out_bytes: 8,
    };
    let done = Report {
        outcome: Outcome::Done,
        output: Payload::inline(b"out"),
        errors: blob(b"errors", 20_000),
        files: Payload::empty(),
        usage,
    };
    let failed = Report::bare(Outcome::Failed(Failure::Error(String::from("no"))));
    let proof = Proof { index: 1, count: 2, path: vec![[9; 32]], signature: [8; 64] };
    let verified = Verified { agreed: vec![NODE], differed: vec![PeerId([1; 32])] };
    vec![
        Kept {
            index: 0,
            report: done.into(),
            worker: Some(NODE),
            attempts: 2,
            memo: Some(Recalled::Worker),
            proof: Some(proof.into()),
            verified: Some(verified),
        },
        Kept {
            index: 2,
            report: failed.into(),
            worker: None,
            attempts: 1,
            memo: None,
            proof: None,
            verified: None,
        },
    ]
}

fn records() -> Vec<LogRecord> {
    let at = Time(1_700_000_000_000_001);
    let rest = Rest { outcome: Outcome::Cancelled, tasks: vec![RestTask { index: 1, attempts: 300 }] };
    let ranges = vec![TaskRange { first: 2, more: 0 }, TaskRange { first: 0, more: 1 }];
    vec![
        LogRecord::Accepted(Box::new(accepted())),
        LogRecord::Extended { inputs: vec![Payload::inline(b"third")] },
        LogRecord::NotTaken(NotTaken { tasks: 7, why: String::from("no room") }),
        LogRecord::Closed,
        LogRecord::ParentEnded(ParentEnd { parent: JobId(6), succeeded: false }),
        LogRecord::Outcomes(outcomes()),
        LogRecord::Restarted { epoch: 4, at },
        LogRecord::Led { epoch: 6, at },
        LogRecord::Replaced { seat: 2, by: Seat { peer: NODE, disk: 77 } },
        LogRecord::Given { workers: vec![NODE] },
        LogRecord::Leased { all: vec![GivenTasks { worker: NODE, ranges }] },
        LogRecord::GivenUp { failed: 1 },
        LogRecord::Cancelled,
        LogRecord::Rest(rest),
        LogRecord::Ended { at: Time(9) },
        LogRecord::Retried { epoch: 9, at },
        LogRecord::Resolved { inputs: vec![(1, blob(b"output", 30_000)), (0, Payload::inline(b"out"))] },
    ]
}

/// The bytes as they were recorded, each line a record: its name and its bytes as digits.
const RECORDED: &str = include_str!("golden/records.txt");

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(|pair| byte(pair).unwrap_or_else(|| panic!("no digits: {digits}"))).collect()
}

#[test]
fn the_bytes_of_each_kind_of_record_are_those_that_were_recorded() {
    let written: Vec<String> =
        records().iter().map(|record| format!("{}: {}", name(record), digits(&record.encode()))).collect();
    let recorded: Vec<&str> = RECORDED.lines().collect();
    assert_eq!(
        recorded,
        written,
        "records of version {LOG_VERSION} have other bytes: disks that have the old ones would be misread. Give them a new \
         version, or record them again if none was released. They are now:\n{}\n",
        written.join("\n")
    );
}

#[test]
fn recorded_bytes_are_read_as_what_they_were() {
    let read: Vec<LogRecord> = RECORDED
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(_, digits)| LogRecord::decode(&bytes(digits)).unwrap_or_else(|error| panic!("{error}")))
        .collect();
    assert_eq!(read, records());
    let mut fold = Fold::new();
    // Those that have no place in the log of a job at level mesh whose client brings its inputs.
    let has_place =
        |record: &LogRecord| !matches!(record, LogRecord::Restarted { .. } | LogRecord::Resolved { .. });
    for record in read.into_iter().filter(has_place) {
        fold.apply(record).unwrap_or_else(|error| panic!("{error}"));
    }
    let job = fold.into_restored().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((job.job(), job.figures().tasks, job.figures().done), (JobId(7), 3, 1));
}

/// Outcomes as versions 2 to 4 wrote them.
const OUTCOMES_UNPACKED: &str = include_str!("golden/outcomes-unpacked.txt");

#[test]
fn outcomes_that_older_versions_wrote_are_read_as_what_they_were() {
    let read = LogRecord::decode(&bytes(OUTCOMES_UNPACKED.trim_end()));
    assert_eq!(read, Ok(LogRecord::Outcomes(outcomes())));
}

#[test]
fn the_end_of_a_job_in_a_log_of_an_older_version_says_no_time() {
    assert_eq!(LogRecord::decode(&[2, 9]), Ok(LogRecord::Ended { at: Time::ZERO }));
    for wrong in [&[7, 9][..], &[2, 9, 9, 9], &[5, 9]] {
        assert_eq!(LogRecord::decode(wrong), Err(Unsound::Malformed));
    }
}

#[test]
fn the_first_record_of_a_job_with_a_copy_is_a_kind_of_its_own_and_the_others_are_as_they_were() {
    let first = |keepers| LogRecord::Accepted(Box::new(Accepted { keepers, ..accepted() }));
    let pair = Pair { owner: Seat { peer: NODE, disk: 77 }, copy: PeerId([9; 32]) };
    let copied = first(Keepers::Copied(pair));
    let mut expected = first(Keepers::Owner).encode();
    assert_eq!(expected.pop(), Some(0), "as without a trio before");
    assert_eq!(expected.first(), Some(&2));
    expected.first_mut().into_iter().for_each(|version| *version = 4);
    expected.push(2);
    expected.extend(NODE.0);
    expected.push(77);
    expected.extend([9; 32]);
    assert_eq!(digits(&copied.encode()), digits(&expected));
    assert_eq!(LogRecord::decode(&expected), Ok(copied));
}

/// The first record of a job that takes results of another one.
fn taking() -> LogRecord {
    let mut accepted = accepted();
    (accepted.spec.join, accepted.spec.inputs, accepted.tasks) = (Join::EachResult, Vec::new(), 0);
    LogRecord::Accepted(Box::new(accepted))
}

#[test]
fn the_first_record_of_a_job_that_takes_results_is_a_kind_of_its_own() {
    assert_eq!(
        taking().encode().first(),
        Some(&6),
        "an older program refuses it, and does not run it without inputs"
    );
    assert_eq!(LogRecord::decode(&taking().encode()), Ok(taking()));
}

#[test]
fn the_first_record_of_a_job_that_gathers_is_a_kind_of_its_own() {
    let mut accepted = accepted();
    (accepted.spec.join, accepted.spec.inputs) = (Join::Gather, vec![Payload::empty()]);
    (accepted.spec.after, accepted.tasks) = (vec![JobId(7)], 1);
    let gathering = LogRecord::Accepted(Box::new(accepted));
    assert_eq!(gathering.encode().first(), Some(&8), "an older program refuses it");
    assert_eq!(LogRecord::decode(&gathering.encode()), Ok(gathering));
}

#[test]
fn what_takes_results_is_read_with_the_inputs_that_are_known() {
    let more = LogRecord::Extended { inputs: vec![Payload::empty(); 2] };
    let resolved = |index| LogRecord::Resolved { inputs: vec![(index, Payload::inline(b"out"))] };
    let fold = |records: &[LogRecord]| {
        let mut fold = Fold::new();
        let all = [&[taking(), more.clone()], records].concat();
        all.into_iter().try_for_each(|record| fold.apply(record)).map(|()| fold)
    };
    let done = Kept { index: 1, ..outcomes().remove(0) };
    let job = fold(&[resolved(1), LogRecord::Closed, LogRecord::Outcomes(vec![done])]);
    let job = job.map(Fold::into_restored).unwrap_or_else(|error| panic!("{error}"));
    let job = job.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((job.figures().tasks, job.figures().done, job.figures().open()), (2, 1, 1));
    assert!(!job.awaits_client());
    for (records, error) in [
        (&[resolved(2)][..], Unsound::NoSuchTask { index: 2, tasks: 2 }),
        (&[resolved(0), resolved(0)], Unsound::ResolvedTwice { index: 0 }),
        (&[LogRecord::Closed, more.clone()], Unsound::ExtendedAfterClose),
    ] {
        assert_eq!(fold(records).err(), Some(error));
    }
}

#[test]
fn a_record_of_a_version_that_is_too_old_is_refused_with_what_to_do() {
    for record in records() {
        let mut bytes = record.encode();
        if let Some(version) = bytes.first_mut() {
            *version = LOG_VERSION_OLDEST - 1;
        }
        let error = LogRecord::decode(&bytes).err();
        assert_eq!(error, Some(Unsound::Version { found: 1 }));
        assert_eq!(
            error.map(|error| error.to_string()).as_deref(),
            Some(
                "a record is of version 1, this program reads versions 2 to 8: start the version of weft that wrote it"
            )
        );
    }
}
