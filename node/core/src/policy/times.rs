//! The instants of a job's policy, on its owner's clock. Messages carry the time left, never an instant.

use super::Policy;
use crate::time::Time;

/// Earliest start of its tasks.
pub(crate) fn starts_at(policy: &Policy, submitted_at: Time) -> Time {
    submitted_at.plus_ms(policy.not_before_ms)
}

/// When tasks that have not ended expire.
pub(crate) fn expires_at(policy: &Policy, submitted_at: Time) -> Option<Time> {
    policy.expires_ms.map(|ms| submitted_at.plus_ms(ms))
}

/// From when on no attempt of a task may start, by the start of its first one.
pub(crate) fn gives_up_at(policy: &Policy, first_at: Time) -> Option<Time> {
    policy.give_up_ms.map(|ms| first_at.plus_ms(ms))
}

/// Time left until the deadline, in milliseconds; `None` without one, and when the time left is shorter than the
/// service time of a task: a job that is late anyway still runs, but does not make others late.
pub(crate) fn deadline_left_ms(
    policy: &Policy,
    submitted_at: Time,
    now: Time,
    service_us: u32,
) -> Option<u32> {
    let due = submitted_at.plus_ms(policy.deadline_ms?);
    let left_us = due.since_us(now);
    let makes_it = left_us >= u64::from(service_us.max(1000));
    makes_it.then(|| u32::try_from(left_us / 1000).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn times_count_from_the_submission_and_are_never_before_it() {
        let at = Time(5 * SECOND);
        let policy = Policy {
            not_before_ms: 2000,
            expires_ms: Some(0),
            give_up_ms: Some(u64::MAX),
            ..Policy::DEFAULT
        };
        assert_eq!(starts_at(&policy, at), Time(7 * SECOND));
        assert_eq!(starts_at(&Policy::DEFAULT, at), at);
        assert_eq!(expires_at(&policy, at), Some(at));
        assert_eq!(expires_at(&Policy::DEFAULT, at), None);
        assert_eq!(gives_up_at(&policy, at), Some(Time(u64::MAX)), "no wrap-around");
        assert_eq!(gives_up_at(&Policy::DEFAULT, at), None);
    }

    #[test]
    fn a_deadline_counts_while_it_can_be_made() {
        // deadline_ms, now_s, service_us -> left_ms
        let table = [
            (None, 0, 0, None),
            (Some(10_000), 0, 0, Some(10_000)),
            (Some(10_000), 4, 6_000_000, Some(6000)),
            (Some(10_000), 4, 6_000_001, None),
            (Some(10_000), 10, 0, None),
            (Some(10_000), 99, 0, None),
            (Some(u64::MAX), 99, 0, Some(u32::MAX)),
        ];
        for (deadline_ms, now, service_us, left) in table {
            let policy = Policy { deadline_ms, ..Policy::DEFAULT };
            let got = deadline_left_ms(&policy, Time::ZERO, Time(now * SECOND), service_us);
            assert_eq!(got, left, "{deadline_ms:?} at {now} s");
        }
    }
}
