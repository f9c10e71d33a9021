//! How an owner finds somebody for what waits: local first, then a call to whoever may fit, then awards to the bids
//! that promise the earliest start.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::Owner;
use super::extra::{Desk, WINDOW, release_useless};
use super::job::{Job, not_asked};
use super::open::{OpenCall, StandingBid};
use super::seek::Seeking;
use crate::ctx::Ctx;
use crate::id::{CallId, JobId, PeerId};
use crate::membership::Membership;
use crate::message::{Award, BATCH_MAX, Bid, Call, Decline, Grant, Message, Reason};
use crate::referral::CellWord;
use crate::snapshot::Said;
use crate::task::Payload;
use crate::time::Time;

/// Bytes of inputs in one award beyond which a second one is begun.
pub(super) const AWARD_BYTES: u64 = 256 * 1024;
/// Text in a declined call's reason that is kept for `why`, in bytes; a longer one is dropped.
const REASON_BYTES_MAX: usize = 1024;
/// How long a bid on a task that several compute waits for those of members that have been known longer, in
/// milliseconds: some round trips of a LAN.
const GREEN_MS: u64 = 50;
/// Slots that one bid is believed to have.
pub(super) const SLOTS_MAX: u32 = 65_536;

impl Owner {
    pub(crate) fn on_bid(&mut self, ctx: &mut Ctx<'_>, from: PeerId, bid: Bid) {
        ctx.counters.bids_received += 1;
        let name = self.calls.get(&bid.call).copied();
        let Some(job) = name.and_then(|name| self.jobs.get_mut(&name)) else {
            // Not a release: the worker missed the withdrawal and would bid again at once.
            ctx.send(from, Message::Withdraw(bid.call));
            return;
        };
        job.said.insert(from, (ctx.now, Said::Bid(bid.slots)));
        let Some(call) = &mut job.call else { return };
        let standing = StandingBid {
            bid: bid.bid,
            worker: from,
            left: bid.slots.min(SLOTS_MAX),
            start_in_us: bid.start_in_us,
            warm: bid.warm,
            introduced: false,
            came_at: ctx.now,
            expires_at: ctx.now.plus_ms(u64::from(bid.ttl_ms).min(ctx.mesh.bid_ms)),
        };
        if !call.take(standing) {
            ctx.counters.dropped += 1;
            ctx.send(from, Message::Release(bid.bid));
        }
        self.dirty.insert(job.what.job);
    }

    pub(crate) fn on_decline(&mut self, ctx: &mut Ctx<'_>, from: PeerId, decline: Decline) {
        let words = match &decline.reason {
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
            | Reason::Unfetched => 0,
        };
        if words > REASON_BYTES_MAX {
            ctx.counters.dropped += 1;
            return;
        }
        let name = self.calls.get(&decline.call).copied();
        if let Some(job) = name.and_then(|name| self.jobs.get_mut(&name)) {
            if let Some(open) = job.call.as_mut().filter(|_| decline.retry_after_ms.is_none()) {
                // It never will: no exchange need introduce it again.
                open.seeking.spare(from);
            }
            job.said.insert(from, (ctx.now, Said::Declined(decline.reason)));
        }
    }

    /// Brings one job's queue, calls and bids in line.
    pub(super) fn place(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if job.queue.is_empty() {
            self.room.remove(job);
        }
        if job.wanted() == 0 {
            if let Some(call) = withdraw(ctx, job) {
                self.calls.remove(&call);
            }
            self.retire(ctx, name);
            return;
        }
        if ctx.now < job.starts_at {
            return;
        }
        if self.goes_ahead(members, name) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let fresh = job.call.is_none();
        if fresh {
            if !job.is_short() {
                job.fed_at = ctx.now;
            }
            let call = CallId(ctx.fresh_id());
            self.calls.insert(call, name);
            let repeat_at = ctx.now.plus_ms(ctx.mesh.call_ms);
            self.remind(repeat_at);
            let Some(job) = self.jobs.get_mut(&name) else { return };
            let (seeking, for_room) = (Seeking::default(), false);
            job.call = Some(OpenCall {
                call,
                bids: Vec::new(),
                asked: Vec::new(),
                for_room,
                repeat_at,
                ripe_at: None,
                seeking,
            });
            if job.wants_bids() && !job.spares(members, ctx.me) {
                ask(ctx, job, call, ctx.me);
            }
            // Our own worker answers within this very input; the others are asked if something is left then.
            self.dirty.insert(name);
            return;
        }
        self.award(ctx, members, name);
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if job.wanted() == 0 {
            if let Some(call) = withdraw(ctx, job) {
                self.calls.remove(&call);
            }
            self.plan_look(ctx, name);
            return;
        }
        release_useless(ctx, members, job, &self.standings);
        if members.cells().on() {
            self.seek(ctx, members, name);
        } else {
            self.ask_around(ctx, members, name);
        }
    }

