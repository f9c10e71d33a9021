//! Matchmaking: in a mesh that is too large to be called an owner requests workers of matchmakers, spread evenly,
//! claims those that are matched, and avoids matchmakers that are silent or mislead it. What waits for more than a
//! moment is also offered to a few known peers directly, so that no matchmaker is needed for a task to end, only for it
//! to start soon.
//!
//! **Simulated only:** meshes of cells run in the simulator today; see [`crate::cells`].
//!
//! Requests are laid out over the cells by systematic sampling, in proportion to their slots: hashed cells differ in
//! size by a tenth, and an even spread overloads the small ones at 90 % load. A matchmaker that is silent for 50 ms, or
//! most of whose matches come to nothing, is not asked for a while. What waits for a second is called directly at 16
//! peers at most.

use alloc::vec::Vec;

use super::announced::unfit;
use super::calling::{ask, learn_deadline};
use super::matchmakers::{Matchmaker, Matchmakers};
use super::open_call::{OpenBid, SLOTS_MAX};
use super::trust::barred;
use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::message::Message;
use crate::owner::books::OwnerCtx;
use crate::owner::record::Record;
use crate::policy::order;
use crate::referral::{BidRequest, CellMessage, Match};

/// Peers that one waiting call is offered to directly, each time it is repeated.
const DIRECT_MAX: usize = 16;

/// Brings what is requested of matchmakers in line with what waits.
pub(super) fn request(cx: &mut OwnerCtx<'_, '_>, matchmakers: &mut Matchmakers, record: &mut Record) {
    let wanted = record.wanted();
    let repeat = repeat_if_due(cx, record);
    matchmakers.on_silence(cx.ctx, &mut record.dispatch.open_call().requests);
    ask_at_home(cx, record);
    let excludes_more = core::mem::take(&mut record.dispatch.open_call().requests.excludes_more);
    if repeat {
        request_again(cx.ctx, record);
        call_some(cx, record);
    } else if excludes_more && !record.job.spec.needs.labels.is_empty() {
        // More than is wanted is requested, so no further request says who is of no use, and each would match it at once again.
        request_again(cx.ctx, record);
    }
    let requests = &record.dispatch.open_call().requests;
    let (requested, exhausted) = (requests.count(), requests.is_exhausted(cx.ctx.now));
    // What wants labels is requested everywhere, also of a node that serves a cell only now.
    let everywhere = repeat && !record.job.spec.needs.labels.is_empty();
    if (requested < wanted || everywhere) && !exhausted {
        spread(cx, matchmakers, record, wanted.saturating_sub(requested));
    } else if requested > wanted {
        request_less(cx.ctx, record, requested - wanted);
    }
    let open = record.dispatch.open_call();
    let silent = open.requests.all.iter().filter(|request| request.is_silent());
    open.requests.silence_at = silent.map(|request| request.since.plus_ms(cx.ctx.mesh.request_ms)).min();
    let due = open.due();
    cx.books.calls.remind(due);
}

/// When it is time to, all are to be asked again; whether it is.
fn repeat_if_due(cx: &OwnerCtx<'_, '_>, record: &mut Record) -> bool {
    let Record { job, dispatch, .. } = record;
    let mut open = dispatch.call.take().expect("the call was opened before");
    let repeat = open.repeat_at <= cx.ctx.now;
    if repeat {
        // The few that were called speak for all.
        if open.asked.iter().any(|peer| *peer != cx.ctx.me) || !cx.members.any_connected() {
            learn_deadline(job, dispatch, &open);
        }
        open.repeat_at = cx.ctx.now.plus_ms(cx.ctx.mesh.call_ms);
        open.asked.clear();
        open.requests.excluded.clear();
    }
    dispatch.call = Some(open);
    repeat
}

/// Asks this node's own worker, which needs no matchmaker.
fn ask_at_home(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let OwnerCtx { ctx, members, books } = cx;
    if record.dispatch.open_call().asked.contains(&ctx.me) {
        return;
    }
    if let Some(reason) = barred(books, &record.dispatch, ctx.me, ctx.now) {
        record.dispatch.not_asked(ctx.me, ctx.now, reason);
    } else if !record.spares(members, ctx.me) {
        ask(ctx, record, ctx.me);
    }
}

