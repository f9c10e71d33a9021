//! Incoming blobs: written to a temporary file, checked, and then renamed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_core::BlobId;

use crate::durability::Durability;
use crate::error::{Error, is_full};
use crate::index::{charge, length};
use crate::shared::{Shared, read_chunks};

/// A blob that a peer sends. Bytes beyond the announced length are refused at once, everything else is checked by
/// [`Incoming::finish`]. Dropping it unfinished leaves nothing behind.
pub struct Incoming {
    temp: Temp,
    hasher: blake3::Hasher,
    id: BlobId,
    announced: u64,
    got: u64,
}

impl Incoming {
    pub(crate) fn new(temp: Temp, id: BlobId, announced: u64) -> Self {
        Self { temp, hasher: blake3::Hasher::new(), id, announced, got: 0 }
    }

    /// The requested hash.
    #[must_use]
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Bytes that are still missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.announced - self.got
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`Error::TooLong`] if they exceed the announced length; none of them is written then. [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = length(bytes);
        if len > self.missing() {
            return Err(Error::TooLong { allowed: self.announced });
        }
        self.temp.grow_to(self.got + len)?;
        self.temp.write(bytes)?;
        self.hasher.update(bytes);
        self.got += len;
        Ok(())
    }

    /// Checks length and hash, and makes the blob visible.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::WrongHash`], [`Error::Io`]; nothing is stored then.
    pub fn finish(self, durability: Durability) -> Result<(), Error> {
        let Self { temp, hasher, id, announced, got } = self;
        if got != announced {
            return Err(Error::TooShort { announced, got });
        }
        let found = BlobId(*hasher.finalize().as_bytes());
        if found != id {
            return Err(Error::WrongHash { expected: id, found });
        }
        temp.publish(id, durability)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("id", &self.id)
            .field("announced", &self.announced)
            .field("got", &self.got)
            .finish_non_exhaustive()
    }
}

/// Quota that is reserved for one blob that is to be written. Dropping it frees that.
pub struct Room {
    shared: Arc<Shared>,
    /// Reserved bytes.
    charged: u64,
}

impl Room {
    pub(crate) fn reserve(shared: &Arc<Shared>, bytes: u64) -> Result<Self, Error> {
        let charged = charge(bytes);
        shared.reserve(charged)?;
        Ok(Self { shared: Arc::clone(shared), charged })
    }

    fn grow_to(&mut self, bytes: u64) -> Result<(), Error> {
        let more = charge(bytes).saturating_sub(self.charged);
        if more > 0 {
            self.shared.reserve(more)?;
            self.charged += more;
        }
        Ok(())
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("charged", &self.charged).finish_non_exhaustive()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.release(self.charged);
    }
}

/// A temporary file and its quota, a write that is under way. Dropping it frees all of that.
pub(crate) struct Temp {
    room: Room,
    file: File,
    path: PathBuf,
    written: u64,
}

impl Temp {
    pub(crate) fn create(shared: &Arc<Shared>, bytes: u64) -> Result<Self, Error> {
        Self::within(Room::reserve(shared, bytes)?)
    }

    pub(crate) fn within(room: Room) -> Result<Self, Error> {
        let shared = &room.shared;
        shared.begin_write()?;
        match shared.making_room(|| shared.disk.create_temp()) {
            Ok((path, file)) => Ok(Self { room, file, path, written: 0 }),
            Err(error) => {
                shared.end_write();
                Err(error)
            }
        }
    }

    pub(crate) fn grow_to(&mut self, bytes: u64) -> Result<(), Error> {
        self.room.grow_to(bytes)
    }

    /// Writes bytes for which quota is reserved.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let shared = &self.room.shared;
        shared.look_at_disk(length(bytes))?;
        write_making_room(&mut self.file, bytes, |bytes| shared.make_room(bytes))
            .map_err(|failed| failed.into_error(&self.path))?;
        self.written += length(bytes);
        assert!(self.written <= self.room.charged, "nothing is written that no room was set aside for");
        Ok(())
    }

    /// Publishes the file under its hash. The caller has verified the content.
    pub(crate) fn publish(mut self, id: BlobId, durability: Durability) -> Result<(), Error> {
        let durable = durability == Durability::Durable;
        if durable {
            self.file.sync_all().map_err(Error::io("sync", &self.path))?;
        }
        let room = &mut self.room;
        let generation = room.shared.publish(&self.path, id, self.written, room.charged, durable)?;
        room.charged = 0;
        if durable {
            room.shared.disk.sync_name(id)?;
            room.shared.lock().index.confirm(id, generation, true);
        }
        Ok(())
    }
}

/// The bytes of a source, complete and not visible yet, with their name and number.
pub(crate) fn receive(
    room: Room,
    mut source: impl Read,
    bytes_max: u64,
) -> Result<(Temp, BlobId, u64), Error> {
    let mut temp = Temp::within(room)?;
    let mut hasher = blake3::Hasher::new();
    // One byte beyond the limit distinguishes a source that ends there.
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
    Ok((temp, BlobId(*hasher.finalize().as_bytes()), total))
}

/// Writes all bytes; when the disk is full, calls `make_room` and continues. `make_room` gets the number of bytes left
/// and returns how many are free; 0 ends the writing. Returns the operating system's error, or `make_room`'s.
fn write_making_room(
    file: &mut impl Write,
    mut bytes: &[u8],
    make_room: impl Fn(u64) -> Result<u64, Error>,
) -> Result<(), Failed> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(Failed::Write(io::ErrorKind::WriteZero.into())),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_full(&error) => {
                if make_room(length(bytes)).map_err(Failed::Evict)? == 0 {
                    return Err(Failed::Write(error));
                }
            }
            Err(error) => return Err(Failed::Write(error)),
        }
    }
    Ok(())
}

/// Why writing failed.
#[derive(Debug)]
enum Failed {
    Write(io::Error),
    Evict(Error),
}

impl Failed {
    fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Write(error) => Error::io("write", path)(error),
            Self::Evict(error) => error,
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // Fails if the file was renamed; any other leftover is deleted at the next start.
        fs::remove_file(&self.path).ok();
        self.room.shared.end_write();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A disk with this much free space, in bytes.
    struct Disk<'a> {
        room: &'a Cell<u64>,
        written: Vec<u8>,
    }

    impl Write for Disk<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(usize::try_from(self.room.get()).map_err(io::Error::other)?);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room.set(self.room.get() - taken as u64);
            self.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_has_the_cache_evicted_and_the_write_goes_on() {
        let (room, cache) = (Cell::new(3), Cell::new(100));
        let mut disk = Disk { room: &room, written: Vec::new() };
        let evict = |wanted: u64| {
            assert_eq!(wanted, 7 - room.get());
            cache.set(cache.get() - 10);
            room.set(room.get() + 10);
            Ok(10)
        };
        write_making_room(&mut disk, b"0123456789", evict).unwrap();
        assert_eq!(disk.written, b"0123456789");
        assert_eq!(cache.get(), 90, "no more than is needed");
    }

    #[test]
    fn a_full_disk_without_anything_to_evict_is_an_error_that_says_so() {
        let room = Cell::new(3);
        let mut disk = Disk { room: &room, written: Vec::new() };
        let failed = write_making_room(&mut disk, b"0123456789", |_| Ok(0)).unwrap_err();
        let error = failed.into_error(Path::new("/d/blobs/incoming/1"));
        assert!(error.is_disk_full());
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
}
