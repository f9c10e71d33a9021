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
    /// It knows less than its mark, which was not closed, and there is no write-ahead log: that is gone, or the file is an
    /// older copy from this life or the one before.
    OlderOrLogLost {
        /// How often the file was opened.
        file: u64,
        /// How often the journal was.
        mark: u64,
    },
    /// Its write-ahead log is shorter than it was, or its end is not what was written: what was written last is lost.
    LogCut,
    /// It was not closed, and its write-ahead log is gone: what was written last is lost.
    LogLost,
    /// There was one, and it is gone.
    Lost,
    /// It is whole, and this node had another one meanwhile: as where its disk was not mounted for a while.
    Another,
    /// Its file was hurt and was rebuilt: a job of which nothing was left would not be missed.
    Rebuilt,
    /// Nothing says whether it is the one: its mark is missing.
    Unmarked,
}

impl Continuity {
    /// True if nothing can be missing that was acknowledged, as far as this disk can tell. Not told apart from the newest: a copy
    /// of the directory and of the mark outside of it; a copy of the directory from the same life, if that was killed; and after
    /// a power cut, which takes what was not synced, a log that lost its last commits.
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
            Self::OlderOrLogLost { file, mark } => write!(
                f,
                "the journal's write-ahead log is gone, or the journal is an older copy (it counts {file} openings, and this \
                 node's own {mark}): what this node accepted last is lost, unless another node keeps it"
            ),
            Self::LogCut => f.write_str(
                "the end of the journal's write-ahead log was cut off or changed: what this node accepted last is lost, unless \
                 another node keeps it",
            ),
            Self::LogLost => f.write_str(
                "the journal was not closed and its write-ahead log is gone: what this node accepted last may be lost, \
                 unless another node keeps it",
            ),
            Self::Lost => f.write_str(
                "the journal that this node had is gone: what it accepted is lost, unless another node keeps it",
            ),
            Self::Another => f.write_str(
                "the journal is another one than this node had last: what it accepted with that one is not in this one, unless \
                 another node keeps it",
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

    /// Puts it outside of the directory, too. Where that can't be written, the mark inside is newer and is what counts.
    pub(crate) fn write_outside(&self, files: &disk::Files) {
        let _older = files.outer_mark.as_ref().map(|path| self.write(path));
    }

    /// What says which of two copies is older.
    pub(crate) fn age(&self) -> (u64, u64, bool) {
        (self.opens, self.checkpoints, self.closed)
    }

    /// What the mark says about a journal that was found with this log.
    pub(crate) fn compare(&self, found: &Self, log: Log) -> Continuity {
        if self.journal != found.journal {
            return Continuity::Lost;
        }
        let is_older = found.age() < self.age();
        let (file, mark) = (found.opens, self.opens);
        match log {
            Log::Cut => Continuity::LogCut,
            // Each open puts the log of the life before into the file.
            Log::Empty if is_older && !self.closed && file + 1 >= mark => {
                Continuity::OlderOrLogLost { file, mark }
            }
            Log::Empty | Log::AsKnown if is_older => Continuity::Older { file, mark },
            // A life begins with a record of it in the log, which only closing empties.
            Log::Empty if !found.closed => Continuity::LogLost,
            Log::Empty | Log::AsKnown => Continuity::Same,
        }
    }
}

/// The marks of this node that were found.
pub(crate) struct Marks {
    inner: Option<Mark>,
    outer: Option<Mark>,
}

impl Marks {
    pub(crate) fn read(files: &disk::Files, node: PeerId) -> Self {
        let read = |path: &std::path::PathBuf| Mark::read(path).filter(|mark| mark.node == node);
        Self { inner: read(&files.mark), outer: files.outer_mark.as_ref().and_then(read) }
    }

    /// What is known last of the journal in this directory: by the mark inside, where the one outside is of another journal.
    pub(crate) fn newest(&self) -> Option<Mark> {
        match (self.inner, self.outer) {
            (Some(inner), Some(outer)) if inner.journal == outer.journal && inner.age() < outer.age() => {
                Some(outer)
            }
            (Some(inner), _) => Some(inner),
            (None, outer) => outer,
        }
    }

    /// What they say about a journal that was found with this log; nothing if there are none.
    pub(crate) fn compare(&self, found: &Mark, log: Log) -> Option<Continuity> {
        let said = self.newest()?.compare(found, log);
        Some(if said == Continuity::Same { self.of_same() } else { said })
    }

    /// The same of one that is what the newest of them says.
    fn of_same(&self) -> Continuity {
        match (self.inner, self.outer) {
            // An opening that ended in the middle of a rebuild left none.
            (None, _) => Continuity::Unmarked,
            (Some(inner), Some(outer)) if inner.journal != outer.journal => Continuity::Another,
            (Some(_), _) => Continuity::Same,
        }
    }
}

/// What a write-ahead log was found to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Log {
    /// Nothing is in it.
    #[default]
    Empty,
    /// It has less than was on the disk.
    Cut,
    /// It has what is known to have been there.
    AsKnown,
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
        let compare = |mark: &Mark, found: &Mark| mark.compare(found, Log::AsKnown);
        assert_eq!(compare(&MARK, &at(3, false)), Continuity::Same);
        assert_eq!(compare(&MARK, &at(4, false)), Continuity::Same);
        assert_eq!(compare(&MARK, &at(2, true)), Continuity::Older { file: 2, mark: 3 });
        assert_eq!(compare(&at(3, true), &MARK), Continuity::Older { file: 3, mark: 3 });
        let before_a_checkpoint = Mark { checkpoints: 3, ..MARK };
        assert_eq!(compare(&MARK, &before_a_checkpoint), Continuity::Older { file: 3, mark: 3 });
        assert_eq!(compare(&MARK, &Mark { checkpoints: 5, ..MARK }), Continuity::Same);
        assert_eq!(compare(&MARK, &Mark { journal: [8; 16], ..MARK }), Continuity::Lost);
    }

    #[test]
    fn a_log_that_is_gone_is_not_called_an_older_copy() {
        let at = |opens, closed| Mark { opens, closed, ..MARK };
        let compare = |mark: &Mark, found: &Mark| mark.compare(found, Log::Empty);
        assert_eq!(compare(&MARK, &MARK), Continuity::LogLost);
        assert_eq!(compare(&at(3, true), &at(3, true)), Continuity::Same, "closing empties it");
        let either = Continuity::OlderOrLogLost { file: 2, mark: 3 };
        assert_eq!([compare(&MARK, &at(2, true)), compare(&MARK, &at(2, false))], [either; 2]);
        assert_eq!(compare(&MARK, &at(1, true)), Continuity::Older { file: 1, mark: 3 }, "two lives before");
        assert_eq!(compare(&at(3, true), &at(2, true)), Continuity::Older { file: 2, mark: 3 });
        assert_eq!(MARK.compare(&MARK, Log::Cut), Continuity::LogCut);
    }
}
