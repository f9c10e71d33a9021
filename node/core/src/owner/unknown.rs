//! Jobs that workers name and of which this owner knows nothing: another node may lead them. This node may have lost its seat, or
//! its disk with all that was on it, before another one leads the job. What a worker has of such a job is neither acknowledged
//! nor cancelled at once, or the worker would delete what the next leader asks for. A job that is over is known to be, here or
//! where custody remembers it. Plain bookkeeping of names and times; the owner asks it.

use alloc::collections::{BTreeMap, VecDeque};

use crate::id::JobId;
use crate::time::Time;

/// How long a worker keeps what it has of such a job for another leader, from the first time that it names the job, in
/// milliseconds: the witness takes over 18 s after a leader was heard last, and tells the workers.
const LED_ELSEWHERE_MAX_MS: u64 = 20_000;
/// Such jobs that are remembered; those that were named first go, once that is long ago. What workers have of more is acknowledged
/// at once, and runs again if another node leads its job.
const UNKNOWN_MAX: usize = 4096;
/// A job is remembered for this long at least after it was named first, in milliseconds.
const REMEMBERED_MS: u64 = 60_000;

/// When each of them was named first, in this life.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    since: BTreeMap<JobId, Time>,
    /// The same, the newest last, and some that are known since.
    order: VecDeque<(Time, JobId)>,
}

impl Unknown {
    /// A worker names an attempt of a job that is not known here. Whether it may be another node's to take.
    pub(super) fn may_be_led_elsewhere(&mut self, now: Time, job: JobId) -> bool {
        if let Some(since) = self.since.get(&job) {
            return now < since.plus_ms(LED_ELSEWHERE_MAX_MS);
        }
        let has_room = self.make_room(now);
        if has_room {
            self.since.insert(job, now);
            self.order.push_back((now, job));
        }
        has_room
    }

    /// A job is known here from now on.
    pub(super) fn on_known(&mut self, job: JobId) {
        self.since.remove(&job);
    }

    /// Whether one more may be remembered. It costs a step or two, however many are.
    fn make_room(&mut self, now: Time) -> bool {
        let is_long_ago = |(since, _): &mut (Time, JobId)| now >= since.plus_ms(REMEMBERED_MS);
        if self.order.len() >= UNKNOWN_MAX
            && let Some((since, job)) = self.order.pop_front_if(is_long_ago)
            && self.since.get(&job) == Some(&since)
        {
            self.since.remove(&job);
        }
        self.order.len() < UNKNOWN_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Time {
        Time::ZERO.plus_ms(ms)
    }

    #[test]
    fn what_a_worker_has_waits_for_another_leader_for_a_while_from_when_it_is_named_first() {
        let mut unknown = Unknown::default();
        // milliseconds, whether it waits
        for (ms, waits) in [
            (1_000, true),
            (1_000 + LED_ELSEWHERE_MAX_MS - 1, true),
            (1_000 + LED_ELSEWHERE_MAX_MS, false),
            (1_000 + 2 * LED_ELSEWHERE_MAX_MS, false),
        ] {
            assert_eq!(unknown.may_be_led_elsewhere(at_ms(ms), JobId(7)), waits, "after {ms} ms");
        }
        unknown.on_known(JobId(7));
        assert!(unknown.may_be_led_elsewhere(at_ms(90_000), JobId(7)), "it is left again");
    }

    #[test]
    fn beyond_the_bound_nothing_waits_until_the_oldest_were_named_long_ago() {
        let mut unknown = Unknown::default();
        let most = UNKNOWN_MAX as u64;
        assert!((0..most).all(|job| unknown.may_be_led_elsewhere(at_ms(0), JobId(job))));
        assert!(!unknown.may_be_led_elsewhere(at_ms(1_000), JobId(most)));
        assert!(unknown.may_be_led_elsewhere(at_ms(1_000), JobId(0)), "those that are known wait on");
        // One that is left again keeps its new time, whatever is removed for the old one.
        unknown.on_known(JobId(0));
        assert!(!unknown.may_be_led_elsewhere(at_ms(2_000), JobId(0)), "its old place is taken still");
        assert!(unknown.may_be_led_elsewhere(at_ms(REMEMBERED_MS), JobId(most)));
        assert!(unknown.may_be_led_elsewhere(at_ms(REMEMBERED_MS), JobId(0)));
        assert_eq!((unknown.order.len(), unknown.since.len()), (UNKNOWN_MAX, UNKNOWN_MAX));
        assert!(unknown.since.contains_key(&JobId(0)) && !unknown.since.contains_key(&JobId(1)));
    }
}
