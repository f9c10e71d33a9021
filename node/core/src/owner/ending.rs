//! How tasks and jobs end: one [`end`] for a task, used by a commit, a cancel, an expiry and a failed dependency alike; and
//! the job's own end when nothing of it is left. Whatever must be done once for each task that ends is done there.

use core::ops::Range;

use super::agenda::{Agenda, Alarm};
use super::books::{Completed, OwnerCtx, Stopped, cancel_at};
use super::job::Job;
use super::record::Record;
use super::task::{Attempt, Brought, RECALLED, TaskState};
use crate::ctx::Ctx;
use crate::durable::{Fate, Kept, LogRecord, RestTask};
use crate::effect::{Effect, Event};
use crate::id::PeerId;
use crate::memo::{Seen, is_worth_it};
use crate::task::{Expiry, Outcome, Recalled, Report};

/// What a task ends with, for good.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    brought: Brought,
    /// The node whose outcome it is, if it is one's.
    worker: Option<PeerId>,
    /// This node awarded that node the task itself; an earlier leader of the job may have.
    was_awarded_here: bool,
    cause: Cause<'a>,
}

/// Why a task ends.
#[derive(Debug)]
enum Cause<'a> {
    /// An outcome of its own.
    Outcome,
    /// What of its job had not ended does now. It is in no queue any more, and the workers that run it are collected, so
    /// that each is told once.
    JobOver(&'a mut Stopped),
}

impl<'a> Ending<'a> {
    /// With what a worker brought; the node that computed a known result counts as the one that ran it.
    pub(super) fn brought_by(worker: PeerId, brought: Brought) -> Self {
        Self { brought, worker: Some(worker), was_awarded_here: true, cause: Cause::Outcome }
    }

    /// With what a worker brought that another leader of the job may have awarded the task.
    pub(super) fn brought_for_another(worker: PeerId, brought: Brought) -> Self {
        Self { was_awarded_here: false, ..Self::brought_by(worker, brought) }
    }

    /// With a result that was known.
    pub(super) fn recalled(brought: Brought) -> Self {
        Self { brought, worker: None, was_awarded_here: false, cause: Cause::Outcome }
    }

    /// With what came of its attempts together.
    pub(super) fn of_task(outcome: Outcome) -> Self {
        Self::recalled(Report::bare(outcome).into())
    }

    /// With the rest of its job.
    fn of_job(outcome: Outcome, stopped: &'a mut Stopped) -> Self {
        Self { cause: Cause::JobOver(stopped), ..Self::recalled(Report::bare(outcome).into()) }
    }

    /// The node that computed it.
    fn computer(&self) -> Option<PeerId> {
        let Brought { memo, verified, .. } = &self.brought;
        let winner = verified.as_ref().map(|(winner, _)| *winner);
        winner.or(memo.map(|(computer, _)| computer)).or(self.worker)
    }

    fn state(&self) -> TaskState {
        let report = &self.brought.report;
        match self.cause {
            Cause::Outcome => Fate::of(report).into(),
            Cause::JobOver(_) => Fate::with_job(report).into(),
        }
    }
}

/// What of a job has not ended so long after its submission ends like this.
pub(super) fn expired(job: &Job) -> Outcome {
    Outcome::Expired(Expiry::Unfinished { after_ms: job.spec.policy.expires_ms.unwrap_or(0) })
}

/// A task no attempt of which may begin any more ends like this.
pub(super) fn given_up(job: &Job) -> Outcome {
    Outcome::Expired(Expiry::GivenUp { after_ms: job.spec.policy.give_up_ms.unwrap_or(0) })
}

/// Ends a task for good: its state, its alarms, its pins, its leases, what was said about it, and its user's notice.
fn end(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, ending: Ending<'_>) {
    let OwnerCtx { ctx, books, .. } = cx;
    let Record { job, replicas, .. } = record;
    drop(replicas.close_ballot(ctx, index));
    replicas.stop_wanting(index);
    clear_alarms(&mut books.agenda, job, index);
    let (to, worker) = (ending.state(), ending.computer());
    let Ending { brought, mut cause, .. } = ending;
    if matches!(cause, Cause::Outcome) && job.live_task(index).state() == TaskState::Queued {
        job.unqueue(index);
    }
    job.transition(index, to);
    let task = job.live_task_mut(index);
    ctx.unpin(&core::mem::take(&mut task.input));
    let (attempts, live) = (task.attempts, core::mem::take(&mut task.live));
    for Attempt { lease, .. } in live.into_iter().filter(|attempt| attempt.number() != RECALLED) {
        match &mut cause {
            Cause::Outcome => cancel_at(ctx, lease.worker(), &[lease.id()]),
            Cause::JobOver(stopped) => stopped.add(lease.worker(), lease.id()),
        }
        books.leases.end(lease);
    }
    let Brought { report, memo, proof, verified } = brought;
    let (verified, memo) = (verified.map(|(_, verified)| verified), memo.map(|(_, word)| word));
    job.retried = job.retried.saturating_add(attempts.saturating_sub(1));
    job.recalled += u32::from(memo.is_some());
    let name = job.spec.job;
    match cause {
        _ if !job.is_kept() => {
            ctx.notify(Event::TaskEnded {
                job: name,
                index,
                report,
                worker,
                attempts,
                memo,
                proof,
                verified,
            });
        }
        Cause::Outcome => {
            let kept = Kept { index, report, worker, attempts, memo, proof, verified };
            books.keeping.task_ended(name, kept);
        }
        Cause::JobOver(_) => books.keeping.rest_ended(name, &report.outcome, RestTask { index, attempts }),
    }
    job.on_task_ended(index);
}

