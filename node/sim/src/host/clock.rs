//! A host's own clock, which may run faster or slower than the world's.

use weft_core::Time;

use super::{SECOND_PPM, SimHost};

impl SimHost {
    /// The time by the host's own clock, since its process started.
    pub(crate) fn local(&self, now: Time) -> Time {
        Time(scaled(now.since_us(self.born), SECOND_PPM + i64::from(self.spec.clock_ppm), SECOND_PPM))
    }

    /// When the engine wants to be woken, by the world's clock.
    pub(crate) fn next_wakeup(&self) -> Option<Time> {
        let (at, _) = self.engine.as_ref()?.next_wakeup()?;
        // Not too early: a time that is rounded down here is not due yet by the host's own clock.
        let after = scaled(at.0, SECOND_PPM, SECOND_PPM + i64::from(self.spec.clock_ppm)).saturating_add(1);
        let after = if self.spec.clock_ppm == 0 { at.0 } else { after };
        Some(Time(self.born.0.saturating_add(after)))
    }
}

/// `us` times `times`, divided by `by`, rounded down: a time by a clock of another rate.
fn scaled(us: u64, times: i64, by: i64) -> u64 {
    let (times, by) = (times.max(1).unsigned_abs(), by.max(1).unsigned_abs());
    u64::try_from(u128::from(us) * u128::from(times) / u128::from(by)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_woken_when_its_own_clock_says_so_and_not_before() {
        for clock_ppm in [0, 1, -1, 200, -200, 100_000, -100_000, 333_333] {
            let rate = SECOND_PPM + i64::from(clock_ppm);
            for at in [0, 1, 7, 999_999, 1_300_000, 86_400_000_000, u64::MAX / 2] {
                let after = scaled(at, SECOND_PPM, rate).saturating_add(1);
                let read = scaled(after, rate, SECOND_PPM);
                assert!(read >= at, "{clock_ppm} ppm: asked for {at}, woken at {read}");
                assert!(read <= at + 3, "{clock_ppm} ppm: asked for {at}, woken at {read}");
            }
        }
    }
}
