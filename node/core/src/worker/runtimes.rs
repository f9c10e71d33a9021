//! Run times by job, measured on this worker: the estimates that it bids by. Plain arithmetic; the worker feeds it.

use alloc::collections::BTreeMap;

use crate::id::{JobId, PeerId};

/// Jobs whose service time is remembered; beyond it the memory is cleared and measured anew.
const RUNTIMES_MAX: usize = 1024;

/// A moving average of run times for each job.
#[derive(Debug, Default)]
pub(super) struct Runtimes {
    by_job: BTreeMap<(PeerId, JobId), u32>,
}

impl Runtimes {
    /// The estimate for a job, in microseconds; 0 while unknown.
    pub(super) fn estimate_us(&self, owner: PeerId, job: JobId) -> u32 {
        self.by_job.get(&(owner, job)).copied().unwrap_or(0)
    }

    /// Takes the owner's estimate, until a task was measured here.
    pub(super) fn hint(&mut self, owner: PeerId, job: JobId, service_us: u32) {
        if service_us > 0 && !self.by_job.contains_key(&(owner, job)) {
            self.put(owner, job, service_us);
        }
    }

    /// One task's running time. The average moves by an eighth, and by a half when the task was much longer, so that
    /// a worker that promised too much stops at once.
    pub(super) fn measure(&mut self, owner: PeerId, job: JobId, wall_us: u64) {
        let sample = u32::try_from(wall_us.max(1)).unwrap_or(u32::MAX);
        let old = self.estimate_us(owner, job);
        let new = match old {
            0 => sample,
            _ if sample > old.saturating_mul(4) => old / 2 + sample / 2,
            _ => old - old / 8 + sample / 8,
        };
        self.put(owner, job, new.max(1));
    }

    fn put(&mut self, owner: PeerId, job: JobId, service_us: u32) {
        if self.by_job.len() >= RUNTIMES_MAX && !self.by_job.contains_key(&(owner, job)) {
            self.by_job.clear();
        }
        self.by_job.insert((owner, job), service_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_much_longer_task_moves_the_average_at_once() {
        let (owner, job) = (PeerId([1; 32]), JobId(1));
        let mut stats = Runtimes::default();
        stats.hint(owner, job, 10);
        stats.hint(owner, job, 99);
        assert_eq!(stats.estimate_us(owner, job), 10);
        stats.measure(owner, job, 1_000_000);
        assert_eq!(stats.estimate_us(owner, job), 500_005);
        stats.measure(owner, job, 10);
        assert_eq!(stats.estimate_us(owner, job), 500_005 - 62_500 + 1);
    }
}
