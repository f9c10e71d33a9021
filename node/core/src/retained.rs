//! An outcome that its owner has not acknowledged, as a worker's disk has it, and its bytes. Plain data.

use alloc::vec::Vec;

use crate::codec::{decode_versioned, encode_versioned};
use crate::id::{LeaseId, PeerId};
use crate::message::Delivery;
use crate::time::Time;

/// An outcome of a kept job's task as the disk has it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Retained {
    /// The node that it is for.
    pub owner: PeerId,
    /// The nodes that may lead the job, by their seats; none if it is not at level `mesh`.
    pub keepers: Vec<PeerId>,
    /// The outcome.
    pub delivery: Delivery,
    /// The leaf that is to be signed, if it is to be and was not.
    pub leaf: Option<[u8; 32]>,
    /// When the attempt ended.
    pub since: Time,
}

/// Which outcome, of those that a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct RetainedKey {
    /// The node that it was for.
    pub owner: PeerId,
    /// Its attempt.
    pub lease: LeaseId,
}

/// The first byte of each.
const VERSION: u8 = 1;
/// Memory that decoding one may claim, in bytes.
const CLAIM_MAX: usize = 1 << 20;

impl Retained {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> RetainedKey {
        RetainedKey { owner: self.owner, lease: self.delivery.lease }
    }

    /// The outcome as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_versioned(VERSION, self)
    }

    /// The outcome of bytes from a disk; none if they are those of another version, malformed, or have a tail.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode_versioned::<_, CLAIM_MAX>(VERSION, bytes)
    }
}

impl RetainedKey {
    /// The key as bytes, under which a disk finds the outcome.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let LeaseId { job, epoch, index, attempt } = self.lease;
        let mut bytes = self.owner.0.to_vec();
        bytes.extend(job.0.to_be_bytes());
        [epoch, index, attempt].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        bytes
    }
}
