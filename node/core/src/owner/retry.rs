//! Tasks that need another attempt: they queue again, wait for their time, or are given up. Also attempts that end without an
//! outcome: refused or returned by their workers, or out of time.

use alloc::format;

use super::agenda::Alarm;
use super::books::OwnerCtx;
use super::ending::{Ending, clear_alarms, commit, given_up};
use super::record::Record;
use super::task::{Attempt, Task, TaskState};
use crate::ctx::Ctx;
use crate::effect::Event;
use crate::id::{LeaseId, PeerId};
use crate::policy::agreed::STOPPED_ATTEMPTS_MAX;
use crate::policy::{Policy, backoff};
use crate::task::Outcome;

/// A task needs another attempt, unless one is still due: it queues, waits for its time, or is given up.
pub(super) fn again(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32) {
    let task = record.job.live_task(index);
    match task.state() {
        TaskState::Queued | TaskState::Delayed(_) => return wait_on(cx, record, index),
        TaskState::Leased => {}
        TaskState::Awaiting
        | TaskState::Done(_)
        | TaskState::Failed(_)
        | TaskState::Cancelled
        | TaskState::Expired => {
            debug_assert!(false, "a task that ended, or has no input yet, has no attempt that could end");
            return;
        }
    }
    if task.is_due() {
        // A job that verifies may want one more node besides.
        return requeue(cx, record, index);
    }
    let at = task.wait_until.max(cx.ctx.now);
    if task.is_given_up(&record.job.spec.policy, at) {
        commit(cx, record, index, Ending::of_task(given_up(&record.job)));
    } else if at > cx.ctx.now && !record.replicas.has_answers(index) {
        record.job.transition(index, TaskState::Delayed(at));
        cx.books.agenda.set(at, Alarm::Retry(record.name(), index));
    } else {
        requeue(cx, record, index);
    }
}

fn requeue(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32) {
    record.requeue(index);
    cx.touch(record.name());
}

/// A task waits already, because a lease of it ran out, and its failure comes only now: it waits for its time, too.
fn wait_on(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32) {
    if record.job.verifies() {
        return;
    }
    let (name, task) = (record.name(), record.job.live_task(index));
    let (at, was) = (task.wait_until, task.state());
    if task.is_given_up(&record.job.spec.policy, at.max(cx.ctx.now)) {
        return commit(cx, record, index, Ending::of_task(given_up(&record.job)));
    }
    if at <= cx.ctx.now || was == TaskState::Delayed(at) {
        return;
    }
    if let TaskState::Delayed(before) = was {
        cx.books.agenda.clear(before, Alarm::Retry(name, index));
    } else {
        record.job.unqueue(index);
    }
    record.job.transition(index, TaskState::Delayed(at));
    cx.books.agenda.set(at, Alarm::Retry(name, index));
    cx.touch(name);
}

/// A task's backoff is over.
pub(super) fn on_backoff_over(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32) {
    record.job.requeue(index);
    cx.touch(record.name());
}

/// The time is over in which an attempt of a task may begin; one that has begun may end.
pub(super) fn give_up(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32) {
    if !record.job.live_task(index).is_due() {
        commit(cx, record, index, Ending::of_task(given_up(&record.job)));
    }
}

/// An attempt of it failed by its own fault: the next one waits its time.
pub(super) fn back_off(ctx: &mut Ctx<'_>, task: &mut Task, policy: &Policy) {
    let wait_ms = match policy.backoff.first_ms {
        0 => 0,
        _ => backoff::wait_ms(&policy.backoff, task.failures, ctx.draw()),
    };
    task.wait_until = ctx.now.plus_ms(wait_ms);
}

/// Why a worker returned an attempt without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It refused it.
    Refused,
    /// It stopped it where it ran, for others of a higher class.
    Stopped,
    /// It takes no work any more.
    Drains,
}

/// How a worker returned an attempt without an outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return {
    pub(super) cause: Cause,
    /// The job has blamed the worker already for others of the same message.
    pub(super) counted: bool,
}

impl Return {
    /// One refusal is no fault; a worker that refuses again and again what it bids for must not keep a job's tasks from
    /// others. What a worker stops for others is no refusal, as often as a task may be stopped; nor is what it gives back
    /// because it drains, for it gets none of the job for a while.
    pub(super) fn is_blamed(self, lease: LeaseId) -> bool {
        let excused = match self.cause {
            Cause::Refused => false,
            Cause::Stopped => lease.attempt <= STOPPED_ATTEMPTS_MAX,
            Cause::Drains => true,
        };
        !excused && !self.counted
    }
}

