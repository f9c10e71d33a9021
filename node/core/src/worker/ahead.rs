//! Standing bids: what an owner may send of short tasks without calling for it. Each of its outcomes carries the next;
//! a call for short tasks is answered with one, and an idle worker gives one to an owner that tells of a backlog. A
//! standing bid reserves its room until its ttl; what all of them, all bids and all held tasks come to is bounded.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Offer, Worker};
use crate::ctx::Ctx;
use crate::id::{BidId, LeaseId, PeerId};
use crate::input::Submission;
use crate::membership::Membership;
use crate::message::{Ahead, BATCH_MAX, Call, Class, Message, Place};
use crate::owner::wait_us;
use crate::policy::order::{self, Claim, Turn};
use crate::policy::window::{self, offered_max};
use crate::programs::Average;
use crate::time::Time;

/// Owners with a standing bid at once; a further one is called for like anybody.
const STANDING_MAX: usize = 1024;
/// Tasks a slot that all standing bids together may promise.
const SHARED_MAX: u32 = 64;

/// What stands with one owner.
#[derive(Debug)]
struct Standing {
    bid: BidId,
    /// How many tasks came on it.
    taken: u64,
    /// How many may.
    limit: u64,
    /// How many of them are still here.
    held: u32,
    /// What they take, in microseconds; 0 before the first.
    service: Average,
    /// Their class, by the last that came or was called for.
    class: Class,
    expires_at: Time,
}

