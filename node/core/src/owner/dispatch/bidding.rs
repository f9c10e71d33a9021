//! Bidding: a call to all that may fit, bids, and awards to the bids that promise the earliest start. Begun tasks that
//! want a replica go before what has not begun. Matched workers are awarded here, too.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::announced::unfit;
use super::calling::{ask, learn_deadline};
use super::choice::Choice;
use super::grants::{cut_frame, issue};
use super::open_call::{OpenBid, OpenCall, SLOTS_MAX};
use super::trust::{bars, may_give, trust, trusts_all};
use crate::ctx::Ctx;
use crate::id::{BidId, PeerId};
use crate::membership::Membership;
use crate::message::{Award, Bid, Decline, Grant, Message, Reason};
use crate::owner::books::OwnerCtx;
use crate::owner::record::Record;
use crate::owner::speculation::{CopyAt, fits_copy};
use crate::referral::CellMessage;
use crate::snapshot::Response;

/// Text in a declined call's reason that is kept for `why`, in bytes; a longer one is dropped.
const REASON_BYTES_MAX: usize = 1024;
/// How long a bid on a task that several compute waits for those of members that have been known longer, in
/// milliseconds: some round trips of a LAN.
const GREEN_MS: u64 = 50;

/// A worker bids for a job's open call.
pub(in crate::owner) fn on_bid(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, from: PeerId, bid: &Bid) {
    let now = cx.ctx.now;
    record.dispatch.respond(from, now, Response::Bid(bid.slots));
    let open_bid = OpenBid {
        bid: bid.bid,
        worker: from,
        left: bid.slots.min(SLOTS_MAX),
        start_in_us: bid.start_in_us,
        warm: bid.warm,
        matched: false,
        came_at: now,
        expires_at: now.plus_ms(u64::from(bid.ttl_ms).min(cx.ctx.mesh.bid_ms)),
    };
    if !record.dispatch.open_call().take(open_bid) {
        cx.ctx.counters.dropped += 1;
        cx.ctx.send(from, Message::Release(bid.bid));
    }
    cx.touch(record.name());
}

/// Whether a decline says no more than is kept for `why`.
pub(in crate::owner) fn is_short_reason(reason: &Reason) -> bool {
    let bytes = match reason {
        Reason::Label { name, wanted } => name.len() + wanted.len(),
        Reason::Limit { name, .. } => name.len(),
        Reason::Busy { .. }
        | Reason::Memory { .. }
        | Reason::Late { .. }
        | Reason::Class { .. }
        | Reason::TooLong { .. }
        | Reason::Draining
        | Reason::TooManyCalls
        | Reason::Mistrusted { .. }
        | Reason::Owner
        | Reason::Slots { .. }
        | Reason::NoRoom
        | Reason::NoVote
        | Reason::Probation
        | Reason::Unfetched => 0,
    };
    bytes <= REASON_BYTES_MAX
}

/// A worker declines a job's call.
pub(in crate::owner) fn on_decline(ctx: &Ctx<'_>, record: &mut Record, from: PeerId, decline: Decline) {
    if let Some(open) = record.dispatch.call.as_mut().filter(|_| decline.is_permanent) {
        // It never will: no matchmaker need hand it on again.
        open.requests.exclude(from);
    }
    record.dispatch.respond(from, ctx.now, Response::Declined(decline.reason));
}

/// Asks all that fit and were not asked yet; all of them again when it is time to.
pub(super) fn ask_around(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let wants_bids = record.wants_bids();
    repeat_if_due(cx.ctx, record);
    let open = record.dispatch.open_call();
    if open.for_credit && wants_bids {
        open.asked.clear();
    }
    open.for_credit = !wants_bids;
    let call = open.call;
    for matchmaker in open.requests.leave() {
        cx.ctx.send(matchmaker, Message::Withdraw(call));
    }
    let due = open.due();
    let mut candidates = candidates(cx.ctx, cx.members, record, wants_bids);
    // The worker that has the next task's input is asked first: with equal ways there it bids first.
    let next = record.job.queue.front().map(|index| record.job.live_task(*index));
    let holder = next.and_then(|task| cx.books.locality.holder(&task.input));
    candidates.sort_by_key(|peer| holder != Some(*peer));
    for peer in candidates {
        if let Some(reason) = bars(cx, record, peer) {
            record.dispatch.not_asked(peer, cx.ctx.now, reason);
        } else if !record.spares(cx.members, peer) {
            ask(cx.ctx, record, peer);
        }
    }
    cx.books.calls.remind(due);
}

/// When it is time to, all are to be asked again.
fn repeat_if_due(ctx: &Ctx<'_>, record: &mut Record) {
    let Record { job, dispatch, .. } = record;
    if dispatch.call.as_ref().is_some_and(|open| open.repeat_at <= ctx.now) {
        let mut open = dispatch.call.take().expect("it was just looked at");
        open.repeat_at = ctx.now.plus_ms(ctx.mesh.call_ms);
        learn_deadline(job, dispatch, &open);
        open.asked.clear();
        dispatch.call = Some(open);
    }
}

