//! How much of the write-ahead log is known to be on the disk: a line next to it, written after each group and never waited for.
//! After a kill it is as new as the log; after a power cut it may be older, and never newer. So a log that has less than it says
//! was cut, or the end of it was changed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::disk::{self, Files};
use crate::wal::{Log, SALT_BYTES, SALT_PLACE};

/// Bytes of what is hashed, and of the whole line.
const SAID_BYTES: usize = 8 + SALT_BYTES + 8;
const LINE_BYTES: usize = SAID_BYTES + 16;

/// What the line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    /// The life of the journal, see [`Stamp::opens`](crate::Stamp).
    opens: u64,
    /// The round of the log: it gets others each time it begins anew.
    salts: [u8; SALT_BYTES],
    /// Frames of the log that were on the disk.
    frames: u64,
}

impl Line {
    fn encode(self) -> [u8; LINE_BYTES] {
        let mut line = [0; LINE_BYTES];
        let (said, sum) = line.split_at_mut(SAID_BYTES);
        said.copy_from_slice(&[self.opens.to_le_bytes(), self.salts, self.frames.to_le_bytes()].concat());
        sum.copy_from_slice(&sum_of(said));
        line
    }

    /// The line, unless it is torn.
    fn decode(line: &[u8; LINE_BYTES]) -> Option<Self> {
        let (said, sum) = line.split_at(SAID_BYTES);
        if sum != sum_of(said) {
            return None;
        }
        let (words, _) = said.as_chunks::<8>();
        let [opens, salts, frames] = words else { return None };
        Some(Self { opens: u64::from_le_bytes(*opens), salts: *salts, frames: u64::from_le_bytes(*frames) })
    }
}

fn sum_of(said: &[u8]) -> [u8; LINE_BYTES - SAID_BYTES] {
    blake3::hash(said).as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Writes the line of one life.
#[derive(Debug)]
pub(crate) struct Synced {
    line: File,
    log: File,
    opens: u64,
}

impl Synced {
    /// For a journal whose life has begun: its log is there. None where the line can't be made, as on a full disk.
    pub(crate) fn begin(files: &Files, opens: u64) -> Option<Self> {
        let line = disk::create(&files.synced).ok()?;
        let log = File::open(&files.wal).ok()?;
        Some(Self { line, log, opens })
    }

    /// That many frames are on the disk.
    pub(crate) fn note(&self, frames: i64) {
        // Where it can't be written, the older line stays, which says less.
        let _noted = self.try_note(u64::try_from(frames).unwrap_or(0));
    }

    fn try_note(&self, frames: u64) -> io::Result<()> {
        let mut salts = [0; SALT_BYTES];
        self.log.read_exact_at(&mut salts, SALT_PLACE)?;
        self.line.write_all_at(&Line { opens: self.opens, salts, frames }.encode(), 0)
    }
}

/// Whether the log of that life, which was not closed, has less than was on the disk.
pub(crate) fn is_cut(files: &Files, opens: u64, log: &Log) -> bool {
    let Some(line) = read(files).filter(|line| line.opens == opens) else { return false };
    log.right_frames().is_some_and(|(salts, frames)| {
        salts == line.salts && frames < line.frames || is_earlier(salts, line.salts)
    })
}

/// Whether a log is of an earlier round of the same life than another: the first half of the salts is a number that SQLite raises by
/// one for each.
fn is_earlier(salts: [u8; SALT_BYTES], than: [u8; SALT_BYTES]) -> bool {
    let round = |salts: [u8; SALT_BYTES]| salts.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
    let behind = round(than).wrapping_sub(round(salts));
    (1..1 << 31).contains(&behind)
}

/// The line, if there is one and it can be read. Without it a cut is not noticed, and all else is as before.
fn read(files: &Files) -> Option<Line> {
    let file = File::open(&files.synced).ok()?;
    let mut line = [0; LINE_BYTES];
    file.read_exact_at(&mut line, 0).ok()?;
    Line::decode(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_before_is_told_from_the_same_one_and_a_later_one() {
        let salts = |round: u32, random: u8| {
            let [one, two, three, four] = round.to_be_bytes();
            [one, two, three, four, random, 0, 0, 0]
        };
        assert!(is_earlier(salts(4, 9), salts(5, 1)) && is_earlier(salts(u32::MAX, 9), salts(0, 1)));
        assert!(!is_earlier(salts(5, 1), salts(5, 1)) && !is_earlier(salts(6, 2), salts(5, 1)));
        assert!(!is_earlier(salts(0, 2), salts(u32::MAX, 1)));
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_a_torn_one_is_none() {
        let line = Line { opens: 3, salts: [9; SALT_BYTES], frames: 70_000 };
        let written = line.encode();
        assert_eq!(Line::decode(&written), Some(line));
        for place in 0..LINE_BYTES {
            let mut torn = written;
            torn[place] ^= 1;
            assert_eq!(Line::decode(&torn), None, "byte {place}");
        }
    }
}
