use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use weft_blobs::Quota;
use weft_core::custody::Keepers;
use weft_core::durable::{Accepted, Kept as KeptEnd, LogRecord, NotTaken};
use weft_core::input::Submission;
use weft_core::{
    BlobId, Failure, Input, Level, Outcome, Payload, PeerId, Program, Remembered, Report, TaskId, Time, Usage,
};

use weft_journal::Listing;

use super::*;
use crate::jobs::JobTable;

mod custody;
mod gather;
mod starts;

const ME: PeerId = PeerId([7; 32]);
const JOB: JobId = JobId(5);
/// Far beyond what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ALL: Portion = Portion { results_max: 1000, bytes: usize::MAX };

struct Disk {
    _dir: tempfile::TempDir,
    place: Place,
    store: weft_blobs::Store,
    jobs: Arc<JobTable>,
    wake: Arc<tokio::sync::Notify>,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { dir: dir.path().join("journal"), me: ME, mark: None, reserve_bytes: 0 };
        let store = weft_blobs::Store::open(dir.path(), Quota { bytes: 1 << 30 }).unwrap();
        Self { _dir: dir, place, store, jobs: Arc::default(), wake: Arc::default() }
    }

    fn open(&self) -> Opened {
        open(&self.place, &self.store, &self.jobs, Arc::clone(&self.wake)).unwrap()
    }

    /// What the engine is told next.
    fn told(&self, keeper: &Keeper) -> Vec<Input> {
        let input = |word| match word {
            Word::Input(input) => input,
            Word::Recalled { job, restored, .. } => Input::Recalled { job, restored: Some(restored) },
            Word::Lost { .. } => panic!("{word:?}"),
        };
        self.words(keeper).into_iter().map(input).collect()
    }

    fn words(&self, keeper: &Keeper) -> Vec<Word> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            loop {
                let news = keeper.news();
                if !news.is_empty() {
                    return news;
                }
                tokio::time::timeout(PATIENCE, self.wake.notified()).await.expect("there is news");
            }
        })
    }

    fn wait_for(&self, keeper: &Keeper, ticket: u64) {
        loop {
            for input in self.told(keeper) {
                let Input::Persisted { upto } = input else { panic!("{input:?}") };
                if upto >= ticket {
                    return;
                }
            }
        }
    }
}

fn program(module: BlobId) -> Arc<Program> {
    Arc::new(Program::command(module, 1))
}

fn accepted(module: BlobId, tasks: u32) -> LogRecord {
    let inputs = (0..tasks).map(|index| Payload::inline(&index.to_le_bytes())).collect();
    let spec = Submission { level: Level::Disk, ..Submission::new(JOB, program(module), inputs) };
    LogRecord::Accepted(Box::new(Accepted {
        spec,
        tasks,
        at: Time(1_000_000),
        parents: Vec::new(),
        keepers: Keepers::Owner,
    }))
}

fn end(index: u32, outcome: Outcome, output: Payload) -> KeptEnd {
    let report = Report { output, ..Report::bare(outcome) };
    KeptEnd {
        index,
        report: report.into(),
        worker: Some(ME),
        attempts: 1,
        memo: None,
        proof: None,
        verified: None,
    }
}

fn done(index: u32) -> KeptEnd {
    end(index, Outcome::Done, Payload::inline(&[9]))
}

fn failed(index: u32) -> KeptEnd {
    end(index, Outcome::Failed(Failure::Error(String::from("no"))), Payload::empty())
}

/// Gives these records to the keeper, as the loop does, and waits until they are on the disk.
fn keep(place: &Disk, keeper: &Keeper, records: Vec<LogRecord>) {
    let mut last = 0;
    for (ticket, record) in (1..).zip(records) {
        record.blobs().for_each(|blob| place.store.pin(blob));
        keeper.add(Order::Keep { ticket, job: JOB, record: Box::new(record), bytes: None, listing: None });
        last = ticket;
    }
    place.wait_for(keeper, last);
}

fn page(keeper: &Keeper, cursor: u64, portion: Portion) -> (Vec<u32>, u64) {
    let part = keeper.kept().shelf.results(JOB, cursor..u64::MAX, portion, None).unwrap();
    (part.ends.iter().map(|end| end.index).collect(), part.next)
}

