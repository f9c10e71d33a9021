//! What comes back: outcomes are doubted, their blobs fetched, and the first of an attempt that this owner issued
//! commits. Also what a task prints while it runs.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::job::{Brought, Job, State};
use super::shortage::is_within;
use super::{Owner, attempt_mut, drop_lease, take_attempt};
use crate::ctx::Ctx;
use crate::effect::Event;
use crate::id::{JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::memo::Seen;
use crate::message::{BATCH_MAX, Delivery, PRINTED_BYTES_MAX, PRINTED_BYTES_MIN};
use crate::policy::agreed::RESEND_MAX_MS;
use crate::receipt::{Proof, Receipt};
use crate::task::{Fault, INLINE_BYTES_MAX, Outcome, Recall, Recalled, Report, Stream};

/// How much longer than by this node's clock a task may have run by its worker's, in microseconds; what is said beyond
/// that is not believed.
const CLOCKS_DIFFER_US: u64 = 1_000_000;

impl Owner {
    pub(crate) fn on_outcomes(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        all: Vec<Delivery>,
    ) {
        ctx.counters.dropped += all.len().saturating_sub(BATCH_MAX) as u64;
        ctx.look(all.len().min(BATCH_MAX));
        for delivery in all.into_iter().take(BATCH_MAX) {
            self.on_outcome(ctx, members, from, delivery);
        }
    }

    fn on_outcome(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, from: PeerId, delivery: Delivery) {
        let lease = delivery.lease;
        let Some(job) = self.jobs.get_mut(&lease.job) else {
            ctx.counters.late += 1;
            self.ack(from, lease);
            return;
        };
        let Some(attempt) = attempt_mut(job, lease, from) else {
            count_late(ctx, job, &delivery);
            self.weigh_late(ctx, from, &delivery);
            self.ack(from, lease);
            return;
        };
        if attempt.fetching.is_some() {
            return;
        }
        let names_blobs = delivery.report.blobs().next().is_some();
        if names_blobs && !self.fetching.has_room(delivery.report.carried_len()) {
            ctx.counters.dropped += 1;
            // The worker keeps it, and sends it again.
            self.run_on(ctx, lease, from, RESEND_MAX_MS + ctx.mesh.lease_ms);
            return;
        }
        let brought = doubt(ctx, job, from, delivery);
        if brought.report.blobs().next().is_none() {
            self.settle(ctx, members, lease, from, brought);
        } else {
            // The worker may die once it is told that its outcome is safe: its bytes must be here first.
            self.fetch_blobs(ctx, lease, from, brought);
        }
    }

    /// An attempt ended and everything that it brought is here.
    pub(super) fn settle(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        lease: LeaseId,
        from: PeerId,
        brought: Brought,
    ) {
        if from != ctx.me || !self.is_handed_over(lease.job, &brought) {
            self.ack(from, lease);
        }
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let Some(attempt) = take_attempt(job, lease, from) else { return };
        drop_lease(&mut self.leases, &mut self.expiries, &attempt, lease);
        if brought.report.outcome.fault().is_answer() && brought.memo.is_none() {
            // What it says that it took is no more than what it may have had.
            let most_us = ctx.now.since_us(attempt.since).saturating_add(CLOCKS_DIFFER_US);
            let wall_us = brought.report.usage.wall_us.min(most_us);
            job.measure(wall_us);
            job.stats.held.add(attempt.held_us(ctx.now));
            if from != ctx.me {
                ctx.programs.measure(job.key(), wall_us);
            }
        }
        let voice = members.voice(from);
        let Some(brought) = self.weigh(ctx, lease, (from, voice), brought) else { return };
        self.judge(ctx, members, lease, from, (attempt.copy, brought));
    }

    /// What an attempt brought, or several alike, ends its task or has it wait again.
    fn judge(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        lease: LeaseId,
        from: PeerId,
        (copy, brought): (bool, Brought),
    ) {
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let (policy, pure) = (job.what.policy, job.what.program.is_pure());
        let patience = ctx.now.plus_ms(ctx.mesh.call_ms);
        let Some(task) = job.task_mut(lease.index) else { return };
        let mut lost_by = None;
        let again = match brought.report.outcome.fault() {
            Fault::None | Fault::Program => false,
            Fault::Task => {
                task.failures += 1;
                task.back_off(ctx, &policy);
                let too_late = task.due().next().is_none() && task.is_given_up(&policy, task.wait_until);
                task.failures <= policy.retries && !too_late
            }
            Fault::Worker | Fault::Owner => {
                task.losses += 1;
                ctx.counters.lost += 1;
                members.count_lost(from);
                lost_by = Some(from);
                task.losses <= ctx.mesh.losses_max
            }
        };
        let avoid = again.then_some((from, patience));
        task.avoid = avoid.or(task.avoid);
        let failed_by = task.avoid.filter(|(other, _)| task.failures > 0 && *other != from);
        let failed_by = failed_by.filter(|_| pure && brought.report.outcome == Outcome::Done);
        // Who can't be spoken to is away, which is another matter than slow.
        let here = |worker: PeerId| worker == ctx.me || members.is_reachable(worker);
        let slow = task.due().filter(|other| copy && !other.paused && here(other.worker));
        let slow: Vec<PeerId> = slow.map(|other| other.worker).collect();
        match lost_by {
            Some(worker) => job.standings.blamed(worker, ctx.now).on_lost(ctx.now, ctx.mesh.grace_ms),
            None => {
                job.standings.on_done(from, ctx.now);
                self.standings.on_done(from, ctx.now);
            }
        }
        if again {
            self.again(ctx, lease.job, lease.index);
            return;
        }
        if let Some((worker, _)) = failed_by {
            self.standings.blamed(worker, ctx.now).on_slow(ctx.now);
        }
        members.count_done(from);
        self.blame_slow(ctx, &slow);
        self.commit(ctx, lease.job, lease.index, Some(from), brought);
    }

    /// Whether our own worker keeps nothing of what it brought, so that nothing is to be acknowledged.
    fn is_handed_over(&self, name: JobId, brought: &Brought) -> bool {
        let signed = self.jobs.get(&name).is_none_or(|job| job.what.terms.receipts);
        !signed && brought.memo.is_none() && brought.report.blobs().next().is_none()
    }

    /// A task ends for good, with what `worker` brought; whoever computed a known result counts as who ran it.
    pub(super) fn commit(
        &mut self,
        ctx: &mut Ctx<'_>,
        name: JobId,
        index: u32,
        worker: Option<PeerId>,
        brought: Brought,
    ) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let Brought { report, memo, proof, verified } = brought;
        let (winner, verified) = verified.unzip();
        let (computer, memo) = memo.unzip();
        let worker = winner.or(computer).or(worker);
        job.close_ballot(ctx, index);
        if job.extra.remove(&index) {
            self.dirty.insert(name);
        }
        // What this node remembered itself is no news, and nobody's word gets better by being taken.
        if matches!(memo, None | Some(Recalled::Worker)) {
            remember(ctx, job, index, worker, &report);
        }
        self.produced.on_commit(worker, &report);
        let policy = job.what.policy;
        let Some(task) = job.task_mut(index) else { return };
        assert!(!task.state.is_end(), "a task is committed once");
        let was = task.state;
        self.alarms.on_task_ended(&policy, (name, index), task);
        let expired = matches!(report.outcome, Outcome::Expired(_));
        task.state = if expired { State::Expired } else { State::Ended(report.digest().short()) };
        ctx.unpin(&core::mem::take(&mut task.input));
        let attempts = task.attempts;
        let others = core::mem::take(&mut task.live);
        job.on_task_ended(index);
        match was {
            State::Queued => job.unqueue(index),
            State::Leased => job.counts.leased -= 1,
            State::Delayed(_) => job.counts.delayed -= 1,
            State::Ended(_) | State::Cancelled | State::Expired => {}
        }
        count_end(job, &report.outcome, attempts, memo.is_some());
        self.stop_others(ctx, name, index, others);
        ctx.counters.committed += 1;
        ctx.notify(Event::TaskEnded { job: name, index, report, worker, attempts, memo, proof, verified });
        self.end_if_over(ctx, name);
    }

    /// A task prints while it runs. What is lost here comes with the outcome.
    pub(crate) fn on_printed(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: PeerId,
        lease: LeaseId,
        stream: Stream,
        offset: u64,
        bytes: Arc<[u8]>,
    ) {
        let job = self.jobs.get_mut(&lease.job).filter(|job| job.what.terms.stream);
        // Of several attempts that run beside each other one is heard, or their words would mingle.
        let heard = |job: &&mut Box<Job>| {
            let first = job.task(lease.index).and_then(|task| task.due().map(|attempt| attempt.number).min());
            first == Some(lease.attempt)
        };
        let attempt = job.filter(heard).and_then(|job| attempt_mut(job, lease, from));
        let Some(attempt) = attempt.filter(|attempt| !attempt.overdue && attempt.fetching.is_none()) else {
            ctx.counters.dropped += 1;
            return;
        };
        attempt.printed += (bytes.len() as u64).max(PRINTED_BYTES_MIN);
        if bytes.len() > INLINE_BYTES_MAX || attempt.printed > PRINTED_BYTES_MAX {
            ctx.counters.dropped += 1;
            return;
        }
        let LeaseId { job, index, attempt } = lease;
        ctx.notify(Event::Printed { job, index, attempt, stream, offset, bytes });
    }
}

