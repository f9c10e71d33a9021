//! Compiled modules on disk, so that a restarted node need not compile again. Loading compiled code executes it, so
//! every file carries a keyed BLAKE3 tag over its name and content, made with a key that only this node has. The tag is
//! verified while the file is copied into the sealed memory file that is mapped later: the verified bytes are the ones
//! that run. A file that does not verify is deleted. A failing disk costs time and never fails a task.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use weft_core::BlobId;

use crate::code::{CODE_BYTES_MAX, Code, Draft, Kind};
use crate::make::Make;

/// Most bytes of all files, unless the node is configured otherwise; beyond it the least recently used are deleted.
pub(crate) const DISK_BYTES_MAX: u64 = 4 << 30;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
/// The first bytes of a file: its format. The module's kind and the tag follow.
const MAGIC: &[u8; 8] = b"weft-c2\n";
/// Format, kind, tag.
const HEADER_BYTES: usize = MAGIC.len() + 1 + TAG_BYTES;
const KEY_NAME: &str = "key";
const SUFFIX: &str = "cwasm";
const TEMP_SUFFIX: &str = "tmp";
/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// The key of compiled code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) module: BlobId,
    pub(crate) make: Make,
    /// The engine's fingerprint: its version and settings.
    pub(crate) fingerprint: &'a str,
}

/// A directory of compiled modules.
#[derive(Debug)]
pub(crate) struct DiskCache {
    dir: PathBuf,
    /// First part of the file names that this version of the node can load on this processor.
    generation: String,
    key: [u8; KEY_BYTES],
    most_bytes: u64,
    temps: AtomicU64,
}

impl DiskCache {
    /// Opens or creates the directory and its key. Code of other generations is deleted.
    ///
    /// # Errors
    /// When the directory or the key can't be created or read.
    pub(crate) fn open(dir: &Path, generation: &str, most_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mode = fs::metadata(dir)?.permissions().mode() & 0o777;
        if mode != 0o700 {
            fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        for path in files(dir, TEMP_SUFFIX)? {
            fs::remove_file(path)?;
        }
        let key = match read_key(&dir.join(KEY_NAME))? {
            Some(key) => key,
            None => make_key(dir)?,
        };
        let generation = generation.to_owned();
        let cache = Self { dir: dir.to_owned(), generation, key, most_bytes, temps: AtomicU64::new(0) };
        for path in files(dir, SUFFIX)? {
            if !cache.is_ours(&path) {
                remove(&path);
            }
        }
        cache.trim()?;
        Ok(cache)
    }

    /// The code stored under this key, if it exists and verifies.
    pub(crate) fn load(&self, name: Name<'_>) -> Option<Code> {
        let path = self.path(name);
        let file = File::open(&path).ok()?;
        let code = match self.verified(name, &file) {
            Ok(code) => code,
            Err(error) if is_invalid(&error) => {
                tracing::warn!(%error, ?path, "a cached module is invalid; it is compiled again");
                remove(&path);
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, ?path, "a cached module can't be read; it is compiled again");
                return None;
            }
        };
        if let Err(error) = file.set_modified(SystemTime::now()) {
            tracing::debug!(%error, ?path, "could not mark a cached module as used");
        }
        Some(code)
    }

    /// Stores code under this key.
    pub(crate) fn store(&self, name: Name<'_>, code: &Code) {
        if let Err(error) = self.try_store(name, code).and_then(|()| self.trim()) {
            tracing::warn!(%error, dir = ?self.dir, "could not cache a compiled module");
        }
    }

    /// Deletes the code under this key, if there is any.
    pub(crate) fn forget(&self, name: Name<'_>) {
        remove(&self.path(name));
    }

    fn verified(&self, name: Name<'_>, mut file: &File) -> io::Result<Code> {
        if file.metadata()?.len() > CODE_BYTES_MAX + HEADER_BYTES as u64 {
            return Err(bad("it is too long"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header)?;
        let (magic, rest) = header.split_at(MAGIC.len());
        let [kind, tag @ ..] = rest else { return Err(bad("it has no header")) };
        let kind = match kind {
            0 => Kind::Core,
            1 => Kind::Component,
            2.. => return Err(bad("its kind is unknown")),
        };
        let mut hasher = self.hasher(name, kind);
        let mut draft = Draft::new()?;
        let mut left = CODE_BYTES_MAX;
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let read = file.read(&mut buffer)?;
            let piece = buffer.get(..read).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            left = left.checked_sub(read as u64).ok_or_else(|| bad("it is too long"))?;
            hasher.update(piece);
            draft.write(piece)?;
        }
        // `blake3::Hash` compares in constant time.
        let tag = blake3::Hash::from_slice(tag).map_err(io::Error::other)?;
        if magic != MAGIC || hasher.finalize() != tag {
            return Err(bad("it does not verify"));
        }
        draft.seal(name.module, kind, name.make)
    }

    fn try_store(&self, name: Name<'_>, code: &Code) -> io::Result<()> {
        let temp = self.dir.join(format!("{}.{TEMP_SUFFIX}", self.temps.fetch_add(1, Ordering::Relaxed)));
        let written = self.write(&temp, name, code);
        if written.is_err() {
            remove(&temp);
        }
        written?;
        // Not synced: a torn file does not verify and is compiled again.
        fs::rename(&temp, self.path(name))
    }

    fn write(&self, path: &Path, name: Name<'_>, code: &Code) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut hasher = self.hasher(name, code.kind());
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        code.each_piece(|piece| {
            hasher.update(piece);
            file.write_all(piece)
        })?;
        file.rewind()?;
        file.write_all(MAGIC)?;
        file.write_all(&[kind_byte(code.kind())])?;
        file.write_all(hasher.finalize().as_bytes())
    }

    fn trim(&self) -> io::Result<()> {
        let mut found: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for path in files(&self.dir, SUFFIX)? {
            let about = fs::metadata(&path)?;
            found.push((about.modified()?, about.len(), path));
        }
        found.sort();
        let mut total: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in found {
            if total <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }

    /// A hasher over everything but the code, so that a renamed file does not verify.
    fn hasher(&self, name: Name<'_>, kind: Kind) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&name.module.0).update(name.fingerprint.as_bytes()).update(&[0, kind_byte(kind)]);
        hasher
    }

    fn path(&self, name: Name<'_>) -> PathBuf {
        let Name { module, fingerprint, make: _ } = name;
        self.dir.join(format!("{}-{module}-{fingerprint}.{SUFFIX}", self.generation))
    }

    fn is_ours(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split_once('-').is_some_and(|(generation, _)| generation == self.generation)
    }
}

fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Core => 0,
        Kind::Component => 1,
    }
}

/// Whether it is the file's fault. The system may also lack descriptors or memory for a while.
fn is_invalid(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Deletes a file that is not needed; failing to only wastes space.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::debug!(%error, ?path, "could not remove a cached module"),
    }
}

fn files(dir: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == suffix) {
            found.push(path);
        }
    }
    Ok(found)
}
/// The key; `None` if it is missing, damaged, or readable by other users.
fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if about.permissions().mode() & 0o077 != 0 || about.len() != KEY_BYTES as u64 {
        tracing::warn!(?path, "the module cache's key is damaged or readable by others; a new one is made");
        return Ok(None);
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(Some(key))
}

fn make_key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let temp = dir.join(format!("{KEY_NAME}.{TEMP_SUFFIX}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&temp, dir.join(KEY_NAME))?;
    Ok(key)
}
