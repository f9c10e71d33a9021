//! Ending or holding a run before its end: the flag that others raise, and the watch that the run itself keeps.
//!
//! A running guest looks at both at every epoch tick; a sleeping one waits on the flag. Nothing here stops a thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weft_core::Limit;

use crate::end::End;
use crate::sink::Sink;

/// More than this between two looks at the watch is not the guest's running time: the process or its thread was
/// stopped in between.
const STEP_MAX: Duration = Duration::from_millis(250);

/// Ends or holds a run, from any thread: the guest stops within about 10 ms, and when it was ended its outcome is
/// `Cancelled`. Clones are the same flag; once ended it stays so.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Default)]
struct Flag {
    raised: AtomicBool,
    holding: AtomicBool,
    /// For how long it was held, in microseconds, the hold that is under way not counted.
    held_us: AtomicU64,
    /// Who counts instead, for a run whose process is stopped as a whole.
    held_by: Option<Box<dyn Fn() -> Duration + Send + Sync>>,
    /// Where the run prints, for who ends its process and answers for it: output and errors.
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
    /// A flag that nobody raised yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag for a process that is stopped and continued as a whole; `held` says for how long, all in all.
    pub(crate) fn held_by(held: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(Flag { held_by: Some(Box::new(held)), ..Flag::default() }))
    }

    /// Ends the run, or the ones that follow.
    pub fn stop(&self) {
        // Under the lock, so that a sleeper can't miss it between its look and its wait.
        let _guard = self.lock();
        self.0.raised.store(true, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// Whether it was raised.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Holds the run where it is, at its next look, until [`Stop::resume`]. Its time does not count meanwhile.
    pub fn pause(&self) {
        let _guard = self.lock();
        self.0.holding.store(true, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// Lets a held run go on.
    pub fn resume(&self) {
        let _guard = self.lock();
        self.0.holding.store(false, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// For how long the run was held so far.
    pub(crate) fn held(&self) -> Duration {
        match &self.0.held_by {
            Some(held) => held(),
            None => Duration::from_micros(self.0.held_us.load(Ordering::Acquire)),
        }
    }

    /// Notes where a run prints, if it does: whoever ends its process answers for it.
    pub(crate) fn lend(&self, output: Option<&Sink>, errors: Option<&Sink>) {
        if self.0.held_by.is_some() {
            *self.sinks() = (output.cloned(), errors.cloned());
        }
    }

    /// What the last run printed, and nobody took: output and errors.
    pub(crate) fn printed(&self) -> (Vec<u8>, Vec<u8>) {
        let (output, errors) = &*self.sinks();
        let take = |sink: &Option<Sink>| sink.as_ref().map(Sink::take).unwrap_or_default();
        (take(output), take(errors))
    }

    fn sinks(&self) -> MutexGuard<'_, (Option<Sink>, Option<Sink>)> {
        self.0.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the run may go on, or is to end.
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

    /// Returns after `longest`, or as soon as somebody wants something of the run.
    fn wait(&self, longest: Duration) {
        let is_left_alone = |(): &mut ()| !self.is_stopped() && !self.0.holding.load(Ordering::Acquire);
        drop(self.0.wake.wait_timeout_while(self.lock(), longest, is_left_alone));
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run's own clock: how long it has been running, and whether it must end.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Stop,
    limit_ms: u32,
    ran: Duration,
    looked: Instant,
    /// For how long it had been held when it was looked at.
    held: Duration,
}

impl Watch {
    pub(crate) fn new(stop: Stop, limit_ms: u32, now: Instant) -> Self {
        let held = stop.held();
        Self { stop, limit_ms, ran: Duration::ZERO, looked: now, held }
    }

    /// Counts the time since the last look. Does not return while the run is held.
    ///
    /// # Errors
    /// When the run was stopped, or its time is up.
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
