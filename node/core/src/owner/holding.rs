//! Attempts of a kept job that go on under another epoch: its owner restarted, or another node leads it by now. Workers that
//! its log names are asked what they hold, its tasks wait for their answers for a short time, and what they hold is leased to
//! them again under its own number, so that its outcome counts. Only a worker that the log names is asked, and it is believed
//! only about tasks that it was given as the log says.
//!
//! A worker follows only a node that it knows to keep the job. So where a seat was given to another node, the workers that may
//! hold something are told who keeps the job now, by the node that they follow.
//!
//! A job that verifies has no part in this: its votes are taken anew.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::agenda::Alarm;
use super::books::{OwnerCtx, cancel_at};
use super::record::{Record, Records};
use super::task::{Attempt, TaskState};
use crate::ctx::Ctx;
use crate::id::{BidId, CallId, JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{Assign, BATCH_MAX, HeldLease, HeldState, Holding, Message};
use crate::policy::agreed::UNDELIVERED_PER_OWNER_MAX;

/// For how long tasks wait for answers of workers that may hold them, in milliseconds; they are placed anew after it.
const ANSWERS_MAX_MS: u64 = 3000;
/// Attempts of earlier epochs that one worker goes on with for one job; the others run again.
const ADOPTED_MAX: usize = 4096;
const _: () = assert!(
    ADOPTED_MAX >= 2 * UNDELIVERED_PER_OWNER_MAX,
    "what a worker may have for one owner, and more, goes on"
);

/// A worker is given a task: the log is to say so, once. Nothing waits for that: a task of which the log does not say it runs
/// again in a later epoch. What this node's own worker has of a job at level disk ends with the process.
pub(super) fn note_given(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, worker: PeerId) {
    let Record { job, holders, .. } = record;
    let is_told = job.is_kept() && !job.verifies() && (worker != cx.ctx.me || job.is_of_mesh());
    let has_ended = |index| job.task(index).is_none_or(|task| task.state().is_end());
    if is_told && holders.given.add(worker, index..index.saturating_add(1), has_ended) {
        cx.books.keeping.given(job.spec.job, worker, index);
    }
}

/// A job goes on under another epoch: the nodes that may hold something of it are asked.
pub(super) fn begin(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let Record { job, holders, .. } = &mut *record;
    if job.verifies() || job.stopped || job.given_up || holders.first_epoch >= job.epoch {
        return;
    }
    holders.unanswered = holders.given.workers().collect();
    let until = cx.ctx.now.plus_ms(ANSWERS_MAX_MS);
    holders.waits_until = Some(until);
    cx.books.agenda.set(until, Alarm::Answers(job.spec.job));
    let here = holders.unanswered.iter().copied().filter(|worker| is_here(cx.ctx.me, cx.members, *worker));
    for worker in here.collect::<Vec<_>>() {
        cx.ctx.send(worker, Message::AskHolding(alloc::vec![(job.spec.job, job.epoch)]));
    }
    name_keepers(cx, record);
    end_wait_if_answered(cx, record);
}

/// The workers that may hold something of a job are told who keeps it, if that is no longer as it was accepted.
pub(super) fn name_keepers(cx: &mut OwnerCtx<'_, '_>, record: &Record) {
    let (all, me) = (record.holders.given.workers(), cx.ctx.me);
    for worker in all.filter(|worker| is_here(me, cx.members, *worker)) {
        name_keepers_to(cx.ctx, record, worker);
    }
}

/// A worker is connected: it is told the same of all jobs. It knows already which of them are led here.
pub(super) fn name_all_keepers(ctx: &mut Ctx<'_>, records: &Records, worker: PeerId) {
    let changed = records.values().filter(|record| record.holders.keepers_changed);
    let given = changed.filter(|record| record.holders.given.workers().any(|of| of == worker));
    given.for_each(|record| name_keepers_to(ctx, record, worker));
}

/// A message that assigns no task says it, with the call that it always carries.
fn name_keepers_to(ctx: &mut Ctx<'_>, record: &Record, worker: PeerId) {
    if record.holders.keepers_changed && !record.job.ended {
        let call = record.call_message(ctx, CallId(record.name().0), worker);
        let assign = Assign { call, bid: BidId(0), placed: 0, acks: Vec::new(), grants: Vec::new() };
        ctx.send(worker, Message::Assign(Box::new(assign)));
    }
}

/// A worker is connected: it is asked about all jobs of which it has not said what it holds.
pub(super) fn ask(ctx: &mut Ctx<'_>, records: &Records, worker: PeerId) {
    let awaited = records.values().filter(|record| record.holders.awaits(worker) && !record.job.ended);
    let asked: Vec<(JobId, u32)> = awaited.map(|record| (record.name(), record.job.epoch)).collect();
    for part in asked.chunks(BATCH_MAX) {
        ctx.send(worker, Message::AskHolding(part.to_vec()));
    }
}

/// A worker says what it holds. What the job has no use for it is told to leave.
pub(super) fn on_holding(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, from: PeerId, holding: Holding) {
    let Holding { job: _, epoch, all, is_last } = holding;
    if epoch != record.job.epoch || !record.holders.awaits(from) {
        cx.ctx.counters.dropped += 1;
        return;
    }
    let mut room = ADOPTED_MAX.saturating_sub(cx.books.leases.of_job_at(record.name(), from).count());
    let mut useless = Vec::new();
    for HeldLease { lease, state } in cx.ctx.within_frame(&all).iter().copied() {
        let is_adopted = room > 0 && adopt(cx, record, from, HeldLease { lease, state });
        if is_adopted {
            room -= 1;
        } else if lease.job == record.name() {
            useless.push(lease);
        }
    }
    cancel_at(cx.ctx, from, &useless);
    if is_last {
        record.holders.unanswered.remove(&from);
        end_wait_if_answered(cx, record);
    }
}

/// An outcome comes of an attempt that this owner does not know. Whether it is one of an earlier epoch that counts; it is an
/// attempt from then on.
pub(super) fn adopt_ended(
    cx: &mut OwnerCtx<'_, '_>,
    record: &mut Record,
    from: PeerId,
    lease: LeaseId,
) -> bool {
    let room = || cx.books.leases.of_job_at(lease.job, from).take(ADOPTED_MAX).count() < ADOPTED_MAX;
    record.holders.is_believed(&record.job, from, lease)
        && room()
        && adopt(cx, record, from, HeldLease { lease, state: HeldState::Ended })
}

/// The time for answers is over: the job's tasks are placed anew.
pub(super) fn on_time_over(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if record.holders.waits_until.is_some_and(|until| until <= cx.ctx.now) {
        record.holders.waits_until = None;
        cx.touch(record.name());
    }
}

/// No further answer is waited for once none is to be expected soon.
fn end_wait_if_answered(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let name = record.name();
    let Record { holders, .. } = record;
    let Some(until) = holders.waits_until else { return };
    // One that was connected in this life and is not now may be gone; one that was not may come.
    let is_awaited =
        |worker: &PeerId| is_here(cx.ctx.me, cx.members, *worker) || !cx.members.has_met(*worker);
    if !holders.unanswered.iter().any(is_awaited) {
        holders.waits_until = None;
        cx.books.agenda.clear(until, Alarm::Answers(name));
        cx.touch(name);
    }
}

fn is_here(me: PeerId, members: &Membership, worker: PeerId) -> bool {
    worker == me || members.is_connected(worker)
}

/// Leases an attempt of an earlier epoch to its worker again, if its task has use for it: of one that runs, if no other does.
fn adopt(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, from: PeerId, of: HeldLease) -> bool {
    let HeldLease { lease, state } = of;
    let is_useful = record.holders.is_believed(&record.job, from, lease)
        && record.dependencies.lets_begin()
        && !cx.books.keeping.stops(&record.job);
    let Some(task) = record.job.task(lease.index).filter(|_| is_useful) else { return false };
    if let Some(known) = task.attempt(lease) {
        return known.worker() == from;
    }
    let may_begin = match (task.state(), state) {
        (TaskState::Queued, _) => true,
        (TaskState::Leased, HeldState::Ended) => true,
        (TaskState::Leased, HeldState::Running) | (TaskState::Awaiting | TaskState::Delayed(_), _) => false,
        (TaskState::Done(_) | TaskState::Failed(_) | TaskState::Cancelled | TaskState::Expired, _) => false,
    };
    if may_begin {
        lease_again(cx, record, from, lease);
    }
    may_begin
}

fn lease_again(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, worker: PeerId, lease: LeaseId) {
    let OwnerCtx { ctx, books, .. } = cx;
    let (index, policy) = (lease.index, record.job.spec.policy);
    if record.job.live_task(index).state() == TaskState::Queued {
        record.job.unqueue(index);
        record.replicas.stop_wanting(index);
        record.job.transition(index, TaskState::Leased);
    }
    let issued = books.leases.issue(worker, lease, ctx.now.plus_ms(ctx.mesh.lease_ms));
    let task = record.job.live_task_mut(index);
    let mut attempt = Attempt::adopted(issued, ctx.now);
    if task.is_due() {
        // It was given to another one meanwhile; what is here first counts.
        attempt.overdue = true;
        books.leases.suspend(&mut attempt.lease);
    }
    task.attempts += 1;
    task.live.push(attempt);
    if task.first_at.is_none() {
        task.first_at = Some(ctx.now);
        if let Some(at) = task.gives_up_at(&policy) {
            books.agenda.set(at, Alarm::GiveUp(lease.job, index));
        }
    }
    ctx.counters.adopted += 1;
}
