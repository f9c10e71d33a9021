//! What a job waits for before its tasks begin, and which jobs wait for it. Plain bookkeeping of names;
//! `dependencies.rs` keeps those of all jobs in line.

use alloc::collections::{BTreeSet, VecDeque};

use crate::durable::ParentEnd;
use crate::id::JobId;
use crate::submission::{Join, Submission};
use crate::task::Outcome;

/// Whether a job's tasks may begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Gate {
    /// They may.
    #[default]
    Satisfied,
    /// They are held until these have ended, of which there is at least one.
    Waiting(BTreeSet<JobId>),
    /// They never will, and end like that.
    Failed(Outcome),
}

/// Jobs of one owner that wait for one, in the order in which they were submitted.
pub(super) type Children = BTreeSet<(u64, JobId)>;

/// The dependencies of one job, in both directions.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    pub(super) gate: Gate,
    /// Whether tasks begin one by one while the gate is not satisfied.
    begins_early: bool,
    /// Tasks that wait until the gate is satisfied; they are in no queue.
    pub(super) held: VecDeque<u32>,
    /// Jobs that wait for this one's end.
    pub(super) children: Children,
}

impl Dependencies {
    /// Those of a new job.
    pub(super) fn new(spec: &Submission) -> Self {
        let gate = if spec.after.is_empty() {
            Gate::Satisfied
        } else {
            Gate::Waiting(spec.after.iter().copied().collect())
        };
        Self { gate, begins_early: spec.join.takes_each(), ..Self::default() }
    }

    /// Those of a job that comes after these, some of which have ended.
    pub(super) fn after(join: Join, parents: BTreeSet<JobId>, ended: &[ParentEnd]) -> Self {
        let gate = if parents.is_empty() { Gate::Satisfied } else { Gate::Waiting(parents) };
        let mut new = Self { gate, begins_early: join.takes_each(), ..Self::default() };
        let lacking = ended.iter().find(|end| join.wants_success() && !end.succeeded);
        if let Some(end) = lacking {
            drop(new.fail(Outcome::ParentFailed { job: end.parent }));
        }
        for end in ended {
            if new.strike_out(end.parent) == Some(true) {
                new.gate = Gate::Satisfied;
            }
        }
        new
    }

    /// Whether the job is held, by that parent among others.
    pub(super) fn awaits(&self, parent: JobId) -> bool {
        match &self.gate {
            Gate::Waiting(left) => left.contains(&parent),
            Gate::Satisfied | Gate::Failed(_) => false,
        }
    }

    /// Whether the job's tasks are held until others have ended.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.gate, Gate::Waiting(_))
    }

    /// Whether a task whose input is known may begin now.
    pub(super) fn lets_begin(&self) -> bool {
        match &self.gate {
            Gate::Satisfied => true,
            Gate::Waiting(_) => self.begins_early,
            Gate::Failed(_) => false,
        }
    }

    pub(super) fn is_satisfied(&self) -> bool {
        self.gate == Gate::Satisfied
    }

    /// How its tasks end, if they never begin.
    pub(super) fn failure(&self) -> Option<&Outcome> {
        match &self.gate {
            Gate::Failed(outcome) => Some(outcome),
            Gate::Satisfied | Gate::Waiting(_) => None,
        }
    }

    /// A parent has ended. Whether that is news and the job still waits for it; and if so, whether for no other.
    pub(super) fn strike_out(&mut self, parent: JobId) -> Option<bool> {
        match &mut self.gate {
            Gate::Waiting(left) => left.remove(&parent).then_some(left.is_empty()),
            Gate::Satisfied | Gate::Failed(_) => None,
        }
    }

    /// It will never begin, if it has not; the parents that it does not wait for any more.
    pub(super) fn fail(&mut self, outcome: Outcome) -> BTreeSet<JobId> {
        match &mut self.gate {
            Gate::Waiting(left) => {
                let left = core::mem::take(left);
                self.gate = Gate::Failed(outcome);
                left
            }
            Gate::Satisfied | Gate::Failed(_) => BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits_for(parents: &[u64]) -> Dependencies {
        let gate = Gate::Waiting(parents.iter().copied().map(JobId).collect());
        Dependencies { gate, ..Dependencies::default() }
    }

    #[test]
    fn each_parent_is_struck_out_once_and_the_last_one_is_told_apart() {
        let mut dependencies = waits_for(&[1, 2]);
        // parent, whether it is news and the last one
        for (parent, is_last) in [(1, Some(false)), (1, None), (3, None), (2, Some(true)), (2, None)] {
            assert_eq!(dependencies.strike_out(JobId(parent)), is_last, "parent {parent}");
        }
    }

    #[test]
    fn what_failed_stays_failed_and_says_which_parents_need_not_tell_it() {
        let mut dependencies = waits_for(&[1, 2]);
        assert_eq!(dependencies.fail(Outcome::Cancelled), BTreeSet::from([JobId(1), JobId(2)]));
        assert_eq!(dependencies.fail(Outcome::Done), BTreeSet::new());
        assert_eq!(dependencies.failure(), Some(&Outcome::Cancelled));
        assert_eq!(dependencies.strike_out(JobId(1)), None);
        let mut begun = Dependencies::default();
        assert!(begun.fail(Outcome::Cancelled).is_empty() && begun.is_satisfied(), "it has begun");
    }
}
