//! How an owner finds somebody for what waits: local first, then a call to whoever may fit, then awards to the bids
//! that promise the earliest start.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Owner;
use super::job::{Attempt, Job, OpenCall, StandingBid, State, not_asked};
use crate::ctx::Ctx;
use crate::id::{BidId, CallId, JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{Award, BATCH_MAX, Bid, Decline, Grant, Message, Reason};
use crate::snapshot::Said;
use crate::task::Payload;

/// Bytes of inputs in one award beyond which a second one is begun.
pub(super) const AWARD_BYTES: u64 = 256 * 1024;
/// Text in a declined call's reason that is kept for `why`, in bytes; a longer one is dropped.
const REASON_BYTES_MAX: usize = 1024;
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
            | Reason::TooLong { .. }
            | Reason::Draining
            | Reason::TooManyCalls
            | Reason::Unfetched => 0,
        };
        if words > REASON_BYTES_MAX {
            ctx.counters.dropped += 1;
            return;
        }
        let name = self.calls.get(&decline.call).copied();
        if let Some(job) = name.and_then(|name| self.jobs.get_mut(&name)) {
            job.said.insert(from, (ctx.now, Said::Declined(decline.reason)));
        }
    }

    /// Brings one job's queue, calls and bids in line.
    pub(super) fn place(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if job.queue.is_empty() {
            self.room.remove(job);
            if let Some(call) = withdraw(ctx, job) {
                self.calls.remove(&call);
            }
            return;
        }
        if self.goes_ahead(name) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let fresh = job.call.is_none();
        if fresh {
            let call = CallId(ctx.fresh_id());
            self.calls.insert(call, name);
            let repeat_at = ctx.now.plus_ms(ctx.mesh.call_ms);
            self.repeat_at.get_or_insert(repeat_at);
            job.call = Some(OpenCall { call, bids: Vec::new(), asked: Vec::new(), repeat_at });
            if job.calls_here() {
                ask(ctx, job, call, ctx.me);
            }
            // Our own worker answers within this very input; the others are asked if something is left then.
            self.dirty.insert(name);
            return;
        }
        self.award(ctx, members, name);
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if job.queue.is_empty() {
            if let Some(call) = withdraw(ctx, job) {
                self.calls.remove(&call);
            }
            return;
        }
        self.ask_around(ctx, members, name);
    }

    /// Asks whoever fits and was not asked yet; everybody again when it is time to.
    fn ask_around(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let calls_here = job.calls_here();
        let Some(open) = &mut job.call else { return };
        if open.repeat_at <= ctx.now {
            open.repeat_at = ctx.now.plus_ms(ctx.mesh.call_ms);
            self.repeat_at.get_or_insert(open.repeat_at);
            open.asked.clear();
        }
        let call = open.call;
        let mut candidates: Vec<PeerId> = Vec::new();
        if calls_here && !open.asked.contains(&ctx.me) {
            candidates.push(ctx.me);
        }
        for (peer, known) in members.connected() {
            if open.asked.contains(&peer) {
                continue;
            }
            match Membership::unfit(known, &job.what.needs, &job.what.program, ctx.now, ctx.mesh) {
                None => candidates.push(peer),
                Some(reason) => {
                    job.said.insert(peer, (ctx.now, not_asked(reason)));
                }
            }
        }
        for peer in candidates {
            ask(ctx, job, call, peer);
        }
    }

    fn award(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let Some(mut call) = job.call.take() else { return };
        call.expire(ctx.now);
        call.bids.sort_by_key(|bid| bid.expected_us(ctx.me, members.rtt_us(bid.worker), ctx.now));
        // A node that knows nobody else need not wait for somebody else.
        let alone = !members.any_connected();
        let mut frames: BTreeMap<(PeerId, BidId), Vec<Grant>> = BTreeMap::new();
        let expires_at = ctx.now.plus_ms(ctx.mesh.lease_ms);
        let mut patient: Vec<u32> = Vec::new();
        while let Some(index) = job.queue.front().copied() {
            let shunned = |worker| job.shunned.get(&worker).is_some_and(|(_, until)| ctx.now < *until);
            let usable = |bid: &StandingBid| bid.left > 0 && !shunned(bid.worker);
            let Some(task) = job.task(index) else { break };
            let Some(first) = call.bids.iter().position(usable) else { break };
            let elsewhere = call.bids.iter().position(|bid| usable(bid) && !task.avoids(bid.worker));
            if elsewhere.is_none() && !alone && task.is_patient(ctx.now) {
                patient.push(index);
                job.queue.pop_front();
                continue;
            }
            let Some(bid) = call.bids.get_mut(elsewhere.unwrap_or(first)) else { break };
            let Some(task) = job.task_mut(index) else { break };
            bid.left -= 1;
            task.attempts += 1;
            task.state = State::Leased;
            let lease = LeaseId { job: name, index, attempt: task.attempts };
            task.live.push(Attempt::new(task.attempts, bid.worker, ctx.now, expires_at));
            let grant = Grant { lease, input: task.input.clone() };
            frames.entry((bid.worker, bid.bid)).or_default().push(grant);
            self.leases.insert((bid.worker, lease));
            self.expiries.insert((expires_at, lease));
            job.queue.pop_front();
            job.counts.leased += 1;
            ctx.counters.awards += 1;
        }
        patient.into_iter().rev().for_each(|index| job.queue.push_front(index));
        let name = call.call;
        let left = job.waiting();
        job.call = Some(call);
        for ((worker, bid), grants) in frames {
            send_award(ctx, Award { call: name, bid, lease_ms: 0, left, grants: Vec::new() }, worker, grants);
        }
    }
}

fn ask(ctx: &mut Ctx<'_>, job: &mut Job, call: CallId, peer: PeerId) {
    let message = Message::Call(job.call_message(call));
    ctx.counters.calls += 1;
    ctx.send(peer, message);
    if let Some(open) = &mut job.call {
        open.asked.push(peer);
    }
    job.said.entry(peer).or_insert((ctx.now, Said::Nothing));
}

/// Ends a call that nothing is left of.
fn withdraw(ctx: &mut Ctx<'_>, job: &mut Job) -> Option<CallId> {
    let open = job.call.take()?;
    let mut told: Vec<PeerId> = open.asked;
    told.extend(open.bids.iter().map(|bid| bid.worker));
    told.sort_unstable();
    told.dedup();
    for peer in told {
        ctx.send(peer, Message::Withdraw(open.call));
    }
    Some(open.call)
}

/// Sends grants in frames of bounded length.
fn send_award(ctx: &mut Ctx<'_>, mut award: Award, worker: PeerId, grants: Vec<Grant>) {
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
            ctx.send(worker, Message::Award(core::mem::replace(&mut award, next)));
        }
    }
    if !award.grants.is_empty() {
        ctx.send(worker, Message::Award(award));
    }
}
