//! What a task gets.

use std::path::PathBuf;

use bytes::Bytes;

use crate::api::BlobRef;

/// One task's input. Bytes beyond 16 KiB, and files, are uploaded to the node first, without further ado.
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
