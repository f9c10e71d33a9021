//! Preemption: a task of a lower class yields to one of a higher. It is paused if there is memory for that. Otherwise
//! it is stopped and returned to its owner, which starts it anew, here or elsewhere; so the task of the higher class
//! begins at once in both cases. (Kubernetes evicts in the same way; Slurm suspends, and leaves it to the administrator
//! to have enough memory.)
//!
//! The victim is of the lowest class, and of that the youngest: it has the most left to do, so that an older task,
//! which would end sooner, does not keep its memory longer.
//!
//! A task that began twice before is never stopped: it is paused, or waited for if there is no memory to pause it.
//! Otherwise a steady stream of tasks of a higher class would restart a long task for ever.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::RunQueue;
use super::run::Stage;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::RunId;
use crate::message::{Class, Message};
use crate::time::Time;
use crate::worker::runtimes::Runtimes;

/// A task that is thought to end within this is waited for: to pause and resume it takes as long. In microseconds.
const SHORT_US: u64 = 5000;

impl RunQueue {
    /// The task to pause for one of that class. If all candidates are thought to end soon, sets when to look again.
    pub(super) fn victim(&mut self, now: Time, stats: &Runtimes, class: Class) -> Option<RunId> {
        if self.paused() >= self.slots {
            return None;
        }
        let mut best: Option<(Class, Reverse<(Time, RunId)>)> = None;
        let mut preempt_at: Option<Time> = None;
        let lower = |run: &super::Run| run.stage == Stage::Handed && run.class < class;
        for (id, run) in self.runs.iter().filter(|(_, run)| lower(run)) {
            let service_us = u64::from(run.service_us(stats));
            let elapsed_us = now.since_us(run.handed_at);
            if (1..SHORT_US).contains(&service_us) && elapsed_us < SHORT_US {
                let at = Time(run.handed_at.0.saturating_add(SHORT_US));
                preempt_at = Some(preempt_at.map_or(at, |other| other.min(at)));
            } else {
                let candidate = (run.class, Reverse((run.handed_at, *id)));
                best = Some(best.map_or(candidate, |best| best.min(candidate)));
            }
        }
        if best.is_none() {
            self.preempt_at = preempt_at;
        }
        best.map(|(_, Reverse((_, id)))| id)
    }

    /// Takes tasks of a lower class out of the slots' own queue, where they went because all were thought to be short,
    /// once those that run prove long; here they are ordered by class again.
    pub(super) fn requeue(&mut self, ctx: &mut Ctx<'_>, class: Class) {
        let handed = self.runs.iter().filter(|(_, run)| run.stage == Stage::Handed);
        let mut order: Vec<(Time, RunId, Class)> =
            handed.map(|(id, run)| (run.handed_at, *id, run.class)).collect();
        order.sort_unstable();
        let lower = |(_, _, of): &&(Time, RunId, Class)| *of < class;
        // The slots start tasks in order, so that the oldest are running.
        let running = usize::try_from(self.slots).unwrap_or(usize::MAX).min(order.len());
        let (running, queued) = order.split_at(running);
        let oldest = running.iter().filter(lower).map(|(at, _, _)| at.0.saturating_add(SHORT_US)).min();
        if oldest.is_none_or(|at| at > ctx.now.0) {
            self.preempt_at = oldest.map(Time);
            return;
        }
        for (_, id, _) in queued.iter().filter(lower) {
            self.requeue_one(ctx, *id);
        }
    }

    pub(super) fn requeue_one(&mut self, ctx: &mut Ctx<'_>, id: RunId) {
        self.set_stage(ctx.now, id, Stage::Requeuing);
        ctx.emit(Effect::Abort(id));
    }

    /// Whether there is memory for a task of that class to begin in a free slot. If there is not, and a paused task of
    /// a lower class may be stopped, stops it; the task begins when that has left.
    pub(super) fn finds_memory(&mut self, ctx: &mut Ctx<'_>, class: Class, bytes: u64) -> bool {
        let memory = &self.in_slots.memory;
        // Running tasks alone always fit.
        let fits = memory.is_undivided() || memory.in_use(self.slots, None, Some(bytes)) <= self.memory_max();
        if !fits {
            self.stop_one(ctx, class, None);
        }
        fits
    }

    /// Pauses the victim for a task of that class. False if there is no memory for both: then the victim or a paused
    /// task is stopped instead, and the slot is free when that has left.
    pub(super) fn make_room(&mut self, ctx: &mut Ctx<'_>, victim: RunId, class: Class, bytes: u64) -> bool {
        // A task that is leaving frees memory first.
        if !self.stopping.is_empty() {
            return false;
        }
        let paused = Some(self.run(victim).memory_bytes());
        let fits = self.in_slots.memory.in_use(self.slots, paused, Some(bytes)) <= self.memory_max();
        if fits {
            self.pause(ctx, victim);
        } else {
            self.stop_one(ctx, class, Some(victim));
        }
        fits
    }

    /// Stops the lowest and youngest of the paused tasks and the victim, if it is of a lower class and may be stopped.
    /// One at a time: its memory is free when it has left the slots.
    fn stop_one(&mut self, ctx: &mut Ctx<'_>, class: Class, victim: Option<RunId>) {
        if !self.stopping.is_empty() {
            return;
        }
        let all = self.lists.all_paused().chain(victim).map(|id| (id, self.run(id)));
        let lower = all.filter(|(_, run)| run.class < class && run.may_be_stopped());
        let least = lower.map(|(id, run)| (run.class, Reverse(run.handed_at), id)).min();
        if let Some((_, _, id)) = least {
            self.stop(ctx, id);
        }
    }

    /// Aborts a task and returns it to its owner.
    fn stop(&mut self, ctx: &mut Ctx<'_>, id: RunId) {
        let (owner, lease) = (self.run(id).owner, self.run(id).lease);
        self.stopping.insert(id);
        self.abort(ctx, id);
        ctx.send(owner, Message::Stopped { leases: alloc::vec![lease] });
    }
}
