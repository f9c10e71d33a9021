//! Jobs that have ended: their figures alone, a bounded number of them. They are kept apart from those that have not,
//! so that a node to which one short job after another is submitted walks past none of them. Plain bookkeeping.
//!
//! A ring in which the newest takes the place of the oldest, and chains by name through it: to add one and to look for
//! one costs the same however many there are, which a tree of a thousand names in no order does not.

use alloc::vec::Vec;

use crate::durable::Level;
use crate::id::JobId;
use crate::snapshot::JobView;

/// Ended jobs whose figures are kept; beyond it the oldest is forgotten.
const ENDED_MAX: usize = 1000;
/// Bits of the number of chains: about as many as there are jobs.
const CHAIN_BITS: u32 = 10;
/// Behind the last of a chain.
const NOTHING: u16 = u16::MAX;

/// Ended jobs.
#[derive(Debug, Default)]
pub(super) struct History {
    /// In the order in which they ended, from `next` on and round.
    ring: Vec<Ended>,
    /// The place for the next one.
    next: usize,
    /// The newest of each chain; empty before the first.
    chains: Vec<u16>,
}

#[derive(Debug)]
struct Ended {
    /// Its place in the order of submissions.
    number: u64,
    succeeded: bool,
    /// It is here again, or its user wants it forgotten.
    gone: bool,
    view: JobView,
    /// The next older one of its chain.
    older: u16,
}

impl History {
    /// A job has ended, and will not be heard of again.
    pub(super) fn add(&mut self, number: u64, succeeded: bool, view: JobView) {
        if self.chains.is_empty() {
            self.chains = alloc::vec![NOTHING; 1 << CHAIN_BITS];
        }
        self.drop_oldest();
        let Ok(place) = u16::try_from(self.next) else { return };
        let Some(newest) = self.chains.get_mut(chain_of(view.job)) else { return };
        let ended = Ended { number, succeeded, gone: false, view, older: core::mem::replace(newest, place) };
        match self.ring.get_mut(self.next) {
            Some(oldest) => *oldest = ended,
            None => self.ring.push(ended),
        }
        self.next = (self.next + 1) % ENDED_MAX;
    }

    /// Unchains what has the place for the next one: the oldest of all is the last of its chain.
    fn drop_oldest(&mut self) {
        let Some(oldest) = self.ring.get(self.next) else { return };
        let Some(newest) = self.chains.get_mut(chain_of(oldest.view.job)) else { return };
        let mut place = usize::from(*newest);
        if place == self.next {
            *newest = NOTHING;
        }
        while let Some(ended) = self.ring.get_mut(place).filter(|_| place != self.next) {
            place = usize::from(ended.older);
            if place == self.next {
                ended.older = NOTHING;
            }
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
        self.find(job).is_some_and(|ended| ended.view.level >= Level::Disk)
    }

    /// Whether a job ended well; one that is not remembered counts as one that did not.
    pub(super) fn has_succeeded(&self, job: JobId) -> bool {
        self.find(job).is_some_and(|ended| ended.succeeded)
    }

    /// A job is not spoken of any more; its place is kept until it is the oldest.
    pub(super) fn forget(&mut self, job: JobId) {
        for ended in self.ring.iter_mut().filter(|ended| ended.view.job == job) {
            ended.gone = true;
        }
    }

    fn find(&self, job: JobId) -> Option<&Ended> {
        let mut place = *self.chains.get(chain_of(job))?;
        loop {
            let ended = self.ring.get(usize::from(place))?;
            if ended.view.job == job && !ended.gone {
                return Some(ended);
            }
            place = ended.older;
        }
    }

    /// All of them in no order, each with its place in the order of submissions.
    pub(super) fn views(&self) -> impl Iterator<Item = (u64, JobView)> + '_ {
        self.ring.iter().filter(|ended| !ended.gone).map(|ended| (ended.number, ended.view.clone()))
    }
}

/// Names are random or count up; the upper bits of a product with an odd constant spread either (Knuth 6.4).
fn chain_of(job: JobId) -> usize {
    usize::try_from(job.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - CHAIN_BITS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Class;
    use crate::snapshot::Regime;
    use alloc::collections::VecDeque;

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
        // Counting up, at random, and all in one chain: multiples of the constant's inverse.
        let names: [fn(u64) -> u64; 3] = [
            |number| number,
            |number| number.wrapping_mul(number) ^ (number << 40),
            |number| number.wrapping_mul(0xF1DE_83E1_9937_733D),
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
}
