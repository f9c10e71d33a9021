//! A naive model of a job's policy: when its tasks may start and must have ended, how long a failed one waits, how many
//! may fail. The reference keeps it; the invariants here check it after every event.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::message::{Class, Delivery};
use weft_core::{
    Expiry, Gossip, Input, JobId, LeaseId, Message, Outcome, PeerId, Policy, Submission, TaskId, Time,
};

use crate::host::HostId;
use crate::invariants::{Scene, ends, ensure};
use crate::reference::{End, Fact, OwedJob};

/// A job's policy, and the counts that it bounds.
#[derive(Debug)]
pub(crate) struct Promised {
    pub(crate) policy: Policy,
    pub(crate) class: Class,
    pub(crate) submitted_at: Time,
    /// The number of tasks that ended neither as done nor as cancelled.
    pub(crate) failed: u32,
    pub(crate) given_up: bool,
    /// The number of ends other than cancellations that were reported after the job was given up.
    too_late: u32,
}

impl Promised {
    pub(crate) fn new(submission: &Submission, now: Time) -> Self {
        Self {
            policy: submission.policy,
            class: submission.class,
            submitted_at: now,
            failed: 0,
            given_up: false,
            too_late: 0,
        }
    }

    pub(crate) fn on_end(&mut self, outcome: &Outcome) {
        let failed = !matches!(outcome, Outcome::Done | Outcome::Cancelled);
        self.failed += u32::from(failed);
        self.too_late += u32::from(self.given_up && *outcome != Outcome::Cancelled);
    }

    /// The job goes on with this many failures, in another life of its owner, or because its user wants that.
    pub(crate) fn go_on(&mut self, failed: u32, given_up: bool) {
        (self.failed, self.given_up, self.too_late) = (failed, given_up, 0);
    }

    fn starts_at(&self) -> Time {
        self.submitted_at.plus_ms(self.policy.not_before_ms)
    }
}

/// The tasks of all jobs, from what was submitted and what happened.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The earliest start and the highest class of the jobs that a task belongs to.
    tasks: BTreeMap<TaskId, (Time, Class)>,
    /// The fewest slots that a task takes: jobs with different slot counts may share the task.
    widths: BTreeMap<TaskId, u32>,
    /// The owners of the jobs that a task belongs to.
    owners: BTreeMap<TaskId, BTreeSet<HostId>>,
    /// When an owner first and last heard that a task failed.
    failures: BTreeMap<(JobId, u32), (Time, Time)>,
    heard: BTreeSet<LeaseId>,
}

impl Ledger {
    /// The tasks of a job from index `first` on are new.
    pub(crate) fn on_tasks(&mut self, job: &OwedJob, first: usize) {
        let (key, promised) = (job.program.task_key(), &job.promised);
        for task in job.tasks.iter().skip(first) {
            let entry = self.tasks.entry(key.task_id(&task.input));
            let entry = entry.or_insert((promised.starts_at(), promised.class));
            *entry = (entry.0.min(promised.starts_at()), entry.1.max(promised.class));
            self.owners.entry(key.task_id(&task.input)).or_default().insert(job.owner);
            let width = self.widths.entry(key.task_id(&task.input)).or_insert(job.width);
            *width = job.width.min(*width);
        }
    }

    /// Another node gives a job's tasks to workers, too.
    pub(crate) fn on_leader(&mut self, job: &OwedJob, leader: HostId) {
        let key = job.program.task_key();
        for task in &job.tasks {
            self.owners.entry(key.task_id(&task.input)).or_default().insert(leader);
        }
    }

    /// The fewest slots that a task takes, over all jobs that have it.
    pub(crate) fn width(&self, task: TaskId) -> u32 {
        self.widths.get(&task).copied().unwrap_or(1)
    }

    /// An engine gets an input; outcomes of its own worker pass without one.
    pub(crate) fn on_input(&mut self, me: PeerId, now: Time, input: &Input) {
        if let Input::Received { message: Message::Outcome(all) | Message::Ended { all, .. }, .. } = input {
            all.iter().for_each(|delivery| self.on_outcome(now, delivery));
        }
        // A returned attempt has no outcome, and none counts.
        if let Input::Received { message, .. } = input
            && let Message::Refuse { leases } | Message::Stopped { leases } | Message::GivenBack { leases } =
                message
        {
            self.heard.extend(leases);
        }
        if let Input::Heard { gossip: Gossip::Outcome { owner, delivery }, .. } = input
            && *owner == me
        {
            self.on_outcome(now, delivery);
        }
    }

    fn on_outcome(&mut self, now: Time, delivery: &Delivery) {
        let Delivery { lease, report, .. } = delivery;
        if matches!(report.outcome, Outcome::Failed(_)) && self.heard.insert(*lease) {
            let entry = self.failures.entry((lease.job, lease.index)).or_insert((now, now));
            entry.1 = now;
        }
    }
}

