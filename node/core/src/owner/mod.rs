//! The owner: the single writer of its jobs' state. Queue, call, award, lease, outcome, commit. Correctness rests on
//! numbers, never on timing: a task is forgotten only on a committed outcome, the first outcome of an attempt that
//! this owner issued commits, and every later one is acknowledged, counted and ignored. Driven by the engine.

mod ahead;
mod attempt;
mod award;
mod backup;
mod dirty;
mod doubt;
mod extra;
mod fetching;
mod job;
mod joins;
mod open;
mod outcome;
mod past;
mod produced;
mod recall;
mod room;
mod seek;
mod shortage;
mod stop;
mod tasks;
mod timing;
mod tour;
mod verify;
mod views;
mod waits;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::effect::{Effect, Event};
use crate::id::{CallId, JobId, LeaseId, PeerId};
use crate::input::Submission;
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Gossip, LeaseRange, Message};
use crate::policy::agreed::STOPPED_ATTEMPTS_MAX;
use crate::policy::order;
use crate::standing::Standings;
use crate::suspicion::Suspicion;
use crate::task::{Outcome, Payload, Recall, Report};
use crate::time::{Soonest, Time};
use crate::worker::Worker;

use dirty::Dirty;
use job::{Attempt, Job};
use joins::Overs;
use past::Past;
use produced::Produced;
use room::Room;
use timing::Alarms;

/// Longest time for which a worker may fetch, compile and queue a task; with twice the task's own wall limit, the
/// bound of what renewals can prolong. In microseconds.
const HOLD_MAX_US: u64 = 600_000_000;

/// The owner role.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    /// Those that have not ended. Boxed: a map moves its values about.
    jobs: BTreeMap<JobId, Box<Job>>,
    past: Past,
    calls: BTreeMap<CallId, JobId>,
    /// No call is to be repeated earlier.
    repeat_at: Option<Time>,
    /// Jobs whose queue, bids or calls changed while an input was handled.
    dirty: Dirty,
    leases: BTreeSet<(PeerId, LeaseId)>,
    expiries: BTreeSet<(Time, LeaseId)>,
    fetching: waits::Waits,
    /// What was fetched and found no room.
    shortage: shortage::Shortage,
    /// What is acknowledged when the input has been handled.
    acks: Vec<(PeerId, LeaseId)>,
    room: Room,
    submitted: u64,
    doubts: seek::Doubts,
    alarms: Alarms,
    produced: Produced,
    /// Who let leases run out, lied, or was slow.
    standings: Standings,
    suspicion: Suspicion,
    /// When which job's slow tasks are looked for.
    looks: BTreeSet<(Time, JobId)>,
    /// Ended jobs that others come after, which have not been told.
    overs: Overs,
}

impl Owner {
    // ---- what our user wants

    pub(crate) fn on_submit(&mut self, ctx: &mut Ctx<'_>, mut what: Submission) {
        let name = what.job;
        if self.jobs.contains_key(&name) || self.past.tasks_of(name).is_some() {
            ctx.counters.dropped += 1;
            return;
        }
        if let Some(reason) = what.check().err().or_else(|| self.unknown_parent(&what)) {
            ctx.counters.dropped += 1;
            ctx.notify(Event::Refused { job: name, reason });
            return;
        }
        // What somebody says that it computed before is no further computation.
        if what.policy.verify > 1 {
            what.terms.memo = Recall::Off;
        }
        let inputs = core::mem::take(&mut what.inputs);
        ctx.emit(Effect::Pin(what.program.module));
        ctx.pin(&what.program.files);
        let (program, key) = ctx.programs.intern(&what.program);
        what.program = program;
        self.submitted += 1;
        let service_us = ctx.programs.service_us(key);
        let job = Job::new(what, self.submitted, key, service_us, ctx.now);
        self.alarms.on_submit(&job, ctx.now);
        self.jobs.insert(name, Box::new(job));
        self.enter(ctx, name);
        self.take_inputs(ctx, name, inputs);
        self.end_if_shut(ctx, name, 0);
        self.dirty.insert(name);
        self.end_if_over(ctx, name);
    }

    pub(crate) fn on_extend(&mut self, ctx: &mut Ctx<'_>, name: JobId, inputs: Vec<Payload>) {
        let Some(first) = self.jobs.get(&name).filter(|job| job.open).map(|job| job.total) else { return };
        self.take_inputs(ctx, name, inputs);
        self.expire_late_comers(ctx, name, first);
        self.end_if_shut(ctx, name, first);
        self.dirty.insert(name);
        self.end_if_over(ctx, name);
    }

