//! Jobs that other nodes keep, too: their logs follow the node that leads, and are read for others.

use weft_core::custody::{Keepers, Pair, Position, Seat, Trio};
use weft_core::{Left, LogReader};

use super::*;
use crate::jobs::{Led, Moved};

const OWNER: PeerId = PeerId([1; 32]);
const WITNESS: PeerId = PeerId([2; 32]);

fn trio() -> Trio {
    Trio([(OWNER, 11), (ME, 12), (WITNESS, 13)].map(|(peer, disk)| Seat { peer, disk }))
}

/// The first record of another node's job.
fn theirs(module: BlobId, tasks: u32) -> LogRecord {
    let LogRecord::Accepted(mut first) = accepted(module, tasks) else { panic!("it is made above") };
    first.spec.level = Level::Mesh;
    first.spec.about.name = String::from("friday");
    first.spec.about.labels = vec![(String::from("team"), String::from("fonts"))];
    first.keepers = Keepers::Trio(trio());
    LogRecord::Accepted(first)
}

fn led(epoch: u32) -> LogRecord {
    LogRecord::Led { epoch, at: Time(9_000_000) }
}

fn output(place: &Disk, content: &[u8], index: u32) -> LogRecord {
    let id = place.store.put(content).unwrap();
    let long = Payload::Blob { id, bytes: content.len() as u64 };
    LogRecord::Outcomes(vec![end(index, Outcome::Done, long)])
}

/// Gives a record to the keeper, as the loop does.
fn add(place: &Disk, keeper: &Keeper, ticket: u64, record: LogRecord) {
    record.blobs().for_each(|blob| place.store.pin(blob));
    keeper.add(Order::Keep { ticket, job: JOB, record: Box::new(record), bytes: None, listing: None });
}

fn ask(from: u32, bytes_max: u32) -> Order {
    Order::Ask(Question::Page { reader: LogReader::Keeper, job: JOB, from, bytes_max })
}

/// The next answer; what else is told meanwhile is passed over.
fn answer(place: &Disk, keeper: &Keeper) -> Input {
    loop {
        let answer = place.told(keeper).into_iter().find(|input| !matches!(input, Input::Persisted { .. }));
        if let Some(answer) = answer {
            return answer;
        }
    }
}

fn records(place: &Disk, keeper: &Keeper, from: u32, bytes_max: u32) -> Vec<LogRecord> {
    keeper.add(ask(from, bytes_max));
    let answer = answer(place, keeper);
    let Input::LogRead { reader: LogReader::Keeper, job: JOB, from: first, records } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(first, from);
    records.unwrap()
}

#[test]
fn what_is_read_has_all_that_was_to_be_written_before() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let log = vec![theirs(module, 3), LogRecord::Outcomes(vec![done(0)]), LogRecord::Outcomes(vec![done(2)])];
    for (ticket, record) in (1..).zip(log.clone()) {
        add(&place, &keeper, ticket, record);
    }
    assert_eq!(records(&place, &keeper, 1, u32::MAX), log, "nothing was waited for");
    assert_eq!(records(&place, &keeper, 2, u32::MAX), log[1..]);
    assert_eq!(records(&place, &keeper, 1, 1), log[..1], "one at least");
    assert_eq!(records(&place, &keeper, 4, u32::MAX), []);
    let reader = LogReader::Child;
    keeper.add(Order::Ask(Question::Page { reader, job: JobId(77), from: 1, bytes_max: 1 }));
    let empty = Input::LogRead { reader, job: JobId(77), from: 1, records: Some(Vec::new()) };
    assert_eq!(answer(&place, &keeper), empty);
}

