//! When, how often and on how many nodes a task runs. The rest of [`Task`]'s builder.

use std::time::Duration;

use crate::api::{Backoff, Join};
use crate::task::Task;

impl Task {
    /// Lets each retry wait: `first` after a task's first failure, twice as long after each further one, `most` at most.
    /// A random part of up to half of a wait is left out, so that tasks that failed together are not retried together.
    #[must_use]
    pub fn backoff(mut self, first: Duration, most: Duration) -> Self {
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let jitter_percent = Backoff::JITTER_PERCENT;
        self.policy.backoff = Some(Backoff { first_ms: ms(first), most_ms: ms(most), jitter_percent });
        self
    }

    /// Starts no task before this time has passed since the submission.
    #[must_use]
    pub fn not_before(mut self, time: Duration) -> Self {
        self.policy.not_before_ms = whole_ms(time);
        self
    }

    /// Says when all of it should be done, from the submission: among jobs of one class the earliest deadline goes
    /// first, and a node that can't make it declines. A task that misses its deadline still runs.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.policy.deadline_ms = Some(whole_ms(time));
        self
    }

    /// Ends what has not ended this long after the submission, as [`crate::Outcome::Expired`].
    #[must_use]
    pub fn expires(mut self, time: Duration) -> Self {
        self.policy.expires_ms = Some(whole_ms(time));
        self
    }

    /// Begins no attempt of a task later than this time after its first one.
    #[must_use]
    pub fn give_up(mut self, time: Duration) -> Self {
        self.policy.give_up_ms = Some(whole_ms(time));
        self
    }

    /// Gives the whole job up when more than `most` tasks ended otherwise than done; those left are cancelled.
    #[must_use]
    pub fn max_failures(mut self, count: u32) -> Self {
        self.policy.failures_max = Some(count);
        self
    }

    /// Begins nothing before that job of the same node has ended; may be given for up to 64 jobs. A job that names one
    /// which failed, was cancelled or was itself skipped ends as [`crate::Outcome::Skipped`], unless
    /// [`Task::even_if_failed`]. The id is what [`crate::Job::id`] says, or its first digits. Times of this job still count
    /// from its submission.
    #[must_use]
    pub fn after(mut self, job: impl Into<String>) -> Self {
        self.after.push(job.into());
        self
    }

    /// Begins once all jobs that it comes after have ended, however they did.
    #[must_use]
    pub fn even_if_failed(mut self) -> Self {
        if !self.join.takes_results() {
            self.join = Join::AllEnded;
        }
        self
    }

    /// Takes the results of that job as inputs, which is at level [`crate::Level::Disk`] or [`crate::Level::Mesh`] on the same node:
    /// one task for each of its tasks, under the same index, with its output as input. Each begins as soon as its own is there;
    /// where a task of that job ended otherwise than done, this job's ends as [`crate::Outcome::Skipped`] once that job has ended.
    /// Such a job gets no inputs of its own, and comes after no other job: [`Task::after`] with it is refused, and
    /// [`Task::even_if_failed`] has no effect.
    #[must_use]
    pub fn each_result_of(mut self, job: impl Into<String>) -> Self {
        (self.after, self.join) = (vec![job.into()], Join::EachResult);
        self
    }

    /// Gathers the results of that job, which is at level [`crate::Level::Disk`] or [`crate::Level::Mesh`] on the same node; may be
    /// given for up to 64 jobs. The job has one task, which begins when all of theirs are done, and finds their outputs as files: that
    /// of task 7 as `/in/000007`, and what it left in `/out` as the directory `/in/000007.out`. Of several jobs each has a directory
    /// with its label `step`, its name or its id. Together they may be 100,000 files and 2 GiB. Where a task of them ended otherwise
    /// than done, the job ends as [`crate::Outcome::Skipped`]. For commands only. Such a job gets no inputs of its own.
    #[must_use]
    pub fn gather(mut self, job: impl Into<String>) -> Self {
        if self.join != Join::Gather {
            (self.after, self.join) = (Vec::new(), Join::Gather);
        }
        self.after.push(job.into());
        self
    }

    /// Computes each task on up to `nodes` nodes of distinct host addresses and compares: it ends once more than half of
    /// that number agree. Default: 1, which believes the worker.
    #[must_use]
    pub fn verify(mut self, nodes: u32) -> Self {
        self.policy.verify = nodes;
        self
    }

    /// Whether the last tasks of a job may have a second copy each, when one is expected to end sooner. Default: yes.
    #[must_use]
    pub fn backups(mut self, backups: bool) -> Self {
        self.policy.backups = backups;
        self
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Policy;

    #[test]
    fn times_are_whole_milliseconds_and_never_wrap() {
        let second = Duration::from_secs(1);
        let task = Task::command(Vec::new())
            .not_before(second)
            .deadline(second * 30)
            .expires(Duration::MAX)
            .backoff(second, Duration::MAX)
            .give_up(second * 5)
            .max_failures(3)
            .verify(2)
            .backups(false);
        let expected = Policy {
            not_before_ms: 1000,
            deadline_ms: Some(30_000),
            expires_ms: Some(u64::MAX),
            backoff: Some(Backoff { first_ms: 1000, most_ms: u32::MAX, jitter_percent: 50 }),
            give_up_ms: Some(5000),
            failures_max: Some(3),
            verify: 2,
            backups: false,
        };
        assert_eq!(task.policy, expected);
    }
}
