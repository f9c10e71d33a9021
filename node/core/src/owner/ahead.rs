//! Short tasks, bound ahead of need. A call and a bid for each would cost more than they do, so they go here first, or
//! to whoever offered standing room, whichever is thought to begin them sooner. Nobody is asked but for room that is
//! not there, and that seldom.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Owner;
use super::award::{AWARD_BYTES, SLOTS_MAX};
use super::extra::{Desk, may_give};
use super::job::Job;
use super::room::{Row, rank};
use crate::ctx::Ctx;
use crate::id::{BidId, CallId, JobId, PeerId};
use crate::membership::Membership;
use crate::message::{Ahead, BATCH_MAX, Grant, Message, Place};
use crate::snapshot::Said;
use crate::time::Time;
use crate::worker::Worker;

/// Jobs at the head that are tried within one input: one that finds no room must not hide one that does.
pub(super) const TRIED_MAX: usize = 4;
/// A short task that waits longer than this is called out like a long one, in milliseconds.
const PATIENCE_MS: u64 = 20;
/// Calls that a worker is asked again which it never answered, when it bids by itself.
const AGAIN_MAX: usize = 64;
/// Short jobs that may be called out like long ones within a second.
const CALLED_MAX: usize = 4;

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spot {
    Here,
    There(usize),
}

impl Owner {
    /// A worker says what it takes of short tasks. A long one's job asks it, if it has not been.
    pub(crate) fn on_ahead(&mut self, ctx: &mut Ctx<'_>, members: &Membership, from: PeerId, ahead: Ahead) {
        let Some((rtt_us, memory_bytes)) = members.means(from) else {
            ctx.counters.dropped += 1;
            return;
        };
        ctx.counters.bids_received += 1;
        let Ahead { bid, taken, room, held, slots, ttl_ms, class_min } = ahead;
        let fresh = Row {
            bid,
            limit: taken.saturating_add(u64::from(room.min(SLOTS_MAX))),
            placed: taken,
            taken,
            held,
            slots: slots.min(SLOTS_MAX),
            rtt_us,
            memory_bytes,
            class_min,
            expires_at: ctx.now.plus_ms(u64::from(ttl_ms).min(ctx.mesh.bid_ms)),
        };
        match self.room.place_of(from) {
            Err(place) => self.room.rows.insert(place, (from, fresh)),
            Ok(place) => {
                let Some((_, row)) = self.room.rows.get_mut(place) else { return };
                let same = row.bid == bid && row.expires_at > ctx.now;
                if same && taken < row.taken {
                    return;
                }
                let placed = if same { row.placed.max(taken) } else { taken };
                *row = Row { placed, ..fresh };
            }
        }
    }

    /// How many short tasks a worker takes now, if it said so and that stands.
    pub(crate) fn standing_room(&self, peer: PeerId, now: Time) -> Option<u32> {
        let (_, row) = self.room.rows.get(self.room.place_of(peer).ok()?)?;
        let room = u32::try_from(row.limit.saturating_sub(row.placed)).unwrap_or(u32::MAX);
        (row.expires_at > now).then_some(room)
    }

    /// Has a job's tasks placed on standing room if they are short. True unless it is to call for bids as well.
    pub(super) fn goes_ahead(&mut self, members: &Membership, name: JobId) -> bool {
        let Some(job) = self.jobs.get_mut(&name) else { return true };
        if members.cells().on() {
            self.room.remove(job);
            job.asks = Asks::AtExchanges;
            return false;
        }
        if job.asks == Asks::AtExchanges {
            job.asks = Asks::Nobody;
        }
        if job.is_short() {
            if !job.queue.is_empty() {
                self.room.add(job);
            }
            return job.asks == Asks::Nobody && job.call.is_none() && job.extra.is_empty();
        }
        if self.room.short.remove(&rank(job)) {
            // Its tasks take longer than was thought: whoever was asked for room for short ones is asked again.
            self.room.called.remove(&name);
            job.asks = Asks::Nobody;
            if let Some(call) = &mut job.call {
                call.asked.clear();
            }
        }
        false
    }

