//! What the journal promises while nothing goes wrong: logs without gaps, batches whole, order, lists, shelves.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use support::{ME, append, content, log, open, quick_dir, record, settings};
use weft_core::{JobId, PeerId};
use weft_journal::{
    Continuity, Damage, Entry, Error, Event, Filter, Journal, Kind, Listing, Place, Refused, Shelf, State,
};

#[test]
fn what_was_appended_is_read_back_in_order() {
    let dir = quick_dir();
    let journal = open(dir.path());
    assert_eq!(journal.opened.continuity, Continuity::New);
    journal.put(vec![record(1, 1), record(2, 1), record(1, 2)]);
    journal.put((3..20).map(|seq| record(1, seq)).collect());
    journal.journal.close().unwrap();

    let journal = open(dir.path());
    assert_eq!(journal.opened.continuity, Continuity::Same);
    assert_eq!(journal.opened.stamp.opens, 2);
    assert_eq!(journal.opened.records, 20);
    assert_eq!(journal.story.logs[&1], log(1, 19));
    assert_eq!(journal.story.logs[&2], log(2, 1));
    assert_eq!(journal.story.complete, [1, 2]);
    assert_eq!(journal.journal.next_seq(JobId(1)), Some(20));
}

#[test]
fn appends_are_told_as_persisted_in_order() {
    let dir = quick_dir();
    let journal = open(dir.path());
    let tickets: Vec<u64> =
        (1..=300).map(|seq| journal.journal.append(vec![record(5, seq)]).unwrap()).collect();
    assert_eq!(tickets, (1..=300).collect::<Vec<u64>>());
    journal.journal.close().unwrap();
    let mut last = 0;
    for event in journal.events {
        let Event::Persisted { upto } = event else { panic!("{event:?}") };
        assert!(upto > last, "{upto} after {last}");
        last = upto;
    }
    assert_eq!(last, 300);
}

#[test]
fn the_write_ahead_log_begins_anew_while_records_keep_coming() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![record(1, 1)]);
    let long =
        |seq| Entry::Append { job: JobId(1), seq, kind: Kind::Outcomes, ends: 1, bytes: vec![1; 1 << 20] };
    let mut longest = 0;
    for seq in 2..=150 {
        journal.put(vec![long(seq)]);
        longest = longest.max(std::fs::metadata(dir.path().join("journal.db-wal")).unwrap().len());
    }
    // Its bound, and a group.
    assert!(longest < 72 << 20, "{longest} bytes of a log of 149 MiB");
    drop(journal);
    let journal = open(dir.path());
    assert_eq!((journal.opened.continuity, journal.opened.records), (Continuity::Same, 150));
}

#[test]
fn a_gap_is_refused_and_takes_nothing_of_its_batch() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![record(1, 1)]);
    let refused = journal.journal.append(vec![record(1, 2), record(1, 4)]).unwrap_err();
    assert_eq!(refused, Refused::Order { job: JobId(1), expected: 3, found: 4 });
    journal.put(vec![record(1, 2)]);
    drop(journal);
    assert_eq!(open(dir.path()).story.logs[&1], log(1, 2));
}

#[test]
fn a_snapshot_takes_the_place_of_what_it_covers() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put((1..=200).map(|seq| record(1, seq)).collect());
    journal.put(vec![append(1, 201, Kind::Snapshot), record(1, 202)]);
    journal.put(vec![append(2, 50, Kind::Snapshot), record(2, 51)]);
    let reader = journal.journal.reader().unwrap();
    let kept = reader.records(JobId(1), 0, 10, usize::MAX).unwrap();
    assert_eq!(kept.iter().map(|record| record.seq).collect::<Vec<_>>(), [201, 202]);
    drop((reader, journal));

    let journal = open(dir.path());
    let seqs = |job| journal.story.logs[&job].iter().map(|(seq, _, _)| *seq).collect::<Vec<_>>();
    assert_eq!((seqs(1), seqs(2)), (vec![201, 202], vec![50, 51]));
    drop(journal);
    assert_eq!(rows_left(dir.path(), 4), 4, "what the snapshot of job 1 covers is still there");
}

