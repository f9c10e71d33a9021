//! What exchanges do for one another: one whose tasks wait scouts at another, which lends bids that nobody wants there.
//! The seek keeps its place meanwhile; a lent bid stands at the borrower as if its worker had sent it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Exchange, LOOK_MAX, LOOKS_MAX, SLOTS_MAX, fits};
use crate::ctx::Ctx;
use crate::id::{BidId, PeerId};
use crate::membership::Membership;
use crate::message::{Message, Needs};
use crate::referral::{CellWord, STAND_MAX};
use crate::time::Time;

/// Scouts from other exchanges that are remembered; beyond it a new one is not.
const SHORT_MAX: usize = 1024;
/// For how long, in milliseconds: what still waits by then is asked for again by its owner.
const SCOUT_MS: u64 = 100;
/// For how long after it was asked another exchange may lend, in milliseconds.
const LENT_MS: u64 = 1000;

/// An exchange that was short of bids a moment ago.
#[derive(Debug)]
pub(super) struct Short {
    exchange: PeerId,
    count: u32,
    expires_at: Time,
}

/// What other exchanges were asked to lend a moment ago: nobody gives bids away in others' names beyond that.
#[derive(Debug, Default)]
pub(super) struct Scouted {
    by: BTreeMap<PeerId, (u32, Time)>,
}

impl Scouted {
    fn add(&mut self, exchange: PeerId, count: u32, now: Time) {
        if self.by.len() >= SHORT_MAX && !self.by.contains_key(&exchange) {
            self.by.clear();
        }
        let left = self.left(exchange, now);
        self.by.insert(exchange, (left.saturating_add(count).min(SLOTS_MAX), now.plus_ms(LENT_MS)));
    }

    /// Of so many slots those that were asked for; they are not any more.
    fn take(&mut self, exchange: PeerId, slots: u32, now: Time) -> u32 {
        let taken = self.left(exchange, now).min(slots);
        if let Some((left, _)) = self.by.get_mut(&exchange) {
            *left = left.saturating_sub(taken);
        }
        taken
    }

    fn left(&self, exchange: PeerId, now: Time) -> u32 {
        self.by.get(&exchange).filter(|(_, until)| now < *until).map_or(0, |(left, _)| *left)
    }
}

impl Exchange {
    /// Tasks wait at another exchange: it is lent what stands here, and what stands here next if that is too little.
    pub(crate) fn on_scout(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        from: PeerId,
        count: u32,
        memory_bytes: u64,
    ) {
        // Nodes may disagree for a moment about who serves; what is not lent then is asked for again.
        if !members.cells().serves(from) {
            ctx.counters.dropped += 1;
            return;
        }
        self.looks_left = LOOKS_MAX;
        let expires_at = ctx.now.plus_ms(SCOUT_MS);
        let mut short = Short { exchange: from, count: count.min(SLOTS_MAX), expires_at };
        self.lend(ctx, &mut short, |ctx, worker| fits(ctx, members, worker, &Needs::default(), memory_bytes));
        if short.count > 0 && self.short.len() < SHORT_MAX {
            self.short.push_back(short);
        }
    }

    /// Another exchange gives bids away, of which it was asked for so many. A bid that is not what it is said to be is
    /// refused by its worker.
    pub(crate) fn on_lend(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        from: PeerId,
        (bids, ttl_ms): (Vec<(PeerId, BidId, u32)>, u32),
    ) {
        self.looks_left = LOOKS_MAX;
        ctx.look(bids.len().min(STAND_MAX));
        let expires_at = ctx.now.plus_ms(u64::from(ttl_ms).min(ctx.mesh.bid_ms));
        for (worker, bid, slots) in bids.into_iter().take(STAND_MAX) {
            let slots = self.scouted.take(from, slots, ctx.now);
            if slots > 0 {
                self.take(ctx, members, (worker, bid, slots), expires_at);
            } else {
                ctx.counters.dropped += 1;
            }
        }
    }

    /// Asks a few other exchanges, named by chance, for tasks that begin to wait here.
    pub(super) fn scout(&mut self, ctx: &mut Ctx<'_>, members: &Membership, count: u32, memory_bytes: u64) {
        let desks = members.cells().desks(ctx.now, ctx.mesh).into_iter().map(|(desk, _)| desk);
        let mut others: Vec<PeerId> = desks.filter(|desk| *desk != ctx.me).collect();
        for _ in 0..ctx.mesh.scouts {
            let Some(to) = pick(ctx, &others) else { return };
            others.retain(|other| *other != to);
            self.scouted.add(to, count, ctx.now);
            ctx.send(to, Message::Cell(CellWord::Scout { count, memory_bytes }));
        }
    }

    /// What just stood and nobody here waits for goes to whoever was short of it a moment ago.
    pub(super) fn lend_on(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(short) = self.short.front() {
            // Who is not served now is served by the next bid that stands.
            if self.looks_left == 0 {
                return;
            }
            if short.expires_at > ctx.now && self.bids.is_empty() {
                return;
            }
            let Some(mut short) = self.short.pop_front() else { return };
            self.look(ctx, 1);
            if short.expires_at <= ctx.now {
                continue;
            }
            self.lend(ctx, &mut short, |_, _| true);
            if short.count > 0 {
                self.short.push_front(short);
                return;
            }
        }
    }

    /// Lends bids that suit, the longest-standing first, as far as they go.
    fn lend(&mut self, ctx: &mut Ctx<'_>, short: &mut Short, suits: impl Fn(&Ctx<'_>, PeerId) -> bool) {
        let mut bids: Vec<(PeerId, BidId, u32)> = Vec::new();
        let mut until = ctx.now.plus_ms(ctx.mesh.bid_ms);
        let most = LOOK_MAX.min(self.looks_left);
        for (_, bid) in self.order.iter().take(most).copied().collect::<Vec<_>>() {
            if short.count == 0 || bids.len() >= STAND_MAX {
                break;
            }
            self.look(ctx, 1);
            let Some(standing) = self.bids.get_mut(&bid) else { continue };
            if standing.expires_at <= ctx.now || !suits(ctx, standing.worker) {
                continue;
            }
            let slots = standing.left.min(short.count);
            short.count -= slots;
            standing.left -= slots;
            until = until.min(standing.expires_at);
            bids.push((standing.worker, bid, slots));
            ctx.counters.lent += u64::from(slots);
            if standing.left == 0 {
                self.drop_bid(bid);
            }
        }
        if !bids.is_empty() {
            let ttl_ms = u32::try_from(until.since_us(ctx.now) / 1000).unwrap_or(u32::MAX);
            ctx.send(short.exchange, Message::Cell(CellWord::Lend { bids, ttl_ms }));
        }
    }
}

/// One of these, by chance.
fn pick(ctx: &mut Ctx<'_>, among: &[PeerId]) -> Option<PeerId> {
    let count = u64::try_from(among.len()).ok().filter(|count| *count > 0)?;
    let place = usize::try_from(ctx.fresh_id() % count).unwrap_or(0);
    among.get(place).copied()
}