    pub(crate) fn on_close(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        if let Some(job) = self.jobs.get_mut(&name) {
            job.open = false;
            self.end_if_over(ctx, name);
        }
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name).filter(|job| !job.ended) else { return };
        (job.open, job.stopped) = (false, true);
        let all = 0..job.total;
        self.shut(name, Outcome::Cancelled);
        self.end_rest(ctx, name, all, &Outcome::Cancelled);
        self.end_if_over(ctx, name);
    }

    // ---- what workers say

    pub(crate) fn on_renew(&mut self, ctx: &mut Ctx<'_>, from: PeerId, ranges: &[LeaseRange]) {
        let expires_at = ctx.now.plus_ms(ctx.mesh.lease_ms);
        let mut stale: Vec<LeaseId> = Vec::new();
        let mut reached = None;
        for range in ctx.within_frame(ranges) {
            let first = range.first;
            let Some(more) = range.count.checked_sub(1) else { continue };
            let last = LeaseId { index: first.index.saturating_add(more), ..first };
            // A worker tells its leases in order: each is looked at once, however often it is named.
            if reached.is_some_and(|reached| first <= reached) {
                ctx.counters.dropped += 1;
                continue;
            }
            reached = Some(last);
            // What it really holds bounds the work, never what it says.
            let held = self.leases.range((from, first)..=(from, last)).map(|(_, lease)| *lease);
            let held: Vec<LeaseId> = held.filter(|lease| lease.attempt == first.attempt).collect();
            if held.len() < usize::try_from(range.count).unwrap_or(usize::MAX) {
                let said = (first.index..=last.index).take(BATCH_MAX.saturating_sub(stale.len()));
                let said = said.map(|index| LeaseId { index, ..first });
                stale.extend(said.filter(|lease| !self.leases.contains(&(from, *lease))));
            }
            for lease in held {
                let Some(job) = self.jobs.get_mut(&lease.job) else { continue };
                let hold_max_us = hold_max_us(job);
                let Some(attempt) = attempt_mut(job, lease, from) else { continue };
                attempt.on_renewed(ctx.now, range);
                let stuck = attempt.held_us(ctx.now) > hold_max_us;
                if !stuck && !attempt.overdue && attempt.fetching.is_none() {
                    self.expiries.remove(&(attempt.expires_at, lease));
                    attempt.expires_at = expires_at;
                    self.expiries.insert((expires_at, lease));
                }
            }
        }
        // Committed, cancelled or forgotten meanwhile; the word that said so was lost.
        cancel_at(ctx, from, &stale);
    }

    /// Awards that were not accepted: their tasks wait again.
    pub(crate) fn on_refuse(&mut self, ctx: &mut Ctx<'_>, from: PeerId, leases: &[LeaseId]) {
        self.on_given_back(ctx, from, leases, false);
    }

    /// Tasks that were stopped where they ran, for others of a higher class: they wait again.
    pub(crate) fn on_stopped(&mut self, ctx: &mut Ctx<'_>, from: PeerId, leases: &[LeaseId]) {
        self.on_given_back(ctx, from, leases, true);
    }

    /// One is nobody's fault; whoever gives back again and again what it bids for must not keep a job's tasks from others.
    /// What a worker stops for others is no refusal: its task avoids that worker, and no task is stopped so more often
    /// than [`STOPPED_ATTEMPTS_MAX`] says.
    fn on_given_back(&mut self, ctx: &mut Ctx<'_>, from: PeerId, leases: &[LeaseId], stopped: bool) {
        let mut blamed = None;
        for lease in ctx.within_frame(leases) {
            let Some(job) = self.jobs.get_mut(&lease.job) else { continue };
            let Some(attempt) = take_attempt(job, *lease, from) else { continue };
            self.room.forget(from);
            drop_lease(&mut self.leases, &mut self.expiries, &attempt, *lease);
            ctx.counters.refused += 1;
            self.doubts.on_misled(ctx, from);
            let excused = stopped && lease.attempt <= STOPPED_ATTEMPTS_MAX;
            // Many in one word are one refusal.
            if !excused && blamed.replace(lease.job) != Some(lease.job) {
                job.standings.blamed(from, ctx.now).on_refused(ctx.now, ctx.mesh.grace_ms);
            }
            if attempt.copy {
                job.on_copy_refused(lease.index);
            }
            let policy = job.what.policy;
            // What a worker leaves that took its owner for gone ran, too.
            let stopped = stopped || attempt.has_run();
            if let Some(task) = job.task_mut(lease.index).filter(|_| stopped) {
                task.stops = task.stops.saturating_add(1);
                task.avoid = Some((from, ctx.now.plus_ms(ctx.mesh.call_ms)));
            }
            let fresh =
                |task: &&mut job::Task| task.stops + task.failures + task.losses == 0 && task.live.is_empty();
            if let Some(task) = job.task_mut(lease.index).filter(fresh) {
                self.alarms.on_task_ended(&policy, (lease.job, lease.index), task);
                task.first_at = None;
            }
            self.again(ctx, lease.job, lease.index);
        }
    }

    /// Ends a job that failed too often, and one of which nothing is left.
    fn end_if_over(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        self.give_up_job(ctx, name);
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if job.ended || job.open || job.is_held() || job.unfinished() > 0 {
            return;
        }
        self.alarms.on_job_ended(job);
        job.forget_tasks();
        ctx.emit(Effect::Unpin(job.what.program.module));
        ctx.unpin(&job.what.program.files);
        self.dirty.insert(name);
        ctx.notify(Event::JobEnded { job: name });
        self.note_over(name);
    }

    /// Nothing of a job is left anywhere; if it has ended, its figures stay.
    fn retire(&mut self, ctx: &Ctx<'_>, name: JobId) {
        if self.jobs.get(&name).is_none_or(|job| !job.ended) {
            self.plan_look(ctx, name);
        } else if let Some(job) = self.jobs.remove(&name) {
            self.past.add(job.number, job.has_succeeded(), job.view());
        }
    }

    fn ack(&mut self, worker: PeerId, lease: LeaseId) {
        self.acks.push((worker, lease));
    }

    // ---- peers and time

    pub(crate) fn on_peer_up(&mut self, members: &Membership, peer: PeerId) {
        self.suspicion.on_back(peer, members.count_connected());
        for (name, job) in &mut self.jobs {
            if let Some(call) = &mut job.call {
                call.asked.retain(|asked| *asked != peer);
                self.dirty.insert(*name);
            }
        }
    }

    /// Its bids are void. A closed connection is a hint that its leases are, too: they get a short grace in which it
    /// may come back and renew them. A silent peer's leases run their time (`grace_ms` is `None`).
    pub(crate) fn on_peer_down(&mut self, ctx: &Ctx<'_>, peer: PeerId, grace_ms: Option<u64>) {
        for job in self.jobs.values_mut() {
            if let Some(call) = &mut job.call {
                call.bids.retain(|bid| bid.worker != peer);
                call.asked.retain(|asked| *asked != peer);
                call.seeking.on_gone(peer, ctx.now);
                let at = call.due();
                self.repeat_at = Some(self.repeat_at.map_or(at, |before| before.min(at)));
            }
        }
        self.room.forget(peer);
        // Others gave up a node that slept; that says nothing about them.
        let Some(grace_ms) = grace_ms.filter(|_| self.suspicion.holds(ctx.now, true).is_none()) else {
            return;
        };
        let soon = ctx.now.plus_ms(grace_ms);
        let range = (peer, LeaseId::FIRST)..=(peer, LeaseId::LAST);
        let leases: Vec<LeaseId> = self.leases.range(range).map(|(_, lease)| *lease).collect();
        for lease in leases {
            let Some(job) = self.jobs.get_mut(&lease.job) else { continue };
            let Some(attempt) = attempt_mut(job, lease, peer) else { continue };
            if attempt.overdue || attempt.fetching.is_some() || attempt.expires_at <= soon {
                continue;
            }
            self.expiries.remove(&(attempt.expires_at, lease));
            attempt.expires_at = soon;
            self.expiries.insert((soon, lease));
        }
    }

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership) {
        while let Some(&(at, lease)) = self.expiries.first() {
            if at > ctx.now {
                break;
            }
            self.expiries.pop_first();
            if !self.hold_back(ctx, members, lease) {
                self.expire(ctx, members, lease);
            }
        }
        self.on_alarms(ctx);
        self.look(ctx);
        self.look_for_room(ctx);
        for (worker, leases) in self.room.acks_due(ctx.now) {
            say_safe(ctx, members, worker, &leases);
        }
        if self.repeat_at.is_some_and(|at| at <= ctx.now) {
            self.repeat_calls(ctx.now);
        }
    }

    /// A call wants to be looked at then, if not sooner.
    fn remind(&mut self, at: Time) {
        self.repeat_at = Some(self.repeat_at.map_or(at, |before| before.min(at)));
    }

    /// Has those calls repeated whose time has come, and notes when the next one's does.
    fn repeat_calls(&mut self, now: Time) {
        self.repeat_at = None;
        for name in self.calls.values() {
            let Some(call) = self.jobs.get(name).and_then(|job| job.call.as_ref()) else { continue };
            if call.due() <= now {
                self.dirty.insert(*name);
            } else {
                let at = call.due();
                self.repeat_at = Some(self.repeat_at.map_or(at, |before| before.min(at)));
            }
        }
    }

    fn expire(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, lease: LeaseId) {
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let Some(task) = job.task_mut(lease.index) else { return };
        let Some(attempt) = task.live.iter_mut().find(|attempt| attempt.number == lease.attempt) else {
            return;
        };
        attempt.overdue = true;
        let worker = attempt.worker;
        task.losses += 1;
        task.avoid = Some((worker, ctx.now.plus_ms(ctx.mesh.call_ms)));
        let losses = task.losses;
        let given_up = losses > ctx.mesh.losses_max;
        ctx.counters.lost += 1;
        members.count_lost(worker);
        self.doubts.on_misled(ctx, worker);
        self.standings.blamed(worker, ctx.now).on_lost(ctx.now, ctx.mesh.grace_ms);
        ctx.notify(Event::Lost { job: lease.job, index: lease.index, worker });
        if given_up {
            let text = alloc::format!("{} attempts ended without an outcome", losses);
            self.commit(ctx, lease.job, lease.index, None, Report::bare(Outcome::Lost(text)).into());
            return;
        }
        self.again(ctx, lease.job, lease.index);
    }

    /// Says what the input changed: acknowledgements, awards, calls. Several rounds may follow one another, because
    /// this node's own worker answers at once.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &Membership, worker: &Worker) {
        self.acknowledge(ctx, members);
        self.tell_children(ctx);
        let mut dirty = self.take_dirty(ctx.now);
        for name in dirty.drain(..) {
            self.place(ctx, members, name);
        }
        self.dirty.give_back(dirty);
        self.place_ahead(ctx, members, worker);
    }

    /// Acknowledges what came, each worker's in one frame, at once or with the next word to it.
    fn acknowledge(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.acks.sort_by_key(|(worker, _)| *worker);
        for part in self.acks.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((worker, _)) = part.first() else { continue };
            let leases = part.iter().map(|(_, lease)| *lease);
            let now = if self.room.defers_to(*worker, ctx.now) {
                self.room.defer(*worker, leases, ctx.now)
            } else {
                Some(leases.collect())
            };
            now.into_iter().for_each(|leases| say_safe(ctx, members, *worker, &leases));
        }
        self.acks.clear();
    }

    /// The jobs to bring in line: who comes first is offered first what this node itself has free.
    fn take_dirty(&mut self, now: Time) -> Vec<JobId> {
        let mut names = self.dirty.take();
        if names.len() > 1 {
            names.sort_by_cached_key(|name| self.jobs.get(name).map(|job| order::turn(&job.claim(now))));
        }
        names
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.acks.is_empty() || !self.overs.is_empty()
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.expiries.first().map(|(at, _)| *at), "a lease ends");
        next.at(self.repeat_at, "a call is repeated");
        next.at(self.looks.first().map(|(at, _)| *at), "slow tasks are looked for");
        next.at(self.shortage.next_wakeup(), "room for outcomes is looked for");
        next.or(self.alarms.next_wakeup());
        self.room.next_wakeup(&mut next);
        next.get()
    }
}

