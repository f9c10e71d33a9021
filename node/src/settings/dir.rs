//! The files of a data directory that hold who the node is: `identity.key`, `mesh.key`, `joined.peers`, `lock`; and
//! `version`, which says how all files there are to be read.
//!
//! Secrets are 64 hexadecimal digits in files of mode 0600. Every file is written next to its place and then moved or
//! linked into it, so that a crash leaves either the old file or the new one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::environment;
use super::former::set_journal_aside;
use super::private::{self, FILE_MODE};

/// The file of addresses that tickets brought, one multiaddr a line.
pub const JOINED_FILE: &str = "joined.peers";
/// Most addresses kept from tickets; the oldest go first.
const JOINED_MAX: usize = 32;

/// The file that holds the version of the data directory, a whole number.
const VERSION_FILE: &str = "version";
/// What a process locks that holds the directory.
const LOCK_FILE: &str = "lock";
/// The version that this node reads and writes. A directory without the file is of this version, too: it is new, or was
/// used before there was such a file, and no file in it has changed its form since. The journal has a version of its own.
const VERSION: u32 = 1;
/// Most bytes of the file that are read.
const VERSION_BYTES_MAX: u64 = 32;

/// Which secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// The node's own ed25519 secret.
    Identity,
    /// The mesh's key.
    Mesh,
}

impl KeyFile {
    /// The file's name in the data directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity.key",
            Self::Mesh => "mesh.key",
        }
    }
}

/// Why a data directory can't be used; each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Nothing says where it is.
    #[error(
        "no data directory: neither WEFT_DATA_DIR nor XDG_DATA_HOME nor HOME is set; pass --data-dir DIR"
    )]
    Nowhere,
    /// The system refused.
    #[error("cannot {action} {path}: {source}; {}", disk_advice(source))]
    Io {
        /// What was tried: "read", "write", "make".
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A key file holds something else.
    #[error(
        "{path} holds no key: expected 64 hexadecimal digits; restore the file, or delete it to make a new one"
    )]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// A newer weft wrote it.
    #[error(
        "{data_dir} is a data directory of version {found}, and this weft reads version {VERSION}: a newer weft has used \
         it; use that one, or pass another --data-dir"
    )]
    Newer {
        /// The directory.
        data_dir: PathBuf,
        /// Its version.
        found: u32,
    },
    /// What says its version says none.
    #[error(
        "{path} does not hold the version of the data directory: expected a whole number from 1, such as {VERSION}; \
         restore the file, or pass another --data-dir"
    )]
    NoVersion {
        /// The file.
        path: PathBuf,
    },
    /// It is closed to this user.
    #[error(
        "{path} belongs to {owner}, and this process runs as {me}, who can't use it: run weft as its owner, or pass \
         another --data-dir"
    )]
    Foreign {
        /// The directory, or the one above it that is closed.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who asks.
        me: String,
    },
    /// Another node runs on it.
    #[error(
        "a weft node already runs on {data_dir}: use that one (`weft status`), stop it first, or start this one with \
         another --data-dir"
    )]
    InUse {
        /// The directory.
        data_dir: PathBuf,
    },
}

/// What to do about a failed system call on a file of the data directory.
#[must_use]
pub fn disk_advice(error: &io::Error) -> &'static str {
    if is_full(error) {
        "its disk is full: make room there, or pass another --data-dir"
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "its disk is mounted read-only; pass another --data-dir"
    } else {
        "check the directory's owner and mode, or pass another --data-dir"
    }
}

/// Whether a system call failed because the disk, or this user's part of it, is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Holds a data directory for one node; let go of when dropped, also by a killed process.
#[derive(Debug)]
#[must_use = "the directory is free again as soon as this is dropped"]
pub struct DirLock {
    _file: File,
}

/// Where the data directory is: as `--data-dir` or `WEFT_DATA_DIR` say, or `weft` under `XDG_DATA_HOME` or
/// `~/.local/share`. It need not exist.
///
/// # Errors
/// When none of these is set.
pub fn data_dir_of(given: Option<PathBuf>) -> Result<PathBuf, DirError> {
    let shared = || environment("XDG_DATA_HOME").map(|share| Path::new(&share).join("weft"));
    let home = || environment("HOME").map(|home| Path::new(&home).join(".local/share/weft"));
    given.or_else(shared).or_else(home).ok_or(DirError::Nowhere)
}