    /// Asks whoever fits and was not asked yet; everybody again when it is time to.
    fn ask_around(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let wants_bids = job.wants_bids();
        let Some(open) = &mut job.call else { return };
        if open.repeat_at <= ctx.now {
            open.repeat_at = ctx.now.plus_ms(ctx.mesh.call_ms);
            job.hopeless |= nobody_makes_it(open, &job.said);
            open.asked.clear();
        }
        if open.for_room && wants_bids {
            open.asked.clear();
        }
        open.for_room = !wants_bids;
        let call = open.call;
        for desk in open.seeking.leave() {
            ctx.send(desk, Message::Withdraw(call));
        }
        let due = open.due();
        let mut candidates: Vec<PeerId> = Vec::new();
        if wants_bids && !open.asked.contains(&ctx.me) {
            candidates.push(ctx.me);
        }
        for (peer, known) in members.connected() {
            if open.asked.contains(&peer) {
                continue;
            }
            match Membership::unfit((peer, known), ctx, &job.what) {
                None => candidates.push(peer),
                Some(reason) => {
                    job.said.insert(peer, (ctx.now, not_asked(reason)));
                }
            }
        }
        // Whoever has the next task's input is asked first: with equal ways there it bids first.
        let holder = job.queue.front().and_then(|index| self.produced.holder(&job.task(*index)?.input));
        candidates.sort_by_key(|peer| holder != Some(*peer));
        for peer in candidates {
            if let Some(reason) = job.bars(members, &self.standings, peer, ctx.now) {
                job.said.insert(peer, (ctx.now, not_asked(reason)));
            } else if !job.spares(members, peer) {
                ask(ctx, job, call, peer);
            }
        }
        self.remind(due);
    }

    fn award(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let Some(mut call) = job.call.take() else { return };
        call.expire(ctx.now);
        let standings = &self.standings;
        let desk = &mut Desk {
            leases: &mut self.leases,
            expiries: &mut self.expiries,
            standings,
            alarms: &mut self.alarms,
            produced: &self.produced,
            frames: BTreeMap::new(),
        };
        call.bids.sort_by_key(|bid| {
            let trust = desk.trust(job, bid.worker, ctx.now);
            let known = if job.verifies() { members.seniority(bid.worker, ctx.now) } else { 0 };
            (trust, Reverse(known), bid.expected_us(ctx.me, members.rtt_us(bid.worker), ctx.now))
        });
        let green = keep_green(ctx, members, job, &mut call);
        // What is begun is brought to its end first, also if it was begun just now.
        loop {
            desk.award_extra(ctx, members, job, &mut call);
            let begun = award_waiting(ctx, desk, members, job, &mut call);
            if begun == 0 || !job.verifies() {
                break;
            }
        }
        let name = call.call;
        let left = job.wanted();
        call.bids.extend(green);
        job.call = Some(call);
        for ((worker, bid, introduced), grants) in core::mem::take(&mut desk.frames) {
            let hire = introduced.then(|| job.hire_message(name, ctx.now));
            let award = Award { call: name, bid, lease_ms: 0, left, grants: Vec::new() };
            send_award(ctx, award, hire.as_ref(), worker, grants);
        }
    }
}

/// Takes out the bids on a job that verifies of members that came lately, while those of members that have been known
/// longer may still be on their way; notes when they may be used.
fn keep_green(ctx: &Ctx<'_>, members: &Membership, job: &Job, call: &mut OpenCall) -> Vec<StandingBid> {
    call.ripe_at = None;
    if !job.verifies() {
        return Vec::new();
    }
    let senior = members.seniority_max(ctx.now);
    let ripe_at = |bid: &StandingBid| bid.came_at.plus_ms(GREEN_MS);
    let green = |bid: &StandingBid| members.seniority(bid.worker, ctx.now) < senior && ripe_at(bid) > ctx.now;
    let (green, ripe): (Vec<_>, Vec<_>) = core::mem::take(&mut call.bids).into_iter().partition(green);
    call.bids = ripe;
    call.ripe_at = green.iter().map(ripe_at).min();
    green
}