    /// A worker bids by itself: jobs whose tasks are long may not have asked it.
    pub(crate) fn on_unasked(&mut self, ctx: &mut Ctx<'_>, from: PeerId) {
        // What was asked for just now is of use to the next job, if not to the one that asked.
        let idle = self.room.short.is_empty() && ctx.now >= self.room.ask_after;
        if idle && self.room.place_of(from).is_ok_and(|place| self.room.is_fresh(place)) {
            self.room.release(ctx, from);
        }
        if self.calls.is_empty() || !self.room.heeds(ctx.now, from) {
            return;
        }
        let mut left = AGAIN_MAX;
        for name in self.calls.values() {
            ctx.look(1);
            let Some(job) = self.jobs.get_mut(name).filter(|_| left > 0) else { continue };
            // Who has answered bids again by itself; the call to who has not may be lost.
            let silent = matches!(job.said.get(&from), None | Some((_, Said::Nothing)));
            if let Some(open) = job.call.as_mut().filter(|_| silent) {
                open.asked.retain(|asked| *asked != from);
                self.dirty.insert(*name);
                left -= 1;
            }
        }
    }

    /// Gives what waits of short jobs to whoever begins it first.
    pub(super) fn place_ahead(&mut self, ctx: &mut Ctx<'_>, members: &Membership, worker: &Worker) {
        let (mut here, mut skipped) = (0, 0);
        while skipped < TRIED_MAX {
            let Some((_, _, name)) = self.room.short.iter().nth(skipped).copied() else { break };
            if !self.place_job(ctx, members, worker, (name, &mut here)) {
                skipped += 1;
            }
        }
        self.tour(ctx, members, worker, &mut here);
        if self.room.short.is_empty() {
            self.room.look_at = None;
        } else {
            self.ask_for_room(ctx, members);
            self.call_out(ctx);
        }
    }

    /// Places one job's tasks as far as there is room; true when none is left.
    pub(super) fn place_job(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        worker: &Worker,
        (name, here): (JobId, &mut u32),
    ) -> bool {
        // The jobs are behind none of what is used here.
        let mut jobs = core::mem::take(&mut self.jobs);
        debug_assert!(jobs.contains_key(&name), "a job that is forgotten waits for nothing");
        let over = jobs.get_mut(&name).is_some_and(|job| self.place_tasks(ctx, members, worker, (job, here)));
        self.jobs = jobs;
        if over {
            self.plan_look(ctx, name);
        }
        over
    }

    fn place_tasks(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        worker: &Worker,
        (job, here): (&mut Job, &mut u32),
    ) -> bool {
        let mut frames: Vec<(Spot, Vec<Grant>)> = Vec::new();
        let fits_here = worker.fits(&job.what) && !worker.is_others_turn(ctx.now, ctx.me, job.what.class);
        while let Some(index) = job.queue.front().copied() {
            let room_here =
                fits_here.then(|| worker.wait_here_us(job.what.class, job.service_us(), *here)).flatten();
            let Some(spot) = self.spot(ctx, members, job, index, room_here) else { break };
            job.queue.pop_front();
            let at = match spot {
                Spot::Here => {
                    *here += 1;
                    ctx.me
                }
                Spot::There(place) => {
                    let Some((peer, row)) = self.room.rows.get_mut(place) else { break };
                    row.placed += 1;
                    *peer
                }
            };
            let grant = self.desk().lease(ctx, job, index, at);
            match frames.iter_mut().find(|(of, _)| *of == spot) {
                Some((_, grants)) => grants.extend(grant),
                None => frames.push((spot, grant.into_iter().collect())),
            }
            job.placed_at = ctx.now;
        }
        frames.sort_unstable_by_key(|(spot, _)| *spot);
        for (spot, grants) in frames {
            self.send_place(ctx, job, spot, grants);
        }
        let over = job.queue.is_empty();
        if over {
            self.room.remove(job);
            if job.call.is_some() {
                self.dirty.insert(job.what.job);
            }
        }
        over
    }