#[test]
fn what_was_kept_is_there_in_the_next_life_and_goes_on() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, restored, jobs, troubles, .. } = place.open();
    assert_eq!((restored.len(), jobs.len(), troubles), (0, 0, Vec::new()));
    keep(
        &place,
        &keeper,
        vec![
            accepted(module, 4),
            LogRecord::Outcomes(vec![done(2), failed(0)]),
            LogRecord::Outcomes(vec![done(3)]),
        ],
    );
    assert_eq!(page(&keeper, 0, ALL), (vec![2, 0, 3], 3));
    keeper.close().unwrap();

    let Opened { keeper, restored, jobs, latest, .. } = place.open();
    let (job, shown) = jobs.first().unwrap();
    assert_eq!((*job, restored.len(), latest), (JOB, 1, Time(1_000_000)));
    let counts = shown.counts;
    assert_eq!((counts.tasks, counts.done, counts.failed, shown.told), (4, 2, 1, 3));
    assert_eq!(shown.ended, [0b1101]);
    let restarted = shown.restarted.unwrap();
    assert_eq!((restarted.kept, restarted.open), (3, 1));
    assert_eq!(page(&keeper, 0, ALL), (vec![2, 0, 3], 3), "they can be read again and again");
    assert!(place.store.usage().pinned > 0, "what it rests on is pinned");
}

#[test]
fn a_page_goes_on_where_the_last_one_ended() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let outcomes =
        (0..10).map(|record| LogRecord::Outcomes((0..10).map(|task| done(record * 10 + task)).collect()));
    keep(&place, &keeper, [accepted(module, 100)].into_iter().chain(outcomes).collect());
    let portion = Portion { results_max: 7, bytes: usize::MAX };
    let (mut cursor, mut seen) = (0, Vec::new());
    loop {
        let (indexes, next) = page(&keeper, cursor, portion);
        if indexes.is_empty() {
            break;
        }
        assert!(indexes.len() <= 7);
        seen.extend(indexes);
        cursor = next;
    }
    assert_eq!(seen, (0..100).collect::<Vec<u32>>());
    assert_eq!(page(&keeper, 98, ALL), (vec![98, 99], 100), "a place that was not a page's");
    assert_eq!(page(&keeper, 100, ALL), (Vec::new(), 100));
}

#[test]
fn what_was_tried_again_is_told_as_it_ended_last() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let records = vec![
        accepted(module, 3),
        LogRecord::Outcomes(vec![failed(0), done(1), failed(2)]),
        LogRecord::Ended { at: Time(9) },
        LogRecord::Retried { epoch: 2, at: Time(2_000_000) },
        LogRecord::Outcomes(vec![done(2)]),
    ];
    keep(&place, &keeper, records);
    assert_eq!(page(&keeper, 0, ALL), (vec![1, 2], 4));
    // Pages that go on behind the last number tell each result once, also where some were replaced.
    let one = Portion { results_max: 1, ..ALL };
    let read = |from: u64| keeper.kept().shelf.results(JOB, from..u64::MAX, one, None).unwrap().ends;
    let numbers = |from: u64| read(from).first().map(|end| (end.index, end.number));
    assert_eq!([0, 2, 4].map(numbers), [Some((1, Some(1))), Some((2, Some(3))), None]);
    keeper.close().unwrap();
    let Opened { keeper, jobs, .. } = place.open();
    let shown = &jobs.first().unwrap().1;
    assert_eq!((shown.counts.done, shown.counts.failed, shown.told, shown.ended_ms), (2, 0, 4, None));
    assert_eq!(page(&keeper, 0, ALL), (vec![1, 2], 4), "also after a restart");
}

#[test]
fn what_was_not_taken_of_a_job_is_known_after_a_restart_and_after_its_end() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let not_taken = NotTaken { tasks: 7, why: String::from("no room") };
    keep(&place, &keeper, vec![accepted(module, 1), LogRecord::NotTaken(not_taken), LogRecord::Closed]);
    keeper.close().unwrap();
    let said = |opened: &Opened| opened.jobs.first().unwrap().1.refused_more.clone();
    let opened = place.open();
    assert_eq!(said(&opened).as_deref(), Some("7 tasks were not taken: no room"));
    keep(&place, &opened.keeper, vec![LogRecord::Outcomes(vec![done(0)]), LogRecord::Ended { at: Time(9) }]);
    opened.keeper.close().unwrap();
    assert_eq!(said(&place.open()).as_deref(), Some("7 tasks were not taken: no room"));
}

