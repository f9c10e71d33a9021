//! Files that are not what the journal wrote: a flipped byte costs at most one job, and a cut log leaves a prefix.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use support::{Dice, ME, append, copy, log, open, quick_dir, record, settings, try_open_with};
use weft_core::JobId;
use weft_journal::{Continuity, Damage, Entry, Error, Event, Filter, Kind, Listing, Settings, Shelf, State};

const PAGE: u64 = 4096;
const JOBS: u64 = 24;

/// How many records a job of the tests has.
fn length_of(job: u64) -> u32 {
    u32::try_from(2 + job % 9).unwrap()
}

/// A closed journal with jobs of several lengths, some long records, lines, things, and traces of what is gone.
fn write_jobs(dir: &Path) {
    let journal = open(dir);
    for job in 1..=JOBS {
        for seq in 1..=length_of(job) {
            journal.journal.append(vec![record(job, seq)]).unwrap();
        }
        let listing = Listing {
            owner: ME,
            name: format!("name {job}"),
            labels: Vec::new(),
            state: State::Running,
            since_ms: job,
            ended_ms: None,
            tasks: 1,
            done: 0,
            failed: 0,
        };
        journal.journal.append(vec![Entry::List { job: JobId(job), listing }]).unwrap();
        let thing =
            Entry::Put { shelf: Shelf::Remembered, key: vec![1, job as u8], bytes: vec![job as u8; 50] };
        journal.journal.append(vec![thing]).unwrap();
    }
    for gone in [JOBS + 1, JOBS + 2] {
        journal.put((1..=20).map(|seq| record(gone, seq)).collect());
    }
    journal.put(vec![Entry::Forget { job: JobId(JOBS + 1) }]);
    // The next transaction removes its rows.
    journal.put(vec![Entry::Take { shelf: Shelf::Remembered, key: vec![0] }]);
    journal.journal.close().unwrap();
    // A job whose rows are still there: nothing is removed while the disk is low.
    let low = Settings { low_bytes: u64::MAX, ..settings(dir) };
    let journal = try_open_with(&low).unwrap();
    journal.put(vec![Entry::Forget { job: JobId(JOBS + 2) }]);
    journal.journal.close().unwrap();
    assert_eq!(heads_in(dir).0, JOBS as i64 + 1);
}

fn flip(path: &Path, place: u64, mask: u8) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ mask], place).unwrap();
}

/// Opens a journal whose file was changed. All jobs but one at most are there as they were, and that one is told as
/// quarantined; no record, thing or line is there that was never written. Then it goes on: a new job is taken, rows of
/// a forgotten job are removed with it, no write finds damage that the open did not, and the next open finds a whole
/// file.
fn check_all_but_one(dir: &Path, what: &str) {
    let opened = support::try_open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut missing = BTreeSet::new();
    for job in 1..=JOBS {
        let whole = opened.story.complete.contains(&job)
            && opened.story.logs.get(&job) == Some(&log(job, length_of(job)));
        if !whole {
            missing.insert(job);
        }
    }
    assert!(missing.len() <= 1, "{what}: {missing:?} are lost, {:?}", opened.opened);
    for job in &missing {
        assert!(opened.story.quarantined.contains_key(job), "{what}: job {job} is lost and not told");
    }
    for job in &opened.story.complete {
        // A rebuilt file may hold what was forgotten, as it was.
        assert_eq!(opened.story.logs[job], log(*job, opened.story.logs[job].len() as u32), "{what}");
    }
    for ((_, key), bytes) in &opened.story.shelved {
        assert_eq!(bytes, &vec![key[1]; 50], "{what}");
    }
    let reader = opened.journal.reader().unwrap();
    for job in (1..=JOBS).filter(|job| !missing.contains(job)) {
        let last = reader.records_at(JobId(job), u64::from(length_of(job)) - 2, 1, 0).unwrap();
        assert_eq!(last.first().map(|record| record.seq), Some(length_of(job)), "{what}: job {job}");
    }
    for listed in reader.jobs(&Filter::default(), None, 100).unwrap().jobs {
        assert_eq!(listed.listing.name, format!("name {}", listed.listing.since_ms), "{what}");
    }
    let job = JOBS + 100;
    opened.put(vec![record(job, 1)]);
    drop(reader);
    opened.journal.close().unwrap_or_else(|error| panic!("{what}: found by a write alone: {error}"));
    let again = open(dir);
    assert_eq!(again.opened.rebuilt, None, "{what}");
    assert!(again.story.logs.contains_key(&job), "{what}");
    assert!(again.story.quarantined.len() <= 2, "{what}: {:?}", again.story.quarantined);
}

