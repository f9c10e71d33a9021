//! The owner: the single writer of its jobs' state. Queue, call, award, lease, outcome, commit. Correctness rests on
//! numbers, never on timing: a task is forgotten only on a committed outcome, the first outcome of an attempt that
//! this owner issued commits, and every later one is acknowledged, counted and ignored. Driven by the engine.

mod award;
mod job;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::effect::{Effect, Event};
use crate::id::{BlobId, CallId, JobId, LeaseId, PeerId};
use crate::input::Submission;
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Delivery, Gossip, LeaseRange, Message};
use crate::snapshot::{Answer, JobView, Said, TaskView, Why};
use crate::task::{Outcome, Payload, Profile, Report};
use crate::time::Time;
use job::{Attempt, Job, State};

/// Ended jobs whose figures are kept; beyond it the oldest is forgotten.
const ENDED_MAX: usize = 1000;

/// The owner role.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    jobs: BTreeMap<JobId, Job>,
    /// In order of submission.
    order: Vec<JobId>,
    ended: VecDeque<JobId>,
    calls: BTreeMap<CallId, JobId>,
    /// Jobs whose queue, bids or calls changed while an input was handled.
    dirty: BTreeSet<JobId>,
    leases: BTreeSet<(PeerId, LeaseId)>,
    expiries: BTreeSet<(Time, LeaseId)>,
    fetching: BTreeMap<BlobId, Vec<LeaseId>>,
    acks: BTreeMap<PeerId, Vec<LeaseId>>,
}

impl Owner {
    // ---- what our user wants

    pub(crate) fn on_submit(&mut self, ctx: &mut Ctx<'_>, mut what: Submission) {
        let name = what.job;
        if self.jobs.contains_key(&name) {
            ctx.counters.dropped += 1;
            return;
        }
        let inputs = core::mem::take(&mut what.inputs);
        let mut job = Job::new(what);
        job.add(inputs);
        self.jobs.insert(name, job);
        self.order.push(name);
        self.dirty.insert(name);
        self.end_if_over(ctx, name);
    }

    pub(crate) fn on_extend(&mut self, name: JobId, inputs: Vec<Payload>) {
        if let Some(job) = self.jobs.get_mut(&name).filter(|job| job.open) {
            job.add(inputs);
            self.dirty.insert(name);
        }
    }

