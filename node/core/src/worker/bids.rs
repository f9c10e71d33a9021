//! The worker as a bidder: which calls it answers, what it offers, and how an offer ends. A bid reserves its slots; what
//! is reserved and held together never exceeds the window.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::{OpenCall, Reservation, Worker, offered_max, window};
use crate::ctx::Ctx;
use crate::id::{BidId, CallId, PeerId};
use crate::membership::{Membership, unfit};
use crate::message::{Bid, CALL_TEXT_BYTES_MAX, Call, Class, Decline, Message, Reason};

/// Calls remembered for one owner; beyond it a new one is declined.
const CALLS_PER_OWNER_MAX: usize = 64;
/// Calls remembered in all; beyond it a new one is declined.
const CALLS_MAX: usize = 4096;

/// Who is offered room before whom: who uses what is offered, the more urgent, who waits longer.
type Turn = (bool, Reverse<Class>, u64, (PeerId, CallId));

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
        let expires_at = ctx.now.plus_ms(ctx.mesh.call_ttl_ms);
        self.services.hint(owner, call.job, call.service_us);
        let (name, count) = (call.call, call.count);
        let (program, key) = ctx.programs.intern(&call.program);
        let call = Call { program, ..call };
        let turn = self.next_turn;
        let open = self.calls.entry((owner, name)).or_insert_with(|| OpenCall {
            key,
            call,
            wanted: count,
            reserved: 0,
            expires_at,
            turn,
        });
        self.next_turn += 1;
        self.call_end.get_or_insert(expires_at);
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
        if let Some(inability) = self.inability(call) {
            return Some(inability);
        }
        let of_owner = (owner, CallId(0))..=(owner, CallId(u64::MAX));
        let full = self.calls.len() >= CALLS_MAX || self.calls.range(of_owner).count() >= CALLS_PER_OWNER_MAX;
        if full && !self.calls.contains_key(&(owner, call.call)) {
            return Some((Reason::TooManyCalls, Some(1000)));
        }
        None
    }

    /// Why this node can't run what a call is for, and when to ask again.
    pub(super) fn inability(&self, call: &Call) -> Option<(Reason, Option<u32>)> {
        if self.draining {
            return Some((Reason::Draining, Some(10_000)));
        }
        if let Some((name, wanted, most)) = call.program.limits.beyond_max() {
            return Some((Reason::Limit { name: name.into(), wanted, most }, None));
        }
        if call.text_bytes() > CALL_TEXT_BYTES_MAX || !call.program.files.is_sound() {
            let (bytes, limit_bytes) = (call.text_bytes() as u64, CALL_TEXT_BYTES_MAX as u64);
            return Some((Reason::TooLong { bytes, limit_bytes }, None));
        }
        if let Some(reason) = unfit(&self.labels, self.memory_bytes, &call.needs, &call.program) {
            return Some((reason, None));
        }
        None
    }

    pub(crate) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.calls.remove(&(owner, call));
        self.release_where(|reservation| reservation.owner == owner && reservation.call == call);
    }

    pub(crate) fn on_release(&mut self, owner: PeerId, bid: BidId) {
        self.standings.release(owner, bid);
        if self.bids.get(&bid).is_some_and(|reservation| reservation.owner == owner) {
            self.end_unused(bid);
        }
    }

    /// Offers free room to the calls that stand: most urgent class first, then whoever waits longest. A call that
    /// is next but finds no room holds back those behind it, so that a stream of short tasks can't starve a long one.
    pub(crate) fn offer(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.speak_up(ctx, members);
        if self.calls.is_empty() {
            return;
        }
        if self.draining {
            return;
        }
        let mut order: Vec<Turn> = Vec::new();
        for (key, open) in &self.calls {
            if open.wanted > open.reserved && self.outbox.takes(key.0) {
                let wasteful = self.wasteful.contains(&key.0);
                order.push((wasteful, Reverse(open.call.class), open.turn, *key));
            }
        }
        order.sort_unstable();
        for (_, _, _, key) in order {
            let Some(open) = self.calls.get(&key) else { continue };
            let service_us = self.services.estimate_us(key.0, open.call.job);
            let rtt_us = if key.0 == ctx.me { 0 } else { members.rtt_us(key.0) };
            let window = window::slots_to_offer(self.slots, service_us, rtt_us);
            let taken = self.held() + self.reserved;
            let free = window.saturating_sub(taken);
            let room = free + self.preemptible(open.call.class, free);
            let room = room.min(offered_max(self.slots).saturating_sub(self.held() + self.reserved()));
            let slots = room.min(open.wanted.saturating_sub(open.reserved));
            if slots == 0 {
                break;
            }
            self.make_bid(ctx, key, slots, service_us);
        }
    }

    /// Slots beyond the free ones that a task of that class may have at once, because what runs there is of a lower
    /// class and would be held back.
    fn preemptible(&self, class: Class, free: u32) -> u32 {
        let above = self.held_by.at_least(class) + self.reserved_by.at_least(class);
        let left = self.slots.saturating_sub(above.saturating_add(free));
        self.busy_by.below(class).min(self.slots.saturating_sub(self.paused)).min(left)
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
        let class = open.call.class;
        let ahead = self.held_by.at_least(class).saturating_sub(self.slots.saturating_sub(1));
        let start_in_us = ahead.saturating_mul(service_us) / self.slots.max(1);
        self.bids.insert(bid, Reservation { owner, call, class, left: slots, expires_at });
        self.bid_ends.insert((expires_at, bid));
        self.reserved += slots;
        self.reserved_by.add(class, slots);
        ctx.counters.bids_made += 1;
        let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
        ctx.send(owner, Message::Bid(Bid { call, bid, slots, start_in_us, warm, ttl_ms }));
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
        let Reservation { owner, call, class, left, .. } = reservation;
        self.unreserve((owner, call), class, left);
    }

    pub(super) fn unreserve(&mut self, key: (PeerId, CallId), class: Class, slots: u32) {
        self.reserved -= slots;
        self.reserved_by.sub(class, slots);
        if let Some(open) = self.calls.get_mut(&key) {
            open.reserved = open.reserved.saturating_sub(slots);
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
