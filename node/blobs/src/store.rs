//! The public API of the store. Cheap to clone; all clones share the store.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::BlobId;

use crate::awaited::Wanted;
use crate::cache::CACHED_BLOB_BYTES_MAX;
use crate::disk::Disk;
use crate::durability::Durability;
use crate::error::Error;
use crate::incoming::{Incoming, Room, Temp, receive};
use crate::index::{Blob, Index, Loss, Usage, charge, length};
use crate::shared::Shared;

/// How long a blob that waits to be fetched is protected from a full disk.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a blob is that has just come, until the engine has heard of it and pinned it.
const HELD: Duration = Duration::from_secs(60);

/// Limit of the disk space for blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes; every blob counts as whole blocks of 4 KiB.
    pub bytes: u64,
}

/// Blobs as files, within a quota, with small recently used ones cached in memory.
///
/// Evicts the least recently used blobs when space is needed; after a restart, files count as used when they were
/// written.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

impl Store {
    /// Opens or creates the store below `dir`: deletes incomplete files, lists the blobs, and evicts down to the quota.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be made, listed or cleaned.
    pub fn open(dir: &Path, quota: Quota) -> Result<Self, Error> {
        let store = Self::open_whole(dir, quota)?;
        store.shrink()?;
        Ok(store)
    }

    /// As [`Store::open`], but evicts nothing yet: what is to stay is pinned first, and then [`Store::shrink`] evicts.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be made, listed or cleaned.
    pub fn open_whole(dir: &Path, quota: Quota) -> Result<Self, Error> {
        let disk = Disk::open(dir)?;
        let mut found = disk.scan()?;
        found.sort_by_key(|file| (file.written, file.id));
        let mut index = Index::new(quota.bytes);
        for file in found {
            index.insert(file.id, file.bytes, false);
        }
        Ok(Self { shared: Arc::new(Shared::new(disk, index)) })
    }

    /// Never evicts what is there now, as long as the store is open, and counts it as set aside, not in the quota: for a node that does
    /// not know what of it is still needed.
    pub fn set_aside(&self) {
        self.shared.lock().index.set_aside();
    }

    /// From now on blobs leave this many bytes of the disk free: who shares it with them goes on where they find it full. A blob for
    /// which nothing can give way is refused as on a full disk ([`Error::is_disk_full`]).
    pub fn leave_free(&self, bytes: u64) {
        self.shared.leave_free(bytes);
    }

    /// Evicts down to the quota, as far as that is not pinned.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be removed.
    pub fn shrink(&self) -> Result<(), Error> {
        self.shared.shrink()
    }

