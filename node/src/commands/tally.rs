//! What a verb says about the results that come to it: progress, failures one by one up to a bound, and the last line.

use std::collections::BTreeSet;

use weft_client::{Mesh, Outcome, TaskResult};

use super::outdir::Unwritten;
use super::{Problem, outcome};
use crate::render::{Progress, say};

/// Failures told one by one; the rest are only counted.
const COMPLAINTS_MAX: u64 = 20;
/// Distinct workers counted for the last line.
const WORKERS_MAX: usize = 4096;

/// Results that were counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) progress: Progress,
    workers: BTreeSet<String>,
    /// Failures are in the data already.
    quiet: bool,
}

/// One result, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    is_done: bool,
    was_known: bool,
}

impl Tally {
    pub(crate) fn new(progress: Progress, quiet: bool) -> Self {
        Self { progress, workers: BTreeSet::new(), quiet }
    }

    /// Counts a result that is not done, and says why; one that is done counts once it was given out.
    pub(crate) async fn note(&mut self, mesh: &Mesh, result: &TaskResult, named: &str) -> Counted {
        if let Some(worker) = &result.worker
            && self.workers.len() < WORKERS_MAX
            && !self.workers.contains(worker)
        {
            self.workers.insert(worker.clone());
        }
        let counted = Counted { is_done: result.is_done(), was_known: result.memo };
        if result.outcome == Outcome::Cancelled {
            self.progress.count_cancelled();
        } else if !counted.is_done {
            self.progress.count(false, counted.was_known);
            self.complain(mesh, result, named).await;
        }
        counted
    }

    /// Counts a result that is done, or says why it could not be given out.
    ///
    /// # Errors
    /// When no other can be given out either.
    pub(crate) fn given(
        &mut self,
        counted: Counted,
        written: Result<(), Unwritten>,
        named: &str,
    ) -> Result<(), Problem> {
        match written {
            Ok(()) if counted.is_done => self.progress.count(true, counted.was_known),
            Ok(()) => {}
            Err(Unwritten::This(reason)) => {
                self.progress.count(false, counted.was_known);
                self.tell(|| format!("{named}: {reason}"));
            }
            Err(Unwritten::All(problem)) => return Err(problem),
        }
        Ok(())
    }

    /// Takes the progress away and says how all of it ended.
    pub(crate) fn finish(self) {
        self.progress.finish(self.workers.len());
    }

    /// The same of a job that took that long, if it is over; some of it had ended before its results were read.
    pub(crate) fn finish_attached(self, job_ms: Option<u64>) {
        self.progress.finish_attached(self.workers.len(), job_ms);
    }

    /// The same after an interrupt: of a job of which nothing ended there is nothing to say.
    pub(crate) fn interrupt(self) {
        self.progress.interrupt(self.workers.len());
    }

    async fn complain(&self, mesh: &Mesh, result: &TaskResult, named: &str) {
        if self.quiet || self.progress.failed() > COMPLAINTS_MAX + 1 {
            return;
        }
        let text = outcome::complaint(mesh, result, named).await;
        self.tell(|| text);
    }

    /// Says what became of the task that failed last.
    fn tell(&self, text: impl FnOnce() -> String) {
        let failed = self.progress.failed();
        if self.quiet {
            return;
        }
        if failed <= COMPLAINTS_MAX {
            self.progress.aside(|| say(&text()));
        } else if failed == COMPLAINTS_MAX + 1 {
            self.progress.aside(|| say("more tasks failed; --json tells about each of them"));
        }
    }
}
