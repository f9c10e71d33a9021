//! State that all clones of a store share: the disk, and the index under one lock. Evicts blobs when the quota or the
//! disk is full.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::BlobId;

use crate::cache::Cache;
use crate::disk::Disk;
use crate::error::Error;
use crate::index::{Blob, Index, Loss, charge};

/// Bytes read from a source or a file at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Blobs that are evicted while the lock is held.
const EVICTED_MAX: usize = 64;
/// How long others may take it then.
const TURN: Duration = Duration::from_micros(200);
/// Most blobs that are written at the same time; each has an open file.
const WRITES_MAX: usize = 256;

/// State that all clones share.
pub(crate) struct Shared {
    pub(crate) disk: Disk,
    /// Bytes of the disk that are not for blobs.
    left_free: AtomicU64,
    state: Mutex<State>,
}

/// Guarded by one lock, which is held during renames, opens and removals, but not while bytes are read or written.
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) cache: Cache,
    writes: usize,
}

impl Shared {
    pub(crate) fn new(disk: Disk, index: Index) -> Self {
        let state = State { index, cache: Cache::default(), writes: 0 };
        Self { disk, left_free: AtomicU64::new(0), state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the index is complete before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write.
    pub(crate) fn begin_write(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.writes >= WRITES_MAX {
            return Err(Error::Busy { writes: state.writes });
        }
        state.writes += 1;
        Ok(())
    }

    /// A write is over.
    pub(crate) fn end_write(&self) {
        self.lock().writes -= 1;
    }

    /// Reserves quota for a write, and evicts what that takes. Blocks meanwhile, but lets others in between.
    pub(crate) fn reserve(&self, charged: u64) -> Result<(), Error> {
        loop {
            let mut state = self.lock();
            state.index.expire(Instant::now());
            for _ in 0..EVICTED_MAX {
                let Some(victim) = state.index.victim_for(charged)? else {
                    state.index.reserve(charged);
                    return Ok(());
                };
                self.remove(&mut state, victim)?;
            }
            drop(state);
            // A thread that waits for the lock needs a moment to wake up.
            std::thread::sleep(TURN);
        }
    }

    /// Frees reserved quota.
    pub(crate) fn release(&self, charged: u64) {
        self.lock().index.release(charged);
    }

    /// Publishes a written file, unless a verified one exists, and frees its reserved quota. Returns the generation of
    /// the published file. A file that another program removed is replaced.
    pub(crate) fn publish(
        &self,
        temp: &Path,
        id: BlobId,
        bytes: u64,
        charged: u64,
        durable: bool,
    ) -> Result<u64, Error> {
        let mut state = self.lock();
        let here = state.index.blob(id).filter(|blob| blob.verified && (blob.durable || !durable));
        if let Some(here) = here
            && self.disk.open_blob(id)?.is_some()
        {
            state.index.release(charged);
            state.index.touch(id);
            return Ok(here.generation);
        }
        while let Err(error) = self.disk.publish(temp, id) {
            if !error.is_disk_full() || self.evict(&mut state, 1)? == 0 {
                return Err(error);
            }
        }
        state.index.release(charged);
        Ok(state.index.insert(id, bytes, true))
    }

    /// Opens the file under the lock, so that it is the one in the index.
    pub(crate) fn open_blob(&self, id: BlobId) -> Result<Option<(Blob, File)>, Error> {
        let mut state = self.lock();
        let Some(blob) = state.index.blob(id) else { return Ok(None) };
        let Some(file) = self.disk.open_blob(id)? else {
            // Another program removed it.
            state.forget(id);
            state.index.note_lost(id, Loss::Removed);
            return Ok(None);
        };
        state.index.touch(id);
        Ok(Some((blob, file)))
    }

    /// Hashes a file that was not hashed since the store was opened.
    pub(crate) fn verify(&self, id: BlobId, blob: Blob, mut file: File) -> Result<Option<File>, Error> {
        let path = self.disk.path(id);
        if blob.verified {
            return Ok(Some(file));
        }
        let mut hasher = blake3::Hasher::new();
        read_chunks(&mut file, Error::io("read", &path), |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        if BlobId(*hasher.finalize().as_bytes()) != id {
            self.drop_corrupt(id, blob.generation)?;
            return Ok(None);
        }
        self.lock().index.confirm(id, blob.generation, false);
        file.rewind().map_err(Error::io("rewind", &path))?;
        Ok(Some(file))
    }

    /// Deletes a corrupt file, unless a good one has replaced it meanwhile.
    pub(crate) fn drop_corrupt(&self, id: BlobId, generation: u64) -> Result<(), Error> {
        let mut state = self.lock();
        if state.index.blob(id).is_some_and(|blob| blob.generation == generation) {
            self.disk.remove(id)?;
            state.forget(id);
            state.index.count_corruption();
            state.index.note_lost(id, Loss::Corrupt);
        }
        Ok(())
    }

    /// Frees this many bytes on a disk that is full although the quota is not, by evicting the least recently used
    /// blobs that can be fetched or computed again. Returns how many bytes are free; 0 if nothing is left to evict.
    pub(crate) fn make_room(&self, bytes: u64) -> Result<u64, Error> {
        self.evict(&mut self.lock(), bytes)
    }

    /// From now on blobs leave this many bytes of the disk free.
    pub(crate) fn leave_free(&self, bytes: u64) {
        self.left_free.store(bytes, Ordering::Relaxed);
    }

    /// Looks, before this many bytes are written, that they leave free what is not for blobs; what can give way does, as on a
    /// full disk.
    pub(crate) fn look_at_disk(&self, bytes: u64) -> Result<(), Error> {
        let left_free = self.left_free.load(Ordering::Relaxed);
        if left_free == 0 {
            return Ok(());
        }
        let lacking = left_free.saturating_add(bytes).saturating_sub(self.disk.free());
        // Some file systems show only later what was freed: then the disk itself is the bound.
        if lacking == 0 || self.make_room(lacking)? >= lacking { Ok(()) } else { Err(self.disk.full()) }
    }

    /// Calls `act`, which needs some space on the disk, and evicts blobs as long as that helps.
    pub(crate) fn making_room<T>(&self, act: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match act() {
                Err(error) if error.is_disk_full() && self.make_room(1)? > 0 => {}
                other => return other,
            }
        }
    }

    /// Evicts what is beyond the quota.
    pub(crate) fn shrink(&self) -> Result<(), Error> {
        let mut state = self.lock();
        while let Some(surplus) = state.index.surplus() {
            self.remove(&mut state, surplus)?;
        }
        Ok(())
    }

    fn evict(&self, state: &mut State, bytes: u64) -> Result<u64, Error> {
        state.index.expire(Instant::now());
        let mut freed = 0;
        while freed < bytes
            && let Some(victim) = state.index.spare(Instant::now())
        {
            freed += state.index.blob(victim).map_or(0, |blob| charge(blob.bytes));
            self.remove(state, victim)?;
        }
        Ok(freed)
    }

    fn remove(&self, state: &mut State, victim: BlobId) -> Result<(), Error> {
        self.disk.remove(victim)?;
        state.forget(victim);
        state.index.count_eviction();
        Ok(())
    }

    pub(crate) fn recall(&self, id: BlobId) -> Option<Bytes> {
        let mut state = self.lock();
        let bytes = state.cache.get(id)?;
        state.index.touch(id);
        Some(bytes)
    }

    /// Caches a blob, if it is still stored.
    pub(crate) fn remember(&self, id: BlobId, bytes: impl FnOnce() -> Bytes) {
        let mut state = self.lock();
        if state.index.blob(id).is_some() {
            state.cache.insert(id, bytes());
        }
    }
}

impl State {
    fn forget(&mut self, id: BlobId) {
        self.index.remove(id);
        self.cache.remove(id);
    }
}

/// Reads to the end and passes each chunk to `take`.
pub(crate) fn read_chunks(
    reader: &mut impl Read,
    failed: impl FnOnce(std::io::Error) -> Error,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(len) => take(chunk.get(..len).unwrap_or_default())?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
