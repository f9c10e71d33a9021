//! Stopping or pausing a run from outside ([`Stop`]), and the run's own clock and time limit ([`Watch`]).
//!
//! A running guest checks both at every epoch tick; a sleeping guest waits on the flag. Nothing here stops a thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weft_core::Limit;

use crate::end::End;
use crate::sink::Sink;

/// Time between two readings of the watch beyond this does not count as running: the process or its thread was stopped
/// meanwhile.
const STEP_MAX: Duration = Duration::from_millis(250);

/// Stops or pauses a run, from any thread: the guest reacts within about 10 ms. A stopped run ends as `Cancelled`.
/// Clones share the flag; a stopped flag stays stopped.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Default)]
struct Flag {
    raised: AtomicBool,
    holding: AtomicBool,
    /// Total time of the pauses that ended, in microseconds.
    held_us: AtomicU64,
    /// Gives the paused time instead, for a run whose process is stopped as a whole.
    held_by: Option<Box<dyn Fn() -> Duration + Send + Sync>>,
    /// The run's standard output and standard error, for the thread that ends its process and reports it.
    sinks: Mutex<(Option<Sink>, Option<Sink>)>,
    lock: Mutex<()>,
    wake: Condvar,
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flag")
            .field("raised", &self.raised)
            .field("holding", &self.holding)
            .finish_non_exhaustive()
    }
}

impl Stop {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag for a process that is stopped and continued as a whole; `held` gives the total time that it was stopped.
    pub(crate) fn held_by(held: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(Flag { held_by: Some(Box::new(held)), ..Flag::default() }))
    }

    /// Stops the run, and every later run with this flag.
    pub fn stop(&self) {
        // Under the lock, so that a sleeping run can't miss it between its check and its wait.
        let _guard = self.lock();
        self.0.raised.store(true, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Pauses the run at its next check until [`Stop::resume`]. Paused time does not count against its limit.
    pub fn pause(&self) {
        let _guard = self.lock();
        self.0.holding.store(true, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// Resumes a paused run.
    pub fn resume(&self) {
        let _guard = self.lock();
        self.0.holding.store(false, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// Total paused time so far.
    pub(crate) fn held(&self) -> Duration {
        match &self.0.held_by {
            Some(held) => held(),
            None => Duration::from_micros(self.0.held_us.load(Ordering::Acquire)),
        }
    }

    /// Records the run's output streams, for the thread that may have to report it after ending its process.
    pub(crate) fn lend(&self, output: Option<&Sink>, errors: Option<&Sink>) {
        if self.0.held_by.is_some() {
            *self.sinks() = (output.cloned(), errors.cloned());
        }
    }

    /// Takes what the last run printed and what was not taken yet: standard output and standard error.
    pub(crate) fn printed(&self) -> (Vec<u8>, Vec<u8>) {
        let (output, errors) = &*self.sinks();
        let take = |sink: &Option<Sink>| sink.as_ref().map(Sink::take).unwrap_or_default();
        (take(output), take(errors))
    }

    fn sinks(&self) -> MutexGuard<'_, (Option<Sink>, Option<Sink>)> {
        self.0.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the run may continue or must end.
    fn wait_while_held(&self) {
        if !self.0.holding.load(Ordering::Acquire) {
            return;
        }
        let from = Instant::now();
        let is_held = |(): &mut ()| self.0.holding.load(Ordering::Acquire) && !self.is_stopped();
        drop(self.0.wake.wait_while(self.lock(), is_held));
        let held = u64::try_from(from.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.held_us.fetch_add(held, Ordering::AcqRel);
    }

    /// Returns after `longest`, or as soon as the run is stopped or paused.
    fn wait(&self, longest: Duration) {
        let is_left_alone = |(): &mut ()| !self.is_stopped() && !self.0.holding.load(Ordering::Acquire);
        drop(self.0.wake.wait_timeout_while(self.lock(), longest, is_left_alone));
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run's clock: how long it ran, and whether it must end.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Stop,
    limit_ms: u32,
    ran: Duration,
    looked: Instant,
    /// Paused time at the last reading.
    held: Duration,
}

impl Watch {
    pub(crate) fn new(stop: Stop, limit_ms: u32, now: Instant) -> Self {
        let held = stop.held();
        Self { stop, limit_ms, ran: Duration::ZERO, looked: now, held }
    }

    /// Adds the time since the last reading. Does not return while the run is paused.
    ///
    /// # Errors
    /// When the run was stopped or reached its time limit.
    pub(crate) fn look(&mut self) -> Result<(), End> {
        self.stop.wait_while_held();
        let (now, held) = (Instant::now(), self.stop.held());
        let step = now.saturating_duration_since(self.looked).saturating_sub(held.saturating_sub(self.held));
        self.ran += step.min(STEP_MAX);
        (self.looked, self.held) = (now, held);
        if self.stop.is_stopped() {
            return Err(End::Cancelled);
        }
        if self.ran >= self.limit() {
            return Err(End::Limit(Limit::WallTime { limit_ms: self.limit_ms }));
        }
        Ok(())
    }

    /// Sleeps for the guest; sleeping counts as running.
    ///
    /// # Errors
    /// As soon as the run is stopped or reaches its time limit.
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
