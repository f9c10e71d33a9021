//! A known result as a node's disk has it, and its bytes. Plain data.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{decode_versioned, encode_versioned};
use crate::id::{PeerId, TaskId};
use crate::task::Report;

/// A known result as the disk has it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Remembered {
    /// The task.
    pub task: TaskId,
    /// Its result.
    pub report: Arc<Report>,
    /// The node that computed it.
    pub worker: PeerId,
}

/// The first byte of each.
const VERSION: u8 = 1;
/// Memory that decoding one may claim, in bytes.
const CLAIM_MAX: usize = 1 << 20;

impl Remembered {
    /// The result as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_versioned(VERSION, self)
    }

    /// The result of bytes from a disk; none if they are those of another version, malformed, or have a tail.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode_versioned::<_, CLAIM_MAX>(VERSION, bytes)
    }
}
