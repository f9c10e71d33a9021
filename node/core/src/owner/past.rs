//! Jobs that have ended: their figures alone, a bounded number of them. They are kept apart from those that have not,
//! so that a node to which one short job after another is submitted walks past none of them. Plain bookkeeping.

use alloc::collections::{BTreeMap, VecDeque};

use crate::id::JobId;
use crate::snapshot::JobView;

/// Ended jobs whose figures are kept; beyond it the oldest is forgotten.
const ENDED_MAX: usize = 1000;

/// Ended jobs, in the order in which they ended.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Each with its place in the order of submissions.
    views: VecDeque<(u64, JobView)>,
    /// How many tasks each had.
    tasks: BTreeMap<JobId, u32>,
}

impl Past {
    /// A job has ended, and will not be heard of again.
    pub(super) fn add(&mut self, number: u64, view: JobView) {
        self.tasks.insert(view.job, view.tasks);
        self.views.push_back((number, view));
        if self.views.len() > ENDED_MAX
            && let Some((_, oldest)) = self.views.pop_front()
        {
            self.tasks.remove(&oldest.job);
        }
    }

    /// How many tasks a job had, if it ended and was not forgotten.
    pub(super) fn tasks_of(&self, job: JobId) -> Option<u32> {
        self.tasks.get(&job).copied()
    }

    /// All of them, each with its place in the order of submissions.
    pub(super) fn views(&self) -> impl Iterator<Item = (u64, JobView)> + '_ {
        self.views.iter().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Class;
    use crate::snapshot::Regime;

    fn view(job: u64) -> JobView {
        JobView {
            job: JobId(job),
            class: Class::Batch,
            open: false,
            tasks: 7,
            queued: 0,
            delayed: 0,
            leased: 0,
            done: 7,
            failed: 0,
            cancelled: 0,
            retried: 0,
            recalled: 0,
            service_us: 0,
            regime: Regime::LateBinding,
            given_up: false,
        }
    }

    #[test]
    fn the_oldest_is_forgotten_and_the_others_stay() {
        let mut past = Past::default();
        for number in 0..=ENDED_MAX as u64 {
            past.add(number, view(number));
        }
        assert_eq!(past.views().count(), ENDED_MAX);
        assert_eq!((past.tasks_of(JobId(0)), past.tasks_of(JobId(1))), (None, Some(7)));
        assert_eq!(past.views().last().map(|(number, view)| (number, view.job.0)), Some((1000, 1000)));
    }
}
