//! Lines of the list of jobs on their way to the journal. They wait for the next write, so that the end of a job costs the disk
//! one write and not two: nothing waits for them, and what a crash takes is made again from the job's log at the next start.
//! Plain bookkeeping of the keeper's thread.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weft_core::JobId;
use weft_journal::{Entry, Listing};

/// For how long a line waits for another write.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Lines that wait; with one more they are written.
const WAITING_MAX: usize = 256;

/// What is to be written: of each job the newest.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: BTreeMap<JobId, Listing>,
    due: Option<Instant>,
}

impl Lines {
    /// Notes how a job is to be listed.
    pub(super) fn note(&mut self, job: JobId, line: Listing) {
        self.waiting.insert(job, line);
        let due = self.due.get_or_insert_with(|| Instant::now() + WAIT_MAX);
        if self.waiting.len() > WAITING_MAX {
            *due = Instant::now();
        }
    }

    /// A job is forgotten, or what is written now lists it otherwise.
    pub(super) fn forget(&mut self, job: JobId) {
        self.waiting.remove(&job);
        self.due = self.due.filter(|_| !self.waiting.is_empty());
    }

    /// When they are to be written, if there are any.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be written now.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Entry> + use<> {
        self.due = None;
        std::mem::take(&mut self.waiting).into_iter().map(|(job, listing)| Entry::List { job, listing })
    }
}

#[cfg(test)]
mod tests {
    use weft_core::PeerId;
    use weft_journal::State;

    use super::*;

    fn line(tasks: u64) -> Listing {
        Listing {
            owner: PeerId([1; 32]),
            name: String::new(),
            labels: Vec::new(),
            state: State::Running,
            since_ms: 0,
            ended_ms: None,
            tasks,
            done: 0,
            failed: 0,
        }
    }

    fn taken(lines: &mut Lines) -> Vec<(u64, u64)> {
        let row = |entry| {
            let Entry::List { job, listing } = entry else { return None };
            Some((job.0, listing.tasks))
        };
        lines.take().filter_map(row).collect()
    }

    #[test]
    fn the_newest_line_of_each_job_waits_and_those_of_forgotten_jobs_do_not() {
        let mut lines = Lines::default();
        for (job, tasks) in [(1, 1), (2, 1), (1, 2), (3, 1)] {
            lines.note(JobId(job), line(tasks));
        }
        lines.forget(JobId(3));
        let due = lines.due().unwrap();
        assert!(due > Instant::now() && due <= Instant::now() + WAIT_MAX);
        assert_eq!((taken(&mut lines), lines.due()), (vec![(1, 2), (2, 1)], None));
        lines.note(JobId(4), line(1));
        lines.forget(JobId(4));
        assert_eq!((lines.due(), taken(&mut lines)), (None, vec![]));
    }

    #[test]
    fn beyond_the_bound_they_are_due_at_once() {
        let mut lines = Lines::default();
        for job in 0..=WAITING_MAX as u64 {
            assert!(lines.due().is_none_or(|due| due > Instant::now()), "{job}");
            lines.note(JobId(job), line(1));
        }
        assert!(lines.due().is_some_and(|due| due <= Instant::now()));
    }
}