/// Those that fit and were not asked yet, this node first; notes why the others are not asked.
fn candidates(ctx: &Ctx<'_>, members: &Membership, record: &mut Record, wants_bids: bool) -> Vec<PeerId> {
    let Record { job, dispatch, .. } = record;
    let asked = core::mem::take(&mut dispatch.open_call().asked);
    let mut candidates: Vec<PeerId> = Vec::new();
    if wants_bids && !asked.contains(&ctx.me) {
        candidates.push(ctx.me);
    }
    for (peer, known) in members.connected().filter(|(peer, _)| !asked.contains(peer)) {
        match unfit(ctx, peer, known, &job.spec) {
            None => candidates.push(peer),
            Some(reason) => dispatch.not_asked(peer, ctx.now, reason),
        }
    }
    dispatch.open_call().asked = asked;
    candidates
}

/// Grants for one job that are to be sent, by worker and bid, and whether a matchmaker handed the bid on.
#[derive(Debug, Default)]
struct Frames(BTreeMap<(PeerId, BidId, bool), Vec<Grant>>);

impl Frames {
    /// Makes a lease of a task and a slot of a bid.
    fn bind(&mut self, cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, bid: &mut OpenBid) {
        let grant = issue(cx, record, index, bid.worker);
        bid.left -= 1;
        self.0.entry((bid.worker, bid.bid, bid.matched)).or_default().push(grant);
    }
}

/// Awards what waits of a job to the bids for its call.
pub(super) fn award(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let mut open = record.dispatch.call.take().expect("the call was opened before");
    open.expire(cx.ctx.now);
    sort(cx, record, &mut open);
    let green = keep_green(cx, record, &mut open);
    let mut frames = Frames::default();
    // What is begun is brought to its end first, also if it was begun just now.
    loop {
        award_replicas(cx, record, &mut open, &mut frames);
        let begun = award_waiting(cx, record, &mut open, &mut frames);
        if begun == 0 || !record.job.verifies() {
            break;
        }
    }
    let (call, left) = (open.call, record.wanted());
    open.bids.extend(green);
    record.dispatch.call = Some(open);
    for ((worker, bid, matched), grants) in frames.0 {
        let award = Award { call, bid, left, grants: Vec::new() };
        send_award(cx.ctx, record, worker, Granted { award, grants, matched });
    }
}

/// Puts the bids in the order in which they are used.
fn sort(cx: &OwnerCtx<'_, '_>, record: &Record, open: &mut OpenCall) {
    let OwnerCtx { ctx, members, books } = cx;
    let verifies = record.job.verifies();
    open.bids.sort_by_key(|bid| {
        let trust = trust(books, &record.dispatch, bid.worker, ctx.now);
        let known = if verifies { members.seniority(bid.worker, ctx.now) } else { 0 };
        (trust, Reverse(known), bid.expected_us(ctx.me, members.rtt_us(bid.worker), ctx.now))
    });
}

/// Takes out the bids on a job that verifies of members that came lately, while those of members that have been known
/// longer may still be on their way; notes when they may be used.
fn keep_green(cx: &OwnerCtx<'_, '_>, record: &Record, open: &mut OpenCall) -> Vec<OpenBid> {
    let (now, members) = (cx.ctx.now, &*cx.members);
    open.ripe_at = None;
    if !record.job.verifies() {
        return Vec::new();
    }
    let senior = members.seniority_max(now);
    let ripe_at = |bid: &OpenBid| bid.came_at.plus_ms(GREEN_MS);
    let green = |bid: &OpenBid| members.seniority(bid.worker, now) < senior && ripe_at(bid) > now;
    let (green, ripe): (Vec<_>, Vec<_>) = core::mem::take(&mut open.bids).into_iter().partition(green);
    open.bids = ripe;
    open.ripe_at = green.iter().map(ripe_at).min();
    green
}

/// Gives begun tasks that want one more node to the bids that fit.
fn award_replicas(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, open: &mut OpenCall, frames: &mut Frames) {
    for index in record.replicas.window() {
        while record.replicas.missing(&record.job, index) > 0 {
            let fits = |bid: &&mut OpenBid| may_use(cx, record, bid) && fits_replica(cx, record, index, bid);
            let Some(bid) = open.bids.iter_mut().find(fits) else { break };
            frames.bind(cx, record, index, bid);
            if !record.job.verifies() {
                record.replicas.on_copied(&mut record.job, index);
                cx.ctx.counters.copies += 1;
            }
        }
        if record.replicas.missing(&record.job, index) == 0 {
            record.replicas.stop_wanting(index);
        }
    }
}

/// Whether a bid may be used now: it has a slot left, and its worker may be given something.
fn may_use(cx: &OwnerCtx<'_, '_>, record: &Record, bid: &OpenBid) -> bool {
    bid.left > 0 && may_give(cx.books, &record.dispatch, bid.worker, cx.ctx.now).is_some()
}

