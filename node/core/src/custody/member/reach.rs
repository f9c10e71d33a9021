//! How far the epochs of a job can have got, so that no node uses them up by naming one that no other could go beyond. Pure
//! arithmetic.
//!
//! Each round gives every member one epoch, and a member that hears nothing begins a round every two seconds at most. So the
//! three of them together begin fewer than two a second, and a member that was away for long is within reach after all. A node
//! that names the greatest epochs which are taken needs years for all 1,431,655,765 rounds.

use crate::custody::trio::SEATS;
use crate::time::Time;

/// Rounds by which others may be ahead of a member when it begins, because it was away; more are refused at first. Three members
/// that seal without a pause need eight days for them.
const AHEAD_ROUNDS_MAX: u64 = 1 << 20;
/// Rounds that others may begin in each second from then on: ten times as many as they do without a pause.
const SECOND_ROUNDS_MAX: u64 = 16;

/// The epochs that a member believes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reach {
    since: Time,
    from: u32,
}

impl Reach {
    /// Of a member that begins now, with this epoch.
    pub(super) fn new(from: u32, since: Time) -> Self {
        Self { since, from }
    }

    /// Whether another member can have got to an epoch by now.
    pub(super) fn has(&self, epoch: u32, now: Time) -> bool {
        let seconds = now.since_us(self.since) / 1_000_000;
        let rounds = seconds.saturating_mul(SECOND_ROUNDS_MAX).saturating_add(AHEAD_ROUNDS_MAX);
        u64::from(epoch.saturating_sub(self.from)) <= rounds.saturating_mul(u64::from(SEATS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u64 = 86_400;

    fn after_s(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    #[test]
    fn what_members_get_to_is_within_reach_and_the_last_epochs_are_not_for_years() {
        let reach = Reach::new(3, Time::ZERO);
        let epoch_of = |rounds: u64| u32::try_from(3 + rounds * 3).unwrap();
        assert!(reach.has(epoch_of(DAY_S * 8 * 3 / 2), Time::ZERO), "it was away for eight days");
        assert!(!reach.has(epoch_of(AHEAD_ROUNDS_MAX) + 1, Time::ZERO));
        for days in [1, 10, 100] {
            assert!(reach.has(epoch_of(days * DAY_S * 3 / 2), after_s(days * DAY_S)), "{days}");
        }
        assert!(!reach.has(u32::MAX, after_s(365 * DAY_S * 5 / 2)));
        assert!(reach.has(u32::MAX, Time(u64::MAX)) && reach.has(0, Time::ZERO));
    }
}
