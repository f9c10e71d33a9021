//! Encoding and decoding of messages: the only module that calls bincode on bytes of a peer. Every decode has a memory
//! limit, because an unlimited one aborts the process on a forged length.

use alloc::vec::Vec;
use core::fmt;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;

use crate::message::{GOSSIP_BYTES_MAX, Gossip, MESSAGE_BYTES_MAX, Message};

/// Memory that decoding a message or a gossip may claim, in bytes.
const MESSAGE_CLAIM_MAX: usize = 4 * MESSAGE_BYTES_MAX;
const GOSSIP_CLAIM_MAX: usize = 4 * GOSSIP_BYTES_MAX;

/// Why bytes of a peer are not a message. They changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The encoding is longer than its kind allows.
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The bytes don't decode, or claim more memory than they may.
    Malformed,
    /// Bytes are left after the message.
    Trailing {
        /// How many are left.
        bytes: usize,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => write!(f, "{bytes} bytes, the limit is {limit}"),
            Self::Malformed => f.write_str("not a message of this protocol"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes too many after the message"),
        }
    }
}

impl core::error::Error for CodecError {}

/// A message as bytes.
#[must_use]
pub fn encode_message(message: &Message) -> Vec<u8> {
    encode(message)
}

/// A message from bytes.
///
/// # Errors
/// When the bytes are too long, malformed, or have a tail.
pub fn decode_message(bytes: &[u8]) -> Result<Message, CodecError> {
    decode::<Message, MESSAGE_CLAIM_MAX>(bytes, MESSAGE_BYTES_MAX)
}

/// A gossip as bytes, if it is short enough.
///
/// # Errors
/// When the encoding is longer than [`GOSSIP_BYTES_MAX`].
pub fn encode_gossip(gossip: &Gossip) -> Result<Vec<u8>, CodecError> {
    let bytes = encode(gossip);
    if bytes.len() > GOSSIP_BYTES_MAX {
        return Err(CodecError::TooLong { bytes: bytes.len(), limit: GOSSIP_BYTES_MAX });
    }
    Ok(bytes)
}

/// A gossip from bytes.
///
/// # Errors
/// When the bytes are too long, malformed, or have a tail.
pub fn decode_gossip(bytes: &[u8]) -> Result<Gossip, CodecError> {
    decode::<Gossip, GOSSIP_CLAIM_MAX>(bytes, GOSSIP_BYTES_MAX)
}

/// Encoded length of a part of a message, in bytes.
pub(crate) fn encoded_len<T: bincode::Encode>(part: &T) -> usize {
    encode(part).len()
}

/// What a node keeps on a disk, behind the version of its form.
pub(crate) fn encode_versioned<T: bincode::Encode>(version: u8, kept: &T) -> Vec<u8> {
    encode_behind(alloc::vec![version], kept)
}

/// The same back; none if the bytes are of another version, malformed, claim more memory than they may, or have a tail.
pub(crate) fn decode_versioned<T: bincode::Decode<()>, const CLAIM: usize>(
    version: u8,
    bytes: &[u8],
) -> Option<T> {
    let (_, rest) = bytes.split_first().filter(|(found, _)| **found == version)?;
    decode::<T, CLAIM>(rest, usize::MAX).ok()
}

fn encode<T: bincode::Encode>(word: &T) -> Vec<u8> {
    encode_behind(Vec::new(), word)
}

/// Appends to what is there. bincode's own way to a vector encodes twice, first for the length.
fn encode_behind<T: bincode::Encode>(bytes: Vec<u8>, word: &T) -> Vec<u8> {
    let mut out = Bytes(bytes);
    bincode::encode_into_writer(word, &mut out, bincode::config::standard())
        .expect("plain data always encodes");
    out.0
}

struct Bytes(Vec<u8>);

impl Writer for Bytes {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn decode<T: bincode::Decode<()>, const CLAIM: usize>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { bytes: bytes.len(), limit });
    }
    let config: Configuration<LittleEndian, Varint, Limit<CLAIM>> =
        bincode::config::standard().with_limit::<CLAIM>();
    let (word, used) = bincode::decode_from_slice(bytes, config).ok().ok_or(CodecError::Malformed)?;
    match bytes.len() - used {
        0 => Ok(word),
        left => Err(CodecError::Trailing { bytes: left }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use alloc::vec;

    #[test]
    fn a_message_survives_the_wire() {
        let message = Message::Withdraw(CallId(7));
        assert_eq!(decode_message(&encode_message(&message)), Ok(message));
    }

    #[test]
    fn a_forged_length_is_refused_not_allocated() {
        // Variant 9 is `Ack`; its vector claims 2^62 entries.
        let forged = vec![9, 253, 0, 0, 0, 0, 0, 0, 0, 64];
        assert_eq!(decode_message(&forged), Err(CodecError::Malformed));
    }

    #[test]
    fn a_tail_is_refused() {
        let mut bytes = encode_message(&Message::Withdraw(CallId(7)));
        bytes.push(0);
        assert_eq!(decode_message(&bytes), Err(CodecError::Trailing { bytes: 1 }));
    }

    #[test]
    fn too_long_a_frame_is_refused_unread() {
        let bytes = vec![0; MESSAGE_BYTES_MAX + 1];
        assert_eq!(
            decode_message(&bytes),
            Err(CodecError::TooLong { bytes: MESSAGE_BYTES_MAX + 1, limit: MESSAGE_BYTES_MAX })
        );
    }
}