#[test]
fn a_job_that_is_forgotten_leaves_nothing() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let output = place.store.put(&[1; 100_000]).unwrap();
    let Opened { keeper, .. } = place.open();
    let long = Payload::Blob { id: output, bytes: 100_000 };
    let records = vec![
        accepted(module, 1),
        LogRecord::Outcomes(vec![end(0, Outcome::Done, long)]),
        LogRecord::Ended { at: Time(9) },
    ];
    keep(&place, &keeper, records);
    assert!(place.store.usage().pinned >= 100_000, "an output is pinned as long as its job is known");
    keeper.add(Order::Forget { ticket: Some(4), job: JOB, remains: Remains::Nothing });
    place.wait_for(&keeper, 4);
    assert_eq!(place.store.usage().pinned, 0);
    assert_eq!(page(&keeper, 0, ALL), (Vec::new(), 0));
    keeper.close().unwrap();
    let opened = place.open();
    assert_eq!((opened.restored.len(), opened.jobs.len()), (0, 0));
}

#[test]
fn when_a_job_was_read_is_remembered_and_is_no_result() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    keep(
        &place,
        &keeper,
        vec![accepted(module, 1), LogRecord::Outcomes(vec![done(0)]), LogRecord::Ended { at: Time(9) }],
    );
    keeper.kept().note_read(JOB, 77_000);
    keeper.close().unwrap();
    let Opened { keeper, jobs, .. } = place.open();
    assert_eq!(jobs.first().unwrap().1.read_ms, Some(77_000));
    assert_eq!(page(&keeper, 0, ALL), (vec![0], 1));
}

fn remembered(number: u8, output: &[u8]) -> Remembered {
    let usage = Usage { wall_us: 5000, ..Usage::default() };
    let report = Report { output: Payload::inline(output), usage, ..Report::bare(Outcome::Done) };
    Remembered { task: TaskId([number; 32]), report: report.into(), worker: ME }
}

#[test]
fn known_results_outlive_their_node_until_they_are_forgotten() {
    let place = Disk::new();
    let Opened { keeper, remembered: none, .. } = place.open();
    assert_eq!(none, []);
    let known = vec![remembered(1, b"one"), remembered(2, b"old"), remembered(3, b"three")];
    keeper.add(Order::Remember { known, gone: Vec::new() });
    keeper.add(Order::Remember { known: vec![remembered(2, b"two")], gone: vec![TaskId([3; 32])] });
    keeper.close().unwrap();
    let Opened { keeper, remembered: found, .. } = place.open();
    assert_eq!(found, [remembered(1, b"one"), remembered(2, b"two")]);
    keeper.add(Order::Remember { known: Vec::new(), gone: vec![TaskId([1; 32])] });
    keeper.close().unwrap();
    assert_eq!(place.open().remembered, [remembered(2, b"two")]);
}

#[test]
fn known_results_are_written_soon_without_anything_else() {
    let place = Disk::new();
    let Opened { keeper, .. } = place.open();
    keeper.add(Order::Remember { known: vec![remembered(1, b"one")], gone: Vec::new() });
    let log = file(&place, "journal.db-wal");
    let before = fs::metadata(&log).unwrap().len();
    let until = std::time::Instant::now() + PATIENCE;
    while fs::metadata(&log).unwrap().len() == before {
        assert!(std::time::Instant::now() < until, "nothing was written");
        std::thread::yield_now();
    }
    drop(keeper);
}

#[test]
fn a_job_whose_inputs_did_not_all_arrive_was_never_accepted() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let LogRecord::Accepted(mut half) = accepted(module, 2) else { panic!("it is made above") };
    half.tasks = 3;
    keep(&place, &keeper, vec![LogRecord::Accepted(half)]);
    keeper.close().unwrap();
    let Opened { keeper, restored, jobs, troubles, .. } = place.open();
    assert_eq!((restored.len(), jobs.len(), troubles), (0, 0, Vec::new()));
    keeper.close().unwrap();
    let reopened = place.open();
    assert!(reopened.keeper.kept().shelf.restored(JOB).is_err(), "its log is gone");
}

