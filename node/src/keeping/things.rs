//! How what is known of jobs is written as things on shelves of the journal. Pure.

use weft_core::custody::Position;
use weft_core::{JobId, Left};

/// A time in milliseconds since 1970, in bytes.
const TIME_BYTES: usize = 8;
/// A promise, in bytes.
const PROMISE_BYTES: usize = 4;
/// A job's name on a shelf, in bytes.
const KEY_BYTES: usize = 8;

/// When a job was read or forgotten, by the record of it.
pub(super) fn at_ms_of(bytes: &[u8]) -> Option<u64> {
    <[u8; TIME_BYTES]>::try_from(bytes).ok().map(u64::from_le_bytes)
}

/// The epoch that was promised.
pub(super) fn promised(bytes: &[u8]) -> Option<u32> {
    <[u8; PROMISE_BYTES]>::try_from(bytes).ok().map(u32::from_le_bytes)
}

/// What is known of a job that this node left, as it is on its shelf.
pub(super) fn encode_left(left: Left) -> Vec<u8> {
    let Left { at, promised } = left;
    [at.epoch, at.seq, promised].iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The same from its bytes.
pub(super) fn left_of(bytes: &[u8]) -> Option<Left> {
    let number = |chunk: &[u8]| chunk.try_into().ok().map(u32::from_le_bytes);
    let numbers: Vec<u32> = bytes.chunks(size_of::<u32>()).map(number).collect::<Option<_>>()?;
    let [epoch, seq, promised] = numbers[..] else { return None };
    Some(Left { at: Position { epoch, seq }, promised })
}

/// A job's name on a shelf.
pub(super) fn key_of(job: JobId) -> Vec<u8> {
    job.0.to_le_bytes().to_vec()
}

/// The job of such a name.
pub(super) fn job_of(key: &[u8]) -> Option<JobId> {
    <[u8; KEY_BYTES]>::try_from(key).ok().map(|bytes| JobId(u64::from_le_bytes(bytes)))
}
