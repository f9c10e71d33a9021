//! The store: the one public door to blobs. Cheap to clone; every clone is the same store.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::BlobId;

use crate::cache::CACHED_BLOB_BYTES_MAX;
use crate::disk::Disk;
use crate::durability::Durability;
use crate::error::Error;
use crate::incoming::{Incoming, Temp};
use crate::index::{Blob, Index, Usage, charge, length};
use crate::shared::{Shared, read_chunks};

/// For how long a full disk does not cost what somebody is to take.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How much of the disk blobs may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes; every blob counts as whole blocks of 4 KiB.
    pub bytes: u64,
}

/// Blobs as files, below a quota, with the small ones that were used lately in memory as well.
///
/// Evicts the least recently used when room is needed; after a restart, files count as used when they were written.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

impl Store {
    /// Opens the store below `dir`, making it where there is none: removes what a crash left half-written, lists
    /// what is there, and evicts down to the quota.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be made, listed or cleaned.
    pub fn open(dir: &Path, quota: Quota) -> Result<Self, Error> {
        let disk = Disk::open(dir)?;
        let mut found = disk.scan()?;
        found.sort_by_key(|file| (file.written, file.id));
        let mut index = Index::new(quota.bytes);
        for file in found {
            index.insert(file.id, file.bytes, false);
        }
        while let Some(surplus) = index.surplus() {
            disk.remove(surplus)?;
            index.remove(surplus);
            index.count_eviction();
        }
        Ok(Self { shared: Arc::new(Shared::new(disk, index)) })
    }

