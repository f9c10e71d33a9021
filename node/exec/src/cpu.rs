//! Processor time of the thread that asks, for receipts, without a system call for each small task. It knows no task:
//! whoever asks twice has what was used in between.
//!
//! The system's own count costs a system call, and two of them were a tenth of a small task. The clock on the wall costs
//! none. Between two readings that are closer to each other than it takes to give the processor away and to get it
//! back, a thread has been running all the time; only beyond that is the system asked.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Readings that are less apart are taken to have had the processor in between. What this can be wrong by, for one
/// reading: a visit of another thread that was shorter than that.
const BRIDGE_MAX: Duration = Duration::from_micros(20);
/// After so long without it the system is asked in any case, so that nothing adds up.
const TRUST_MAX: Duration = Duration::from_micros(500);

/// What was known at the last reading.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    used: Duration,
    /// When the system was asked last.
    asked: Instant,
}

thread_local! {
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

/// Processor time that this thread has used; `now` is the present.
pub(crate) fn thread_used(now: Instant) -> Duration {
    let bridged = LAST.get().and_then(|last| {
        let step = now.saturating_duration_since(last.at);
        let trusted = now.saturating_duration_since(last.asked) < TRUST_MAX;
        (trusted && step < BRIDGE_MAX).then(|| Reading { at: now, used: last.used + step, ..last })
    });
    let reading = bridged.unwrap_or_else(|| Reading { at: now, used: asked(), asked: now });
    LAST.set(Some(reading));
    reading.used
}

/// Has the system be asked the next time: for a thread that waits, however shortly, between two runs. What it did not
/// use would else be missing from the next run that is measured.
pub(crate) fn forget() {
    LAST.set(None);
}

/// The system's own count.
fn asked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(secs.unwrap_or(0), nanos.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps the processor busy.
    fn spin(duration: Duration) {
        let from = Instant::now();
        while from.elapsed() < duration {}
    }

    #[test]
    fn what_is_far_apart_or_forgotten_is_the_systems_own_count() {
        for _ in 0..100 {
            spin(2 * BRIDGE_MAX);
            let before = asked();
            let used = thread_used(Instant::now());
            assert!(before <= used && used <= asked());
            // Soon after that, so that it would be bridged.
            let soon = Instant::now() + BRIDGE_MAX / 2;
            forget();
            let used = thread_used(soon);
            assert!(used <= asked(), "time that had not passed was counted");
        }
    }

    #[test]
    fn what_is_close_to_each_other_never_adds_up_to_more_than_it_is_trusted_for() {
        let until = Instant::now() + Duration::from_millis(50);
        let rounding = Duration::from_micros(5);
        while Instant::now() < until {
            let before = asked();
            let used = thread_used(Instant::now());
            assert!(before <= used + rounding, "{before:?} were used, it says {used:?}");
            assert!(used <= asked() + TRUST_MAX, "it says {used:?}");
        }
    }

    #[test]
    fn time_without_the_processor_does_not_count() {
        let (started, before) = (Instant::now(), thread_used(Instant::now()));
        let (tell, hear) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            spin(Duration::from_millis(100));
            tell.send(()).unwrap();
        });
        hear.recv().unwrap();
        let (took, used) = (started.elapsed(), thread_used(Instant::now()) - before);
        other.join().unwrap();
        assert!(used < took / 2, "{used:?} of {took:?}");
    }
}
