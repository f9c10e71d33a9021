//! Keeps a data directory to its user: directories of mode 0700 and files of mode 0600, whatever the umask is and
//! however the directory was made; and says whose a directory is that this user can't use.
//!
//! Everything is created with these modes. What an earlier version left open, or a `mkdir` before the first start, is
//! closed when a node starts.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::fs::Access;

use super::{DirError, JOURNAL_DIR, JOURNAL_MARK_FILE};

/// The mode of a directory that only its user may enter.
pub(super) const DIR_MODE: u32 = 0o700;
/// The mode of a file that only its user may read.
pub(super) const FILE_MODE: u32 = 0o600;
/// The bits that let others in.
const OTHERS: u32 = 0o077;
/// A directory in which every user may make files.
const STICKY: u32 = 0o1000;
/// Files of the data directory itself; what else is there is the user's own.
const FILES: [&str; 10] = [
    "lock",
    "version",
    "identity.key",
    "mesh.key",
    "joined.peers",
    "api.json",
    "api.token",
    "peers",
    "peers.new",
    JOURNAL_MARK_FILE,
];
/// Directories in it that are the node's from top to bottom.
const TREES: [&str; 3] = [weft_blobs::DIR, "modules", JOURNAL_DIR];

/// Makes a directory with its parents. One that exists is closed to others, unless it is one for all users, such as
/// `/tmp`.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)?;
    let about = std::fs::metadata(path)?;
    if is_for_everybody(path, &about) {
        warn_once(format_args!(
            "{} is open to every user of this machine: name a data directory of its own with --data-dir",
            path.display()
        ));
        return Ok(());
    }
    if about.uid() != rustix::process::geteuid().as_raw() {
        warn_once(format_args!(
            "{} belongs to {}, whose own node may not be able to use what this one makes there",
            path.display(),
            user(about.uid())
        ));
        return Ok(());
    }
    // The umask may also have taken a bit too many.
    if about.mode() & 0o777 != DIR_MODE {
        // There was nothing to read in an empty one.
        let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        std::fs::set_permissions(path, Permissions::from_mode(DIR_MODE))?;
        if about.mode() & OTHERS != 0 && !is_empty {
            tracing::warn!(path = %path.display(), "closed the data directory, which other users could enter");
        }
    }
    Ok(())
}

/// A start looks at its directory several times.
fn warn_once(words: std::fmt::Arguments<'_>) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tracing::warn!("{words}"));
}

fn is_for_everybody(path: &Path, about: &Metadata) -> bool {
    about.mode() & STICKY != 0 || path.parent().is_none()
}

/// Closes what the node made below the data directory, and says so once. What can't be closed is named.
pub(super) fn close(data_dir: &Path) {
    // In a directory of another user, a link could lead anywhere by the time its mode is changed.
    let is_own = |about: &Metadata| about.uid() == rustix::process::geteuid().as_raw();
    if !std::fs::metadata(data_dir).is_ok_and(|about| is_own(&about)) {
        return;
    }
    let mut closed = Closed::default();
    for name in FILES {
        closed.file(&data_dir.join(name));
    }
    for name in TREES {
        closed.tree(&data_dir.join(name));
    }
    if closed.count > 0 {
        tracing::warn!(
            "closed {} files and directories in {}, which other users could read",
            closed.count,
            data_dir.display()
        );
    }
    if let Some((path, error)) = closed.failed {
        tracing::warn!("other users can read {}, and it can't be closed: {error}", path.display());
    }
}

#[derive(Default)]
struct Closed {
    count: usize,
    /// The first of those that stayed open.
    failed: Option<(PathBuf, io::Error)>,
}

impl Closed {
    fn file(&mut self, path: &Path) {
        if let Ok(about) = std::fs::symlink_metadata(path)
            && about.is_file()
        {
            self.close(path, &about, FILE_MODE);
        }
    }

    /// Contents before the directory: a start that was cut short begins again. What is in a closed directory is out
    /// of reach and need not be looked at.
    fn tree(&mut self, dir: &Path) {
        let Ok(about) = std::fs::symlink_metadata(dir) else { return };
        if !about.is_dir() || about.mode() & OTHERS == 0 {
            return;
        }
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
                self.tree(&path);
            } else {
                self.file(&path);
            }
        }
        self.close(dir, &about, DIR_MODE);
    }

    fn close(&mut self, path: &Path, about: &Metadata, mode: u32) {
        if about.mode() & OTHERS == 0 {
            return;
        }
        match std::fs::set_permissions(path, Permissions::from_mode(mode)) {
            Ok(()) => self.count += 1,
            Err(error) => {
                self.failed.get_or_insert((path.to_owned(), error));
            }
        }
    }
}

/// Looks whether this user can use the directory, as far as it exists.
///
/// # Errors
/// [`DirError::Foreign`] when it is another user's and closed to this one.
pub fn check_owner(data_dir: &Path) -> Result<(), DirError> {
    let Some((path, about)) = nearest(data_dir) else { return Ok(()) };
    let me = rustix::process::geteuid();
    if about.uid() == me.as_raw() || me.is_root() {
        return Ok(());
    }
    // A directory above that can be passed says nothing about what is to be made below it.
    let usable = rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let passed = path != data_dir && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    if usable || passed {
        return Ok(());
    }
    Err(DirError::Foreign { path: path.to_owned(), owner: user(about.uid()), me: user(me.as_raw()) })
}

/// The directory, or the nearest one above it that this user can look at.
fn nearest(data_dir: &Path) -> Option<(&Path, Metadata)> {
    data_dir.ancestors().find_map(|path| Some((path, std::fs::metadata(path).ok()?)))
}

/// A user's name and number, as far as this machine's own list knows the name.
fn user(uid: u32) -> String {
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    };
    match list.lines().find_map(of) {
        Some(name) => format!("user {name} (uid {uid})"),
        None => format!("the user with uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    fn open(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_data_directory_that_was_made_before_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 0o755);
        let shard = dir.path().join("blobs/ab");
        std::fs::create_dir_all(&shard).unwrap();
        let (blob, key, own) = (shard.join("x"), dir.path().join("mesh.key"), dir.path().join("notes"));
        for path in [&blob, &key, &own] {
            std::fs::write(path, "secret").unwrap();
            open(path, 0o666);
        }
        open(&shard, 0o777);
        open(&dir.path().join("blobs"), 0o755);
        make_dir(dir.path()).unwrap();
        close(dir.path());
        assert_eq!(mode(dir.path()), DIR_MODE);
        assert_eq!((mode(&shard), mode(&dir.path().join("blobs"))), (DIR_MODE, DIR_MODE));
        assert_eq!((mode(&blob), mode(&key)), (FILE_MODE, FILE_MODE));
        assert_eq!(mode(&own), 0o666, "a file of the user's own is left alone");
    }

    #[test]
    fn a_directory_for_everybody_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 0o1777);
        make_dir(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o777);
    }

    #[test]
    fn users_are_named_where_the_machine_knows_them() {
        assert_eq!(user(0), "user root (uid 0)");
        assert_eq!(user(4_000_000_001), "the user with uid 4000000001");
    }

    #[test]
    fn ones_own_directory_and_one_that_is_not_there_yet_are_usable() {
        let dir = tempfile::tempdir().unwrap();
        check_owner(dir.path()).unwrap();
        check_owner(&dir.path().join("not/yet")).unwrap();
    }
}
