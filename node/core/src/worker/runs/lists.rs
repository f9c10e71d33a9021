//! Tasks that wait for a slot: the ready ones in order, the paused ones in order, and their ageing. A task gains one
//! priority class for each thirty seconds that it waits, so that a paused task, or one behind others, runs eventually
//! and is not paused for the same class again. [`crate::policy::order`] ages calls in the same way.

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
    /// Lists a task that entered its stage.
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

    /// Removes a task that leaves its stage. The time that it waited is kept: a task that gets a slot only for moments
    /// ages all the same.
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

    /// Takes a task that has waited for a class's time; it is to be raised.
    pub(super) fn next_aged(&mut self, now: Time) -> Option<RunId> {
        let (at, id) = *self.ageing.first()?;
        if at > now {
            return None;
        }
        self.ageing.pop_first();
        Some(id)
    }

    /// Raises a task by one class.
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

    /// The paused tasks, in order.
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
