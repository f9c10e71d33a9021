//! What a worker signed about one task, in JSON and in frames the same. The readable part repeats what the statement
//! says; only the statement is signed, so compare them before you trust a receipt: `weft receipt check` does.

use serde::{Deserialize, Serialize};

use super::{Profile, Usage};

/// What a worker states about one attempt, and its signature. Hashes, ids and bytes are lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The task's name: a hash of the program, its limits and its input.
    pub task: String,
    /// The module that ran.
    pub module: String,
    /// What the task saw of the real world.
    pub profile: Profile,
    /// How it ended, in words.
    pub outcome: String,
    /// BLAKE3 hash of its output.
    pub output: String,
    /// BLAKE3 hash of its standard error.
    pub errors: String,
    /// BLAKE3 hash of the archive of what it left in `/out`.
    pub files: String,
    /// What it used.
    pub usage: Usage,
    /// Who states it: the node's id, which is its ed25519 public key.
    pub worker: String,
    /// The statement as it was hashed, all of the above in the encoding of weft's receipts.
    pub statement: String,
    /// What ties the statement to the worker's signature.
    pub proof: Proof,
}

/// The path from a statement to the root that its worker signed: a tree as in RFC 6962, with BLAKE3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The statement's place in its batch.
    pub index: u32,
    /// How many statements the batch has.
    pub count: u32,
    /// The sibling hashes from the leaf up.
    pub path: Vec<String>,
    /// The worker's ed25519 signature over the root.
    pub signature: String,
}
