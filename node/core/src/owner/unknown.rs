//! Jobs that workers name and of which this owner knows nothing: another node may lead them. This node may have lost its seat, or
//! its disk with all that was on it, before another one leads the job. What a worker has of such a job is neither acknowledged
//! nor cancelled at once, or the worker would delete what the next leader asks for. A job that is over is known to be, here or
//! where custody remembers it. Plain bookkeeping of names and times; the owner asks it.

use alloc::collections::BTreeMap;

use crate::custody::trio::FIRST_EPOCH;
use crate::id::{JobId, LeaseId};
use crate::time::Time;

/// How long a worker keeps what it has of such a job for another leader, from the first time that it names the job, in
/// milliseconds: the witness takes over 18 s after a leader was heard last, and tells the workers.
const LED_ELSEWHERE_MAX_MS: u64 = 20_000;
/// Such jobs that are remembered; those of which nothing was heard for long go first. What workers have of more is acknowledged at
/// once, and runs again if another node leads its job.
const UNKNOWN_MAX: usize = 4096;
/// A job is named again within this time, if a worker has anything of it still, in milliseconds.
const NAMED_AGAIN_MS: u64 = 60_000;

/// When each of them was named first, in this life.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    since: BTreeMap<JobId, Time>,
}

impl Unknown {
    /// A worker names an attempt of a job that is not known here. Whether it may be another node's to take.
    pub(super) fn may_be_led_elsewhere(&mut self, now: Time, lease: LeaseId) -> bool {
        // No job at level mesh has an epoch below its first.
        if lease.epoch < FIRST_EPOCH {
            return false;
        }
        if !self.since.contains_key(&lease.job) && !self.make_room(now) {
            return false;
        }
        now < self.since.entry(lease.job).or_insert(now).plus_ms(LED_ELSEWHERE_MAX_MS)
    }

    /// A job is known here from now on.
    pub(super) fn on_known(&mut self, job: JobId) {
        self.since.remove(&job);
    }

    fn make_room(&mut self, now: Time) -> bool {
        if self.since.len() >= UNKNOWN_MAX {
            self.since.retain(|_, since| now < since.plus_ms(NAMED_AGAIN_MS));
        }
        self.since.len() < UNKNOWN_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(job: u64, epoch: u32) -> LeaseId {
        LeaseId { job: JobId(job), epoch, index: 0, attempt: 1 }
    }

    fn at_ms(ms: u64) -> Time {
        Time::ZERO.plus_ms(ms)
    }

    #[test]
    fn what_a_worker_has_waits_for_another_leader_for_a_while_from_when_it_is_named_first() {
        let mut unknown = Unknown::default();
        // milliseconds, epoch, whether it waits
        for (ms, epoch, waits) in [
            (0, FIRST_EPOCH - 1, false),
            (1_000, FIRST_EPOCH, true),
            (1_000 + LED_ELSEWHERE_MAX_MS - 1, FIRST_EPOCH + 1, true),
            (1_000 + LED_ELSEWHERE_MAX_MS, FIRST_EPOCH, false),
            (1_000 + 2 * LED_ELSEWHERE_MAX_MS, FIRST_EPOCH, false),
        ] {
            assert_eq!(unknown.may_be_led_elsewhere(at_ms(ms), lease(7, epoch)), waits, "after {ms} ms");
        }
        unknown.on_known(JobId(7));
        assert!(unknown.may_be_led_elsewhere(at_ms(90_000), lease(7, FIRST_EPOCH)), "it is left again");
    }

    #[test]
    fn beyond_the_bound_nothing_waits_until_the_oldest_have_not_been_named_for_long() {
        let mut unknown = Unknown::default();
        let mut waits = |ms, job| unknown.may_be_led_elsewhere(at_ms(ms), lease(job, FIRST_EPOCH));
        let most = UNKNOWN_MAX as u64;
        assert!((0..most).all(|job| waits(0, job)));
        assert!(!waits(1_000, most) && waits(1_000, 0), "those that are known wait on");
        assert!(waits(NAMED_AGAIN_MS, most));
        assert_eq!(unknown.since.len(), 1);
    }
}
