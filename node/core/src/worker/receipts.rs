//! Outcomes that wait to be signed: many under one signature. Pure bookkeeping; the driver signs, the outbox sends.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{LeaseId, PeerId};
use crate::receipt::{BATCH_MAX, Proof, tree};
use crate::time::Time;

/// Batches that wait for a signature; beyond it outcomes go without. A driver answers at once, so more say that it
/// does not.
const BATCHES_MAX: usize = 64;

/// One outcome to sign: its owner, its lease, and its leaf.
pub(super) type Unsigned = (PeerId, LeaseId, [u8; 32]);

/// Batches that wait for a signature.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: BTreeMap<u64, Batch>,
    next: u64,
}

#[derive(Debug)]
struct Batch {
    since: Time,
    members: Vec<(PeerId, LeaseId)>,
    paths: Vec<Vec<[u8; 32]>>,
}

impl Batches {
    /// Requests signatures. Returns the outcomes beyond the bound, which go without one.
    pub(super) fn open(&mut self, ctx: &mut Ctx<'_>, outcomes: &[Unsigned]) -> Vec<(PeerId, LeaseId)> {
        let mut unsigned = Vec::new();
        for part in outcomes.chunks(BATCH_MAX) {
            let members: Vec<_> = part.iter().map(|(owner, lease, _)| (*owner, *lease)).collect();
            if self.open.len() >= BATCHES_MAX {
                unsigned.extend(members);
                continue;
            }
            let leaves: Vec<[u8; 32]> = part.iter().map(|(_, _, leaf)| *leaf).collect();
            let (root, paths) = tree(&leaves);
            let batch = self.next;
            self.next += 1;
            self.open.insert(batch, Batch { since: ctx.now, members, paths });
            ctx.emit(Effect::Sign { batch, root });
        }
        unsigned
    }

    /// A batch was signed. Returns each outcome with its proof; none for a batch that was given up.
    pub(super) fn close(&mut self, batch: u64, signature: [u8; 64]) -> Vec<(PeerId, LeaseId, Proof)> {
        let Some(Batch { members, paths, .. }) = self.open.remove(&batch) else { return Vec::new() };
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let all = (0u32..).zip(members).zip(paths);
        all.map(|((index, (owner, lease)), path)| (owner, lease, Proof { index, count, path, signature }))
            .collect()
    }

    /// Gives up what was not signed in time.
    pub(super) fn expire(&mut self, now: Time, wait_ms: u64) {
        if self.open.is_empty() {
            return;
        }
        self.open.retain(|_, batch| batch.since.plus_ms(wait_ms) > now);
    }
}
