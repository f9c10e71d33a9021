//! What yields to a task of a higher class. It is paused where there is memory for that, and stopped for good and
//! retracted where there is none; its owner has it begin anew, here or elsewhere. So a task of a higher class begins at
//! once all the same. (Kubernetes evicts so; Slurm, which suspends, leaves it to the administrator to have memory
//! enough.)
//!
//! Of the tasks that may be paused it is the lowest class, and of that the youngest: it has the longest way to go, so
//! that an older one, which would end sooner, is not kept holding its memory. The same of those that may be stopped.
//!
//! What was begun twice before is not stopped: it is paused where there is memory for that, and waited for where there is
//! none. Otherwise a steady stream of tasks of a higher class would have a long one begin anew for ever.

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

/// A task that ends within this is waited for: to pause it and have it continued would take as long. Microseconds.
const SHORT_US: u64 = 5000;

impl RunQueue {
    /// Whom to pause for a task of that class; notes when to look again if those that run are thought to end soon.
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

    /// Tasks wait in the slots' own queue, before the one of that class that waits here: they were thought to be
    /// short. If those that run prove long, what has not begun comes back to be ordered by class.
    pub(super) fn requeue(&mut self, ctx: &mut Ctx<'_>, class: Class) {
        let handed = self.runs.iter().filter(|(_, run)| run.stage == Stage::Handed);
        let mut order: Vec<(Time, RunId, Class)> =
            handed.map(|(id, run)| (run.handed_at, *id, run.class)).collect();
        order.sort_unstable();
        let lower = |(_, _, of): &&(Time, RunId, Class)| *of < class;
        // The slots take tasks in order, so the oldest are those that run.
        let running = usize::try_from(self.slots).unwrap_or(usize::MAX).min(order.len());
        let (running, queued) = order.split_at(running);
        let oldest = running.iter().filter(lower).map(|(at, _, _)| at.0.saturating_add(SHORT_US)).min();
        if oldest.is_none_or(|at| at > ctx.now.0) {
            self.preempt_at = oldest.map(Time);
            return;
        }
        for (_, id, _) in queued.iter().filter(lower) {
            self.set_stage(ctx.now, *id, Stage::Requeuing);
            ctx.emit(Effect::Abort(*id));
        }
    }

    /// Whether a task of that class that may use that many bytes can begin now, a slot being free; where it helps, what
    /// is paused is stopped for it, and the task begins when that has left.
    pub(super) fn finds_memory(&mut self, ctx: &mut Ctx<'_>, class: Class, bytes: u64) -> bool {
        let memory = &self.in_slots.memory;
        // What runs alone always fits.
        let fits = memory.is_undivided() || memory.in_use(self.slots, None, Some(bytes)) <= self.memory_max();
        if !fits {
            self.stop_one(ctx, class, None);
        }
        fits
    }

    /// Pauses a task that runs for one of that class which may use that many bytes. False where there is no memory for
    /// it: then it, or what is paused and matters less, is stopped, and the place is free when that has left.
    pub(super) fn make_room(&mut self, ctx: &mut Ctx<'_>, victim: RunId, class: Class, bytes: u64) -> bool {
        // What is leaving makes room enough, as far as can be told.
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

    /// Stops for good what matters least of what is paused and of a task that would have to be, if it is of a lower
    /// class. One at a time: what it had is free when it has left the slots.
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

    /// Stops a task for good and retracts it.
    fn stop(&mut self, ctx: &mut Ctx<'_>, id: RunId) {
        let (owner, lease) = (self.run(id).owner, self.run(id).lease);
        self.stopping.insert(id);
        self.abort(ctx, id);
        ctx.send(owner, Message::Stopped { leases: alloc::vec![lease] });
    }
}