#[test]
fn a_record_that_the_journal_does_not_take_is_a_failure_and_is_told_once() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let listing = Listing {
        owner: ME,
        name: "x".repeat(weft_journal::NAME_BYTES_MAX + 1),
        labels: Vec::new(),
        state: weft_journal::State::Running,
        since_ms: 0,
        ended_ms: None,
        tasks: 1,
        done: 0,
        failed: 0,
    };
    let record = Box::new(accepted(module, 1));
    keeper.add(Order::Keep { ticket: 1, job: JOB, record, bytes: None, listing: Some(Box::new(listing)) });
    assert_eq!(place.told(&keeper), [Input::JournalFailed]);
    let failure = keeper.journal().failure.unwrap();
    assert!(failure.contains("a job's name of 257 bytes"), "{failure}");
    keeper.add(Order::Keep {
        ticket: 2,
        job: JOB,
        record: Box::new(accepted(module, 1)),
        bytes: None,
        listing: None,
    });
    keeper.close().unwrap();
    assert_eq!(place.open().jobs.len(), 0, "nothing was kept afterwards");
}

#[test]
fn a_record_of_a_job_that_was_forgotten_meanwhile_is_left_out() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    keep(
        &place,
        &keeper,
        vec![accepted(module, 1), LogRecord::Outcomes(vec![failed(0)]), LogRecord::Ended { at: Time(9) }],
    );
    keeper.add(Order::Forget { ticket: Some(4), job: JOB, remains: Remains::Nothing });
    let retried = Box::new(LogRecord::Retried { epoch: 2, at: Time(2_000_000) });
    keeper.add(Order::Keep { ticket: 5, job: JOB, record: retried, bytes: None, listing: None });
    place.wait_for(&keeper, 5);
    assert_eq!(keeper.journal().failure, None);
}

#[test]
fn a_job_that_never_was_accepted_takes_no_pin_of_another_one() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    keep(
        &place,
        &keeper,
        vec![accepted(module, 1), LogRecord::Outcomes(vec![done(0)]), LogRecord::Ended { at: Time(9) }],
    );
    let LogRecord::Accepted(mut half) = accepted(module, 2) else { panic!("it is made above") };
    (half.tasks, half.spec.job) = (3, JobId(6));
    let record = Box::new(LogRecord::Accepted(half));
    keeper.add(Order::Keep { ticket: 4, job: JobId(6), record, bytes: None, listing: None });
    keeper.close().unwrap();
    // A store that knows no pins of the life before.
    let dir = place.place.dir.parent().unwrap();
    let store = weft_blobs::Store::open(dir, Quota { bytes: 1 << 30 }).unwrap();
    let Opened { keeper, jobs, .. } =
        open(&place.place, &store, &place.jobs, Arc::clone(&place.wake)).unwrap();
    assert_eq!(jobs.len(), 1);
    keeper.close().unwrap();
    assert!(store.usage().pinned > 0, "the module of the other job is pinned still");
}

/// The sentence that a node says when it does not start.
fn refused(place: &Disk) -> String {
    let error = open(&place.place, &place.store, &place.jobs, Arc::clone(&place.wake)).unwrap_err();
    crate::node::StartError::from(error).to_string()
}

fn with_a_job() -> Disk {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    keep(&place, &keeper, vec![accepted(module, 2), LogRecord::Outcomes(vec![done(1)])]);
    keeper.close().unwrap();
    place
}

fn file(place: &Disk, name: &str) -> std::path::PathBuf {
    place.place.dir.join(name)
}

