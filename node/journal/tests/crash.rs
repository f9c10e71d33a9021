//! What was told as persisted is there after a power cut, after kill -9, and on a disk that is full or read-only.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may panic"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{Dice, append, content, copy, error_of, log, open, quick_dir, record, settings, try_open_with};
use weft_core::JobId;
use weft_journal::{Continuity, Entry, Error, Event, Kind, Refused, Settings};

#[test]
fn a_power_cut_after_the_word_takes_nothing() {
    let dir = quick_dir();
    let cut = quick_dir();
    let journal = open(dir.path());
    let mut dice = Dice(4);
    let mut last = BTreeMap::new();
    for round in 0..60 {
        let mut entries = Vec::new();
        for _ in 0..=dice.roll(40) {
            let job = 1 + dice.roll(5);
            let seq = last.entry(job).or_insert(0);
            *seq += 1;
            entries.push(record(job, *seq));
        }
        journal.put(entries);
        if round % 4 == 3 {
            // Nothing is under way but putting the log into the file, which a cut may stop anywhere.
            copy(dir.path(), cut.path());
            let opened = open(cut.path());
            for (job, seq) in &last {
                assert_eq!(opened.story.logs[job], log(*job, *seq), "round {round}");
            }
        }
    }
}

/// What the child does: appends, snapshots and forgets, and says when each is on the disk. Driven by the test below,
/// which kills it.
#[test]
#[ignore = "it is the child of another test"]
fn child_that_appends() {
    let mut dir = String::new();
    std::io::stdin().read_line(&mut dir).unwrap();
    let Some((seed, dir)) = dir.trim().split_once(' ') else { return };
    let journal = open(Path::new(dir));
    let mut dice = Dice(seed.parse().unwrap());
    let mut last: BTreeMap<u64, u32> =
        journal.story.logs.iter().map(|(job, log)| (*job, log.last().unwrap().0)).collect();
    let mut fresh = last.keys().max().map_or(1, |job| job + 1).max(1000 * dice.0 % 1_000_000_000 + 1);
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| {
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    loop {
        if last.len() < 4 {
            last.insert(fresh, 0);
            fresh += 1;
        }
        let job = *last.keys().nth(dice.roll(last.len() as u64) as usize).unwrap();
        let seq = last[&job] + 1;
        let entries = match (seq, dice.roll(20)) {
            (1, _) | (_, 2..) => (seq..=seq + dice.roll(5) as u32).map(|seq| record(job, seq)).collect(),
            (_, 0) => vec![append(job, seq, Kind::Snapshot)],
            (_, _) => {
                say(format!("forgets {job}"));
                journal.put(vec![Entry::Forget { job: JobId(job) }]);
                say(format!("forgot {job}"));
                last.remove(&job);
                continue;
            }
        };
        let upto = seq - 1 + entries.len() as u32;
        journal.put(entries);
        last.insert(job, upto);
        say(format!("has {job} {upto}"));
    }
}

fn start_child(dir: &Path, seed: u64) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_appends", "--ignored", "--nocapture", "--test-threads=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{seed} {}", dir.display()).unwrap();
    child
}

/// What the child said of a job.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    has: u32,
    forgets: bool,
    forgot: bool,
}

#[test]
fn kill_9_takes_nothing_that_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut said: BTreeMap<u64, Said> = BTreeMap::new();
    let mut dice = Dice(5);
    for round in 0..30 {
        let mut child = start_child(dir.path(), round + 1);
        let mut lines = 1 + dice.roll(60);
        let mut heard = 0;
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            // The frame of the test prints lines of its own, once on one line with the first of ours.
            let Some(at) = words.iter().position(|word| ["has", "forgets", "forgot"].contains(word)) else {
                continue;
            };
            let Some(Ok(job)) = words.get(at + 1).map(|word| word.parse()) else { continue };
            let entry: &mut Said = said.entry(job).or_default();
            match words[at] {
                "has" => entry.has = words[at + 2].parse().unwrap(),
                "forgets" => entry.forgets = true,
                _ => entry.forgot = true,
            }
            heard += 1;
            lines = lines.saturating_sub(1);
            if lines == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard > 0, "round {round}: the child said nothing");
        check_what_was_said(dir.path(), &said, round);
    }
}

fn check_what_was_said(dir: &Path, said: &BTreeMap<u64, Said>, round: u64) {
    let opened = open(dir);
    assert!(opened.story.quarantined.is_empty(), "round {round}: {:?}", opened.story.quarantined);
    assert_eq!(opened.opened.rebuilt, None, "round {round}");
    assert_eq!(opened.opened.continuity, Continuity::Same, "round {round}");
    for (job, said) in said {
        let found = opened.story.logs.get(job);
        if said.forgot {
            assert_eq!(found, None, "round {round}: job {job} is back");
            continue;
        }
        let last = found.and_then(|log| log.last()).map_or(0, |(seq, _, _)| *seq);
        let may_be_gone = said.forgets && found.is_none();
        assert!(last >= said.has || may_be_gone, "round {round}: job {job} has {last}, told {}", said.has);
        for (seq, _, bytes) in found.into_iter().flatten() {
            assert_eq!(bytes, &content(*job, *seq), "round {round}: job {job}");
        }
    }
}