impl Standing {
    fn room(&self) -> u32 {
        u32::try_from(self.limit - self.taken).unwrap_or(u32::MAX)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Standings {
    by_owner: BTreeMap<PeerId, Standing>,
    ends: BTreeSet<(Time, PeerId)>,
    /// Room of all together.
    reserved: u32,
    /// Owners that were told of no free slot, and are told again when there is one.
    blocked: BTreeSet<PeerId>,
    /// Owners that told of a backlog since we last bid to them.
    hungry: BTreeSet<PeerId>,
}

impl Standings {
    pub(super) fn reserved(&self) -> u32 {
        self.reserved
    }

    pub(super) fn len(&self) -> usize {
        self.by_owner.values().filter(|standing| standing.room() > 0).count()
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// An owner is gone, or knows nothing any more.
    pub(super) fn forget(&mut self, owner: PeerId) {
        if let Some(standing) = self.by_owner.remove(&owner) {
            self.reserved -= standing.room();
            self.ends.remove(&(standing.expires_at, owner));
        }
        self.blocked.remove(&owner);
        self.hungry.remove(&owner);
    }

    /// The owner has no use for it.
    pub(super) fn release(&mut self, owner: PeerId, bid: BidId) {
        if self.by_owner.get(&owner).is_some_and(|standing| standing.bid == bid) {
            self.forget(owner);
        }
    }

    /// Ends what nobody used in time.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(&(at, owner)) = self.ends.first().filter(|(at, _)| *at <= now) {
            self.ends.remove(&(at, owner));
            let Some(standing) = self.by_owner.get_mut(&owner) else { continue };
            self.reserved -= standing.room();
            standing.limit = standing.taken;
            self.blocked.remove(&owner);
            if standing.held == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }

    /// A task that came on it has left.
    pub(super) fn leave(&mut self, owner: PeerId, now: Time) {
        let Some(standing) = self.by_owner.get_mut(&owner) else { return };
        standing.held = standing.held.saturating_sub(1);
        if standing.held == 0 && standing.expires_at <= now {
            // Its time may have passed while the process stood still, and nobody has ended it yet.
            self.expire(now);
            self.by_owner.remove(&owner);
        }
    }

    /// Owners whose tasks that came on it are here.
    pub(super) fn at_work(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.by_owner.iter().filter(|(_, standing)| standing.held > 0).map(|(owner, _)| *owner)
    }

    pub(super) fn measure(&mut self, owner: PeerId, wall_us: u64) {
        if let Some(standing) = self.by_owner.get_mut(&owner) {
            standing.service.add(wall_us);
        }
    }

    /// Takes so many tasks of an owner, if it was promised room for them. `placed` is how many it says it sent.
    fn take(&mut self, owner: PeerId, (bid, class): (BidId, Class), count: u32, placed: u64) -> bool {
        let Some(standing) = self.by_owner.get_mut(&owner) else { return false };
        if standing.bid != bid || standing.room() < count {
            return false;
        }
        let before = standing.room();
        standing.taken = (standing.taken + u64::from(count)).max(placed.min(standing.limit));
        standing.held += count;
        self.reserved -= before - standing.room();
        standing.class = class;
        true
    }
}

impl Worker {
    // ---- what this node's own owner asks

    /// Whether a task can run here at all.
    pub(crate) fn fits(&self, what: &Submission) -> bool {
        self.inability(self.me, &what.program, &what.needs, what.class).is_none()
    }

    /// When a short task of our own would begin here, in microseconds from now, behind `more` that are on their way;
    /// `None` when there is no room.
    pub(crate) fn wait_here_us(&self, class: Class, service_us: u32, more: u32) -> Option<u64> {
        let (slots, held) = self.short_load(class);
        let held = held + more;
        let all = self.runs.held_slots().saturating_add(self.reserved()).saturating_add(more);
        if held >= window::slots_to_offer(slots, service_us, 0) || all >= offered_max(self.slots) {
            return None;
        }
        Some(wait_us(u64::from(held), slots, service_us))
    }

    /// Slots that no long task of that class or above has, and the other tasks that are held.
    fn short_load(&self, class: Class) -> (u32, u32) {
        let long = self.runs.long_at_least(class);
        let held = self.runs.held_at_least(class);
        (self.slots.saturating_sub(long), held.saturating_sub(long))
    }

    // ---- standing bids

    /// The place of an owner's short tasks among the calls that wait.
    fn turn_of(&self, now: Time, owner: PeerId, class: Class) -> Turn {
        order::turn(&Claim {
            wasteful: self.is_wasteful(owner, now),
            class,
            waited_us: 0,
            due: None,
            used_us: self.shares.used_us(owner),
            turn: self.next_turn,
        })
    }

    /// Whose short tasks that are here come before all others', and where among the calls.
    pub(super) fn first_standing(&self, now: Time) -> Option<(Turn, PeerId)> {
        let class = |owner: &PeerId| self.standings.by_owner.get(owner).map(|standing| standing.class);
        let all = self.standings.at_work();
        all.filter_map(|owner| Some((self.turn_of(now, owner, class(&owner)?), owner))).min()
    }

    /// Whether somebody else's call waits whose turn it is before more short tasks of that owner.
    pub(crate) fn is_others_turn(&self, now: Time, owner: PeerId, class: Class) -> bool {
        if self.calls.is_empty() {
            return false;
        }
        let turn = self.turn_of(now, owner, class);
        self.wanting().filter(|(key, _)| key.0 != owner).any(|(key, open)| {
            let before = self.call_turn(now, key.0, open) < turn;
            before
                && self.too_late(now, key.0, &open.call, open.due).is_none()
                && self.holds_up(now, (key, open))
        })
    }

    /// Answers a call for short tasks with a standing bid. False when it is to be answered like any other.
    pub(super) fn on_short_call(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        call: &Call,
    ) -> bool {
        if owner == ctx.me
            || self.slots == 0
            || call.deadline_ms.is_some()
            || call.needs.width() > 1
            || !window::is_short(call.service_us, 0)
        {
            return false;
        }
        let (_, key) = ctx.programs.intern(&call.program);
        let known_us = ctx.programs.service_us(key);
        if known_us != 0 && !window::is_short(known_us, 0) {
            return false;
        }
        let service_us = if known_us == 0 { call.service_us } else { known_us };
        // Who was told a moment ago knows.
        let soon = ctx.now.plus_ms(ctx.mesh.bid_ms - ctx.mesh.call_ms / 2);
        if self.standings.by_owner.get(&owner).is_none_or(|standing| standing.expires_at <= soon) {
            let Some(ahead) = self.keep_room(ctx, members, owner, service_us) else { return false };
            ctx.counters.bids_made += 1;
            ctx.send(owner, Message::Ahead(ahead));
        }
        true
    }

    /// What an owner may send from now on, for another ttl; `None` when there are too many owners.
    pub(super) fn keep_room(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        hint_us: u32,
    ) -> Option<Ahead> {
        if self.standings.by_owner.len() >= STANDING_MAX && !self.standings.by_owner.contains_key(&owner) {
            return None;
        }
        let spent = self.runs.held_slots().saturating_add(self.reserved());
        let budget = offered_max(self.slots).saturating_sub(spent);
        let (slots, held) = self.short_load(Class::Scavenger);
        let waits = !self.calls.is_empty() && {
            let class = self.standings.by_owner.get(&owner).map_or(Class::Batch, |standing| standing.class);
            self.is_others_turn(ctx.now, owner, class)
        };
        let takes = self.takes_work() && self.outbox.takes(owner) && !waits;
        let count = u32::try_from(self.standings.by_owner.len()).unwrap_or(u32::MAX).max(1);
        let share = (self.slots.saturating_mul(SHARED_MAX) / count).max(1);
        let expires_at = ctx.now.plus_ms(ctx.mesh.bid_ms);
        let standing = self.standings.by_owner.entry(owner).or_insert_with(|| Standing {
            bid: BidId(ctx.fresh_id()),
            taken: 0,
            limit: 0,
            held: 0,
            service: Average::default(),
            class: Class::Batch,
            expires_at,
        });
        if standing.service.us() == 0 {
            standing.service = Average::from(hint_us);
        }
        let most = window::slots_to_offer(slots, standing.service.us(), members.rtt_us(owner)).min(share);
        let before = standing.room();
        let more = most.saturating_sub(standing.held).saturating_sub(before).min(budget);
        if takes {
            standing.limit += u64::from(more);
            self.standings.reserved += more;
        }
        self.standings.ends.remove(&(standing.expires_at, owner));
        self.standings.ends.insert((expires_at, owner));
        standing.expires_at = expires_at;
        if slots == 0 || waits {
            self.standings.blocked.insert(owner);
        } else {
            self.standings.blocked.remove(&owner);
        }
        let (bid, taken, room) = (standing.bid, standing.taken, standing.room());
        let ttl_ms = u32::try_from(ctx.mesh.bid_ms).unwrap_or(u32::MAX);
        Some(Ahead { bid, taken, room, held, slots, ttl_ms, class_min: self.class_min })
    }

    /// What goes with an owner's outcomes, if it has a standing bid.
    pub(super) fn keep_room_again(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
    ) -> Option<Ahead> {
        if !self.standings.by_owner.contains_key(&owner) {
            return None;
        }
        self.keep_room(ctx, members, owner, 0)
    }

    /// Tasks that came unasked for, on a standing bid or from this node's own owner.
    pub(crate) fn on_place(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, place: Place) {
        let Place { call, bid, placed, lease_ms: _, acks, mut grants } = place;
        self.on_ack(ctx, owner, &acks);
        let small = grants.len() <= BATCH_MAX && call.needs.width() == 1;
        ctx.counters.dropped += grants.len().saturating_sub(BATCH_MAX) as u64;
        grants.truncate(BATCH_MAX);
        ctx.look(grants.len());
        // What comes twice was taken the first time; it is held, or has ended here.
        grants.retain(|grant| !self.has(owner, grant.lease));
        if grants.is_empty() {
            return;
        }
        let count = u32::try_from(grants.len()).unwrap_or(u32::MAX);
        let sound = small && grants.iter().all(|grant| grant.lease.job == call.job && grant.input.is_sound());
        let refusal = self.inability(owner, &call.program, &call.needs, call.class);
        let able = sound && refusal.is_none();
        if !able || !(owner == ctx.me || self.standings.take(owner, (bid, call.class), count, placed)) {
            let leases: Vec<LeaseId> = grants.iter().take(BATCH_MAX).map(|grant| grant.lease).collect();
            ctx.send(owner, Message::Refuse { leases });
            if let Some((reason, retry_after_ms)) = refusal {
                super::bids::decline(ctx, owner, call.call, reason, retry_after_ms);
            }
            return;
        }
        let (program, key) = ctx.programs.intern(&call.program);
        let known_us = ctx.programs.service_us(key);
        let service_us = if known_us == 0 { call.service_us } else { known_us };
        let offer = Offer {
            program: Arc::clone(&program),
            key,
            terms: call.terms,
            class: call.class,
            slots: 1,
            prefilled: Some(service_us),
        };
        self.wasteful.remove(&owner);
        for grant in grants {
            self.hold(ctx, owner, &offer, grant);
        }
        self.renew_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.renew_ms));
    }