#[test]
fn a_journal_of_another_node_is_not_touched() {
    let mut place = with_a_job();
    let before = fs::read(file(&place, "journal.db")).unwrap();
    place.place.me = PeerId([8; 32]);
    let said = refused(&place);
    assert!(
        said.contains("is the journal of node 0707") && said.contains("put the node's own file back"),
        "{said}"
    );
    assert_eq!(fs::read(file(&place, "journal.db")).unwrap(), before);
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_journal_that_another_process_has_is_not_opened() {
    let place = with_a_job();
    let opened = place.open();
    let said = refused(&place);
    assert!(said.contains("is in use by another process"), "{said}");
    drop(opened);
    place.open();
}

#[test]
fn a_file_that_is_no_journal_is_left_alone() {
    let place = with_a_job();
    let db = file(&place, "journal.db");
    fs::write(&db, vec![b'x'; 8192]).unwrap();
    fs::remove_file(file(&place, "journal.db-wal")).ok();
    let said = refused(&place);
    assert!(said.contains("journal.db"), "{said}");
    assert!(said.contains("move"), "it says what to do: {said}");
}

#[test]
fn a_file_that_was_cut_is_rebuilt_and_what_is_lost_is_said() {
    let place = with_a_job();
    let db = file(&place, "journal.db");
    let whole = fs::read(&db).unwrap();
    // The last page is gone.
    fs::write(&db, whole.get(..whole.len() - 4096).unwrap()).unwrap();
    let opened = place.open();
    let troubles = opened.troubles.join("\n");
    assert!(troubles.contains("was damaged") && troubles.contains("journal.damaged"), "{troubles}");
}

#[test]
fn a_flipped_byte_puts_one_job_into_quarantine_where_it_can_be_forgotten() {
    let place = with_a_job();
    let db = file(&place, "journal.db");
    let mut bytes = fs::read(&db).unwrap();
    // In the record of the outcome, which names the worker.
    let what = [7; 32];
    let at = (0..bytes.len() - what.len()).filter(|at| bytes[*at..].starts_with(&what)).max().unwrap();
    bytes[at] ^= 1;
    fs::write(&db, &bytes).unwrap();
    let other = place.store.put(b"what a lost record may name").unwrap();
    let Opened { keeper, restored, jobs, troubles, damage, .. } = place.open();
    assert_eq!((restored.len(), jobs.len()), (0, 0));
    let usage = place.store.usage();
    assert!(
        damage.is_some() && usage.aside > 0 && usage.bytes == 0 && place.store.has(other),
        "all that was there stays: {usage:?}"
    );
    assert_eq!(troubles, Vec::<String>::new());
    let said: String = keeper.journal().troubles().collect();
    assert!(said.contains(&format!("job {JOB} is in quarantine")) && said.contains("weft forget"), "{said}");
    assert!(keeper.kept().is_quarantined(JOB));
    let error = keeper.kept().shelf.results(JOB, 0..u64::MAX, ALL, None).unwrap_err().to_string();
    assert!(error.contains("quarantine"), "{error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, keeper.kept().forget(JOB)).await }).unwrap();
    assert!(!keeper.kept().is_quarantined(JOB));
    assert_eq!(keeper.journal().troubles().count(), 0);
    keeper.close().unwrap();
    assert_eq!(place.open().damage, None);
}

#[test]
fn yesterdays_copy_is_known_and_what_it_has_goes_on() {
    let place = with_a_job();
    let copy = fs::read(file(&place, "journal.db")).unwrap();
    place.open().keeper.close().unwrap();
    for name in ["journal.db-wal", "journal.db-shm"] {
        fs::remove_file(file(&place, name)).ok();
    }
    fs::write(file(&place, "journal.db"), copy).unwrap();
    let opened = place.open();
    let troubles = opened.troubles.join("\n");
    assert!(troubles.contains("older copy") && troubles.contains("is lost"), "{troubles}");
    assert_eq!(opened.restored.len(), 1, "what is safe is served");
}

#[test]
fn a_directory_that_can_not_be_written_is_said_with_what_to_check() {
    let place = with_a_job();
    // The user that may do everything may write there all the same.
    if rustix::process::geteuid().is_root() {
        let Some(_mount) = ReadOnly::mount(&place.place.dir) else { return };
        let said = refused(&place);
        assert!(said.contains("must be able to write there"), "{said}");
        return;
    }
    fs::set_permissions(&place.place.dir, fs::Permissions::from_mode(0o500)).unwrap();
    let said = refused(&place);
    fs::set_permissions(&place.place.dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(said.contains("must be able to write there"), "{said}");
}

/// A directory that is mounted on itself, read only.
struct ReadOnly(std::path::PathBuf);

impl ReadOnly {
    fn mount(dir: &Path) -> Option<Self> {
        let run = |args: &[&str]| {
            std::process::Command::new("mount")
                .args(args)
                .arg(dir)
                .status()
                .is_ok_and(|status| status.success())
        };
        let source = dir.display().to_string();
        let is_mounted = run(&["--bind", &source]);
        let mounted = is_mounted.then(|| Self(dir.to_owned()))?;
        run(&["-o", "remount,ro,bind"]).then_some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