/// Rows of records in the file, once no more are than expected: what no longer counts is removed bit by bit.
fn rows_left(dir: &Path, expected: i64) -> i64 {
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        drop(open(dir));
        let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
        let count = db.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
        if count <= expected || Instant::now() > deadline {
            return count;
        }
    }
}

#[test]
fn what_is_forgotten_is_gone_and_its_id_can_be_used_again() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put((1..=300).map(|seq| record(1, seq)).collect());
    journal.put(vec![record(2, 1), Entry::List { job: JobId(2), listing: listing(1, State::Running) }]);
    journal.put(vec![append(1, 301, Kind::Forgotten), Entry::Forget { job: JobId(2) }]);
    assert_eq!(journal.journal.next_seq(JobId(1)), None);
    let reader = journal.journal.reader().unwrap();
    assert_eq!(reader.count(&Filter::default()).unwrap(), 0);
    assert_eq!(reader.records(JobId(1), 0, 10, 1 << 20).unwrap(), []);
    drop((reader, journal));

    let journal = open(dir.path());
    assert_eq!(journal.story, support::Story::default());
    journal.put(vec![record(1, 1)]);
    drop(journal);
    assert_eq!(open(dir.path()).story.logs[&1], log(1, 1));
    assert_eq!(rows_left(dir.path(), 1), 1);
}

#[test]
fn a_cut_end_is_written_anew() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put((1..=5).map(|seq| record(1, seq)).collect());
    journal.put(vec![Entry::Cut { job: JobId(1), after: 3 }, append(1, 4, Kind::Cancelled)]);
    drop(journal);
    let mut expected = log(1, 3);
    expected.push((4, Kind::Cancelled, content(1, 4)));
    assert_eq!(open(dir.path()).story.logs[&1], expected);
}

#[test]
fn a_log_that_is_cut_to_nothing_is_empty_and_keeps_what_was_promised() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![record(1, 1), record(1, 2), Entry::Own { job: JobId(1), bytes: vec![7] }]);
    journal.put(vec![Entry::Cut { job: JobId(1), after: 0 }]);
    drop(journal);
    let journal = open(dir.path());
    assert_eq!((journal.story.logs.get(&1), journal.story.own.get(&1)), (None, Some(&vec![7])));
    assert_eq!(journal.story.complete, [1]);
    assert_eq!(journal.journal.next_seq(JobId(1)), Some(1));
    journal.put(vec![append(1, 1, Kind::Accepted)]);
    drop(journal);
    assert_eq!(open(dir.path()).story.logs[&1], [(1, Kind::Accepted, content(1, 1))]);
}

#[test]
fn a_members_own_word_is_kept_apart_from_the_log() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![Entry::Own { job: JobId(1), bytes: vec![1] }]);
    journal.put(vec![Entry::Own { job: JobId(1), bytes: vec![2] }, record(1, 1)]);
    drop(journal);
    let journal = open(dir.path());
    assert_eq!((&journal.story.own[&1], &journal.story.logs[&1]), (&vec![2], &log(1, 1)));
}

#[test]
fn shelves_keep_the_last_thing_of_a_key() {
    let dir = quick_dir();
    let put = |key: u8, byte: u8| Entry::Put { shelf: Shelf::Bans, key: vec![key], bytes: vec![byte] };
    let journal = open(dir.path());
    journal.put(vec![put(1, 1), put(2, 2), put(1, 3)]);
    journal.put(vec![Entry::Take { shelf: Shelf::Bans, key: vec![2] }]);
    journal.put(vec![Entry::Put { shelf: Shelf::Functions, key: vec![1], bytes: vec![9] }]);
    drop(journal);
    let journal = open(dir.path());
    journal.put(vec![put(1, 4)]);
    drop(journal);
    let things: Vec<_> = open(dir.path()).story.shelved.into_iter().collect();
    assert_eq!(things, [((Shelf::Functions, vec![1]), vec![9]), ((Shelf::Bans, vec![1]), vec![4])]);
}

