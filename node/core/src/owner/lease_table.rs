//! The leases that this owner has issued and their ends: the only writer of either. A lease is in the table from its issue
//! until it is ended; its end is a time, or none while it is suspended, because its outcome is being fetched or because its
//! time is over and its outcome would still count.

use alloc::collections::BTreeSet;

use crate::id::{JobId, LeaseId, PeerId};
use crate::time::Time;

/// One lease, kept by the attempt that it is for. It is not copied: what ends it takes it.
#[derive(Debug)]
pub(super) struct Lease {
    worker: PeerId,
    id: LeaseId,
    ends_at: Option<Time>,
}

impl Lease {
    /// The lease of an attempt that no worker runs, because its result is known; it is not in the table.
    pub(super) fn unissued(worker: PeerId, id: LeaseId) -> Self {
        Self { worker, id, ends_at: None }
    }

    pub(super) fn worker(&self) -> PeerId {
        self.worker
    }

    pub(super) fn id(&self) -> LeaseId {
        self.id
    }

    /// When it ends, unless it is extended; `None` while it is suspended.
    pub(super) fn ends_at(&self) -> Option<Time> {
        self.ends_at
    }
}

/// All leases of one owner.
#[derive(Debug, Default)]
pub(super) struct LeaseTable {
    by_worker: BTreeSet<(PeerId, LeaseId)>,
    ends: BTreeSet<(Time, LeaseId)>,
}

impl LeaseTable {
    /// A worker has that task until then.
    pub(super) fn issue(&mut self, worker: PeerId, id: LeaseId, ends_at: Time) -> Lease {
        let new = self.by_worker.insert((worker, id));
        assert!(new, "an attempt is leased once");
        self.ends.insert((ends_at, id));
        Lease { worker, id, ends_at: Some(ends_at) }
    }

    /// It ends then, and not before; or then already. One that was suspended runs again.
    pub(super) fn extend(&mut self, lease: &mut Lease, ends_at: Time) {
        debug_assert!(self.holds(lease.worker, lease.id), "an ended lease is not extended");
        self.suspend(lease);
        self.ends.insert((ends_at, lease.id));
        lease.ends_at = Some(ends_at);
    }

    /// It has no end for now.
    pub(super) fn suspend(&mut self, lease: &mut Lease) {
        if let Some(at) = lease.ends_at.take() {
            self.ends.remove(&(at, lease.id));
        }
    }

    /// It is over: the worker holds nothing by it any more.
    pub(super) fn end(&mut self, mut lease: Lease) {
        self.suspend(&mut lease);
        let known = self.by_worker.remove(&(lease.worker, lease.id));
        debug_assert!(known, "a lease ends once");
    }

    /// The lease whose time has been over for longest; the caller extends or suspends it.
    pub(super) fn due(&self, now: Time) -> Option<LeaseId> {
        self.ends.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    pub(super) fn holds(&self, worker: PeerId, id: LeaseId) -> bool {
        self.by_worker.contains(&(worker, id))
    }

    /// Those of a worker, in order.
    pub(super) fn of(&self, worker: PeerId) -> impl Iterator<Item = LeaseId> + '_ {
        self.between(worker, LeaseId::FIRST, LeaseId::LAST)
    }

    /// Those of a worker between two, these included, in order.
    pub(super) fn between(
        &self,
        worker: PeerId,
        first: LeaseId,
        last: LeaseId,
    ) -> impl Iterator<Item = LeaseId> + '_ {
        self.by_worker.range((worker, first)..=(worker, last)).map(|(_, id)| *id)
    }

    /// Those of a job's tasks that a worker has, in order.
    pub(super) fn of_job_at(&self, job: JobId, worker: PeerId) -> impl Iterator<Item = LeaseId> + '_ {
        self.between(worker, LeaseId { job, ..LeaseId::FIRST }, LeaseId { job, ..LeaseId::LAST })
    }

    /// Those of a job's tasks, in the order of their workers. Looks through all.
    pub(super) fn of_job(&self, job: JobId) -> impl Iterator<Item = LeaseId> + '_ {
        self.by_worker.iter().map(|(_, id)| *id).filter(move |id| id.job == job)
    }

    /// All, each with its worker.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.by_worker.iter().copied()
    }

    /// When the first ends.
    pub(super) fn first_end(&self) -> Option<Time> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// When the last ends.
    pub(super) fn last_end(&self) -> Option<Time> {
        self.ends.last().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const WORKER: PeerId = PeerId([1; 32]);

    fn id(index: u32) -> LeaseId {
        LeaseId { job: JobId(7), epoch: 0, index, attempt: 1 }
    }

    fn at(ms: u64) -> Time {
        Time::ZERO.plus_ms(ms)
    }

    #[test]
    fn a_lease_is_due_at_its_last_end_and_not_before() {
        let mut table = LeaseTable::default();
        let mut lease = table.issue(WORKER, id(0), at(10));
        assert_eq!((table.due(at(9)), table.due(at(10))), (None, Some(id(0))));
        table.extend(&mut lease, at(20));
        assert_eq!(
            (table.due(at(19)), table.due(at(20)), lease.ends_at()),
            (None, Some(id(0)), Some(at(20)))
        );
        table.suspend(&mut lease);
        assert_eq!((table.due(at(1000)), table.first_end(), lease.ends_at()), (None, None, None));
        assert!(table.holds(WORKER, id(0)), "a suspended lease is still the worker's");
        table.extend(&mut lease, at(30));
        table.end(lease);
        assert!(!table.holds(WORKER, id(0)) && table.due(at(1000)).is_none());
    }

    #[test]
    fn leases_are_found_by_worker_and_by_job() {
        let mut table = LeaseTable::default();
        let other = PeerId([2; 32]);
        let leases: Vec<Lease> = (0..4).map(|index| table.issue(WORKER, id(index), at(10))).collect();
        let far = table.issue(other, LeaseId { job: JobId(8), epoch: 0, index: 0, attempt: 1 }, at(5));
        assert_eq!(table.of(WORKER).count(), 4);
        assert_eq!(table.between(WORKER, id(1), id(2)).collect::<Vec<_>>(), [id(1), id(2)]);
        assert_eq!((table.of_job(JobId(8)).count(), table.iter().count()), (1, 5));
        assert_eq!((table.first_end(), table.last_end()), (Some(at(5)), Some(at(10))));
        leases.into_iter().chain([far]).for_each(|lease| table.end(lease));
        assert_eq!((table.iter().count(), table.first_end()), (0, None));
    }
}