/// Takes from a delivery what may be true.
fn doubt(ctx: &mut Ctx<'_>, job: &mut Job, from: PeerId, delivery: Delivery) -> Brought {
    let Delivery { lease, report, memo, proof } = delivery;
    if !report.is_sound() {
        return Report::bare(Outcome::Lost("the worker sent more than may travel".into())).into();
    }
    if !is_within(&report, &job.what.program.limits) {
        return Report::bare(Outcome::Lost("the worker says that it brings more than the task may".into()))
            .into();
    }
    if matches!(report.outcome, Outcome::ParentFailed { job: _ }) {
        return Report::bare(Outcome::Lost("the worker said what only an owner can".into())).into();
    }
    let terms = job.what.terms;
    if let Some(computer) = memo {
        let wanted = terms.memo != Recall::Off && job.what.program.is_pure();
        // What it has from others is their word and not its own; and who was caught lying is not believed, but runs it.
        let liar = from != ctx.me && ctx.memo.is_liar(from);
        if !wanted || liar || computer != from || report.outcome != Outcome::Done {
            return Report::bare(Outcome::Lost("the worker did not run it".into())).into();
        }
        let word = if from == ctx.me { Recalled::Here } else { Recalled::Worker };
        return Brought { memo: Some((computer, word)), ..report.into() };
    }
    let came = proof.is_some();
    let proof = proof.filter(|proof| terms.receipts && belongs(job, proof, lease, &report, from));
    ctx.counters.unproven += u64::from(came && proof.is_none());
    Brought { proof, ..report.into() }
}

