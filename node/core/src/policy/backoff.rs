//! Exponential backoff with jitter: how long a failed task waits for its next attempt. Jitter keeps tasks that failed
//! together from being retried together. (Celery's `retry_backoff` and `retry_jitter`: 1, 2, 4, .. 600 s.)

use super::Backoff;

/// The wait after a task's failure number `failures` (from 1), in milliseconds. `chance` is uniformly random.
pub(crate) fn wait_ms(backoff: &Backoff, failures: u32, chance: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(31);
    let whole = (u64::from(backoff.first_ms) << doublings).min(u64::from(backoff.most_ms));
    let jitter = whole * u64::from(backoff.jitter_percent.min(100)) / 100;
    // The upper half of the random number, scaled to 0..=jitter.
    let less = ((chance >> 32) * (jitter + 1)) >> 32;
    whole - less
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        // first, most, failures -> wait
        let table = [
            (0, 0, 1, 0),
            (1000, 600_000, 1, 1000),
            (1000, 600_000, 2, 2000),
            (1000, 600_000, 10, 512_000),
            (1000, 600_000, 11, 600_000),
            (1000, 600_000, u32::MAX, 600_000),
            (u32::MAX, u32::MAX, 32, u64::from(u32::MAX)),
            (5000, 1000, 1, 1000), // the bound holds for the first wait, too
        ];
        for (first_ms, most_ms, failures, wait) in table {
            let backoff = Backoff { first_ms, most_ms, jitter_percent: 0 };
            assert_eq!(wait_ms(&backoff, failures, u64::MAX), wait, "{backoff:?} {failures}");
        }
    }

    #[test]
    fn chance_takes_its_share_and_no_more() {
        // jitter, chance -> wait of 1000
        let table = [
            (0, u64::MAX, 1000),
            (50, 0, 1000),
            (50, u64::MAX, 500),
            (50, u64::MAX / 2, 750),
            (100, 0, 1000),
            (100, u64::MAX, 0),
            (255, u64::MAX, 0),
        ];
        for (jitter_percent, chance, wait) in table {
            let backoff = Backoff { first_ms: 1000, most_ms: 1000, jitter_percent };
            assert_eq!(wait_ms(&backoff, 1, chance), wait, "{jitter_percent} {chance}");
        }
    }
}