#[test]
fn a_whole_log_is_what_the_engine_and_the_table_need_to_go_on_with_it() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let log = vec![theirs(module, 3), LogRecord::Outcomes(vec![done(0), failed(2)]), led(4)];
    for (ticket, record) in (1..).zip(log) {
        add(&place, &keeper, ticket, record);
    }
    keeper.add(Order::Ask(Question::Whole { job: JOB }));
    let word = loop {
        if let Some(word) =
            place.words(&keeper).into_iter().find(|word| matches!(word, Word::Recalled { .. }))
        {
            break word;
        }
    };
    let Word::Recalled { job: JOB, restored, shown } = word else { panic!("{word:?}") };
    assert_eq!((restored.job(), restored.figures().open()), (JOB, 1));
    assert_eq!((shown.counts.done, shown.counts.failed, shown.told, shown.ended), (1, 1, 2, vec![0b101]));
    assert_eq!(shown.meta.title.name, "friday");
    assert_eq!(shown.custody.unwrap().keepers, [OWNER, ME, WITNESS]);
    keeper.add(Order::Ask(Question::Whole { job: JobId(77) }));
    assert_eq!(answer(&place, &keeper), Input::Recalled { job: JobId(77), restored: None });
}

#[test]
fn once_the_journal_has_failed_each_question_is_answered_all_the_same() {
    let place = Disk::new();
    let Opened { keeper, .. } = place.open();
    let listing = Listing {
        owner: OWNER,
        name: String::from("\n"),
        labels: Vec::new(),
        state: weft_journal::State::Running,
        since_ms: 0,
        ended_ms: None,
        tasks: 1,
        done: 0,
        failed: 0,
    };
    let record = Box::new(theirs(BlobId([1; 32]), 1));
    keeper.add(Order::Keep { ticket: 1, job: JOB, record, bytes: None, listing: Some(Box::new(listing)) });
    keeper.add(ask(1, 9));
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(place.words(&keeper).into_iter().filter(|word| !matches!(word, Word::Lost { .. })));
    }
    let unread =
        || Word::Input(Input::LogRead { reader: LogReader::Keeper, job: JOB, from: 1, records: None });
    assert!(told.contains(&unread()) && told.contains(&Word::Input(Input::JournalFailed)), "{told:?}");
    keeper.add(ask(1, 9));
    assert_eq!(place.words(&keeper), [unread()]);
}

#[test]
fn a_cut_takes_records_away_and_the_pins_of_what_only_they_name() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let (stays, goes) = (vec![3; 50_000], vec![4; 100_000]);
    let LogRecord::Accepted(first) = theirs(module, 3) else { panic!("it is made above") };
    let Opened { keeper, .. } = place.open();
    place.jobs.keep(JOB, kept_for_another(&first).unwrap());
    keep(
        &place,
        &keeper,
        vec![
            LogRecord::Accepted(first),
            output(&place, &stays, 0),
            // It names what the record before names, too.
            output(&place, &stays, 1),
            output(&place, &goes, 2),
        ],
    );
    let shown = || place.jobs.summary(JOB).map(|summary| (summary.tasks, summary.done)).unwrap();
    assert_eq!(shown(), (3, 3));
    let before = place.store.usage().pinned;
    keeper.add(Order::Promise { ticket: 5, job: JOB, epoch: 7 });
    keeper.add(Order::Cut { ticket: 6, job: JOB, after: 2 });
    add(&place, &keeper, 7, led(7));
    place.wait_for(&keeper, 7);
    assert_eq!(shown(), (3, 1), "the table shows what is left");
    let pinned = place.store.usage().pinned;
    assert!(before - pinned >= 100_000 && pinned >= 50_000, "{before} {pinned}");
    assert_eq!(records(&place, &keeper, 3, u32::MAX), [led(7)]);
    assert_eq!(page(&keeper, 0, ALL), (vec![0], 1));
    // What is not there is not cut, and is answered.
    keeper.add(Order::Cut { ticket: 8, job: JOB, after: 3 });
    keeper.add(Order::Cut { ticket: 9, job: JobId(77), after: 0 });
    place.wait_for(&keeper, 9);
    keeper.close().unwrap();
    let Opened { mesh, jobs, .. } = place.open();
    let (promised, job) = mesh.first().unwrap();
    assert_eq!((*promised, job.job(), mesh.len()), (7, JOB, 1));
    assert_eq!(jobs.first().unwrap().1.counts.done, 1);
}

