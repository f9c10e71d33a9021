//! A host's jobs and its disk: what engines write, what crashes lose, and how a process takes over the jobs of the one
//! before. The world drives it.

use std::time::Duration;

use weft_core::durable::{LogRecord, Unsound};
use weft_core::{Command, Event as Told, Input, JobId, Report};

use crate::fault::Fault;
use crate::host::HostId;
use crate::invariants::Violation;
use crate::kept::LOST;
use crate::queue::Event;
use crate::world::World;

impl World {
    /// An engine writes a record, which is safe after a while; what it commits, the model counts as ended now.
    pub(crate) fn persist(&mut self, id: HostId, ticket: u64, job: JobId, record: &LogRecord) {
        self.safe_later(id, ticket);
        if self.reference.mesh.has(job) {
            return self.persist_at_mesh(id, ticket, job, record);
        }
        if self.persist_copy(id, ticket, job, record) {
            return;
        }
        self.hosts[id.0].disk.write(ticket, job, record);
        self.reference.kept.on_written(job, record);
        let tasks = self.reference.kept.tasks_written(job);
        self.reference.on_results_written(job, record, tasks, &self.catalog);
        if let LogRecord::Retried { .. } = record {
            self.reference.try_again(job);
        }
        let now = self.now();
        for event in committed(job, record) {
            self.facts.extend(self.reference.on_event(now, event));
        }
    }

    /// What a process writes with this ticket is safe after a while.
    pub(crate) fn safe_later(&mut self, id: HostId, ticket: u64) {
        let life = self.hosts[id.0].life;
        let after = Duration::from_micros(self.chance.below(2 * self.sync_us + 1));
        self.queue.after(after, Event::Persisted { host: id, life, ticket });
    }

    /// Records are safe.
    pub(crate) fn on_persisted(&mut self, (id, life): (HostId, u32), upto: u64) -> Result<(), Violation> {
        let host = &mut self.hosts[id.0];
        if host.life != life || host.engine.is_none() || host.disk.failed {
            return Ok(());
        }
        let jobs = host.disk.sync(upto);
        if jobs.is_empty() {
            return Ok(());
        }
        for job in jobs.into_iter().filter(|job| self.copied(id, *job).is_none()).collect::<Vec<_>>() {
            // A job at a time, so that no record is taken for the last one.
            let log = self.hosts[id.0].disk.log(job);
            self.reference.kept.on_safe(job, &log);
        }
        self.tell(id, Input::Persisted { upto })
    }

    /// A process dies: of what is not safe, a prefix is there by chance.
    pub(crate) fn crash_disk(&mut self, id: HostId) {
        let pending = self.hosts[id.0].disk.count_pending();
        if pending > 0 {
            let left = self.chance.index(pending + 1);
            self.hosts[id.0].disk.lose(left);
        }
    }

    /// A write fails. That is final for the process, which its user starts again later.
    pub(crate) fn on_disk_fails(&mut self, id: HostId) -> Result<(), Violation> {
        let host = &self.hosts[id.0];
        if host.engine.is_none() || host.disk.failed || !host.spec.journal {
            return Ok(());
        }
        self.crash_disk(id);
        self.hosts[id.0].disk.failed = true;
        self.tell(id, Input::JournalFailed)
    }

    /// A disk is full or has room again.
    pub(crate) fn on_full(&mut self, id: HostId, on: bool) -> Result<(), Violation> {
        let was = std::mem::replace(&mut self.hosts[id.0].is_full, on);
        if self.hosts[id.0].spec.journal && was != on {
            return self.tell(id, Input::DiskLow(on));
        }
        Ok(())
    }

    /// A process whose disk failed is ended, so that its user can start it again.
    pub(crate) fn end_failed(&mut self, id: HostId) -> Result<(), Violation> {
        if self.hosts[id.0].disk.failed { self.suffer(Fault::Kill { host: id, told: true }) } else { Ok(()) }
    }

    /// A new process takes over the jobs on its disk.
    pub(crate) fn restore(&mut self, id: HostId) -> Result<(), Violation> {
        if !self.hosts[id.0].spec.journal {
            return Ok(());
        }
        self.hosts[id.0].disk.failed = false;
        let again = self.note_logs(id);
        if let Some((name, text)) = self.reference.kept.breach.first() {
            return Err(self.violation(name, format!("host {}: {text}", id.0)));
        }
        self.hosts[id.0].restoring = true;
        let retained = self.hosts[id.0].disk.retained();
        if !retained.is_empty() {
            self.tell(id, Input::Retained(retained))?;
        }
        self.restore_kept(id)?;
        let disk = &self.hosts[id.0].disk;
        let is_own = |job: &JobId| !disk.is_at_mesh(*job) && self.copied(id, *job).is_none();
        let names: Vec<JobId> = disk.jobs().filter(is_own).collect();
        // As a node does: what brought its inputs ended with the life before, and half a job is no whole one.
        let mut cut_off = Vec::new();
        for job in names {
            match self.hosts[id.0].disk.fold(job) {
                Ok(restored) => {
                    cut_off.extend(restored.awaits_client().then_some(job));
                    self.tell(id, Input::Restore(restored))?;
                }
                // No user was told that it is accepted.
                Err(Unsound::Incomplete { .. }) => self.hosts[id.0].disk.forget(job),
                Err(why) => return Err(self.violation(LOST, format!("host {}: {job:?}: {why}", id.0))),
            }
        }
        self.hosts[id.0].restoring = false;
        if self.hosts[id.0].is_full {
            self.tell(id, Input::DiskLow(true))?;
        }
        for command in cut_off.into_iter().map(|job| Command::Cancel { job }).chain(again) {
            self.command(id, command);
        }
        Ok(())
    }

