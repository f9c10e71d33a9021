//! What a durable record costs, next to what the disk can do: appends against a bare write and fsync in the same run,
//! and reading back a job of a million outcomes. Measures, and judges nothing.
//!
//! `cargo bench -p weft-journal [-- DIR]`; DIR is on the disk that is measured.
#![expect(clippy::print_stdout, clippy::panic, reason = "a benchmark prints what it measured, and may panic")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use weft_core::{JobId, PeerId};
use weft_journal::{Damage, Entry, Event, Fold, Journal, Kind, Settings, Shelf};

/// Times each thing is done one after another, waiting for the disk each time.
const ROUNDS: u32 = 200;
/// Appends that are under way together, as tasks end on a busy owner.
const APPENDS: u32 = 100_000;
/// Jobs whose records come in turn.
const JOBS: u32 = 1000;
const REMEMBERED: u32 = 200_000;
const OUTCOMES: u32 = 1_000_000;
/// Outcomes in one record, and bytes of each.
const BATCH: u32 = 256;
const OUTCOME_BYTES: usize = 48;

#[derive(Default)]
struct Count {
    records: u64,
    bytes: u64,
}

impl Fold for Count {
    fn own(&mut self, _: JobId, _: &[u8]) {}
    fn record(&mut self, _: JobId, _: u32, _: Kind, bytes: &[u8]) {
        self.records += 1;
        self.bytes += bytes.len() as u64;
    }
    fn complete(&mut self, _: JobId, _: u64) {}
    fn quarantined(&mut self, _: JobId, _: &Damage) {}
    fn shelved(&mut self, _: Shelf, _: &[u8], _: &[u8]) {}
}

fn main() {
    let root = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let root = root.map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a directory");
    println!("SQLite {}, {}", weft_journal::sqlite_version(), root.path().display());
    let fsync = bare_fsync(&root.path().join("bare"));
    println!("bare: write 4 KiB and fsync        {:>9.0} a second", rate(ROUNDS, fsync));
    let single = one_by_one(&root.path().join("one"));
    println!("append one record and wait         {:>9.0} a second", rate(ROUNDS, single));
    let (together, groups) = many(&root.path().join("many"));
    println!(
        "append 100-byte records, pipelined {:>9.0} a second in {groups} groups",
        rate(APPENDS, together)
    );
    let (spread, groups) = many_jobs(&root.path().join("spread"));
    println!(
        "the same over {JOBS} jobs             {:>9.0} a second in {groups} groups",
        rate(APPENDS, spread)
    );
    restart(&root.path().join("restart"));
    rebuild(&root.path().join("restart"));
    remembered(&root.path().join("remembered"));
}

fn rate(times: u32, took: Duration) -> f64 {
    f64::from(times) / took.as_secs_f64()
}

fn bare_fsync(path: &Path) -> Duration {
    let mut file = File::create(path).expect("a file");
    let start = Instant::now();
    for _ in 0..ROUNDS {
        file.write_all(&[7; 4096]).expect("room");
        file.sync_data().expect("a disk");
    }
    start.elapsed()
}

fn open(dir: &Path, fold: &mut impl Fold) -> (Journal, Receiver<Event>) {
    let (told, events) = channel();
    let settings = Settings::new(dir, PeerId([1; 32]));
    let (journal, _) =
        Journal::open(&settings, fold, move |event| drop(told.send(event))).expect("a journal");
    (journal, events)
}

fn record(seq: u32, bytes: usize) -> Entry {
    let kind = if seq == 1 { Kind::Accepted } else { Kind::Outcomes };
    Entry::Append { job: JobId(1), seq, kind, ends: 1, bytes: vec![seq.to_le_bytes()[0]; bytes] }
}

/// Waits for a ticket; how many times something was told.
fn wait(events: &Receiver<Event>, ticket: u64) -> u64 {
    let mut told = 0;
    for event in events {
        told += 1;
        match event {
            Event::Persisted { upto } if upto >= ticket => break,
            Event::Persisted { .. } | Event::DiskLow(_) => {}
            Event::Failed(failure) => panic!("{failure}"),
        }
    }
    told
}

