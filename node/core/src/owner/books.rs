//! The tables of an owner that span its jobs and that its features write to, and what a function on one job may use
//! besides that job. No decisions: each table is in a file of its own.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::agenda::Agenda;
use super::calls::Calls;
use super::dirty::Dirty;
use super::dispatch::locality::Locality;
use super::fetches::Fetches;
use super::gate::Children;
use super::job::Job;
use super::keeping::Keeping;
use super::lease_table::LeaseTable;
use super::unknown::Unknown;
use crate::ctx::Ctx;
use crate::effect::Event;
use crate::id::{JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Delivery, Message};
use crate::reputation::Reputations;
use crate::time::Time;

/// Tables that span jobs.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) leases: LeaseTable,
    pub(super) agenda: Agenda,
    pub(super) calls: Calls,
    /// Which workers let leases run out, lied, or were slow.
    pub(super) reputation: Reputations,
    pub(super) locality: Locality,
    /// Outcomes whose blobs are on their way here.
    pub(super) fetches: Fetches,
    /// Jobs whose queue, bids or calls changed while an input was handled.
    pub(super) dirty: Dirty,
    /// Ended jobs that others wait for, which have not been told: a list, so that a long chain of jobs fails without a
    /// long chain of calls.
    pub(super) completed: VecDeque<Completed>,
    /// Workers whose disks had no room for a task: credit that they granted is used no more.
    pub(super) full_disks: Vec<PeerId>,
    /// What is acknowledged when the input has been handled.
    pub(super) acks: Vec<(PeerId, LeaseId)>,
    /// What of kept jobs waits for the disk.
    pub(super) keeping: Keeping,
    /// Jobs at level mesh that this node keeps and does not lead.
    pub(super) followed: BTreeSet<JobId>,
    /// Those of them that others here come after, and whose ends are to be asked for.
    pub(super) watched: Vec<JobId>,
    /// What this node's own worker brought of jobs that another node leads, or will.
    pub(super) untaken: Vec<Delivery>,
    /// Jobs whose input the driver is to make of the results of their parents.
    pub(super) gathers: Vec<JobId>,
    /// Jobs that workers name and that are not known here.
    pub(super) unknown: Unknown,
    /// Jobs that others here wait for, and that other nodes keep.
    pub(super) absent: BTreeMap<JobId, Absent>,
}

/// What those that wait for a job have not been told yet: that it has ended, and how.
#[derive(Debug)]
pub(super) struct Completed {
    pub(super) parent: JobId,
    pub(super) succeeded: bool,
    pub(super) children: Children,
}

/// A job that others here wait for, and that only other nodes can tell of.
#[derive(Debug)]
pub(super) struct Absent {
    /// The nodes that kept it when this one last did; none if it never did.
    pub(super) keepers: BTreeSet<PeerId>,
    /// When they are asked how it ended.
    pub(super) asks_at: Time,
}

/// What a function on one job may use besides that job.
pub(super) struct OwnerCtx<'a, 'e> {
    pub(super) ctx: &'a mut Ctx<'e>,
    pub(super) members: &'a mut Membership,
    pub(super) books: &'a mut Books,
}

impl OwnerCtx<'_, '_> {
    /// A worker is told that an outcome of that lease is safe: of a kept job, once it is. Epochs above 0 are those of kept
    /// jobs, whether they are here or have ended.
    pub(super) fn ack(&mut self, worker: PeerId, lease: LeaseId) {
        if lease.epoch == 0 {
            self.books.acks.push((worker, lease));
        } else {
            self.ctx.counters.dropped += u64::from(!self.books.keeping.ack(worker, lease));
        }
    }

    /// The user is told something of a job: of a kept one, once all that it rests on is on the disk.
    pub(super) fn tell(&mut self, job: &Job, event: Event) {
        if job.is_kept() {
            self.books.keeping.event(job.spec.job, event);
        } else {
            self.ctx.notify(event);
        }
    }

    /// A job is to be brought in line before the input is done with.
    pub(super) fn touch(&mut self, job: JobId) {
        self.books.dirty.insert(job);
    }
}

/// Leases that ended before their outcomes came, by worker: each worker is told in as few frames as possible.
#[derive(Debug, Default)]
pub(super) struct Stopped(BTreeMap<PeerId, Vec<LeaseId>>);

impl Stopped {
    pub(super) fn add(&mut self, worker: PeerId, lease: LeaseId) {
        self.0.entry(worker).or_default().push(lease);
    }

    /// Tells the workers.
    pub(super) fn tell(self, ctx: &mut Ctx<'_>) {
        for (worker, leases) in self.0 {
            cancel_at(ctx, worker, &leases);
        }
    }
}

/// Tells a worker that nothing is wanted of these leases any more.
pub(super) fn cancel_at(ctx: &mut Ctx<'_>, worker: PeerId, leases: &[LeaseId]) {
    for part in leases.chunks(BATCH_MAX) {
        ctx.send(worker, Message::Cancel(part.to_vec()));
    }
}
