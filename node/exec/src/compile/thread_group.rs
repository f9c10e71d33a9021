//! One of the two kinds of compiling threads: its queue, how many threads there are, and whose modules they compile.
//! Plain data; it starts no thread.

use weft_core::PeerId;

use super::job::Job;
use super::queue::{Capacity, Queue};

/// Most modules of one owner that threads of one kind compile at once. Of the two that tasks wait for, one stays free
/// for other owners, however long the modules of the first take; and each uses all cores.
const AT_ONCE_EACH_MAX: usize = 1;

/// One kind of compiling threads, and its queue.
pub(super) struct ThreadGroup {
    pub(super) queue: Queue<Job>,
    pub(super) threads: usize,
    /// The owners of the modules that are being compiled.
    busy: Vec<PeerId>,
}

impl ThreadGroup {
    pub(super) fn new(most: Capacity) -> Self {
        Self { queue: Queue::new(most), threads: 0, busy: Vec::new() }
    }

    /// Counts one more thread and returns true, if there is work for it and `most` allows it.
    pub(super) fn wants(&mut self, most: usize) -> bool {
        let idle = self.threads.saturating_sub(self.busy.len());
        let next = self.queue.owners().filter(|owner| may_take(&self.busy, owner)).count();
        let more = self.threads < most && next > idle;
        self.threads += usize::from(more);
        more
    }

    /// Takes the next module whose owner may have one compiled now.
    pub(super) fn take(&mut self) -> Option<Job> {
        let job = self.queue.pop(|owner| may_take(&self.busy, owner))?;
        self.busy.push(job.owner);
        Some(job)
    }

    /// A module of this owner is not being compiled any more.
    pub(super) fn done(&mut self, owner: PeerId) {
        if let Some(index) = self.busy.iter().position(|busy| *busy == owner) {
            self.busy.swap_remove(index);
        }
    }
}

/// Whether another module of this owner may be compiled, while modules of those are.
fn may_take(busy: &[PeerId], owner: &PeerId) -> bool {
    busy.iter().filter(|busy| *busy == owner).count() < AT_ONCE_EACH_MAX
}