/// A worker returned an attempt: its task waits again, and rather not for that worker if it began there.
pub(super) fn on_returned(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, attempt: Attempt, how: Return) {
    let OwnerCtx { ctx, books, .. } = cx;
    let (lease, worker, has_run) = (attempt.lease.id(), attempt.worker(), attempt.has_run());
    books.leases.end(attempt.lease);
    ctx.counters.refused += 1;
    if how.is_blamed(lease) {
        record.dispatch.reputation.blamed(worker, ctx.now).on_refused(ctx.now, ctx.mesh.grace_ms);
    }
    let Record { job, replicas, .. } = &mut *record;
    if attempt.copy {
        replicas.on_copy_refused(job, lease.index);
    }
    let task = job.live_task_mut(lease.index);
    // What a worker leaves that took its owner for gone ran, too.
    let began = how.cause == Cause::Stopped || has_run;
    if began {
        task.stops = task.stops.saturating_add(u32::from(how.cause != Cause::Drains));
        task.avoid = Some((worker, ctx.now.plus_ms(ctx.mesh.call_ms)));
    }
    if how.cause == Cause::Drains {
        bar_drained(cx, record, worker);
    }
    if !began {
        forget_award(cx, record, lease.index);
    }
    again(cx, record, lease.index);
}

/// A worker takes no work any more. It gets none of the job for a while, so that one that only says so keeps no task from
/// others. This node's own worker says what it takes.
fn bar_drained(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, worker: PeerId) {
    if worker != cx.ctx.me {
        record.dispatch.reputation.blamed(worker, cx.ctx.now).on_drained(cx.ctx.now);
    }
}

/// A worker had no room for what a task reads or left: the task waits again. The worker is not to blame, and is given no
/// task of the job for a while, so that one that only claims it keeps no task from others.
pub(super) fn on_no_room(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, attempt: Attempt) {
    let OwnerCtx { ctx, books, .. } = cx;
    let (lease, worker, has_run) = (attempt.lease.id(), attempt.worker(), attempt.has_run());
    books.leases.end(attempt.lease);
    ctx.counters.refused += 1;
    record.dispatch.reputation.blamed(worker, ctx.now).on_full(ctx.now);
    let Record { job, replicas, .. } = &mut *record;
    if attempt.copy {
        replicas.on_copy_refused(job, lease.index);
    }
    job.live_task_mut(lease.index).avoid = Some((worker, ctx.now.plus_ms(ctx.mesh.call_ms)));
    books.full_disks.push(worker);
    if !has_run {
        forget_award(cx, record, lease.index);
    }
    again(cx, record, lease.index);
}

/// A task whose only awards were returned before it ran is as if it had never been awarded: the time in which its
/// attempts may begin starts with the next award.
fn forget_award(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32) {
    if record.job.live_task(index).is_untried() {
        clear_alarms(&mut cx.books.agenda, &record.job, index);
        record.job.live_task_mut(index).first_at = None;
    }
}

/// A lease ran out: its worker lost the task, and what it may still bring counts if it is the first.
pub(super) fn on_lease_ended(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, lease: LeaseId) {
    let OwnerCtx { ctx, members, books } = cx;
    let task = record.job.live_task_mut(lease.index);
    let attempt = task.attempt_mut(lease).expect("a lease belongs to a live attempt");
    books.leases.suspend(&mut attempt.lease);
    attempt.overdue = true;
    let worker = attempt.worker();
    task.losses += 1;
    task.avoid = Some((worker, ctx.now.plus_ms(ctx.mesh.call_ms)));
    let losses = task.losses;
    let given_up = losses > ctx.mesh.losses_max;
    ctx.counters.lost += 1;
    members.count_lost(worker);
    books.reputation.blamed(worker, ctx.now).on_lost(ctx.now, ctx.mesh.grace_ms);
    ctx.notify(Event::Lost { job: lease.job, index: lease.index, worker });
    if given_up {
        let text = format!("{losses} attempts ended without an outcome");
        commit(cx, record, lease.index, Ending::of_task(Outcome::Lost(text)));
    } else {
        again(cx, record, lease.index);
    }
}