#[test]
fn a_log_that_is_cut_to_nothing_begins_anew() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    keep(&place, &keeper, vec![theirs(module, 2), LogRecord::Outcomes(vec![done(0)])]);
    let pinned = place.store.usage().pinned;
    keeper.add(Order::Promise { ticket: 3, job: JOB, epoch: 9 });
    keeper.add(Order::Cut { ticket: 4, job: JOB, after: 0 });
    assert_eq!(records(&place, &keeper, 1, u32::MAX), []);
    assert_eq!(place.store.usage().pinned, 0);
    add(&place, &keeper, 5, theirs(module, 2));
    place.wait_for(&keeper, 5);
    assert_eq!(place.store.usage().pinned, pinned);
    keeper.close().unwrap();
    let Opened { mesh, keeper, .. } = place.open();
    assert_eq!(mesh.iter().map(|(promised, _)| *promised).collect::<Vec<_>>(), [9]);
    assert_eq!(records(&place, &keeper, 1, u32::MAX), [theirs(module, 2)]);
}

#[test]
fn a_job_of_another_node_is_shown_as_its_log_is_with_what_its_owner_calls_it() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let LogRecord::Accepted(first) = theirs(module, 2) else { panic!("it is made above") };
    let Opened { keeper, .. } = place.open();
    place.jobs.keep(JOB, kept_for_another(&first).unwrap());
    let summary = || place.jobs.summary(JOB).unwrap();
    let line = keeper.line_of(&summary());
    keeper.add(Order::Keep {
        ticket: 1,
        job: JOB,
        record: Box::new(LogRecord::Accepted(first.clone())),
        bytes: None,
        listing: Some(Box::new(line)),
    });
    add(&place, &keeper, 2, LogRecord::Outcomes(vec![done(0), failed(1)]));
    add(&place, &keeper, 3, LogRecord::Ended { at: Time(9_000_000) });
    place.wait_for(&keeper, 3);
    let told = summary();
    assert!(told.ended_ms.unwrap() < 1_000_000_000, "when it ended by its log, and not when that came here");
    assert_eq!((told.tasks, told.done, told.failed, told.ended), (2, 1, 1, true));
    assert_eq!(told.here(), Err(Moved { job: JOB, leader: Some(OWNER) }));
    assert_eq!((told.meta.title.name.as_str(), told.meta.title.labels["team"].as_str()), ("friday", "fonts"));
    let ended_ms = told.ended_ms;
    keeper.close().unwrap();
    let Opened { jobs, keeper, .. } = place.open();
    let shown = &jobs.first().unwrap().1;
    assert_eq!((shown.ended_ms, shown.meta.title.name.as_str()), (ended_ms, "friday"));
    let custody = shown.custody.as_ref().unwrap();
    assert_eq!(
        (custody.led, custody.keepers.as_slice()),
        (Led::Elsewhere { leader: None }, &[OWNER, ME, WITNESS][..])
    );
    assert_eq!(keeper.kept().shelf.line(JOB).unwrap().unwrap().owner, OWNER);
    // A name that no list takes is none: it must not cost this node its journal.
    let mut hostile = first;
    hostile.spec.about.name = "x".repeat(100_000);
    assert_eq!(kept_for_another(&hostile).unwrap().meta.title.name, "");
}

#[test]
fn that_results_were_read_takes_no_number_in_a_log_that_is_others_too() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    keep(&place, &keeper, vec![theirs(module, 1), LogRecord::Outcomes(vec![done(0)])]);
    keeper.kept().note_read(JOB, 77_000);
    add(&place, &keeper, 3, LogRecord::Ended { at: Time(9) });
    place.wait_for(&keeper, 3);
    assert_eq!(records(&place, &keeper, 3, u32::MAX), [LogRecord::Ended { at: Time(9) }]);
    keeper.close().unwrap();
    let Opened { keeper, jobs, .. } = place.open();
    assert_eq!(jobs.first().unwrap().1.read_ms, Some(77_000));
    keeper.add(Order::Forget { ticket: Some(1), job: JOB, remains: Remains::Forgotten });
    place.wait_for(&keeper, 1);
    add(&place, &keeper, 2, theirs(module, 1));
    place.wait_for(&keeper, 2);
    keeper.close().unwrap();
    assert_eq!(place.open().jobs.first().unwrap().1.read_ms, None, "it went with the log");
}

