//! The directory in which `weft map --out` makes outputs before they have their names. It is made for one run, is locked
//! as long as that runs, and goes with it. What a killed run left is found by its name and by what is in it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open, renameat};
use tempfile::TempDir;

/// How its name begins; [`RANDOM_CHARS`] letters and digits follow.
const PREFIX: &str = ".weft-map-";
const RANDOM_CHARS: usize = 16;

/// An output that is being written.
pub(crate) const OUTPUT: &str = "output";
/// The directory into which a task's files are unpacked.
pub(crate) const FILES: &str = "files";
/// A directory that is being removed.
const GONE: &str = "gone";

/// The directory of a run that goes on.
#[derive(Debug)]
pub(crate) struct Temp {
    path: PathBuf,
    /// Open and locked, so that other runs see that it is in use.
    fd: OwnedFd,
    /// `None` once it is closed.
    dir: Mutex<Option<TempDir>>,
}

impl Temp {
    /// Makes one in `above`.
    pub(crate) fn make(above: &Path) -> io::Result<Self> {
        let make = || tempfile::Builder::new().prefix(PREFIX).rand_bytes(RANDOM_CHARS).tempdir_in(above);
        let dir = make()?;
        let (dir, fd) = match lock(dir.path()) {
            Ok(fd) => (dir, fd),
            // Another run that starts at this moment took it for one that was left: one more try is enough.
            Err(_taken) => {
                let dir = make()?;
                let fd = lock(dir.path())?;
                (dir, fd)
            }
        };
        Ok(Self { path: dir.path().to_owned(), fd, dir: Mutex::new(Some(dir)) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Removes a directory with all that is in it; under its name it disappears at once.
    ///
    /// # Errors
    /// When it can't be removed, or this is closed.
    pub(crate) fn remove(&self, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        // Held until the end, so that the directory is not closed while something is moved into it.
        let dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        if dir.is_none() {
            return Err(io::Error::other("the map has ended"));
        }
        renameat(parent, name, &self.fd, GONE)?;
        fs::remove_dir_all(self.path.join(GONE))
    }

    /// Takes it away, though others still hold this. If it can't be removed, a later run sweeps it.
    pub(crate) fn close(&self) {
        let dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner).take();
        if dir.is_some() {
            // A thread that still unpacks goes by the path, which leads nowhere from here on, and so it stops.
            let _missing = renameat(&self.fd, FILES, &self.fd, GONE);
        }
    }
}

/// What is in a directory for outputs.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What killed runs left unfinished, locked.
    stale: Vec<(PathBuf, OwnedFd)>,
    /// There is something else.
    pub(crate) has_others: bool,
}

impl Found {
    /// Looks, and changes nothing.
    pub(crate) fn look(path: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_named = is_name(&entry.file_name());
            match (is_named && is_ours(&entry.path())).then(|| lock(&entry.path())) {
                Some(Ok(fd)) => found.stale.push((entry.path(), fd)),
                Some(Err(_)) | None => found.has_others = true,
            }
        }
        Ok(found)
    }

    /// Removes what killed runs left.
    pub(crate) fn sweep(self) {
        for (path, _locked) in self.stale {
            // What can't be removed is in the way of no output.
            drop(fs::remove_dir_all(path));
        }
    }
}

fn is_name(name: &OsStr) -> bool {
    let random = name.as_bytes().strip_prefix(PREFIX.as_bytes());
    random.is_some_and(|random| random.len() == RANDOM_CHARS && random.iter().all(u8::is_ascii_alphanumeric))
}

/// Whether it is a directory in which there is nothing but what is made here. One that can't be looked into is not.
fn is_ours(path: &Path) -> bool {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    let made_here = |entry: io::Result<fs::DirEntry>| -> io::Result<bool> {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        Ok((name == OUTPUT && kind.is_file()) || ((name == FILES || name == GONE) && kind.is_dir()))
    };
    is_dir && fs::read_dir(path).is_ok_and(|mut all| all.all(|entry| made_here(entry).unwrap_or(false)))
}

/// Opens a directory if no run holds it; it is held as long as it is open.
fn lock(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = open(path, flags, Mode::empty())?;
    flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_killed_run_can_have_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let make = |name: &str, entry: &str| {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(entry), "x").unwrap();
        };
        let (left, foreign) = (".weft-map-0123456789abcdEF", ".weft-map-0123456789abcdEG");
        make(left, OUTPUT);
        fs::create_dir_all(at(left).join("files/deep")).unwrap();
        make(foreign, "mine");
        make(".weft-backup", OUTPUT);
        make(".weft-map-short", OUTPUT);
        make(".weft-map-0123456789abcdE-", OUTPUT);
        let found = Found::look(dir.path()).unwrap();
        assert!(found.has_others && at(left).exists());
        found.sweep();
        assert!(!at(left).exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
        assert!(at(foreign).join("mine").exists() && at(".weft-backup").join(OUTPUT).exists());
    }

    #[test]
    fn a_closed_one_is_gone_though_a_reader_holds_it_and_nothing_is_moved_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let temp = std::sync::Arc::new(Temp::make(dir.path()).unwrap());
        let reader = std::sync::Arc::clone(&temp);
        fs::create_dir_all(temp.path().join(FILES).join("deep")).unwrap();
        temp.close();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::create_dir(dir.path().join("a.out")).unwrap();
        let parent = open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert!(reader.remove(&parent, OsStr::new("a.out")).is_err());
        assert!(dir.path().join("a.out").exists());
    }
}
