//! Inputs and outputs of tasks: bytes in a message, or the name of a blob. Plain data.

use alloc::sync::Arc;
use core::fmt;

use crate::id::BlobId;

/// Longest payload inside a message, in bytes; longer ones are blobs.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Bytes, inline or as a blob.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Payload {
    /// The bytes themselves, at most [`INLINE_BYTES_MAX`].
    Inline(Arc<[u8]>),
    /// Bytes in the blob store.
    Blob {
        /// Their id.
        id: BlobId,
        /// Their length, in bytes.
        bytes: u64,
    },
}

impl Payload {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::Inline(Arc::from([]))
    }

    /// These bytes, which must be at most [`INLINE_BYTES_MAX`] long.
    #[must_use]
    pub fn inline(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= INLINE_BYTES_MAX, "{} bytes are too many for an inline payload", bytes.len());
        Self::Inline(Arc::from(bytes))
    }

    /// Whether its inline bytes are within the bound. Must be checked for a peer's payload.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.inline_len() <= INLINE_BYTES_MAX as u64
    }

    /// Number of inline bytes; 0 for a blob.
    #[must_use]
    pub fn inline_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob { .. } => 0,
        }
    }

    /// Number of bytes.
    #[must_use]
    pub fn bytes_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob { bytes, .. } => *bytes,
        }
    }

    /// The id of the bytes.
    #[must_use]
    pub fn id(&self) -> BlobId {
        match self {
            Self::Inline(bytes) => BlobId::of(bytes),
            Self::Blob { id, .. } => *id,
        }
    }

    /// The blob to fetch, if the bytes are not inline.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        match self {
            Self::Inline(_) => None,
            Self::Blob { id, .. } => Some(*id),
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Blob { id, bytes } => write!(f, "{id:?} ({bytes} bytes)"),
        }
    }
}