/// Whether a proof is of a shape that can prove this report; whose signature it carries is for others to check.
fn belongs(job: &mut Job, proof: &Proof, lease: LeaseId, report: &Report, from: PeerId) -> bool {
    let key = job.key();
    let Some(task) = job.task(lease.index).map(|task| key.task_id(&task.input)) else { return false };
    proof.root(Receipt::new(task, &job.what.program, report, from).leaf()).is_some()
}

/// Keeps a result that came home in mind for the same task of another day.
fn remember(ctx: &mut Ctx<'_>, job: &mut Job, index: u32, worker: Option<PeerId>, report: &Report) {
    // What ran here our own worker has remembered already.
    let elsewhere = worker.filter(|worker| *worker != ctx.me);
    let Some(worker) = elsewhere.filter(|_| job.what.program.is_pure() && crate::memo::is_worth_it(report))
    else {
        return;
    };
    let key = job.key();
    let Some(task) = job.task(index).map(|task| key.task_id(&task.input)) else { return };
    ctx.memo.remember(ctx.counters, task, report, (worker, Seen::Home));
}

/// An outcome for which no attempt of that worker waits.
fn count_late(ctx: &mut Ctx<'_>, job: &Job, delivery: &Delivery) {
    let Delivery { lease, report, .. } = delivery;
    let state = job.tasks.fate(lease.index);
    match state {
        Some((State::Ended(print), issued)) if lease.attempt <= issued => {
            ctx.counters.late += 1;
            let done = report.is_sound() && report.outcome == Outcome::Done;
            let differs = done && report.digest().short() != print;
            ctx.counters.differing += u64::from(job.what.program.is_pure() && differs);
        }
        None | Some((State::Cancelled | State::Expired, _)) => ctx.counters.late += 1,
        Some((State::Queued | State::Leased | State::Delayed(_) | State::Ended(_), _)) => {
            ctx.counters.forged += 1;
        }
    }
}

fn count_end(job: &mut Job, outcome: &Outcome, attempts: u32, recalled: bool) {
    job.counts.retried = job.counts.retried.saturating_add(attempts.saturating_sub(1));
    job.counts.recalled += u32::from(recalled);
    match outcome.fault() {
        Fault::None => job.counts.done += 1,
        Fault::Task | Fault::Program | Fault::Worker | Fault::Owner => job.counts.failed += 1,
    }
}
