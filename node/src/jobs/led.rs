//! Jobs at level `mesh` in the table: those that this node leads are shown like all others, those that it keeps for another
//! leader are marked, and who waits for one is told when it moves.

use std::task::{Context, Poll};

use weft_core::{JobId, PeerId};

use super::entry::Entry;
use super::{JobTable, Moved, NoSuchJob, RestoredJob, Shown};

impl JobTable {
    /// This node leads a job from now on, which is as its log says. Clients that waited for it to come back see it.
    pub fn lead(&self, job: JobId, restored: RestoredJob) {
        self.insert_led(job, restored);
    }

    /// This node keeps a job that another one leads, or will: it is entered if it is not known.
    pub fn keep(&self, job: JobId, restored: RestoredJob) {
        let mut table = self.lock();
        if !table.jobs.contains_key(&job) {
            table.insert(job, Entry::restored(restored));
        }
    }

    /// Another node leads a job from now on; who waits for it here is told.
    pub fn follow(&self, job: JobId, leader: Option<PeerId>) {
        self.lock().follow(job, leader);
    }

    /// Notes who keeps a job, by seat.
    pub fn set_keepers(&self, job: JobId, keepers: Vec<PeerId>) {
        self.lock().change(job, |entry| entry.set_keepers(keepers));
    }

    /// Notes whether every member of the mesh may change a job.
    pub fn set_shared(&self, job: JobId, shared: bool) {
        self.lock().change(job, |entry| entry.set_shared(shared));
    }

    /// Shows a job that another node leads as its log on this node's disk is now.
    pub fn show(&self, job: JobId, shown: Shown) {
        self.lock().show(job, shown);
    }

    /// Forgets a job that another node leads.
    pub fn forget_followed(&self, job: JobId) {
        let mut table = self.lock();
        if table.jobs.get(&job).is_some_and(|entry| !entry.is_here()) {
            table.forget(job);
        }
    }

    /// Whether a job is in the table.
    #[must_use]
    pub fn is_known(&self, job: JobId) -> bool {
        self.lock().jobs.contains_key(&job)
    }

    /// Whether another node leads a job, or will.
    #[must_use]
    pub fn is_followed(&self, job: JobId) -> bool {
        self.lock().jobs.get(&job).is_some_and(|entry| !entry.is_here())
    }

    /// Whether a job is in the table that no other node keeps.
    #[must_use]
    pub fn is_of_this_node_alone(&self, job: JobId) -> bool {
        self.lock().jobs.get(&job).is_some_and(|entry| !entry.has_keepers())
    }

    /// Waits until another node leads a job.
    ///
    /// # Errors
    /// Ready with [`NoSuchJob`] when the job is unknown, or is forgotten meanwhile.
    pub fn poll_moved(&self, cx: &Context<'_>, job: JobId) -> Poll<Result<Moved, NoSuchJob>> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Ready(Err(NoSuchJob)) };
        if let Err(moved) = entry.here(job) {
            return Poll::Ready(Ok(moved));
        }
        entry.wait(cx);
        Poll::Pending
    }
}
