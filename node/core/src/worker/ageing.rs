//! What waits here ages: a held task that waited thirty seconds for a slot counts as one class higher from then on, so
//! that what was stopped for others, or stands behind them, goes on some day and is not stopped by them again.
//! [`crate::policy::order`] says the same of calls.

use core::cmp::Reverse;

use super::{Held, Stage, Worker};
use crate::id::RunId;
use crate::message::Class;
use crate::policy::order::AGE_US;
use crate::time::Time;

impl Worker {
    /// A held task waits for a slot from now on.
    pub(super) fn start_ageing(&mut self, run: RunId, now: Time) {
        let Some(held) = self.runs.get_mut(&run).filter(|held| held.class < Class::Realtime) else { return };
        let at = Time(now.0.saturating_add(held.age_left_us));
        held.ages_at = Some(at);
        self.ageing.insert((at, run));
    }

    /// It has one, or needs none any more. What it has waited counts: what gets a slot for a moment again and again,
    /// between others, ages all the same.
    pub(super) fn stop_ageing(&mut self, run: RunId, now: Time) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        if let Some(at) = held.ages_at.take() {
            held.age_left_us = at.since_us(now);
            self.ageing.remove(&(at, run));
        }
    }

    /// Who waited long enough counts as more urgent now.
    pub(super) fn age(&mut self, now: Time) {
        while let Some(&(at, run)) = self.ageing.first() {
            if at > now {
                return;
            }
            self.ageing.pop_first();
            self.raise(run);
            self.start_ageing(run, now);
        }
    }

    fn raise(&mut self, run: RunId) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        let (old, new) = (held.class, held.class.above());
        held.class = new;
        held.ages_at = None;
        held.age_left_us = AGE_US;
        let (width, long, work_us) = (held.width, held.long_slots(), held.slot_us());
        self.held_by.sub(old, width);
        self.held_by.add(new, width);
        self.long_by.sub(old, long);
        self.long_by.add(new, long);
        self.work_by.sub(old, work_us);
        self.work_by.add(new, work_us);
        match held.stage {
            Stage::Ready => {
                self.ready.remove(&(Reverse(old), held.ready_turn, run));
                self.ready.insert((Reverse(new), held.ready_turn, run));
            }
            Stage::Paused => {
                self.resting.remove(&(Reverse(old), run));
                self.resting.insert((Reverse(new), run));
            }
            Stage::Fetching(_) | Stage::Handed | Stage::TakenBack | Stage::Aborted { .. } => {}
        }
    }
}

impl Held {
    /// What it was thought to take of one slot's time, in microseconds.
    pub(super) fn slot_us(&self) -> u64 {
        u64::from(self.estimate_us) * u64::from(self.width)
    }

    /// Its slots, if it is a long one.
    pub(super) fn long_slots(&self) -> u32 {
        if self.long { self.width } else { 0 }
    }

    /// How much of a slot's time it has had, in microseconds.
    pub(super) fn took_us(&self, now: Time) -> u64 {
        let had = match self.stage {
            Stage::Fetching(_) | Stage::Ready => 0,
            Stage::Handed | Stage::TakenBack | Stage::Aborted { paused: false } => {
                now.since_us(self.handed_at)
            }
            Stage::Paused | Stage::Aborted { paused: true } => self.paused_at.since_us(self.handed_at),
        };
        self.ran_us.unwrap_or(had)
    }
}
