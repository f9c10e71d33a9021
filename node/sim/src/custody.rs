//! Jobs at level `mesh` in the world: what members write and read of their logs, how a process takes up those on its disk,
//! and how a user finds the node that leads a job. The model of them is in [`crate::mesh`].

use std::time::Duration;

use weft_core::custody::Pair;
use weft_core::durable::LogRecord;
use weft_core::{Command, Event as Told, Input, JobId, LogReader, Remains};

use crate::copies::pair_in;
use crate::disk::fold;
use crate::host::HostId;
use crate::invariants::Violation;
use crate::kept::Said;
use crate::mesh::{LOST, Rows};
use crate::queue::{Event, Wish};
use crate::world::World;

/// How often a user looks for the leader of a job, once a second.
const TRIES_MAX: u32 = 120;

impl World {
    // ---- what a test may read

    /// Whom a user of a job at level `mesh` follows; `None` if it knows of no leader.
    #[must_use]
    pub fn leader(&self, job: JobId) -> Option<HostId> {
        self.reference.mesh.leader(job)
    }

    /// The nodes that keep a job at level `mesh`, its owner first.
    #[must_use]
    pub fn keepers(&self, job: JobId) -> Vec<HostId> {
        let seats = self.reference.mesh.seats(job);
        seats.iter().filter_map(|seat| self.peers.get(&seat.peer).copied()).collect()
    }

    // ---- what members write

    /// A member writes a record.
    pub(crate) fn persist_at_mesh(&mut self, id: HostId, ticket: u64, job: JobId, record: &LogRecord) {
        let rows = self.rows(id, job);
        let known = self.reference.mesh.on_written((job, id), &rows, record);
        self.hosts[id.0].disk.append(ticket, job, known);
        if self.reference.takes_results(job) {
            let said = Said::by(self.rows(id, job).0.iter().map(AsRef::as_ref));
            self.reference.on_results_written(job, record, said.tasks, &self.catalog);
        }
        if let LogRecord::Led { .. } | LogRecord::Retried { .. } = record {
            self.reference.on_led(job, id);
        }
    }

    /// A job's log goes.
    pub(crate) fn forget(&mut self, id: HostId, ticket: u64, job: JobId, remains: Remains) {
        self.reference.mesh.on_forgotten(job, &self.hosts[id.0], remains == Remains::Forgotten);
        self.hosts[id.0].disk.remove(ticket, job, remains);
    }

    /// A member removes the end of a log.
    pub(crate) fn cut_log(&mut self, id: HostId, ticket: u64, job: JobId, after: u32) {
        let after = usize::try_from(after).expect("a log is short");
        let rows = self.rows(id, job);
        self.reference.mesh.on_cut((job, id), &rows, after);
        self.hosts[id.0].disk.cut(ticket, job, after);
    }

    /// A node writes a record of a job of which it has a copy. False if it has none.
    pub(crate) fn persist_copy(&mut self, id: HostId, ticket: u64, job: JobId, record: &LogRecord) -> bool {
        let host = &self.hosts[id.0];
        let before = host.disk.written(job).0;
        let pair = pair_in(host, before.iter().map(AsRef::as_ref).chain([record]));
        let Some(pair) = pair else { return false };
        let owner = self.peers.get(&pair.owner.peer).map(|owner| &self.hosts[owner.0]);
        // Another disk of the owner has another log.
        let owner = owner.filter(|owner| owner.disk.number == pair.owner.disk);
        self.reference.copies.on_written(owner, (id, job), before.len(), record);
        self.hosts[id.0].disk.write(ticket, job, record);
        true
    }

    /// The nodes of a job of which a node has a copy on its disk.
    pub(crate) fn copied(&self, id: HostId, job: JobId) -> Option<Pair> {
        let host = &self.hosts[id.0];
        pair_in(host, host.disk.records(job).iter().map(AsRef::as_ref))
    }

    pub(crate) fn rows(&self, id: HostId, job: JobId) -> Rows {
        Rows(self.hosts[id.0].disk.written(job).0)
    }

    // ---- what they read

    /// A driver reads a log: what was written until now, or until it gets to it.
    pub(crate) fn read_later(&mut self, id: HostId, read: Read) {
        let (life, after) = (self.hosts[id.0].life, Duration::from_micros(self.chance.between(50, 20_000)));
        let is_at_mesh = self.reference.mesh.has(read.job());
        let rows = self.chance.permille(500).then(|| self.rows(id, read.job())).filter(|_| is_at_mesh);
        self.queue.after(after, Event::Read { host: id, life, read, rows });
    }

