//! Tasks that were thought short and are not: while one runs, its slot is no slot for short ones, and owners are told
//! so with the next word to them. What it learns ends with the task: the estimates are of what tasks took, not of how
//! long one has run so far. The run queue drives it, for every input.

use alloc::collections::VecDeque;

use crate::id::RunId;
use crate::time::Time;

/// Having run this many times as long as was thought, and this long at least, a task is no short one. The second keeps
/// a machine's own hiccups out of it; in microseconds.
const TIMES: u64 = 8;
const LEAST_US: u64 = 5000;
/// Tasks that are watched; beyond it the oldest counts as short until it ends.
const WATCHED_MAX: usize = 4096;

/// Tasks that were handed to the slots and may still prove long, in order.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    order: VecDeque<(Time, RunId)>,
    /// When a long task ended last: tasks that waited behind it did not run before.
    freed_at: Time,
}

impl Watchdog {
    /// A task that is thought to be short was handed to the slots.
    pub(super) fn push(&mut self, now: Time, id: RunId) {
        if self.order.len() >= WATCHED_MAX {
            self.order.pop_front();
        }
        self.order.push_back((now, id));
    }

    pub(super) fn on_long_ended(&mut self, now: Time) {
        self.freed_at = now;
    }

    /// The oldest watched task, and when it was handed over.
    pub(super) fn first(&self) -> Option<(Time, RunId)> {
        self.order.front().copied()
    }

    /// Stops watching the oldest: it ended, or proved long.
    pub(super) fn pop(&mut self) {
        self.order.pop_front();
    }

    /// Whether a task that was handed over then, and was thought to take this long, has proved long.
    pub(super) fn is_overlong(&self, now: Time, handed_at: Time, service_us: u32) -> bool {
        let ran_us = now.since_us(handed_at.max(self.freed_at));
        ran_us >= LEAST_US.max(TIMES * u64::from(service_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_overlong_by_what_was_thought_and_by_what_it_waited_behind() {
        let ms = |ms: u64| Time(ms * 1000);
        // long one ended, handed, now, thought to take (microseconds) -> overlong
        let table = [
            (0, 0, 4, 10, false),
            (0, 0, 5, 10, true),
            (0, 0, 5, 1000, false),
            (0, 0, 8, 1000, true),
            (0, 3, 8, 1000, false),
            (3, 0, 8, 1000, false),
            (3, 0, 11, 1000, true),
        ];
        for (freed, handed, now, service_us, overlong) in table {
            let mut watchdog = Watchdog::default();
            watchdog.on_long_ended(ms(freed));
            let is = watchdog.is_overlong(ms(now), ms(handed), service_us);
            assert_eq!(is, overlong, "{freed} {handed} {now} {service_us}");
        }
    }
}
