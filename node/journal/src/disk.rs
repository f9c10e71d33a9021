//! The journal's files, and writing them so that a crash leaves the old or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Jobs are their owner's affair: who may read files and directories, whatever the umask.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Where everything is, below one directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    /// The database.
    pub(crate) db: PathBuf,
    /// What the database has not put into its file yet.
    pub(crate) wal: PathBuf,
    /// Its index, made anew at each open.
    pub(crate) shm: PathBuf,
    /// A database that is being made.
    pub(crate) fresh: PathBuf,
    /// One that was rebuilt and is not in its place yet.
    pub(crate) rebuilt: PathBuf,
    /// The last database that was hurt, and its log.
    pub(crate) hurt: PathBuf,
    pub(crate) hurt_wal: PathBuf,
    /// How often the journal was opened.
    pub(crate) mark: PathBuf,
    /// The same outside of the directory, as of the last opening or closing.
    pub(crate) outer_mark: Option<PathBuf>,
    /// How much of the log is on the disk.
    pub(crate) synced: PathBuf,
    /// Why the next open rebuilds the database: a write found it damaged.
    pub(crate) doubt: PathBuf,
    /// Held while the journal is open.
    pub(crate) lock: PathBuf,
    /// Room that is given up when the disk is full.
    pub(crate) reserve: PathBuf,
}

impl Files {
    pub(crate) fn below(dir: &Path) -> Self {
        let file = |name: &str| dir.join(name);
        Self {
            dir: dir.to_owned(),
            db: file("journal.db"),
            wal: file("journal.db-wal"),
            shm: file("journal.db-shm"),
            fresh: file("journal.new"),
            rebuilt: file("journal.rebuilt"),
            hurt: file("journal.damaged"),
            hurt_wal: file("journal.damaged-wal"),
            mark: file("journal.mark"),
            outer_mark: None,
            synced: file("journal.synced"),
            doubt: file("journal.doubt"),
            lock: file("journal.lock"),
            reserve: file("journal.reserve"),
        }
    }

    /// Makes the directory and takes its lock, which the system gives back when the process ends.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        make_dir(&self.dir).map_err(Error::io("make", &self.dir))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let lock = options.open(&self.lock).map_err(Error::io("open", &self.lock))?;
        match lock.try_lock() {
            Ok(()) => {
                self.restrict()?;
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: self.db.clone() }),
            Err(TryLockError::Error(error)) => Err(no_locks(&self.db, &error)),
        }
    }

    /// Files that are there already, of a backup perhaps, are for their owner alone, too.
    fn restrict(&self) -> Result<(), Error> {
        let files = [&self.db, &self.wal, &self.shm, &self.mark, &self.doubt, &self.lock, &self.reserve];
        for path in files.into_iter().chain([&self.hurt, &self.hurt_wal, &self.rebuilt, &self.synced]) {
            let Ok(found) = fs::metadata(path) else { continue };
            // A file that may not be written stays so: that is told by its own error.
            let mode = found.permissions().mode();
            if mode & 0o077 != 0 {
                let mode = Permissions::from_mode(mode & FILE_MODE);
                fs::set_permissions(path, mode).map_err(Error::io("restrict", path))?;
            }
        }
        Ok(())
    }
}

/// Makes a directory; one that is there stays as it is.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(DIR_MODE))
}

/// Makes an empty file.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

fn no_locks(path: &Path, error: &io::Error) -> Error {
    Error::NoLocks { path: path.to_owned(), why: error.to_string() }
}

/// Writes a small file whole, or leaves the old one.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file = create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(Error::io("write", &temporary))?;
    rename(&temporary, path)
}

/// The beginning of a small text, at most `bytes_max` bytes of it; none if it is not there.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<Option<String>, Error> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Moves a file into its place, and that onto the disk.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::io("rename", from))?;
    sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Puts the names of a directory onto the disk.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Opens a file to read it, if it is there.
pub(crate) fn open_if_there(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// A file's length; none if it is not there.
pub(crate) fn length(path: &Path) -> Result<Option<u64>, Error> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_named_with_what_to_do() {
        let error = no_locks(Path::new("/net/journal.db"), &io::Error::from_raw_os_error(37));
        let text = error.to_string();
        assert!(matches!(error, Error::NoLocks { .. }));
        assert!(text.contains("/net/journal.db") && text.contains("local disk"), "{text}");
    }
}
