//! What can go wrong, each in one sentence that says what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use weft_core::{JobId, PeerId};

/// Why a journal does not open, or a question to it has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {doing} {}: {source}; check the disk", path.display())]
    Io {
        /// What was being done: "read", "rename".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file or its directory can't be written.
    #[error(
        "cannot write {}: {source}; a node that keeps jobs must be able to write there: check owner, mode and mount",
        path.display()
    )]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room to open it.
    #[error("the disk of {} is full, and the journal has no reserve left to open with; make room on it", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("{} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file system has no locks, or no memory shared between processes.
    #[error(
        "the file system of {} has no locks ({why}), and without them two nodes could write one journal; \
         pass a --data-dir on a local disk",
        path.display()
    )]
    NoLocks {
        /// The file.
        path: PathBuf,
        /// What was missing.
        why: String,
    },
    /// The file is something else.
    #[error("{} is not a journal: {found}; move the file away, or pass another --data-dir", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// A newer version wrote it.
    #[error(
        "{} has format {found}, and this version of weft knows formats up to {known}; use the newer weft that wrote it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// It belongs to another node.
    #[error(
        "{} is the journal of node {found}, and this is node {me}; put the node's own file back, or move this one away",
        path.display()
    )]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: PeerId,
        /// Who asks.
        me: PeerId,
    },
    /// It is damaged, and nothing in it can be recognised.
    #[error("{} is damaged and no record in it can be recognised ({why}); restore it, or move it away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A job's records can't be trusted.
    #[error("job {job} is in quarantine: {why}")]
    Quarantined {
        /// The job.
        job: JobId,
        /// What is wrong with them.
        why: Damage,
    },
    /// A write failed while it was open.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// More lines than a page has.
    #[error("a page of {asked} was asked for, the most is {most}")]
    PageTooLong {
        /// Lines that were asked for.
        asked: usize,
        /// The bound.
        most: usize,
    },
    /// The database said no.
    #[error("cannot {doing}: {source}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: DatabaseError,
    },
}

/// What the database said; its own type is not for other crates.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DatabaseError(pub(crate) rusqlite::Error);

impl Error {
    /// True if there is no room on the disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => is_full(source),
            Self::Database { source, .. } => says_full(&source.0),
            Self::Failed(failure) => failure.full,
            Self::ReadOnly { .. }
            | Self::InUse { .. }
            | Self::NoLocks { .. }
            | Self::NotAJournal { .. }
            | Self::Newer { .. }
            | Self::OtherNode { .. }
            | Self::Damaged { .. }
            | Self::Quarantined { .. }
            | Self::PageTooLong { .. } => false,
        }
    }

    /// Turns a failed system call into our error.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
                Self::ReadOnly { path, source }
            } else if is_full(&source) {
                Self::Full { path }
            } else {
                Self::Io { doing, path, source }
            }
        }
    }

    /// Turns what the database said into our error.
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source: DatabaseError(source) }
    }
}

/// Whether a system call failed because the disk, or this user's part of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the database failed for want of room.
pub(crate) fn says_full(error: &rusqlite::Error) -> bool {
    code(error) == Some(rusqlite::ErrorCode::DiskFull)
}

/// Whether the database found its file damaged.
pub(crate) fn says_damaged(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
}

/// Whether another program held a lock on the file.
pub(crate) fn says_locked(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

/// The database's own code.
pub(crate) fn code(error: &rusqlite::Error) -> Option<rusqlite::ErrorCode> {
    error.sqlite_error_code()
}

/// What is wrong with the records of one job. Other jobs are not touched by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A record is not what was written.
    Altered {
        /// Its number.
        seq: u32,
    },
    /// Records are missing before this one.
    Gap {
        /// The first missing one.
        expected: u32,
        /// What came in its place.
        found: u32,
    },
    /// The last records are missing.
    Cut {
        /// The first missing one.
        from: u32,
        /// The last one.
        to: u32,
    },
    /// There are records behind the last one.
    Beyond {
        /// The last one.
        last: u32,
        /// What came.
        found: u32,
    },
    /// What says how long the log is, is not what was written, or missing.
    Head,
    /// What this member promised about the job is lost.
    Own,
    /// Its end was cut off and written anew once, and from raw pages old and new can't be told apart.
    Rewritten,
    /// The log begins with neither its acceptance nor a snapshot.
    Beginning,
    /// The reader of the journal could not make sense of it.
    Meaning(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { seq } => write!(f, "record {seq} is not what was written"),
            Self::Gap { expected, found } => write!(f, "record {expected} is missing before record {found}"),
            Self::Cut { from, to } => write!(f, "records {from} to {to} are missing at the end"),
            Self::Beyond { last, found } => write!(f, "record {found} is behind the last one, {last}"),
            Self::Head => f.write_str("the length of its log is lost"),
            Self::Own => f.write_str("what this node promised about it is lost"),
            Self::Rewritten => f.write_str(
                "its end was once written anew, and in a damaged file old and new can't be told apart",
            ),
            Self::Beginning => f.write_str("its log has no beginning"),
            Self::Meaning(why) => write!(f, "its records can't be used: {why}"),
        }
    }
}

