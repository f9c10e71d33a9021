//! What is in the slots: tasks are handed over by class, a task of a higher class stops one of a lower, and what was
//! stopped goes on before anything of its own class or below begins.
//!
//! Of the tasks that may be stopped it is the lowest class, and of that the youngest: it has the longest way to go, so
//! that an older one, which would end sooner, is not kept holding its memory.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::outbox::Sealed;
use super::{Held, Stage, Worker, window};
use crate::ctx::Ctx;
use crate::effect::{Effect, Work};
use crate::id::RunId;
use crate::memo::Seen;
use crate::message::{Class, Known, Message, PRINTED_BYTES_MAX, PRINTED_BYTES_MIN};
use crate::receipt::Receipt;
use crate::task::{INLINE_BYTES_MAX, Outcome, Report, Stream};
use crate::time::Time;

/// A task that ends within this is waited for: to stop it and have it continued would take as long. Microseconds.
const SHORT_US: u64 = 5000;

/// What becomes of a run that left the slots.
enum Then {
    Bring,
    Again,
    Drop,
}

impl Worker {
    /// A task has everything that it needs.
    pub(super) fn make_ready(&mut self, now: Time, run: RunId) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        held.stage = Stage::Ready;
        held.ready_turn = self.next_ready;
        self.ready.insert((Reverse(held.class), self.next_ready, run));
        self.next_ready += 1;
        self.start_ageing(run, now);
    }

    /// Hands ready tasks to the slots: one a slot, and for short tasks some ahead, since handing over costs more than
    /// they do.
    pub(crate) fn dispatch(&mut self, ctx: &mut Ctx<'_>) {
        self.look_at = None;
        loop {
            let next = self.next_ready();
            let resting = self.resting.first().map(|(Reverse(class), run)| (*class, *run));
            if let Some((class, run)) = resting
                && next.is_none_or(|(wanted, _)| wanted <= class)
            {
                let width = self.width_of(run);
                if self.active_slots() + width <= self.slots {
                    self.resume(ctx, run);
                    continue;
                }
                if width > 1 {
                    // Narrow ones of its class would pass it for ever.
                    return;
                }
            }
            let Some((class, run)) = next else { return };
            if !self.make_way(ctx, class, run) {
                if let Some((_, rested)) = resting.filter(|(_, rested)| self.is_kept_from(run, *rested)) {
                    self.resume(ctx, rested);
                    continue;
                }
                return;
            }
            self.ready.pop_first();
            self.hand(ctx, run);
        }
    }

    /// Whether a task that has its slots waits for memory alone, and nothing is leaving: what is held may not be stopped,
    /// and goes on if it has its slots, too. Otherwise each would wait for the other.
    fn is_kept_from(&self, next: RunId, rested: RunId) -> bool {
        let has_slots = |run| self.active_slots() + self.width_of(run) <= self.slots;
        self.stopping.is_empty() && has_slots(next) && has_slots(rested)
    }

    fn next_ready(&mut self) -> Option<(Class, RunId)> {
        while let Some((Reverse(class), _, run)) = self.ready.first().copied() {
            if self.runs.get(&run).is_some_and(|held| held.stage == Stage::Ready) {
                return Some((class, run));
            }
            self.ready.pop_first();
        }
        None
    }

    /// Whether the next task may be handed over now; where it helps, another is stopped for it.
    fn make_way(&mut self, ctx: &mut Ctx<'_>, class: Class, run: RunId) -> bool {
        let (width, bytes) = (self.width_of(run), self.runs.get(&run).map_or(0, |held| held.memory_bytes()));
        if self.active_slots() + width <= self.slots {
            return self.finds_memory(ctx, class, bytes);
        }
        if self.busy_by.below(class) > 0 && self.active_slots() > self.slots {
            self.take_back(ctx, class);
            return false;
        }
        if self.busy_by.below(class) > 0 {
            // Nobody is stopped in vain: what does not yield must leave room enough.
            if self.busy_by.at_least(class) + width > self.slots {
                return false;
            }
            while self.active_slots() + width > self.slots {
                // Never ahead of a lower class: it would stand behind what it should stop.
                let Some(victim) = self.victim(ctx.now, class) else { return false };
                if !self.make_room(ctx, victim, (class, bytes)) {
                    return false;
                }
            }
            return self.finds_memory(ctx, class, bytes);
        }
        let rested = self.resting.first().is_none_or(|(Reverse(resting), _)| class > *resting);
        let service_us = self.runs.get(&run).map_or(0, |held| self.service_us(held));
        let narrow = width == 1 && !self.runs_wide();
        let ahead = narrow && rested && self.active_slots() < window::slots_to_hand(self.slots, service_us);
        ahead && self.finds_memory(ctx, class, bytes)
    }

    pub(super) fn service_us(&self, held: &Held) -> u32 {
        held.ahead.unwrap_or_else(|| self.services.estimate_us(held.owner, held.lease.job))
    }

    /// Whom to stop for a task of that class; notes when to look again if those who run are thought to end soon.
    fn victim(&mut self, now: Time, class: Class) -> Option<RunId> {
        if self.paused >= self.slots {
            return None;
        }
        let mut best: Option<(Class, Reverse<(Time, RunId)>)> = None;
        let mut look_at: Option<Time> = None;
        for (run, held) in &self.runs {
            if held.stage != Stage::Handed || held.class >= class {
                continue;
            }
            let service_us = u64::from(self.service_us(held));
            let elapsed_us = now.since_us(held.handed_at);
            if (1..SHORT_US).contains(&service_us) && elapsed_us < SHORT_US {
                let at = Time(held.handed_at.0.saturating_add(SHORT_US));
                look_at = Some(look_at.map_or(at, |other| other.min(at)));
                continue;
            }
            let candidate = (held.class, Reverse((held.handed_at, *run)));
            best = Some(best.map_or(candidate, |best| best.min(candidate)));
        }
        if best.is_none() {
            self.look_at = look_at;
        }
        best.map(|(_, Reverse((_, run)))| run)
    }

    /// Tasks stand in the slots' own queue, before the one of that class that waits here: they were thought to be
    /// short. If those that run prove long, what has not begun comes back to be ordered by class.
    fn take_back(&mut self, ctx: &mut Ctx<'_>, class: Class) {
        let handed = self.runs.iter().filter(|(_, held)| held.stage == Stage::Handed);
        let mut order: Vec<(Time, RunId, Class)> =
            handed.map(|(run, held)| (held.handed_at, *run, held.class)).collect();
        order.sort_unstable();
        let lower = |(_, _, of): &&(Time, RunId, Class)| *of < class;
        // The slots take tasks in order, so the oldest are those that run.
        let running = usize::try_from(self.slots).unwrap_or(usize::MAX).min(order.len());
        let (running, queued) = order.split_at(running);
        let oldest = running.iter().filter(lower).map(|(at, _, _)| at.0.saturating_add(SHORT_US)).min();
        if oldest.is_none_or(|at| at > ctx.now.0) {
            self.look_at = oldest.map(Time);
            return;
        }
        for (_, run, _) in queued.iter().filter(lower) {
            if let Some(held) = self.runs.get_mut(run) {
                held.stage = Stage::TakenBack;
                ctx.emit(Effect::Abort(*run));
            }
        }
    }

    pub(super) fn pause(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        held.stage = Stage::Paused;
        held.paused_at = ctx.now;
        self.memory.hold(held.memory_bytes());
        self.busy_by.sub(held.class, held.width);
        self.paused += 1;
        self.paused_slots += held.width;
        self.resting.insert((Reverse(held.class), run));
        ctx.counters.preempted += 1;
        ctx.emit(Effect::Pause(run));
        self.start_ageing(run, ctx.now);
    }

    fn resume(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        self.stop_ageing(run, ctx.now);
        let Some(held) = self.runs.get_mut(&run) else { return };
        held.stage = Stage::Handed;
        held.handed_at = Time(held.handed_at.0.saturating_add(ctx.now.since_us(held.paused_at)));
        self.memory.resume(held.memory_bytes());
        self.busy_by.add(held.class, held.width);
        self.paused -= 1;
        self.paused_slots -= held.width;
        self.resting.remove(&(Reverse(held.class), run));
        ctx.emit(Effect::Resume(run));
    }

    fn hand(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        self.stop_ageing(run, ctx.now);
        let Some(held) = self.runs.get_mut(&run) else { return };
        held.stage = Stage::Handed;
        held.handed_at = ctx.now;
        if !held.long {
            self.given.push(ctx.now, run);
        }
        held.queue_us = ctx.now.since_us(held.awarded_at);
        self.handed += 1;
        self.memory.enter(held.memory_bytes());
        self.busy_by.add(held.class, held.width);
        let task = *held.task.get_or_insert_with(|| held.key.task_id(&held.input));
        let (program, input) = (Arc::clone(&held.program), held.input.clone());
        let work = Work { task, owner: held.owner, program, input, stream: held.terms.stream };
        ctx.emit(Effect::Execute { run, work });
    }

    /// Stops what is in the slots for good; its answer is of no interest.
    pub(super) fn abort(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        self.stop_ageing(run, ctx.now);
        let Some(held) = self.runs.get_mut(&run) else { return };
        let paused = held.stage == Stage::Paused;
        held.stage = Stage::Aborted { paused };
        self.resting.remove(&(Reverse(held.class), run));
        ctx.emit(Effect::Abort(run));
    }

    pub(crate) fn on_ran(&mut self, ctx: &mut Ctx<'_>, run: RunId, report: Report) {
        let Some(held) = self.runs.get(&run) else { return };
        let (paused, then) = match held.stage {
            Stage::Handed => (false, Then::Bring),
            // It ended before it could be held.
            Stage::Paused => (true, Then::Bring),
            Stage::TakenBack if report.outcome == Outcome::Cancelled => (false, Then::Again),
            Stage::TakenBack => (false, Then::Bring),
            Stage::Aborted { paused } => (paused, Then::Drop),
            Stage::Fetching(_) | Stage::Ready => return,
        };
        self.handed -= 1;
        self.stopping.remove(&run);
        if paused {
            self.memory.leave_held(held.memory_bytes());
            self.paused -= 1;
            self.paused_slots -= held.width;
            self.resting.remove(&(Reverse(held.class), run));
        } else {
            self.memory.leave(held.memory_bytes());
            self.busy_by.sub(held.class, held.width);
        }
        match then {
            Then::Bring => {
                ctx.counters.executed += 1;
                self.bring(ctx, run, report);
            }
            Then::Again => self.make_ready(ctx.now, run),
            Then::Drop => drop(self.drop_run(ctx, run)),
        }
    }

    /// A task ran to its end: what it brought is measured, remembered, sealed, and on its way.
    fn bring(&mut self, ctx: &mut Ctx<'_>, run: RunId, mut report: Report) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        held.ran_us = Some(report.usage.wall_us);
        report.outcome.cut();
        report.usage.queue_us = report.usage.queue_us.saturating_add(held.queue_us);
        if let Outcome::NoRoom(text) = report.outcome {
            return self.finish_without_room(ctx, run, text);
        }
        if matches!(report.outcome, Outcome::Lost(_)) {
            // The module may be what was lost: the next task looks for it again.
            for need in held.needs() {
                self.present.remove(&need);
            }
        } else {
            ctx.programs.measure(held.key, report.usage.wall_us);
            match held.ahead {
                Some(_) => self.standings.measure(held.owner, report.usage.wall_us),
                None => self.services.measure(held.owner, held.lease.job, report.usage.wall_us),
            }
        }
        let Some(task) = held.task else { return };
        if held.program.is_pure() && ctx.memo.remember(ctx.counters, task, &report, (ctx.me, Seen::Here)) {
            ctx.memo.tell(ctx.counters, Known { task, report: report.clone(), worker: ctx.me });
        }
        let signs = held.terms.receipts;
        let leaf = signs.then(|| Receipt::new(task, &held.program, &report, ctx.me).leaf());
        self.finish(ctx, run, Sealed { report, memo: None, leaf });
    }

    /// A task prints while it runs: its owner is told, as far as the bound goes. The outcome has all of it.
    pub(crate) fn on_printed(
        &mut self,
        ctx: &mut Ctx<'_>,
        run: RunId,
        stream: Stream,
        offset: u64,
        bytes: Arc<[u8]>,
    ) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        let runs = matches!(held.stage, Stage::Handed | Stage::Paused);
        if !runs || !held.terms.stream || bytes.is_empty() {
            return;
        }
        held.printed += (bytes.len() as u64).max(PRINTED_BYTES_MIN);
        if bytes.len() > INLINE_BYTES_MAX || held.printed > PRINTED_BYTES_MAX {
            ctx.counters.dropped += 1;
            return;
        }
        let (owner, lease) = (held.owner, held.lease);
        ctx.send(owner, Message::Printed { lease, stream, offset, bytes });
    }
}