fn one_by_one(dir: &Path) -> Duration {
    let (journal, events) = open(dir, &mut Count::default());
    let start = Instant::now();
    for seq in 1..=ROUNDS {
        let ticket = journal.append(vec![record(seq, 100)]).expect("taken");
        wait(&events, ticket);
    }
    start.elapsed()
}

fn many(dir: &Path) -> (Duration, u64) {
    let (journal, events) = open(dir, &mut Count::default());
    let start = Instant::now();
    let mut last = 0;
    for seq in 1..=APPENDS {
        let deadline = Instant::now() + Duration::from_secs(60);
        last = journal.append_by(vec![record(seq, 100)], deadline).expect("taken");
    }
    let groups = wait(&events, last);
    (start.elapsed(), groups)
}

fn many_jobs(dir: &Path) -> (Duration, u64) {
    let (journal, events) = open(dir, &mut Count::default());
    let start = Instant::now();
    let mut last = 0;
    for number in 0..APPENDS {
        let (job, seq) = (number % JOBS, number / JOBS + 1);
        let kind = if seq == 1 { Kind::Accepted } else { Kind::Outcomes };
        let entry = Entry::Append { job: JobId(job.into()), seq, kind, ends: 1, bytes: vec![7; 100] };
        last = journal.append_by(vec![entry], Instant::now() + Duration::from_secs(60)).expect("taken");
    }
    let groups = wait(&events, last);
    (start.elapsed(), groups)
}

/// How long it takes to gather that job from raw pages.
fn rebuild(dir: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(dir.join("journal.db")).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&file, b"sQL", 0).expect("a changed header");
    let mut count = Count::default();
    let start = Instant::now();
    let (_journal, _events) = open(dir, &mut count);
    println!(
        "restart, header damaged: {} records gathered: {:.2} s",
        count.records,
        start.elapsed().as_secs_f64()
    );
}

fn remembered(dir: &Path) {
    let (journal, events) = open(dir, &mut Count::default());
    let mut last = 0;
    for number in 0..REMEMBERED {
        // Keys that are spread as hashes are.
        let key = (u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes().repeat(4);
        let entry = Entry::Put { shelf: Shelf::Remembered, key, bytes: vec![7; 64] };
        last = journal.append_by(vec![entry], Instant::now() + Duration::from_secs(60)).expect("taken");
    }
    wait(&events, last);
    drop(journal);
    let start = Instant::now();
    let (_journal, _events) = open(dir, &mut Count::default());
    println!("restart with {REMEMBERED} remembered results: {:.2} s", start.elapsed().as_secs_f64());
}

fn restart(dir: &Path) {
    let (journal, events) = open(dir, &mut Count::default());
    let mut last = 0;
    for seq in 1..=OUTCOMES.div_ceil(BATCH) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let entry = record(seq, BATCH as usize * OUTCOME_BYTES);
        last = journal.append_by(vec![entry], deadline).expect("taken");
    }
    wait(&events, last);
    // As after kill -9: what is in the write-ahead log comes from there.
    let killed = dir.with_extension("killed");
    std::fs::create_dir_all(&killed).expect("a directory");
    for name in ["journal.db", "journal.db-wal", "journal.mark"] {
        std::fs::copy(dir.join(name), killed.join(name)).expect("a copy");
    }
    drop(journal);
    for (how, dir) in [("closed", dir), ("killed", &killed)] {
        let mut count = Count::default();
        let start = Instant::now();
        let (journal, _events) = open(dir, &mut count);
        let took = start.elapsed();
        drop(journal);
        println!(
            "restart, {how}: {OUTCOMES} outcomes in {} records, {} MB: {:.2} s",
            count.records,
            count.bytes / 1_000_000,
            took.as_secs_f64()
        );
    }
}
