//! What is due when nothing happens: slots that make no progress give back, those that are late are killed, those that
//! are idle go. The timer rings for the first of it.

use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
use weft_core::{Limit, Outcome};

use super::child::{Assigned, Child, Ending, Phase};
use super::state::State;
use crate::slot::now_us;

/// A slot that made no progress for so long gives back what it has not started.
const PATIENCE: Duration = Duration::from_millis(5);
/// How much later than its limit a run may be answered by its own slot; then the slot is killed.
const GRACE: Duration = Duration::from_millis(50);
/// How much longer than that a slot may take that says its run began later than the node thinks.
const DOUBT: Duration = Duration::from_secs(1);
/// A slot without work lives so long, unless it is the one spare.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A process must be ready within this time.
pub(super) const START_MAX: Duration = Duration::from_secs(20);

impl State {
    /// Sets the timer to the next instant at which something is due.
    pub(super) fn set_timer(&mut self, now: Instant) {
        let due = self.children.values().filter_map(|child| self.due(child)).chain(self.retry_at).min();
        let Some(due) = due else { return };
        // One that rings too early costs one look.
        if self.armed.is_some_and(|armed| armed <= due && armed > now) {
            return;
        }
        self.ring_at(due, now);
    }

    /// Lets the timer ring at this instant.
    pub(super) fn ring_at(&mut self, due: Instant, now: Instant) {
        self.armed = Some(due);
        let wait = due.saturating_duration_since(now).max(Duration::from_micros(1));
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let when = Itimerspec { it_interval: never, it_value: wait };
        if let Err(error) = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &when) {
            tracing::error!(%error, "the slots' timer can't be set");
        }
    }

    /// The timer rang.
    pub(super) fn rang(&mut self) {
        self.armed = None;
        // Its count is of no interest, and an error only means that it was read before.
        let _rang = rustix::io::read(&self.timer, &mut [0_u8; 8]);
    }

    /// When something is to be done about this slot if nothing happens before.
    fn due(&self, child: &Child) -> Option<Instant> {
        match child.phase {
            Phase::Dying => None,
            Phase::Starting => Some(child.progress + START_MAX),
            Phase::Ready if child.held_since.is_some() => None,
            Phase::Ready => match child.tasks.front() {
                None => Some(child.progress + IDLE_MAX),
                Some(_) if child.tasks.len() > 1 && !child.stuck => Some(child.progress + PATIENCE),
                Some(first) => Some(latest_end(first, child)),
            },
        }
    }

    /// Does what is due.
    pub(super) fn look_at_clock(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .children
            .values()
            .filter(|child| self.due(child).is_some_and(|due| due <= now))
            .map(|child| child.id)
            .collect();
        for id in due {
            self.look_after(id, now);
        }
    }

    fn look_after(&mut self, id: u64, now: Instant) {
        let idle = self.children.values().filter(|child| child.is_idle()).count();
        let Some(child) = self.children.get_mut(&id) else { return };
        if child.phase == Phase::Starting {
            child.kill(Ending::Any(Outcome::Lost("the slot did not start in time".into())));
            return;
        }
        let Some(first) = child.tasks.front() else {
            if idle > 1 {
                child.kill(Ending::Any(Outcome::Lost("the slot was idle".into())));
            } else {
                child.progress = now;
            }
            return;
        };
        if now >= latest_end(first, child) {
            let limit_ms = first.waiting.work.program.limits.wall_ms;
            let outcome = Outcome::LimitExceeded(Limit::WallTime { limit_ms });
            child.kill(Ending::Any(outcome));
            return;
        }
        if child.tasks.len() > 1 && !child.stuck {
            child.stuck = true;
            match child.take_back() {
                Ok(back) => self.requeue(back),
                Err(error) => child.kill(Ending::Any(Outcome::Lost(format!("the slot: {error}")))),
            }
        } else {
            // The slot says that its run began later than was thought.
            child.stuck = true;
        }
    }
}

/// When the slot is killed because its run did not end at its limit.
fn latest_end(first: &Assigned, child: &Child) -> Instant {
    let limit = Duration::from_millis(u64::from(first.waiting.work.program.limits.wall_ms));
    // By the slot's own words its run may have begun later; no later than `DOUBT`.
    let began = child.page.started_us();
    let since = Duration::from_micros(now_us().saturating_sub(began));
    let said = Instant::now().checked_sub(since).unwrap_or(child.progress);
    let began = said.clamp(child.progress, child.progress + DOUBT);
    began + limit + GRACE
}
