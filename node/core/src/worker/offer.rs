//! Bids for calls: which calls a worker answers, in which order and with how many slots, and which awards a bid covers.
//! Held and promised slots together never exceed the window of [`crate::policy::window`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::bidder::{Bidder, is_sound};
use super::identity::Refusal;
use super::ledger::Bid;
use super::requests::{CallKey, Wish};
use super::runs::run::Accepted;
use crate::ctx::Ctx;
use crate::id::{BidId, PeerId};
use crate::membership::Membership;
use crate::message::{self, Award, Call, Class, Message};
use crate::policy::window;

/// Why a look-up of a call can't fail.
const OPEN: &str = "calls end between inputs, and not while their owners are served";

impl Bidder<'_> {
    pub(super) fn on_call(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId, call: Call) {
        let key = CallKey { owner, call: call.call };
        if let Some(refusal) = self.market().refusal(owner, &call) {
            self.requests.remove(key);
            refusal.tell(ctx, owner, key.call);
            return;
        }
        if self.answer_with_credit(ctx, members, owner, &call) {
            return;
        }
        self.stats.hint(owner, call.job, call.service_us);
        let wish = Wish::of(&call, ctx.now, ctx.mesh.call_ttl_ms);
        let (program, task_key) = ctx.programs.intern(&call.program);
        let call = Call { program, ..call };
        let promised = self.requests.get(key).is_some_and(|open| open.promised > 0);
        let late = self.market().too_late(owner, &call, wish.due.map(|due| due.since_us(ctx.now)));
        if let Some(reason) = late.filter(|_| !promised) {
            self.requests.remove(key);
            Refusal::for_now(reason).tell(ctx, owner, key.call);
            return;
        }
        self.requests.hear(key, call, task_key, wish);
        if owner != ctx.me && self.ledger.adverts.slots() > 0 {
            self.ledger.adverts.on_passed_over(ctx.now);
        }
        self.offer(ctx, members);
        let unserved = self.requests.get(key).is_some_and(|open| open.promised == 0);
        if unserved && wish.count > 0 {
            self.busy().tell(ctx, owner, key.call);
        }
    }

    /// Promises free slots: as credit, as bids for open calls, and what is left as adverts.
    pub(super) fn offer(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.speak_up(ctx, members);
        if !self.identity.takes_work() || self.outbox.is_full() {
            self.withdraw_adverts();
            return;
        }
        let keeps = !self.requests.is_empty() && self.offer_to_calls(ctx, members);
        self.advertise(ctx, members, keeps);
    }

    /// Bids for the open calls in the order of [`crate::policy::order::turn`]. A call that is next but finds too few
    /// slots holds up those behind it, so that a stream of short tasks can't starve a long one; a more urgent call may
    /// still pause what runs. True if a multi-slot call keeps the slots that become free.
    fn offer_to_calls(&mut self, ctx: &mut Ctx<'_>, members: &Membership) -> bool {
        let mut full = false;
        let mut kept_for: Option<Class> = None;
        let wanting: Vec<PeerId> = self.market().wanting().map(|(key, _)| key.owner).collect();
        let on_credit = self.ledger.credits.at_work().map(|(owner, _)| owner);
        self.requests.shares.raise_floor(wanting.into_iter().chain(on_credit));
        let on_credit = self.market().first_on_credit(ctx.now);
        for (turn, key) in self.market().queue(ctx.now) {
            let open = self.requests.get(key).expect(OPEN);
            // Owners with tasks on credit take their turns, too.
            full |= on_credit.is_some_and(|(first, owner)| owner != key.owner && first < turn);
            if self.market().too_late(key.owner, &open.call, open.left_us(ctx.now)).is_some() {
                continue;
            }
            let (class, slots) = (open.call.class, open.call.needs.task_slots());
            let window = self.window(ctx, members, key.owner, &open.call);
            // Adverts are withdrawn when an owner calls directly.
            let taken = self.room().taken() - self.idle_adverts(ctx);
            let free = if full { 0 } else { window.saturating_sub(taken) };
            let tasks = (self.room().for_call(class, free, kept_for) / slots).min(open.unpromised());
            if tasks > 0 {
                self.withdraw_for(ctx, window, tasks * slots);
                self.make_bid(ctx, key, tasks);
            } else if open.holds_up(ctx.now, ctx.me) {
                if slots > 1 && !full {
                    kept_for = Some(class);
                    self.withdraw_for(ctx, window, slots);
                }
                full = true;
            }
        }
        kept_for.is_some()
    }

    /// The window for a call: slots that may be held and promised in all after the bid.
    fn window(&self, ctx: &Ctx<'_>, members: &Membership, owner: PeerId, call: &Call) -> u32 {
        let service_us = self.stats.estimate_us(owner, call.job);
        let rtt_us = if owner == ctx.me { 0 } else { members.rtt_us(owner) };
        // Multi-slot tasks are never bound before their slots are free.
        let service_us = if call.needs.task_slots() > 1 { 0 } else { service_us };
        window::slots_to_offer(self.identity.slots, service_us, rtt_us)
    }

    /// Sends a bid for this many tasks of a call.
    fn make_bid(&mut self, ctx: &mut Ctx<'_>, key: CallKey, tasks: u32) {
        let open = self.requests.get(key).expect(OPEN);
        let CallKey { owner, call } = key;
        let id = BidId(ctx.fresh_id());
        let (class, slots_each) = (open.aged_class(ctx.now), open.call.needs.task_slots());
        let warm = self.staging.has_module(&open.call.program);
        let start_in_us = u32::try_from(self.room().start_in_us(class, slots_each)).unwrap_or(u32::MAX);
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        self.ledger.add_bid(id, Bid { owner, call, class, tasks, slots_each, expires_at });
        self.requests.on_bid(key, tasks);
        ctx.counters.bids_made += 1;
        let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
        let bid = message::Bid { call, bid: id, slots: tasks, start_in_us, warm, ttl_ms };
        ctx.send(owner, Message::Bid(bid));
    }

    /// Uses the bid that an award names. Returns what its tasks have in common, or `None` if the bid does not cover
    /// them.
    pub(super) fn accept(&mut self, ctx: &Ctx<'_>, owner: PeerId, award: &Award) -> Option<Accepted> {
        let key = CallKey { owner, call: award.call };
        let tasks = u32::try_from(award.grants.len()).unwrap_or(u32::MAX);
        let open = self.requests.get(key)?;
        let bid = *self.ledger.bid(award.bid)?;
        let Call { job, program, terms, needs, .. } = &open.call;
        // The owner may have replaced the call since by one whose tasks want more slots.
        let covered = bid.key() == key && bid.tasks >= tasks && bid.slots_each == needs.task_slots();
        if !covered || !is_sound(&award.grants, *job) {
            return None;
        }
        // The bid has the class to which its call had aged.
        let (program, class, slots) = (Arc::clone(program), bid.class, needs.task_slots());
        let accepted =
            Accepted { owner, program, key: open.key, terms: *terms, class, slots, prefilled: None };
        self.ledger.use_bid(award.bid, tasks);
        self.requests.on_award(ctx.now, key, tasks, award.left);
        Some(accepted)
    }
}