#[test]
fn what_went_from_the_disk_is_remembered_as_forgotten_or_as_left() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, forgotten, left, knows_all, .. } = place.open();
    assert_eq!((forgotten, left, knows_all), (vec![], vec![], true));
    let seat_lost = Left { at: Position { epoch: 3, seq: 9 }, promised: 4 };
    keep(&place, &keeper, vec![theirs(module, 1)]);
    keeper.add(Order::Forget { ticket: Some(2), job: JOB, remains: Remains::Forgotten });
    for (ticket, job, remains) in [(3, JobId(6), Remains::Left(seat_lost)), (5, JobId(7), Remains::Nothing)] {
        let LogRecord::Accepted(mut other) = theirs(module, 1) else { panic!("it is made above") };
        other.spec.job = job;
        let record = Box::new(LogRecord::Accepted(other));
        keeper.add(Order::Keep { ticket, job, record, bytes: None, listing: None });
        keeper.add(Order::Forget { ticket: Some(ticket + 1), job, remains });
    }
    place.wait_for(&keeper, 6);
    keeper.close().unwrap();
    let Opened { forgotten, left, knows_all, mesh, .. } = place.open();
    assert_eq!((forgotten, mesh.len()), (vec![JOB], 0));
    assert_eq!((left, knows_all), (vec![(JobId(6), seat_lost)], true));
}

#[test]
fn a_promise_without_a_log_is_no_job() {
    let place = Disk::new();
    let Opened { keeper, .. } = place.open();
    keeper.add(Order::Promise { ticket: 1, job: JOB, epoch: 5 });
    place.wait_for(&keeper, 1);
    keeper.close().unwrap();
    let Opened { keeper, mesh, jobs, troubles, .. } = place.open();
    assert_eq!((mesh.len(), jobs.len(), troubles), (0, 0, Vec::new()));
    keeper.close().unwrap();
    place.open();
}

#[test]
fn the_clock_of_another_node_is_not_this_nodes() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let at = |epoch, at| LogRecord::Led { epoch, at: Time(at) };
    // Seat 2 led in epoch 5, this node in epoch 7.
    keep(&place, &keeper, vec![theirs(module, 1), at(5, u64::MAX), at(7, 3_000_000)]);
    keeper.close().unwrap();
    assert_eq!(place.open().latest, Time(3_000_000));
}

#[test]
fn the_number_of_the_disk_stays_as_long_as_nothing_can_be_missing() {
    let place = Disk::new();
    let lives: Vec<u64> = (0..3)
        .map(|_| {
            let Opened { keeper, disk, .. } = place.open();
            keeper.close().unwrap();
            disk
        })
        .collect();
    assert_ne!(lives[0], 0);
    assert_eq!(lives, [lives[0]; 3]);
    assert_ne!(Disk::new().open().disk, lives[0]);
}

#[test]
fn an_older_copy_of_the_journal_is_another_disk_and_stays_that() {
    let place = Disk::new();
    let Opened { keeper, disk, .. } = place.open();
    keeper.close().unwrap();
    let copy = fs::read(file(&place, "journal.db")).unwrap();
    place.open().keeper.close().unwrap();
    for name in ["journal.db-wal", "journal.db-shm"] {
        fs::remove_file(file(&place, name)).ok();
    }
    fs::write(file(&place, "journal.db"), copy).unwrap();
    let Opened { keeper, disk: older, .. } = place.open();
    keeper.close().unwrap();
    assert!(older != disk && older != 0);
    assert_eq!(place.open().disk, older);
}

#[test]
fn a_life_that_ended_before_its_disk_had_a_number_is_not_passed_over() {
    let place = Disk::new();
    let Opened { keeper, disk, .. } = place.open();
    keeper.close().unwrap();
    // It begins its life, whatever its journal was, and ends before anything else.
    let settings =
        weft_journal::Settings { reserve_bytes: 0, ..weft_journal::Settings::new(&place.place.dir, ME) };
    let (journal, _) = weft_journal::Journal::open(&settings, &mut Nobody, |_| {}).unwrap();
    journal.close().unwrap();
    assert_ne!(place.open().disk, disk);
}

struct Nobody;

