//! Blobs as the slots use them: how the node's store is reached, and how long a task's blobs may be.

use std::fs::File;
use std::io::{self, Read as _, Seek, Write};

use bytes::Bytes;
use weft_core::{BlobId, Limit, Outcome, Report, Work};

use crate::error::PrepareError;

/// What is wrong with a blob whose length the task states falsely. It would run on other bytes than its name says.
pub(crate) const ANOTHER_LENGTH: &str = "it has another length than the task says";

/// Bytes by their hash, as the node keeps them. Called on the pool's own threads; may block.
pub trait BlobAccess: Send + Sync {
    /// The bytes of this name.
    ///
    /// # Errors
    /// When they are not here.
    fn read(&self, id: BlobId) -> io::Result<Bytes>;

    /// How many bytes [`BlobAccess::read`] would bring into memory; `None` if they are not here. Called by whoever
    /// submits a task: it must not block.
    fn len(&self, id: BlobId) -> Option<u64>;

    /// A file with these bytes and no others. Nobody may change it any more. Several read it at once, by position.
    ///
    /// # Errors
    /// When they are not here, or no file is left.
    fn open(&self, id: BlobId) -> io::Result<File> {
        in_memory(&self.read(id)?)
    }

    /// Keeps bytes and names them.
    ///
    /// # Errors
    /// When there is no room, or the disk fails.
    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId>;

    /// Keeps and names the bytes of a file that nobody can change: so many, from where it stands. Whoever can do that
    /// without reading them all into memory does.
    ///
    /// # Errors
    /// As [`BlobAccess::write`].
    fn write_file(&self, file: File, bytes: u64) -> io::Result<BlobId> {
        let mut content = Vec::with_capacity(usize::try_from(bytes).map_err(io::Error::other)?);
        file.take(bytes).read_to_end(&mut content)?;
        self.write(content)
    }
}

/// Module, files and input are held in memory whole, so their true lengths are looked at first. Those of a known
/// program were.
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

/// A file of its own with these bytes.
pub(super) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let mut file = File::from(rustix::fs::memfd_create("weft-blob", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let mut file = unnamed()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