/// Gives what waits to the bids, best first; how many. Of a job that verifies, one task at a time, and none while many
/// begun ones want further nodes.
fn award_waiting(
    ctx: &mut Ctx<'_>,
    desk: &mut Desk<'_>,
    members: &Membership,
    job: &mut Job,
    call: &mut OpenCall,
) -> u32 {
    // A node that knows nobody else need not wait for somebody else.
    let alone = !members.any_connected();
    let mut patient: Vec<u32> = Vec::new();
    let mut begun = 0;
    while let Some(index) = job.queue.front().copied() {
        if job.verifies() && (begun > 0 || job.extra.len() >= WINDOW) {
            break;
        }
        let now = ctx.now;
        let usable = |bid: &StandingBid| job.may_compute(members, bid.worker) && desk.may_use(job, bid, now);
        let Some(task) = job.task(index) else { break };
        let Some((place, avoided)) = desk.produced.choose(ctx, members, &call.bids, task, usable) else {
            break;
        };
        if avoided && !alone && task.is_patient(ctx.now) {
            patient.push(index);
            job.queue.pop_front();
            continue;
        }
        let Some(bid) = call.bids.get_mut(place) else { break };
        job.queue.pop_front();
        desk.bind(ctx, job, index, bid);
        if job.verifies() && job.missing(index) > 0 {
            job.extra.insert(index);
        }
        begun += 1;
    }
    patient.into_iter().rev().for_each(|index| job.queue.push_front(index));
    begun
}

pub(super) fn ask(ctx: &mut Ctx<'_>, job: &mut Job, call: CallId, peer: PeerId) {
    let message = Message::Call(job.call_message(call, ctx.now));
    ctx.counters.calls += 1;
    ctx.send(peer, message);
    if let Some(open) = &mut job.call {
        open.asked.push(peer);
    }
    job.said.entry(peer).or_insert((ctx.now, Said::Nothing));
}

/// Whether everybody who was asked declined, somebody because it would be too late there, and nobody for want of a
/// slot alone: the deadline can't be made, and what waits had better be done without it.
pub(super) fn nobody_makes_it(open: &OpenCall, said: &BTreeMap<PeerId, (Time, Said)>) -> bool {
    let declined = |peer: &PeerId| {
        let answer = said.get(peer).map(|(_, said)| said);
        if let Some(Said::Declined(reason)) = answer { Some(reason) } else { None }
    };
    // Who has no slots is never busy.
    let busy = |reason: Option<&Reason>| matches!(reason, None | Some(Reason::Busy { slots: 1.., .. }));
    let late = |peer: &PeerId| matches!(declined(peer), Some(Reason::Late { .. }));
    open.bids.is_empty() && open.asked.iter().any(late) && !open.asked.iter().any(|peer| busy(declined(peer)))
}

/// Ends a call that nothing is left of.
pub(super) fn withdraw(ctx: &mut Ctx<'_>, job: &mut Job) -> Option<CallId> {
    let open = job.call.take()?;
    let mut told: Vec<PeerId> = open.asked;
    told.extend(open.bids.iter().filter(|bid| !bid.introduced).map(|bid| bid.worker));
    told.extend(open.seeking.open_desks());
    for bid in open.bids.iter().filter(|bid| bid.introduced && bid.left > 0) {
        ctx.send(bid.worker, Message::Release(bid.bid));
    }
    told.sort_unstable();
    told.dedup();
    for peer in told {
        ctx.send(peer, Message::Withdraw(open.call));
    }
    Some(open.call)
}

/// Sends grants in frames of bounded length, each with the call if the worker has not heard it.
fn send_award(ctx: &mut Ctx<'_>, mut award: Award, hire: Option<&Call>, worker: PeerId, grants: Vec<Grant>) {
    let word = |award| match hire {
        Some(call) => Message::Cell(CellWord::Hire { call: call.clone(), award }),
        None => Message::Award(award),
    };
    award.lease_ms = u32::try_from(ctx.mesh.lease_ms).unwrap_or(u32::MAX);
    let mut bytes = 0;
    for grant in grants {
        if let Payload::Inline(input) = &grant.input {
            bytes += input.len() as u64;
        }
        award.grants.push(grant);
        if award.grants.len() >= BATCH_MAX || bytes >= AWARD_BYTES {
            bytes = 0;
            let next = Award { grants: Vec::new(), ..award };
            ctx.send(worker, word(core::mem::replace(&mut award, next)));
        }
    }
    if !award.grants.is_empty() {
        ctx.send(worker, word(award));
    }
}
