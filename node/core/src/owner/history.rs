//! Jobs that have ended: their figures alone, a bounded number of them. They are kept apart from those that have not,
//! so that a node to which one short job after another is submitted walks past none of them. Plain bookkeeping.
//!
//! A queue of them in the order in which they ended, and a map from a job's name to its place in it. The map's entries are
//! two numbers, so that adding a job moves little memory.

use alloc::collections::{BTreeMap, VecDeque};

use crate::durable::Level;
use crate::id::JobId;
use crate::snapshot::JobView;

/// Ended jobs whose figures are kept; beyond it the oldest is forgotten.
const ENDED_MAX: usize = 1000;

/// Ended jobs.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The oldest first; with those that are forgotten, until they are the oldest.
    queue: VecDeque<Ended>,
    /// Where each that is not forgotten is, counted from the first job that ever ended.
    places: BTreeMap<JobId, usize>,
    /// Jobs that have left the queue: the place of its first.
    dropped: usize,
}

#[derive(Debug)]
struct Ended {
    /// Its place in the order of submissions.
    number: u64,
    succeeded: bool,
    view: JobView,
}

impl History {
    /// A job has ended, and will not be heard of again.
    pub(super) fn add(&mut self, number: u64, succeeded: bool, view: JobView) {
        if self.queue.len() >= ENDED_MAX {
            self.drop_oldest();
        }
        self.places.insert(view.job, self.dropped + self.queue.len());
        self.queue.push_back(Ended { number, succeeded, view });
    }

    fn drop_oldest(&mut self) {
        if let Some(Ended { view, .. }) = self.queue.pop_front() {
            // A job of this name may have ended again since.
            if self.places.get(&view.job) == Some(&self.dropped) {
                self.places.remove(&view.job);
            }
            self.dropped += 1;
        }
    }

    /// How many tasks a job had, if it ended and was not forgotten.
    pub(super) fn tasks_of(&self, job: JobId) -> Option<u32> {
        self.find(job).map(|ended| ended.view.tasks)
    }

    /// The epoch in which a job ended.
    pub(super) fn epoch_of(&self, job: JobId) -> Option<u32> {
        self.find(job).map(|ended| ended.view.epoch)
    }

    /// Whether a job was a kept one.
    pub(super) fn was_kept(&self, job: JobId) -> bool {
        self.level_of(job) >= Level::Disk
    }

    /// What a job survives that has ended; memory if it is not remembered.
    pub(super) fn level_of(&self, job: JobId) -> Level {
        self.find(job).map_or(Level::Memory, |ended| ended.view.level)
    }

    /// Whether a job ended well; one that is not remembered counts as one that did not.
    pub(super) fn has_succeeded(&self, job: JobId) -> bool {
        self.find(job).is_some_and(|ended| ended.succeeded)
    }

    /// A job is here again, or its user wants it forgotten.
    pub(super) fn forget(&mut self, job: JobId) {
        self.places.remove(&job);
    }

    fn find(&self, job: JobId) -> Option<&Ended> {
        self.places.get(&job).and_then(|place| self.at(*place))
    }

    fn at(&self, place: usize) -> Option<&Ended> {
        self.queue.get(place.checked_sub(self.dropped)?)
    }

    /// All that are not forgotten, in no order, each with its place in the order of submissions.
    pub(super) fn views(&self) -> impl Iterator<Item = (u64, JobView)> + '_ {
        let all = self.places.values().filter_map(|place| self.at(*place));
        all.map(|ended| (ended.number, ended.view.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Class;
    use crate::snapshot::Regime;

    fn view(job: u64, tasks: u32) -> JobView {
        JobView {
            job: JobId(job),
            class: Class::Batch,
            open: false,
            tasks,
            queued: 0,
            delayed: 0,
            leased: 0,
            done: tasks,
            failed: 0,
            cancelled: 0,
            retried: 0,
            recalled: 0,
            service_us: 0,
            regime: Regime::LateBinding,
            given_up: false,
            held: 0,
            level: Level::Memory,
            epoch: 0,
        }
    }

    /// Whatever the names are, it is a queue of which the oldest is forgotten.
    #[test]
    fn the_oldest_is_forgotten_and_the_others_stay() {
        // Counting up, counting down, and at random.
        let names: [fn(u64) -> u64; 3] = [
            |number| number,
            |number| u64::MAX - number,
            |number| number.wrapping_mul(number) ^ (number << 40),
        ];
        for name in names {
            let (mut history, mut model): (History, VecDeque<(u64, u32)>) = Default::default();
            for number in 0..3 * ENDED_MAX as u64 {
                let tasks = u32::try_from(number % 77).unwrap_or(0);
                if history.tasks_of(JobId(name(number))).is_some() {
                    continue;
                }
                history.add(number, number % 3 == 0, view(name(number), tasks));
                model.push_back((name(number), tasks));
                if model.len() > ENDED_MAX {
                    let (gone, _) = model.pop_front().unwrap();
                    assert_eq!(history.tasks_of(JobId(gone)), None);
                    assert!(!history.has_succeeded(JobId(gone)));
                }
                for (kept, tasks) in
                    [model.front(), model.back(), model.get(model.len() / 2)].into_iter().flatten()
                {
                    assert_eq!(history.tasks_of(JobId(*kept)), Some(*tasks));
                }
            }
            assert_eq!((history.views().count(), model.len()), (ENDED_MAX, ENDED_MAX));
            assert!(model.iter().all(|(kept, tasks)| history.tasks_of(JobId(*kept)) == Some(*tasks)));
        }
    }
    #[test]
    fn a_job_that_ends_again_is_told_as_it_ended_last_until_that_is_the_oldest() {
        let mut history = History::default();
        history.add(0, false, view(7, 3));
        history.add(1, true, view(7, 4));
        assert_eq!((history.tasks_of(JobId(7)), history.has_succeeded(JobId(7))), (Some(4), true));
        assert_eq!(history.views().count(), 1);
        (2..=ENDED_MAX as u64).for_each(|number| history.add(number, true, view(1000 + number, 1)));
        assert_eq!(history.tasks_of(JobId(7)), Some(4), "its first end has left, not its second");
        history.add(5000, true, view(5000, 1));
        assert_eq!(history.tasks_of(JobId(7)), None);
    }

    #[test]
    fn a_job_that_is_forgotten_is_gone_at_once_and_may_end_again() {
        let mut history = History::default();
        history.add(0, true, view(7, 3));
        history.add(1, true, view(8, 2));
        history.forget(JobId(7));
        assert_eq!((history.tasks_of(JobId(7)), history.tasks_of(JobId(8))), (None, Some(2)));
        assert_eq!(history.views().map(|(number, _)| number).collect::<alloc::vec::Vec<_>>(), [1]);
        history.add(2, true, view(7, 5));
        assert_eq!(history.tasks_of(JobId(7)), Some(5));
    }
}
