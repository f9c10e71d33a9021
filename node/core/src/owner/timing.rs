//! What an owner does at its time: jobs that may begin, tasks that are tried again, are given up or expire, and jobs
//! that failed too often. Nothing here is told to a worker before its time; all of it is state with an instant.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use rand_core::RngCore;

use super::job::{Job, RECALLED, State, Task};
use super::{Owner, cancel_at, drop_lease};
use crate::ctx::Ctx;
use crate::effect::Event;
use crate::id::{JobId, LeaseId, PeerId};
use crate::policy::order::Claim;
use crate::policy::{Policy, backoff, times};
use crate::task::{Expiry, Outcome, Report};
use crate::time::Time;

/// What is due at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// The job may start.
    Start(JobId),
    /// What of the job has not ended expires.
    Expire(JobId),
    /// The task's backoff is over.
    Retry(JobId, u32),
    /// No further attempt of the task may begin.
    GiveUp(JobId, u32),
}

/// What is due when. Holds at most two entries a job that has not ended and two a task that was tried.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeSet<(Time, Alarm)>);

impl Alarms {
    /// A job is new.
    pub(super) fn on_submit(&mut self, job: &Job, now: Time) {
        let name = job.what.job;
        if job.starts_at > now {
            self.0.insert((job.starts_at, Alarm::Start(name)));
        }
        if let Some(at) = times::expires_at(&job.what.policy, job.submitted_at) {
            self.0.insert((at, Alarm::Expire(name)));
        }
    }

    /// A job has ended.
    pub(super) fn on_job_ended(&mut self, job: &Job) {
        let name = job.what.job;
        self.0.remove(&(job.starts_at, Alarm::Start(name)));
        if let Some(at) = times::expires_at(&job.what.policy, job.submitted_at) {
            self.0.remove(&(at, Alarm::Expire(name)));
        }
    }

    /// A task is tried for the first time.
    pub(super) fn on_first(&mut self, policy: &Policy, (name, index): (JobId, u32), now: Time) {
        if let Some(at) = times::gives_up_at(policy, now) {
            self.0.insert((at, Alarm::GiveUp(name, index)));
        }
    }

    /// A task ended, or was never tried after all.
    pub(super) fn on_task_ended(&mut self, policy: &Policy, (name, index): (JobId, u32), task: &Task) {
        if let State::Delayed(at) = task.state {
            self.0.remove(&(at, Alarm::Retry(name, index)));
        }
        if let Some(at) = task.first_at.and_then(|first| times::gives_up_at(policy, first)) {
            self.0.remove(&(at, Alarm::GiveUp(name, index)));
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let (at, alarm) = self.0.first()?;
        let why = match alarm {
            Alarm::Start(_) => "a job may start",
            Alarm::Expire(_) => "a job expires",
            Alarm::Retry(..) => "a failed task is tried again",
            Alarm::GiveUp(..) => "a task is given up",
        };
        Some((*at, why))
    }
}

impl Owner {
    /// Does what is due by now.
    pub(super) fn on_alarms(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(&(at, alarm)) = self.alarms.0.first() {
            if at > ctx.now {
                return;
            }
            self.alarms.0.pop_first();
            match alarm {
                Alarm::Start(name) => self.dirty.insert(name),
                Alarm::Expire(name) => self.expire_job(ctx, name),
                Alarm::Retry(name, index) => {
                    let Some(job) = self.jobs.get_mut(&name) else { continue };
                    job.end_delay(index);
                    self.dirty.insert(name);
                }
                Alarm::GiveUp(name, index) => self.give_up(ctx, name, index),
            }
        }
    }

    /// A task needs another attempt, unless one is still due: it queues, waits for its time, or is given up.
    pub(super) fn again(&mut self, ctx: &mut Ctx<'_>, name: JobId, index: u32) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let policy = job.what.policy;
        let Some(task) = job.task(index) else { return };
        if matches!(task.state, State::Queued | State::Delayed(_)) {
            return self.wait_on(ctx, name, index);
        }
        if task.state != State::Leased {
            return;
        }
        let (due, begun) = (task.due().next().is_some(), job.ballots.contains_key(&index));
        if due {
            // Whoever verifies may want one more node beside it.
            job.requeue(index);
            self.dirty.insert(name);
            return;
        }
        let at = task.wait_until.max(ctx.now);
        if task.is_given_up(&policy, at) {
            self.commit(ctx, name, index, None, Report::bare(given_up(&policy)).into());
        } else if at > ctx.now && !begun {
            job.delay(index, at);
            self.alarms.0.insert((at, Alarm::Retry(name, index)));
        } else {
            job.requeue(index);
            self.dirty.insert(name);
        }
    }