/// Why a journal takes nothing more: the first failed write or sync. It is not tried again, because the system may have
/// dropped the pages that it could not write; a node ends what it holds in memory and exits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal failed and takes no more records: cannot {doing}: {why}; {}, then start the node again{}",
    self.remedy(),
    self.outlook()
)]
pub struct Failure {
    /// What was being done.
    pub doing: &'static str,
    /// What the database or the system said.
    pub why: String,
    /// True if the disk was full, the reserve included.
    pub full: bool,
    /// True if the file was found damaged. The next open gathers its records into a new one, see [`crate::Rebuilt`].
    pub damaged: bool,
    /// True if another program held a lock on the file for longer than a write waits.
    pub locked: bool,
}

impl Failure {
    fn remedy(&self) -> &'static str {
        if self.locked { "end the other program that has the file open" } else { "check the disk" }
    }

    fn outlook(&self) -> &'static str {
        if self.damaged { ", which rebuilds its file" } else { "" }
    }

    /// Turns what the database said into a failure.
    pub(crate) fn of(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |error| Self {
            doing,
            why: error.to_string(),
            full: says_full(&error),
            damaged: says_damaged(&error),
            locked: says_locked(&error),
        }
    }

    /// One that is neither about room nor about damage.
    pub(crate) fn other(doing: &'static str, why: String) -> Self {
        Self { doing, why, full: false, damaged: false, locked: false }
    }
}

/// Why entries were not taken. Nothing of that append was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The queue is full: the disk is slower than the entries come.
    #[error("{bytes} bytes wait for the disk already; try again when some are written")]
    Busy {
        /// What waits.
        bytes: usize,
    },
    /// A write or sync failed earlier.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The journal is closing.
    #[error("the journal is closing and takes no more records; start the node again")]
    Closing,
    /// The disk is nearly full: no new work.
    #[error("the disk has {available} bytes left, and below {low} no new jobs are taken; make room on it")]
    DiskLow {
        /// Bytes left.
        available: u64,
        /// Where new work is refused.
        low: u64,
    },
    /// Something is too long.
    #[error("{what} of {bytes} bytes, the most is {max}")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A job has too many labels.
    #[error("{found} labels, and a job has {max} at most; leave some out")]
    Labels {
        /// How many.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// A text in a listing has control characters.
    #[error("{what} has control characters")]
    Text {
        /// Which text.
        what: &'static str,
    },
    /// A record is not the next one.
    #[error(
        "record {found} does not fit the log of job {job}; its next record is {expected}, and a cut keeps records that are there"
    )]
    Order {
        /// The job.
        job: JobId,
        /// The next record's number.
        expected: u32,
        /// What came.
        found: u32,
    },
    /// A log must begin with its acceptance, or with a snapshot.
    #[error("the log of job {job} can't begin with {kind:?}")]
    Beginning {
        /// The job.
        job: JobId,
        /// What came.
        kind: crate::kind::Kind,
    },
    /// There is no log of that job.
    #[error("there is no log of job {job}; append its acceptance or a snapshot first")]
    Unknown {
        /// The job.
        job: JobId,
    },
    /// The job's records can't be trusted.
    #[error("job {job} is in quarantine; it can only be forgotten")]
    Quarantined {
        /// The job.
        job: JobId,
    },
    /// As many logs are kept as there may be.
    #[error("{logs} logs are kept already; forget some")]
    TooMany {
        /// How many.
        logs: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_another_program_is_not_said_to_be_the_disks_fault() {
        let failure = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            Failure::of("write a group of records")(error).to_string()
        };
        let locked = failure(rusqlite::ffi::SQLITE_BUSY);
        assert!(locked.contains("end the other program") && !locked.contains("check the disk"), "{locked}");
        let broken = failure(rusqlite::ffi::SQLITE_IOERR);
        assert!(broken.contains("check the disk") && !broken.contains("other program"), "{broken}");
    }
}
