//! The journal of a data directory that gets a new identity: its jobs are those of the node that had the former one. It is
//! set aside when the new identity is made, and nothing in it is read or removed.

use std::io;
use std::path::{Path, PathBuf};

use super::dir::{DirError, lock};

/// The journal's directory, in the data directory.
pub(crate) const JOURNAL_DIR: &str = "journal";
/// How often the journal was opened. The file is not in the journal's directory: it is there when that is gone, is on a disk that is
/// not mounted, or is a copy from earlier.
pub(crate) const JOURNAL_MARK_FILE: &str = "journal.mark";
/// Most journals that are set aside in one directory; beyond them the last one stays, and the node does not start.
const FORMER_MAX: u32 = 1000;

/// Sets the journal aside, unless a node runs on the directory, whose journal it is. Where it is now, if there was one.
///
/// # Errors
/// When the system does not rename it.
pub(super) fn set_journal_aside(data_dir: &Path) -> Result<Option<PathBuf>, DirError> {
    let journal = data_dir.join(JOURNAL_DIR);
    // An empty one, such as a new disk that is mounted there, is no node's.
    if std::fs::read_dir(&journal).map_or(true, |mut entries| entries.next().is_none()) {
        return Ok(None);
    }
    let _held = match lock(data_dir) {
        Ok(held) => held,
        Err(DirError::InUse { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(former) = free_name(data_dir) else { return Ok(None) };
    match std::fs::rename(&journal, &former) {
        Ok(()) => Ok(Some(former)),
        // Another process that made the same identity was first.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DirError::Io { action: "rename", path: journal, source }),
    }
}

/// `journal.former`, or the first with a number that is not there.
fn free_name(data_dir: &Path) -> Option<PathBuf> {
    let name = |number| match number {
        1 => format!("{JOURNAL_DIR}.former"),
        _ => format!("{JOURNAL_DIR}.former.{number}"),
    };
    (1..=FORMER_MAX).map(|number| data_dir.join(name(number))).find(|path| !path.exists())
}
