//! The worker of a mesh of cells: room that nobody it knows of wants stands as a bid at its cell's exchange, for whoever
//! is introduced there. A standing bid reserves its slots like any other; a call that comes directly takes them back,
//! and whoever is introduced to a bid that was taken back meanwhile is refused, and finds another.

use alloc::vec::Vec;

use super::{Offer, Reservation, Worker, is_sound};
use crate::ctx::Ctx;
use crate::id::{BidId, CallId, PeerId};
use crate::membership::Membership;
use crate::message::{Award, Call, Class, Decline, Message, Reason};
use crate::policy::order;
use crate::policy::window::offered_max;
use crate::referral::{CellWord, STAND_MAX};
use crate::time::Time;

/// Direct calls in a row, while bids stand and nobody is introduced, after which the exchange is doubted: owners wait,
/// this worker waits, and the exchange does not bring them together.
const PASSED_OVER_MAX: u32 = 3;
/// A bid that stands for less than this may have been handed on, and is not taken back. In microseconds.
const YOUNG_US: u64 = 10_000;
/// How long a doubted exchange's shadow serves this worker instead, in milliseconds.
const DOUBT_MS: u64 = 10_000;
/// The call of a bid that stands for nobody yet, and the class under which its slots are counted.
const NOBODY: CallId = CallId(0);
const CLASS: Class = Class::Scavenger;

/// What stands at exchanges.
#[derive(Debug, Default)]
pub(super) struct Stands {
    /// Slots reserved by it.
    pub(super) slots: u32,
    /// When it is said again.
    pub(super) again_at: Option<Time>,
    passed_over: u32,
    doubted_until: Time,
}

impl Reservation {
    /// Whether it has stood for so long that nobody is being introduced to it now, as far as can be told.
    fn is_idle(&self, ctx: &Ctx<'_>) -> bool {
        let since = self.expires_at.0.saturating_sub(1000 * ctx.mesh.bid_ms);
        self.standing && ctx.now.0.saturating_sub(since) >= YOUNG_US
    }
}

impl Worker {
    /// Slots that a call may have instead of the strangers for whom they stand.
    pub(super) fn idle_standing(&self, ctx: &Ctx<'_>) -> u32 {
        if self.stands.slots == 0 {
            return 0;
        }
        self.bids
            .values()
            .filter(|reservation| reservation.is_idle(ctx))
            .map(|reservation| reservation.left)
            .sum()
    }

