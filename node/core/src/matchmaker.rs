//! The matchmaker: a soft role of one node per cell. Workers advertise bids here, owners send requests, and it matches
//! one to the other: it passes a bid to one owner and forgets it. It has no authority and no durable state; owners and
//! workers repeat within a second what it may have lost. Driven by the engine.
//!
//! **Simulated only:** see [`crate::cells`].
//!
//! - A worker *advertises* slots that no owner wants as a bid here (`worker/advertise.rs`) and repeats it each second.
//!   When an owner calls directly, the worker withdraws the bid, unless it is so new that it may be on its way to an
//!   owner.
//! - An owner sends *requests* in proportion to each cell's slots (`owner/dispatch/matchmaking.rs`). The matchmaker
//!   *matches*: it passes on a bid and forgets it. The owner *claims*: call and award in one message. The worker checks
//!   them as for any call.
//! - A multi-slot task is matched only to a bid of as many slots. Such bids are rare, so it mostly gets its slots by
//!   direct calls. A worker that reserves slots for one advertises nothing meanwhile.
//! - A worker that the owner does not trust, or that computed another copy of the task already, is released and named
//!   in the next request, so that it is not matched repeatedly.
//! - A request that finds no bid keeps its place in the queue, and the matchmaker *flocks*: it asks one other, which
//!   passes on bids that no owner wants there. Forwarding requests and choosing by reported load were tried and were
//!   worse: they lose the place in the queue, and outdated reports cause herding.
//!
//! A node serves all requests, whether it believes to be the cell's matchmaker or not, so that nodes may disagree. Cost
//! of one message: at most [`MESSAGE_SCAN_MAX`] entries are examined, whatever it contains and whatever the cell's
//! size. Without cells these messages are dropped, and a claim is refused.

mod eligibility;
mod flock;
mod requests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BidId, CallId, PeerId};
use crate::membership::Membership;
use crate::message::{Class, Gossip, Message};
use crate::referral::{ADVERTS_MAX, BidRequest, CellMessage, Match};
use crate::time::{Soonest, Time};
use eligibility::suits;

/// Bids of one worker; beyond it a new one is dropped.
const BIDS_PER_WORKER_MAX: usize = 256;
/// Bids of all workers; beyond it a new one is dropped, and its worker repeats it a second later.
const BIDS_MAX: usize = 65_536;
/// Entries examined for one that fits; if a later one fits, its owner's direct calls find it.
const SCAN_MAX: usize = 64;
/// Entries examined for one message in all; what was not served then is served by a later message.
const MESSAGE_SCAN_MAX: usize = 512;
/// Most slots that are accepted for one bid.
const SLOTS_MAX: u32 = 65_536;
/// Interval between sweeps of expired entries, in milliseconds.
const SWEEP_MS: u64 = 500;

/// Order of waiting requests: most urgent first, then in order of arrival.
type Turn = (Reverse<Class>, u64);

/// The matchmaker's state.
#[derive(Debug, Default)]
pub(crate) struct Matchmaker {
    bids: BTreeMap<BidId, Advert>,
    /// Bids in order of arrival.
    order: BTreeSet<(u64, BidId)>,
    by_worker: BTreeMap<PeerId, BTreeSet<BidId>>,
    waiting: BTreeMap<Turn, Waiting>,
    places: BTreeMap<(PeerId, CallId, u32), Turn>,
    /// Memory of the waiting requests, in bytes: of each owner, and of all.
    request_bytes_of: BTreeMap<PeerId, usize>,
    request_bytes: usize,
    /// Entries that may still be examined for the current message.
    scans_left: usize,
    next_turn: u64,
    /// Whether there are cells, so that the role is active.
    open: bool,
    /// Waiting requests whose owners were not notified yet, and when they will be.
    untold: VecDeque<(Time, Turn)>,
    /// Other matchmakers that asked here and got too few bids.
    short: VecDeque<flock::Short>,
    /// Bids that other matchmakers were asked for.
    asked: flock::Asked,
    sweep_at: Option<Time>,
    /// When to check whether the cell's slots are to be announced; `None` while this node does not serve.
    tell_at: Option<Time>,
    /// The slots announced last, and when.
    told: (u32, Time),
}

#[derive(Debug)]
struct Advert {
    worker: PeerId,
    left: u32,
    turn: u64,
    expires_at: Time,
}

#[derive(Debug)]
struct Waiting {
    owner: PeerId,
    request: BidRequest,
    expires_at: Time,
}

impl Matchmaker {
    // ---- workers

