//! What a peer announced, held against a job: whether the owner need ask it at all.

use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::membership::Peer;
use crate::message::{Capacity, Reason};
use crate::policy::fit;
use crate::submission::Submission;

/// Why a peer need not be called, by the capacity that it announced less than three intervals ago; `None` if it
/// should.
pub(super) fn unfit(ctx: &Ctx<'_>, id: PeerId, peer: &Peer, what: &Submission) -> Option<Reason> {
    let (now, mesh) = (ctx.now, ctx.mesh);
    let told_at = peer.told_at?;
    if now.since_us(told_at) > 3000 * mesh.capacity_ms {
        return None;
    }
    let told = &peer.capacity;
    if told.draining {
        return Some(Reason::Draining);
    }
    let Capacity { labels, memory_bytes, slots, class_min, owners, .. } = told;
    let (memory_bytes, slots, class_min) = (*memory_bytes, *slots, *class_min);
    let node = fit::Node { id, labels, memory_bytes, slots, class_min, owners };
    let Submission { needs, program, class, .. } = what;
    fit::unfit(node, fit::Task { owner: ctx.me, needs, program, class: *class })
}