/// Tells a worker that these outcomes are safe, over any path that exists.
fn say_safe(ctx: &mut Ctx<'_>, members: &Membership, worker: PeerId, leases: &[LeaseId]) {
    for part in leases.chunks(BATCH_MAX) {
        ctx.send(worker, Message::Ack(part.to_vec()));
        if worker != ctx.me && !members.is_reachable(worker) {
            let leases = part.iter().take(64).copied().collect();
            ctx.emit(Effect::Publish(Gossip::Ack { worker, leases }));
        }
    }
}

fn attempt_mut(job: &mut Job, lease: LeaseId, worker: PeerId) -> Option<&mut Attempt> {
    let task = job.task_mut(lease.index)?;
    task.live.iter_mut().find(|attempt| attempt.number == lease.attempt && attempt.worker == worker)
}

/// Longest time for which a worker's word prolongs an attempt, in microseconds.
fn hold_max_us(job: &Job) -> u64 {
    HOLD_MAX_US + 2000 * u64::from(job.what.program.limits.wall_ms)
}

fn take_attempt(job: &mut Job, lease: LeaseId, worker: PeerId) -> Option<Attempt> {
    let task = job.task_mut(lease.index)?;
    let place = task.live.iter().position(|a| a.number == lease.attempt && a.worker == worker)?;
    Some(task.live.swap_remove(place))
}

fn drop_lease(
    leases: &mut BTreeSet<(PeerId, LeaseId)>,
    expiries: &mut BTreeSet<(Time, LeaseId)>,
    attempt: &Attempt,
    lease: LeaseId,
) {
    leases.remove(&(attempt.worker, lease));
    expiries.remove(&(attempt.expires_at, lease));
}

fn cancel_at(ctx: &mut Ctx<'_>, worker: PeerId, leases: &[LeaseId]) {
    for part in leases.chunks(BATCH_MAX) {
        ctx.send(worker, Message::Cancel(part.to_vec()));
    }
}
