//! Grants of credit: short tasks that an owner may send without a call. An owner gets one with its outcomes, in answer
//! to a call for short tasks, and from an idle worker when it reports a backlog. Credit, bids and held tasks together
//! are bounded.

use super::bidder::Bidder;
use super::identity::Refusal;
use super::ledger::credits::Spent;
use super::runs::run::Accepted;
use crate::ctx::Ctx;
use crate::id::{BidId, PeerId};
use crate::membership::Membership;
use crate::message::{Call, Class, Credit, Message};
use crate::policy::{fit, window};
use crate::stats::Average;

/// Tasks per slot that all credit together may promise.
const SHARED_MAX: u32 = 64;

impl Bidder<'_> {
    /// Answers a call for short tasks with credit. False if it is to be answered with a bid.
    pub(super) fn answer_with_credit(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        call: &Call,
    ) -> bool {
        let plain = call.deadline_ms.is_none() && call.needs.task_slots() == 1;
        if owner == ctx.me || self.identity.slots == 0 || !plain || !window::is_short(call.service_us, 0) {
            return false;
        }
        let (_, key) = ctx.programs.intern(&call.program);
        let known_us = ctx.programs.service_us(key);
        if known_us != 0 && !window::is_short(known_us, 0) {
            return false;
        }
        let service_us = if known_us == 0 { call.service_us } else { known_us };
        // The last grant is recent enough.
        let soon = ctx.now.plus_ms(ctx.mesh.bid_ms - ctx.mesh.call_ms / 2);
        if self.ledger.credits.get(owner).is_some_and(|credit| credit.expires_at > soon) {
            return true;
        }
        let told = self.tell_credit(ctx, members, owner, service_us);
        ctx.counters.bids_made += u64::from(told);
        told
    }

    /// Sends an owner a grant of its own. False if there are too many accounts.
    fn tell_credit(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId, hint_us: u32) -> bool {
        let granted = self.grant(ctx, members, owner, hint_us);
        granted.map(|grant| ctx.send(owner, Message::Credit(grant))).is_some()
    }

    /// Grants an owner credit, and extends what it has; `None` if there are too many accounts.
    fn grant(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        hint_us: u32,
    ) -> Option<Credit> {
        let slots = self.identity.slots;
        let (budget, short) = (self.room().left(), self.room().short(Class::Scavenger));
        let waits = self.is_others_turn(ctx, owner);
        let takes = self.identity.takes_work() && self.outbox.takes(owner) && !waits;
        let owners = u32::try_from(self.ledger.credits.owners()).unwrap_or(u32::MAX).max(1);
        let share = (slots.saturating_mul(SHARED_MAX) / owners).max(1);
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        let fresh = || BidId(ctx.fresh_id());
        let credit = self.ledger.grant(owner, expires_at, fresh, |credit| {
            if credit.service.us() == 0 {
                credit.service = Average::from(hint_us);
            }
            let window = window::slots_to_offer(short.slots, credit.service.us(), members.rtt_us(owner));
            let more = window.min(share).saturating_sub(credit.held).saturating_sub(credit.left());
            if takes { more.min(budget) } else { 0 }
        })?;
        let (bid, taken, room) = (credit.bid, credit.used, credit.left());
        if short.slots == 0 || waits {
            self.requests.awaiting_slots.insert(owner);
        } else {
            self.requests.awaiting_slots.remove(&owner);
        }
        let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
        let class_min = self.identity.class_min;
        Some(Credit { bid, taken, room, held: short.held, slots: short.slots, ttl_ms, class_min })
    }

    fn is_others_turn(&self, ctx: &Ctx<'_>, owner: PeerId) -> bool {
        !self.requests.is_empty() && {
            let class = self.ledger.credits.get(owner).map_or(Class::Batch, |credit| credit.class);
            self.market().is_others_turn(ctx.now, owner, class)
        }
    }

    /// The grant that goes with an owner's outcomes, if it has an account.
    pub(super) fn renew_credit(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
    ) -> Option<Credit> {
        self.ledger.credits.get(owner)?;
        self.grant(ctx, members, owner, 0)
    }

    /// Spends an owner's credit for tasks sent without a call; this node's own owner needs none. `spent` is `None` for
    /// invalid tasks. Returns what the tasks have in common; or why the call is declined, if it is.
    pub(super) fn accept_prefilled(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: PeerId,
        call: &Call,
        spent: Option<Spent>,
    ) -> Result<Accepted, Option<Refusal>> {
        let Call { program, needs, class, terms, .. } = call;
        let task = fit::Task { owner, needs, program, class: *class };
        if let Some(refusal) = self.identity.inability(task) {
            return Err(Some(refusal));
        }
        let has_credit = |spent| owner == ctx.me || self.ledger.credits.spend(owner, spent);
        if !spent.is_some_and(has_credit) {
            return Err(None);
        }
        self.requests.on_used(owner);
        let (program, key) = ctx.programs.intern(program);
        let known_us = ctx.programs.service_us(key);
        let service_us = if known_us == 0 { call.service_us } else { known_us };
        let prefilled = Some(service_us);
        Ok(Accepted { owner, program, key, terms: *terms, class: *class, slots: 1, prefilled })
    }

    /// Sends unsolicited grants: to owners whose last grant reported no free slot, once there is one, and from an idle
    /// worker to one owner with a backlog: of two random ones that with more, once for each report.
    pub(super) fn speak_up(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if self.requests.awaiting_slots.is_empty() && self.requests.backlogged.is_empty() {
            return;
        }
        if self.room().short(Class::Scavenger).slots == 0 {
            return;
        }
        for owner in core::mem::take(&mut self.requests.awaiting_slots) {
            if self.is_others_turn(ctx, owner) {
                self.requests.awaiting_slots.insert(owner);
            } else {
                self.tell_credit(ctx, members, owner, 0);
            }
        }
        let idle = self.runs.len() == 0 && self.ledger.promised(Class::Scavenger) == 0;
        if idle && self.identity.takes_work() {
            self.answer_backlog(ctx, members);
        }
    }

    fn answer_backlog(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        let all = &self.requests.backlogged;
        let count = all.len() as u64;
        if count == 0 {
            return;
        }
        let mut drawn = || {
            let place = usize::try_from(ctx.fresh_id() % count).unwrap_or(0);
            let owner = all.iter().nth(place).copied()?;
            Some((members.backlog(owner, ctx.now, ctx.mesh), owner))
        };
        let best = [drawn(), drawn()].into_iter().flatten().max();
        let (backlog, owner) = best.expect("a drawn place is below the count");
        self.requests.backlogged.remove(&owner);
        if backlog > 0 && members.is_connected(owner) {
            ctx.counters.unasked += 1;
            ctx.counters.bids_made += 1;
            self.tell_credit(ctx, members, owner, 0);
        }
    }
}
