//! The exchange: the soft role of one node a cell. Workers stand bids here, owners seek here, and it introduces one to
//! the other: a bid that is handed on is forgotten, like a credit that changes hands. It decides nothing and promises
//! nothing; owners and workers say again within a second what it may have lost. Driven by the engine.
//!
//! **Simulated only:** see [`crate::cells`].
//!
//! - A worker *stands* what no owner wants as a bid here (`worker/advertise.rs`) and repeats it each second. A direct call
//!   takes it back, unless it is so young that it may be on its way to an owner.
//! - An owner *seeks* here in proportion to the cell's slots (`owner/seek.rs`). The exchange *introduces*: it hands a bid
//!   on and forgets it. The owner *hires*: call and award in one. The worker checks as for any call.
//! - A task of several slots is introduced only to a bid of as many; bids are seldom so wide, so mostly it gets its slots
//!   by direct calls. A worker that keeps slots free for one stands nothing meanwhile.
//! - A worker that the owner does not trust, or that had its part in a task which several compute, is given back and named
//!   in the next seek, so that it is not introduced again and again.
//! - A seek that finds no bid keeps its place, and the exchange *scouts* at one other, which *lends* what no owner wants
//!   there. Seeks that walk on, and choosing by reported load, were tried and were worse: they lose the place in the
//!   queue, and reports are old and herd.
//!
//! A node that is asked serves, whether it thinks to be the cell's exchange or not, so that nodes may disagree. Cost of one
//! word: at most [`LOOKS_MAX`] entries are looked at, whatever it brings and whatever the cell's size. Without cells none of
//! these words is heard; a hire is refused.

mod lend;
mod seeks;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BidId, CallId, PeerId};
use crate::membership::Membership;
use crate::message::{Capacity, Class, Gossip, Message, Needs};
use crate::referral::{CellWord, Introduction, STAND_MAX, Seek};
use crate::time::{Soonest, Time};

/// Bids of one worker that stand; beyond it a new one is dropped.
const BIDS_PER_WORKER_MAX: usize = 256;
/// Bids that stand; beyond it a new one is dropped, and its worker stands it again a second later.
const BIDS_MAX: usize = 65_536;
/// Entries that are looked at for one that fits; behind it, what fits is found by its owner's direct calls.
const LOOK_MAX: usize = 64;
/// Entries that are looked at for one word in all; what was not served then is served by a later word.
const LOOKS_MAX: usize = 512;
/// Slots that one bid is believed to have.
const SLOTS_MAX: u32 = 65_536;
/// How often what ended is swept out, in milliseconds.
const SWEEP_MS: u64 = 500;

/// Most urgent first, then whoever came first.
type Turn = (Reverse<Class>, u64);

/// The role.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    bids: BTreeMap<BidId, Standing>,
    /// In the order in which they came.
    order: BTreeSet<(u64, BidId)>,
    by_worker: BTreeMap<PeerId, BTreeSet<BidId>>,
    waiting: BTreeMap<Turn, Waiting>,
    places: BTreeMap<(PeerId, CallId, u32), Turn>,
    /// Memory of the seeks that wait, in bytes: of each owner, and of all.
    seek_bytes_of: BTreeMap<PeerId, usize>,
    seek_bytes: usize,
    /// Entries that may still be looked at for the word that is answered now.
    looks_left: usize,
    next_turn: u64,
    /// There are cells, so that it is heard.
    open: bool,
    /// Seeks whose owners were not told yet that they wait, and when they are.
    untold: VecDeque<(Time, Turn)>,
    /// Other exchanges that scouted here in vain.
    short: VecDeque<lend::Short>,
    /// What others were asked to lend.
    scouted: lend::Scouted,
    sweep_at: Option<Time>,
    /// When to look whether there is something to tell everybody; `None` while this node does not serve.
    tell_at: Option<Time>,
    /// Slots that were told, and when.
    told: (u32, Time),
}

#[derive(Debug)]
struct Standing {
    worker: PeerId,
    left: u32,
    turn: u64,
    expires_at: Time,
}

#[derive(Debug)]
struct Waiting {
    owner: PeerId,
    seek: Seek,
    expires_at: Time,
}

impl Exchange {
    // ---- workers

    pub(crate) fn on_stand(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        worker: PeerId,
        bids: Vec<(BidId, u32)>,
        ttl_ms: u32,
    ) {
        self.looks_left = LOOKS_MAX;
        let expires_at = ctx.now.plus_ms(u64::from(ttl_ms).min(ctx.mesh.bid_ms));
        ctx.look(bids.len().min(STAND_MAX));
        for (bid, slots) in bids.into_iter().take(STAND_MAX) {
            self.take(ctx, members, (worker, bid, slots), expires_at);
        }
        self.lend_on(ctx);
    }

