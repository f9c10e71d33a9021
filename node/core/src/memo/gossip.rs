//! Known results on their way between nodes: what a node tells the others, and what it accepts from them. The table
//! itself ([`Memo`](super::Memo)) knows no peers; the engine calls both functions.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Seen, TOLD_MAX, is_worth_it};
use crate::codec::encoded_len;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::PeerId;
use crate::membership::Membership;
use crate::message::{GOSSIP_BYTES_MAX, Gossip, Known};
use crate::policy::Owners;
use crate::task::Report;

/// Bytes gossiped within one second.
const TOLD_BYTES_MAX: usize = 8 * 1024;
/// Inline bytes of one part of a gossiped result; longer parts are named, and fetched by the nodes that need them.
const TOLD_INLINE_MAX: usize = 1024;
/// Results accepted from one gossip.
const HEARD_MAX: usize = 64;
/// Bytes of a gossip besides its results.
const ENVELOPE: usize = 16;

/// Accepts results that another node claims to have computed, if it was connected once and is not refused.
pub(crate) fn on_known(
    ctx: &mut Ctx<'_>,
    members: &Membership,
    owners: &Owners,
    origin: PeerId,
    all: Vec<Known>,
) {
    if !members.has_met(origin) || !owners.takes(origin) || ctx.memo.is_liar(origin) {
        ctx.counters.dropped += 1;
        return;
    }
    for (place, known) in all.into_iter().enumerate() {
        let Known { task, report, worker } = known;
        if place >= HEARD_MAX || worker != origin || !report.is_sound() || !is_worth_it(&report) {
            ctx.counters.dropped += 1;
            continue;
        }
        ctx.memo.remember(ctx.counters, task, &report, (worker, Seen::Told));
    }
}

/// Gossips the results that were computed while the input was handled, within the budget.
pub(crate) fn flush(ctx: &mut Ctx<'_>, anybody: bool) {
    if ctx.memo.fresh.is_empty() {
        return;
    }
    let fresh = core::mem::take(&mut ctx.memo.fresh);
    if !anybody {
        return;
    }
    if ctx.now.since_us(ctx.memo.told_since) >= 1_000_000 {
        (ctx.memo.told_since, ctx.memo.told, ctx.memo.told_bytes) = (ctx.now, 0, 0);
    }
    let (mut batch, mut batch_bytes) = (Vec::new(), ENVELOPE);
    for mut known in fresh {
        let Report { output, errors, files, .. } = Arc::make_mut(&mut known.report);
        for payload in [output, errors, files] {
            ctx.by_name(payload, TOLD_INLINE_MAX);
        }
        let bytes = encoded_len(&known);
        let memo = &mut *ctx.memo;
        if memo.told >= TOLD_MAX
            || memo.told_bytes + bytes > TOLD_BYTES_MAX
            || bytes + ENVELOPE > GOSSIP_BYTES_MAX
        {
            ctx.counters.untold += 1;
            continue;
        }
        memo.told += 1;
        memo.told_bytes += bytes;
        ctx.counters.told += 1;
        if batch_bytes + bytes > GOSSIP_BYTES_MAX {
            ctx.emit(Effect::Publish(Gossip::Known(core::mem::take(&mut batch))));
            batch_bytes = ENVELOPE;
        }
        batch_bytes += bytes;
        batch.push(known);
    }
    if !batch.is_empty() {
        ctx.emit(Effect::Publish(Gossip::Known(batch)));
    }
}