    pub(crate) fn on_close(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        if let Some(job) = self.jobs.get_mut(&name) {
            job.open = false;
            self.end_if_over(ctx, name);
        }
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name).filter(|job| !job.ended) else { return };
        job.open = false;
        job.queue.clear();
        let mut held: BTreeMap<PeerId, Vec<LeaseId>> = BTreeMap::new();
        for index in 0..job.total {
            let Some(task) = job.task_mut(index) else { continue };
            if !matches!(task.state, State::Queued | State::Leased) {
                continue;
            }
            let was_leased = task.state == State::Leased;
            task.state = State::Cancelled;
            task.input = Payload::empty();
            let attempts = task.attempts;
            for attempt in core::mem::take(&mut task.live) {
                let lease = LeaseId { job: name, index, attempt: attempt.number };
                drop_lease(&mut self.leases, &mut self.expiries, &attempt, lease);
                held.entry(attempt.worker).or_default().push(lease);
            }
            job.counts.leased -= u32::from(was_leased);
            job.counts.cancelled += 1;
            let report = Report::bare(Outcome::Cancelled);
            ctx.notify(Event::TaskEnded { job: name, index, report, worker: None, attempts });
        }
        for (worker, leases) in held {
            cancel_at(ctx, worker, &leases);
        }
        self.dirty.insert(name);
        self.end_if_over(ctx, name);
    }

    // ---- what workers say

    pub(crate) fn on_renew(&mut self, ctx: &Ctx<'_>, from: PeerId, ranges: &[LeaseRange]) {
        let expires_at = ctx.now.plus_ms(ctx.mesh.lease_ms);
        for range in ranges {
            let Some(job) = self.jobs.get_mut(&range.first.job) else { continue };
            let end = range.first.index.saturating_add(range.count).min(job.total);
            for index in range.first.index..end {
                let lease = LeaseId { index, ..range.first };
                let Some(attempt) = attempt_mut(job, lease, from) else { continue };
                if !attempt.overdue && attempt.fetching.is_none() {
                    self.expiries.remove(&(attempt.expires_at, lease));
                    attempt.expires_at = expires_at;
                    self.expiries.insert((expires_at, lease));
                }
            }
        }
    }

    /// Awards that were not accepted: their tasks wait again, and nobody is to blame.
    pub(crate) fn on_refuse(&mut self, ctx: &mut Ctx<'_>, from: PeerId, leases: &[LeaseId]) {
        for lease in leases {
            let Some(job) = self.jobs.get_mut(&lease.job) else { continue };
            let Some(attempt) = take_attempt(job, *lease, from) else { continue };
            drop_lease(&mut self.leases, &mut self.expiries, &attempt, *lease);
            ctx.counters.refused += 1;
            job.requeue(lease.index);
            self.dirty.insert(lease.job);
        }
    }

    pub(crate) fn on_outcomes(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        all: Vec<Delivery>,
    ) {
        for delivery in all {
            self.on_outcome(ctx, members, from, delivery);
        }
    }

    fn on_outcome(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, from: PeerId, delivery: Delivery) {
        let Delivery { lease, report } = delivery;
        let Some(job) = self.jobs.get_mut(&lease.job) else {
            ctx.counters.late += 1;
            self.ack(from, lease);
            return;
        };
        let pure = job.what.program.profile != Profile::Impure;
        let Some(attempt) = attempt_mut(job, lease, from) else {
            let state = job.task(lease.index).map(|task| (task.state, task.attempts));
            match state {
                Some((State::Ended(print), issued)) if lease.attempt <= issued => {
                    ctx.counters.late += 1;
                    let differs = report.outcome == Outcome::Done && job::fingerprint(&report) != print;
                    ctx.counters.differing += u64::from(pure && differs);
                }
                None | Some((State::Cancelled, _)) => ctx.counters.late += 1,
                Some((State::Queued | State::Leased | State::Ended(_), _)) => ctx.counters.forged += 1,
            }
            self.ack(from, lease);
            return;
        };
        if attempt.fetching.is_some() {
            return;
        }
        let blobs: Vec<BlobId> = report.blobs().collect();
        if blobs.is_empty() {
            self.settle(ctx, members, lease, from, report);
            return;
        }
        // The worker may die once it is told that its outcome is safe: its bytes must be here first.
        self.expiries.remove(&(attempt.expires_at, lease));
        attempt.fetching = Some((u8::try_from(blobs.len()).unwrap_or(2), report));
        for blob in blobs {
            let waiting = self.fetching.entry(blob).or_default();
            waiting.push(lease);
            if waiting.len() == 1 {
                ctx.emit(Effect::Fetch { blob, from: alloc::vec![from] });
            }
        }
    }

    pub(crate) fn on_fetched(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        blob: BlobId,
        found: bool,
    ) {
        for lease in self.fetching.remove(&blob).unwrap_or_default() {
            let Some(job) = self.jobs.get_mut(&lease.job) else { continue };
            let Some(task) = job.task_mut(lease.index) else { continue };
            let Some(attempt) = task.live.iter_mut().find(|attempt| attempt.number == lease.attempt) else {
                continue;
            };
            let worker = attempt.worker;
            let Some((missing, report)) = attempt.fetching.take() else { continue };
            if !found {
                // The worker keeps the outcome until it is acknowledged and sends it again; the lease runs on so that
                // a worker that died with the bytes is noticed.
                attempt.expires_at = ctx.now.plus_ms(ctx.mesh.lease_ms);
                self.expiries.insert((attempt.expires_at, lease));
            } else if missing > 1 {
                attempt.fetching = Some((missing - 1, report));
            } else {
                self.settle(ctx, members, lease, worker, report);
            }
        }
    }

    /// An attempt ended and everything that it brought is here.
    fn settle(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        lease: LeaseId,
        from: PeerId,
        report: Report,
    ) {
        self.ack(from, lease);
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let retries = job.what.retries;
        let patience = ctx.now.plus_ms(ctx.mesh.call_ms);
        let Some(attempt) = take_attempt(job, lease, from) else { return };
        drop_lease(&mut self.leases, &mut self.expiries, &attempt, lease);
        let Some(task) = job.task_mut(lease.index) else { return };
        let again = match report.outcome {
            Outcome::Done | Outcome::Invalid(_) => false,
            Outcome::Failed(_) | Outcome::Trapped(_) | Outcome::LimitExceeded(_) => {
                task.failures += 1;
                task.failures <= retries
            }
            Outcome::Cancelled | Outcome::Lost(_) => {
                task.losses += 1;
                ctx.counters.lost += 1;
                members.count_lost(from);
                task.losses <= ctx.mesh.losses_max
            }
        };
        if again {
            task.avoid = Some((from, patience));
            job.requeue(lease.index);
            self.dirty.insert(lease.job);
            return;
        }
        job.measure(report.usage.wall_us);
        members.count_done(from);
        self.commit(ctx, lease.job, lease.index, Some(from), report);
    }

    fn commit(&mut self, ctx: &mut Ctx<'_>, name: JobId, index: u32, worker: Option<PeerId>, report: Report) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let Some(task) = job.task_mut(index) else { return };
        assert!(matches!(task.state, State::Leased | State::Queued), "a task is committed once");
        let was_queued = task.state == State::Queued;
        task.state = State::Ended(job::fingerprint(&report));
        task.input = Payload::empty();
        let attempts = task.attempts;
        let others = core::mem::take(&mut task.live);
        if was_queued {
            job.queue.retain(|queued| *queued != index);
        } else {
            job.counts.leased -= 1;
        }
        job.counts.retried += attempts.saturating_sub(1);
        match report.outcome {
            Outcome::Done => job.counts.done += 1,
            Outcome::Failed(_)
            | Outcome::Trapped(_)
            | Outcome::LimitExceeded(_)
            | Outcome::Invalid(_)
            | Outcome::Cancelled
            | Outcome::Lost(_) => job.counts.failed += 1,
        }
        for attempt in others {
            let lease = LeaseId { job: name, index, attempt: attempt.number };
            drop_lease(&mut self.leases, &mut self.expiries, &attempt, lease);
            cancel_at(ctx, attempt.worker, &[lease]);
        }
        ctx.counters.committed += 1;
        ctx.notify(Event::TaskEnded { job: name, index, report, worker, attempts });
        self.end_if_over(ctx, name);
    }

    fn end_if_over(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if job.ended || job.open || job.unfinished() > 0 {
            return;
        }
        job.forget_tasks();
        self.dirty.insert(name);
        self.ended.push_back(name);
        ctx.notify(Event::JobEnded { job: name });
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.jobs.remove(&oldest);
            self.order.retain(|job| *job != oldest);
        }
    }

    fn ack(&mut self, worker: PeerId, lease: LeaseId) {
        self.acks.entry(worker).or_default().push(lease);
    }

    // ---- peers and time

    pub(crate) fn on_peer_up(&mut self, peer: PeerId) {
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
            }
        }
        let Some(grace_ms) = grace_ms else { return };
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
            self.expire(ctx, members, lease);
        }
        for (name, job) in &self.jobs {
            if job.call.as_ref().is_some_and(|call| call.repeat_at <= ctx.now) {
                self.dirty.insert(*name);
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
        let given_up = task.losses > ctx.mesh.losses_max;
        ctx.counters.lost += 1;
        members.count_lost(worker);
        ctx.notify(Event::Lost { job: lease.job, index: lease.index, worker });
        if given_up {
            let text = alloc::format!("{} attempts ended without an outcome", task.losses);
            self.commit(ctx, lease.job, lease.index, None, Report::bare(Outcome::Lost(text)));
            return;
        }
        job.requeue(lease.index);
        self.dirty.insert(lease.job);
    }

    /// Says what the input changed: acknowledgements, awards, calls. Several rounds may follow one another, because
    /// this node's own worker answers at once.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        for (worker, leases) in core::mem::take(&mut self.acks) {
            for part in leases.chunks(BATCH_MAX) {
                ctx.send(worker, Message::Ack(part.to_vec()));
                if worker != ctx.me && !members.is_connected(worker) {
                    let leases = part.iter().take(64).copied().collect();
                    ctx.emit(Effect::Publish(Gossip::Ack { worker, leases }));
                }
            }
        }
        for name in core::mem::take(&mut self.dirty) {
            self.place(ctx, members, name);
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.acks.is_empty()
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let lease = self.expiries.first().map(|(at, _)| (*at, "a lease ends"));
        let repeats = self.calls.values().filter_map(|name| self.jobs.get(name)?.call.as_ref());
        let call = repeats.map(|call| (call.repeat_at, "a call is repeated")).min();
        [lease, call].into_iter().flatten().min()
    }

    // ---- views

    pub(crate) fn job_views(&self) -> Vec<JobView> {
        self.order.iter().filter_map(|name| self.jobs.get(name)).map(Job::view).collect()
    }

    pub(crate) fn backlog(&self) -> u32 {
        self.calls
            .values()
            .filter_map(|name| self.jobs.get(name))
            .map(Job::waiting)
            .fold(0, u32::saturating_add)
    }

    pub(crate) fn leased_to(&self, peer: PeerId) -> u32 {
        let range = (peer, LeaseId::FIRST)..=(peer, LeaseId::LAST);
        u32::try_from(self.leases.range(range).count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn why(&self, now: Time, members: &Membership, name: JobId, index: u32) -> Option<Why> {
        let job = self.jobs.get(&name)?;
        if index >= job.total {
            return None;
        }
        let state = match job.task(index) {
            None => TaskView::Ended,
            Some(task) => match task.state {
                State::Queued => {
                    let before = job.queue.iter().take_while(|queued| **queued != index).count();
                    TaskView::Queued { before: u32::try_from(before).unwrap_or(u32::MAX) }
                }
                State::Leased => leased_view(task.live.iter().rfind(|attempt| !attempt.overdue), now),
                State::Ended(_) => TaskView::Ended,
                State::Cancelled => TaskView::Cancelled,
            },
        };
        let answers = job.said.iter().map(|(peer, (at, said))| {
            let reachable = members.is_connected(*peer) || !members.iter().any(|(known, _)| known == *peer);
            let said = if reachable { said.clone() } else { Said::Unreachable };
            Answer { peer: *peer, said, ago_ms: now.since_us(*at) / 1000 }
        });
        Some(Why { state, answers: answers.collect() })
    }

    pub(crate) fn audits(&self) -> Vec<crate::engine::JobAudit> {
        self.jobs.values().filter(|job| !job.ended).map(audit).collect()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn leases_open(&self) -> usize {
        self.leases.len()
    }
}

fn audit(job: &Job) -> crate::engine::JobAudit {
    let count = |wanted: fn(State) -> bool| {
        u32::try_from(job.tasks.iter().filter(|task| wanted(task.state)).count()).unwrap_or(u32::MAX)
    };
    crate::engine::JobAudit {
        job: job.what.job,
        total: job.total,
        queued: count(|state| state == State::Queued),
        in_queue: job.waiting(),
        leased: count(|state| state == State::Leased),
        ended: count(|state| matches!(state, State::Ended(_))),
        cancelled: count(|state| state == State::Cancelled),
    }
}

fn leased_view(attempt: Option<&Attempt>, now: Time) -> TaskView {
    match attempt {
        None => TaskView::Queued { before: 0 },
        Some(attempt) if attempt.fetching.is_some() => TaskView::Fetching { worker: attempt.worker },
        Some(attempt) => TaskView::Leased {
            worker: attempt.worker,
            attempt: attempt.number,
            since_ms: now.since_us(attempt.since) / 1000,
        },
    }
}

fn attempt_mut(job: &mut Job, lease: LeaseId, worker: PeerId) -> Option<&mut Attempt> {
    let task = job.task_mut(lease.index)?;
    task.live.iter_mut().find(|attempt| attempt.number == lease.attempt && attempt.worker == worker)
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