    pub(crate) fn on_read(
        &mut self,
        (id, life): (HostId, u32),
        read: Read,
        rows: Option<Rows>,
    ) -> Result<(), Violation> {
        if self.hosts[id.0].life != life {
            return Ok(());
        }
        let disk = &self.hosts[id.0].disk;
        if !self.reference.mesh.has(read.job()) && disk.is_behind(read.job()) {
            // A driver reads what is on the disk, once all that was written before is there.
            self.queue.after(Duration::from_millis(1), Event::Read { host: id, life, read, rows });
            return Ok(());
        }
        let rows = rows.unwrap_or_else(|| self.rows(id, read.job()));
        match read {
            Read::Part { reader, job, from, bytes_max } => {
                let records = rows.page(from, bytes_max);
                self.tell(id, Input::LogRead { reader, job, from, records: Some(records) })
            }
            Read::Whole { job } => self.tell(id, Input::Recalled { job, restored: fold(&rows.0).ok() }),
        }
    }

    // ---- lives

    /// A new process takes up the jobs at level `mesh` on its disk.
    pub(crate) fn restore_kept(&mut self, id: HostId) -> Result<(), Violation> {
        let disk = &self.hosts[id.0].disk;
        let (forgotten, left) = (disk.forgotten(), disk.left());
        self.tell(id, Input::RestoreGone { forgotten, left, knows_all: true })?;
        let disk = &self.hosts[id.0].disk;
        let names: Vec<JobId> = disk.jobs().filter(|job| disk.is_at_mesh(*job)).collect();
        for job in names {
            let disk = &self.hosts[id.0].disk;
            let promised = disk.promised(job);
            match disk.fold(job) {
                Ok(job) => self.tell(id, Input::RestoreKept { promised, job })?,
                Err(why) => return Err(self.violation(LOST, format!("host {}: {job:?}: {why}", id.0))),
            }
        }
        self.restore_copies(id)
    }

    fn restore_copies(&mut self, id: HostId) -> Result<(), Violation> {
        let jobs = self.hosts[id.0].disk.jobs();
        let copied: Vec<JobId> = jobs.filter(|job| self.copied(id, *job).is_some()).collect();
        for job in copied {
            match self.hosts[id.0].disk.fold_part(job) {
                Ok(job) => self.tell(id, Input::RestoreKept { promised: 0, job })?,
                Err(why) => return Err(self.violation(LOST, format!("host {}: {job:?}: {why}", id.0))),
            }
        }
        Ok(())
    }

    /// Disks were lost: what can't be promised any more is not owed.
    pub(crate) fn note_lost(&mut self) {
        for job in self.reference.mesh.on_lost(&self.hosts) {
            self.reference.disown(job);
        }
    }

    // ---- users

    /// A node tells its user something of a job at level `mesh`.
    pub(crate) fn tell_user(&mut self, id: HostId, event: Told) {
        let now = self.now();
        let told = self.reference.mesh.on_event(&self.hosts, id, &event);
        if let Some(job) = told.job {
            self.reference.go_on_at_mesh(job, &told);
            if told.ended || matches!(event, Told::JobEnded { .. }) && !told.again {
                self.wish(job);
            }
        }
        if !told.again {
            self.facts.extend(self.reference.on_event(now, event));
        }
    }

    /// A user is told that a job ended: some have what failed tried again, some want it forgotten.
    fn wish(&mut self, job: JobId) {
        let wish = match self.chance.below(4) {
            0 if self.reference.mesh.may_be_tried_again(job) => Wish::Retry,
            1 => Wish::Forget,
            _ => return,
        };
        let after = Duration::from_millis(self.chance.below(3000));
        self.queue.after(after, Event::Wish { job, wish, tries: 0 });
    }

    /// A user asks the node that leads a job for something, and looks for it for a while.
    pub(crate) fn on_wish(&mut self, job: JobId, wish: Wish, tries: u32) -> Result<(), Violation> {
        let leader = self.reference.mesh.leader(job).filter(|id| {
            let host = &self.hosts[id.0];
            host.engine.is_some() && !host.paused && !host.stopping
        });
        let Some(id) = leader else {
            if tries < TRIES_MAX && self.reference.mesh.has(job) {
                let soon = Duration::from_secs(1);
                self.queue.after(soon, Event::Wish { job, wish, tries: tries + 1 });
            }
            return Ok(());
        };
        let command = match wish {
            Wish::Cancel => Command::Cancel { job },
            Wish::Forget if self.reference.mesh.on_unwanted(job) => {
                self.reference.disown(job);
                Command::ForgetJob { job }
            }
            Wish::Forget => return Ok(()),
            Wish::Retry => match self.hosts[id.0].disk.fold(job) {
                Ok(restored) => Command::Retry(restored),
                Err(_) => return Ok(()),
            },
        };
        self.tell(id, Input::Command(command))
    }
}

/// What a driver is asked to read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    /// Records from a number on.
    Part { reader: LogReader, job: JobId, from: u32, bytes_max: u32 },
    /// All of a log.
    Whole { job: JobId },
}

impl Read {
    fn job(self) -> JobId {
        match self {
            Self::Part { job, .. } | Self::Whole { job } => job,
        }
    }
}
