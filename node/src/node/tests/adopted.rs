//! A new job in place of one that other nodes kept, too, and that no node leads: from a log on this node's disk.

use weft_core::custody::{Keepers, Seat, Trio};
use weft_core::durable::{Accepted, Kept, LogRecord, NotAdoptable};
use weft_core::input::Submission;
use weft_core::{BlobId, JobId, Level, Outcome, Payload, PeerId, Program, Report, Time};

use super::kept::{JOB, Life, ended, meta, with_settings};
use super::*;
use crate::handle::{ADOPTED_FROM, Heir, Inheritance, NotAdopted};
use crate::jobs::{JobState, JobTable, Portion, Title};
use crate::keeping::{self, Opened, Order, Place};
use crate::settings::JOURNAL_DIR;

const HEIR: JobId = JobId(6);
const ALL: Portion = Portion { results_max: 100, bytes: usize::MAX };

/// What a node's disk has of a job that it keeps for others.
struct Copy {
    log: Vec<LogRecord>,
    /// Bytes of the store that are gone.
    lost: Option<BlobId>,
}

/// The job's own records, behind the first, which says that it has two inputs and is open.
fn copy(behind: Vec<LogRecord>) -> Copy {
    Copy { log: behind, lost: None }
}

fn outcome(index: u32, outcome: Outcome, output: Payload) -> LogRecord {
    let report = Report { output, ..Report::bare(outcome) };
    let worker = Some(PeerId([9; 32]));
    LogRecord::Outcomes(vec![Kept {
        index,
        report: report.into(),
        worker,
        attempts: 1,
        memo: None,
        proof: None,
        verified: None,
    }])
}

fn done(index: u32) -> LogRecord {
    outcome(index, Outcome::Done, Payload::inline(b"there"))
}

fn more() -> LogRecord {
    LogRecord::Extended { inputs: vec![Payload::inline(b"2"), Payload::inline(b"3")] }
}

/// The next life of a node that has this copy.
async fn life_with(settings: &Settings, copy: Copy) -> Life {
    let life = Life::begin(settings).await;
    let (me, store) = (life.handle.info().peer, life.handle.store().clone());
    let module = store.put(b"no module").unwrap();
    life.end().await;
    let place = Place { dir: settings.data_dir.join(JOURNAL_DIR), me, mark: None, reserve_bytes: 0 };
    let wake = Arc::new(Notify::new());
    let opened = keeping::open(&place, &store, &Arc::new(JobTable::new()), Arc::clone(&wake)).unwrap();
    let Opened { keeper, disk, .. } = opened;
    let seats = [(PeerId([1; 32]), 11), (me, disk), (PeerId([2; 32]), 12)];
    let inputs = vec![Payload::inline(b"0"), Payload::inline(b"1")];
    let program = Arc::new(Program::command(module, 9));
    let spec = Submission { level: Level::Mesh, closed: false, ..Submission::new(JOB, program, inputs) };
    let keepers = Keepers::Trio(Trio(seats.map(|(peer, disk)| Seat { peer, disk })));
    let accepted = Accepted { spec, tasks: 2, at: Time(1), parents: Vec::new(), keepers };
    let log = std::iter::once(LogRecord::Accepted(Box::new(accepted))).chain(copy.log);
    let mut last = 0;
    for (ticket, record) in (1..).zip(log) {
        record.blobs().for_each(|blob| store.pin(blob));
        keeper.add(Order::Keep { ticket, job: JOB, record: Box::new(record), bytes: None, listing: None });
        last = ticket;
    }
    let is_last = |news: &keeping::Word| matches!(news, keeping::Word::Input(Input::Persisted { upto }) if *upto == last);
    while !keeper.news().iter().any(is_last) {
        wake.notified().await;
    }
    drop((keeper, store));
    copy.lost.into_iter().for_each(|lost| remove(settings, lost));
    Life::begin(settings).await
}

/// Takes a blob out of a store that is not open.
fn remove(settings: &Settings, blob: BlobId) {
    let shard = settings.data_dir.join("blobs").join(format!("{:02x}", blob.0[0]));
    std::fs::remove_file(shard.join(blob.to_string())).unwrap();
}

fn heir() -> Heir {
    let labels = [(ADOPTED_FROM.to_owned(), JOB.to_string())].into();
    Heir { job: HEIR, level: Level::Disk, title: Title { name: String::from("friday"), labels } }
}

/// The results of a job: its tasks with their outcomes in a word, and their outputs.
async fn results(handle: &NodeHandle, job: JobId) -> Vec<(u32, &'static str, Payload)> {
    let results = handle.results_now(job, 0, ALL).await.unwrap();
    let mut ends: Vec<_> = results
        .ends
        .into_iter()
        .map(|end| (end.index, end.report.outcome.word(), end.report.output.clone()))
        .collect();
    ends.sort_by_key(|(index, ..)| *index);
    ends
}

