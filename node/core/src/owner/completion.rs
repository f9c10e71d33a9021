//! What comes back: outcomes are checked, their blobs fetched, and the first of an attempt that this owner issued commits.
//! Also what a task prints while it runs.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::books::OwnerCtx;
use super::dispatch::trust::is_on_probation;
use super::ending::{Ending, commit};
use super::fetching;
use super::holding;
use super::job::Job;
use super::record::Record;
use super::retry::{self, again, back_off};
use super::task::{Arrival, Attempt, Brought, TaskState};
use super::verification;
use crate::ctx::Ctx;
use crate::effect::Event;
use crate::id::{JobId, LeaseId, PeerId};
use crate::message::{Delivery, PRINTED_BYTES_MAX, PRINTED_BYTES_MIN};
use crate::policy::agreed::RESEND_MAX_MS;
use crate::receipt::{Proof, Receipt};
use crate::task::{Fault, INLINE_BYTES_MAX, Limits, Outcome, Recall, Recalled, Report, Stream};

/// How much longer than by this node's clock a task may have run by its worker's, in microseconds; what is said beyond
/// that is not believed.
const CLOCKS_DIFFER_US: u64 = 1_000_000;
/// What one file costs in an archive beyond its content, with a long name; and the archive itself, with its names.
const ENTRY_BYTES: u64 = 2048;
const ARCHIVE_BYTES: u64 = 1 << 20;

/// A worker delivers an outcome of a task of this job.
pub(super) fn on_outcome(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, from: PeerId, delivery: Delivery) {
    let lease = delivery.lease;
    if lease.epoch < record.job.epoch && record.attempt_mut(lease, from).is_none() {
        holding::adopt_ended(cx, record, from, lease);
    }
    let Some(attempt) = record.attempt_mut(lease, from) else {
        count_late(cx.ctx, &record.job, &delivery);
        verification::weigh_late(cx, record, from, &delivery);
        cx.ack(from, lease);
        return;
    };
    if attempt.fetching.is_some() {
        return;
    }
    if record.job.is_kept() && !takes_kept(cx, lease.job, from) {
        return put_off(cx, record, lease);
    }
    let names_blobs = delivery.report.blobs().next().is_some();
    if names_blobs && !cx.books.fetches.has_room(delivery.report.carried_len()) {
        return put_off(cx, record, lease);
    }
    let brought = believe(cx.ctx, &record.job, from, delivery);
    if !brought.names_blobs() {
        settle(cx, record, Arrival { lease, from, brought });
    } else {
        // The worker may die once it is told that its outcome is safe: its bytes must be here first.
        fetching::fetch_blobs(cx, record, lease, brought);
    }
}

/// Whether an outcome of a kept job is taken: not while too much waits for the disk. This node's own worker may not keep
/// its outcomes, and has few.
fn takes_kept(cx: &OwnerCtx<'_, '_>, job: JobId, from: PeerId) -> bool {
    let keeping = &cx.books.keeping;
    keeping.takes(job) || (from == cx.ctx.me && !keeping.has_failed())
}

/// An outcome is not taken now: the worker keeps it, and sends it again.
fn put_off(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, lease: LeaseId) {
    cx.ctx.counters.dropped += 1;
    let ms = RESEND_MAX_MS + cx.ctx.mesh.lease_ms;
    fetching::run_on(cx, record, lease, ms);
}

/// An attempt ended and everything that it brought is here.
pub(super) fn settle(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, arrival: Arrival) {
    let Arrival { lease, from, .. } = arrival;
    if cx.books.keeping.stops(&record.job) {
        return put_off(cx, record, lease);
    }
    if from != cx.ctx.me || is_kept_by_worker(&record.job, &arrival.brought) {
        cx.ack(from, lease);
    }
    let attempt = record.take_attempt(lease, from).expect("the caller found the attempt");
    if arrival.brought.report.outcome.fault() == Fault::Disk {
        return retry::on_no_room(cx, record, attempt);
    }
    measure(cx.ctx, &mut record.job, &attempt, &arrival.brought);
    cx.books.leases.end(attempt.lease);
    if is_on_probation(cx.books, &record.dispatch, from, cx.ctx.now) {
        // It may have the next one, or as many as it likes.
        cx.touch(record.name());
    }
    if let Some(brought) = verification::weigh(cx, record, arrival) {
        judge(cx, record, Arrival { lease, from, brought }, attempt.copy);
    }
}

/// Whether our own worker keeps something of what it brought, so that it is to be acknowledged.
fn is_kept_by_worker(job: &Job, brought: &Brought) -> bool {
    job.spec.terms.receipts || brought.memo.is_some() || brought.names_blobs()
}

