//! Timeouts of the pool of processes: a slot without progress loses the tasks that it has not started, one that exceeds
//! a time limit is killed, an idle one ends. The timer is set to the first of these.

use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
use weft_core::{Limit, Outcome};

use super::assignment::{Assignment, Ending};
use super::child::{Child, Phase};
use super::state::State;
use crate::os::now_us;

/// After this time without progress, the tasks that a slot has not started are retracted.
const PATIENCE: Duration = Duration::from_millis(5);
/// A run may be reported this much later than its time limit; then its slot is killed.
const GRACE: Duration = Duration::from_millis(50);
/// Longest time to load a task: a full input and files from a slow disk. Then the slot is killed; the task is not to
/// blame.
const LOAD_MAX: Duration = Duration::from_secs(60);
/// A slot without work ends after this time, unless it is the only idle one.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A process must be ready within this time.
pub(super) const START_MAX: Duration = Duration::from_secs(20);

impl State {
    /// Sets the timer to the next timeout.
    pub(super) fn set_timer(&mut self, now: Instant) {
        let due = self.children.values().filter_map(|child| due(child, now)).chain(self.retry_at).min();
        let Some(due) = due else { return };
        // A timer that is too early costs one check.
        if self.armed.is_some_and(|armed| armed <= due && armed > now) {
            return;
        }
        self.ring_at(due, now);
    }

    /// Sets the timer to this instant.
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

    /// The timer expired.
    pub(super) fn on_timer(&mut self) {
        self.armed = None;
        // The number of expirations is not needed; an error means that it was read before.
        let _rang = rustix::io::read(&self.timer, &mut [0_u8; 8]);
    }

    /// Handles all timeouts that are due.
    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .children
            .values()
            .filter(|child| due(child, now).is_some_and(|due| due <= now))
            .map(|child| child.id)
            .collect();
        for id in due {
            self.handle_timeout(id, now);
        }
    }

    fn handle_timeout(&mut self, id: u64, now: Instant) {
        let idle = self.children.values().filter(|child| child.is_idle()).count();
        let Some(child) = self.children.get_mut(&id) else { return };
        if child.phase == Phase::Starting {
            child.kill(Ending::Any(Outcome::Lost("the slot did not start in time".into())));
            return;
        }
        if child.tasks.is_empty() {
            if idle > 1 {
                child.kill(Ending::Any(Outcome::Lost("the slot was idle".into())));
            } else {
                child.progress = now;
            }
        } else if let Some(ending) = overdue(child, now) {
            child.kill(ending);
        } else if child.tasks.len() > 1 && !child.stuck {
            self.share(id, now);
        } else {
            child.stuck = true;
        }
    }

    /// Queues the tasks again that a slot has not started. A slot that is still loading keeps its first task, for which
    /// it loads.
    fn share(&mut self, id: u64, now: Instant) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let mut back = match child.retract() {
            Ok(back) => back,
            Err(error) => return child.kill(Ending::Any(Outcome::Lost(format!("the slot: {error}")))),
        };
        if child.tasks.is_empty() && !back.is_empty() {
            let (first, progress) = (back.remove(0), child.progress);
            let given = match self.programs.runnable(first.program) {
                Some(runnable) => child.assign(first, &runnable, now).map_err(|(first, _)| first),
                None => Err(first),
            };
            back.extend(given.err());
            // It continues to load.
            child.progress = progress;
            child.send(&self.epoll);
        }
        child.stuck = true;
        self.requeue(back);
    }
}

/// The next timeout of this slot.
fn due(child: &Child, now: Instant) -> Option<Instant> {
    match child.phase {
        Phase::Dying => None,
        Phase::Starting => Some(child.progress + START_MAX),
        Phase::Ready if child.held_since.is_some() => None,
        Phase::Ready if child.tasks.len() > 1 && !child.stuck => Some(child.progress + PATIENCE),
        Phase::Ready => match at_work(child) {
            None => Some(child.progress + IDLE_MAX),
            Some((task, Some(began))) => Some(latest_end(task, began)),
            // The slot does not report when loading ends.
            Some((_, None)) => Some((now + GRACE).min(child.progress + LOAD_MAX)),
        },
    }
}

/// The task that a slot is running as it claims, and since when; the first one if it has started none. Loading (reading
/// input and files, mapping code) does not count as running.
fn at_work(child: &Child) -> Option<(&Assignment, Option<Instant>)> {
    let running = child.running();
    let Some(task) = child.tasks.iter().find(|task| task.number == running) else {
        return child.tasks.front().map(|first| (first, None));
    };
    let began = child.page.began_us().map(|began| {
        let since = Duration::from_micros(now_us().saturating_sub(began));
        let said = Instant::now().checked_sub(since).unwrap_or(child.progress);
        said.clamp(child.progress, child.progress + LOAD_MAX)
    });
    Some((task, began))
}

/// When the slot is killed unless this task has ended.
fn latest_end(task: &Assignment, began: Instant) -> Instant {
    began + Duration::from_millis(u64::from(task.waiting.work.program.limits.wall_ms)) + GRACE
}

/// How a slot's task ends if its time is up.
fn overdue(child: &Child, now: Instant) -> Option<Ending> {
    let (task, began) = at_work(child)?;
    let outcome = match began {
        Some(began) if now >= latest_end(task, began) => {
            let limit_ms = task.waiting.work.program.limits.wall_ms;
            Outcome::LimitExceeded(Limit::WallTime { limit_ms })
        }
        None if now >= child.progress + LOAD_MAX => {
            Outcome::Lost(format!("the task was not loaded within {} s", LOAD_MAX.as_secs()))
        }
        Some(_) | None => return None,
    };
    Some(Ending::Run(task.number, outcome))
}