/// Requests `want` more, spread over the matchmakers by the slots of their cells. Tasks that want labels are requested
/// of every matchmaker: few workers may carry them.
fn spread(cx: &mut OwnerCtx<'_, '_>, matchmakers: &Matchmakers, record: &mut Record, want: u32) {
    let (labelled, wanted) = (!record.job.spec.needs.labels.is_empty(), record.wanted());
    let believed = matchmakers.believed(cx.ctx, cx.members);
    let chance = cx.ctx.draw();
    let shares = shares(&believed, want, chance);
    for (matchmaker, share) in believed.into_iter().zip(shares) {
        let requests = &mut record.dispatch.open_call().requests;
        let share = if labelled { wanted.saturating_sub(requests.left_at(matchmaker.peer)) } else { share };
        if share > 0 {
            let number = requests.number_for(matchmaker.peer, cx.ctx.now);
            send_request(cx.ctx, record, number, Some(share));
        }
    }
}

// ---- what matchmakers say

/// A matchmaker hands a worker's bid on.
pub(in crate::owner) fn on_matched(
    cx: &mut OwnerCtx<'_, '_>,
    matchmakers: &mut Matchmakers,
    record: &mut Record,
    from: PeerId,
    matched: &Match,
) {
    let now = cx.ctx.now;
    let open = record.dispatch.open_call();
    let Some(request) = open.requests.named(matched.request_id, from) else {
        // It was not asked, or is not any more: the worker need not wait for the end of its bid.
        cx.ctx.counters.dropped += 1;
        cx.ctx.send(matched.worker, Message::Release(matched.bid));
        return;
    };
    // No more is matched than what was asked for, so that a lie can't take what others would run.
    let slots = matched.slots.min(request.left).min(SLOTS_MAX);
    request.left -= slots;
    request.answered = true;
    matchmakers.on_matched(matched.worker, from);
    let bid = OpenBid {
        bid: matched.bid,
        worker: matched.worker,
        left: slots,
        start_in_us: 0,
        warm: false,
        matched: true,
        came_at: now,
        expires_at: now.plus_ms(u64::from(matched.ttl_ms).min(cx.ctx.mesh.bid_ms)),
    };
    let is_taken = slots > 0 && open.take(bid);
    if slots > 0 && !is_taken {
        open.requests.on_untaken(now);
    }
    if !is_taken {
        cx.ctx.send(matched.worker, Message::Release(matched.bid));
    }
    cx.touch(record.name());
}

/// A matchmaker has no bid for a request, but it is alive.
pub(in crate::owner) fn on_waits(record: &mut Record, from: PeerId, number: u32) {
    if let Some(request) = record.dispatch.open_call().requests.named(number, from) {
        request.answered = true;
    }
}

/// Shares of `want` tasks in proportion to slots, each rounded up or down: a comb of `want` teeth, laid by chance over
/// all slots in a row (systematic sampling). Sums to `want` unless there are no slots at all.
fn shares(matchmakers: &[Matchmaker], want: u32, chance: u64) -> Vec<u32> {
    let all: u64 = matchmakers.iter().map(|of| u64::from(of.slots)).sum();
    let offset = if all == 0 { 0 } else { chance % all };
    // The tooth number k is at (k * all + offset) / want; counts those before a place.
    let before = |place: u64| {
        let past = (place * u64::from(want)).saturating_sub(offset);
        if all == 0 { 0 } else { past.div_ceil(all) }
    };
    let mut place = 0;
    let mut shares = Vec::with_capacity(matchmakers.len());
    for of in matchmakers {
        let next = place + u64::from(of.slots);
        shares.push(u32::try_from(before(next) - before(place)).unwrap_or(u32::MAX));
        place = next;
    }
    shares
}