    /// A bid stands here from now on, as far as nobody waits for it.
    fn take(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        (worker, bid, slots): (PeerId, BidId, u32),
        expires_at: Time,
    ) {
        if self.bids.get(&bid).is_some_and(|standing| standing.worker != worker) {
            ctx.counters.dropped += 1;
            return;
        }
        let turn = self.drop_bid(bid).map(|standing| standing.turn);
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
        self.bids.insert(bid, Standing { worker, left, turn, expires_at });
        self.order.insert((turn, bid));
        self.by_worker.entry(worker).or_default().insert(bid);
        self.sweep_at.get_or_insert(ctx.now.plus_ms(SWEEP_MS));
    }

    /// Hands slots to seeks that wait for such; how many are left.
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
                let room = waiting.seek.needs.width() <= left;
                room && waiting.expires_at > ctx.now
                    && suits(ctx, members, worker, (waiting.owner, &waiting.seek))
            };
            let mut looked = 0;
            let mut queue = self.waiting.iter().take(LOOK_MAX.min(self.looks_left)).inspect(|_| looked += 1);
            let first = queue.find(|(_, waiting)| wanted(waiting)).map(|(turn, _)| *turn);
            self.look(ctx, looked);
            let Some(turn) = first else { return left };
            let Some(waiting) = self.waiting.get_mut(&turn) else { return left };
            let width = waiting.seek.needs.width();
            let tasks = (left / width).min(waiting.seek.count);
            introduce(ctx, waiting.owner, &waiting.seek, (worker, bid, tasks), expires_at);
            left -= tasks * width;
            waiting.seek.count -= tasks;
            if waiting.seek.count == 0 {
                self.drop_seek(turn);
            }
        }
        0
    }

    // ---- owners

    pub(crate) fn on_seek(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId, mut seek: Seek) {
        self.looks_left = LOOKS_MAX;
        let place = (owner, seek.call, seek.desk);
        let kept = self.places.get(&place).copied();
        kept.into_iter().for_each(|turn| self.drop_seek(turn));
        if seek.count == 0 {
            return;
        }
        if !seek.is_sound() {
            ctx.counters.dropped += 1;
            return;
        }
        self.match_bids(ctx, members, owner, &mut seek);
        if seek.count == 0 {
            return;
        }
        // What is lent is lent slot by slot.
        let scouts = kept.is_none() && seek.needs.labels.is_empty() && seek.needs.width() == 1;
        let (count, memory_bytes) = (seek.count, seek.memory_bytes);
        if self.keep(ctx, owner, seek, kept) && scouts {
            self.scout(ctx, members, count, memory_bytes);
        }
    }

    /// Hands standing bids to a seek, the longest-standing first.
    fn match_bids(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId, seek: &mut Seek) {
        let mut looked_at = None;
        for _ in 0..LOOK_MAX {
            if seek.count == 0 {
                return;
            }
            let next = match looked_at {
                None => self.order.first(),
                Some(last) => {
                    self.order.range((core::ops::Bound::Excluded(last), core::ops::Bound::Unbounded)).next()
                }
            };
            let Some((turn, bid)) = next.copied() else { return };
            looked_at = Some((turn, bid));
            self.look(ctx, 1);
            let Some(standing) = self.bids.get_mut(&bid) else { continue };
            let (worker, expires_at) = (standing.worker, standing.expires_at);
            if expires_at <= ctx.now {
                self.drop_bid(bid);
                continue;
            }
            if !suits(ctx, members, worker, (owner, seek)) {
                continue;
            }
            let width = seek.needs.width();
            let tasks = (standing.left / width).min(seek.count);
            if tasks == 0 {
                continue;
            }
            standing.left -= tasks * width;
            if standing.left == 0 {
                self.drop_bid(bid);
            }
            introduce(ctx, owner, seek, (worker, bid, tasks), expires_at);
            seek.count -= tasks;
        }
    }

    // ---- peers and time

    /// Its bids are void, and nobody need be introduced to it.
    pub(crate) fn on_peer_down(&mut self, peer: PeerId) {
        for bid in self.by_worker.remove(&peer).unwrap_or_default() {
            self.drop_bid(bid);
        }
        self.drop_seeks((peer, CallId(0), 0)..=(peer, CallId(u64::MAX), u32::MAX));
    }

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &Membership, own_slots: u32) {
        if !members.cells().on() {
            // Nothing that is said of it is heard any more, so it would be false when there are cells again.
            if core::mem::take(&mut self.open) {
                *self = Self { next_turn: self.next_turn, ..Self::default() };
            }
            return;
        }
        self.open = true;
        while self.untold.front().is_some_and(|(at, _)| *at <= ctx.now) {
            let Some((_, turn)) = self.untold.pop_front() else { break };
            let Some(Waiting { owner, seek, .. }) = self.waiting.get(&turn) else { continue };
            let Seek { call, desk, count, .. } = *seek;
            ctx.send(*owner, Message::Cell(CellWord::Waits { call, desk, count }));
        }
        if self.sweep_at.is_some_and(|at| at <= ctx.now) {
            self.sweep(ctx.now);
            let idle = self.bids.is_empty() && self.waiting.is_empty();
            self.sweep_at = Some(ctx.now.plus_ms(SWEEP_MS)).filter(|_| !idle);
        }
        let others_stand = self.by_worker.keys().any(|worker| *worker != ctx.me);
        let serves = members.cells().is_exchange() || others_stand;
        if !serves {
            self.tell_at = None;
            self.told = (0, Time::ZERO);
            return;
        }
        // Not at once: a node that joins thinks for a moment that it is alone in its cell.
        let tell_at = *self.tell_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.seek_ms));
        if tell_at <= ctx.now {
            self.tell_at = Some(ctx.now.plus_ms(ctx.mesh.stand_ms));
            self.tell(ctx, members.slots_of_cell().saturating_add(own_slots));
        }
    }

    /// Tells the mesh that this node serves so many slots: seldom, and when that changed by a twentieth.
    fn tell(&mut self, ctx: &mut Ctx<'_>, slots: u32) {
        let (told, at) = self.told;
        let changed = slots.abs_diff(told) > told / 20;
        if changed || ctx.now.since_us(at) >= 1000 * ctx.mesh.cell_tell_ms {
            self.told = (slots, ctx.now);
            ctx.emit(Effect::Publish(Gossip::Exchange { slots }));
        }
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.sweep_at, "the exchange is swept");
        next.at(self.tell_at, "an exchange tells that it serves");
        next.at(self.untold.front().map(|(at, _)| *at), "an owner is told that it waits");
        next.get()
    }

    fn sweep(&mut self, now: Time) {
        let bids = self.bids.iter().filter(|(_, standing)| standing.expires_at <= now);
        for bid in bids.map(|(bid, _)| *bid).collect::<Vec<_>>() {
            self.drop_bid(bid);
        }
        let seeks = self.waiting.iter().filter(|(_, waiting)| waiting.expires_at <= now);
        for turn in seeks.map(|(turn, _)| *turn).collect::<Vec<_>>() {
            self.drop_seek(turn);
        }
    }

    // ---- views and bookkeeping

    /// Seeks that wait here.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bids that stand here.
    pub(crate) fn standing(&self) -> usize {
        self.bids.len()
    }

    fn turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }

    fn drop_bid(&mut self, bid: BidId) -> Option<Standing> {
        let standing = self.bids.remove(&bid)?;
        self.order.remove(&(standing.turn, bid));
        if let Some(all) = self.by_worker.get_mut(&standing.worker) {
            all.remove(&bid);
            if all.is_empty() {
                self.by_worker.remove(&standing.worker);
            }
        }
        Some(standing)
    }

    /// So many entries were looked at for the word that is answered now.
    fn look(&mut self, ctx: &mut Ctx<'_>, count: usize) {
        self.looks_left = self.looks_left.saturating_sub(count);
        ctx.look(count);
    }
}