/// Whether a bid is of use for one more copy of a begun task.
fn fits_replica(cx: &OwnerCtx<'_, '_>, record: &Record, index: u32, bid: &OpenBid) -> bool {
    let OwnerCtx { ctx, members, books } = cx;
    if record.job.verifies() {
        return !record.replicas.bars(&record.job, members, index, bid.worker);
    }
    let start_us = bid.expected_us(ctx.me, members.rtt_us(bid.worker), ctx.now);
    let trust = trust(books, &record.dispatch, bid.worker, ctx.now);
    fits_copy(record, index, CopyAt { worker: bid.worker, trust, start_us }, ctx.now)
}

/// Gives what waits to the bids, best first; how many. Of a job that verifies, one task at a time, and none while many
/// begun ones want further nodes.
fn award_waiting(
    cx: &mut OwnerCtx<'_, '_>,
    record: &mut Record,
    open: &mut OpenCall,
    frames: &mut Frames,
) -> u32 {
    // A node that knows no other need not wait for another.
    let alone = !cx.members.any_connected();
    let mut patient: Vec<u32> = Vec::new();
    let mut begun = 0;
    while let Some(index) = record.job.queue.front().copied() {
        if record.job.verifies() && (begun > 0 || record.replicas.is_full()) {
            break;
        }
        let OwnerCtx { ctx, members, books } = &mut *cx;
        let (now, task) = (ctx.now, record.job.live_task(index));
        let usable = |bid: &OpenBid| {
            let gives = || may_give(books, &record.dispatch, bid.worker, now).is_some();
            record.may_compute(members, bid.worker) && bid.left > 0 && gives()
        };
        let choice = Choice { bids: &open.bids, members, locality: &books.locality };
        let Some(chosen) = choice.best(ctx, task, usable) else { break };
        let is_patient = chosen.avoided && !alone && task.is_patient(now);
        record.job.queue.pop_front();
        if is_patient {
            patient.push(index);
            continue;
        }
        let bid = open.bids.get_mut(chosen.place).expect("a chosen bid is one of them");
        frames.bind(cx, record, index, bid);
        if record.job.verifies() && record.replicas.missing(&record.job, index) > 0 {
            record.replicas.want(index);
        }
        begun += 1;
    }
    patient.into_iter().rev().for_each(|index| record.job.queue.push_front(index));
    begun
}

/// What one worker is awarded by one bid.
struct Granted {
    award: Award,
    grants: Vec<Grant>,
    /// A matchmaker handed the bid on: the worker has not heard the call.
    matched: bool,
}

/// Sends grants in frames of bounded length, each with the call if the worker has not heard it.
fn send_award(ctx: &mut Ctx<'_>, record: &Record, worker: PeerId, granted: Granted) {
    let Granted { award, mut grants, matched } = granted;
    while !grants.is_empty() {
        let award = Award { grants: cut_frame(&mut grants), ..award };
        let message = if matched {
            let call = record.claim_message(ctx, award.call, worker);
            Message::Cell(CellMessage::Claim { call, award })
        } else {
            Message::Award(award)
        };
        ctx.send(worker, message);
    }
}

/// Releases what is of no use: bids of workers that had their part in all that is left, or are given nothing now. The call
/// is withdrawn from them, so that they don't bid again at once; they are asked again as soon as they are of use.
pub(super) fn release_useless(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if trusts_all(cx.books, &record.dispatch) && !record.replicas.any_wanted() && !record.job.verifies() {
        return;
    }
    let mut open = record.dispatch.call.take().expect("the call was opened before");
    let mut barred: Vec<(PeerId, Reason)> = Vec::new();
    let useless = |bid: &mut OpenBid| {
        let bar = bars(cx, record, bid.worker);
        let useless = bar.is_some() || record.spares(cx.members, bid.worker);
        barred.extend(bar.map(|reason| (bid.worker, reason)));
        useless
    };
    let released: Vec<OpenBid> = open.bids.extract_if(.., useless).collect();
    for bid in released.iter().filter(|bid| bid.matched && bid.left > 0) {
        cx.ctx.send(bid.worker, Message::Release(bid.bid));
        open.requests.exclude(bid.worker);
    }
    let mut called: Vec<PeerId> = released.iter().filter(|bid| !bid.matched).map(|bid| bid.worker).collect();
    called.sort_unstable();
    called.dedup();
    for worker in called {
        cx.ctx.send(worker, Message::Withdraw(open.call));
        open.forget_asked(worker);
    }
    record.dispatch.call = Some(open);
    // They bid, and `why` is to say why they are given nothing all the same.
    for (worker, reason) in barred {
        record.dispatch.not_asked(worker, cx.ctx.now, reason);
    }
}

/// A peer that has bid by itself or granted credit is to be asked again, if it has not answered the job's call: the
/// call may have been lost. One that has answered bids again by itself.
pub(super) fn ask_if_silent(record: &mut Record, peer: PeerId) -> bool {
    let silent = matches!(record.dispatch.responses.get(peer), None | Some(Response::Nothing));
    let asks = silent && record.dispatch.call.is_some();
    if asks {
        record.dispatch.open_call().forget_asked(peer);
    }
    asks
}