    pub(crate) fn on_advertise(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        worker: PeerId,
        bids: Vec<(BidId, u32)>,
        ttl_ms: u32,
    ) {
        self.scans_left = MESSAGE_SCAN_MAX;
        let expires_at = ctx.now.plus_ms(u64::from(ttl_ms).min(ctx.mesh.bid_ms));
        ctx.examine(bids.len().min(ADVERTS_MAX));
        for (bid, slots) in bids.into_iter().take(ADVERTS_MAX) {
            self.take(ctx, members, (worker, bid, slots), expires_at);
        }
        self.serve_short(ctx);
    }

    /// Serves waiting requests with a bid, and keeps what is left of it.
    fn take(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        (worker, bid, slots): (PeerId, BidId, u32),
        expires_at: Time,
    ) {
        if self.bids.get(&bid).is_some_and(|advert| advert.worker != worker) {
            ctx.counters.dropped += 1;
            return;
        }
        let turn = self.drop_bid(bid).map(|advert| advert.turn);
        let left = self.serve(ctx, members, worker, bid, slots.min(SLOTS_MAX), expires_at);
        if left == 0 {
            return;
        }
        let of_worker = self.by_worker.get(&worker).map_or(0, BTreeSet::len);
        if of_worker >= BIDS_PER_WORKER_MAX || self.bids.len() >= BIDS_MAX {
            ctx.counters.dropped += 1;
            return;
        }
        let turn = turn.unwrap_or_else(|| self.turn());
        self.bids.insert(bid, Advert { worker, left, turn, expires_at });
        self.order.insert((turn, bid));
        self.by_worker.entry(worker).or_default().insert(bid);
        self.sweep_at.get_or_insert(ctx.now.plus_ms(SWEEP_MS));
    }

    /// Passes slots of a bid to waiting requests that fit; returns the slots left.
    fn serve(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        worker: PeerId,
        bid: BidId,
        mut left: u32,
        expires_at: Time,
    ) -> u32 {
        while left > 0 {
            let wanted = |waiting: &Waiting| {
                let room = waiting.request.needs.task_slots() <= left;
                room && waiting.expires_at > ctx.now
                    && suits(ctx, members, worker, (waiting.owner, &waiting.request))
            };
            let mut examined = 0;
            let mut queue =
                self.waiting.iter().take(SCAN_MAX.min(self.scans_left)).inspect(|_| examined += 1);
            let first = queue.find(|(_, waiting)| wanted(waiting)).map(|(turn, _)| *turn);
            self.examine(ctx, examined);
            let Some(turn) = first else { return left };
            let Some(waiting) = self.waiting.get_mut(&turn) else { return left };
            let task_slots = waiting.request.needs.task_slots();
            let tasks = (left / task_slots).min(waiting.request.count);
            send_match(ctx, waiting.owner, &waiting.request, (worker, bid, tasks), expires_at);
            left -= tasks * task_slots;
            waiting.request.count -= tasks;
            if waiting.request.count == 0 {
                self.drop_request(turn);
            }
        }
        0
    }

    // ---- owners