pub(crate) fn invariant_nothing_starts_before_its_time(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        let at = match fact {
            Fact::Awarded(lease) => scene.reference.jobs.get(&lease.job).map(|job| job.promised.starts_at()),
            Fact::Started { task, .. } => scene.reference.ledger.tasks.get(task).map(|(at, _)| *at),
            Fact::Ended(_)
            | Fact::Printed { .. }
            | Fact::JobEnded(_)
            | Fact::GivenUp(_)
            | Fact::Named { .. }
            | Fact::Sent { .. }
            | Fact::Parted { .. }
            | Fact::Excused { .. }
            | Fact::Restarted(_)
            | Fact::GivenBack { .. }
            | Fact::Lost { .. }
            | Fact::GaveUp { .. }
            | Fact::Published { .. } => None,
        };
        let early = at.filter(|at| scene.world_now < *at);
        ensure(early.is_none(), || format!("{fact:?} at {:?}, not before {early:?}", scene.world_now))?;
    }
    Ok(())
}

pub(crate) fn invariant_a_node_runs_only_classes_that_it_takes(scene: &Scene<'_>) -> Result<(), String> {
    let least = scene.host.spec.class_min;
    for fact in scene.facts {
        let Fact::Started { task, .. } = fact else { continue };
        let class = scene.reference.ledger.tasks.get(task).map_or(Class::Realtime, |(_, class)| *class);
        ensure(class >= least, || {
            format!("{task:?} of {class:?} began, the lowest accepted class is {least:?}")
        })?;
    }
    Ok(())
}

pub(crate) fn invariant_a_node_runs_only_owners_that_it_takes(scene: &Scene<'_>) -> Result<(), String> {
    let host = scene.host;
    for fact in scene.facts {
        let Fact::Started { task, .. } = fact else { continue };
        let Some(owners) = scene.reference.ledger.owners.get(task) else { continue };
        let taken = owners.iter().any(|owner| *owner == host.id || host.spec.guests.takes(*owner));
        ensure(taken, || format!("{task:?} of {owners:?} began, the node accepts {:?}", host.spec.guests))?;
    }
    Ok(())
}

pub(crate) fn invariant_an_attempt_waits_its_backoff(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        let Fact::Awarded(lease) = fact else { continue };
        let Some(job) = scene.reference.jobs.get(&lease.job) else { continue };
        let policy = &job.promised.policy;
        // In a verified task one node's failure is a vote: the others go on.
        if policy.verify > 1 {
            continue;
        }
        let Some((first, last)) = scene.reference.ledger.failures.get(&(lease.job, lease.index)) else {
            continue;
        };
        let backoff = policy.backoff;
        let whole = u64::from(backoff.first_ms.min(backoff.most_ms));
        let least_ms = whole * u64::from(100 - backoff.jitter_percent.min(100)) / 100;
        ensure(scene.world_now >= last.plus_ms(least_ms), || {
            format!("{lease:?} was awarded, it failed at {last:?} and waits {least_ms} ms at least")
        })?;
        let end = policy.give_up_ms.map(|ms| first.plus_ms(ms));
        ensure(end.is_none_or(|end| scene.world_now < end), || {
            format!("{lease:?} was awarded at or after {end:?}, when its task is given up")
        })?;
    }
    Ok(())
}

pub(crate) fn invariant_what_expires_has_ended_by_then(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for job in &audit.jobs {
        let Some(owed) = scene.reference.jobs.get(&job.job) else { continue };
        let Promised { policy, submitted_at, .. } = &owed.promised;
        let end = policy.expires_ms.map(|ms| submitted_at.plus_ms(ms));
        let over = end.is_some_and(|end| end <= scene.world_now);
        let open = owed.unended();
        ensure(!over || open == 0, || format!("{open} tasks of {:?} have not ended by {end:?}", job.job))?;
    }
    Ok(())
}

pub(crate) fn invariant_only_what_may_expire_does(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, .. } in ends(scene) {
        let Outcome::Expired(expiry) = &report.outcome else { continue };
        let Some(owed) = scene.reference.jobs.get(job) else { continue };
        let Promised { policy, submitted_at, .. } = &owed.promised;
        let bound = match expiry {
            Expiry::Unfinished { .. } => policy.expires_ms,
            Expiry::GivenUp { .. } => policy.give_up_ms,
        };
        let due = bound.is_some_and(|ms| submitted_at.plus_ms(ms) <= scene.world_now);
        ensure(due, || format!("{job:?} task {index} ended as {} at {:?}", report.outcome, scene.world_now))?;
    }
    Ok(())
}

pub(crate) fn invariant_a_job_is_given_up_when_it_fails_too_often(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        let Fact::GivenUp(name) = fact else { continue };
        let Some(job) = scene.reference.jobs.get(name) else { continue };
        let Promised { policy, failed, .. } = &job.promised;
        let allowed = policy.failures_max;
        ensure(allowed.is_some_and(|most| *failed > most), || {
            format!("{name:?} was given up with {failed} failures, {allowed:?} are allowed")
        })?;
    }
    for End { job: name, index, report, .. } in ends(scene) {
        let Some(job) = scene.reference.jobs.get(name) else { continue };
        let Promised { policy, failed, given_up, too_late, .. } = &job.promised;
        let beyond = policy.failures_max.is_some_and(|most| *failed > most);
        ensure(*given_up || !beyond, || format!("{name:?} goes on after {failed} failures"))?;
        ensure(*too_late == 0, || format!("{name:?} was given up, then task {index} ended: {report:?}"))?;
        let stopped = *given_up || job.cancelled || report.outcome != Outcome::Cancelled;
        ensure(stopped, || format!("{name:?} task {index} was cancelled, and its job was not"))?;
    }
    Ok(())
}