/// Says to one matchmaker what is requested of it: `more` than before, or the same again.
fn send_request(ctx: &mut Ctx<'_>, record: &mut Record, number: usize, more: Option<u32>) {
    let Record { job, dispatch, .. } = record;
    let open = dispatch.open_call();
    let request = open.requests.all.get_mut(number).expect("the caller found the request");
    if let Some(more) = more {
        request.left = request.left.saturating_add(more);
        request.answered = false;
        request.since = ctx.now;
    }
    let wire = BidRequest {
        call: open.call,
        request_id: u32::try_from(number).unwrap_or(u32::MAX),
        class: order::aged(job.spec.class, ctx.now.since_us(job.last_award_at)),
        needs: job.spec.needs.clone(),
        memory_bytes: job.spec.program.limits.memory_bytes,
        count: request.left,
        without: open.requests.excluded.clone(),
    };
    ctx.counters.requested += 1;
    ctx.send(request.matchmaker, Message::Cell(CellMessage::Request(wire)));
}

/// What waits at matchmakers is requested again where it waits: a message may have been lost, a matchmaker may have
/// forgotten.
fn request_again(ctx: &mut Ctx<'_>, record: &mut Record) {
    let all = record.dispatch.open_call().requests.all.iter().enumerate();
    let again: Vec<usize> = all.filter(|(_, request)| request.waits()).map(|(number, _)| number).collect();
    for number in again {
        send_request(ctx, record, number, None);
    }
}

/// What was found elsewhere is requested no more, as far as it waits anywhere. What was not answered yet is on its way,
/// and will be said to wait or be matched. What wants labels is requested everywhere on purpose.
fn request_less(ctx: &mut Ctx<'_>, record: &mut Record, mut surplus: u32) {
    if !record.job.spec.needs.labels.is_empty() {
        return;
    }
    let mut changed: Vec<usize> = Vec::new();
    let all = record.dispatch.open_call().requests.all.iter_mut().enumerate();
    for (number, request) in all.filter(|(_, request)| request.waits()) {
        let less = request.left.min(surplus);
        request.left -= less;
        surplus -= less;
        if less > 0 {
            changed.push(number);
        }
    }
    for number in changed {
        send_request(ctx, record, number, None);
    }
}

/// Offers what still waits to a few peers that are known, by chance, without any matchmaker.
fn call_some(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let OwnerCtx { ctx, members, books } = cx;
    let fits = |peer, known| unfit(ctx, peer, known, &record.job.spec).is_none();
    let useful =
        |peer| !record.spares(members, peer) && barred(books, &record.dispatch, peer, ctx.now).is_none();
    let suits = members.connected().filter(|(peer, known)| fits(*peer, known) && useful(*peer));
    let known: Vec<PeerId> = suits.map(|(peer, _)| peer).collect();
    let wanted = usize::try_from(record.wanted()).unwrap_or(DIRECT_MAX);
    let most = wanted.saturating_mul(2).min(DIRECT_MAX);
    let count = u64::try_from(known.len()).unwrap_or(u64::MAX).max(1);
    let start = usize::try_from(ctx.draw() % count).unwrap_or(0);
    for peer in known.iter().cycle().skip(start).take(most.min(known.len())) {
        ask(ctx, record, *peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_proportion_and_sum_up() {
        let of = |slots| Matchmaker { peer: PeerId([1; 32]), slots };
        // slots of each, tasks, chance -> shares
        let table: [(&[u32], u32, u64, &[u32]); 7] = [
            (&[100, 100, 100, 100], 4, 0, &[1, 1, 1, 1]),
            (&[100, 100, 100, 100], 4, 399, &[1, 1, 1, 1]),
            (&[300, 100], 4, 7, &[3, 1]),
            (&[100, 100, 100, 100], 1, 250, &[0, 0, 1, 0]),
            (&[100, 100], 1001, 150, &[500, 501]),
            (&[0, 5], 3, 2, &[0, 3]),
            (&[0], 3, 2, &[0]),
        ];
        for (slots, want, chance, expected) in table {
            let all: Vec<_> = slots.iter().map(|slots| of(*slots)).collect();
            assert_eq!(shares(&all, want, chance), expected, "{slots:?} {want} {chance}");
        }
    }

    #[test]
    fn whatever_chance_says_every_task_has_one_share() {
        let all = [3, 1, 400, 7, 90, 90].map(|slots| Matchmaker { peer: PeerId([2; 32]), slots });
        for chance in 0..2000 {
            let sum: u32 = shares(&all, 37, chance).iter().sum();
            assert_eq!(sum, 37, "chance {chance}");
        }
    }
}
