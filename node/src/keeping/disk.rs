//! The number of this node's disk, by which a job's trio knows its members: drawn at random with a new journal, and drawn anew
//! when the journal may lack something that this node has acknowledged to others.
//!
//! It is written with the number of this life of the journal before any node is told of it. A life that ended before that is
//! missed in the next one, which draws anew: whether *its* journal was whole is not known any more.

use std::collections::BTreeSet;

use weft_core::custody::TOMBSTONES_MAX;
use weft_core::{JobId, Left};
use weft_journal::{Entry, Journal, Opened, Shelf, THINGS_MAX};

use super::news::News;
use super::things::{job_of, key_of, left_of};

/// Its name on its shelf.
const KEY: &[u8] = b"disk";
/// What the names of jobs begin with that are lost under that number.
const LOST: &[u8] = b"lost";
/// On the shelf of jobs that were left: no job has gone from the disk since it got its number but those that are there, and those that
/// were forgotten. It goes with the first of them that has no room.
const ALL: &[u8] = b"all";

// Of fewer forgotten jobs than that, none has gone from its shelf.
const _: () = assert!(TOMBSTONES_MAX as u64 <= THINGS_MAX);

/// What is on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    /// The number, never 0.
    disk: u64,
    /// The last life of the journal that used it.
    opens: u64,
}

impl Written {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (disk, opens) = bytes.split_first_chunk::<8>()?;
        let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        let (disk, opens) = (number(*disk), number(opens.try_into().ok()?));
        (disk != 0).then_some(Self { disk, opens })
    }

    fn encode(self) -> Vec<u8> {
        [self.disk.to_le_bytes(), self.opens.to_le_bytes()].concat()
    }
}

/// What the journal brought back about it.
#[derive(Debug, Default)]
pub(super) struct Found {
    written: Option<Written>,
    /// Jobs in quarantine that are known to be lost under that number.
    lost: BTreeSet<JobId>,
    /// Jobs that every node which kept them was to forget.
    pub(super) forgotten: Vec<JobId>,
    /// Jobs that this node left.
    pub(super) left: Vec<(JobId, Left)>,
    /// [`ALL`] is on its shelf.
    has_all: bool,
    /// One of the jobs that were forgotten, or were left, can't be read.
    misses_one: bool,
}

/// What this life goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// The number; 0 if it can't be written, and then this node keeps nothing.
    pub(super) disk: u64,
    /// All jobs are known that other nodes keep, too, and that went from the disk since it got that number.
    pub(super) knows_all: bool,
}

impl Found {
    /// A thing on the shelf of jobs that were forgotten.
    pub(super) fn note_forgotten(&mut self, key: &[u8]) {
        let job = job_of(key);
        self.misses_one |= job.is_none();
        self.forgotten.extend(job);
    }

    /// A thing on the shelf of jobs that were left.
    pub(super) fn note_left(&mut self, key: &[u8], bytes: &[u8]) {
        if key == ALL {
            self.has_all = true;
            return;
        }
        let job = job_of(key).zip(left_of(bytes));
        self.misses_one |= job.is_none();
        self.left.extend(job);
    }

    /// Whether all jobs are known that went from the disk before this life, which did not give it a number. `removed` things of the
    /// journal were not what was written.
    fn knows_all(&self, removed: u64) -> bool {
        self.has_all && !self.misses_one && removed == 0 && self.forgotten.len() < TOMBSTONES_MAX
    }

    /// A thing on the shelf.
    pub(super) fn note(&mut self, key: &[u8], bytes: &[u8]) {
        if key == KEY {
            self.written = Written::decode(bytes);
        } else if let Some(job) = key.strip_prefix(LOST) {
            self.lost.extend(job_of(job));
        }
    }
}

/// The number in this life, on the disk when this returns. Drawn anew, too, if the log of a job is `lost` that it keeps with others,
/// and was not known to be.
pub(super) fn settle(
    journal: &Journal,
    opened: &Opened,
    news: &News,
    found: &Found,
    lost: &BTreeSet<JobId>,
) -> Settled {
    let none = Settled { disk: 0, knows_all: false };
    let opens = opened.stamp.opens;
    let is_whole = opened.continuity.is_whole() && lost.is_subset(&found.lost);
    let before = found.written.filter(|found| is_whole && found.opens.checked_add(1) == Some(opens));
    let Some(disk) = before.map(|found| found.disk).or_else(draw) else { return none };
    let put = |key: Vec<u8>, bytes| Entry::Put { shelf: Shelf::Disk, key, bytes };
    let mut entries: Vec<Entry> =
        lost.difference(&found.lost).map(|job| put(lost_key(*job), Vec::new())).collect();
    entries.extend(found.lost.difference(lost).map(|job| no_longer_lost(*job)));
    entries.push(put(KEY.to_vec(), Written { disk, opens }.encode()));
    let knows_all = before.is_none() || found.knows_all(opened.removed);
    let (shelf, key) = (Shelf::Left, ALL.to_vec());
    if before.is_none() {
        entries.push(Entry::Put { shelf, key, bytes: Vec::new() });
    } else if !knows_all {
        entries.push(Entry::Take { shelf, key });
    }
    match journal.append(entries) {
        Ok(append) if news.wait_written(append) => Settled { disk, knows_all },
        Ok(_) => none,
        Err(refused) => {
            tracing::warn!(%refused, "the number of this node's disk was not written: it keeps no jobs of others");
            none
        }
    }
}

/// The log of a job that was lost is gone, or another one has its place.
pub(super) fn no_longer_lost(job: JobId) -> Entry {
    Entry::Take { shelf: Shelf::Disk, key: lost_key(job) }
}

fn lost_key(job: JobId) -> Vec<u8> {
    [LOST, &key_of(job)].concat()
}

/// A number that no disk had before.
fn draw() -> Option<u64> {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Some(u64::from_le_bytes(bytes).max(1)),
        Err(error) => {
            tracing::warn!(%error, "the operating system gives no random bytes: this node keeps no jobs of others");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let written = Written { disk: 0x1122_3344_5566_7788, opens: 9 };
        assert_eq!(Written::decode(&written.encode()), Some(written));
        for bad in [&[1; 15][..], &[1; 17], &[], &[0; 16]] {
            assert_eq!(Written::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_went_from_a_disk_is_known_until_some_of_it_is_not() {
        let mut found = Found::default();
        assert!(
            !found.knows_all(0),
            "an older program gave the disk its number, or more were left than have room"
        );
        found.note_left(ALL, &[]);
        assert!(found.knows_all(0) && !found.knows_all(1), "what was hurt may be a job that was left");
        (1..TOMBSTONES_MAX).for_each(|job| found.note_forgotten(&key_of(JobId(job as u64))));
        found.note_left(&key_of(JobId(0)), &[1; 12]);
        assert!(found.knows_all(0));
        found.note_forgotten(&key_of(JobId(0)));
        assert!(!found.knows_all(0), "the next one has no room");
    }

    #[test]
    fn a_job_that_went_and_can_t_be_read_is_not_known() {
        let all = || {
            let mut found = Found::default();
            found.note_left(ALL, &[]);
            found
        };
        let job = key_of(JobId(1));
        for (key, bytes) in [(&job[..], &[1; 11][..]), (&job, &[]), (&job[1..], &[1; 12])] {
            let mut found = all();
            found.note_left(key, bytes);
            assert!(!found.knows_all(0) && found.left.is_empty(), "{key:?} {bytes:?}");
        }
        let mut found = all();
        found.note_forgotten(ALL);
        assert!(!found.knows_all(0) && found.forgotten.is_empty());
    }
}
