//! Processor time of the calling thread, for receipts, without a system call for each small task. It knows no task: the
//! caller subtracts two readings.
//!
//! Reading the kernel's counter is a system call, and two of them cost a tenth of a small task. The wall clock needs
//! none. Between two readings that are closer than a context switch takes, the thread was running all the time; only
//! for longer intervals the kernel is asked.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// For readings that are less apart, the thread is taken to have run all the time. A reading can be wrong by a shorter
/// preemption.
const BRIDGE_MAX: Duration = Duration::from_micros(20);
/// After this time the kernel is asked in any case, so that errors don't add up.
const TRUST_MAX: Duration = Duration::from_micros(500);

/// The last reading.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    used: Duration,
    /// When the kernel was asked last.
    asked: Instant,
}

thread_local! {
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

/// Processor time used by this thread; `now` must be the current time.
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

/// Makes the next reading ask the kernel. For a thread that waits between two runs: waiting time must not count for the
/// next run.
pub(crate) fn forget() {
    LAST.set(None);
}

/// The kernel's counter.
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