#[test]
fn a_flipped_bit_costs_at_most_one_job() {
    let sound = quick_dir();
    write_jobs(sound.path());
    let bytes = fs::metadata(sound.path().join("journal.db")).unwrap().len();
    let mut places: Vec<(u64, u8)> = Vec::new();
    let mut dice = Dice(1);
    // The header of the file, the header of each page, and anywhere.
    places.extend((0..100).map(|place| (place, 1 << dice.roll(8))));
    for page in 0..bytes / PAGE {
        places.extend((0..3).map(|_| (page * PAGE + dice.roll(12), 1 << dice.roll(8))));
    }
    places.extend((0..150).map(|_| (dice.roll(bytes), 1 << dice.roll(8))));
    flip_each(sound.path(), places);
}

/// Flips one byte in a copy, and another in another.
fn flip_each(sound: &Path, places: Vec<(u64, u8)>) {
    let dir = quick_dir();
    for (place, mask) in places {
        let hurt = dir.path().join(format!("{place}-{mask}"));
        copy(sound, &hurt);
        flip(&hurt.join("journal.db"), place, mask);
        check_all_but_one(&hurt, &format!("byte {place} ^ {mask}"));
        fs::remove_dir_all(&hurt).unwrap();
    }
}

/// Asserts at each place what [`check_all_but_one`] says: every bit of the file's header, and 8,000 bytes anywhere.
#[test]
#[ignore = "takes a minute: the same as above at many more places"]
fn a_changed_byte_anywhere_costs_at_most_one_job() {
    let sound = quick_dir();
    write_jobs(sound.path());
    let bytes = fs::metadata(sound.path().join("journal.db")).unwrap().len();
    let mut dice = Dice(6);
    let header = (0..100).flat_map(|place| (0..8).map(move |bit| (place, 1 << bit)));
    let anywhere = (0..8000).map(|_| (dice.roll(bytes), 1 + dice.roll(255) as u8));
    flip_each(sound.path(), header.chain(anywhere).collect());
}

/// The first page of a file that holds a record's bytes.
fn page_of(db: &Path, job: u64, seq: u32) -> u64 {
    let text = format!("record {seq} of job {job}.");
    let bytes = fs::read(db).unwrap();
    let place = bytes.windows(text.len()).position(|part| part == text.as_bytes()).unwrap();
    place as u64 / PAGE
}

