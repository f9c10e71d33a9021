//! Tasks that were thought short and are not: while one runs, its slot is no slot for short ones, and owners are told
//! so with the next word to them. What it learns ends with the task: the estimates are of what tasks took, not of how
//! long one has run so far. Driven by the worker, for every input.

use alloc::collections::VecDeque;

use super::{Stage, Worker};
use crate::id::RunId;
use crate::policy::window;
use crate::time::Time;

/// Having run so many times as long as was thought, and this long at least, a task is no short one. The second keeps
/// a machine's own hiccups out of it; in microseconds.
const TIMES: u64 = 8;
const LEAST_US: u64 = 5000;
/// Tasks that are watched; beyond it the oldest is not, and counts as short until it ends.
const WATCHED_MAX: usize = 4096;

/// What the slots were given, in order, as far as it may still prove long.
#[derive(Debug, Default)]
pub(super) struct Given {
    order: VecDeque<(Time, RunId)>,
    /// When a long one ended last: what had waited behind it did not run before.
    freed_at: Time,
}

impl Given {
    /// The slots were given a task that is thought short.
    pub(super) fn push(&mut self, now: Time, run: RunId) {
        if self.order.len() >= WATCHED_MAX {
            self.order.pop_front();
        }
        self.order.push_back((now, run));
    }

    pub(super) fn on_long_ended(&mut self, now: Time) {
        self.freed_at = now;
    }
}

impl Worker {
    /// Notes which of the tasks that run take much longer than was thought. Each is looked at once: the slots take
    /// tasks in order, so that what is behind the first that may still be short has not run longer. Where all slots
    /// have long ones, what waits behind them may be taken for one too: there is no slot for short ones either way.
    pub(super) fn notice_overlong(&mut self, now: Time) {
        while let Some((at, run)) = self.given.order.front().copied() {
            let held = self.runs.get(&run);
            let held = held.filter(|held| held.stage == Stage::Handed && held.handed_at == at && !held.long);
            let service_us = held.map_or(0, |held| self.service_us(held));
            if window::is_short(service_us, 0) {
                let ran_us = now.since_us(at.max(self.given.freed_at));
                if ran_us < LEAST_US.max(TIMES * u64::from(service_us)) {
                    return;
                }
                if let Some(held) = self.runs.get_mut(&run) {
                    held.long = true;
                    self.long_by.add(held.class, held.width);
                }
            }
            self.given.order.pop_front();
        }
    }
}