fn introduce(
    ctx: &mut Ctx<'_>,
    owner: PeerId,
    seek: &Seek,
    (worker, bid, tasks): (PeerId, BidId, u32),
    expires_at: Time,
) {
    ctx.counters.introduced += 1;
    let ttl_ms = u32::try_from(expires_at.since_us(ctx.now) / 1000).unwrap_or(u32::MAX);
    let word = Introduction { call: seek.call, desk: seek.desk, worker, bid, slots: tasks, ttl_ms };
    ctx.send(owner, Message::Cell(CellWord::Introduce(word)));
}

/// Whether a worker may be introduced to an owner that seeks: neither does without the other, by what is known.
fn suits(ctx: &Ctx<'_>, members: &Membership, worker: PeerId, (owner, seek): (PeerId, &Seek)) -> bool {
    let Seek { needs, memory_bytes, without, class, .. } = seek;
    let takes = |told: &Capacity| *class >= told.class_min && (owner == worker || told.owners.takes(owner));
    !without.contains(&worker)
        && fits(ctx, members, worker, needs, *memory_bytes)
        && members.told(worker).is_none_or(takes)
}

/// Whether a worker may be able to run a task, by what it told about itself; the worker itself has the last word. Of
/// whom nothing is known, nothing but room is expected.
fn fits(ctx: &Ctx<'_>, members: &Membership, worker: PeerId, needs: &Needs, memory_bytes: u64) -> bool {
    if worker == ctx.me {
        return needs.labels.is_empty();
    }
    let told = members.told(worker);
    told.map_or(needs.labels.is_empty(), |told| {
        let labels = needs.labels.iter().all(|wanted| told.labels.contains(wanted));
        labels && memory_bytes <= told.memory_bytes && !told.draining
    })
}
