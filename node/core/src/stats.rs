//! Measured task durations as moving averages in integers. Two times are kept: the service time of a task, which
//! decides how its job is dispatched, and the time from award to outcome, which decides which task is a straggler.
//! Plain data; owner, worker and the table of programs keep one for each thing that they measure.

/// Outcomes that must be known before any task counts as slow.
pub(crate) const SAMPLES_MIN: u32 = 4;
/// Outcomes that the averages cover.
const SAMPLES_AVERAGED: u32 = 32;
/// A task is slow when it is held this many mean deviations longer than the mean.
const DEVIATIONS: u64 = 4;
/// Below this time no task is slow, in microseconds: finding another worker costs a few round trips.
const SLOW_MIN_US: u64 = 50_000;
/// Measured durations of one job's tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RuntimeStats {
    /// Service time of a task.
    pub(crate) service: Average,
    /// Time from award to outcome.
    pub(crate) held: HeldTimes,
}

impl RuntimeStats {
    /// Statistics that start with a known service time, in microseconds; 0 if it is unknown.
    pub(crate) fn from(service_us: u32) -> Self {
        Self { service: Average::from(service_us), held: HeldTimes::default() }
    }
}

/// A moving average of service times, in microseconds. A sample has a weight of one eighth. A sample above four times
/// the average counts as four times the average, so that a job with a heavy tail still counts as short. A second
/// such sample in a row has a weight of one half, so that an estimate that is too low is corrected at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Average {
    us: u32,
    surprised: bool,
}

impl Average {
    /// An average that starts with a known value, in microseconds; 0 if none is known.
    pub(crate) fn from(us: u32) -> Self {
        Self { us, surprised: false }
    }

    /// The average, in microseconds; 0 before the first sample.
    pub(crate) fn us(self) -> u32 {
        self.us
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, sample_us: u64) {
        let sample = u32::try_from(sample_us.max(1)).unwrap_or(u32::MAX);
        let high = self.us.saturating_mul(4);
        let again = core::mem::replace(&mut self.surprised, self.us > 0 && sample > high);
        let new = match self.us {
            0 => sample,
            old if self.surprised && again => old / 2 + sample / 2,
            old => old - old / 8 + sample.min(high) / 8,
        };
        self.us = new.max(1);
    }
}

/// Times of a job's tasks from award to outcome: mean and mean deviation, as moving averages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeldTimes {
    samples: u32,
    mean_us: u64,
    dev_us: u64,
}

impl HeldTimes {
    pub(crate) fn add(&mut self, held_us: u64) {
        self.samples = self.samples.saturating_add(1);
        if self.samples == 1 {
            self.mean_us = held_us;
            return;
        }
        let weight = u64::from(self.samples.min(SAMPLES_AVERAGED));
        let off = held_us.abs_diff(self.mean_us);
        self.dev_us = self.dev_us - self.dev_us / weight + off / weight;
        self.mean_us = self.mean_us - self.mean_us / weight + held_us / weight;
    }

    /// Time from award after which a task is slow, in microseconds; `None` while too few samples are known.
    pub(crate) fn slow_after_us(&self) -> Option<u64> {
        let bound = self.mean_us.saturating_add(DEVIATIONS.saturating_mul(self.dev_us));
        (self.samples >= SAMPLES_MIN).then_some(bound.max(self.mean_us / 4 * 5).max(SLOW_MIN_US))
    }

    /// Whether a copy that starts in `start_us` is expected to end before a task that has been held for `held_us`.
    pub(crate) fn is_worth(&self, held_us: u64, start_us: u64) -> bool {
        held_us > start_us.saturating_add(self.mean_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_much_longer_task_is_an_exception_and_two_are_the_rule() {
        // average, samples, average
        let table: [(u32, &[u64], u32); 8] = [
            (0, &[0], 1),
            (0, &[9], 9),
            (8, &[16], 9),
            (80, &[8], 71),
            (80, &[1_000_000], 110),
            (80, &[1_000_000, 80, 1_000_000], 147),
            (80, &[1_000_000, 1_000_000], 500_055),
            (u32::MAX, &[u64::MAX], u32::MAX),
        ];
        for (old, samples, new) in table {
            let mut average = Average::from(old);
            samples.iter().for_each(|sample| average.add(*sample));
            assert_eq!(average.us(), new, "{old} {samples:?}");
        }
    }

    fn held(held_ms: &[u64]) -> HeldTimes {
        let mut times = HeldTimes::default();
        held_ms.iter().for_each(|ms| times.add(ms * 1000));
        times
    }

    #[test]
    fn a_task_is_slow_when_it_is_held_far_longer_than_others_were() {
        // held for, in ms -> slow after, in ms
        let table: [(&[u64], Option<u64>); 5] = [
            (&[], None),
            (&[1000, 1000, 1000], None),
            (&[1000, 1000, 1000, 1000], Some(1250)),
            (&[1, 1, 1, 1, 1], Some(50)),
            (&[1000, 3000, 1000, 3000, 1000, 3000, 1000, 3000], Some(6125)),
        ];
        for (held_ms, slow) in table {
            let found = held(held_ms).slow_after_us().map(|us| us / 1000);
            let near = |(one, other): (u64, u64)| one.abs_diff(other) <= other / 10;
            assert!(found.zip(slow).map_or(found == slow, near), "{held_ms:?}: {found:?}");
        }
    }

    #[test]
    fn a_copy_is_worth_it_when_it_is_expected_to_end_first() {
        let times = held(&[1000; 5]);
        // held for, the copy would start in (both in ms), worth it
        for (ms, start, worth) in [(1500, 0, true), (999, 0, false), (1500, 600, false), (9000, 600, true)] {
            assert_eq!(times.is_worth(ms * 1000, start * 1000), worth, "{ms} {start}");
        }
    }
}
