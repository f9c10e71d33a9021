//! Ending a run before its end: the flag that others raise, and the watch that the run itself keeps.
//!
//! A running guest looks at both at every epoch tick; a sleeping one waits on the flag. Nothing here stops a thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weft_core::Limit;

use crate::guest::End;

/// More than this between two looks at the watch is not the guest's running time: the process or its thread was
/// stopped in between.
const STEP_MAX: Duration = Duration::from_millis(250);

/// Ends a run, from any thread: the guest stops within about 10 ms, and its outcome is `Cancelled`.
/// Clones are the same flag; once raised it stays so.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    raised: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Stop {
    /// A flag that nobody raised yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run, or the ones that follow.
    pub fn stop(&self) {
        // Under the lock, so that a sleeper can't miss it between its look and its wait.
        let _guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.raised.store(true, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// Whether it was raised.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Returns after `longest`, or as soon as the flag is raised.
    fn wait(&self, longest: Duration) {
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.wake.wait_timeout_while(guard, longest, |()| !self.is_stopped());
        drop(waited);
    }
}

/// A run's own clock: how long it has been running, and whether it must end.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Stop,
    limit_ms: u32,
    ran: Duration,
    looked: Instant,
}

impl Watch {
    pub(crate) fn new(stop: Stop, limit_ms: u32, now: Instant) -> Self {
        Self { stop, limit_ms, ran: Duration::ZERO, looked: now }
    }

    /// Counts the time since the last look.
    ///
    /// # Errors
    /// When the run was stopped, or its time is up.
    pub(crate) fn look(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.ran += now.saturating_duration_since(self.looked).min(STEP_MAX);
        self.looked = now;
        if self.stop.is_stopped() {
            return Err(End::Cancelled);
        }
        if self.ran >= self.limit() {
            return Err(End::Limit(Limit::WallTime { limit_ms: self.limit_ms }));
        }
        Ok(())
    }

    /// Sleeps on the guest's behalf, which counts as running.
    ///
    /// # Errors
    /// As soon as the run is stopped or its time is up.
    pub(crate) fn sleep(&mut self, duration: Duration) -> Result<(), End> {
        let from = Instant::now();
        loop {
            self.look()?;
            let left = duration.saturating_sub(from.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            self.stop.wait(left.min(self.limit().saturating_sub(self.ran)).min(STEP_MAX / 2));
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(u64::from(self.limit_ms))
    }
}
