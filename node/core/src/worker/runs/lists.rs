//! What waits for a slot: ready tasks in their order, paused ones in theirs, and when each counts as more urgent. A task
//! that waited thirty seconds for a slot counts as one class higher from then on, so that what was paused for others, or
//! waits behind them, goes on some day and is not paused by them again. [`crate::policy::order`] says the same of calls.

use alloc::collections::BTreeSet;
use core::cmp::Reverse;

use super::run::{Run, Stage};
use crate::id::RunId;
use crate::message::Class;
use crate::policy::order::AGE_US;
use crate::time::Time;

/// The lists; the run queue alone writes them.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// By class, then by when it was ready.
    ready: BTreeSet<(Reverse<Class>, u64, RunId)>,
    next_ready: u64,
    /// Highest class first, then oldest.
    paused: BTreeSet<(Reverse<Class>, RunId)>,
    /// By when it counts as one class higher.
    ageing: BTreeSet<(Time, RunId)>,
}

impl Lists {
    /// A task has come to its stage.
    pub(super) fn enter(&mut self, now: Time, id: RunId, run: &mut Run) {
        if run.stage == Stage::Ready {
            run.ready_turn = self.next_ready;
            self.next_ready += 1;
        }
        if run.stage.waits() {
            self.insert(id, run);
            self.start_ageing(now, id, run);
        }
    }

    /// A task leaves its stage. What it has waited counts: what gets a slot for a moment again and again, between
    /// others, ages all the same.
    pub(super) fn leave(&mut self, now: Time, id: RunId, run: &mut Run) {
        if !run.stage.waits() {
            return;
        }
        self.take(id, run);
        if let Some(at) = run.ages_at.take() {
            run.age_left_us = at.since_us(now);
            self.ageing.remove(&(at, id));
        }
    }

    /// A task that has aged by now; it is to be raised.
    pub(super) fn next_aged(&mut self, now: Time) -> Option<RunId> {
        let (at, id) = *self.ageing.first()?;
        if at > now {
            return None;
        }
        self.ageing.pop_first();
        Some(id)
    }

    /// A task that aged counts as one class higher.
    pub(super) fn raise(&mut self, now: Time, id: RunId, run: &mut Run) {
        debug_assert!(run.stage.waits(), "only what waits for a slot ages");
        self.take(id, run);
        run.class = run.class.above();
        run.ages_at = None;
        run.age_left_us = AGE_US;
        self.insert(id, run);
        self.start_ageing(now, id, run);
    }

    pub(super) fn first_ready(&self) -> Option<(Class, RunId)> {
        self.ready.first().map(|(Reverse(class), _, id)| (*class, *id))
    }

    pub(super) fn first_paused(&self) -> Option<(Class, RunId)> {
        self.paused.first().map(|(Reverse(class), id)| (*class, *id))
    }

    /// What is paused, in order.
    pub(super) fn all_paused(&self) -> impl Iterator<Item = RunId> + '_ {
        self.paused.iter().map(|(_, id)| *id)
    }

    pub(super) fn next_ageing(&self) -> Option<Time> {
        self.ageing.first().map(|(at, _)| *at)
    }

    fn start_ageing(&mut self, now: Time, id: RunId, run: &mut Run) {
        if run.class < Class::Realtime {
            let at = Time(now.0.saturating_add(run.age_left_us));
            run.ages_at = Some(at);
            self.ageing.insert((at, id));
        }
    }

    fn insert(&mut self, id: RunId, run: &Run) {
        if run.stage == Stage::Ready {
            self.ready.insert((Reverse(run.class), run.ready_turn, id));
        } else {
            self.paused.insert((Reverse(run.class), id));
        }
    }

    fn take(&mut self, id: RunId, run: &Run) {
        let was_there = if run.stage == Stage::Ready {
            self.ready.remove(&(Reverse(run.class), run.ready_turn, id))
        } else {
            self.paused.remove(&(Reverse(run.class), id))
        };
        debug_assert!(was_there, "what waits is on the list of its stage");
    }
}
