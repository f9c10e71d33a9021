//! Joins as a user understands them: a job that depends on others begins once, after all of them have ended, and never
//! if it requires their success and one did not succeed. A naive model of what was submitted, awarded, begun and
//! reported, without the engine's gates; the reference keeps it, and the invariant here checks it after every event.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{JobId, Join, LeaseId, Outcome, Refusal, Submission, TaskId, Time};

use crate::host::HostId;
use crate::invariants::{Scene, ensure};
use crate::reference::OwedJob;

/// The order of all jobs, from what was submitted and what happened.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    /// Accepted joins that have neither fired nor ended.
    held: BTreeMap<JobId, Held>,
    fired: BTreeSet<JobId>,
    /// Jobs that ended, and whether all of their tasks succeeded.
    ended: BTreeMap<JobId, bool>,
    /// Tasks that may begin, since a job that has them may begin.
    free: BTreeSet<TaskId>,
    /// Jobs with a parent that their owner does not know; the owner must refuse them.
    refusals: BTreeSet<JobId>,
    /// The first violation.
    breach: Option<String>,
}

/// A join that waits for its parents.
#[derive(Debug)]
struct Held {
    owner: HostId,
    parents: Vec<JobId>,
    join: Join,
}

impl Joins {
    /// A job is submitted; `known` says whether its owner was told of all of its parents in this life.
    pub(crate) fn on_submit(&mut self, owner: HostId, submission: &Submission, known: bool) {
        let Submission { job, after, join, .. } = submission;
        if join.takes_results() {
            return;
        }
        if !known {
            self.refusals.insert(*job);
        }
        if !after.is_empty() {
            self.held.insert(*job, Held { owner, parents: after.clone(), join: *join });
        }
    }

    /// The tasks of a job from index `first` on are new.
    pub(crate) fn on_tasks(&mut self, name: JobId, job: &OwedJob, first: usize) {
        if !self.held.contains_key(&name) {
            let key = job.program.task_key();
            self.free.extend(job.tasks.iter().skip(first).map(|task| key.task_id(&task.input)));
        }
    }

    /// A job was not accepted. Of one whose results it takes, its owner may know nothing any more.
    pub(crate) fn on_refused(&mut self, job: JobId, reason: Refusal, takes_results: bool) {
        self.held.remove(&job);
        let expected = self.refusals.remove(&job) || takes_results;
        self.demand(expected || !matches!(reason, Refusal::ParentUnknown { .. }), || {
            format!("{job:?} was refused, its owner knows all of its parents: {reason}")
        });
    }

    pub(crate) fn on_award(&mut self, lease: LeaseId) {
        let held = self.held.contains_key(&lease.job);
        self.demand(!held, || format!("{lease:?} was awarded before its join fired"));
    }

    pub(crate) fn on_started(&mut self, task: TaskId) {
        let free = self.free.contains(&task);
        self.demand(free, || format!("{task:?} began before any job that has it may begin"));
    }

    /// A task's end was reported; `parents`: the jobs whose results it takes.
    pub(crate) fn on_end(&mut self, name: JobId, outcome: &Outcome, parents: &[JobId]) {
        let held = self.held.get(&name);
        let may = match outcome {
            Outcome::ParentFailed { job } if parents.contains(job) => true,
            Outcome::ParentFailed { job } => held.is_some_and(|held| {
                let failed = self.ended.get(job) == Some(&false);
                held.join.wants_success() && failed && held.parents.contains(job)
            }),
            Outcome::Cancelled | Outcome::Expired(_) => true,
            Outcome::Done
            | Outcome::Failed(_)
            | Outcome::Trapped(_)
            | Outcome::LimitExceeded(_)
            | Outcome::Invalid(_)
            | Outcome::Lost(_)
            | Outcome::NoRoom(_) => held.is_none(),
        };
        let held = held.is_some();
        self.demand(may, || {
            format!("a task of {name:?} ended as {outcome:?}; whether its join is held: {held}")
        });
    }

    /// A join fires.
    pub(crate) fn on_fired(&mut self, name: JobId, job: &OwedJob) {
        let once = self.fired.insert(name);
        self.demand(once, || format!("{name:?} fired twice"));
        let Some(held) = self.held.remove(&name) else {
            return self.demand(false, || format!("{name:?} fired, and was not waiting"));
        };
        let open: Vec<&JobId> = held.parents.iter().filter(|job| !self.ended.contains_key(job)).collect();
        self.demand(open.is_empty(), || format!("{name:?} fired before the end of {open:?}"));
        let failed = self.failed_parent(&held);
        self.demand(failed.is_none(), || format!("{name:?} fired, and {failed:?} did not succeed"));
        let stopped = job.told > 0 || job.cancelled;
        self.demand(!stopped, || format!("{name:?} fired after it was over for some of its tasks"));
        self.on_tasks(name, job, 0);
    }

    /// A job's end was reported.
    pub(crate) fn on_job_ended(&mut self, name: JobId, job: &OwedJob, now: Time) {
        let held = self.held.remove(&name);
        let fell = held.as_ref().is_none_or(|held| self.failed_parent(held).is_some());
        let may = fell || job.is_stopped() || is_expired(job, now);
        self.demand(may, || format!("{name:?} ended and never fired: {held:?}"));
        let done = job.tasks.iter().all(|task| task.outcome == Some(Outcome::Done));
        self.ended.insert(name, done && !job.cancelled && held.is_none());
    }

    /// A process died, and its jobs are lost.
    pub(crate) fn on_killed(&mut self, owner: HostId) {
        self.held.retain(|_, held| held.owner != owner);
    }

    /// The parent because of which a join can't fire any more.
    fn failed_parent(&self, held: &Held) -> Option<JobId> {
        let failed = || held.parents.iter().find(|job| self.ended.get(job) == Some(&false)).copied();
        match held.join {
            Join::AllSucceeded => failed(),
            Join::AllEnded | Join::EachResult | Join::Gather => None,
        }
    }

    fn demand(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds && self.breach.is_none() {
            self.breach = Some(text());
        }
    }
}

/// No task of a join begins before all of its parents have ended. The join fires once, at that moment, or ends as soon as
/// one parent makes that impossible.
pub(crate) fn invariant_a_join_fires_once_after_its_parents(scene: &Scene<'_>) -> Result<(), String> {
    let joins = &scene.reference.joins;
    ensure(joins.breach.is_none(), || joins.breach.clone().unwrap_or_default())?;
    for (name, held) in joins.held.iter().filter(|(_, held)| held.owner == scene.host.id) {
        let Some(job) = scene.reference.jobs.get(name) else { continue };
        ensure(!joins.refusals.contains(name), || {
            format!("{name:?} waits for a parent that its owner does not know: {held:?}")
        })?;
        ensure(!job.cancelled, || format!("{name:?} was cancelled and has not ended"))?;
        let failed = joins.failed_parent(held);
        let over = job.unended() == 0 && !job.closed;
        ensure(failed.is_none() || over, || format!("{name:?} waits on, and {failed:?} did not succeed"))?;
        let all_ended = held.parents.iter().all(|parent| joins.ended.contains_key(parent));
        let due = all_ended && failed.is_none() && !is_expired(job, scene.world_now);
        ensure(!due, || format!("{name:?} has not fired, and all of its parents have ended: {held:?}"))?;
    }
    Ok(())
}

fn is_expired(job: &OwedJob, now: Time) -> bool {
    let end = job.policy.expires_ms.map(|ms| job.promised.submitted_at.plus_ms(ms));
    end.is_some_and(|end| end <= now)
}
