//! Figures of a world, for tests and experiments: a job's progress, how its tasks ended, lost attempts. No invariant
//! uses them.

use weft_core::{JobId, Outcome};

use super::Reference;

impl Reference {
    /// How many tasks a job has, and how many of them were reported as ended; zeros for an unknown job.
    #[must_use]
    pub fn progress(&self, job: JobId) -> (usize, usize) {
        self.jobs.get(&job).map_or((0, 0), |job| (job.tasks.len(), job.told))
    }

    /// How many attempts were reported as lost, over all jobs.
    #[must_use]
    pub fn losses(&self) -> u32 {
        self.lost.values().sum()
    }

    /// Whether another node holds or held a second or later attempt at a task of this job.
    #[must_use]
    pub fn leased_again(&self, job: JobId) -> bool {
        self.issued.keys().any(|lease| lease.job == job && lease.attempt > 1)
    }

    /// How many tasks of a job ended as expired.
    #[must_use]
    pub fn expired(&self, job: JobId) -> usize {
        let tasks = self.jobs.get(&job).map(|job| job.tasks.as_slice()).unwrap_or_default();
        tasks.iter().filter(|task| matches!(task.outcome, Some(Outcome::Expired(_)))).count()
    }

    /// How many tasks of a job ended because a parent of it did not succeed.
    #[must_use]
    pub fn skipped(&self, job: JobId) -> usize {
        let tasks = self.jobs.get(&job).map(|job| job.tasks.as_slice()).unwrap_or_default();
        tasks.iter().filter(|task| matches!(task.outcome, Some(Outcome::ParentFailed { .. }))).count()
    }
}