impl weft_journal::Fold for Nobody {
    fn own(&mut self, _: JobId, _: &[u8]) {}
    fn record(&mut self, _: JobId, _: u32, _: weft_journal::Kind, _: &[u8]) {}
    fn complete(&mut self, _: JobId, _: u64) {}
    fn quarantined(&mut self, _: JobId, _: &weft_journal::Damage) {}
    fn shelved(&mut self, _: weft_journal::Shelf, _: &[u8], _: &[u8]) {}
}

#[test]
fn a_log_in_quarantine_makes_another_disk_and_gives_way_to_what_others_have() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, disk, .. } = place.open();
    keep(&place, &keeper, vec![theirs(module, 2), LogRecord::Outcomes(vec![done(1)])]);
    keeper.close().unwrap();
    let db = file(&place, "journal.db");
    let mut bytes = fs::read(&db).unwrap();
    let what = [7; 32];
    let at = (0..bytes.len() - what.len()).filter(|at| bytes[*at..].starts_with(&what)).max().unwrap();
    bytes[at] ^= 1;
    fs::write(&db, &bytes).unwrap();
    let Opened { keeper, mesh, disk: after, .. } = place.open();
    assert!(keeper.kept().is_quarantined(JOB));
    assert!(mesh.is_empty() && after != disk && after != 0, "no node counts on what was here");
    keeper.close().unwrap();
    let Opened { keeper, disk: later, .. } = place.open();
    assert_eq!(later, after, "that it is lost is known by now");
    keep(&place, &keeper, vec![theirs(module, 2), LogRecord::Outcomes(vec![done(0)])]);
    assert!(!keeper.kept().is_quarantined(JOB));
    assert_eq!(records(&place, &keeper, 2, u32::MAX), [LogRecord::Outcomes(vec![done(0)])]);
    keeper.close().unwrap();
    let Opened { mesh, disk: again, .. } = place.open();
    assert_eq!((mesh.len(), again), (1, after));
}

#[test]
fn a_log_in_quarantine_that_is_this_nodes_alone_gives_way_to_nobody() {
    let place = with_a_job();
    let disk = place.open().disk;
    let db = file(&place, "journal.db");
    let mut bytes = fs::read(&db).unwrap();
    let what = [7; 32];
    let at = (0..bytes.len() - what.len()).filter(|at| bytes[*at..].starts_with(&what)).max().unwrap();
    bytes[at] ^= 1;
    fs::write(&db, &bytes).unwrap();
    let Opened { keeper, disk: after, .. } = place.open();
    assert_eq!(after, disk);
    let module = place.store.put(b"module").unwrap();
    keep(&place, &keeper, vec![theirs(module, 2)]);
    keeper.add(Order::Promise { ticket: 2, job: JOB, epoch: 5 });
    place.wait_for(&keeper, 2);
    assert!(keeper.kept().is_quarantined(JOB) && keeper.journal().failure.is_none());
}

#[test]
fn an_input_that_is_gone_when_its_record_comes_is_told_before_the_record_is() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let LogRecord::Accepted(mut first) = accepted(module, 1) else { panic!("it is made above") };
    let gone = BlobId([5; 32]);
    first.spec.inputs = vec![Payload::Blob { id: gone, bytes: 4 }];
    add(&place, &keeper, 1, LogRecord::Accepted(first));
    let mut told = Vec::new();
    while !told.contains(&Word::Input(Input::Persisted { upto: 1 })) {
        told.extend(place.words(&keeper));
    }
    assert_eq!(told, [Word::Lost { job: JOB, blob: gone }, Word::Input(Input::Persisted { upto: 1 })]);
}

#[test]
fn a_job_stays_that_of_the_node_it_was_submitted_to_when_another_one_has_its_seat() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let other = Seat { peer: PeerId([3; 32]), disk: 14 };
    keep(&place, &keeper, vec![theirs(module, 1), led(4), LogRecord::Replaced { seat: 0, by: other }]);
    keeper.add(Order::Ask(Question::Whole { job: JOB }));
    let shown = loop {
        let recalled = place.words(&keeper).into_iter().find_map(|word| match word {
            Word::Recalled { shown, .. } => Some(shown),
            Word::Input(_) | Word::Lost { .. } => None,
        });
        if let Some(shown) = recalled {
            break shown;
        }
    };
    assert_eq!(shown.custody.as_ref().unwrap().keepers, [other.peer, ME, WITNESS]);
    assert_eq!(shown.meta.owner, OWNER);
    place.jobs.lead(JOB, *shown);
    let summary = place.jobs.summary(JOB).unwrap();
    assert_eq!((summary.owner(), keeper.line_of(&summary).owner), (OWNER, OWNER));
}