fn listing(since_ms: u64, state: State) -> Listing {
    Listing {
        owner: ME,
        name: format!("job {since_ms}"),
        labels: vec![
            (String::from("kind"), format!("{}", since_ms % 2)),
            (String::from("all"), String::new()),
        ],
        state,
        since_ms,
        ended_ms: None,
        tasks: 10,
        done: 1,
        failed: 0,
    }
}

#[test]
fn jobs_are_paged_counted_and_filtered() {
    let dir = quick_dir();
    let journal = open(dir.path());
    for job in 1..=25 {
        // Two of each time: a page that ends between them must not lose one.
        let state = if job <= 20 { State::Done } else { State::Running };
        let entry = Entry::List { job: JobId(job), listing: listing(job / 2, state) };
        journal.put(vec![record(job, 1), entry]);
    }
    let reader = journal.journal.reader().unwrap();
    let mut after: Option<Place> = None;
    let mut jobs = Vec::new();
    loop {
        let page = reader.jobs(&Filter::default(), after, 7).unwrap();
        jobs.extend(page.jobs.iter().map(|listed| listed.job.0));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(jobs, (1..=25).rev().collect::<Vec<_>>());

    let label = |name: &str, value: &str| vec![(String::from(name), String::from(value))];
    for (filter, count) in [
        (Filter { states: vec![State::Done], ..Filter::default() }, 20),
        (Filter { states: vec![State::Done, State::Running], ..Filter::default() }, 25),
        (Filter { labels: label("kind", "1"), ..Filter::default() }, 12),
        (Filter { labels: label("kin", "d1"), ..Filter::default() }, 0),
        (Filter { labels: label("all", ""), ..Filter::default() }, 25),
        (Filter { since_ms: Some(12), ..Filter::default() }, 2),
        (Filter { owner: Some(PeerId([1; 32])), ..Filter::default() }, 0),
        (Filter { owner: Some(ME), name: Some(String::from("job 3")), ..Filter::default() }, 2),
    ] {
        assert_eq!(reader.count(&filter).unwrap(), count, "{filter:?}");
        assert_eq!(reader.jobs(&filter, None, 1000).unwrap().jobs.len() as u64, count, "{filter:?}");
    }
    assert_eq!(reader.job(JobId(4)).unwrap().unwrap().listing, listing(2, State::Done));
    assert!(reader.jobs(&Filter::default(), None, 1001).is_err());
}

#[test]
fn what_a_fold_does_not_want_is_not_read_and_counted_all_the_same() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put((1..=9).map(|seq| record(1, seq)).collect());
    journal.put((1..=9).map(|seq| record(2, seq)).collect());
    journal.put(vec![Entry::List { job: JobId(1), listing: listing(1, State::Done) }]);
    drop(journal);
    // In a record that is not wanted: it is not looked at now.
    let db = dir.path().join("journal.db");
    let mut bytes = std::fs::read(&db).unwrap();
    let content = content(1, 5);
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&db, bytes).unwrap();
    let story = support::Story { unwanted: vec![(1, Kind::Outcomes)], ..Default::default() };
    let open = support::try_open_for(&settings(dir.path()), story).unwrap();
    assert_eq!(open.story.lines.keys().collect::<Vec<_>>(), [&1], "lines come before logs");
    assert_eq!((open.story.logs[&1].len(), open.story.logs[&2].len(), open.opened.records), (1, 9, 10));
    assert_eq!((open.story.ends[&1], open.story.ends[&2]), (8, 8));
    assert!(open.story.quarantined.is_empty(), "{:?}", open.story.quarantined);
    let reader = open.journal.reader().unwrap();
    let error = reader.records(JobId(1), 0, 10, usize::MAX).unwrap_err();
    assert!(error.to_string().contains("record 5"), "who reads it is told: {error}");
    drop(open);
    assert!(support::open(dir.path()).story.quarantined.contains_key(&1), "and who wants all of it");
}

