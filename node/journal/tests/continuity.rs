//! Whether a file is the journal that this node had last: older copies, lost logs and marks, files of other nodes and programs. What
//! is no journal of this node is refused in one sentence.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{ME, copy, error_of, open, quick_dir, record, settings, try_open_with};
use weft_core::{JobId, PeerId};
use weft_journal::{Continuity, Entry, Error, Kind, Settings};

#[test]
fn an_older_copy_is_known_as_such() {
    let dir = quick_dir();
    let yesterday = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![record(1, 1)]);
    journal.journal.close().unwrap();
    copy(dir.path(), yesterday.path());
    let journal = open(dir.path());
    journal.put(vec![record(1, 2), record(2, 1)]);
    // What a copy of a running journal looks like.
    let running = quick_dir();
    copy(dir.path(), running.path());
    journal.journal.close().unwrap();

    for (older, stamps) in [(yesterday, (1, 2)), (running, (2, 2))] {
        let restored = quick_dir();
        copy(older.path(), restored.path());
        fs::copy(dir.path().join("journal.mark"), restored.path().join("journal.mark")).unwrap();
        let opened = open(restored.path());
        assert_eq!(opened.opened.continuity, Continuity::Older { file: stamps.0, mark: stamps.1 });
        assert!(opened.story.logs.contains_key(&1), "what is in it is served");
        assert_eq!(opened.opened.stamp.opens, 3, "no life has the number of an earlier one");
        assert!(opened.opened.continuity.to_string().contains("older copy"));
    }
}

#[test]
fn an_older_copy_of_the_same_life_is_known_by_what_was_written_since() {
    let dir = quick_dir();
    let journal = open(dir.path());
    journal.put(vec![record(1, 1)]);
    for round in 0..4 {
        let older = quick_dir();
        copy(dir.path(), older.path());
        let first = 2 + 2 * round;
        for seq in [first, first + 1] {
            let bytes = vec![1; 3 << 20];
            journal.put(vec![Entry::Append { job: JobId(1), seq, kind: Kind::Outcomes, ends: 1, bytes }]);
        }
        // It is counted before the next group; and the log may begin anew between two rounds.
        journal.put(vec![record(2, round + 1)]);
        eventually_in_file(dir.path());
        let newest = quick_dir();
        copy(dir.path(), newest.path());
        fs::copy(newest.path().join("journal.mark"), older.path().join("journal.mark")).unwrap();
        let with_older_log = quick_dir();
        copy(newest.path(), with_older_log.path());
        fs::copy(older.path().join("journal.db-wal"), with_older_log.path().join("journal.db-wal")).unwrap();
        let continuity = open(older.path()).opened.continuity;
        assert_eq!(continuity, Continuity::Older { file: 1, mark: 1 }, "round {round}");
        assert_eq!(open(newest.path()).opened.continuity, Continuity::Same, "round {round}");
        // Pages of different times make no sense together, so it may have to be rebuilt.
        let continuity = support::try_open(with_older_log.path()).map(|open| open.opened.continuity);
        assert!(continuity.is_ok_and(|found| !found.is_whole()), "round {round}");
    }
}

