//! The worker as time passes and owners come and go: what ends, what is renewed, what is given back.

use alloc::vec::Vec;

use super::Worker;
use crate::config::MeshConfig;
use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::membership::Membership;
use crate::message::Message;
use crate::time::{Soonest, Time};

impl Worker {
    pub(crate) fn on_peer_up(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId) {
        self.gone.on_up(owner);
        self.runs.renew(ctx, members, Some(owner));
        self.outbox.resend_now(owner, ctx.now);
    }

    /// Its bids are void; what it awarded runs on for now, for its owner may come back, or be reached another way.
    pub(crate) fn on_peer_down(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        closed: bool,
    ) {
        if !self.runs.leases_of(owner).is_empty() {
            self.gone.on_down(ctx.now, owner, closed);
        }
        self.runs.renew(ctx, members, Some(owner));
        self.forget_calls(owner);
    }

    fn forget_calls(&mut self, owner: PeerId) {
        let calls: Vec<_> = self.calls.keys().filter(|(of, _)| *of == owner).copied().collect();
        for key in calls {
            self.calls.remove(&key);
        }
        self.release_where(|reservation| reservation.owner == owner);
        self.standings.forget(owner);
        self.wasteful.remove(&owner);
    }

    /// The owner forgot all its jobs: so do we.
    pub(crate) fn on_peer_restarted(&mut self, ctx: &mut Ctx<'_>, owner: PeerId) {
        self.forget_calls(owner);
        self.cancel_all(ctx, owner);
        self.outbox.forget_owner(ctx, owner);
    }

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.runs.age(ctx.now);
        while let Some(&(end, bid)) = self.bid_ends.first() {
            if end > ctx.now {
                break;
            }
            let meant_for_one = self.bids.get(&bid).filter(|reservation| !reservation.standing);
            self.wasteful.extend(meant_for_one.map(|reservation| (reservation.owner, ctx.now)));
            self.end_unused(bid);
        }
        self.standings.expire(ctx.now);
        self.no_room_until = self.no_room_until.filter(|at| *at > ctx.now);
        if self.call_end.is_some_and(|at| at <= ctx.now) {
            self.calls.retain(|_, open| open.expires_at > ctx.now);
            self.call_end = self.calls.values().map(|open| open.expires_at).min();
        }
        if self.renew_at.is_some_and(|at| at <= ctx.now) {
            self.give_back(ctx);
            self.runs.renew(ctx, members, None);
            self.renew_at = Some(ctx.now.plus_ms(ctx.mesh.renew_ms)).filter(|_| self.runs.is_leased());
        }
        self.leave_gone(ctx);
        self.outbox.on_time(ctx, members);
    }

    /// Returns what was taken on a wrong guess to its owners.
    fn give_back(&mut self, ctx: &mut Ctx<'_>) {
        let retracted = self.runs.retract(ctx, &mut self.stats);
        for run in &retracted.ended {
            self.settle(ctx, run);
        }
        for (owner, leases) in retracted.leases {
            super::refuse(ctx, owner, &leases);
        }
    }

    /// Sends what ended while the input was handled.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.runs.notice_overlong(ctx.now, &self.stats);
        let own = self.outbox.take_own();
        for part in own {
            ctx.send(ctx.me, Message::Outcome(part));
        }
        let fresh = self.outbox.take_fresh(ctx);
        for part in fresh.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((owner, _)) = part.first() else { continue };
            let ahead = self.keep_room_again(ctx, members, *owner);
            self.outbox.send(ctx, *owner, part.iter().map(|(_, lease)| *lease), ahead);
        }
        self.outbox.give_back(fresh);
    }

    pub(crate) fn next_wakeup(&self, mesh: &MeshConfig) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.gone.next_wakeup(mesh), "an owner counts as gone");
        next.at(self.bid_ends.first().map(|(at, _)| *at), "a bid ends");
        next.at(self.standings.next_wakeup(), "a standing bid ends");
        next.at(self.call_end, "a call ends");
        next.at(self.renew_at, "leases are renewed");
        next.at(self.no_room_until, "its disk may have room again");
        next.at(self.stands.again_at, "what stands is said again");
        next.at(self.runs.preempt_at(), "what runs is not short any more");
        next.at(self.runs.next_ageing(), "what waits counts as more urgent");
        next.at(self.outbox.next_wakeup(), "an outcome is sent again");
        next.get()
    }
}
