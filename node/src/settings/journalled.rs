//! Whether the node of a data directory has had a journal there: `journal.node` has its id. The file is not in the journal's
//! directory, so it is there when that is gone, or is on a disk that is not mounted.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use weft_core::PeerId;

use super::private::FILE_MODE;

/// The file, in the data directory.
pub(super) const JOURNAL_NODE_FILE: &str = "journal.node";

/// Whether it has had one.
pub(crate) fn has_had_journal(data_dir: &Path, me: PeerId) -> bool {
    fs::read_to_string(data_dir.join(JOURNAL_NODE_FILE)).is_ok_and(|text| text.trim() == me.to_string())
}

/// Notes that it has one.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn note_journal(data_dir: &Path, me: PeerId) -> io::Result<()> {
    if has_had_journal(data_dir, me) {
        return Ok(());
    }
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).clone();
    writeln!(options.open(data_dir.join(JOURNAL_NODE_FILE))?, "{me}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_that_of_one_node() {
        let dir = tempfile::tempdir().unwrap();
        let (me, other) = (PeerId([7; 32]), PeerId([8; 32]));
        assert!(!has_had_journal(dir.path(), me));
        note_journal(dir.path(), me).unwrap();
        note_journal(dir.path(), me).unwrap();
        assert!(has_had_journal(dir.path(), me) && !has_had_journal(dir.path(), other));
        // A new identity has its own.
        note_journal(dir.path(), other).unwrap();
        assert!(!has_had_journal(dir.path(), me) && has_had_journal(dir.path(), other));
    }
}