    /// Stores bytes that can be fetched or computed again: see [`Durability::Cached`].
    ///
    /// # Errors
    /// [`Error::Full`] if nothing more can be evicted, [`Error::Busy`], [`Error::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<BlobId, Error> {
        self.put_with(bytes, Durability::Cached)
    }

    /// Stores bytes with this durability.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_with(&self, bytes: &[u8], durability: Durability) -> Result<BlobId, Error> {
        self.put_as(BlobId::of(bytes), bytes, durability)
    }

    /// Stores the bytes of that name.
    fn put_as(&self, id: BlobId, bytes: &[u8], durability: Durability) -> Result<BlobId, Error> {
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

    /// Stores the bytes of a source without holding all of them in memory. Space is made as bytes arrive, so a source
    /// that fails in the end may have evicted other blobs.
    ///
    /// # Errors
    /// [`Error::TooLong`] after `bytes_max` bytes, [`Error::Source`] if the source fails, and as [`Store::put`].
    pub fn put_reader(
        &self,
        source: impl Read,
        bytes_max: u64,
        durability: Durability,
    ) -> Result<(BlobId, u64), Error> {
        let (temp, id, total) = receive(self.reserve(0)?, source, bytes_max)?;
        temp.publish(id, durability)?;
        Ok((id, total))
    }

    /// Reserves quota for a blob that is to come, and evicts what that takes.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn reserve(&self, bytes: u64) -> Result<Room, Error> {
        Room::reserve(&self.shared, bytes)
    }

    /// As [`Store::put_reader`], with the quota that was reserved for it first, for a blob that a client brought:
    /// see [`Store::keep_for_job`].
    ///
    /// # Errors
    /// As [`Store::put_reader`].
    pub fn put_reader_for_job(
        &self,
        room: Room,
        source: impl Read,
        bytes_max: u64,
    ) -> Result<(BlobId, u64), Error> {
        let (temp, id, total) = receive(room, source, bytes_max)?;
        self.held(id, KEPT, || temp.publish(id, Durability::Cached))?;
        Ok((id, total))
    }

    /// As [`Store::put`], for a blob that its user hears of later, and pins then: neither the quota nor a full disk costs it
    /// meanwhile, for a minute at most.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_held(&self, bytes: &[u8]) -> Result<BlobId, Error> {
        let id = BlobId::of(bytes);
        self.held(id, HELD, || self.put_as(id, bytes, Durability::Cached))
    }

    /// The same for the bytes of a source of that length. Room for all of it is reserved first: of several that come together, as
    /// many as fit are stored, and not a part of each.
    ///
    /// # Errors
    /// As [`Store::put_reader`].
    pub fn put_reader_held(&self, source: impl Read, bytes: u64) -> Result<(BlobId, u64), Error> {
        let (temp, id, total) = receive(self.reserve(bytes)?, source, bytes)?;
        self.held(id, HELD, || temp.publish(id, Durability::Cached))?;
        Ok((id, total))
    }

    /// Pins a blob while it is published, and from then on as [`Store::keep_for_job`] does, but keeps it from a full disk for this
    /// time only.
    fn held<T>(
        &self,
        id: BlobId,
        kept: Duration,
        publish: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.pin(id);
        let published = publish();
        let now = Instant::now();
        let mut shared = self.shared.lock();
        shared.index.keep_at_least(id, now + kept);
        shared.index.pin_until(id, Wanted::ByJob, now + HELD);
        shared.index.end_pin(id);
        published
    }

    /// Puts a stored blob onto the disk, so that it survives a power failure: see [`Durability::Durable`]. At once if it is
    /// there already. False if it is not stored, or was corrupt and therefore deleted.
    ///
    /// # Errors
    /// [`Error::Io`] if the system cannot read it, or put it onto the disk.
    pub fn make_durable(&self, id: BlobId) -> Result<bool, Error> {
        if self.shared.lock().index.blob(id).is_some_and(|blob| blob.durable) {
            return Ok(true);
        }
        let Some((blob, file)) = self.shared.open_blob(id)? else { return Ok(false) };
        let Some(file) = self.shared.verify(id, blob, file)? else { return Ok(false) };
        self.sync(id, blob, &file)?;
        Ok(true)
    }

    /// Begins to receive a blob from a peer. Space is made as bytes arrive, so a sender that is refused in the end may
    /// have evicted other blobs. The blob becomes visible when [`Incoming::finish`] has verified length and hash.
    ///
    /// # Errors
    /// As [`Store::put`]. An announced length beyond the quota is [`Error::Full`].
    pub fn incoming(&self, id: BlobId, bytes: u64) -> Result<Incoming, Error> {
        let Usage { quota, pinned, reserved, .. } = self.usage();
        if charge(bytes) > quota {
            return Err(Error::Full { wanted: bytes, quota, pinned, reserved });
        }
        // Announcing a length costs the sender nothing, so no quota is reserved for it.
        Ok(Incoming::new(Temp::create(&self.shared, 0)?, id, bytes))
    }

    /// The whole blob; `None` if it is not stored, or was corrupt and therefore deleted.
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

    /// Length and open file of a blob, positioned at its start: for streaming, and for the sandbox. The file stays
    /// readable if the blob is evicted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open_read(&self, id: BlobId) -> Result<Option<(u64, File)>, Error> {
        let cached = self.shared.recall(id);
        let opened = match (self.shared.open_blob(id)?, cached) {
            // Another program removed the file. A cached blob is written again.
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

    /// True if the blob is stored, without reading it.
    #[must_use]
    pub fn has(&self, id: BlobId) -> bool {
        self.len(id).is_some()
    }

    /// The blob's length, if it is stored.
    #[must_use]
    pub fn len(&self, id: BlobId) -> Option<u64> {
        self.shared.lock().index.blob(id).map(|blob| blob.bytes)
    }

    /// The blob's length, if it is stored and its file is there. Unlike [`Store::len`] this asks the disk, and so finds
    /// that another program removed the file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn len_on_disk(&self, id: BlobId) -> Result<Option<u64>, Error> {
        Ok(self.shared.open_blob(id)?.map(|(blob, _file)| blob.bytes))
    }

    /// Protects the blob from eviction until it is unpinned as often as it was pinned. An absent blob may be pinned: it
    /// is protected once it arrives. Pins are in memory: a restarted node must pin again.
    pub fn pin(&self, id: BlobId) {
        self.shared.lock().index.pin(id);
    }

    /// Reverts one [`Store::pin`]; without one it has no effect.
    pub fn unpin(&self, id: BlobId) {
        self.shared.lock().index.unpin(id);
    }

    /// Protects a stored blob that a client brought: pins it for a minute, or until a job pins it, and keeps it from a full disk for
    /// a day, or until it is taken or unpinned.
    pub fn keep_for_job(&self, id: BlobId) {
        self.keep_for(id, Wanted::ByJob);
    }

    /// The same for a result that a client is told: it is pinned for a minute, or until it is [`Store::taken`].
    pub fn keep_for_client(&self, id: BlobId) {
        self.keep_for(id, Wanted::ByClient);
    }

    fn keep_for(&self, id: BlobId, wanted: Wanted) {
        let now = Instant::now();
        let mut shared = self.shared.lock();
        shared.index.keep_until(id, now.checked_add(KEPT));
        shared.index.pin_until(id, wanted, now + HELD);
    }

    /// Protects a blob from a full disk for a minute, or until it is taken or unpinned: it came for something that begins to
    /// need it soon. No shorter than it is protected already. The quota may still evict it, after all others.
    pub fn hold(&self, id: BlobId) {
        let mut shared = self.shared.lock();
        shared.index.keep_at_least(id, Instant::now() + HELD);
        shared.index.touch(id);
    }

    /// A client has the blob: ends the protection of [`Store::keep_for_client`].
    pub fn taken(&self, id: BlobId) {
        self.shared.lock().index.taken(id);
    }

    /// Pins a blob that an earlier life of this node had; if it is not here, it is lost.
    pub fn pin_again(&self, id: BlobId) {
        self.shared.lock().index.pin_again(id);
    }

    /// How a pinned blob was lost, if it was.
    #[must_use]
    pub fn loss(&self, id: BlobId) -> Option<Loss> {
        self.shared.lock().index.loss(id)
    }

    /// Evicts least recently used blobs until this many bytes of the disk are free for other use. Returns how many are
    /// free; fewer if the rest is pinned or kept.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be removed.
    pub fn make_room(&self, bytes: u64) -> Result<u64, Error> {
        self.shared.make_room(bytes)
    }

    /// Current use.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut shared = self.shared.lock();
        shared.index.expire(Instant::now());
        shared.index.usage()
    }

    /// True if the blob is stored, verified, and as durable as requested.
    fn keep_as_is(&self, id: BlobId, durability: Durability) -> Result<bool, Error> {
        let Some((blob, file)) = self.shared.open_blob(id)? else { return Ok(false) };
        // An unverified file may be corrupt: the caller's bytes replace it.
        if blob.verified && durability == Durability::Durable && !blob.durable {
            self.sync(id, blob, &file)?;
        }
        Ok(blob.verified)
    }

    /// Puts a blob and its name onto the disk.
    fn sync(&self, id: BlobId, blob: Blob, file: &File) -> Result<(), Error> {
        file.sync_all().map_err(Error::io("sync", &self.shared.disk.path(id)))?;
        self.shared.disk.sync_name(id)?;
        self.shared.lock().index.confirm(id, blob.generation, true);
        Ok(())
    }

    fn read_whole(&self, id: BlobId, blob: Blob, file: File) -> Result<Vec<u8>, Error> {
        let too_big = Error::TooBigForMemory { bytes: blob.bytes };
        let Ok(len) = usize::try_from(blob.bytes) else { return Err(too_big) };
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(len).is_err() {
            return Err(too_big);
        }
        // A file that grew is as corrupt as one that shrank; one byte more is enough to detect it.
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
