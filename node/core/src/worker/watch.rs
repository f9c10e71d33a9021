//! The worker as time passes and owners come and go: what ends, what is renewed, what is given back.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Stage, Worker};
use crate::config::MeshConfig;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{LeaseId, PeerId, RunId};
use crate::membership::Membership;
use crate::message::{BATCH_MAX, GOSSIP_RANGES_MAX, Gossip, LeaseRange, Message};
use crate::policy::window;
use crate::time::{Soonest, Time};

/// Running longer than this, and much longer than was thought, says that the guess was wrong; in microseconds.
const STUCK_US: u64 = 1_000_000;

impl Worker {
    pub(crate) fn on_peer_up(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId) {
        self.gone.on_up(owner);
        self.renew(ctx, members, Some(owner));
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
        if !self.leases_of(owner).is_empty() {
            self.gone.on_down(ctx.now, owner, closed);
        }
        self.renew(ctx, members, Some(owner));
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
        self.age(ctx.now);
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
            self.renew(ctx, members, None);
            self.renew_at = Some(ctx.now.plus_ms(ctx.mesh.renew_ms)).filter(|_| !self.leases.is_empty());
        }
        self.leave_gone(ctx);
        self.outbox.on_time(ctx, members);
    }

    /// Gives back what was taken on a wrong guess: when what runs takes much longer than was thought, what waits
    /// behind it is better off with whoever is free. The slots take tasks in order, so the oldest are those that run.
    fn give_back(&mut self, ctx: &mut Ctx<'_>) {
        let mut order: Vec<(Stage, Time, RunId)> = Vec::new();
        for (run, held) in &self.runs {
            match held.stage {
                Stage::Handed => order.push((held.stage, held.handed_at, *run)),
                Stage::Ready => order.push((held.stage, Time(u64::MAX), *run)),
                // What is paused runs no longer, and what it was thought to take is not to blame.
                Stage::Fetching(_) | Stage::Paused | Stage::TakenBack | Stage::Aborted { .. } => {}
            }
        }
        order.sort_unstable_by_key(|(_, at, run)| (*at, *run));
        let (mut running, mut waiting) = (Vec::new(), Vec::new());
        let mut next = 0;
        for (stage, since, run) in order {
            let Some(held) = self.runs.get(&run) else { continue };
            // Slots of what is before it.
            let place = next;
            next += held.width;
            if place < self.slots {
                running.push((since, run));
            } else {
                waiting.push((stage, run, place));
            }
        }
        if !self.find_long(ctx.now, &running) {
            return;
        }
        let mut back: BTreeMap<PeerId, Vec<LeaseId>> = BTreeMap::new();
        for (stage, run, place) in waiting {
            let Some(held) = self.runs.get(&run) else { continue };
            let (owner, lease) = (held.owner, held.lease);
            let service_us = self.services.estimate_us(owner, lease.job);
            if place < window::slots_to_offer(self.slots, service_us, 0) {
                continue;
            }
            self.leases.remove(&(owner, lease));
            back.entry(owner).or_default().push(lease);
            if stage == Stage::Handed {
                self.abort(ctx, run);
            } else {
                self.drop_run(ctx, run);
            }
        }
        if back.is_empty() {
            return;
        }
        self.ready.retain(|(_, _, run)| self.runs.contains_key(run));
        for (owner, leases) in back {
            for part in leases.chunks(BATCH_MAX) {
                ctx.send(owner, Message::Refuse { leases: part.to_vec() });
            }
        }
    }

    /// Of those that run, finds what takes much longer than was thought, and learns from it; whether any does. Each is
    /// compared with what was thought before, or the first would excuse the others.
    fn find_long(&mut self, now: Time, running: &[(Time, RunId)]) -> bool {
        let mut found: Vec<(RunId, u64, u32)> = Vec::new();
        for (since, run) in running {
            let Some(held) = self.runs.get(run) else { continue };
            let service_us = self.services.estimate_us(held.owner, held.lease.job);
            let elapsed_us = now.since_us(*since);
            if elapsed_us >= STUCK_US && elapsed_us / 8 > u64::from(service_us) {
                found.push((*run, elapsed_us, service_us));
            }
        }
        for (run, elapsed_us, service_us) in &found {
            let Some(held) = self.runs.get_mut(run) else { continue };
            // How long it takes is not known yet; that it takes longer than was thought is. Where nothing was thought,
            // this much would count as all of it.
            if *service_us > 0 {
                self.services.measure(held.owner, held.lease.job, *elapsed_us);
            }
            if !core::mem::replace(&mut held.long, true) {
                self.long_by.add(held.class, held.width);
            }
        }
        !found.is_empty()
    }

    /// Some runs wait for their module to be compiled, or wait no longer: the next renewal says so.
    pub(crate) fn on_compiling(&mut self, runs: &[RunId], waits: bool) {
        for run in runs {
            if let Some(held) = self.runs.get_mut(run) {
                held.compiling = waits;
            }
        }
    }

    /// Tells one owner, or every owner, what we still hold of it.
    fn renew(&mut self, ctx: &mut Ctx<'_>, members: &Membership, only: Option<PeerId>) {
        let mut frames: BTreeMap<PeerId, Vec<LeaseRange>> = BTreeMap::new();
        for ((owner, lease), run) in &self.leases {
            if only.is_some_and(|wanted| wanted != *owner) {
                continue;
            }
            let held = self.runs.get(run);
            let paused = held.is_some_and(|held| held.stage == Stage::Paused);
            // Gossip has room for few ranges: there they are not divided for people's sake.
            let told = *owner == ctx.me || members.is_reachable(*owner);
            let progress = held.filter(|_| told).map(|held| held.progress()).unwrap_or_default();
            let ranges = frames.entry(*owner).or_default();
            match ranges.last_mut() {
                Some(range)
                    if range.continues_with(*lease)
                        && range.paused == paused
                        && range.progress == progress =>
                {
                    range.count += 1;
                }
                _ => ranges.push(LeaseRange { first: *lease, count: 1, paused, progress }),
            }
        }
        for (owner, mut ranges) in frames {
            if owner != ctx.me && !members.is_reachable(owner) {
                ranges.truncate(GOSSIP_RANGES_MAX);
                ctx.emit(Effect::Publish(Gossip::Renew { owner, leases: ranges }));
                continue;
            }
            for part in ranges.chunks(BATCH_MAX) {
                ctx.send(owner, Message::Renew(part.to_vec()));
            }
        }
    }

    /// Sends what ended while the input was handled.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.notice_overlong(ctx.now);
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
        next.at(self.look_at, "what runs is not short any more");
        next.at(self.ageing.first().map(|(at, _)| *at), "what waits counts as more urgent");
        next.at(self.outbox.next_wakeup(), "an outcome is sent again");
        next.get()
    }
}
