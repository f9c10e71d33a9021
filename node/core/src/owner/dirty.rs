//! Jobs that an input touched, each once. A list that is kept: every input fills and empties it.

use alloc::vec::Vec;

use crate::id::JobId;

/// Jobs to be looked at.
#[derive(Debug, Default)]
pub(super) struct Dirty(Vec<JobId>);

impl Dirty {
    pub(super) fn insert(&mut self, job: JobId) {
        if self.0.last() != Some(&job) {
            self.0.push(job);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes them out, in the order of their names.
    pub(super) fn take(&mut self) -> Vec<JobId> {
        let mut all = core::mem::take(&mut self.0);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Gives the emptied list back, to be filled again.
    pub(super) fn give_back(&mut self, mut emptied: Vec<JobId>) {
        emptied.append(&mut self.0);
        self.0 = emptied;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_looked_at_once_in_order() {
        let mut dirty = Dirty::default();
        for job in [3, 3, 1, 3, 2] {
            dirty.insert(JobId(job));
        }
        let mut taken = dirty.take();
        assert_eq!(taken, [JobId(1), JobId(2), JobId(3)]);
        dirty.insert(JobId(9));
        taken.clear();
        dirty.give_back(taken);
        assert_eq!(dirty.take(), [JobId(9)]);
        assert!(dirty.is_empty());
    }
}