/// Takes the data directory for this process; makes it when it is missing, and notes its version.
///
/// # Errors
/// [`DirError::InUse`] when a node holds it, and as [`check_version`].
pub fn lock(data_dir: &Path) -> Result<DirLock, DirError> {
    make_dir(data_dir)?;
    private::close(data_dir);
    let path = data_dir.join(LOCK_FILE);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(&path);
    let file = file.map_err(|source| DirError::Io { action: "write", path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => {
            if !check_version(data_dir)? {
                write_file(data_dir, VERSION_FILE, format!("{VERSION}\n").as_bytes(), Replace::Yes)?;
            }
            Ok(DirLock { _file: file })
        }
        Err(TryLockError::WouldBlock) => Err(DirError::InUse { data_dir: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(DirError::Io { action: "lock", path, source }),
    }
}

/// Whether a process holds the data directory now. Nothing is made where there is none.
#[must_use]
pub fn is_held(data_dir: &Path) -> bool {
    let file = OpenOptions::new().write(true).open(data_dir.join(LOCK_FILE));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Whether the data directory notes its version; one that does not is new, or of the first version. Nothing else in a
/// directory of another version is read or written.
///
/// # Errors
/// When its version is another than this node's, or can't be read.
pub fn check_version(data_dir: &Path) -> Result<bool, DirError> {
    let path = data_dir.join(VERSION_FILE);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(VERSION_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) if source.kind() == io::ErrorKind::InvalidData => {
            return Err(DirError::NoVersion { path });
        }
        Err(source) => return Err(DirError::Io { action: "read", path, source }),
    }
    match text.trim().parse::<u32>() {
        Ok(VERSION) => Ok(true),
        Ok(found) if found > VERSION => Err(DirError::Newer { data_dir: data_dir.to_owned(), found }),
        Ok(_) | Err(_) => Err(DirError::NoVersion { path }),
    }
}

/// The node's secret; makes the directory and a new secret when they are missing. A journal that is there then is that of
/// another identity, and is set aside.
///
/// # Errors
/// When the file can't be read or written, or holds no key; when the journal can't be set aside.
pub fn load_or_make_identity(data_dir: &Path) -> Result<[u8; 32], DirError> {
    make_dir(data_dir)?;
    if let Some(key) = read_key(data_dir, KeyFile::Identity)? {
        return Ok(key);
    }
    if let Some(former) = set_journal_aside(data_dir)? {
        let former = former.display();
        tracing::warn!("this node gets a new identity; the jobs of the former one are kept in {former}");
    }
    let key = random_key(data_dir)?;
    write_key(data_dir, KeyFile::Identity, &key, Replace::No)?;
    // Another process may have been first; then its key is the node's.
    Ok(read_key(data_dir, KeyFile::Identity)?.unwrap_or(key))
}

/// The mesh's key, if there is one.
///
/// # Errors
/// When the file can't be read, or holds no key.
pub fn read_mesh_key(data_dir: &Path) -> Result<Option<[u8; 32]>, DirError> {
    read_key(data_dir, KeyFile::Mesh)
}

/// Writes the mesh's key, a new one when none is given, over an older one; returns what was written.
///
/// # Errors
/// When the file can't be written.
pub fn write_mesh_key(data_dir: &Path, key: Option<[u8; 32]>) -> Result<[u8; 32], DirError> {
    make_dir(data_dir)?;
    let key = key.map_or_else(|| random_key(data_dir), Ok)?;
    write_key(data_dir, KeyFile::Mesh, &key, Replace::Yes)?;
    Ok(key)
}

/// The addresses that tickets brought; lines that are no address any more are skipped.
///
/// # Errors
/// When the file is there and can't be read.
pub fn joined_peers(data_dir: &Path) -> Result<Vec<String>, DirError> {
    let path = data_dir.join(JOINED_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| super::parse_address(line.trim()).ok())
            .take(JOINED_MAX)
            .collect()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(DirError::Io { action: "read", path, source }),
    }
}

/// Adds a ticket's addresses, or puts them in the place of all older ones.
///
/// # Errors
/// When the file can't be read or written.
pub fn add_joined_peers(data_dir: &Path, addresses: &[String], instead: bool) -> Result<(), DirError> {
    let mut all = addresses.to_vec();
    if !instead {
        all.extend(joined_peers(data_dir)?.into_iter().filter(|old| !addresses.contains(old)));
    }
    all.truncate(JOINED_MAX);
    let mut text = all.join("\n");
    text.push('\n');
    write_file(data_dir, JOINED_FILE, text.as_bytes(), Replace::Yes)
}

/// Forgets the addresses that tickets brought.
///
/// # Errors
/// When the file is there and can't be removed.
pub fn clear_joined_peers(data_dir: &Path) -> Result<(), DirError> {
    let path = data_dir.join(JOINED_FILE);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DirError::Io { action: "remove", path, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replace {
    Yes,
    No,
}

fn make_dir(data_dir: &Path) -> Result<(), DirError> {
    private::make_dir(data_dir).map_err(|source| DirError::Io {
        action: "make",
        path: data_dir.to_owned(),
        source,
    })
}

fn random_key(data_dir: &Path) -> Result<[u8; 32], DirError> {
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|cause| DirError::Io {
        action: "draw a key for",
        path: data_dir.to_owned(),
        source: io::Error::other(cause.to_string()),
    })?;
    Ok(key)
}

fn read_key(data_dir: &Path, which: KeyFile) -> Result<Option<[u8; 32]>, DirError> {
    check_version(data_dir)?;
    let path = data_dir.join(which.name());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DirError::Io { action: "read", path, source }),
    };
    // A blob's name has the same form as a key: 64 digits for 32 bytes.
    let parsed = text.trim().parse::<weft_core::BlobId>();
    parsed.map(|id| Some(id.0)).ok().ok_or(DirError::Key { path })
}

fn write_key(data_dir: &Path, which: KeyFile, key: &[u8; 32], replace: Replace) -> Result<(), DirError> {
    let text = format!("{}\n", weft_core::BlobId(*key));
    write_file(data_dir, which.name(), text.as_bytes(), replace)
}

fn write_file(data_dir: &Path, name: &str, bytes: &[u8], replace: Replace) -> Result<(), DirError> {
    let path = data_dir.join(name);
    let temporary = data_dir.join(format!(".{name}.{}", std::process::id()));
    let written = write_synced(&temporary, bytes).and_then(|()| match replace {
        Replace::Yes => std::fs::rename(&temporary, &path),
        Replace::No => match std::fs::hard_link(&temporary, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        },
    });
    drop(std::fs::remove_file(&temporary));
    written.map_err(|source| DirError::Io { action: "write", path, source })
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