/// Learns from an attempt how long tasks take, if it was computed just now, and all of it in this epoch.
fn measure(ctx: &mut Ctx<'_>, job: &mut Job, attempt: &Attempt, brought: &Brought) {
    let was_seen_whole = !attempt.is_adopted && brought.memo.is_none();
    if !brought.report.outcome.fault().is_answer() || !was_seen_whole {
        return;
    }
    // What it says that it took is no more than what it may have had.
    let most_us = ctx.now.since_us(attempt.since).saturating_add(CLOCKS_DIFFER_US);
    let wall_us = brought.report.usage.wall_us.min(most_us);
    job.stats.service.add(wall_us);
    job.stats.held.add(attempt.held_us(ctx.now));
    if attempt.worker() != ctx.me {
        ctx.programs.measure(job.key, wall_us);
    }
}

/// What an attempt brought, or several alike, ends its task or has it wait again.
fn judge(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, arrival: Arrival, copy: bool) {
    let Arrival { lease, from, brought } = arrival;
    let tried_again = count_fault(cx, record, lease, &brought.report.outcome);
    let OwnerCtx { ctx, members, books } = cx;
    let (now, pure) = (ctx.now, record.job.spec.program.is_pure());
    let task = record.job.live_task_mut(lease.index);
    if tried_again {
        task.avoid = Some((from, now.plus_ms(ctx.mesh.call_ms)));
    }
    match brought.report.outcome.fault() {
        Fault::Worker | Fault::Disk | Fault::Owner => {
            members.count_lost(from);
            record.dispatch.reputation.blamed(from, now).on_lost(now, ctx.mesh.grace_ms);
        }
        Fault::None | Fault::Task | Fault::Program => {
            record.dispatch.reputation.on_done(from, now);
            books.reputation.on_done(from, now);
        }
    }
    if tried_again {
        return again(cx, record, lease.index);
    }
    // It failed on another node before, and a pure task does not do that by itself.
    let failed_by = task.avoid.filter(|(other, _)| task.failures > 0 && *other != from);
    if let Some((worker, _)) = failed_by.filter(|_| pure && brought.report.outcome == Outcome::Done) {
        books.reputation.blamed(worker, now).on_slow(now);
    }
    members.count_done(from);
    if copy {
        blame_outrun(cx, record, lease.index);
    }
    let is_of_another_leader = record.job.is_of_mesh() && lease.epoch < record.job.epoch;
    let ending = if is_of_another_leader { Ending::brought_for_another } else { Ending::brought_by };
    commit(cx, record, lease.index, ending(from, brought));
}

/// Counts a failure or a loss of a task; whether it is tried again.
fn count_fault(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, lease: LeaseId, outcome: &Outcome) -> bool {
    let policy = record.job.spec.policy;
    let task = record.job.live_task_mut(lease.index);
    match outcome.fault() {
        Fault::None | Fault::Program => false,
        Fault::Task => {
            task.failures += 1;
            back_off(cx.ctx, task, &policy);
            let too_late = !task.is_due() && task.is_given_up(&policy, task.wait_until);
            task.failures <= policy.retries && !too_late
        }
        Fault::Worker | Fault::Disk | Fault::Owner => {
            task.losses += 1;
            cx.ctx.counters.lost += 1;
            task.losses <= cx.ctx.mesh.losses_max
        }
    }
}

/// A copy ended before what it is a copy of: the worker that has that is slow, if it can be spoken to; away is another
/// matter.
fn blame_outrun(cx: &mut OwnerCtx<'_, '_>, record: &Record, index: u32) {
    let OwnerCtx { ctx, members, books } = cx;
    let here = |worker: PeerId| worker == ctx.me || members.is_reachable(worker);
    let others = record.job.live_task(index).due();
    let slow = others.filter(|other| !other.paused && here(other.worker())).map(Attempt::worker);
    let slow: Vec<PeerId> = slow.collect();
    ctx.counters.copies_won += u64::from(!slow.is_empty());
    for worker in slow {
        books.reputation.blamed(worker, ctx.now).on_slow(ctx.now);
    }
}

/// What a task printed, by its worker.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) lease: LeaseId,
    pub(crate) stream: Stream,
    pub(crate) offset: u64,
    pub(crate) bytes: Arc<[u8]>,
}