    pub(crate) fn on_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        mut request: BidRequest,
    ) {
        self.scans_left = MESSAGE_SCAN_MAX;
        let place = (owner, request.call, request.request_id);
        let kept = self.places.get(&place).copied();
        kept.into_iter().for_each(|turn| self.drop_request(turn));
        if request.count == 0 {
            return;
        }
        if !request.is_sound() {
            ctx.counters.dropped += 1;
            return;
        }
        self.match_bids(ctx, members, owner, &mut request);
        if request.count == 0 {
            return;
        }
        // Bids are passed on one slot at a time.
        let asks = kept.is_none() && request.needs.labels.is_empty() && request.needs.task_slots() == 1;
        let (count, memory_bytes) = (request.count, request.memory_bytes);
        if self.keep(ctx, owner, request, kept) && asks {
            self.ask_others(ctx, members, count, memory_bytes);
        }
    }

    /// Passes advertised bids to a request, the oldest first.
    fn match_bids(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        request: &mut BidRequest,
    ) {
        let mut checked_at = None;
        for _ in 0..SCAN_MAX {
            if request.count == 0 {
                return;
            }
            let next = match checked_at {
                None => self.order.first(),
                Some(last) => {
                    self.order.range((core::ops::Bound::Excluded(last), core::ops::Bound::Unbounded)).next()
                }
            };
            let Some((turn, bid)) = next.copied() else { return };
            checked_at = Some((turn, bid));
            self.examine(ctx, 1);
            let Some(advert) = self.bids.get_mut(&bid) else { continue };
            let (worker, expires_at) = (advert.worker, advert.expires_at);
            if expires_at <= ctx.now {
                self.drop_bid(bid);
                continue;
            }
            if !suits(ctx, members, worker, (owner, request)) {
                continue;
            }
            let task_slots = request.needs.task_slots();
            let tasks = (advert.left / task_slots).min(request.count);
            if tasks == 0 {
                continue;
            }
            advert.left -= tasks * task_slots;
            if advert.left == 0 {
                self.drop_bid(bid);
            }
            send_match(ctx, owner, request, (worker, bid, tasks), expires_at);
            request.count -= tasks;
        }
    }

    // ---- peers and time

    /// Drops its bids and its requests.
    pub(crate) fn on_peer_down(&mut self, peer: PeerId) {
        for bid in self.by_worker.remove(&peer).unwrap_or_default() {
            self.drop_bid(bid);
        }
        self.drop_requests((peer, CallId(0), 0)..=(peer, CallId(u64::MAX), u32::MAX));
    }

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &Membership, own_slots: u32) {
        if !members.cells().on() {
            // Without cells its messages are dropped, so its state would be outdated when there are cells again.
            if core::mem::take(&mut self.open) {
                *self = Self { next_turn: self.next_turn, ..Self::default() };
            }
            return;
        }
        self.open = true;
        while self.untold.front().is_some_and(|(at, _)| *at <= ctx.now) {
            let Some((_, turn)) = self.untold.pop_front() else { break };
            let Some(Waiting { owner, request, .. }) = self.waiting.get(&turn) else { continue };
            let BidRequest { call, request_id, .. } = *request;
            ctx.send(*owner, Message::Cell(CellMessage::Waits { call, request_id }));
        }
        if self.sweep_at.is_some_and(|at| at <= ctx.now) {
            self.sweep(ctx.now);
            let idle = self.bids.is_empty() && self.waiting.is_empty();
            self.sweep_at = Some(ctx.now.plus_ms(SWEEP_MS)).filter(|_| !idle);
        }
        let others_stand = self.by_worker.keys().any(|worker| *worker != ctx.me);
        let serves = members.cells().is_matchmaker() || others_stand;
        if !serves {
            self.tell_at = None;
            self.told = (0, Time::ZERO);
            return;
        }
        // Not at once: a node that joins sees no other node of its cell at first.
        let tell_at = *self.tell_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.request_ms));
        if tell_at <= ctx.now {
            self.tell_at = Some(ctx.now.plus_ms(ctx.mesh.advertise_ms));
            self.tell(ctx, members.slots_of_cell().saturating_add(own_slots));
        }
    }

    /// Announces the slots that this node serves: rarely, and when they changed by more than a twentieth.
    fn tell(&mut self, ctx: &mut Ctx<'_>, slots: u32) {
        let (told, at) = self.told;
        let changed = slots.abs_diff(told) > told / 20;
        if changed || ctx.now.since_us(at) >= 1000 * ctx.mesh.cell_tell_ms {
            self.told = (slots, ctx.now);
            ctx.emit(Effect::Publish(Gossip::Matchmaker { slots }));
        }
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.sweep_at, "the matchmaker sweeps expired entries");
        next.at(self.tell_at, "the matchmaker announces its cell");
        next.at(self.untold.front().map(|(at, _)| *at), "an owner is told that its request waits");
        next.get()
    }

    fn sweep(&mut self, now: Time) {
        let bids = self.bids.iter().filter(|(_, advert)| advert.expires_at <= now);
        for bid in bids.map(|(bid, _)| *bid).collect::<Vec<_>>() {
            self.drop_bid(bid);
        }
        let requests = self.waiting.iter().filter(|(_, waiting)| waiting.expires_at <= now);
        for turn in requests.map(|(turn, _)| *turn).collect::<Vec<_>>() {
            self.drop_request(turn);
        }
    }

    // ---- views and bookkeeping

    /// Requests that wait here.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bids advertised here.
    pub(crate) fn advertised(&self) -> usize {
        self.bids.len()
    }

    fn turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }

    fn drop_bid(&mut self, bid: BidId) -> Option<Advert> {
        let advert = self.bids.remove(&bid)?;
        self.order.remove(&(advert.turn, bid));
        if let Some(all) = self.by_worker.get_mut(&advert.worker) {
            all.remove(&bid);
            if all.is_empty() {
                self.by_worker.remove(&advert.worker);
            }
        }
        Some(advert)
    }

    /// Counts examined entries for the current message.
    fn examine(&mut self, ctx: &mut Ctx<'_>, count: usize) {
        self.scans_left = self.scans_left.saturating_sub(count);
        ctx.examine(count);
    }
}

fn send_match(
    ctx: &mut Ctx<'_>,
    owner: PeerId,
    request: &BidRequest,
    (worker, bid, tasks): (PeerId, BidId, u32),
    expires_at: Time,
) {
    ctx.counters.matched += 1;
    let ttl_ms = u32::try_from(expires_at.since_us(ctx.now) / 1000).unwrap_or(u32::MAX);
    let word =
        Match { call: request.call, request_id: request.request_id, worker, bid, slots: tasks, ttl_ms };
    ctx.send(owner, Message::Cell(CellMessage::Match(word)));
}
