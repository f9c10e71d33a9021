//! Inputs and outputs of tasks: bytes in a message, or the name of a blob. Plain data.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bincode::de::{Decode, Decoder};
use bincode::error::{AllowedEnumVariants, DecodeError};

use crate::id::BlobId;

/// Longest payload inside a message, in bytes; longer ones are blobs.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Bytes, inline or as a blob.
#[derive(Clone, PartialEq, Eq, bincode::Encode)]
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
        Self::Inline(Arc::default())
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

/// As derived, but for what has no bytes, which most outcomes have twice: that takes no memory.
impl<Context> Decode<Context> for Payload {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        match u32::decode(decoder)? {
            0 => {
                let bytes = Vec::<u8>::decode(decoder)?;
                Ok(if bytes.is_empty() { Self::empty() } else { Self::Inline(bytes.into()) })
            }
            1 => Ok(Self::Blob { id: Decode::decode(decoder)?, bytes: Decode::decode(decoder)? }),
            found => Err(DecodeError::UnexpectedVariant {
                found,
                type_name: "Payload",
                allowed: &AllowedEnumVariants::Range { min: 0, max: 1 },
            }),
        }
    }
}

bincode::impl_borrow_decode!(Payload);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_what_was_encoded_and_nothing_else_is_one() {
        let config = bincode::config::standard();
        let blob = Payload::Blob { id: BlobId::of(b"bytes"), bytes: 5 };
        for payload in [Payload::empty(), Payload::inline(b"bytes"), blob] {
            let bytes = bincode::encode_to_vec(&payload, config).unwrap();
            let (back, used): (Payload, usize) = bincode::decode_from_slice(&bytes, config).unwrap();
            assert_eq!((&back, used), (&payload, bytes.len()));
            let cut = bytes.get(..bytes.len() - 1).unwrap();
            assert!(bincode::decode_from_slice::<Payload, _>(cut, config).is_err());
        }
        assert!(bincode::decode_from_slice::<Payload, _>(&[2, 0], config).is_err());
    }

    #[test]
    fn all_payloads_without_bytes_are_one() {
        let bytes = bincode::encode_to_vec(Payload::empty(), bincode::config::standard()).unwrap();
        let (back, _) = bincode::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        let (Payload::Inline(back), Payload::Inline(empty)) = (back, Payload::empty()) else { panic!() };
        // std need not share them, and has done so since Rust 1.80.
        assert!(Arc::ptr_eq(&back, &empty));
    }
}
