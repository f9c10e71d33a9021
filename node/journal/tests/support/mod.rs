//! What the tests of the journal share: a fold that remembers, records that follow from their numbers, and copies of
//! directories as a power cut leaves them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "each test file uses its part of it, and may panic"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;
use weft_core::{JobId, PeerId};
use weft_journal::{Damage, Entry, Error, Event, Fold, Journal, Kind, Listing, Opened, Settings, Shelf};

/// The node of the tests.
pub(crate) const ME: PeerId = PeerId([7; 32]);
/// Far beyond what anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Everything that was read back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Story {
    pub(crate) logs: BTreeMap<u64, Vec<(u32, Kind, Vec<u8>)>>,
    pub(crate) own: BTreeMap<u64, Vec<u8>>,
    pub(crate) lines: BTreeMap<u64, Listing>,
    /// Kinds of records of jobs that it does not want.
    pub(crate) unwanted: Vec<(u64, Kind)>,
    /// Ends of tasks that each sound log has told.
    pub(crate) ends: BTreeMap<u64, u64>,
    pub(crate) complete: Vec<u64>,
    pub(crate) quarantined: BTreeMap<u64, Damage>,
    pub(crate) shelved: BTreeMap<(Shelf, Vec<u8>), Vec<u8>>,
}

impl Fold for Story {
    fn own(&mut self, job: JobId, bytes: &[u8]) {
        self.own.insert(job.0, bytes.to_vec());
    }

    fn record(&mut self, job: JobId, seq: u32, kind: Kind, bytes: &[u8]) {
        self.logs.entry(job.0).or_default().push((seq, kind, bytes.to_vec()));
    }

    fn listed(&mut self, job: JobId, line: Listing) {
        self.lines.insert(job.0, line);
    }

    fn wants(&self, job: JobId, kind: Kind) -> bool {
        !self.unwanted.contains(&(job.0, kind))
    }

    fn complete(&mut self, job: JobId, ends: u64) {
        self.ends.insert(job.0, ends);
        self.complete.push(job.0);
    }

    fn quarantined(&mut self, job: JobId, why: &Damage) {
        self.logs.remove(&job.0);
        self.own.remove(&job.0);
        self.quarantined.insert(job.0, why.clone());
    }

    fn shelved(&mut self, shelf: Shelf, key: &[u8], bytes: &[u8]) {
        self.shelved.insert((shelf, key.to_vec()), bytes.to_vec());
    }
}

/// A journal with what it tells.
pub(crate) struct Open {
    pub(crate) journal: Journal,
    pub(crate) opened: Opened,
    pub(crate) story: Story,
    pub(crate) events: Receiver<Event>,
}

impl Open {
    /// Appends, and waits until that is on the disk.
    pub(crate) fn put(&self, entries: Vec<Entry>) -> u64 {
        let ticket = self.journal.append(entries).unwrap();
        self.wait_for(ticket);
        ticket
    }

    pub(crate) fn wait_for(&self, ticket: u64) {
        loop {
            match self.events.recv_timeout(PATIENCE).expect("the writer tells") {
                Event::Persisted { upto } if upto >= ticket => return,
                Event::Persisted { .. } | Event::DiskLow(_) => {}
                Event::Failed(failure) => panic!("{failure}"),
            }
        }
    }
}

/// A directory where syncing is cheap, if the machine has one: for tests of what is in a file, not of the disk.
pub(crate) fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Settings without a reserve to speak of.
pub(crate) fn settings(dir: &Path) -> Settings {
    Settings { reserve_bytes: 4096, low_bytes: 0, ..Settings::new(dir, ME) }
}

pub(crate) fn try_open(dir: &Path) -> Result<Open, Error> {
    try_open_with(&settings(dir))
}

pub(crate) fn try_open_with(settings: &Settings) -> Result<Open, Error> {
    try_open_for(settings, Story::default())
}

/// The same for a fold that may not want all.
pub(crate) fn try_open_for(settings: &Settings, mut story: Story) -> Result<Open, Error> {
    let (told, events) = channel();
    let (journal, opened) = Journal::open(settings, &mut story, move |event| {
        // A test that has ended listens no longer.
        let _ended = told.send(event);
    })?;
    Ok(Open { journal, opened, story, events })
}

pub(crate) fn open(dir: &Path) -> Open {
    try_open(dir).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn error_of(dir: &Path) -> Error {
    match try_open(dir) {
        Ok(open) => panic!("it opened: {:?}", open.opened),
        Err(error) => error,
    }
}

/// The one content that a record can have.
pub(crate) fn content(job: u64, seq: u32) -> Vec<u8> {
    let mut bytes = format!("record {seq} of job {job}.").into_bytes();
    // Now and then one that does not fit into a page.
    let length = if seq.is_multiple_of(7) { 9000 } else { 20 + (seq as usize * 37) % 300 };
    while bytes.len() < length {
        bytes.push(u8::try_from((bytes.len() * 31 + seq as usize + job as usize) % 251).unwrap());
    }
    bytes
}

pub(crate) fn record(job: u64, seq: u32) -> Entry {
    let kind = if seq == 1 { Kind::Accepted } else { Kind::Outcomes };
    Entry::Append { job: JobId(job), seq, kind, ends: u32::from(seq > 1), bytes: content(job, seq) }
}

pub(crate) fn append(job: u64, seq: u32, kind: Kind) -> Entry {
    Entry::Append { job: JobId(job), seq, kind, ends: 0, bytes: content(job, seq) }
}

/// What a job's log must be: its records up to one.
pub(crate) fn log(job: u64, last: u32) -> Vec<(u32, Kind, Vec<u8>)> {
    (1..=last)
        .map(|seq| (seq, if seq == 1 { Kind::Accepted } else { Kind::Outcomes }, content(job, seq)))
        .collect()
}

/// The files of a journal as they are at this moment, without what a power cut would not leave.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // How much of the log is on the disk comes first: after a power cut it may say less than there is, never more.
    for name in ["journal.synced", "journal.db", "journal.db-wal", "journal.mark"] {
        match fs::copy(from.join(name), to.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // What an earlier copy left there must not be taken for this one's.
                let _missing = fs::remove_file(to.join(name));
            }
            other => drop(other.unwrap()),
        }
    }
    let _missing = fs::remove_file(to.join("journal.db-shm"));
}

/// Numbers that look random and are the same in each run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}