#[test]
fn records_are_read_in_parts() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put((1..=30).map(|seq| record(1, seq)).collect());
    let reader = journal.journal.reader().unwrap();
    let seqs = |after, most, bytes| -> Vec<u32> {
        reader.records(JobId(1), after, most, bytes).unwrap().iter().map(|record| record.seq).collect()
    };
    assert_eq!(seqs(0, 3, usize::MAX), [1, 2, 3]);
    assert_eq!(seqs(28, 10, usize::MAX), [29, 30]);
    assert_eq!(seqs(10, 10, 1), [11]);
    assert_eq!(seqs(30, 10, usize::MAX), [0; 0]);
}

/// A record that tells this number of ends.
fn telling(seq: u32, kind: Kind, ends: u32) -> Entry {
    Entry::Append { job: JobId(1), seq, kind, ends, bytes: content(1, seq) }
}

#[test]
fn an_end_is_found_by_its_number_wherever_it_is_in_the_log() {
    let dir = quick_dir();
    let journal = open(dir.path());
    let ends_of = |seq: u32| if seq.is_multiple_of(3) { 0 } else { seq % 5 };
    let entries = (2..=200).map(|seq| telling(seq, Kind::Outcomes, ends_of(seq)));
    journal.put([telling(1, Kind::Accepted, 0)].into_iter().chain(entries).collect());
    // Which record tells each end.
    let tells = |first: u32, last: u32| -> Vec<u32> {
        (first..=last).flat_map(|seq| vec![seq; usize::try_from(ends_of(seq)).unwrap()]).collect()
    };
    let check = |journal: &support::Open, expected: &[u32], what: &str| {
        let reader = journal.journal.reader().unwrap();
        for (end, seq) in (0..).zip(expected) {
            let found = reader.records_at(JobId(1), end, 2, usize::MAX).unwrap();
            assert_eq!(found.first().map(|record| record.seq), Some(*seq), "{what}: end {end}");
            assert!(found[0].upto > end && found.len() <= 2);
        }
        let beyond = reader.records_at(JobId(1), u64::try_from(expected.len()).unwrap(), 2, usize::MAX);
        assert_eq!(beyond.unwrap(), [], "{what}");
    };
    let all = tells(2, 200);
    check(&journal, &all, "as written");
    drop(journal);
    let journal = open(dir.path());
    check(&journal, &all, "opened again");

    // Ends that were cut off are not counted, and those in their place are.
    journal.put(vec![Entry::Cut { job: JobId(1), after: 100 }, telling(101, Kind::Outcomes, 2)]);
    let cut: Vec<u32> = tells(2, 100).into_iter().chain([101, 101]).collect();
    check(&journal, &cut, "cut");

    // A snapshot counts for all that it covers.
    let covered = u32::try_from(cut.len()).unwrap();
    journal.put(vec![telling(102, Kind::Snapshot, covered), telling(103, Kind::Outcomes, 1)]);
    let snapshot: Vec<u32> = cut.iter().map(|_| 102).chain([103]).collect();
    check(&journal, &snapshot, "a snapshot");
}

#[test]
fn a_slow_disk_pushes_back_and_loses_nothing() {
    let dir = quick_dir();
    let (release, held) = channel::<()>();
    let mut story = support::Story::default();
    // The writer waits for the one who is told.
    let (journal, _) = Journal::open(&settings(dir.path()), &mut story, move |_| {
        let _released = held.recv();
    })
    .unwrap();
    let entry = |seq| append(1, seq, if seq == 1 { Kind::Accepted } else { Kind::Outcomes });
    let mut seq = 1;
    let refused = loop {
        match journal.append(vec![entry(seq)]) {
            Ok(_) => seq += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, Refused::Busy { .. }), "{refused}");
    let soon = Instant::now() + Duration::from_millis(1);
    assert!(matches!(journal.append_by(vec![entry(seq)], soon), Err(Refused::Busy { .. })));
    drop(release);
    journal.append_by(vec![entry(seq)], Instant::now() + support::PATIENCE).unwrap();
    journal.close().unwrap();
    assert_eq!(open(dir.path()).story.logs[&1], log(1, seq));
}