#[test]
fn a_time_that_another_node_wrote_as_this_nodes_own_does_not_set_its_clock() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let LogRecord::Accepted(mut first) = theirs(module, 1) else { panic!("it is made above") };
    // As if this node had submitted it, at the end of all time.
    first.keepers =
        Keepers::Trio(Trio([(ME, 12), (OWNER, 11), (WITNESS, 13)].map(|(peer, disk)| Seat { peer, disk })));
    first.at = Time(u64::MAX);
    let Opened { keeper, .. } = place.open();
    keep(&place, &keeper, vec![LogRecord::Accepted(first), LogRecord::Led { epoch: 6, at: Time(u64::MAX) }]);
    keeper.close().unwrap();
    assert_eq!(place.open().latest, Time::ZERO);
}

#[test]
fn clients_that_read_results_do_not_hold_up_what_the_engine_reads() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let log = vec![theirs(module, 1), LogRecord::Outcomes(vec![done(0)])];
    keep(&place, &keeper, log.clone());
    let shelf = &keeper.kept().shelf;
    let busy: Vec<_> = (0..shelf::READERS_MAX).map(|_| shelf.reader()).collect();
    assert_eq!(records(&place, &keeper, 1, u32::MAX), log);
    keeper.add(Order::Cut { ticket: 3, job: JOB, after: 1 });
    keeper.add(Order::Forget { ticket: Some(4), job: JOB, remains: Remains::Forgotten });
    place.wait_for(&keeper, 4);
    drop(busy);
}

/// The first record of a job at level disk of which the other node has a copy, with one input.
fn copied(module: BlobId, tasks: u32, owner: PeerId, copy: PeerId) -> LogRecord {
    let LogRecord::Accepted(mut first) = accepted(module, 1) else { panic!("it is made above") };
    first.tasks = tasks;
    first.keepers = Keepers::Copied(Pair { owner: Seat { peer: owner, disk: 11 }, copy });
    LogRecord::Accepted(first)
}

#[test]
fn a_copy_comes_back_as_one_and_an_own_job_that_has_one_as_own() {
    for (owner, copy) in [(ME, OWNER), (OWNER, ME)] {
        let place = Disk::new();
        let module = place.store.put(b"module").unwrap();
        let Opened { keeper, .. } = place.open();
        let log = vec![copied(module, 1, owner, copy), LogRecord::Outcomes(vec![done(0)])];
        keep(&place, &keeper, log.clone());
        keeper.kept().note_read(JOB, 5);
        assert_eq!(records(&place, &keeper, 1, u32::MAX), log, "that it was read takes no number");
        keeper.close().unwrap();
        let opened = place.open();
        let is_own = owner == ME;
        assert_eq!((opened.restored.len(), opened.mesh.len()), if is_own { (1, 0) } else { (0, 1) });
        let (_, shown) = &opened.jobs[0];
        let custody = shown.custody.as_ref().unwrap();
        assert_eq!(
            (custody.keepers.as_slice(), custody.led == Led::Here),
            ([owner, copy].as_slice(), is_own)
        );
        assert_eq!((shown.meta.owner, shown.told, shown.counts.done), (owner, 1, 1));
    }
}

#[test]
fn a_copy_may_lack_inputs_which_an_own_job_may_not() {
    for (owner, copy, found) in [(ME, OWNER, 0), (OWNER, ME, 1)] {
        let place = Disk::new();
        let module = place.store.put(b"module").unwrap();
        let Opened { keeper, .. } = place.open();
        keep(&place, &keeper, vec![copied(module, 3, owner, copy)]);
        keeper.close().unwrap();
        let opened = place.open();
        assert_eq!((opened.restored.len(), opened.mesh.len()), (0, found));
    }
}