    /// A task waits already, because a lease of it ran out, and its failure comes only now: it waits for its time, too.
    fn wait_on(&mut self, ctx: &mut Ctx<'_>, name: JobId, index: u32) {
        let Some(job) = self.jobs.get_mut(&name).filter(|job| !job.verifies()) else { return };
        let policy = job.what.policy;
        let Some(task) = job.task_mut(index) else { return };
        let at = task.wait_until;
        if task.is_given_up(&policy, at.max(ctx.now)) {
            return self.commit(ctx, name, index, None, Report::bare(given_up(&policy)).into());
        }
        let was = task.state;
        if at <= ctx.now || was == State::Delayed(at) {
            return;
        }
        task.state = State::Delayed(at);
        if let State::Delayed(before) = was {
            self.alarms.0.remove(&(before, Alarm::Retry(name, index)));
        } else {
            job.unqueue(index);
            job.counts.delayed += 1;
        }
        self.alarms.0.insert((at, Alarm::Retry(name, index)));
        self.dirty.insert(name);
    }

    /// The time is over in which an attempt of a task may begin; one that has begun may end.
    fn give_up(&mut self, ctx: &mut Ctx<'_>, name: JobId, index: u32) {
        let Some(job) = self.jobs.get(&name) else { return };
        let Some(task) = job.task(index) else { return };
        let sought = task.state == State::Leased && task.due().next().is_none();
        if sought || matches!(task.state, State::Queued | State::Delayed(_)) {
            self.commit(ctx, name, index, None, Report::bare(given_up(&job.what.policy)).into());
        }
    }

    fn expire_job(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get(&name) else { return };
        let (all, outcome) = (0..job.total, expired(&job.what.policy));
        self.shut(name, outcome.clone());
        self.end_rest(ctx, name, all, &outcome);
        self.end_if_over(ctx, name);
    }

    /// Tasks from that index on have just come; if their job's time is over, so is theirs.
    pub(super) fn expire_late_comers(&mut self, ctx: &mut Ctx<'_>, name: JobId, first: u32) {
        let Some(job) = self.jobs.get(&name) else { return };
        if times::expires_at(&job.what.policy, job.submitted_at).is_some_and(|at| at <= ctx.now) {
            self.end_rest(ctx, name, first..job.total, &expired(&job.what.policy));
        }
    }

    /// Ends those of these tasks that have not ended, and stops who runs them.
    pub(super) fn end_rest(
        &mut self,
        ctx: &mut Ctx<'_>,
        name: JobId,
        indexes: Range<u32>,
        outcome: &Outcome,
    ) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let policy = job.what.policy;
        job.queue.retain(|index| !indexes.contains(index));
        job.held.retain(|index| !indexes.contains(index));
        let mut held: BTreeMap<PeerId, Vec<LeaseId>> = BTreeMap::new();
        for index in indexes {
            let Some(task) = job.task_mut(index).filter(|task| !task.state.is_end()) else { continue };
            self.alarms.on_task_ended(&policy, (name, index), task);
            let was = task.state;
            let cancelled = *outcome == Outcome::Cancelled;
            task.state = State::ended_by(outcome);
            ctx.unpin(&core::mem::take(&mut task.input));
            let attempts = task.attempts;
            job.extra.remove(&index);
            job.close_ballot(ctx, index);
            let Some(task) = job.task_mut(index) else { continue };
            for attempt in core::mem::take(&mut task.live) {
                if attempt.number == RECALLED {
                    continue;
                }
                let lease = LeaseId { job: name, index, attempt: attempt.number };
                drop_lease(&mut self.leases, &mut self.expiries, &attempt, lease);
                held.entry(attempt.worker).or_default().push(lease);
            }
            job.counts.leased -= u32::from(was == State::Leased);
            job.counts.delayed -= u32::from(matches!(was, State::Delayed(_)));
            job.counts.cancelled += u32::from(cancelled);
            job.counts.failed += u32::from(!cancelled);
            let report = Report::bare(outcome.clone());
            let (worker, memo, proof, verified) = (None, None, None, None);
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
            job.on_task_ended(index);
        }
        for (worker, leases) in held {
            cancel_at(ctx, worker, &leases);
        }
        self.dirty.insert(name);
    }

