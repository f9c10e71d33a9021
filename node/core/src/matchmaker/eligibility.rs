//! Which workers a matchmaker may match with which request, by what is known of them. Pure functions; the matchmaker asks
//! them, and the worker decides finally.

use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::membership::Membership;
use crate::message::{Capacity, Needs};
use crate::referral::BidRequest;

/// Whether a worker may be matched with an owner: neither excludes the other, by what is known.
pub(super) fn suits(
    ctx: &Ctx<'_>,
    members: &Membership,
    worker: PeerId,
    (owner, request): (PeerId, &BidRequest),
) -> bool {
    let BidRequest { needs, memory_bytes, without, class, .. } = request;
    let takes = |told: &Capacity| *class >= told.class_min && (owner == worker || told.owners.takes(owner));
    !without.contains(&worker)
        && fits(ctx, members, worker, needs, *memory_bytes)
        && members.told(worker).is_none_or(takes)
}

/// Whether a worker may be able to run a task, by the capacity that it announced; the worker decides finally. A worker
/// that announced nothing fits tasks without labels.
pub(super) fn fits(
    ctx: &Ctx<'_>,
    members: &Membership,
    worker: PeerId,
    needs: &Needs,
    memory_bytes: u64,
) -> bool {
    if worker == ctx.me {
        return needs.labels.is_empty();
    }
    let told = members.told(worker);
    told.map_or(needs.labels.is_empty(), |told| {
        let labels = needs.labels.iter().all(|wanted| told.labels.contains(wanted));
        labels && memory_bytes <= told.memory_bytes && !told.draining
    })
}
