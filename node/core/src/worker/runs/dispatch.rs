//! Dispatch: ready tasks are handed to the slots by class. A task of a higher class pauses one of a lower; a paused
//! task resumes before any task of its own class or below begins.
//!
//! A multi-slot task begins when enough slots are free together. While one is in the slots, nothing waits in their own
//! queue, so that free slots stay free for the next.

use alloc::sync::Arc;

use super::RunQueue;
use super::run::Stage;
use crate::ctx::Ctx;
use crate::effect::{Effect, Work};
use crate::id::RunId;
use crate::message::Class;
use crate::policy::window;
use crate::time::Time;
use crate::worker::runtimes::Runtimes;

impl RunQueue {
    /// Hands ready tasks to the slots: one a slot, and for short tasks some ahead, since handing over costs more than
    /// they do.
    pub(in crate::worker) fn dispatch(&mut self, ctx: &mut Ctx<'_>, stats: &Runtimes) {
        self.preempt_at = None;
        loop {
            let next = self.lists.first_ready();
            let paused = self.lists.first_paused();
            if let Some((class, id)) = paused
                && next.is_none_or(|(wanted, _)| wanted <= class)
            {
                let slots = self.slots_of(id);
                if self.active_slots() + slots <= self.slots {
                    self.resume(ctx, id);
                    continue;
                }
                if slots > 1 {
                    // Single-slot tasks of its class would overtake it for ever.
                    return;
                }
            }
            let Some((class, id)) = next else { return };
            if self.make_way(ctx, stats, class, id) {
                self.hand(ctx, id);
            } else if let Some((_, paused)) = paused.filter(|(_, paused)| self.is_kept_from(id, *paused)) {
                self.resume(ctx, paused);
            } else {
                return;
            }
        }
    }

    /// Whether a task that has its slots waits for memory alone, and nothing is leaving: what is paused may not be
    /// stopped, and goes on if it has its slots, too. Otherwise each would wait for the other.
    fn is_kept_from(&self, next: RunId, paused: RunId) -> bool {
        let has_slots = |id| self.active_slots() + self.slots_of(id) <= self.slots;
        self.stopping.is_empty() && has_slots(next) && has_slots(paused)
    }

    /// Whether the next task may be handed over now; where it helps, another is paused or stopped for it.
    fn make_way(&mut self, ctx: &mut Ctx<'_>, stats: &Runtimes, class: Class, id: RunId) -> bool {
        let (slots, bytes) = (self.slots_of(id), self.run(id).memory_bytes());
        if self.active_slots() + slots <= self.slots {
            return self.finds_memory(ctx, class, bytes);
        }
        if self.active_below(class) == 0 {
            return self.may_queue(stats, class, id) && self.finds_memory(ctx, class, bytes);
        }
        if self.active_slots() > self.slots {
            self.requeue(ctx, class);
            return false;
        }
        // A task is paused only if that helps: enough slots must belong to tasks of a lower class.
        if self.in_slots.busy.at_least(class) + slots > self.slots {
            return false;
        }
        while self.active_slots() + slots > self.slots {
            // It never enters the slots' queue behind a lower class.
            let Some(victim) = self.victim(ctx.now, stats, class) else { return false };
            if !self.make_room(ctx, victim, class, bytes) {
                return false;
            }
        }
        self.finds_memory(ctx, class, bytes)
    }

    /// Whether a task may wait in the slots' own queue: a short one, while nothing there takes several slots, and
    /// nothing of its class or above is paused.
    fn may_queue(&self, stats: &Runtimes, class: Class, id: RunId) -> bool {
        let runs_multi_slot = self.active_slots() > self.handed() - self.paused();
        let first = self.paused_class().is_none_or(|paused| class > paused);
        let most = || window::slots_to_offer_own(self.slots, self.run(id).service_us(stats));
        self.slots_of(id) == 1 && !runs_multi_slot && first && self.active_slots() < most()
    }

    /// How many slots a held task takes.
    fn slots_of(&self, id: RunId) -> u32 {
        // Mostly no multi-slot task is here, and no look-up is needed.
        let all_single = self.held_slots() == self.len();
        if all_single { 1 } else { self.run(id).slots }
    }

    fn hand(&mut self, ctx: &mut Ctx<'_>, id: RunId) {
        self.set_stage(ctx.now, id, Stage::Handed);
        let run = self.runs.get_mut(&id).expect(super::HELD);
        run.handed_at = ctx.now;
        if !run.long {
            self.watchdog.push(ctx.now, id);
        }
        run.queue_us = ctx.now.since_us(run.awarded_at);
        let task = *run.task.get_or_insert_with(|| run.key.task_id(&run.input));
        let (program, input) = (Arc::clone(&run.program), run.input.clone());
        let work = Work { task, owner: run.owner, program, input, stream: run.terms.stream };
        ctx.emit(Effect::Execute { run: id, work });
    }

    pub(super) fn pause(&mut self, ctx: &mut Ctx<'_>, id: RunId) {
        self.set_stage(ctx.now, id, Stage::Paused);
        self.run_mut(id).paused_at = ctx.now;
        ctx.counters.preempted += 1;
        ctx.emit(Effect::Pause(id));
    }

    fn resume(&mut self, ctx: &mut Ctx<'_>, id: RunId) {
        self.set_stage(ctx.now, id, Stage::Handed);
        let run = self.run_mut(id);
        run.handed_at = Time(run.handed_at.0.saturating_add(ctx.now.since_us(run.paused_at)));
        ctx.emit(Effect::Resume(id));
    }
}
