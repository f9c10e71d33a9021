//! The worker: considers others' calls, bids, holds what it is awarded, hands it to the slots, delivers what they
//! say. It trusts no owner: what it holds is bounded by what it offered. Driven by the engine.

mod outbox;

mod window;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::config::NodeConfig;
use crate::ctx::Ctx;
use crate::effect::{Effect, Work};
use crate::id::{BidId, BlobId, CallId, JobId, LeaseId, PeerId, RunId};
use crate::membership::{Membership, unfit};
use crate::message::{
    Award, BATCH_MAX, Bid, Call, Class, Decline, GOSSIP_RANGES_MAX, Gossip, Grant, LeaseRange, Message,
    Reason,
};
use crate::task::{INLINE_BYTES_MAX, Outcome, Payload, Program, Report};
use crate::time::Time;
use outbox::Outbox;

/// Calls remembered for one owner; beyond it a new one is declined.
const CALLS_PER_OWNER_MAX: usize = 64;
/// Calls remembered in all; beyond it a new one is declined.
const CALLS_MAX: usize = 4096;
/// Modules remembered as present; beyond it the memory is cleared, which costs one look into the store each.
const PRESENT_MAX: usize = 1024;
/// Undelivered outcomes beyond which the worker takes no new work.
const UNDELIVERED_MAX: usize = 16_384;

/// A call that still stands.
#[derive(Debug)]
struct OpenCall {
    call: Call,
    /// Tasks that the owner still has for us, by its last word less what we were awarded since.
    wanted: u32,
    /// Slots reserved for it now.
    reserved: u32,
    expires_at: Time,
    /// Whose turn it is: the least recently served first.
    turn: u64,
}

/// Slots promised by one bid.
#[derive(Debug)]
struct Reservation {
    owner: PeerId,
    call: CallId,
    left: u32,
    expires_at: Time,
}

/// Where a held task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It lacks so many blobs.
    Fetching(u8),
    /// It waits for a slot.
    Ready,
    /// It was handed to the slots.
    Handed,
    /// It was handed to the slots, and its owner took it back.
    Aborted,
}

/// A task that is ours for now.
#[derive(Debug)]
struct Held {
    owner: PeerId,
    lease: LeaseId,
    program: Arc<Program>,
    input: Payload,
    stage: Stage,
    awarded_at: Time,
    handed_at: Time,
}

/// The worker role.
#[derive(Debug)]
pub(crate) struct Worker {
    slots: u32,
    memory_bytes: u64,
    labels: Vec<(String, String)>,
    draining: bool,
    calls: BTreeMap<(PeerId, CallId), OpenCall>,
    bids: BTreeMap<BidId, Reservation>,
    bid_ends: BTreeSet<(Time, BidId)>,
    reserved: u32,
    runs: BTreeMap<RunId, Held>,
    leases: BTreeMap<(PeerId, LeaseId), RunId>,
    ready: VecDeque<RunId>,
    handed: u32,
    fetching: BTreeMap<BlobId, Vec<RunId>>,
    present: BTreeSet<BlobId>,
    services: window::Services,
    outbox: Outbox,
    next_run: u64,
    next_turn: u64,
    renew_at: Option<Time>,
}

impl Worker {
    pub(crate) fn new(me: PeerId, node: &NodeConfig) -> Self {
        let mut labels = node.labels.clone();
        labels.push((String::from("node"), alloc::format!("{me}")));
        Self {
            slots: node.slots,
            memory_bytes: node.memory_bytes,
            labels,
            draining: false,
            calls: BTreeMap::new(),
            bids: BTreeMap::new(),
            bid_ends: BTreeSet::new(),
            reserved: 0,
            runs: BTreeMap::new(),
            leases: BTreeMap::new(),
            ready: VecDeque::new(),
            handed: 0,
            fetching: BTreeMap::new(),
            present: BTreeSet::new(),
            services: window::Services::default(),
            outbox: Outbox::default(),
            next_run: 0,
            next_turn: 0,
            renew_at: None,
        }
    }

    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(crate) fn on_drain(&mut self, draining: bool) {
        self.draining = draining;
    }

