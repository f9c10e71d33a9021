//! Who may read the journal's files, whatever the umask of the process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{open, quick_dir, record};

/// Writes a journal where the variable says, and looks at its files while it is open. Driven by the test below, as a
/// process has one umask.
#[test]
#[ignore = "it is the child of another test"]
fn child_that_writes() {
    let Some(dir) = std::env::var_os("WEFT_JOURNAL_TEST_DIR").map(PathBuf::from) else { return };
    let journal = open(&dir);
    journal.put(vec![record(1, 1)]);
    check_modes(&dir);
    journal.journal.close().unwrap();
    check_modes(&dir);
}

fn check_modes(dir: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir), 0o700, "{}", dir.display());
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn files_and_directories_are_for_their_owner_alone_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let parent = quick_dir();
        let status = Command::new("sh")
            .args(["-c", "umask $0; exec \"$@\"", umask])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_writes", "--ignored", "--test-threads=1"])
            .env("WEFT_JOURNAL_TEST_DIR", parent.path().join("data/journal"))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "umask {umask}");
        assert!(
            parent.path().join("data/journal/journal.db").exists(),
            "umask {umask}: the child did nothing"
        );
    }
}

#[test]
fn files_that_others_could_read_are_restricted_at_open() {
    let parent = quick_dir();
    let dir = parent.path().join("journal");
    open(&dir).journal.close().unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let journal = open(&dir);
    check_modes(&dir);
    drop(journal);
}
