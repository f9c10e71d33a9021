//! The end of a task in the log of its job. Plain data; `record.rs` has the records, `packed.rs` the bytes.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::id::PeerId;
use crate::outcome::Verified;
use crate::receipt::Proof;
use crate::task::{Recalled, Report};

/// What one outcome counts besides the bytes that it carries itself.
pub(super) const KEPT_BYTES: usize = 512;

/// A task that ended, with all that [`Event::TaskEnded`](crate::Event::TaskEnded) says of it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Kept {
    /// The task's place in the job.
    pub index: u32,
    /// Its outcome and output.
    pub report: Arc<Report>,
    /// The node that ran it; `None` if no node did.
    pub worker: Option<PeerId>,
    /// Number of attempts in the life in which it ended.
    pub attempts: u32,
    /// The source of the result, if it was known and nothing ran.
    pub memo: Option<Recalled>,
    /// The worker's signature, if the job asked for receipts and the task ran.
    pub proof: Option<Box<Proof>>,
    /// Nodes that agreed and differed, if several computed it.
    pub verified: Option<Verified>,
}

impl Kept {
    /// What it counts in a record, in bytes; at least what it takes.
    pub(crate) fn cost(&self) -> usize {
        let carried = usize::try_from(self.report.carried_len()).unwrap_or(usize::MAX);
        let proof = self.proof.as_ref().map_or(0, |_| KEPT_BYTES);
        let nodes = self.verified.as_ref().map_or(0, |all| all.agreed.len() + all.differed.len());
        carried.saturating_add(KEPT_BYTES + proof + nodes.saturating_mul(32))
    }
}