    /// Offers what nobody else wants at the exchange, and says again what stands there.
    pub(super) fn stand(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if !members.cells().on() {
            self.stand_down();
            return;
        }
        let exchange = members.cells().exchange(ctx.now < self.stands.doubted_until);
        if self.stands.again_at.is_some_and(|at| at <= ctx.now) {
            self.stand_again(ctx, exchange);
        }
        let most = offered_max(self.slots).saturating_sub(self.runs.held_slots() + self.reserved());
        let free = self.slots.saturating_sub(self.runs.held_slots() + self.reserved).min(most);
        if free == 0 || self.keeps {
            return;
        }
        let bid = BidId(ctx.fresh_id());
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        let standing = Reservation {
            owner: exchange,
            call: NOBODY,
            class: CLASS,
            left: free,
            width: 1,
            expires_at,
            standing: true,
        };
        self.bids.insert(bid, standing);
        self.bid_ends.insert((expires_at, bid));
        self.reserved += free;
        self.reserved_by.add(CLASS, free);
        self.stands.slots += free;
        self.stands.again_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.stand_ms));
        say(ctx, exchange, alloc::vec![(bid, free)]);
    }

    /// Nothing stands any more; whoever is introduced meanwhile is refused.
    pub(super) fn stand_down(&mut self) {
        if self.stands.slots > 0 {
            self.release_where(|reservation| reservation.standing);
        }
        self.stands.again_at = None;
    }

    /// Says again what has stood for a while, to whoever serves the cell now.
    fn stand_again(&mut self, ctx: &mut Ctx<'_>, exchange: PeerId) {
        // What is handed on just now must not be handed on twice.
        let standing = self.bids.iter().filter(|(_, reservation)| reservation.is_idle(ctx));
        let all: Vec<(BidId, PeerId)> =
            standing.map(|(bid, reservation)| (*bid, reservation.owner)).collect();
        let mut again: Vec<(BidId, u32)> = Vec::new();
        let mut left_behind: Vec<(BidId, u32)> = Vec::new();
        let mut before = exchange;
        for (bid, owner) in all {
            let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
            let Some(reservation) = self.bids.get_mut(&bid) else { continue };
            self.bid_ends.remove(&(reservation.expires_at, bid));
            self.bid_ends.insert((expires_at, bid));
            reservation.expires_at = expires_at;
            reservation.owner = exchange;
            if owner != exchange {
                before = owner;
                left_behind.push((bid, 0));
            }
            again.push((bid, reservation.left));
        }
        for part in left_behind.chunks(STAND_MAX) {
            say(ctx, before, part.to_vec());
        }
        for part in again.chunks(STAND_MAX) {
            say(ctx, exchange, part.to_vec());
        }
        self.stands.again_at = (self.stands.slots > 0).then(|| ctx.now.plus_ms(ctx.mesh.stand_ms));
    }

    /// Takes standing slots back for a call that wants so many of the window.
    pub(super) fn take_back_standing(&mut self, ctx: &mut Ctx<'_>, window: u32, wanted: u32) {
        while self.stands.slots > 0 && self.runs.held_slots() + self.reserved + wanted > window {
            let surplus = self.runs.held_slots() + self.reserved + wanted - window;
            let standing = self.bids.iter().find(|(_, reservation)| reservation.is_idle(ctx));
            let Some((bid, exchange, left)) =
                standing.map(|(bid, reservation)| (*bid, reservation.owner, reservation.left))
            else {
                return;
            };
            let kept = left.saturating_sub(surplus);
            self.use_standing(bid, left - kept);
            say(ctx, exchange, alloc::vec![(bid, kept)]);
        }
    }

    /// Somebody calls directly while bids stand here: the exchange may not do its work.
    pub(super) fn on_passed_over(&mut self, ctx: &Ctx<'_>) {
        self.stands.passed_over += 1;
        if self.stands.passed_over >= PASSED_OVER_MAX {
            self.stands.passed_over = 0;
            self.stands.doubted_until = ctx.now.plus_ms(DOUBT_MS);
        }
    }

    /// Somebody who was introduced awards tasks of a call that was not heard.
    pub(crate) fn on_hire(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, call: Call, award: Award) {
        let width = call.needs.width();
        let slots = u32::try_from(award.grants.len()).unwrap_or(u32::MAX).saturating_mul(width);
        let bid = self.bids.get(&award.bid).filter(|reservation| reservation.standing);
        let stands = bid.is_some_and(|reservation| reservation.left >= slots);
        // A bid of too few slots for one task is no bid for it, though it stands.
        let narrow = bid.is_some_and(|reservation| reservation.left < width);
        let due = call.deadline_ms.map(|ms| ctx.now.plus_ms(u64::from(ms)));
        let refusal = self
            .refusal(owner, &call)
            .or_else(|| self.too_late(ctx.now, owner, &call, due).map(|reason| (reason, Some(1000))));
        let refusal = refusal.or_else(|| {
            let held = self.runs.held_slots() + self.reserved;
            let full = narrow || !self.outbox.takes(owner);
            full.then_some((Reason::Busy { slots: self.slots, held }, Some(1000)))
        });
        if refusal.is_some() || !stands || !is_sound(&award, call.job) {
            if let Some((reason, retry_after_ms)) = refusal {
                ctx.counters.declines += 1;
                ctx.send(owner, Message::Decline(Decline { call: call.call, reason, retry_after_ms }));
            }
            self.refuse(ctx, owner, &award);
            return;
        }
        self.stands.passed_over = 0;
        self.wasteful.remove(&owner);
        self.use_standing(award.bid, slots);
        self.stats.hint(owner, call.job, call.service_us);
        let (program, key) = ctx.programs.intern(&call.program);
        let offer = Offer {
            program,
            key,
            terms: call.terms,
            class: order::aged(call.class, 1000 * u64::from(call.waited_ms)),
            slots: width,
            prefilled: None,
        };
        for grant in award.grants {
            self.hold(ctx, owner, &offer, grant);
        }
        self.renew_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.renew_ms));
    }

    /// So many slots of a standing bid are taken.
    fn use_standing(&mut self, bid: BidId, count: u32) {
        let Some(reservation) = self.bids.get_mut(&bid) else { return };
        reservation.left -= count;
        let left = reservation.left;
        self.reserved -= count;
        self.reserved_by.sub(CLASS, count);
        self.stands.slots -= count;
        if left == 0 {
            self.end_bid(bid);
        }
    }

    /// Slots, and bids, that stand at exchanges.
    pub(crate) fn standing(&self) -> (u32, usize) {
        let bids = self.bids.values().filter(|reservation| reservation.standing).count();
        (self.stands.slots, bids)
    }

    /// Slots that stand at this node's own exchange.
    pub(crate) fn standing_at(&self, exchange: PeerId) -> u32 {
        let here =
            self.bids.values().filter(|reservation| reservation.standing && reservation.owner == exchange);
        here.map(|reservation| reservation.left).sum()
    }
}

fn say(ctx: &mut Ctx<'_>, exchange: PeerId, bids: Vec<(BidId, u32)>) {
    ctx.counters.stood += 1;
    let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
    ctx.send(exchange, Message::Cell(CellWord::Stand { bids, ttl_ms }));
}