    /// An owner tells of tasks that wait, or of none.
    pub(crate) fn on_backlog(&mut self, ctx: &Ctx<'_>, owner: PeerId, backlog: u32) {
        if backlog > 0 && owner != ctx.me && self.slots > 0 && self.owners.takes(owner) {
            self.standings.hungry.insert(owner);
        } else {
            self.standings.hungry.remove(&owner);
        }
    }

    /// Speaks up unasked: to owners that were told that no slot was free, once one is, and while this worker idles to
    /// one that told of a backlog. Of two random ones it is the one with more, and each is told once for each time
    /// that it told.
    pub(super) fn speak_up(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if self.standings.blocked.is_empty() && self.standings.hungry.is_empty() {
            return;
        }
        if self.short_load(Class::Scavenger).0 == 0 {
            return;
        }
        for owner in core::mem::take(&mut self.standings.blocked) {
            let class = self.standings.by_owner.get(&owner).map_or(Class::Batch, |standing| standing.class);
            if self.is_others_turn(ctx.now, owner, class) {
                self.standings.blocked.insert(owner);
                continue;
            }
            let ahead = self.keep_room(ctx, members, owner, 0);
            ahead.into_iter().for_each(|ahead| ctx.send(owner, Message::Ahead(ahead)));
        }
        let idle = self.held().saturating_add(self.reserved) == 0 && self.takes_work();
        let count = self.standings.hungry.len() as u64;
        if !idle || count == 0 {
            return;
        }
        let mut drawn = || {
            let place = usize::try_from(ctx.fresh_id() % count).unwrap_or(0);
            let owner = self.standings.hungry.iter().nth(place).copied()?;
            Some((members.backlog(owner, ctx.now, ctx.mesh), owner))
        };
        let best = [drawn(), drawn()].into_iter().flatten().max();
        let Some((backlog, owner)) = best else { return };
        self.standings.hungry.remove(&owner);
        if backlog > 0 && members.is_connected(owner) {
            ctx.counters.unasked += 1;
            ctx.counters.bids_made += 1;
            let ahead = self.keep_room(ctx, members, owner, 0);
            ahead.into_iter().for_each(|ahead| ctx.send(owner, Message::Ahead(ahead)));
        }
    }
}
