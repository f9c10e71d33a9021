//! Where blobs lie on the disk. Knows paths, names and system calls; decides nothing.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use weft_core::BlobId;

use crate::Error;

/// Only the node's own user may read blobs or list them, whatever the umask is.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A file that an earlier run left.
pub(crate) struct Found {
    pub(crate) id: BlobId,
    pub(crate) bytes: u64,
    pub(crate) written: SystemTime,
}

/// `<dir>/blobs/ab/<hex>` for what is whole, `<dir>/blobs/incoming/<n>` for what is not yet.
pub(crate) struct Disk {
    blobs: PathBuf,
    incoming: PathBuf,
    next_temp: AtomicU64,
}

impl Disk {
    /// Makes the directories and removes what a crash left half-written.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let blobs = dir.join("blobs");
        let incoming = blobs.join("incoming");
        make_dir(&blobs)?;
        make_dir(&incoming)?;
        for leftover in fs::read_dir(&incoming).map_err(Error::io("list", &incoming))? {
            let path = leftover.map_err(Error::io("list", &incoming))?.path();
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(Self { blobs, incoming, next_temp: AtomicU64::new(0) })
    }

    /// Every blob file, in no order. Files that are not named like blobs are left alone.
    pub(crate) fn scan(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for shard in fs::read_dir(&self.blobs).map_err(Error::io("list", &self.blobs))? {
            let shard = shard.map_err(Error::io("list", &self.blobs))?.path();
            let is_shard =
                shard.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.len() == 2);
            if is_shard && shard.is_dir() {
                scan_shard(&shard, &mut found)?;
            }
        }
        Ok(found)
    }

    /// An empty file that nobody else knows.
    pub(crate) fn create_temp(&self) -> Result<(PathBuf, File), Error> {
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        let path = self.incoming.join(number.to_string());
        let create = || OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        let file = match create() {
            // Another program removed the directory. Blobs that went with it are missed when they are looked for.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(&self.incoming)?;
                create()
            }
            created => created,
        };
        Ok((path.clone(), file.map_err(Error::io("create", &path))?))
    }

    /// Gives a finished file its name; readers see all of it or nothing.
    pub(crate) fn publish(&self, temp: &Path, id: BlobId) -> Result<(), Error> {
        let path = self.path(id);
        match fs::rename(temp, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let shard = self.shard(id);
                make_dir(&shard)?;
                fs::rename(temp, &path).map_err(Error::io("rename to", &path))
            }
            renamed => renamed.map_err(Error::io("rename to", &path)),
        }
    }

    pub(crate) fn open_blob(&self, id: BlobId) -> Result<Option<File>, Error> {
        let path = self.path(id);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }

    pub(crate) fn remove(&self, id: BlobId) -> Result<(), Error> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Makes the name survive a power cut; the content is synced through its own file. The shard may itself be
    /// new, hence both directories.
    pub(crate) fn sync_name(&self, id: BlobId) -> Result<(), Error> {
        for dir in [self.shard(id), self.blobs.clone()] {
            File::open(&dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", &dir))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self, id: BlobId) -> PathBuf {
        self.shard(id).join(id.to_string())
    }

    fn shard(&self, id: BlobId) -> PathBuf {
        self.blobs.join(format!("{:02x}", id.0[0]))
    }
}

/// Makes a directory with its parents, and closes one that exists to other users.
fn make_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path).map_err(Error::io("create", path))?;
    let mode = fs::metadata(path).map_err(Error::io("examine", path))?.permissions().mode() & 0o777;
    if mode == DIR_MODE {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(DIR_MODE)) {
        // Another user's directory, in which this one may write, stays as it was made.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(Error::io("close", path)(error)),
        _ => Ok(()),
    }
}

fn scan_shard(shard: &Path, found: &mut Vec<Found>) -> Result<(), Error> {
    for entry in fs::read_dir(shard).map_err(Error::io("list", shard))? {
        let entry = entry.map_err(Error::io("list", shard))?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<BlobId>().ok()) else {
            continue;
        };
        let path = entry.path();
        let about = entry.metadata().map_err(Error::io("examine", &path))?;
        if about.is_file() && shard.ends_with(format!("{:02x}", id.0[0])) {
            let written = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Found { id, bytes: about.len(), written });
        }
    }
    Ok(())
}