    /// Gives a job up of which more tasks ended otherwise than done than it allows.
    pub(super) fn give_up_job(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name).filter(|job| !job.ended && !job.given_up) else { return };
        let failed = job.counts.failed;
        if job.what.policy.failures_max.is_none_or(|most| failed <= most) {
            return;
        }
        job.given_up = true;
        job.open = false;
        let all = 0..job.total;
        ctx.notify(Event::JobGivenUp { job: name, failed });
        self.shut(name, Outcome::Cancelled);
        self.end_rest(ctx, name, all, &Outcome::Cancelled);
    }
}

impl Job {
    /// Keeps a task of which no attempt is due out of the queue until then.
    pub(super) fn delay(&mut self, index: u32, until: Time) {
        let Some(task) = self.task_mut(index) else { return };
        task.state = State::Delayed(until);
        self.counts.leased -= 1;
        self.counts.delayed += 1;
    }

    /// A task's wait is over.
    pub(super) fn end_delay(&mut self, index: u32) {
        let Some(task) = self.task_mut(index) else { return };
        if let State::Delayed(_) = task.state {
            task.state = State::Queued;
            self.counts.delayed -= 1;
            self.queue.push_front(index);
        }
    }

    /// How much time its deadline leaves, in milliseconds, if it has one that can still be made.
    pub(super) fn deadline_left_ms(&self, now: Time) -> Option<u32> {
        let left = || times::deadline_left_ms(&self.what.policy, self.submitted_at, now, self.service_us());
        if self.hopeless { None } else { left() }
    }

    /// What the job says for itself beside others of this owner.
    pub(super) fn claim(&self, now: Time) -> Claim {
        let left = self.deadline_left_ms(now);
        Claim {
            wasteful: false,
            class: self.what.class,
            waited_us: if self.queue.is_empty() { 0 } else { now.since_us(self.fed_at) },
            due: left.map(|left| now.plus_ms(u64::from(left))),
            used_us: 0,
            turn: self.submitted_at.0,
        }
    }
}

impl State {
    /// What a task is whose owner ends it like that.
    fn ended_by(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Expired(_) => Self::Expired,
            Outcome::Done
            | Outcome::Failed(_)
            | Outcome::Trapped(_)
            | Outcome::LimitExceeded(_)
            | Outcome::Invalid(_)
            | Outcome::Lost(_)
            | Outcome::ParentFailed { job: _ } => {
                Self::Ended(Report::bare(outcome.clone()).digest().short())
            }
        }
    }

    pub(super) fn is_end(self) -> bool {
        match self {
            Self::Queued | Self::Leased | Self::Delayed(_) => false,
            Self::Ended(_) | Self::Cancelled | Self::Expired => true,
        }
    }
}

impl Task {
    /// An attempt of it failed by its own fault: the next one waits its time.
    pub(super) fn back_off(&mut self, ctx: &mut Ctx<'_>, policy: &Policy) {
        let wait_ms = match policy.backoff.first_ms {
            0 => 0,
            _ => backoff::wait_ms(&policy.backoff, self.failures, ctx.rng.next_u64()),
        };
        self.wait_until = ctx.now.plus_ms(wait_ms);
    }

    /// Whether an attempt that begins then would begin too late.
    pub(super) fn is_given_up(&self, policy: &Policy, at: Time) -> bool {
        let end = self.first_at.and_then(|first| times::gives_up_at(policy, first));
        end.is_some_and(|end| end <= at)
    }
}

fn expired(policy: &Policy) -> Outcome {
    Outcome::Expired(Expiry::Unfinished { after_ms: policy.expires_ms.unwrap_or(0) })
}

fn given_up(policy: &Policy) -> Outcome {
    Outcome::Expired(Expiry::GivenUp { after_ms: policy.give_up_ms.unwrap_or(0) })
}