    fn desk(&mut self) -> Desk<'_> {
        Desk {
            leases: &mut self.leases,
            expiries: &mut self.expiries,
            standings: &self.standings,
            alarms: &mut self.alarms,
            produced: &self.produced,
            frames: BTreeMap::new(),
        }
    }

    /// Where a task is thought to begin first; here, when that makes no difference.
    fn spot(
        &self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        job: &Job,
        index: u32,
        here_us: Option<u64>,
    ) -> Option<Spot> {
        let task = job.task(index)?;
        let (now, me) = (ctx.now, ctx.me);
        let avoided = task.avoids(me) && (task.is_patient(now) || !self.room.rows.is_empty());
        let trust = |peer: PeerId| may_give(&self.standings, &self.leases, job, peer, now);
        let here_us = here_us.filter(|_| !avoided && trust(me).is_some());
        if here_us == Some(0) {
            return Some(Spot::Here);
        }
        let there = self.room.best(ctx, members, (job, index), trust);
        match (here_us, there) {
            (Some(here), Some((_, there))) if here <= there => Some(Spot::Here),
            (_, Some((place, _))) => Some(Spot::There(place)),
            (Some(_), None) => Some(Spot::Here),
            (None, None) => None,
        }
    }

    /// Sends grants in frames of bounded length, and with the first what can be acknowledged.
    fn send_place(&mut self, ctx: &mut Ctx<'_>, job: &Job, spot: Spot, mut grants: Vec<Grant>) {
        let (worker, bid, mut placed) = match spot {
            Spot::Here => (ctx.me, BidId(0), 0),
            Spot::There(place) => {
                let Some((peer, row)) = self.room.rows.get(place) else { return };
                (*peer, row.bid, row.placed - grants.len() as u64)
            }
        };
        let mut acks = self.room.acks.remove(&worker).unwrap_or_default();
        let name = job.call.as_ref().map_or(CallId(job.what.job.0), |open| open.call);
        let lease_ms = u32::try_from(ctx.mesh.lease_ms).unwrap_or(u32::MAX);
        while !grants.is_empty() {
            let part = cut_frame(&mut grants);
            placed += part.len() as u64;
            let (call, acks) = (job.call_message(name, ctx.now), core::mem::take(&mut acks));
            let place = Place { call, bid, placed, lease_ms, acks, grants: part };
            ctx.send(worker, Message::Place(alloc::boxed::Box::new(place)));
        }
    }

    /// Somebody who might take some never said so: the first job that waits is called, once in a while.
    fn ask_for_room(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if ctx.now < self.room.ask_after {
            return;
        }
        self.room.rows.retain(|(_, row)| row.expires_at > ctx.now);
        if members.count_connected() <= self.room.rows.len() {
            return;
        }
        self.room.ask_after = ctx.now.plus_ms(ctx.mesh.call_ms);
        let asker = self.asker(ctx, members);
        if let Some(job) = asker.and_then(|name| self.jobs.get_mut(&name)) {
            job.asks = Asks::ForRoom;
            if let Some(call) = &mut job.call {
                // Its tasks proved short after it was called: who was asked then was asked for something else.
                call.asked.clear();
            }
            self.dirty.insert(job.what.job);
        }
    }

    /// A short task that found no room for a while is called out like a long one.
    fn call_out(&mut self, ctx: &mut Ctx<'_>) {
        let Some(at) = self.room.look_at else {
            self.room.look_at = Some(ctx.now.plus_ms(PATIENCE_MS));
            return;
        };
        if at > ctx.now {
            return;
        }
        let patient_us = 1000 * PATIENCE_MS;
        let mut lately = self.room.called_lately(ctx.now);
        let mut ranks = self.room.jobs_after(None, 2 * CALLED_MAX);
        ranks.extend(self.room.jobs_after(self.room.looked_at, 2 * CALLED_MAX));
        self.room.looked_at = ranks.last().copied();
        for (_, _, name) in ranks {
            let Some(job) = self.jobs.get_mut(&name) else { continue };
            let calls = matches!(job.asks, Asks::ForAnybody | Asks::AtExchanges);
            if calls || ctx.now.since_us(job.placed_at) < patient_us {
                continue;
            }
            if lately >= CALLED_MAX {
                break;
            }
            lately += 1;
            self.room.called.insert(name, ctx.now);
            job.asks = Asks::ForAnybody;
            if let Some(call) = &mut job.call {
                call.asked.clear();
            }
            self.dirty.insert(name);
        }
        self.room.look_at = Some(ctx.now.plus_ms(PATIENCE_MS));
    }
}

/// Takes as many grants from the front as one frame may carry.
fn cut_frame(grants: &mut Vec<Grant>) -> Vec<Grant> {
    let mut bytes = 0;
    let fits = |grant: &&Grant| {
        let fits = bytes < AWARD_BYTES;
        bytes += grant.input.inline_len();
        fits
    };
    let count = grants.iter().take(BATCH_MAX).take_while(fits).count();
    let rest = if count < grants.len() { grants.split_off(count) } else { Vec::new() };
    core::mem::replace(grants, rest)
}

/// What a job whose tasks are short calls for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asks {
    /// It does not: room stands.
    #[default]
    Nobody,
    /// It asks those who did not say what they take of short tasks.
    ForRoom,
    /// It is called out like a long one.
    ForAnybody,
    /// The mesh is so large that it is sought for at exchanges like a long one.
    AtExchanges,
}