    // ---- calls and bids

    pub(crate) fn on_call(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId, call: Call) {
        if let Some((reason, retry_after_ms)) = self.refusal(owner, &call) {
            self.calls.remove(&(owner, call.call));
            decline(ctx, owner, call.call, reason, retry_after_ms);
            return;
        }
        let expires_at = ctx.now.plus_ms(ctx.mesh.call_ttl_ms);
        self.services.hint(owner, call.job, call.service_us);
        let (name, count) = (call.call, call.count);
        let turn = self.next_turn;
        let open = self.calls.entry((owner, name)).or_insert_with(|| OpenCall {
            call,
            wanted: count,
            reserved: 0,
            expires_at,
            turn,
        });
        self.next_turn += 1;
        open.wanted = count;
        open.expires_at = expires_at;
        self.offer(ctx, members);
        let unserved = self.calls.get(&(owner, name)).is_some_and(|open| open.reserved == 0);
        if unserved && count > 0 {
            let reason = Reason::Busy { slots: self.slots, held: self.held() + self.reserved };
            decline(ctx, owner, name, reason, Some(1000));
        }
    }

    fn refusal(&self, owner: PeerId, call: &Call) -> Option<(Reason, Option<u32>)> {
        if self.draining {
            return Some((Reason::Draining, Some(10_000)));
        }
        if let Some(reason) = unfit(&self.labels, self.memory_bytes, &call.needs, &call.program) {
            return Some((reason, None));
        }
        let of_owner = (owner, CallId(0))..=(owner, CallId(u64::MAX));
        let full = self.calls.len() >= CALLS_MAX || self.calls.range(of_owner).count() >= CALLS_PER_OWNER_MAX;
        if full && !self.calls.contains_key(&(owner, call.call)) {
            return Some((Reason::TooManyCalls, Some(1000)));
        }
        None
    }

