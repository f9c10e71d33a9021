//! Figures of a history, for experiments: how far a job is, and what was lost on the way. They judge nothing.

use weft_core::JobId;

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
}
