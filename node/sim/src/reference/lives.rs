//! What becomes of jobs when their owner's process dies, comes back, or loses its disk. Part of the model.

use weft_core::durable::LogRecord;
use weft_core::{Command, JobId, LeaseId, Outcome, Payload};

use super::{OwedTask, Reference};
use crate::host::{HostId, SimHost};
use crate::kept::Said;
use crate::mesh::ToldMesh;
use crate::workload::TaskSpec;

impl Reference {
    /// A process dies; its jobs in memory are owed no more.
    pub(crate) fn on_killed(&mut self, host: &SimHost) {
        let owner = host.id;
        let kept = self.kept_of(owner);
        for (name, job) in self.jobs.iter_mut().filter(|(_, job)| job.owner == owner) {
            job.forgotten |= !kept.contains(name) && !self.mesh.has(*name);
        }
        self.mesh.on_killed(host).into_iter().for_each(|job| self.disown(job));
        self.kept.on_killed(kept.into_iter());
        self.joins.on_killed(owner);
        self.awarded.retain(|(of, _, _)| *of != owner);
    }

    /// The disk of a dead process is lost, and its jobs with it.
    pub(crate) fn on_wiped(&mut self, owner: HostId) {
        let kept = self.kept_of(owner);
        for (name, job) in self.jobs.iter_mut().filter(|(_, job)| job.owner == owner) {
            job.forgotten |= !self.mesh.has(*name);
        }
        self.kept.on_wiped(kept.into_iter());
    }

    /// The log of a job at level `disk` is lost on the disk of its owner.
    pub(crate) fn on_log_lost(&mut self, job: JobId) {
        self.disown(job);
        self.kept.on_wiped([job].into_iter());
    }

    /// The log of a job at level `disk` is an older one: what was told since is not owed, and a job that was lost since is back.
    pub(crate) fn on_older(&mut self, job: JobId, records: &[LogRecord]) {
        self.jobs.get_mut(&job).into_iter().for_each(|owed| owed.forgotten = false);
        self.kept.on_older(job, records);
        self.results.on_older(job);
        self.gathers.on_older(job);
    }

    /// The jobs of a host that are to survive its process.
    pub(crate) fn kept_of(&self, owner: HostId) -> Vec<JobId> {
        let own = self.jobs.iter().filter(|(_, job)| job.owner == owner).map(|(name, _)| *name);
        own.filter(|name| self.kept.is_kept(*name)).collect()
    }

    /// A job goes on as its log says. The commands that its user gives again, because they were lost.
    pub(crate) fn go_on(&mut self, name: JobId, said: &Said) -> Vec<Command> {
        let is_fed = self.takes_results(name);
        let Some(owed) = self.jobs.get_mut(&name).filter(|owed| !owed.forgotten) else { return Vec::new() };
        if !said.accepted {
            owed.forgotten = true;
            return Vec::new();
        }
        owed.tasks.truncate(said.tasks);
        for (index, task) in (0..).zip(&mut owed.tasks) {
            match said.ends.get(&index) {
                None => task.reopen(),
                // The record by which it was tried again may be lost, or, on an older disk, that by which it ended otherwise.
                Some(end) => (task.ends, task.outcome) = (1, Some(end.report.outcome.clone())),
            }
        }
        owed.told = said.ends.len();
        owed.ends = u32::from(said.ended);
        let failed = |outcome: &Outcome| !matches!(outcome, Outcome::Done | Outcome::Cancelled);
        let failures = said.ends.values().filter(|end| failed(&end.report.outcome)).count();
        owed.promised.go_on(u32::try_from(failures).unwrap_or(u32::MAX), said.given_up);
        let mut again = Vec::new();
        // The end of its parent closes what takes each result.
        if owed.closed && !said.closed {
            owed.closed = false;
            again.extend((!is_fed).then_some(Command::Close { job: name }));
        }
        if owed.cancelled && !said.cancelled {
            owed.cancelled = false;
            again.extend((!said.ended).then_some(Command::Cancel { job: name }));
        }
        self.award_again(name, said);
        again
    }

    /// What the owner of a kept job gave in its earlier lives, and what has no end in its log, its workers may bring yet: that is of its
    /// own award like what it gives in this life.
    fn award_again(&mut self, name: JobId, said: &Said) {
        let Some(owner) = self.jobs.get(&name).map(|owed| owed.owner) else { return };
        let (first, last) = (LeaseId { job: name, ..LeaseId::FIRST }, LeaseId { job: name, ..LeaseId::LAST });
        let issued =
            self.issued.range(first..=last).filter(|(lease, _)| !said.ends.contains_key(&lease.index));
        let given = issued.flat_map(|(lease, workers)| workers.keys().map(|worker| (lease.index, *worker)));
        let awarded = given.filter_map(|(index, worker)| Some((owner, self.task_id(name, index)?, worker)));
        let awarded: Vec<_> = awarded.collect();
        self.awarded.extend(awarded);
    }

    /// The tasks of a job that ended otherwise than done are tried again.
    pub(crate) fn try_again(&mut self, name: JobId) {
        let Some(owed) = self.jobs.get_mut(&name) else { return };
        self.tried_again += 1;
        self.results.on_tried_again(name);
        (owed.cancelled, owed.ends) = (false, 0);
        let failed = owed.tasks.iter_mut().filter(|task| task.outcome != Some(Outcome::Done));
        failed.for_each(OwedTask::reopen);
        owed.told = owed.tasks.iter().filter(|task| task.ends > 0).count();
        owed.promised.go_on(0, false);
    }

    /// Whether the process that awarded a lease has ended.
    pub(crate) fn is_of_the_past(&self, lease: LeaseId) -> bool {
        let forgotten = self.jobs.get(&lease.job).is_some_and(|job| job.forgotten);
        forgotten || self.kept.is_of_the_past(lease) || self.mesh.is_of_the_past(lease)
    }

    // ---- jobs at level mesh

    /// Nothing of a job is owed any more.
    pub(crate) fn disown(&mut self, job: JobId) {
        self.jobs.get_mut(&job).into_iter().for_each(|job| job.forgotten = true);
    }

    /// A node leads a job: it gives its tasks to workers from now on.
    pub(crate) fn on_led(&mut self, job: JobId, leader: HostId) {
        self.jobs.get(&job).into_iter().for_each(|owed| self.ledger.on_leader(owed, leader));
    }

    /// A job's user learns something.
    pub(crate) fn go_on_at_mesh(&mut self, name: JobId, told: &ToldMesh) {
        if told.again_tried {
            self.try_again(name);
        }
        let owed_now = self.mesh.is_owed(name);
        let Some(owed) = self.jobs.get_mut(&name) else { return };
        owed.forgotten &= !owed_now;
        if told.cancelled {
            (owed.cancelled, owed.closed) = (true, true);
        }
        told.ends.iter().for_each(|(index, report)| owed.on_end(*index, report, None, 1));
        owed.ends += u32::from(told.ended);
    }
}

impl OwedTask {
    /// One whose input is not known yet.
    pub(crate) fn unknown() -> Self {
        Self::new(Payload::empty(), TaskSpec::UNKNOWN)
    }

    /// One that has not ended.
    pub(crate) fn new(input: Payload, spec: TaskSpec) -> Self {
        Self {
            input,
            spec,
            ends: 0,
            outcome: None,
            worker: None,
            attempts: 0,
            proved: false,
            recalled: false,
        }
    }

    /// It has not ended.
    fn reopen(&mut self) {
        (self.ends, self.outcome, self.worker, self.attempts) = (0, None, None, 0);
        (self.proved, self.recalled) = (false, false);
    }
}
