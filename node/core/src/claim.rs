//! Memory that a value is decoded into behind a pointer, counted for the limit of a decode. Plain arithmetic; `codec.rs` sets the
//! limits.

use bincode::de::Decoder;
use bincode::error::DecodeError;

/// Counts a value that is shared or boxed: the decoder counts what a list takes, and nothing behind a pointer.
pub(crate) fn claim_shared<T, D: Decoder>(decoder: &mut D) -> Result<(), DecodeError> {
    decoder.claim_bytes_read(size_of::<T>() + size_of::<[usize; 2]>())
}
