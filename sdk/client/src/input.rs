//! The input of a task.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::api::BlobRef;
use crate::parcel::Parcel;

/// One task's input. Bytes beyond 16 KiB, and files, are uploaded to the node first, automatically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The bytes themselves.
    Bytes(Bytes),
    /// A file on this machine, read when the task is submitted.
    File(PathBuf),
    /// A blob of the node's store.
    Blob {
        /// Its id.
        id: String,
        /// Its length.
        bytes: u64,
    },
    /// A part of an open file, read when the task is submitted.
    Part(FilePart),
    /// One with arguments and files of its own; for a task that is made with [`crate::Task::parcels`].
    Parcel(Box<Parcel>),
    /// One that could not be had. Its task ends as invalid, with this reason; nothing runs for it.
    Missing {
        /// Why, in a sentence without a full stop.
        reason: String,
    },
}

/// Some bytes of a file that is open: whatever becomes of the file's name, they can be read. Two are equal when they are
/// the same bytes of the same open file.
#[derive(Clone, Debug)]
pub struct FilePart {
    file: Arc<File>,
    /// What the file is called in errors.
    name: PathBuf,
    start: u64,
    bytes: u64,
}

impl FilePart {
    /// `bytes` bytes of that file, from its byte `start` on. `name` is how errors call it.
    #[must_use]
    pub fn new(file: Arc<File>, name: impl Into<PathBuf>, start: u64, bytes: u64) -> Self {
        Self { file, name: name.into(), start, bytes }
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes_len(&self) -> u64 {
        self.bytes
    }

    /// What errors call the file.
    pub(crate) fn name(&self) -> &std::path::Path {
        &self.name
    }

    /// Reads from byte `at` of the part; 0 only at its end. Blocks.
    ///
    /// # Errors
    /// As the system says, and when the file has become shorter.
    pub(crate) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let Some(room) = buffer.get_mut(..left).filter(|room| !room.is_empty()) else { return Ok(0) };
        match self.file.read_at(room, self.start.saturating_add(at))? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read")),
            read => Ok(read),
        }
    }

    /// A reader of the part, from its first byte on.
    pub fn reader(&self) -> impl io::Read + use<> {
        PartReader { part: self.clone(), at: 0 }
    }
}

impl PartialEq for FilePart {
    fn eq(&self, other: &Self) -> bool {
        let Self { file, name: _, start, bytes } = self;
        Arc::ptr_eq(file, &other.file) && (*start, *bytes) == (other.start, other.bytes)
    }
}

impl Eq for FilePart {}

struct PartReader {
    part: FilePart,
    at: u64,
}

impl io::Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.part.read_at(self.at, buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Input {
    /// The bytes of that file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl From<()> for Input {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<Bytes> for Input {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Input {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Input {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<BlobRef> for Input {
    fn from(BlobRef { id, bytes }: BlobRef) -> Self {
        Self::Blob { id, bytes }
    }
}

impl From<Parcel> for Input {
    fn from(parcel: Parcel) -> Self {
        Self::Parcel(Box::new(parcel))
    }
}
