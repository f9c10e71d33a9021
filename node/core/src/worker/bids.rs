//! The worker as a bidder: which calls it answers, what it offers, and how an offer ends. A bid reserves its slots; what
//! is reserved and held together never exceeds the window.

use alloc::vec::Vec;

use super::{OpenCall, Reservation, Worker};
use crate::ctx::Ctx;
use crate::id::{BidId, CallId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{Award, Bid, Call, Class, Decline, Message, Needs, Reason};
use crate::policy::order::{self, Claim, Turn};
use crate::policy::{admission, fit, never, window};
use crate::task::Program;
use crate::time::Time;

/// Calls remembered for one owner; beyond it a new one is declined.
const CALLS_PER_OWNER_MAX: usize = 64;
/// Calls remembered in all; beyond it a new one is declined.
const CALLS_MAX: usize = 4096;

impl Worker {
    pub(crate) fn on_call(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId, call: Call) {
        if let Some((reason, retry_after_ms)) = self.refusal(owner, &call) {
            self.calls.remove(&(owner, call.call));
            decline(ctx, owner, call.call, reason, retry_after_ms);
            return;
        }
        if self.on_short_call(ctx, members, owner, &call) {
            return;
        }
        self.stats.hint(owner, call.job, call.service_us);
        let expires_at = ctx.now.plus_ms(ctx.mesh.call_ttl_ms);
        let (name, count) = (call.call, call.count);
        let (program, key) = ctx.programs.intern(&call.program);
        let call = Call { program, ..call };
        let due = call.deadline_ms.map(|ms| ctx.now.plus_ms(u64::from(ms)));
        let waits_since = Time(ctx.now.0.saturating_sub(1000 * u64::from(call.waited_ms)));
        let promised = self.calls.get(&(owner, name)).is_some_and(|open| open.reserved > 0);
        if let Some(reason) = self.too_late(ctx.now, owner, &call, due).filter(|_| !promised) {
            self.calls.remove(&(owner, name));
            decline(ctx, owner, name, reason, Some(1000));
            return;
        }
        let turn = self.next_turn;
        let open = self.calls.entry((owner, name)).or_insert_with(|| OpenCall {
            key,
            call,
            wanted: count,
            reserved: 0,
            expires_at,
            turn,
            due,
            waits_since,
        });
        self.next_turn += 1;
        self.call_end.get_or_insert(expires_at);
        (open.wanted, open.expires_at) = (count, expires_at);
        (open.due, open.waits_since) = (due, waits_since);
        if owner != ctx.me && self.stands.slots > 0 {
            self.on_passed_over(ctx);
        }
        self.offer(ctx, members);
        let unserved = self.calls.get(&(owner, name)).is_some_and(|open| open.reserved == 0);
        if unserved && count > 0 {
            let reason = Reason::Busy { slots: self.slots, held: self.runs.held_slots() + self.reserved };
            decline(ctx, owner, name, reason, Some(1000));
        }
    }

    pub(super) fn refusal(&self, owner: PeerId, call: &Call) -> Option<(Reason, Option<u32>)> {
        if let Some(inability) = self.inability(owner, &call.program, &call.needs, call.class) {
            return Some(inability);
        }
        let of_owner = (owner, CallId(0))..=(owner, CallId(u64::MAX));
        let full = self.calls.len() >= CALLS_MAX || self.calls.range(of_owner).count() >= CALLS_PER_OWNER_MAX;
        if full && !self.calls.contains_key(&(owner, call.call)) {
            return Some((Reason::TooManyCalls, Some(1000)));
        }
        None
    }

    /// Why this node can't run such a task of that owner, and when to ask again.
    pub(super) fn inability(
        &self,
        owner: PeerId,
        program: &Program,
        needs: &Needs,
        class: Class,
    ) -> Option<(Reason, Option<u32>)> {
        if self.draining {
            return Some((Reason::Draining, Some(10_000)));
        }
        if self.no_room_until.is_some() {
            return Some((Reason::NoRoom, Some(1000)));
        }
        if let Some(reason) = never::never(program, needs) {
            return Some((reason, None));
        }
        if program.module_bytes > self.module_bytes {
            let (name, wanted, most) = ("module_bytes".into(), program.module_bytes, self.module_bytes);
            return Some((Reason::Limit { name, wanted, most }, None));
        }
        let task = fit::Task { owner, needs, program, class };
        fit::unfit(self.as_node(), task).map(|reason| (reason, None))
    }

    /// This node, as far as it matters to a task.
    pub(super) fn as_node(&self) -> fit::Node<'_> {
        fit::Node {
            id: self.me,
            labels: &self.labels,
            memory_bytes: self.memory_bytes,
            slots: self.slots,
            class_min: self.class_min,
            owners: &self.owners,
        }
    }

    /// Why a task of a call can't be done here by when it is due.
    pub(super) fn too_late(
        &self,
        now: Time,
        owner: PeerId,
        call: &Call,
        due: Option<Time>,
    ) -> Option<Reason> {
        let left_us = due?.since_us(now);
        let service_us = self.stats.estimate_us(owner, call.job);
        let start_us = self.start_in_us(call.class, call.needs.width());
        admission::late(start_us, u64::from(service_us), left_us)
    }

    /// When a task of that class would get its slots, in microseconds from now.
    fn start_in_us(&self, class: Class, width: u32) -> u64 {
        let (held, work_us) = (self.runs.held_at_least(class), self.runs.work_us_at_least(class));
        admission::start_in_us(self.slots, width, held, work_us)
    }

    pub(crate) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.calls.remove(&(owner, call));
        self.release_where(|reservation| reservation.owner == owner && reservation.call == call);
    }

    pub(crate) fn on_release(&mut self, owner: PeerId, bid: BidId) {
        self.standings.release(owner, bid);
        // Whoever knows the name of a standing bid was introduced with it.
        if self.bids.get(&bid).is_some_and(|reservation| reservation.standing || reservation.owner == owner) {
            self.end_unused(bid);
        }
    }

    /// Offers free room to the calls that stand, in the order of [`order::turn`]. A call that is next but finds no room
    /// holds back those behind it, so that a stream of short tasks can't starve a long one; but it does not keep a
    /// more urgent one from stopping what runs.
    pub(crate) fn offer(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.speak_up(ctx, members);
        self.keeps = false;
        if !self.takes_work() || self.outbox.is_full() {
            self.stand_down();
            return;
        }
        if !self.calls.is_empty() {
            self.offer_to_calls(ctx, members);
        }
        self.stand(ctx, members);
    }

    /// Whether it takes work at all.
    pub(super) fn takes_work(&self) -> bool {
        !self.draining && self.no_room_until.is_none()
    }

    fn offer_to_calls(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        let mut full = false;
        let mut kept_for: Option<Class> = None;
        let wanting: Vec<PeerId> = self.wanting().map(|(key, _)| key.0).collect();
        self.shares.raise_floor(wanting.into_iter().chain(self.standings.at_work()));
        let standing = self.first_standing(ctx.now);
        for (turn, key) in self.queue(ctx.now) {
            let Some(open) = self.calls.get(&key) else { continue };
            // Whose short tasks come by themselves has its part, too.
            full |= standing.is_some_and(|(first, owner)| owner != key.0 && first < turn);
            if self.too_late(ctx.now, key.0, &open.call, open.due).is_some() {
                continue;
            }
            let service_us = self.stats.estimate_us(key.0, open.call.job);
            let rtt_us = if key.0 == ctx.me { 0 } else { members.rtt_us(key.0) };
            let (class, width) = (open.call.class, open.call.needs.width());
            // A wide task is never bound ahead.
            let service_us = if width > 1 { 0 } else { service_us };
            let window = window::slots_to_offer(self.slots, service_us, rtt_us);
            // What stands for strangers is taken back for whoever calls.
            let taken = self.runs.held_slots() + self.reserved - self.idle_standing(ctx);
            let free = if full { 0 } else { window.saturating_sub(taken) };
            let tasks = self.room_for(class, free, kept_for) / width;
            let tasks = tasks.min(open.wanted.saturating_sub(open.reserved));
            if tasks > 0 {
                self.take_back_standing(ctx, window, tasks * width);
                self.make_bid(ctx, key, tasks);
            } else if self.holds_up(ctx.now, (&key, open)) {
                if width > 1 && !full {
                    kept_for = Some(class);
                    self.keeps = true;
                    self.take_back_standing(ctx, window, width);
                }
                full = true;
            }
        }
    }

    /// The calls that want more than they were offered.
    pub(super) fn wanting(&self) -> impl Iterator<Item = (&(PeerId, CallId), &OpenCall)> {
        let wants = |(key, open): &(&(PeerId, CallId), &OpenCall)| {
            open.wanted > open.reserved && self.outbox.takes(key.0)
        };
        self.calls.iter().filter(wants)
    }

    /// The same, whose turn it is first.
    pub(super) fn queue(&self, now: Time) -> Vec<(Turn, (PeerId, CallId))> {
        let turns = self.wanting().map(|(key, open)| (self.call_turn(now, key.0, open), *key));
        let mut turns: Vec<_> = turns.collect();
        turns.sort_unstable();
        turns
    }

    /// The place of a call of that owner among those that wait.
    pub(super) fn call_turn(&self, now: Time, owner: PeerId, open: &OpenCall) -> Turn {
        order::turn(&Claim {
            wasteful: self.is_wasteful(owner, now),
            class: open.call.class,
            waited_us: now.since_us(open.waits_since),
            due: open.due,
            used_us: self.shares.used_us(owner),
            turn: open.turn,
        })
    }

    /// Whether an owner let a bid run out unused lately, and used none since.
    pub(super) fn is_wasteful(&self, owner: PeerId, now: Time) -> bool {
        self.wasteful.get(&owner).is_some_and(|at| now.since_us(*at) < order::AGE_US)
    }

    /// Slots beyond the free ones that a task of that class may have at once, because what runs there is of a lower
    /// class and would be held back.
    pub(super) fn preemptible(&self, class: Class, free: u32) -> u32 {
        let above = self.runs.held_at_least(class) + self.reserved_by.at_least(class);
        let left = self.slots.saturating_sub(above.saturating_add(free));
        // Each that is stopped frees a slot at least.
        let stopped = self.runs.active_below(class).min(self.slots.saturating_sub(self.runs.paused()));
        (stopped + self.gap(class).saturating_sub(free)).min(left)
    }

    /// Bids for so many tasks of a call.
    fn make_bid(&mut self, ctx: &mut Ctx<'_>, key: (PeerId, CallId), tasks: u32) {
        let (owner, call) = key;
        let Some(open) = self.calls.get_mut(&key) else { return };
        let bid = BidId(ctx.fresh_id());
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        open.reserved += tasks;
        let width = open.call.needs.width();
        open.turn = self.next_turn;
        self.next_turn += 1;
        let program = &*open.call.program;
        let warm = self.staging.has_module(program);
        let class = order::aged(open.call.class, ctx.now.since_us(open.waits_since));
        let start_in_us = u32::try_from(self.start_in_us(class, width)).unwrap_or(u32::MAX);
        let left = tasks;
        self.bids.insert(bid, Reservation { owner, call, class, left, width, expires_at, standing: false });
        self.bid_ends.insert((expires_at, bid));
        self.reserved += tasks * width;
        self.reserved_by.add(class, tasks * width);
        ctx.counters.bids_made += 1;
        let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
        ctx.send(owner, Message::Bid(Bid { call, bid, slots: tasks, start_in_us, warm, ttl_ms }));
    }

    /// Whether a lease is held, or has ended here.
    pub(super) fn has(&self, owner: PeerId, lease: LeaseId) -> bool {
        self.runs.contains(owner, lease) || self.outbox.contains((owner, lease))
    }

    /// Says of what an award's grants were not accepted. One that comes twice used its bid up the first time; what it
    /// gave is held, or has ended here.
    pub(crate) fn refuse(&self, ctx: &mut Ctx<'_>, owner: PeerId, award: &Award) {
        let leases = ctx.within_frame(&award.grants).iter().map(|grant| grant.lease);
        let leases: Vec<LeaseId> = leases.filter(|lease| !self.has(owner, *lease)).collect();
        if !leases.is_empty() {
            ctx.send(owner, Message::Refuse { leases });
        }
    }

    /// So many tasks of a bid came, and so many wait on.
    pub(super) fn use_bid(&mut self, now: Time, owner: PeerId, bid: BidId, (count, wanted): (u32, u32)) {
        let Some(reservation) = self.bids.get_mut(&bid) else { return };
        reservation.left -= count;
        let (call, left) = (reservation.call, reservation.left);
        let (class, width) = (reservation.class, reservation.width);
        self.unreserve((owner, call), class, (count, width));
        if let Some(open) = self.calls.get_mut(&(owner, call)) {
            open.wanted = wanted;
            open.waits_since = now;
        }
        if left == 0 {
            self.end_bid(bid);
        }
    }

    /// The owner did not use it: nothing more is offered to that call before the owner says again what it wants.
    pub(super) fn end_unused(&mut self, bid: BidId) {
        let Some(reservation) = self.bids.get(&bid) else { return };
        if let Some(open) = self.calls.get_mut(&(reservation.owner, reservation.call)) {
            open.wanted = open.wanted.saturating_sub(reservation.left);
        }
        self.end_bid(bid);
    }

    pub(super) fn end_bid(&mut self, bid: BidId) {
        let Some(reservation) = self.bids.remove(&bid) else { return };
        self.bid_ends.remove(&(reservation.expires_at, bid));
        let Reservation { owner, call, class, left, width, standing, .. } = reservation;
        if standing {
            self.stands.slots -= left;
        }
        self.unreserve((owner, call), class, (left, width));
    }

    /// So many tasks of so many slots each are promised no more.
    fn unreserve(&mut self, key: (PeerId, CallId), class: Class, (tasks, width): (u32, u32)) {
        self.reserved -= tasks * width;
        self.reserved_by.sub(class, tasks * width);
        if let Some(open) = self.calls.get_mut(&key) {
            open.reserved = open.reserved.saturating_sub(tasks);
        }
    }

    pub(super) fn release_where(&mut self, matches: impl Fn(&Reservation) -> bool) {
        let ended: Vec<BidId> =
            self.bids.iter().filter(|(_, reservation)| matches(reservation)).map(|(bid, _)| *bid).collect();
        for bid in ended {
            self.end_bid(bid);
        }
    }
}

pub(super) fn decline(
    ctx: &mut Ctx<'_>,
    owner: PeerId,
    call: CallId,
    reason: Reason,
    retry_after_ms: Option<u32>,
) {
    ctx.counters.declines += 1;
    ctx.send(owner, Message::Decline(Decline { call, reason, retry_after_ms }));
}