#[test]
fn what_the_copy_has_goes_over_and_the_rest_runs_also_after_a_restart() {
    with_settings(async |settings| {
        let log = vec![done(1), more(), done(2), LogRecord::Closed];
        let life = life_with(&settings, copy(log)).await;
        let inheritance = Inheritance { tasks: 4, outcomes: 2, is_half: false };
        assert_eq!(life.handle.adoptable(JOB).await, Ok(inheritance));
        assert_eq!(life.handle.adopt(JOB, heir()).await, Ok(inheritance));
        ended(&life.handle, HEIR).await;
        let there = Payload::inline(b"there");
        let none = Payload::empty();
        let expected = vec![
            (0, "invalid", none.clone()),
            (1, "done", there.clone()),
            (2, "done", there),
            (3, "invalid", none),
        ];
        assert_eq!(results(&life.handle, HEIR).await, expected);
        let before = NotAdopted::Before { job: JOB, heir: HEIR };
        assert_eq!(life.handle.adopt(JOB, Heir { job: JobId(7), ..heir() }).await, Err(before.clone()));
        life.end().await;
        let life = Life::begin(&settings).await;
        assert_eq!(results(&life.handle, HEIR).await, expected);
        assert_eq!(life.handle.adoptable(JOB).await, Err(before), "that is known in later lives, too");
        let summary = life.handle.jobs().summary(HEIR).unwrap();
        assert_eq!(
            (summary.meta.title.name.as_str(), summary.meta.owner),
            ("friday", life.handle.info().peer)
        );
        assert!(life.handle.jobs().is_followed(JOB), "the old job is left as it is");
        life.end().await;
    });
}

#[test]
fn half_a_job_is_cancelled_and_can_be_tried_again() {
    with_settings(async |settings| {
        let life = life_with(&settings, copy(vec![done(1)])).await;
        let handle = &life.handle;
        let half = Inheritance { tasks: 2, outcomes: 1, is_half: true };
        assert_eq!(handle.adopt(JOB, heir()).await, Ok(half));
        let summary = handle.jobs().summary(HEIR).unwrap();
        // The other task may have begun before, and its module is none.
        let rest = summary.failed + summary.cancelled;
        assert_eq!((summary.state(), summary.done, rest), (JobState::Cancelled, 1, 1));
        handle.retry(HEIR).await.unwrap();
        ended(handle, HEIR).await;
        let summary = handle.jobs().summary(HEIR).unwrap();
        assert_eq!((summary.state(), summary.done, summary.failed), (JobState::Failed, 1, 1));
        life.end().await;
    });
}

#[test]
fn an_outcome_whose_output_is_not_here_runs_again() {
    with_settings(async |settings| {
        let lost = BlobId::of(b"a long output");
        let output = Payload::Blob { id: lost, bytes: 13 };
        let log = vec![outcome(0, Outcome::Done, output), done(1), LogRecord::Closed];
        let life = life_with(&settings, copy(log)).await;
        let adopted = life.handle.adopt(JOB, heir()).await;
        assert_eq!(adopted, Ok(Inheritance { tasks: 2, outcomes: 1, is_half: false }));
        ended(&life.handle, HEIR).await;
        let words: Vec<_> = results(&life.handle, HEIR).await.into_iter().map(|(_, word, _)| word).collect();
        assert_eq!(words, ["invalid", "done"]);
        life.end().await;
    });
}

#[test]
fn what_can_not_go_on_is_refused_and_leaves_nothing() {
    with_settings(async |settings| {
        let module = BlobId::of(b"no module");
        let life = life_with(&settings, Copy { log: vec![LogRecord::Closed], lost: Some(module) }).await;
        let no_bytes = NotAdopted::NoBytes { job: JOB, missing: 1, first: module };
        assert_eq!(life.handle.adopt(JOB, heir()).await, Err(no_bytes));
        assert!(!life.handle.jobs().is_known(HEIR));
        life.end().await;
    });
    with_settings(async |settings| {
        let life = life_with(&settings, copy(vec![LogRecord::Cancelled])).await;
        let cancelled = NotAdopted::Unfit { job: JOB, why: NotAdoptable::Cancelled };
        assert_eq!(life.handle.adopt(JOB, heir()).await, Err(cancelled));
        let own = NotAdopted::OfThisNode(HEIR);
        life.handle.jobs().create(HEIR, meta(BlobId([0; 32]), Level::Disk)).unwrap();
        assert_eq!(life.handle.adoptable(HEIR).await, Err(own));
        life.handle.jobs().retract(HEIR);
        life.end().await;
    });
}