/// A small disk of its own, unmounted in the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, with a sentence, where this user may not mount.
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        println!("skipped: mounting a small disk needs root");
        None
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }

    fn available_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.0).unwrap();
        found.f_bavail * found.f_frsize
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("others")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_new_jobs_are_refused_first_and_what_was_begun_can_end() {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount.path(), 8 << 20) else { return };
    let dir = mount.path().join("node");
    let small = Settings { reserve_bytes: 2 << 20, low_bytes: 1 << 20, ..settings(&dir) };
    let journal = try_open_with(&small).unwrap();
    for job in 1..=20 {
        journal.put(vec![record(job, 1)]);
    }
    disk.fill();
    let refused = journal.journal.append(vec![record(21, 1)]).unwrap_err();
    assert!(matches!(refused, Refused::DiskLow { .. }), "{refused}");
    assert!(refused.to_string().contains("no new jobs"), "{refused}");
    // The log has no room to grow but for the reserve.
    for seq in 2..=5 {
        journal.put((1..=20).map(|job| record(job, seq)).collect());
    }
    assert!(!dir.join("journal.reserve").exists(), "the reserve was not needed");
    disk.fill();

    // Now there is nothing left, and that is final.
    let mut seq = 6;
    let failure = loop {
        if journal.journal.append((1..=20).map(|job| record(job, seq)).collect()).is_err() {
            break journal.journal.failure().expect("a failure");
        }
        seq += 1;
        let ended = journal.events.iter().find(|event| !matches!(event, Event::DiskLow(_)));
        if let Some(Event::Failed(failure)) = ended {
            break failure;
        }
    };
    assert!(failure.full, "{failure}");
    let refused = journal.journal.append(vec![record(1, seq)]).unwrap_err();
    assert_eq!(refused, Refused::Failed(failure));
    assert!(journal.journal.close().is_err());

    // Full, it does not open, and says so; with room, all is there that was acknowledged.
    let error = match try_open_with(&small) {
        Err(error) => Some(error),
        Ok(opened) => {
            assert!(opened.story.logs[&20].len() >= 5);
            None
        }
    };
    assert!(error.as_ref().is_none_or(Error::is_disk_full), "{error:?}");
    fs::remove_file(mount.path().join("others")).unwrap();
    let opened = try_open_with(&small).unwrap();
    for job in 1..=20 {
        assert!(opened.story.logs[&job].len() >= 5);
        assert_eq!(opened.story.logs[&job], log(job, opened.story.logs[&job].len() as u32));
    }
    opened.put(vec![record(21, 1)]);
    assert!(dir.join("journal.reserve").exists(), "the reserve is set aside again");
}

#[test]
fn that_a_disk_has_room_again_is_told_while_nothing_is_written() {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount.path(), 8 << 20) else { return };
    let dir = mount.path().join("node");
    let small = Settings { reserve_bytes: 2 << 20, low_bytes: 1 << 20, ..settings(&dir) };
    let journal = try_open_with(&small).unwrap();
    disk.fill();
    let refused = journal.journal.append(vec![record(1, 1)]).unwrap_err();
    assert!(matches!(refused, Refused::DiskLow { .. }), "{refused}");
    assert_eq!(journal.events.recv_timeout(support::PATIENCE), Ok(Event::DiskLow(true)));
    fs::remove_file(mount.path().join("others")).unwrap();
    assert_eq!(journal.events.recv_timeout(support::PATIENCE), Ok(Event::DiskLow(false)));
    journal.put(vec![record(1, 1)]);
}

#[test]
fn tidying_up_on_a_full_disk_waits_and_leaves_the_reserve() {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount.path(), 16 << 20) else { return };
    let dir = mount.path().join("node");
    let small = Settings { reserve_bytes: 1 << 20, ..settings(&dir) };
    let journal = try_open_with(&small).unwrap();
    for first in (1..=3000).step_by(100) {
        journal.put((first..first + 100).map(|seq| record(1, seq)).collect());
    }
    journal.journal.append(vec![record(2, 1), Entry::Forget { job: JobId(1) }]).unwrap();
    journal.journal.close().unwrap();
    disk.fill();
    let others = fs::OpenOptions::new().write(true).open(mount.path().join("others")).unwrap();
    others.set_len(others.metadata().unwrap().len() - (200 << 10)).unwrap();

    let journal = try_open_with(&small).unwrap();
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while disk.available_bytes() > 0 {
        assert!(std::time::Instant::now() < deadline, "it never fills the disk");
        std::thread::yield_now();
    }
    others.set_len(0).unwrap();
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    let rows = || db.query_row("SELECT count(*) FROM records", [], |row| row.get::<_, i64>(0)).unwrap();
    while rows() > 1 {
        assert!(std::time::Instant::now() < deadline, "it never goes on");
        std::thread::yield_now();
    }
    assert!(dir.join("journal.reserve").exists(), "the reserve was spent on tidying up");
    assert_eq!(journal.journal.failure(), None);
}

#[test]
fn a_read_only_disk_is_named() {
    let mount = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount.path(), 8 << 20) else { return };
    for has_journal in [false, true] {
        if has_journal {
            drop(open(&mount.path().join("node")));
        }
        disk.remount("ro");
        let error = error_of(&mount.path().join("node"));
        assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
        assert!(error.to_string().contains("check owner, mode and mount"), "{error}");
        disk.remount("rw");
    }
}
