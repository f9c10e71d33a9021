//! Adverts, in a mesh of cells: slots that no open call wants are advertised at the cell's matchmaker, which matches
//! them with an owner. Advertised slots are reserved like those of a bid. They are withdrawn when an owner calls
//! directly; an owner that was matched meanwhile is refused and asks again.

use alloc::vec::Vec;

use super::bidder::{Bidder, is_sound};
use super::identity::Refusal;
use super::ledger::adverts::Advert;
use super::runs::run::Accepted;
use crate::ctx::Ctx;
use crate::id::{BidId, PeerId};
use crate::membership::Membership;
use crate::message::{Award, Call, Message};
use crate::policy::order;
use crate::referral::{ADVERTS_MAX, CellMessage};

/// An advert younger than this may be matched at this moment, and is not withdrawn. In microseconds.
const YOUNG_US: u64 = 10_000;

impl Advert {
    /// Whether it is old enough that, most likely, no match is on its way.
    fn is_idle(&self, ctx: &Ctx<'_>) -> bool {
        let since = self.expires_at.0.saturating_sub(1000 * ctx.mesh.bid_ms);
        ctx.now.0.saturating_sub(since) >= YOUNG_US
    }
}

impl Bidder<'_> {
    /// Advertised slots that may be withdrawn for a direct call.
    pub(super) fn idle_adverts(&self, ctx: &Ctx<'_>) -> u32 {
        let idle = self.ledger.adverts.iter().filter(|(_, advert)| advert.is_idle(ctx));
        idle.map(|(_, advert)| advert.slots).sum()
    }

    /// Advertises free slots, unless a multi-slot call keeps them, and repeats the open adverts when it is time.
    pub(super) fn advertise(&mut self, ctx: &mut Ctx<'_>, members: &Membership, keeps: bool) {
        if !members.cells().on() {
            self.withdraw_adverts();
            return;
        }
        let matchmaker = members.cells().matchmaker(self.ledger.adverts.doubts(ctx.now));
        if self.ledger.adverts.repeat_at.is_some_and(|at| at <= ctx.now) {
            self.repeat(ctx, matchmaker);
        }
        let slots = self.room().free(self.identity.slots).min(self.room().left());
        if slots == 0 || keeps {
            return;
        }
        let id = BidId(ctx.fresh_id());
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        self.ledger.advertise(id, Advert { matchmaker, slots, expires_at });
        self.ledger.adverts.repeat_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.advertise_ms));
        say(ctx, matchmaker, alloc::vec![(id, slots)]);
    }

    /// Withdraws all adverts; an owner that is matched meanwhile is refused.
    pub(super) fn withdraw_adverts(&mut self) {
        if self.ledger.adverts.slots() > 0 {
            self.ledger.end_adverts(|_| true);
        }
        self.ledger.adverts.repeat_at = None;
    }

    /// Repeats the open adverts at the matchmaker that serves the cell now.
    fn repeat(&mut self, ctx: &mut Ctx<'_>, matchmaker: PeerId) {
        // An advert that is being matched must not be matched twice.
        let idle = self.ledger.adverts.iter().filter(|(_, advert)| advert.is_idle(ctx));
        let all: Vec<(BidId, Advert)> = idle.map(|(id, advert)| (id, *advert)).collect();
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        let mut moved = all.iter().filter(|(_, advert)| advert.matchmaker != matchmaker);
        let left_behind: Vec<(BidId, u32)> = moved.clone().map(|(id, _)| (*id, 0)).collect();
        let before = moved.next_back().map_or(matchmaker, |(_, advert)| advert.matchmaker);
        let again: Vec<(BidId, u32)> = all.iter().map(|(id, advert)| (*id, advert.slots)).collect();
        for (id, _) in &again {
            self.ledger.renew_advert(*id, matchmaker, expires_at);
        }
        for part in left_behind.chunks(ADVERTS_MAX) {
            say(ctx, before, part.to_vec());
        }
        for part in again.chunks(ADVERTS_MAX) {
            say(ctx, matchmaker, part.to_vec());
        }
        let adverts = &mut self.ledger.adverts;
        adverts.repeat_at = (adverts.slots() > 0).then(|| ctx.now.plus_ms(ctx.mesh.advertise_ms));
    }

    /// Withdraws advertised slots until a call's slots fit its window.
    pub(super) fn withdraw_for(&mut self, ctx: &mut Ctx<'_>, window: u32, wanted: u32) {
        loop {
            let surplus = (self.room().taken() + wanted).saturating_sub(window);
            let Some((id, advert)) = self.first_idle(ctx).filter(|_| surplus > 0) else { return };
            let kept = advert.slots.saturating_sub(surplus);
            self.ledger.use_advert(id, advert.slots - kept);
            say(ctx, advert.matchmaker, alloc::vec![(id, kept)]);
        }
    }

    fn first_idle(&self, ctx: &Ctx<'_>) -> Option<(BidId, Advert)> {
        let mut idle = self.ledger.adverts.iter().filter(|(_, advert)| advert.is_idle(ctx));
        idle.next().map(|(id, advert)| (id, *advert))
    }

    /// Uses an advert for the award of an owner that was matched with it. Returns what the tasks have in common; or why
    /// the call is declined, if it is.
    pub(super) fn accept_match(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: PeerId,
        call: &Call,
        award: &Award,
    ) -> Result<Accepted, Option<Refusal>> {
        let slots = call.needs.task_slots();
        let wanted = u32::try_from(award.grants.len()).unwrap_or(u32::MAX).saturating_mul(slots);
        let left = self.ledger.adverts.get(award.bid).map(|advert| advert.slots);
        if let Some(refusal) = self.match_refusal(ctx, owner, call, left) {
            return Err(Some(refusal));
        }
        if left.is_none_or(|left| left < wanted) || !is_sound(&award.grants, call.job) {
            return Err(None);
        }
        self.ledger.adverts.on_matched();
        self.ledger.use_advert(award.bid, wanted);
        self.requests.on_used(owner);
        self.stats.hint(owner, call.job, call.service_us);
        let (program, key) = ctx.programs.intern(&call.program);
        let class = order::aged(call.class, 1000 * u64::from(call.waited_ms));
        Ok(Accepted { owner, program, key, terms: call.terms, class, slots, prefilled: None })
    }

    /// Why the call of a matched owner is declined. `left` is what its advert still has, if it is open.
    fn match_refusal(&self, ctx: &Ctx<'_>, owner: PeerId, call: &Call, left: Option<u32>) -> Option<Refusal> {
        let due = call.deadline_ms.map(|ms| ctx.now.plus_ms(u64::from(ms)));
        let late = || {
            self.market().too_late(owner, call, due.map(|due| due.since_us(ctx.now))).map(Refusal::for_now)
        };
        // An advert may have too few slots for one task of the call.
        let too_few = left.is_some_and(|left| left < call.needs.task_slots());
        let busy = || (too_few || !self.outbox.takes(owner)).then(|| self.busy());
        self.market().refusal(owner, call).or_else(late).or_else(busy)
    }
}

/// Tells a matchmaker how many slots each advert has; 0 withdraws it.
fn say(ctx: &mut Ctx<'_>, matchmaker: PeerId, bids: Vec<(BidId, u32)>) {
    ctx.counters.advertised += 1;
    let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
    ctx.send(matchmaker, Message::Cell(CellMessage::Advertise { bids, ttl_ms }));
}