/// Waits until what was written is in the file, so that the next write begins the log anew.
fn eventually_in_file(dir: &Path) {
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    let until = Instant::now() + support::PATIENCE;
    loop {
        let lengths: (i64, i64) =
            db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap();
        // Both are -1 while the journal's own one is under way.
        if lengths.0 == lengths.1 && lengths.0 >= 0 {
            return;
        }
        assert!(Instant::now() < until, "{lengths:?} pages are in the log and in the file");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_older_log_of_the_same_life_is_not_whole() {
    let dir = quick_dir();
    let journal = open(dir.path());
    let mut older = vec![quick_dir()];
    copy(dir.path(), older[0].path());
    for seq in 1..=3 {
        journal.put(vec![record(1, seq)]);
        older.push(quick_dir());
        copy(dir.path(), older[seq as usize].path());
    }
    let newest = older.pop().unwrap();
    for (seq, copy) in older.iter().enumerate() {
        fs::copy(newest.path().join("journal.synced"), copy.path().join("journal.synced")).unwrap();
        let opened = open(copy.path());
        assert_eq!(opened.story.logs.get(&1).map_or(0, Vec::len), seq);
        assert_eq!(opened.opened.continuity, Continuity::LogCut);
        opened.journal.close().unwrap();
        assert_eq!(open(copy.path()).opened.continuity, Continuity::Same, "it was told once");
    }
    assert_eq!(open(newest.path()).opened.continuity, Continuity::Same);
}

#[test]
fn a_journal_that_was_killed_and_lost_its_log_is_not_whole() {
    for cut_to in [None, Some(0_usize), Some(32)] {
        let dir = quick_dir();
        // The file says that it is open, as after a checkpoint.
        let killed = quick_dir();
        let journal = open(dir.path());
        journal.put(vec![record(9, 1)]);
        copy(dir.path(), killed.path());
        rusqlite::Connection::open(killed.path().join("journal.db"))
            .unwrap()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        let wal = killed.path().join("journal.db-wal");
        fs::write(&wal, vec![0; cut_to.unwrap_or(0)]).unwrap();
        if cut_to.is_none() {
            fs::remove_file(&wal).unwrap();
        }
        let opened = open(killed.path());
        assert_eq!(opened.opened.continuity, Continuity::LogLost);
        assert!(!opened.opened.continuity.is_whole());
        opened.journal.close().unwrap();
        assert_eq!(open(killed.path()).opened.continuity, Continuity::Same);
    }
}

#[test]
fn a_journal_that_is_gone_or_without_its_mark_is_not_taken_for_a_new_one() {
    let dir = quick_dir();
    drop(open(dir.path()));
    fs::remove_file(dir.path().join("journal.mark")).unwrap();
    assert_eq!(open(dir.path()).opened.continuity, Continuity::Unmarked);
    fs::remove_file(dir.path().join("journal.db")).unwrap();
    let opened = open(dir.path());
    assert_eq!(opened.opened.continuity, Continuity::Lost);
    assert!(!opened.opened.continuity.is_whole());
}

#[test]
fn what_is_no_journal_is_refused_and_left_alone() {
    let text =
        b"not a database at all, but a text that is long enough to be read as a page of one. ".repeat(60);
    for with_mark in [false, true] {
        let dir = quick_dir();
        if with_mark {
            drop(open(dir.path()));
        }
        fs::write(dir.path().join("journal.db"), &text).unwrap();
        let error = error_of(dir.path());
        assert!(matches!(error, Error::NotAJournal { .. }), "{error}");
        assert_eq!(fs::read(dir.path().join("journal.db")).unwrap(), text);
    }

    let dir = quick_dir();
    let other = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    other.execute_batch("CREATE TABLE mine(x); INSERT INTO mine VALUES (1);").unwrap();
    drop(other);
    let error = error_of(dir.path());
    assert!(matches!(error, Error::NotAJournal { .. }), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let dir = quick_dir();
    drop(open(dir.path()));
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    db.execute_batch("PRAGMA user_version = 9; DROP TABLE about;").unwrap();
    drop(db);
    let error = error_of(dir.path());
    assert!(matches!(error, Error::Newer { found: 9, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("format 9"), "{error}");
}

#[test]
fn the_journal_of_another_node_is_refused() {
    let dir = quick_dir();
    drop(open(dir.path()));
    let other = Settings { node: PeerId([8; 32]), ..settings(dir.path()) };
    let Err(error) = try_open_with(&other) else { panic!("it opened") };
    assert!(matches!(error, Error::OtherNode { found: ME, .. }), "{error}");
}

#[test]
fn a_second_mark_outside_of_the_directory_knows_one_that_is_gone_and_a_copy_of_it_all() {
    let (data_dir, yesterday) = (quick_dir(), quick_dir());
    let (dir, mark) = (data_dir.path().join("journal"), data_dir.path().join("journal.mark"));
    let open = || {
        let settings = Settings { mark: Some(mark.clone()), ..settings(&dir) };
        let open = try_open_with(&settings).unwrap();
        let continuity = open.opened.continuity;
        open.put(vec![record(1, u32::try_from(open.opened.records + 1).unwrap())]);
        open.journal.close().unwrap();
        continuity
    };
    let put_back = || {
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        copy(yesterday.path(), &dir);
    };
    assert_eq!((open(), open()), (Continuity::New, Continuity::Same));
    copy(&dir, yesterday.path());
    assert_eq!(open(), Continuity::Same);
    put_back();
    assert_eq!(open(), Continuity::Older { file: 2, mark: 3 });
    assert_eq!(open(), Continuity::Same, "it was told once");
    fs::remove_file(dir.join("journal.mark")).unwrap();
    assert_eq!(open(), Continuity::Unmarked, "an opening may have ended in the middle of a rebuild");
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!((open(), open()), (Continuity::Lost, Continuity::Same));
    put_back();
    assert_eq!((open(), open()), (Continuity::Another, Continuity::Same), "it is told once");
    // An older program wrote none outside.
    fs::remove_file(&mark).unwrap();
    assert_eq!(open(), Continuity::Same);
    fs::remove_dir_all(&dir).unwrap();
    fs::remove_file(&mark).unwrap();
    assert_eq!(open(), Continuity::New);
}

#[test]
fn one_that_another_program_writes_is_in_use() {
    let dir = quick_dir();
    drop(open(dir.path()));
    let other = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = error_of(dir.path());
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    other.execute_batch("ROLLBACK; BEGIN; SELECT * FROM about").unwrap();
    let opened = open(dir.path());
    assert_eq!(opened.opened.continuity, Continuity::Same, "one that only reads is in no one's way");
    other.execute_batch("COMMIT").unwrap();
}

#[test]
fn one_process_at_a_time_has_it() {
    let dir = quick_dir();
    let _first = open(dir.path());
    let error = error_of(dir.path());
    assert!(matches!(error, Error::InUse { .. }), "{error}");
}
