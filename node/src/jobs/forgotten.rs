//! The jobs that were forgotten last, by their ids: so that who asks for one is told that it was here. Plain bookkeeping, driven by
//! the table.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use weft_core::JobId;

/// Forgotten jobs that are remembered; beyond it the longest forgotten are unknown.
const FORGOTTEN_MAX: usize = 10_000;

/// Jobs that were forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// When each was, in milliseconds since 1970, if that is known.
    at_ms: BTreeMap<JobId, Option<u64>>,
    /// The longest forgotten first.
    order: VecDeque<JobId>,
}

impl Forgotten {
    pub(super) fn note(&mut self, job: JobId, at_ms: Option<u64>) {
        if self.at_ms.insert(job, at_ms).is_some() {
            return;
        }
        self.order.push_back(job);
        if self.order.len() > FORGOTTEN_MAX
            && let Some(longest) = self.order.pop_front()
        {
            self.at_ms.remove(&longest);
        }
    }

    /// A job is here again.
    pub(super) fn take_back(&mut self, job: JobId) {
        if self.at_ms.remove(&job).is_some() {
            self.order.retain(|forgotten| *forgotten != job);
        }
    }

    /// The first of those with these ids, and when it was forgotten.
    pub(super) fn first_of(&self, ids: RangeInclusive<JobId>) -> Option<(JobId, Option<u64>)> {
        self.at_ms.range(ids).next().map(|(job, at_ms)| (*job, *at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_forgotten_is_unknown_beyond_the_bound_and_one_that_is_back_is_not_forgotten() {
        let mut forgotten = Forgotten::default();
        let of = |forgotten: &Forgotten, job: u64| forgotten.first_of(JobId(job)..=JobId(job));
        for job in 0..FORGOTTEN_MAX as u64 {
            forgotten.note(JobId(job), Some(job));
            forgotten.note(JobId(job), Some(job));
        }
        assert_eq!(of(&forgotten, 0), Some((JobId(0), Some(0))));
        forgotten.take_back(JobId(1));
        forgotten.note(JobId(u64::MAX), None);
        assert_eq!((of(&forgotten, 1), of(&forgotten, u64::MAX)), (None, Some((JobId(u64::MAX), None))));
        assert_eq!(of(&forgotten, 0), Some((JobId(0), Some(0))), "one that came back made room");
        forgotten.note(JobId(1), Some(9));
        assert_eq!((of(&forgotten, 0), of(&forgotten, 1)), (None, Some((JobId(1), Some(9)))));
    }
}
