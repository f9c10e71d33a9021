//! Flocking: a matchmaker with waiting requests asks another one, which passes on bids that no owner wants there. The
//! request keeps its place meanwhile; a passed-on bid is treated as if its worker had sent it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::eligibility::fits;
use super::{MESSAGE_SCAN_MAX, Matchmaker, SCAN_MAX, SLOTS_MAX};
use crate::ctx::Ctx;
use crate::id::{BidId, PeerId};
use crate::membership::Membership;
use crate::message::{Message, Needs};
use crate::referral::{ADVERTS_MAX, CellMessage};
use crate::time::Time;

/// Flock requests of other matchmakers that are kept; beyond it a new one is dropped.
const SHORT_MAX: usize = 1024;
/// How long a flock request is kept, in milliseconds: a request that still waits then is repeated by its owner.
const SHORT_MS: u64 = 100;
/// How long another matchmaker may pass on bids after it was asked, in milliseconds.
const FLOCK_MS: u64 = 1000;

/// A matchmaker that asked for bids and has not got them all.
#[derive(Debug)]
pub(super) struct Short {
    matchmaker: PeerId,
    count: u32,
    expires_at: Time,
}

/// Slots that other matchmakers were asked for: further bids from them are not accepted.
#[derive(Debug, Default)]
pub(super) struct Asked {
    by: BTreeMap<PeerId, (u32, Time)>,
}

impl Asked {
    fn add(&mut self, matchmaker: PeerId, count: u32, now: Time) {
        if self.by.len() >= SHORT_MAX && !self.by.contains_key(&matchmaker) {
            self.by.clear();
        }
        let left = self.left(matchmaker, now);
        self.by.insert(matchmaker, (left.saturating_add(count).min(SLOTS_MAX), now.plus_ms(FLOCK_MS)));
    }

    /// How many of `slots` were asked for; they are subtracted.
    fn take(&mut self, matchmaker: PeerId, slots: u32, now: Time) -> u32 {
        let taken = self.left(matchmaker, now).min(slots);
        if let Some((left, _)) = self.by.get_mut(&matchmaker) {
            *left = left.saturating_sub(taken);
        }
        taken
    }

    fn left(&self, matchmaker: PeerId, now: Time) -> u32 {
        self.by.get(&matchmaker).filter(|(_, until)| now < *until).map_or(0, |(left, _)| *left)
    }
}

impl Matchmaker {
    /// Another matchmaker has waiting tasks: passes on bids that are advertised here, and the next ones if these are
    /// too few.
    pub(crate) fn on_flock_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        from: PeerId,
        count: u32,
        memory_bytes: u64,
    ) {
        // Nodes may disagree for a moment about which node serves; the other matchmaker asks again.
        if !members.cells().serves(from) {
            ctx.counters.dropped += 1;
            return;
        }
        self.scans_left = MESSAGE_SCAN_MAX;
        let expires_at = ctx.now.plus_ms(SHORT_MS);
        let mut short = Short { matchmaker: from, count: count.min(SLOTS_MAX), expires_at };
        self.pass_on(ctx, &mut short, |ctx, worker| {
            fits(ctx, members, worker, &Needs::default(), memory_bytes)
        });
        if short.count > 0 && self.short.len() < SHORT_MAX {
            self.short.push_back(short);
        }
    }

    /// Another matchmaker passes on bids, as far as it was asked to. A false bid is refused by its worker.
    pub(crate) fn on_flock(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        from: PeerId,
        (bids, ttl_ms): (Vec<(PeerId, BidId, u32)>, u32),
    ) {
        self.scans_left = MESSAGE_SCAN_MAX;
        ctx.examine(bids.len().min(ADVERTS_MAX));
        let expires_at = ctx.now.plus_ms(u64::from(ttl_ms).min(ctx.mesh.bid_ms));
        for (worker, bid, slots) in bids.into_iter().take(ADVERTS_MAX) {
            let slots = self.asked.take(from, slots, ctx.now);
            if slots > 0 {
                self.take(ctx, members, (worker, bid, slots), expires_at);
            } else {
                ctx.counters.dropped += 1;
            }
        }
    }

    /// Asks a few other matchmakers, chosen at random, for bids for a request that begins to wait here.
    pub(super) fn ask_others(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        count: u32,
        memory_bytes: u64,
    ) {
        let all =
            members.cells().matchmakers(ctx.now, ctx.mesh).into_iter().map(|(matchmaker, _)| matchmaker);
        let mut others: Vec<PeerId> = all.filter(|matchmaker| *matchmaker != ctx.me).collect();
        for _ in 0..ctx.mesh.flocks {
            let Some(to) = pick(ctx, &others) else { return };
            others.retain(|other| *other != to);
            self.asked.add(to, count, ctx.now);
            ctx.send(to, Message::Cell(CellMessage::FlockRequest { count, memory_bytes }));
        }
    }

    /// Passes on new bids that no request here waits for to matchmakers that asked for bids.
    pub(super) fn serve_short(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(short) = self.short.front() {
            // The next bid serves the rest.
            if self.scans_left == 0 {
                return;
            }
            if short.expires_at > ctx.now && self.bids.is_empty() {
                return;
            }
            let Some(mut short) = self.short.pop_front() else { return };
            self.examine(ctx, 1);
            if short.expires_at <= ctx.now {
                continue;
            }
            self.pass_on(ctx, &mut short, |_, _| true);
            if short.count > 0 {
                self.short.push_front(short);
                return;
            }
        }
    }

    /// Passes on bids that fit, the oldest first, up to the slots that are asked for.
    fn pass_on(&mut self, ctx: &mut Ctx<'_>, short: &mut Short, suits: impl Fn(&Ctx<'_>, PeerId) -> bool) {
        let mut bids: Vec<(PeerId, BidId, u32)> = Vec::new();
        let mut until = ctx.now.plus_ms(ctx.mesh.bid_ms);
        let most = SCAN_MAX.min(self.scans_left);
        for (_, bid) in self.order.iter().take(most).copied().collect::<Vec<_>>() {
            if short.count == 0 || bids.len() >= ADVERTS_MAX {
                break;
            }
            self.examine(ctx, 1);
            let Some(advert) = self.bids.get_mut(&bid) else { continue };
            if advert.expires_at <= ctx.now || !suits(ctx, advert.worker) {
                continue;
            }
            let slots = advert.left.min(short.count);
            short.count -= slots;
            advert.left -= slots;
            until = until.min(advert.expires_at);
            bids.push((advert.worker, bid, slots));
            ctx.counters.flocked += u64::from(slots);
            if advert.left == 0 {
                self.drop_bid(bid);
            }
        }
        if !bids.is_empty() {
            let ttl_ms = u32::try_from(until.since_us(ctx.now) / 1000).unwrap_or(u32::MAX);
            ctx.send(short.matchmaker, Message::Cell(CellMessage::Flock { bids, ttl_ms }));
        }
    }
}

/// A random element.
fn pick(ctx: &mut Ctx<'_>, among: &[PeerId]) -> Option<PeerId> {
    let count = u64::try_from(among.len()).ok().filter(|count| *count > 0)?;
    let place = usize::try_from(ctx.fresh_id() % count).unwrap_or(0);
    among.get(place).copied()
}