    /// The model reads the logs of a host that starts. The commands that its users give again, because they were lost.
    fn note_logs(&mut self, id: HostId) -> Vec<Command> {
        let kept = self.reference.kept_of(id);
        let mut again = Vec::new();
        for job in kept {
            let log = match self.hosts[id.0].disk.fold(job) {
                Err(Unsound::Incomplete { .. }) => Vec::new(),
                Ok(_) | Err(_) => self.hosts[id.0].disk.log(job),
            };
            let said = self.reference.kept.on_restarted(job, &log);
            again.extend(self.reference.go_on(job, &said));
        }
        again
    }
}

impl World {
    /// A user is told that a kept job ended: some have what failed tried again.
    pub(crate) fn wish_again(&mut self, id: HostId, event: &Told) {
        let Told::JobEnded { job } = event else { return };
        if !self.reference.kept.may_be_tried_again(*job) || !self.chance.permille(500) {
            return;
        }
        if let Ok(restored) = self.hosts[id.0].disk.fold(*job) {
            let after = Duration::from_millis(self.chance.below(2000));
            self.queue.after(after, Event::User { host: id, command: Command::Retry(restored) });
        }
    }

    /// A user has what failed of a job tried again: the node reads its log at that moment, and knows no such job where its disk has
    /// none, as it was lost since the user was told of the end.
    pub(crate) fn on_retry(&mut self, id: HostId, job: JobId) -> Result<(), Violation> {
        match self.hosts[id.0].disk.fold(job) {
            Ok(restored) => self.tell(id, Input::Command(Command::Retry(restored))),
            Err(_) => Ok(()),
        }
    }
}

/// What a record commits, as its user will be told.
fn committed(job: JobId, record: &LogRecord) -> Vec<Told> {
    match record {
        LogRecord::Outcomes(all) => {
            let ends = all.iter().cloned().map(|kept| Told::TaskEnded {
                job,
                index: kept.index,
                report: kept.report,
                worker: kept.worker,
                attempts: kept.attempts,
                memo: kept.memo,
                proof: kept.proof,
                verified: kept.verified,
            });
            ends.collect()
        }
        LogRecord::Rest(rest) => {
            let ends = rest.tasks.iter().map(|task| Told::TaskEnded {
                job,
                index: task.index,
                report: Report::bare(rest.outcome.clone()).into(),
                worker: None,
                attempts: task.attempts,
                memo: None,
                proof: None,
                verified: None,
            });
            ends.collect()
        }
        LogRecord::GivenUp { failed } => vec![Told::JobGivenUp { job, failed: *failed }],
        LogRecord::Ended { .. } => vec![Told::JobEnded { job }],
        LogRecord::Accepted(_)
        | LogRecord::Extended { .. }
        | LogRecord::Closed
        | LogRecord::ParentEnded(_)
        | LogRecord::Cancelled
        | LogRecord::Restarted { .. }
        | LogRecord::Retried { .. }
        | LogRecord::Led { .. }
        | LogRecord::Replaced { .. }
        | LogRecord::NotTaken(_)
        | LogRecord::Given { .. }
        | LogRecord::Leased { .. }
        | LogRecord::Resolved { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use weft_core::Level;

    use super::*;
    use crate::host::HostSpec;
    use crate::workload::{Fate, JobSpec};

    #[test]
    fn a_job_whose_disk_was_lost_is_not_tried_again() {
        const HOST: HostId = HostId(0);
        for is_lost in [true, false] {
            let mut world = World::builder(3).host(HostSpec { journal: true, ..HostSpec::slots(1) }).build();
            let spec = JobSpec { fate: Fate::Fails, level: Level::Disk, ..JobSpec::new(1, 1000) };
            let job = world.submit(HOST, &spec);
            world.run_until("it ends", Duration::from_secs(5), |world| {
                world.reference().settled(job)
                    && world.hosts[0].disk.fold(job).is_ok_and(|job| job.has_ended())
            });
            let restored = world.hosts[0].disk.fold(job).expect("it is on the disk");
            world.fault(Fault::Kill { host: HOST, told: true });
            if is_lost {
                world.fault(Fault::Wipe(HOST));
            }
            world.fault(Fault::Restart(HOST));
            world.command(HOST, Command::Retry(restored));
            world.run_for(Duration::from_micros(500));
            let jobs = world.hosts[0].engine.as_ref().expect("it runs").audit().jobs;
            assert_eq!(jobs.is_empty(), is_lost, "{jobs:?}");
        }
    }
}