#[test]
fn damage_that_only_removing_rows_finds_is_told_and_the_next_open_rebuilds() {
    let dir = quick_dir();
    let db = dir.path().join("journal.db");
    let journal = open(dir.path());
    let long = |job, seq| {
        let mut entry = record(job, seq);
        if let Entry::Append { bytes, .. } = &mut entry {
            bytes.resize(2000, 1);
        }
        entry
    };
    for first in (1..=8000).step_by(1000) {
        journal.put((first..first + 1000).map(|seq| long(1, seq)).collect());
    }
    journal.put((1..=3).map(|seq| record(2, seq)).collect());
    journal.journal.close().unwrap();

    // The first pages of job 1 are no longer in the writer's memory when it has read all of it.
    let journal = open(dir.path());
    let hurt = page_of(&db, 1, 2) * PAGE;
    flip(&db, hurt, 0x0d);
    journal.journal.append(vec![Entry::Forget { job: JobId(1) }]).unwrap();
    let failure = loop {
        if let Event::Failed(failure) = journal.events.recv_timeout(support::PATIENCE).unwrap() {
            break failure;
        }
    };
    assert!(failure.damaged && !failure.full, "{failure:?}");
    assert!(failure.to_string().ends_with("start the node again, which rebuilds its file"), "{failure}");
    let reader = journal.journal.reader().unwrap();
    assert_eq!(reader.records(JobId(2), 0, 10, usize::MAX).unwrap().len(), 3, "what is sound is served");
    drop(reader);
    assert!(matches!(journal.journal.close(), Err(Error::Failed(why)) if why == failure));

    // The open sees it, even if the byte reads as it was again.
    flip(&db, hurt, 0x0d);
    let opened = open(dir.path());
    let rebuilt = opened.opened.rebuilt.clone().unwrap();
    assert!(rebuilt.why.starts_with("a write found it damaged: "), "{rebuilt:?}");
    assert_eq!(opened.opened.continuity, Continuity::Rebuilt);
    assert_eq!(opened.story.complete, [2], "and job 1 stays forgotten");
    assert_eq!(opened.story.logs[&2], log(2, 3));
    opened.put(vec![record(3, 1)]);
    opened.journal.close().unwrap();
    let again = open(dir.path());
    assert_eq!((again.opened.rebuilt.clone(), again.opened.continuity), (None, Continuity::Same));
}

#[test]
fn a_lost_page_and_a_cut_file_leave_the_other_jobs() {
    let sound = quick_dir();
    write_jobs(sound.path());
    let bytes = fs::metadata(sound.path().join("journal.db")).unwrap().len();
    let dir = quick_dir();
    for page in 0..bytes / PAGE {
        let hurt = dir.path().join(page.to_string());
        copy(sound.path(), &hurt);
        let file = fs::OpenOptions::new().write(true).open(hurt.join("journal.db")).unwrap();
        file.write_all_at(&[0; PAGE as usize], page * PAGE).unwrap();
        let opened = open(&hurt);
        let served = opened.story.complete.iter().filter(|job| **job <= JOBS);
        for job in served.clone() {
            assert_eq!(opened.story.logs[job], log(*job, length_of(*job)), "page {page}");
        }
        if opened.opened.rebuilt.is_some() {
            assert_eq!(opened.opened.continuity, Continuity::Rebuilt);
        }
        drop(opened);
        fs::remove_dir_all(&hurt).unwrap();
    }
    let hurt = dir.path().join("cut");
    copy(sound.path(), &hurt);
    let file = fs::OpenOptions::new().write(true).open(hurt.join("journal.db")).unwrap();
    file.set_len(bytes - PAGE - 100).unwrap();
    let opened = open(&hurt);
    assert_eq!(opened.opened.continuity, Continuity::Rebuilt);
    assert!(opened.story.complete.len() > 3);
    assert!(hurt.join("journal.damaged").exists());
}

/// A journal that was not closed, one append a transaction, as a power cut leaves it. Returns how many appends.
fn write_and_cut(at: &Path) -> u32 {
    let dir = quick_dir();
    let journal = open(dir.path());
    let mut appends = 0;
    for seq in 1..=6 {
        for job in 1..=3 {
            journal.put(vec![record(job, seq)]);
            appends += 1;
        }
    }
    copy(dir.path(), at);
    appends
}

/// How many of the appends of [`write_and_cut`] are there, which must be the first ones, and what the journal is found to be.
fn appends_in(dir: &Path, what: &str) -> (u32, Continuity) {
    let opened = support::try_open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(opened.story.quarantined.is_empty(), "{what}: {:?}", opened.story.quarantined);
    let lengths: Vec<u32> =
        (1..=3).map(|job| opened.story.logs.get(&job).map_or(0, |log| log.len() as u32)).collect();
    for (job, length) in (1..=3).zip(&lengths) {
        assert_eq!(opened.story.logs.get(&job).cloned().unwrap_or_default(), log(job, *length), "{what}");
    }
    let found = lengths.iter().sum();
    let expected: Vec<u32> = (0..3).map(|job| found / 3 + u32::from(job < found % 3)).collect();
    assert_eq!(lengths, expected, "{what}: not the first appends");
    (found, opened.opened.continuity)
}

