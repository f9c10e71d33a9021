//! Receipts: what a worker signs. One statement per task, many statements under one signature. Pure: it neither signs
//! nor checks signatures, because the driver has the key; it only computes the bytes to sign.
//!
//! The tree is that of RFC 6962 (certificate transparency) with BLAKE3: leaves and nodes are hashed in separate
//! domains, so that no node can be presented as a leaf.

use alloc::vec::Vec;

use bincode::de::{Decode, Decoder};
use bincode::error::DecodeError;

use crate::claim::claim_shared;
use crate::id::{BlobId, PeerId, TaskId};
use crate::task::{Outcome, Profile, Program, Report, Usage};

/// Most statements under one signature: as many as one frame holds.
pub const BATCH_MAX: usize = 256;
/// Longest path from a leaf to the root, in hashes.
pub const PATH_MAX: usize = 8;

/// A worker's statement about one attempt.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Receipt {
    /// The task.
    pub task: TaskId,
    /// The module that ran.
    pub module: BlobId,
    /// Its profile: what it saw of the real world.
    pub profile: Profile,
    /// How it ended.
    pub outcome: Outcome,
    /// Hash of its output.
    pub output: BlobId,
    /// Hash of its standard error.
    pub errors: BlobId,
    /// Hash of the archive of its files in `/out`.
    pub files: BlobId,
    /// The resources that it used.
    pub usage: Usage,
    /// The worker that states it.
    pub worker: PeerId,
}

impl Receipt {
    /// The statement for a report.
    #[must_use]
    pub fn new(task: TaskId, program: &Program, report: &Report, worker: PeerId) -> Self {
        Self {
            task,
            module: program.module,
            profile: program.profile,
            outcome: report.outcome.clone(),
            output: report.output.id(),
            errors: report.errors.id(),
            files: report.files.id(),
            usage: report.usage,
            worker,
        }
    }

    /// Its leaf hash.
    #[must_use]
    pub fn leaf(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("weft 2026 receipt leaf v1");
        let config = bincode::config::standard();
        hasher.update(&bincode::encode_to_vec(self, config).expect("plain data always encodes"));
        *hasher.finalize().as_bytes()
    }
}

/// The link from one statement to its worker's signature.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode)]
pub struct Proof {
    /// The statement's place in its batch.
    pub index: u32,
    /// Statements in the batch, at most [`BATCH_MAX`].
    pub count: u32,
    /// The siblings from the leaf up, at most [`PATH_MAX`].
    pub path: Vec<[u8; 32]>,
    /// The worker's ed25519 signature over [`signed_bytes`] of the root.
    pub signature: [u8; 64],
}

impl<C> Decode<C> for Proof {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        claim_shared::<Self, D>(decoder)?;
        Ok(Self {
            index: Decode::decode(decoder)?,
            count: Decode::decode(decoder)?,
            path: Decode::decode(decoder)?,
            signature: Decode::decode(decoder)?,
        })
    }
}

bincode::impl_borrow_decode!(Proof);

impl Proof {
    /// The root that the worker must have signed, if this proof belongs to that leaf; `None` if the proof is invalid.
    #[must_use]
    pub fn root(&self, leaf: [u8; 32]) -> Option<[u8; 32]> {
        let most = u32::try_from(BATCH_MAX).unwrap_or(u32::MAX);
        if self.index >= self.count || self.count > most || self.path.len() > PATH_MAX {
            return None;
        }
        let (mut index, mut last, mut hash) = (self.index, self.count - 1, leaf);
        let mut path = self.path.iter();
        while last > 0 {
            // A last node without a sibling moves up unchanged.
            if index % 2 == 1 {
                hash = node(*path.next()?, hash);
            } else if index < last {
                hash = node(hash, *path.next()?);
            }
            (index, last) = (index / 2, last / 2);
        }
        path.next().is_none().then_some(hash)
    }
}

/// The root over these leaves, and each leaf's path to it.
#[must_use]
pub fn tree(leaves: &[[u8; 32]]) -> ([u8; 32], Vec<Vec<[u8; 32]>>) {
    let mut paths: Vec<Vec<[u8; 32]>> = alloc::vec![Vec::new(); leaves.len()];
    let mut level: Vec<[u8; 32]> = leaves.to_vec();
    let mut height = 0u32;
    while level.len() > 1 {
        for (leaf, path) in paths.iter_mut().enumerate() {
            path.extend(level.get((leaf >> height) ^ 1));
        }
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node(*left, *right),
                [only, ..] => *only,
                [] => [0; 32],
            })
            .collect();
        height += 1;
    }
    (level.first().copied().unwrap_or([0; 32]), paths)
}

/// The bytes that are signed for a root, with a prefix of their own: a signature made for another purpose is invalid.
#[must_use]
pub fn signed_bytes(root: [u8; 32]) -> Vec<u8> {
    [b"weft 2026 receipts v1\0".as_slice(), &root].concat()
}

fn node(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("weft 2026 receipt node v1");
    hasher.update(&left);
    hasher.update(&right);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_batch_proves_its_root_and_no_other_leaf_does() {
        for count in 1u32..=40 {
            let leaves: Vec<[u8; 32]> =
                (0..count).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
            let (root, paths) = tree(&leaves);
            for ((index, leaf), path) in (0u32..).zip(&leaves).zip(paths) {
                let proof = Proof { index, count, path, signature: [0; 64] };
                assert_eq!(proof.root(*leaf), Some(root), "{index} of {count}");
                assert_ne!(proof.root([7; 32]), Some(root));
                let longer =
                    Proof { path: [proof.path.clone(), alloc::vec![[0; 32]]].concat(), ..proof.clone() };
                assert_eq!(longer.root(*leaf), None);
                let moved = Proof { index: index + 1, ..proof };
                assert_ne!(moved.root(*leaf), Some(root));
            }
        }
    }

    #[test]
    fn a_proof_out_of_bounds_is_none() {
        let none = Proof { index: 0, count: 0, path: Vec::new(), signature: [0; 64] };
        assert_eq!(none.root([0; 32]), None);
        assert_eq!(Proof { count: 300, ..none }.root([0; 32]), None);
    }
}
