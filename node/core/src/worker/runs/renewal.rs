//! Renewals: the leases that a worker still holds, sent to each owner as ranges.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::RunQueue;
use super::run::Stage;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{BATCH_MAX, GOSSIP_RANGES_MAX, Gossip, LeaseRange, Message, Progress};

impl RunQueue {
    /// Renews the leases of one owner, or of every owner.
    pub(in crate::worker) fn renew(&self, ctx: &mut Ctx<'_>, members: &Membership, only: Option<PeerId>) {
        let reaches = |owner: PeerId| owner == ctx.me || members.is_reachable(owner);
        let mut frames: BTreeMap<PeerId, Vec<LeaseRange>> = BTreeMap::new();
        let wanted = |owner: &PeerId| only.is_none_or(|only| only == *owner);
        for ((owner, lease), id) in self.leases.iter().filter(|((owner, _), _)| wanted(owner)) {
            let run = self.run(*id);
            // Gossip has room for few ranges: there they are not split by progress.
            let progress = if reaches(*owner) { run.progress() } else { Progress::default() };
            let ranges = frames.entry(*owner).or_default();
            extend(ranges, *lease, run.stage == Stage::Paused, progress);
        }
        for (owner, mut ranges) in frames {
            if owner != ctx.me && !members.is_reachable(owner) {
                ranges.truncate(GOSSIP_RANGES_MAX);
                ctx.emit(Effect::Publish(Gossip::Renew { owner, leases: ranges }));
            } else {
                for part in ranges.chunks(BATCH_MAX) {
                    ctx.send(owner, Message::Renew(part.to_vec()));
                }
            }
        }
    }
}

/// Adds a lease to the last range if it continues it; otherwise begins a range.
fn extend(ranges: &mut Vec<LeaseRange>, lease: LeaseId, paused: bool, progress: Progress) {
    match ranges.last_mut() {
        Some(range)
            if range.continues_with(lease) && range.paused == paused && range.progress == progress =>
        {
            range.count += 1;
        }
        _ => ranges.push(LeaseRange { first: lease, count: 1, paused, progress }),
    }
}
