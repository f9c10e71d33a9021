//! The jobs that were forgotten, so that no member keeps one for ever. Pure bookkeeping.

use alloc::collections::{BTreeSet, VecDeque};

use super::message::CustodyMessage;
use crate::id::JobId;

/// Forgotten jobs that are remembered; the oldest goes.
pub const TOMBSTONES_MAX: usize = 65_536;

/// The forgotten jobs that a node remembers.
#[derive(Debug, Default)]
pub struct Tombstones {
    jobs: BTreeSet<JobId>,
    /// The same, the newest last.
    order: VecDeque<JobId>,
}

impl Tombstones {
    /// A job was forgotten.
    pub fn add(&mut self, job: JobId) {
        if !self.jobs.insert(job) {
            return;
        }
        self.order.push_back(job);
        if self.order.len() > TOMBSTONES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.jobs.remove(&oldest);
        }
    }

    /// Whether a job was forgotten.
    #[must_use]
    pub fn has(&self, job: JobId) -> bool {
        self.jobs.contains(&job)
    }

    /// What a member is told that asks about a forgotten job.
    #[must_use]
    pub fn answer(&self, message: &CustodyMessage) -> Option<CustodyMessage> {
        let job = message.job();
        (!message.is_end() && self.has(job)).then_some(CustodyMessage::Forgotten { job })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::Position;

    #[test]
    fn a_member_that_asks_about_a_forgotten_job_is_told() {
        let mut forgotten = Tombstones::default();
        let (job, other) = (JobId(1), JobId(2));
        forgotten.add(job);
        let told = Some(CustodyMessage::Forgotten { job });
        assert_eq!(forgotten.answer(&CustodyMessage::Seal { job, epoch: 4 }), told);
        let want = CustodyMessage::Want { job, epoch: 4, after: Position::NONE };
        assert_eq!(forgotten.answer(&want), told);
        assert_eq!(forgotten.answer(&CustodyMessage::Forget { job, epoch: 3 }), told);
        assert_eq!(
            forgotten.answer(&CustodyMessage::Forgotten { job }),
            None,
            "two would tell each other for ever"
        );
        assert_eq!(forgotten.answer(&CustodyMessage::Seal { job: other, epoch: 4 }), None);
    }

    #[test]
    fn the_oldest_goes_at_the_bound() {
        let mut forgotten = Tombstones::default();
        (0..=TOMBSTONES_MAX as u64).for_each(|job| forgotten.add(JobId(job)));
        forgotten.add(JobId(1));
        assert!(
            !forgotten.has(JobId(0))
                && forgotten.has(JobId(1))
                && forgotten.has(JobId(TOMBSTONES_MAX as u64))
        );
    }
}