/// Where each commit of a write-ahead log ends.
fn commits(wal: &[u8]) -> Vec<usize> {
    let frame = 24 + PAGE as usize;
    let ends = (32 + frame..=wal.len()).step_by(frame);
    ends.filter(|end| wal[end - frame + 4..end - frame + 8] != [0; 4]).collect()
}

#[test]
fn a_torn_log_leaves_what_was_committed_before() {
    let sound = quick_dir();
    let appends = write_and_cut(sound.path());
    let wal = fs::read(sound.path().join("journal.db-wal")).unwrap();
    let ends = commits(&wal);
    // The first commit says that the journal is open.
    assert_eq!(ends.len() as u32, appends + 1);
    let dir = quick_dir();
    let frame = 24 + PAGE as usize;
    let borders = (0..).map(|count| 32 + count * frame).take_while(|place| *place <= wal.len());
    let mut dice = Dice(2);
    for border in borders {
        for length in [border, border + 1 + dice.roll(frame as u64) as usize] {
            let length = length.min(wal.len());
            let hurt = dir.path().join(length.to_string());
            copy(sound.path(), &hurt);
            fs::write(hurt.join("journal.db-wal"), &wal[..length]).unwrap();
            let committed = ends.iter().filter(|end| **end <= length).count() as u32;
            let continuity = match (length, committed) {
                (length, _) if length < 32 + frame => Continuity::OlderOrLogLost { file: 0, mark: 1 },
                (_, committed) if committed <= appends => Continuity::LogCut,
                _ => Continuity::Same,
            };
            let expected = (committed.saturating_sub(1), continuity);
            assert_eq!(appends_in(&hurt, &length.to_string()), expected, "{length} bytes");
            fs::remove_dir_all(&hurt).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_in_the_log_does_not_take_what_was_acknowledged_after_it() {
    let sound = quick_dir();
    let appends = write_and_cut(sound.path());
    let wal = fs::read(sound.path().join("journal.db-wal")).unwrap();
    let ends = commits(&wal);
    let dir = quick_dir();
    let mut dice = Dice(3);
    for _ in 0..60 {
        let place = dice.roll(*ends.last().unwrap() as u64);
        let hurt = dir.path().join(place.to_string());
        copy(sound.path(), &hurt);
        flip(&hurt.join("journal.db-wal"), place, 1 << dice.roll(8));
        let what = format!("byte {place}");
        let opened = support::try_open(&hurt).unwrap_or_else(|error| panic!("{what}: {error}"));
        let whole = (1..=3).filter(|job| opened.story.logs.get(job) == Some(&log(*job, appends / 3)));
        assert!(whole.count() >= 2, "{what}: {:?} {:?}", opened.opened, opened.story.quarantined);
        assert!(!opened.opened.continuity.is_whole(), "{what}: {:?}", opened.opened);
        drop(opened);
        fs::remove_dir_all(&hurt).unwrap();
    }
}

#[test]
fn a_record_that_is_gone_or_changed_quarantines_its_job_and_says_which() {
    let sound = quick_dir();
    write_jobs(sound.path());
    let id = |seq: i64| 5i64 << 32 | seq;
    let last = length_of(5);
    for (sql, damage) in [
        (format!("DELETE FROM records WHERE id = {}", id(3)), Damage::Gap { expected: 3, found: 4 }),
        (
            format!("DELETE FROM records WHERE id >= {} AND id <= {}", id(4), id(100)),
            Damage::Cut { from: 4, to: last },
        ),
        (format!("UPDATE records SET bytes = x'00' WHERE id = {}", id(2)), Damage::Altered { seq: 2 }),
        (format!("UPDATE records SET kind = 6 WHERE id = {}", id(2)), Damage::Altered { seq: 2 }),
        (format!("UPDATE records SET upto = 9 WHERE id = {}", id(2)), Damage::Altered { seq: 2 }),
        (format!("UPDATE records SET kind = 'x' WHERE id = {}", id(2)), Damage::Altered { seq: 2 }),
        (
            format!(
                "UPDATE records SET (kind, upto, bytes, sum) = (SELECT kind, upto, bytes, sum FROM records WHERE id = {}) \
                 WHERE id = {}",
                id(3),
                id(2)
            ),
            Damage::Altered { seq: 2 },
        ),
        (String::from("UPDATE jobs SET next = next - 1 WHERE no = 5"), Damage::Head),
        (String::from("UPDATE jobs SET job = 77 WHERE no = 5"), Damage::Head),
        (String::from("DELETE FROM jobs WHERE no = 5"), Damage::Head),
        (
            format!("DELETE FROM records WHERE id >= {} AND id <= {}", id(1), id(100)),
            Damage::Cut { from: 1, to: last },
        ),
    ] {
        let dir = quick_dir();
        copy(sound.path(), dir.path());
        rusqlite::Connection::open(dir.path().join("journal.db")).unwrap().execute_batch(&sql).unwrap();
        let opened = open(dir.path());
        let quarantined: Vec<_> = opened.story.quarantined.into_iter().collect();
        assert_eq!(quarantined, [(5, damage.clone())], "{sql}");
        let reader = opened.journal.reader().unwrap();
        for after in [0, last] {
            let read = reader.records(JobId(5), after, 100, usize::MAX);
            assert!(matches!(read, Err(Error::Quarantined { why, .. }) if why == damage), "{sql}");
        }
        assert_eq!(opened.story.complete.len() as u64, JOBS - 1, "{sql}");
        assert_eq!(opened.opened.quarantined, 1);
        // Only forgetting helps, and it does.
        assert!(opened.journal.append(vec![record(5, last + 1)]).is_err());
        let ticket = opened.journal.append(vec![Entry::Forget { job: JobId(5) }]).unwrap();
        let reached =
            opened.events.iter().any(|event| matches!(event, Event::Persisted { upto } if upto >= ticket));
        assert!(reached);
        drop((reader, opened.journal));
        assert!(open(dir.path()).story.quarantined.is_empty(), "{sql}");
    }
}

#[test]
fn a_job_whose_end_was_written_anew_is_not_guessed_from_raw_pages() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put((1..=4).map(|seq| record(1, seq)).collect());
    journal.put(vec![record(2, 1), Entry::Cut { job: JobId(1), after: 2 }, append(1, 3, Kind::Cancelled)]);
    journal.journal.close().unwrap();
    flip(&dir.path().join("journal.db"), 0, 1);
    for _ in 0..2 {
        let opened = open(dir.path());
        assert_eq!(
            opened.story.quarantined.clone().into_iter().collect::<Vec<_>>(),
            [(1, Damage::Rewritten)]
        );
        assert_eq!(opened.story.complete, [2]);
    }
}

#[test]
fn a_log_without_its_file_is_all_there_is() {
    let sound = quick_dir();
    let appends = write_and_cut(sound.path());
    fs::remove_file(sound.path().join("journal.db")).unwrap();
    let opened = open(sound.path());
    assert_eq!(opened.opened.continuity, Continuity::Rebuilt);
    assert_eq!(opened.story.logs[&1], log(1, appends / 3));
}

#[test]
fn a_rebuild_that_a_crash_stopped_is_finished_and_not_taken_for_whole() {
    let dir = quick_dir();
    write_jobs(dir.path());
    let file = |name: &str| dir.path().join(name);
    // Made, and the hurt one moved aside; its log is still there.
    fs::rename(file("journal.db"), file("journal.rebuilt")).unwrap();
    fs::write(file("journal.db-wal"), b"of the hurt one").unwrap();
    let opened = open(dir.path());
    assert!(!opened.opened.continuity.is_whole(), "{:?}", opened.opened);
    assert_eq!(opened.story.complete.len() as u64, JOBS);
    assert!(!file("journal.rebuilt").exists());
    drop(opened);

    // Made, and the hurt one still in its place: it is looked at anew.
    fs::write(file("journal.rebuilt"), b"an earlier try").unwrap();
    let opened = open(dir.path());
    assert_eq!(opened.opened.continuity, Continuity::Same);
    assert_eq!(opened.story.complete.len() as u64, JOBS);
}

/// How many heads are in a file that no one has open, and the highest number.
fn heads_in(dir: &Path) -> (i64, i64) {
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    let sql = "SELECT count(*), coalesce(max(no), 0) FROM jobs";
    db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// A log of job 1 that was forgotten, all of it swept, and a shorter one in its place; then job 2.
fn write_two_lives(dir: &Path) -> support::Open {
    let journal = open(dir);
    journal.put((1..=6).map(|seq| record(1, seq)).collect());
    journal.put(vec![Entry::Forget { job: JobId(1) }]);
    drop(journal);
    let deadline = Instant::now() + support::PATIENCE;
    while heads_in(dir).0 > 0 {
        assert!(Instant::now() < deadline, "the forgotten job is not swept");
        drop(open(dir));
    }
    let journal = open(dir);
    // The first life again, and forgotten again: with its rows in the write-ahead log.
    journal.put((1..=6).map(|seq| record(1, seq)).collect());
    journal.put(vec![Entry::Forget { job: JobId(1) }]);
    journal.put(vec![other_record(1, Kind::Accepted), other_record(2, Kind::Outcomes), record(2, 1)]);
    journal
}

fn other_record(seq: u32, kind: Kind) -> Entry {
    Entry::Append { job: JobId(1), seq, kind, ends: 0, bytes: vec![9; 10] }
}

fn check_second_life(opened: &support::Open) {
    let expected = vec![(1, Kind::Accepted, vec![9; 10]), (2, Kind::Outcomes, vec![9; 10])];
    assert_eq!(opened.story.quarantined.len(), 0, "{:?}", opened.story.quarantined);
    assert_eq!(opened.story.logs[&1], expected);
    assert_eq!(opened.story.logs[&2], log(2, 1));
    assert_eq!(opened.story.complete, [1, 2]);
}

#[test]
fn no_number_is_used_twice_and_a_rebuild_mixes_no_two_logs_of_a_job() {
    let dir = quick_dir();
    let journal = write_two_lives(dir.path());
    let log_alone = quick_dir();
    copy(dir.path(), log_alone.path());
    journal.journal.close().unwrap();
    assert_eq!(heads_in(dir.path()).1, 4, "numbers 1 and 2 were job 1's before");

    flip(&dir.path().join("journal.db"), 0, 1);
    fs::remove_file(log_alone.path().join("journal.db")).unwrap();
    for dir in [&dir, &log_alone] {
        let opened = open(dir.path());
        assert_eq!(opened.opened.continuity, Continuity::Rebuilt);
        check_second_life(&opened);
        opened.put(vec![Entry::Forget { job: JobId(1) }, Entry::Forget { job: JobId(2) }]);
        opened.journal.close().unwrap();
        let opened = open(dir.path());
        opened.put(vec![record(3, 1)]);
        opened.journal.close().unwrap();
        assert_eq!(heads_in(dir.path()).1, 5);
    }
}

#[test]
fn a_record_under_another_number_is_not_taken() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![record(1, 1), record(1, 2), record(2, 1)]);
    journal.put(vec![Entry::Forget { job: JobId(2) }, record(1, 3)]);
    journal.journal.close().unwrap();
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    // The same job's record, as an earlier log of it would have left it.
    db.execute_batch(
        "UPDATE jobs SET no = 9 WHERE no = 1; UPDATE records SET id = id + (8 << 32) WHERE id >> 32 = 1;",
    )
    .unwrap();
    drop(db);
    let opened = open(dir.path());
    assert_eq!(opened.story.quarantined.into_iter().collect::<Vec<_>>(), [(1, Damage::Head)]);
    assert!(opened.story.logs.is_empty());
}