/// A task prints while it runs. What is lost here comes with the outcome. False if it is not taken.
pub(super) fn on_printed(ctx: &mut Ctx<'_>, record: &mut Record, from: PeerId, printed: Printed) -> bool {
    let Printed { lease, stream, offset, bytes } = printed;
    // Of several attempts that run next to each other one is heard, or their words would mingle.
    let first = record.job.task(lease.index).and_then(|task| task.due().map(Attempt::number).min());
    let heard = record.job.spec.terms.stream && first == Some(lease.attempt);
    let attempt = record.attempt_mut(lease, from).filter(|attempt| heard && attempt.is_running());
    let Some(attempt) = attempt else { return false };
    attempt.printed += (bytes.len() as u64).max(PRINTED_BYTES_MIN);
    if bytes.len() > INLINE_BYTES_MAX || attempt.printed > PRINTED_BYTES_MAX {
        return false;
    }
    let LeaseId { job, epoch: _, index, attempt } = lease;
    ctx.notify(Event::Printed { job, index, attempt, stream, offset, bytes });
    true
}

/// Takes from a delivery what may be true.
fn believe(ctx: &mut Ctx<'_>, job: &Job, from: PeerId, delivery: Delivery) -> Brought {
    let Delivery { lease, report, memo, proof } = delivery;
    if !report.is_sound() {
        return Report::bare(Outcome::Lost("the worker sent more than may travel".into())).into();
    }
    if !is_within(&report, &job.spec.program.limits) {
        return Report::bare(Outcome::Lost("the worker says that it brings more than the task may".into()))
            .into();
    }
    match report.outcome.fault() {
        Fault::Owner => {
            return Report::bare(Outcome::Lost("the worker said what only an owner can".into())).into();
        }
        // What did not run to its end has left nothing.
        Fault::Worker | Fault::Disk => {
            return Report { usage: report.usage, ..Report::bare(report.outcome.clone()) }.into();
        }
        Fault::None | Fault::Task | Fault::Program => {}
    }
    let terms = job.spec.terms;
    if let Some(computer) = memo {
        let wanted = terms.memo != Recall::Off && job.spec.program.is_pure();
        // What it has from others is their word and not its own; and a node caught lying is not believed, but runs it.
        let liar = from != ctx.me && ctx.memo.is_liar(from);
        if !wanted || liar || computer != from || report.outcome != Outcome::Done {
            return Report::bare(Outcome::Lost("the worker did not run it".into())).into();
        }
        let word = if from == ctx.me { Recalled::Here } else { Recalled::Worker };
        return Brought { memo: Some((computer, word)), ..report.into() };
    }
    let came = proof.is_some();
    let proof = proof.filter(|proof| {
        terms.receipts && proves(job, lease.index, proof, Receipted { report: &report, from })
    });
    ctx.counters.unproven += u64::from(came && proof.is_none());
    Brought { proof, ..report.into() }
}

/// Whether a proof is of a shape that can prove this report; whose signature it carries is for others to check.
fn proves(job: &Job, index: u32, proof: &Proof, signed: Receipted<'_>) -> bool {
    let task = job.key.task_id(&job.live_task(index).input);
    proof.root(Receipt::new(task, &job.spec.program, signed.report, signed.from).leaf()).is_some()
}

/// What a worker's signature is to be of.
struct Receipted<'a> {
    report: &'a Report,
    from: PeerId,
}

/// Whether what a worker says that it brings can be what the task left: nothing else may wait for room.
fn is_within(report: &Report, limits: &Limits) -> bool {
    let archive = u64::from(limits.files).saturating_mul(ENTRY_BYTES).saturating_add(ARCHIVE_BYTES);
    report.output.bytes_len() <= limits.output_bytes
        && report.errors.bytes_len() <= limits.errors_bytes
        && report.files.bytes_len() <= limits.files_bytes.saturating_add(archive)
}

/// An outcome for which no attempt of that worker waits.
fn count_late(ctx: &mut Ctx<'_>, job: &Job, delivery: &Delivery) {
    let Delivery { lease, report, .. } = delivery;
    match lease.epoch.cmp(&job.epoch) {
        // Of an earlier life of this owner.
        Ordering::Less => return ctx.counters.late += 1,
        Ordering::Greater => return ctx.counters.forged += 1,
        Ordering::Equal => {}
    }
    match job.tasks.fate(lease.index) {
        Some((TaskState::Done(digest) | TaskState::Failed(digest), issued)) if lease.attempt <= issued => {
            ctx.counters.late += 1;
            let done = report.is_sound() && report.outcome == Outcome::Done;
            let differs = done && report.digest().short() != digest;
            ctx.counters.differing += u64::from(job.spec.program.is_pure() && differs);
        }
        None | Some((TaskState::Cancelled | TaskState::Expired, _)) => ctx.counters.late += 1,
        Some((
            TaskState::Awaiting
            | TaskState::Queued
            | TaskState::Leased
            | TaskState::Delayed(_)
            | TaskState::Done(_)
            | TaskState::Failed(_),
            _,
        )) => ctx.counters.forged += 1,
    }
}
