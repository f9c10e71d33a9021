//! Compiled modules on disk, so that a restarted node is warm. Loading compiled code runs it: every file carries a
//! keyed BLAKE3 tag over its name and content, made with a key that only this node has. A file that does not
//! verify is no file. A failing disk costs time, never a task.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use weft_core::BlobId;

/// Bytes of all files; beyond it the least recently used go.
const DISK_BYTES_MAX: u64 = 2 << 30;
/// Bytes of one file that are read at all.
const FILE_BYTES_MAX: u64 = 1 << 30;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
const KEY_NAME: &str = "key";
const SUFFIX: &str = "cwasm";
const TEMP_SUFFIX: &str = "tmp";

/// A directory of compiled modules.
#[derive(Debug)]
pub(crate) struct DiskCache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    temps: AtomicU64,
}

impl DiskCache {
    /// Opens or makes the directory and its key.
    ///
    /// # Errors
    /// When either can't be made or read.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for path in files(dir, TEMP_SUFFIX)? {
            fs::remove_file(path)?;
        }
        let key = match read_key(&dir.join(KEY_NAME))? {
            Some(key) => key,
            None => make_key(dir)?,
        };
        Ok(Self { dir: dir.to_owned(), key, temps: AtomicU64::new(0) })
    }

    /// The code stored under this name, if it is there and is what was stored.
    pub(crate) fn load(&self, module: BlobId, fingerprint: &str) -> Option<Bytes> {
        let path = self.path(module, fingerprint);
        let file = File::open(&path).ok()?;
        let mut content = Vec::new();
        (&file).take(FILE_BYTES_MAX).read_to_end(&mut content).ok()?;
        let mut content = Bytes::from(content);
        if content.len() < TAG_BYTES {
            return None;
        }
        let tag = content.split_to(TAG_BYTES);
        let expected = self.tag(module, fingerprint, &content);
        // Comparing hashes takes the same time wherever they differ.
        if blake3::Hash::from_slice(&tag).ok()? != expected {
            tracing::warn!(?path, "a cached module does not verify; it is compiled again");
            return None;
        }
        if let Err(error) = file.set_modified(SystemTime::now()) {
            tracing::debug!(%error, ?path, "could not mark a cached module as used");
        }
        Some(content)
    }

    /// Stores code under this name.
    pub(crate) fn store(&self, module: BlobId, fingerprint: &str, code: &[u8]) {
        if let Err(error) = self.try_store(module, fingerprint, code).and_then(|()| self.trim()) {
            tracing::warn!(%error, dir = ?self.dir, "could not cache a compiled module");
        }
    }

    fn try_store(&self, module: BlobId, fingerprint: &str, code: &[u8]) -> io::Result<()> {
        let temp = self.dir.join(format!("{}.{TEMP_SUFFIX}", self.temps.fetch_add(1, Ordering::Relaxed)));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
        file.write_all(self.tag(module, fingerprint, code).as_bytes())?;
        file.write_all(code)?;
        drop(file);
        // Not synced: a torn file does not verify, and compiling again is all that it costs.
        fs::rename(&temp, self.path(module, fingerprint))
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
            if total <= DISK_BYTES_MAX {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }

    fn tag(&self, module: BlobId, fingerprint: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&module.0).update(fingerprint.as_bytes()).update(&[0]).update(code);
        hasher.finalize()
    }

    fn path(&self, module: BlobId, fingerprint: &str) -> PathBuf {
        self.dir.join(format!("{module}-{fingerprint}.{SUFFIX}"))
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

/// The key, unless there is none, it is damaged, or others may have read it.
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