    /// Stores bytes that can be had again if a power cut takes them: see [`Durability::Cached`].
    ///
    /// # Errors
    /// [`Error::Full`] if nothing more can be evicted, [`Error::Busy`], [`Error::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<BlobId, Error> {
        self.put_with(bytes, Durability::Cached)
    }

    /// Stores bytes; says when a power cut can no longer take them.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_with(&self, bytes: &[u8], durability: Durability) -> Result<BlobId, Error> {
        let id = BlobId::of(bytes);
        if !self.keep_as_is(id, durability)? {
            let len = length(bytes);
            let mut temp = Temp::create(&self.shared, len)?;
            temp.write(bytes)?;
            temp.publish(id, durability)?;
        }
        if bytes.len() <= CACHED_BLOB_BYTES_MAX {
            self.shared.remember(id, || Bytes::copy_from_slice(bytes));
        }
        Ok(id)
    }

    /// Stores what a source yields, without ever holding it in memory. Room is made as bytes come, so that a source
    /// that is refused in the end may have evicted others.
    ///
    /// # Errors
    /// [`Error::TooLong`] after `bytes_max` bytes, [`Error::Source`] if the source fails, and as [`Store::put`].
    pub fn put_reader(
        &self,
        mut source: impl Read,
        bytes_max: u64,
        durability: Durability,
    ) -> Result<(BlobId, u64), Error> {
        let mut temp = Temp::create(&self.shared, 0)?;
        let mut hasher = blake3::Hasher::new();
        // One byte beyond the limit tells a source that ends there from one that does not.
        let mut limited = (&mut source).take(bytes_max.saturating_add(1));
        let mut total = 0u64;
        read_chunks(&mut limited, Error::Source, |chunk| {
            total += length(chunk);
            if total > bytes_max {
                return Err(Error::TooLong { allowed: bytes_max });
            }
            hasher.update(chunk);
            temp.grow_to(total)?;
            temp.write(chunk)
        })?;
        let id = BlobId(*hasher.finalize().as_bytes());
        temp.publish(id, durability)?;
        Ok((id, total))
    }

    /// Opens the door for a blob that a peer sends: room is made as its bytes come, so that a sender that is refused in
    /// the end may have evicted others, and it becomes visible when [`Incoming::finish`] has checked length and hash.
    ///
    /// # Errors
    /// As [`Store::put`]. An announced length beyond the quota is [`Error::Full`].
    pub fn incoming(&self, id: BlobId, bytes: u64) -> Result<Incoming, Error> {
        let Usage { quota, pinned, reserved, .. } = self.usage();
        if charge(bytes) > quota {
            return Err(Error::Full { wanted: bytes, quota, pinned, reserved });
        }
        // An announcement costs its sender nothing, so it sets nothing aside.
        Ok(Incoming::new(Temp::create(&self.shared, 0)?, id, bytes))
    }

    /// The whole blob. `None` if it is not here, or was found corrupt and therefore removed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooBigForMemory`].
    pub fn get(&self, id: BlobId) -> Result<Option<Bytes>, Error> {
        if let Some(bytes) = self.shared.recall(id) {
            return Ok(Some(bytes));
        }
        let Some((blob, file)) = self.shared.open_blob(id)? else { return Ok(None) };
        let bytes = self.read_whole(id, blob, file)?;
        let len = length(&bytes);
        if len != blob.bytes || (!blob.verified && BlobId::of(&bytes) != id) {
            self.shared.drop_corrupt(id, blob.generation)?;
            return Ok(None);
        }
        self.shared.lock().index.confirm(id, blob.generation, false);
        let bytes = Bytes::from(bytes);
        self.shared.remember(id, || bytes.clone());
        Ok(Some(bytes))
    }

    /// Length and open file of a blob, positioned at its start: for streaming, and for handing to a sandbox. The
    /// file stays readable when the blob is evicted meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open_read(&self, id: BlobId) -> Result<Option<(u64, File)>, Error> {
        let cached = self.shared.recall(id);
        let opened = match (self.shared.open_blob(id)?, cached) {
            // Another program removed the file. What is still in memory is written again.
            (None, Some(bytes)) => {
                self.put(&bytes)?;
                self.shared.open_blob(id)?
            }
            (opened, _) => opened,
        };
        let Some((blob, file)) = opened else { return Ok(None) };
        match self.shared.verify(id, blob, file)? {
            Some(file) => Ok(Some((blob.bytes, file))),
            None => Ok(None),
        }
    }

    /// True if the blob is here, as far as is known without reading it.
    #[must_use]
    pub fn has(&self, id: BlobId) -> bool {
        self.len(id).is_some()
    }

    /// The blob's length, if it is here.
    #[must_use]
    pub fn len(&self, id: BlobId) -> Option<u64> {
        self.shared.lock().index.blob(id).map(|blob| blob.bytes)
    }

    /// Protects the blob from eviction until it is unpinned as often as it was pinned. A blob that is not here
    /// yet may be pinned: it stays once it comes. Pins live in memory: a restarted node pins again what it needs.
    pub fn pin(&self, id: BlobId) {
        self.shared.lock().index.pin(id);
    }

    /// Takes back one [`Store::pin`]; without one it does nothing.
    pub fn unpin(&self, id: BlobId) {
        self.shared.lock().index.unpin(id);
    }

    /// Keeps a blob on a full disk for a day, or until it was taken or unpinned: a result, or what a user brought. The
    /// quota evicts it all the same.
    pub fn keep(&self, id: BlobId) {
        self.shared.lock().index.keep_until(id, Instant::now().checked_add(KEPT));
    }

    /// A blob that was kept was taken: a full disk may cost it now.
    pub fn taken(&self, id: BlobId) {
        self.shared.lock().index.keep_until(id, None);
    }

    /// True if the blob was here and work rests on it, and another program has removed it.
    #[must_use]
    pub fn has_vanished(&self, id: BlobId) -> bool {
        self.shared.lock().index.has_vanished(id)
    }

    /// Removes least recently used blobs until so many bytes of the disk are free for something else. Returns how many
    /// are; fewer when what is left is pinned or kept.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be removed.
    pub fn make_room(&self, bytes: u64) -> Result<u64, Error> {
        self.shared.make_room(bytes)
    }

    /// How full the store is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.lock().index.usage()
    }

    /// True if the blob is here, checked, and as durable as asked, so that nothing needs to be written.
    fn keep_as_is(&self, id: BlobId, durability: Durability) -> Result<bool, Error> {
        let Some((blob, file)) = self.shared.open_blob(id)? else { return Ok(false) };
        // A file that is not verified may be wrong: the caller's good bytes replace it.
        if blob.verified && durability == Durability::Durable && !blob.durable {
            file.sync_all().map_err(Error::io("sync", &self.shared.disk.path(id)))?;
            self.shared.disk.sync_name(id)?;
            self.shared.lock().index.confirm(id, blob.generation, true);
        }
        Ok(blob.verified)
    }

    fn read_whole(&self, id: BlobId, blob: Blob, file: File) -> Result<Vec<u8>, Error> {
        let too_big = Error::TooBigForMemory { bytes: blob.bytes };
        let Ok(len) = usize::try_from(blob.bytes) else { return Err(too_big) };
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(len).is_err() {
            return Err(too_big);
        }
        // A file that grew is as wrong as one that shrank; one byte more is enough to know.
        let mut limited = file.take(blob.bytes.saturating_add(1));
        limited.read_to_end(&mut bytes).map_err(Error::io("read", &self.shared.disk.path(id)))?;
        Ok(bytes)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("usage", &self.usage()).finish_non_exhaustive()
    }
}