#[test]
fn a_listener_that_panics_fails_the_journal_and_holds_no_one_up() {
    let dir = quick_dir();
    let mut story = support::Story::default();
    let (journal, _) =
        Journal::open(&settings(dir.path()), &mut story, |event| panic!("told {event:?}, as it should be"))
            .unwrap();
    journal.append(vec![record(1, 1)]).unwrap();
    let deadline = Instant::now() + support::PATIENCE;
    while journal.failure().is_none() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(matches!(journal.append(vec![record(1, 2)]), Err(Refused::Failed(_))));
    assert!(journal.close().is_err());
}

#[test]
fn a_job_whose_records_make_no_sense_to_the_caller_is_set_apart() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![record(1, 1), record(2, 1)]);
    journal.journal.distrust(JobId(1));
    assert_eq!(journal.journal.next_seq(JobId(1)), None);
    let refused = journal.journal.append(vec![record(1, 2)]).unwrap_err();
    assert_eq!(refused, Refused::Quarantined { job: JobId(1) });
    let reader = journal.journal.reader().unwrap();
    let error = reader.records(JobId(1), 0, 10, usize::MAX).unwrap_err();
    assert!(matches!(error, Error::Quarantined { job: JobId(1), why: Damage::Meaning(_) }), "{error}");
    assert!(error.to_string().contains("could not make sense of them"), "{error}");
    // Lines of it, and of a job that is not there, keep out nothing that comes with them.
    let line = |job| Entry::List { job: JobId(job), listing: listing(1, State::Done) };
    journal.put(vec![line(1), line(9), record(2, 2)]);
    assert_eq!((journal.journal.next_seq(JobId(2)), reader.job(JobId(9)).unwrap()), (Some(3), None));
    journal.put(vec![record(2, 3), Entry::Forget { job: JobId(1) }]);
    assert_eq!(reader.records(JobId(1), 0, 10, usize::MAX).unwrap(), []);
    journal.put(vec![record(1, 1)]);
    assert_eq!(reader.records(JobId(1), 0, 10, usize::MAX).unwrap().len(), 1);
}

#[test]
fn what_is_read_while_it_is_written_is_never_half_an_append() {
    let dir = quick_dir();
    let journal = open(dir.path());
    let reader = journal.journal.reader().unwrap();
    let asked = std::thread::spawn(move || {
        let deadline = Instant::now() + support::PATIENCE;
        loop {
            let count = reader.records(JobId(1), 0, usize::MAX, usize::MAX).unwrap().len();
            assert_eq!(count % 3, 0, "{count} records of appends of three");
            if count == 300 || Instant::now() > deadline {
                return count;
            }
        }
    });
    for first in (1..=300).step_by(3) {
        journal.put((first..first + 3).map(|seq| record(1, seq)).collect());
    }
    assert_eq!(asked.join().unwrap(), 300);
}

#[test]
fn what_is_too_long_is_refused() {
    let dir = quick_dir();
    let journal = open(dir.path());
    let long =
        Entry::Append { job: JobId(1), seq: 1, kind: Kind::Accepted, ends: 0, bytes: vec![0; (4 << 20) + 1] };
    assert!(matches!(journal.journal.append(vec![long]), Err(Refused::TooLong { .. })));
    let key = Entry::Put { shelf: Shelf::Bans, key: vec![0; 257], bytes: Vec::new() };
    assert!(matches!(journal.journal.append(vec![key]), Err(Refused::TooLong { .. })));
    let labels = vec![(String::from("a"), String::from("b")); 33];
    let listing_of_labels = Listing { labels, ..listing(1, State::Done) };
    let list = Entry::List { job: JobId(1), listing: listing_of_labels };
    let refused = journal.journal.append(vec![list]).unwrap_err();
    assert_eq!(refused, Refused::Labels { found: 33, max: 32 });
    assert_eq!(refused.to_string(), "33 labels, and a job has 32 at most; leave some out");
    let name = Listing { name: String::from("a\u{1b}b"), ..listing(1, State::Done) };
    journal.put(vec![record(1, 1)]);
    let list = Entry::List { job: JobId(1), listing: name };
    assert!(matches!(journal.journal.append(vec![list]), Err(Refused::Text { .. })));
}
