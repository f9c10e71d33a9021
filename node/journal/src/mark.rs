//! The mark next to the journal: how often it was opened, and whether it was closed. A file that knows less than its
//! mark is an older copy, and a mark without a file means that the file is gone. Both matter to a member of a job's
//! trio, which must not vouch for what it has lost.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use weft_core::PeerId;

use crate::check::Id;
use crate::disk;
use crate::error::Error;

/// Bytes of the file that are read.
const BYTES_MAX: u64 = 1024;
const TITLE: &str = "weft journal mark 1";

/// Which journal it is and which life of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The file's own name, drawn when it was made.
    pub journal: Id,
    /// How often it was opened, this time included.
    pub opens: u64,
}

/// Whether the journal is the one that this node had last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// There was none, and no sign of one.
    New,
    /// It is the one.
    Same,
    /// It is an older copy of it: what came later is lost.
    Older {
        /// How often the copy was opened.
        file: u64,
        /// How often the journal was.
        mark: u64,
    },
    /// It was not closed, and its write-ahead log is gone: what was written last is lost. Also where an open ended after
    /// it had put the log into the file, and before it had begun its life.
    LogLost,
    /// There was one, and it is gone or another one.
    Lost,
    /// Its file was hurt and was rebuilt: a job of which nothing was left would not be missed.
    Rebuilt,
    /// Nothing says whether it is the one: its mark is missing.
    Unmarked,
}

impl Continuity {
    /// True if nothing can be missing that was acknowledged, as far as this disk can tell. Not told apart from the newest: a
    /// copy of the file and its log that was made in the last life after its last checkpoint (one for every 4 MiB that
    /// are written), and a copy of the whole directory, mark and all.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::New | Self::Same)
    }
}

impl fmt::Display for Continuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("the journal is new"),
            Self::Same => f.write_str("the journal is the one that this node had last"),
            Self::Older { file, mark } => write!(
                f,
                "the journal is an older copy (it counts {file} openings, and this node's own {mark}): what this node \
                 accepted after the copy was made is lost, unless another node keeps it"
            ),
            Self::LogLost => f.write_str(
                "the journal was not closed and its write-ahead log is gone: what this node accepted last may be lost, \
                 unless another node keeps it",
            ),
            Self::Lost => f.write_str(
                "the journal that this node had is gone: what it accepted is lost, unless another node keeps it",
            ),
            Self::Rebuilt => f.write_str(
                "the journal's file was damaged and was rebuilt from what can be recognised in it",
            ),
            Self::Unmarked => f.write_str(
                "the journal has no mark next to it, so that it may be an older copy; if it was restored from a \
                 backup, what came later is lost",
            ),
        }
    }
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) journal: Id,
    pub(crate) node: PeerId,
    pub(crate) opens: u64,
    /// How often 4 MiB were written to the log, in all lives.
    pub(crate) checkpoints: u64,
    pub(crate) closed: bool,
    /// The number that the next job gets: none is used twice, also not by an older copy of the file.
    pub(crate) next_no: u32,
}

impl Mark {
    /// The mark, unless there is none or it makes no sense.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        fs::File::open(path).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let (text, sum) = text.trim_end().rsplit_once('\n')?;
        if sum != sum_of(text) {
            return None;
        }
        let mut lines = text.lines();
        if lines.next()? != TITLE {
            return None;
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let journal = u128::from_str_radix(&value("journal")?, 16).ok()?.to_be_bytes();
        let node = value("node")?.parse().ok()?;
        let opens = value("opens")?.parse().ok()?;
        let checkpoints = value("checkpoints")?.parse().ok()?;
        let closed = value("closed")? == "yes";
        let next_no = value("next-number")?.parse().ok()?;
        Some(Self { journal, node, opens, checkpoints, closed, next_no })
    }

    /// Puts it in place of the old one.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let closed = if self.closed { "yes" } else { "no" };
        let text = format!(
            "{TITLE}\njournal {:032x}\nnode {}\nopens {}\ncheckpoints {}\nclosed {closed}\nnext-number {}",
            u128::from_be_bytes(self.journal),
            self.node,
            self.opens,
            self.checkpoints,
            self.next_no
        );
        disk::replace(path, &format!("{text}\n{}\n", sum_of(&text)))
    }

    /// What says which of two copies is older.
    pub(crate) fn age(&self) -> (u64, u64, bool) {
        (self.opens, self.checkpoints, self.closed)
    }

    /// What the mark says about a journal that was found.
    pub(crate) fn compare(&self, found: &Self) -> Continuity {
        if self.journal != found.journal {
            Continuity::Lost
        } else if found.age() < self.age() {
            Continuity::Older { file: found.opens, mark: self.opens }
        } else {
            Continuity::Same
        }
    }
}

fn sum_of(text: &str) -> String {
    format!("sum {}", blake3::hash(text.as_bytes()).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark =
        Mark { journal: [7; 16], node: PeerId([9; 32]), opens: 3, checkpoints: 4, closed: false, next_no: 5 };

    #[test]
    fn a_mark_survives_its_file_and_a_changed_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.mark");
        assert_eq!(Mark::read(&path), None);
        MARK.write(&path).unwrap();
        assert_eq!(Mark::read(&path), Some(MARK));
        let bytes = fs::read(&path).unwrap();
        for place in 0..bytes.len() - 1 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(Mark::read(&path), None, "byte {place}");
        }
    }

    #[test]
    fn what_knows_less_than_its_mark_is_older() {
        let at = |opens, closed| Mark { opens, closed, ..MARK };
        assert_eq!(MARK.compare(&at(3, false)), Continuity::Same);
        assert_eq!(MARK.compare(&at(4, false)), Continuity::Same);
        assert_eq!(MARK.compare(&at(2, true)), Continuity::Older { file: 2, mark: 3 });
        assert_eq!(at(3, true).compare(&MARK), Continuity::Older { file: 3, mark: 3 });
        let before_a_checkpoint = Mark { checkpoints: 3, ..MARK };
        assert_eq!(MARK.compare(&before_a_checkpoint), Continuity::Older { file: 3, mark: 3 });
        assert_eq!(MARK.compare(&Mark { checkpoints: 5, ..MARK }), Continuity::Same);
        assert_eq!(MARK.compare(&Mark { journal: [8; 16], ..MARK }), Continuity::Lost);
    }
}