/// A task that ends, or that was never tried after all, is not tried again and not given up later.
pub(super) fn clear_alarms(agenda: &mut Agenda, job: &Job, index: u32) {
    let (name, task) = (job.spec.job, job.live_task(index));
    if let TaskState::Delayed(at) = task.state() {
        agenda.clear(at, Alarm::Retry(name, index));
    }
    if let Some(at) = task.gives_up_at(&job.spec.policy) {
        agenda.clear(at, Alarm::GiveUp(name, index));
    }
}

/// A task ends with an outcome of its own, and its job with it if it was the last.
pub(super) fn commit(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, ending: Ending<'_>) {
    if record.replicas.wants(index) {
        cx.touch(record.name());
    }
    remember(cx.ctx, &record.job, index, &ending);
    if let Some(worker) = ending.computer() {
        cx.books.locality.on_commit(worker, &ending.brought.report);
    }
    end(cx, record, index, ending);
    cx.ctx.counters.committed += 1;
    end_if_over(cx, record);
}

/// Keeps a result that came home in mind for the same task of another day, if this node chose who computed it: by default a
/// node's jobs use no other.
fn remember(ctx: &mut Ctx<'_>, job: &Job, index: u32, ending: &Ending<'_>) {
    let Brought { report, memo, .. } = &ending.brought;
    // What this node remembered itself is no news, and no node's word gets better by being taken.
    let news = matches!(memo, None | Some((_, Recalled::Worker)));
    // What ran here our own worker has remembered already.
    let elsewhere = ending.computer().filter(|worker| *worker != ctx.me);
    if let Some(worker) = elsewhere
        && ending.was_awarded_here
        && news
        && job.spec.program.is_pure()
        && is_worth_it(report)
    {
        let task = job.key.task_id(&job.live_task(index).input);
        ctx.memo.remember(ctx.counters, task, report, (worker, Seen::Home));
    }
}

/// Ends those of these tasks that have not ended, and stops the workers that run them.
pub(super) fn end_rest(
    cx: &mut OwnerCtx<'_, '_>,
    record: &mut Record,
    indexes: Range<u32>,
    outcome: &Outcome,
) {
    record.job.queue.retain(|index| !indexes.contains(index));
    record.dependencies.held.retain(|index| !indexes.contains(index));
    let mut stopped = Stopped::default();
    for index in indexes {
        // What ended may be forgotten.
        if record.job.task(index).is_some_and(|task| !task.state().is_end()) {
            end(cx, record, index, Ending::of_job(outcome.clone(), &mut stopped));
        }
    }
    stopped.tell(cx.ctx);
    cx.touch(record.name());
}

/// Ends those tasks of a job from that one on that never may begin.
pub(super) fn end_if_failed(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, first: u32) {
    if let Some(outcome) = record.dependencies.failure().cloned() {
        let rest = first..record.job.total();
        end_rest(cx, record, rest, &outcome);
    }
}

/// Ends a job that failed too often, and one of which nothing is left.
pub(super) fn end_if_over(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    give_up_job(cx, record);
    let Record { job, dependencies, .. } = &*record;
    // What has begun and was given up waits for no parent any more.
    let waits = dependencies.is_waiting() && !(job.given_up && dependencies.lets_begin());
    if job.ended || job.open || waits || job.unfinished() > 0 {
        return;
    }
    let name = record.name();
    cx.books.agenda.clear(record.job.starts_at, Alarm::Start(name));
    if let Some(at) = record.job.expires_at() {
        cx.books.agenda.clear(at, Alarm::Expire(name));
    }
    cx.books.keeping.readers.leave(name, record.edge.take());
    record.forget();
    let program = &record.job.spec.program;
    cx.ctx.emit(Effect::Unpin(program.module));
    cx.ctx.unpin(&program.files);
    cx.touch(name);
    let succeeded = record.has_succeeded();
    if record.job.is_kept() {
        cx.books.keeping.end(name, succeeded);
    } else {
        cx.ctx.notify(Event::JobEnded { job: name });
    }
    if record.job.is_of_mesh() {
        // What comes after it is told once its end is committed.
        return;
    }
    let children = core::mem::take(&mut record.dependencies.children);
    if !children.is_empty() {
        cx.books.completed.push_back(Completed { parent: name, succeeded, children });
    }
}

/// Gives a job up of which more tasks ended otherwise than done than it allows.
fn give_up_job(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let job = &mut record.job;
    let failed = job.counts.failed();
    if job.ended || job.given_up || job.spec.policy.failures_max.is_none_or(|most| failed <= most) {
        return;
    }
    job.given_up = true;
    job.open = false;
    let all = 0..job.total();
    if job.is_kept() {
        cx.books.keeping.record(job.spec.job, LogRecord::GivenUp { failed });
    }
    cx.tell(&record.job, Event::JobGivenUp { job: record.name(), failed });
    end_rest(cx, record, all, &Outcome::Cancelled);
}
