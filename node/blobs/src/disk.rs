//! The files of blobs: paths, names and system calls. It makes no decisions.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use weft_core::BlobId;

use crate::Error;

/// Only the node's user may read or list blobs, whatever the umask is.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The directory of a store's blobs, in that of the store.
pub const DIR: &str = "blobs";

/// A file of an earlier run.
pub(crate) struct Found {
    pub(crate) id: BlobId,
    pub(crate) bytes: u64,
    pub(crate) written: SystemTime,
}

/// `<dir>/blobs/ab/<hex>` for complete blobs, `<dir>/blobs/incoming/<n>` for incomplete ones.
pub(crate) struct Disk {
    blobs: PathBuf,
    incoming: PathBuf,
    next_temp: AtomicU64,
}

impl Disk {
    /// Creates the directories and deletes incomplete files of an earlier run.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let blobs = dir.join(DIR);
        let incoming = blobs.join("incoming");
        make_dir(&blobs)?;
        make_dir(&incoming)?;
        for leftover in fs::read_dir(&incoming).map_err(Error::io("list", &incoming))? {
            let path = leftover.map_err(Error::io("list", &incoming))?.path();
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(Self { blobs, incoming, next_temp: AtomicU64::new(0) })
    }

    /// Lists all blob files, in no order. Other files are ignored.
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

    /// Creates an empty file with a unique name.
    pub(crate) fn create_temp(&self) -> Result<(PathBuf, File), Error> {
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        let path = self.incoming.join(number.to_string());
        let create = || OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        let file = match create() {
            // Another program removed the directory. Its blobs are found missing when they are used.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(&self.incoming)?;
                create()
            }
            created => created,
        };
        Ok((path.clone(), file.map_err(Error::io("create", &path))?))
    }

    /// Renames a complete file to its final name; readers see all of it or nothing.
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

    /// Syncs the name to disk; the content is synced through its own file. The shard directory may be new as well,
    /// hence both directories.
    pub(crate) fn sync_name(&self, id: BlobId) -> Result<(), Error> {
        for dir in [self.shard(id), self.blobs.clone()] {
            File::open(&dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", &dir))?;
        }
        Ok(())
    }

    /// Bytes of the disk that are free for this user. Where the system does not say, all.
    pub(crate) fn free(&self) -> u64 {
        let blocks = |found: &rustix::fs::StatVfs| {
            // The last of some disks is for root alone.
            if rustix::process::geteuid().is_root() { found.f_bfree } else { found.f_bavail }
        };
        rustix::fs::statvfs(&self.incoming)
            .map_or(u64::MAX, |found| blocks(&found).saturating_mul(found.f_frsize))
    }

    /// That the disk is as full as it may be.
    pub(crate) fn full(&self) -> Error {
        Error::io("write below", &self.incoming)(io::ErrorKind::StorageFull.into())
    }

    pub(crate) fn path(&self, id: BlobId) -> PathBuf {
        self.shard(id).join(id.to_string())
    }

    fn shard(&self, id: BlobId) -> PathBuf {
        self.blobs.join(format!("{:02x}", id.0[0]))
    }
}

/// Creates a directory with its parents, and closes an existing one to other users.
fn make_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path).map_err(Error::io("create", path))?;
    let mode = fs::metadata(path).map_err(Error::io("examine", path))?.permissions().mode() & 0o777;
    if mode == DIR_MODE {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(DIR_MODE)) {
        // The mode of another user's directory can't be changed; it is used as it is.
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