    pub(crate) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.calls.remove(&(owner, call));
        self.release_where(|reservation| reservation.owner == owner && reservation.call == call);
    }

    pub(crate) fn on_release(&mut self, owner: PeerId, bid: BidId) {
        if self.bids.get(&bid).is_some_and(|reservation| reservation.owner == owner) {
            self.end_unused(bid);
        }
    }

    /// Offers free room to the calls that stand: most urgent class first, then whoever waits longest. A call that
    /// is next but finds no room holds back those behind it, so that a stream of short tasks can't starve a long one.
    pub(crate) fn offer(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if self.draining || self.outbox.len() >= UNDELIVERED_MAX {
            return;
        }
        let mut order: Vec<(Reverse<Class>, u64, (PeerId, CallId))> = Vec::new();
        for (key, open) in &self.calls {
            if open.wanted > open.reserved {
                order.push((Reverse(open.call.class), open.turn, *key));
            }
        }
        order.sort_unstable();
        for (_, _, key) in order {
            let Some(open) = self.calls.get(&key) else { continue };
            let service_us = self.services.estimate_us(key.0, open.call.job);
            let rtt_us = if key.0 == ctx.me { 0 } else { members.rtt_us(key.0) };
            let window = window::slots_to_offer(self.slots, service_us, rtt_us);
            let taken = self.held() + self.reserved;
            let slots = window.saturating_sub(taken).min(open.wanted.saturating_sub(open.reserved));
            if slots == 0 {
                break;
            }
            self.make_bid(ctx, key, slots, service_us);
        }
    }

    fn make_bid(&mut self, ctx: &mut Ctx<'_>, key: (PeerId, CallId), slots: u32, service_us: u32) {
        let (owner, call) = key;
        let Some(open) = self.calls.get_mut(&key) else { return };
        let bid = BidId(ctx.fresh_id());
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        open.reserved += slots;
        open.turn = self.next_turn;
        self.next_turn += 1;
        let warm = self.present.contains(&open.call.program.module);
        let ahead =
            u32::try_from(self.runs.len()).unwrap_or(u32::MAX).saturating_sub(self.slots.saturating_sub(1));
        let start_in_us = ahead.saturating_mul(service_us) / self.slots.max(1);
        self.bids.insert(bid, Reservation { owner, call, left: slots, expires_at });
        self.bid_ends.insert((expires_at, bid));
        self.reserved += slots;
        ctx.counters.bids_made += 1;
        let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
        ctx.send(owner, Message::Bid(Bid { call, bid, slots, start_in_us, warm, ttl_ms }));
    }

    /// The owner did not use it: nothing more is offered to that call before the owner says again what it wants.
    fn end_unused(&mut self, bid: BidId) {
        let Some(reservation) = self.bids.get(&bid) else { return };
        if let Some(open) = self.calls.get_mut(&(reservation.owner, reservation.call)) {
            open.wanted = open.wanted.saturating_sub(reservation.left);
        }
        self.end_bid(bid);
    }

    fn end_bid(&mut self, bid: BidId) {
        let Some(reservation) = self.bids.remove(&bid) else { return };
        self.bid_ends.remove(&(reservation.expires_at, bid));
        self.unreserve(reservation.owner, reservation.call, reservation.left);
    }

    fn unreserve(&mut self, owner: PeerId, call: CallId, slots: u32) {
        self.reserved -= slots;
        if let Some(open) = self.calls.get_mut(&(owner, call)) {
            open.reserved = open.reserved.saturating_sub(slots);
        }
    }

    fn release_where(&mut self, matches: impl Fn(&Reservation) -> bool) {
        let ended: Vec<BidId> =
            self.bids.iter().filter(|(_, reservation)| matches(reservation)).map(|(bid, _)| *bid).collect();
        for bid in ended {
            self.end_bid(bid);
        }
    }

    // ---- awards and runs

    pub(crate) fn on_award(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, award: Award) {
        let call =
            self.calls.get(&(owner, award.call)).map(|open| (open.call.job, open.call.program.clone()));
        let count = u32::try_from(award.grants.len()).unwrap_or(u32::MAX);
        let stands = self.bids.get(&award.bid).is_some_and(|reservation| {
            reservation.owner == owner && reservation.call == award.call && reservation.left >= count
        });
        let Some((job, program)) = call.filter(|(job, _)| stands && is_sound(&award, *job)) else {
            let leases = award.grants.iter().take(BATCH_MAX).map(|grant| grant.lease).collect();
            ctx.send(owner, Message::Refuse { leases });
            return;
        };
        self.use_bid(owner, award.bid, count, award.left);
        debug_assert!(award.grants.iter().all(|grant| grant.lease.job == job), "checked by is_sound");
        for grant in award.grants {
            self.hold(ctx, owner, &program, grant);
        }
        self.renew_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.renew_ms));
    }

    fn use_bid(&mut self, owner: PeerId, bid: BidId, count: u32, wanted: u32) {
        let Some(reservation) = self.bids.get_mut(&bid) else { return };
        reservation.left -= count;
        let (call, left) = (reservation.call, reservation.left);
        self.unreserve(owner, call, count);
        if let Some(open) = self.calls.get_mut(&(owner, call)) {
            open.wanted = wanted;
        }
        if left == 0 {
            self.end_bid(bid);
        }
    }

    fn hold(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, program: &Arc<Program>, grant: Grant) {
        let key = (owner, grant.lease);
        if self.leases.contains_key(&key) || self.outbox.contains(key) {
            return;
        }
        let run = RunId(self.next_run);
        self.next_run += 1;
        let mut missing = 0;
        let module = Some(program.module).filter(|module| !self.present.contains(module));
        for blob in module.into_iter().chain(grant.input.blob()) {
            missing += 1;
            let waiting = self.fetching.entry(blob).or_default();
            waiting.push(run);
            if waiting.len() == 1 {
                ctx.emit(Effect::Fetch { blob, from: alloc::vec![owner] });
            }
        }
        let stage = if missing == 0 { Stage::Ready } else { Stage::Fetching(missing) };
        if stage == Stage::Ready {
            self.ready.push_back(run);
        }
        let held = Held {
            owner,
            lease: grant.lease,
            program: program.clone(),
            input: grant.input,
            stage,
            awarded_at: ctx.now,
            handed_at: ctx.now,
        };
        self.runs.insert(run, held);
        self.leases.insert(key, run);
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, found: bool) {
        let Some(runs) = self.fetching.remove(&blob) else { return };
        for run in runs {
            let Some(held) = self.runs.get_mut(&run) else { continue };
            let Stage::Fetching(missing) = held.stage else { continue };
            if !found {
                let text = alloc::format!("the worker could not fetch blob {blob}");
                self.finish(ctx, run, Report::bare(Outcome::Lost(text)));
                continue;
            }
            if held.program.module == blob {
                if self.present.len() >= PRESENT_MAX {
                    self.present.clear();
                }
                self.present.insert(blob);
            }
            held.stage = if missing > 1 { Stage::Fetching(missing - 1) } else { Stage::Ready };
            if held.stage == Stage::Ready {
                self.ready.push_back(run);
            }
        }
    }

    /// Hands ready tasks to the slots: one a slot, and for short tasks some ahead, since handing over costs more than
    /// they do.
    pub(crate) fn dispatch(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(&run) = self.ready.front() {
            let Some(held) = self.runs.get_mut(&run).filter(|held| held.stage == Stage::Ready) else {
                self.ready.pop_front();
                continue;
            };
            let service_us = self.services.estimate_us(held.owner, held.lease.job);
            if self.handed >= window::slots_to_hand(self.slots, service_us) {
                break;
            }
            self.ready.pop_front();
            held.stage = Stage::Handed;
            held.handed_at = ctx.now;
            self.handed += 1;
            let task = held.program.task_id(&held.input);
            let work = Work { task, program: held.program.clone(), input: held.input.clone() };
            ctx.emit(Effect::Execute { run, work });
        }
    }

    pub(crate) fn on_ran(&mut self, ctx: &mut Ctx<'_>, run: RunId, mut report: Report) {
        let Some(held) = self.runs.get(&run) else { return };
        match held.stage {
            Stage::Handed => {
                self.handed -= 1;
                ctx.counters.executed += 1;
                report.usage.queue_us =
                    report.usage.queue_us.saturating_add(held.handed_at.since_us(held.awarded_at));
                if matches!(report.outcome, Outcome::Lost(_)) {
                    // The module may be what was lost: the next task looks for it again.
                    self.present.remove(&held.program.module);
                } else {
                    self.services.measure(held.owner, held.lease.job, report.usage.wall_us);
                }
                self.finish(ctx, run, report);
            }
            Stage::Aborted => {
                self.handed -= 1;
                self.runs.remove(&run);
            }
            Stage::Fetching(_) | Stage::Ready => {}
        }
    }

    fn finish(&mut self, ctx: &mut Ctx<'_>, run: RunId, report: Report) {
        let Some(held) = self.runs.remove(&run) else { return };
        self.leases.remove(&(held.owner, held.lease));
        self.outbox.put(ctx, held.owner, held.lease, report);
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        for lease in leases {
            self.outbox.forget(owner, *lease);
            let Some(run) = self.leases.remove(&(owner, *lease)) else { continue };
            let Some(held) = self.runs.get_mut(&run) else { continue };
            if held.stage == Stage::Handed {
                held.stage = Stage::Aborted;
                ctx.emit(Effect::Abort(run));
            } else {
                self.runs.remove(&run);
            }
        }
    }

    pub(crate) fn on_ack(&mut self, owner: PeerId, leases: &[LeaseId]) {
        for lease in leases {
            self.outbox.forget(owner, *lease);
        }
    }

    // ---- peers and time

    pub(crate) fn on_peer_up(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId) {
        self.renew(ctx, members, Some(owner));
        self.outbox.resend_now(owner, ctx.now);
    }

    /// Its bids are void; what it awarded runs on, for its owner may come back, or be reached another way.
    pub(crate) fn on_peer_down(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId) {
        self.renew(ctx, members, Some(owner));
        self.forget_calls(owner);
    }

    fn forget_calls(&mut self, owner: PeerId) {
        let calls: Vec<_> = self.calls.keys().filter(|(of, _)| *of == owner).copied().collect();
        for key in calls {
            self.calls.remove(&key);
        }
        self.release_where(|reservation| reservation.owner == owner);
    }

    /// The owner forgot all its jobs: so do we.
    pub(crate) fn on_peer_restarted(&mut self, ctx: &mut Ctx<'_>, owner: PeerId) {
        self.forget_calls(owner);
        let range = (owner, LeaseId::FIRST)..=(owner, LeaseId::LAST);
        let leases: Vec<LeaseId> = self.leases.range(range).map(|((_, lease), _)| *lease).collect();
        self.on_cancel(ctx, owner, &leases);
        self.outbox.forget_owner(owner);
    }

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        while let Some(&(end, bid)) = self.bid_ends.first() {
            if end > ctx.now {
                break;
            }
            self.end_unused(bid);
        }
        let ended: Vec<_> =
            self.calls.iter().filter(|(_, open)| open.expires_at <= ctx.now).map(|(key, _)| *key).collect();
        for key in ended {
            self.calls.remove(&key);
        }
        if self.renew_at.is_some_and(|at| at <= ctx.now) {
            self.renew(ctx, members, None);
            self.renew_at = Some(ctx.now.plus_ms(ctx.mesh.renew_ms)).filter(|_| !self.leases.is_empty());
        }
        self.outbox.on_time(ctx, members);
    }

    /// Tells one owner, or every owner, what we still hold of it.
    fn renew(&mut self, ctx: &mut Ctx<'_>, members: &Membership, only: Option<PeerId>) {
        let mut frames: BTreeMap<PeerId, Vec<LeaseRange>> = BTreeMap::new();
        for (owner, lease) in self.leases.keys() {
            if only.is_some_and(|wanted| wanted != *owner) {
                continue;
            }
            let ranges = frames.entry(*owner).or_default();
            match ranges.last_mut() {
                Some(range) if range.continues_with(*lease) => range.count += 1,
                _ => ranges.push(LeaseRange { first: *lease, count: 1 }),
            }
        }
        for (owner, mut ranges) in frames {
            if owner != ctx.me && !members.is_connected(owner) {
                ranges.truncate(GOSSIP_RANGES_MAX);
                ctx.emit(Effect::Publish(Gossip::Renew { owner, leases: ranges }));
                continue;
            }
            for part in ranges.chunks(BATCH_MAX) {
                ctx.send(owner, Message::Renew(part.to_vec()));
            }
        }
    }

    /// Sends what ended while the input was handled.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>) {
        self.outbox.flush(ctx);
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let bid = self.bid_ends.first().map(|(at, _)| (*at, "a bid ends"));
        let call = self.calls.values().map(|open| (open.expires_at, "a call ends")).min();
        let renew = self.renew_at.map(|at| (at, "leases are renewed"));
        let outbox = self.outbox.next_wakeup().map(|at| (at, "an outcome is sent again"));
        [bid, call, renew, outbox].into_iter().flatten().min()
    }

    // ---- views

    /// Tasks held, whatever their stage, but not those only waiting to be aborted.
    pub(crate) fn held(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn handed(&self) -> u32 {
        self.handed
    }

    pub(crate) fn reserved(&self) -> u32 {
        self.reserved
    }

    pub(crate) fn undelivered(&self) -> usize {
        self.outbox.len()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn reservations(&self) -> usize {
        self.bids.len()
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.leases.keys().copied()
    }
}

/// Most that a worker ever holds and has promised together.
pub(crate) fn offered_max(slots: u32) -> u32 {
    window::slots_to_offer(slots, 1, u32::MAX)
}

fn is_sound(award: &Award, job: JobId) -> bool {
    let fits = |grant: &Grant| match &grant.input {
        Payload::Inline(bytes) => bytes.len() <= INLINE_BYTES_MAX,
        Payload::Blob { .. } => true,
    };
    award.grants.iter().all(|grant| grant.lease.job == job && fits(grant))
}

fn decline(ctx: &mut Ctx<'_>, owner: PeerId, call: CallId, reason: Reason, retry_after_ms: Option<u32>) {
    ctx.counters.declines += 1;
    ctx.send(owner, Message::Decline(Decline { call, reason, retry_after_ms }));
}
