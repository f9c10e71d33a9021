//! Access to the node's blob store, and bounds on the blobs of a task.

use std::fs::File;
use std::io::{self, Read as _, Seek, Write};

use bytes::Bytes;
use weft_core::{BlobId, Limit, Outcome, Report, Work};

use crate::error::PrepareError;

/// The error for a blob whose length differs from the one in the task: the task would run on other bytes than its id
/// covers.
pub(crate) const ANOTHER_LENGTH: &str = "it has another length than the task says";

/// The node's blob store. Called on the pool's own threads, unless noted; may block.
pub trait BlobAccess: Send + Sync {
    /// The bytes of a blob.
    ///
    /// # Errors
    /// When the blob is not stored here.
    fn read(&self, id: BlobId) -> io::Result<Bytes>;

    /// The length of a blob, in bytes; `None` if it is not stored here. Called on the thread that submits a task: must
    /// not block.
    fn len(&self, id: BlobId) -> Option<u64>;

    /// A file with exactly these bytes, which must not change. Several threads read it at the same time, by position.
    ///
    /// # Errors
    /// When the blob is not stored here, or no descriptor is left.
    fn open(&self, id: BlobId) -> io::Result<File> {
        in_memory(&self.read(id)?)
    }

    /// Stores bytes; returns their hash.
    ///
    /// # Errors
    /// When the store is full, or the disk fails.
    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId>;

    /// Stores `bytes` bytes of an immutable file, from its current position; returns their hash. Implementations should
    /// not read all of them into memory.
    ///
    /// # Errors
    /// As [`BlobAccess::write`].
    fn write_file(&self, file: File, bytes: u64) -> io::Result<BlobId> {
        let mut content = Vec::with_capacity(usize::try_from(bytes).map_err(io::Error::other)?);
        file.take(bytes).read_to_end(&mut content)?;
        self.write(content)
    }
}

/// The report of a task whose module, files or input exceed a bound. They are loaded into memory as a whole, so their
/// true lengths are checked first; those of a known program were checked before.
pub(super) fn too_long(
    work: &Work,
    known: bool,
    (most, module_most): (u64, u64),
    len: impl Fn(BlobId) -> Option<u64>,
) -> Option<Report> {
    let long = |id: BlobId, most: u64| len(id).filter(|bytes| *bytes > most);
    if known && work.input.blob().is_none() {
        return None;
    }
    let module = long(work.program.module, module_most);
    let text = if let Some(bytes) = work.input.blob().and_then(|id| long(id, most)) {
        format!("input: {bytes} bytes, this node gives a task {most}")
    } else if let Some(bytes) = work.program.files.blob().and_then(|id| long(id, most)) {
        format!("files: {bytes} bytes, this node gives a task {most}")
    } else if let Some(bytes) = module {
        PrepareError::TooLong { bytes, limit: module_most }.to_string()
    } else {
        return None;
    };
    Some(Report::bare(Outcome::LimitExceeded(Limit::Other(text))))
}

/// A new memory file with these bytes.
pub(super) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let mut file = File::from(rustix::fs::memfd_create("weft-blob", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let mut file = unnamed()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// A new file to which only its descriptor leads: it has no name any more.
#[cfg(not(target_os = "linux"))]
fn unnamed() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut drawn = [0; 16];
    getrandom::fill(&mut drawn).map_err(|error| io::Error::other(error.to_string()))?;
    let path = std::env::temp_dir().join(format!("weft-blob-{:032x}", u128::from_be_bytes(drawn)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
