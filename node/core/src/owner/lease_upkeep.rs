//! What prolongs and shortens leases: renewals by their workers, closed connections, and this node's distrust of its
//! own view (self-fencing: when most peers go silent at once, or this node slept, it does not expire their leases for a
//! while, because they may work on and be heard again soon).

use alloc::vec::Vec;

use super::books::{Books, OwnerCtx};
use super::fetching::hold_max_us;
use super::lease_table::LeaseTable;
use super::record::{Records, known, leased};
use crate::ctx::Ctx;
use crate::id::{LeaseId, PeerId};
use crate::message::{BATCH_MAX, LeaseRange};
use crate::self_fencing::SelfFencing;
use crate::time::Time;

/// A worker says which leases it still has. What it really has bounds the work, never what it says. The leases that it names and
/// that are not in force.
pub(super) fn on_renew(
    ctx: &mut Ctx<'_>,
    books: &mut Books,
    records: &mut Records,
    renewal: Renewal<'_>,
) -> Vec<LeaseId> {
    let Renewal { from, ranges } = renewal;
    let leases = &mut books.leases;
    let mut stale: Vec<LeaseId> = Vec::new();
    let mut reached = None;
    for range in ctx.within_frame(ranges) {
        let Some(last) = last_of(range) else { continue };
        // A worker tells its leases in order: each is looked at once, however often it is named.
        if reached.is_some_and(|reached| range.first <= reached) {
            ctx.counters.dropped += 1;
            continue;
        }
        reached = Some(last);
        let held = leases.between(from, range.first, last);
        let held: Vec<LeaseId> = held.filter(|lease| lease.attempt == range.first.attempt).collect();
        if held.len() < usize::try_from(range.count).unwrap_or(usize::MAX) {
            let left = BATCH_MAX.saturating_sub(stale.len());
            let named = (range.first.index..=last.index).take(left);
            let named = named.map(|index| LeaseId { index, ..range.first });
            stale.extend(named.filter(|lease| !leases.holds(from, *lease)));
        }
        for lease in held {
            renew(ctx, leases, records, Renewed { lease, range });
        }
    }
    // What a worker is asked about it is told once it has answered.
    let is_asked = |job| records.get(&job).is_some_and(|record| record.holders.awaits(from));
    stale.retain(|lease| !is_asked(lease.job));
    stale
}

/// What a worker says about its leases.
#[derive(Clone, Copy)]
pub(super) struct Renewal<'a> {
    pub(super) from: PeerId,
    pub(super) ranges: &'a [LeaseRange],
}

/// The last lease of a range, unless the range has none.
fn last_of(range: &LeaseRange) -> Option<LeaseId> {
    let more = range.count.checked_sub(1)?;
    Some(LeaseId { index: range.first.index.saturating_add(more), ..range.first })
}

/// One lease of a range that its worker still has.
#[derive(Clone, Copy)]
struct Renewed<'a> {
    lease: LeaseId,
    range: &'a LeaseRange,
}

/// A worker still has a lease: it runs on, unless the worker has had the task for as long as it may.
fn renew(ctx: &Ctx<'_>, leases: &mut LeaseTable, records: &mut Records, renewed: Renewed<'_>) {
    let Renewed { lease, range } = renewed;
    let job = &mut known(records, lease.job).job;
    let hold_max_us = hold_max_us(job);
    let task = job.live_task_mut(lease.index);
    let attempt = task.attempt_mut(lease).expect("a lease belongs to a live attempt");
    attempt.on_renewed(ctx.now, range);
    let stuck = attempt.held_us(ctx.now) > hold_max_us;
    if !stuck && attempt.is_running() {
        let expires_at = ctx.now.plus_ms(ctx.mesh.lease_ms);
        leases.extend(&mut attempt.lease, expires_at);
    }
}

/// A peer's connection was closed, which is a hint that its leases are void: they end then, unless it comes back and
/// renews them.
pub(super) fn shorten(books: &mut Books, records: &mut Records, peer: PeerId, soon: Time) {
    let all: Vec<LeaseId> = books.leases.of(peer).collect();
    for lease in all {
        let attempt = leased(records, lease);
        let later = attempt.lease.ends_at().is_some_and(|ends_at| ends_at > soon);
        if attempt.is_running() && later {
            books.leases.extend(&mut attempt.lease, soon);
        }
    }
}

/// A lease of a job that waits for a later life is over: nothing is done about it for as long as a worker keeps an outcome.
pub(super) fn put_off(cx: &mut OwnerCtx<'_, '_>, records: &mut Records, lease: LeaseId) {
    let later = cx.ctx.now.plus_ms(cx.ctx.mesh.keep_ms);
    cx.books.leases.extend(&mut leased(records, lease).lease, later);
}

/// A lease's time is over. Whether it is held back all the same, because this node distrusts its own view; it ends
/// later then.
pub(super) fn fence(
    cx: &mut OwnerCtx<'_, '_>,
    fencing: &SelfFencing,
    records: &mut Records,
    lease: LeaseId,
) -> bool {
    let OwnerCtx { ctx, members, books } = cx;
    let attempt = leased(records, lease);
    let connected = attempt.worker() == ctx.me || members.is_reachable(attempt.worker());
    let until = fencing.holds(ctx.now, connected);
    if let Some(until) = until {
        books.leases.extend(&mut attempt.lease, until);
        ctx.counters.fenced += 1;
    }
    until.is_some()
}
