//! Wrong guesses: what runs takes much longer than was thought. Its slot counts as none for short tasks, and what waits
//! behind it is retracted, for it is better off at a worker that is free.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::RunQueue;
use super::run::{Run, Stage};
use crate::ctx::Ctx;
use crate::id::{LeaseId, PeerId, RunId};
use crate::policy::window;
use crate::time::Time;
use crate::worker::runtimes::Runtimes;

/// Running longer than this, and much longer than was thought, says that the guess was wrong; in microseconds.
const STUCK_US: u64 = 1_000_000;

/// What was retracted.
#[derive(Debug, Default)]
pub(in crate::worker) struct Retracted {
    /// Its leases, to be returned to their owners.
    pub(in crate::worker) leases: BTreeMap<PeerId, Vec<LeaseId>>,
    /// Tasks of it that were not in the slots, and have ended here.
    pub(in crate::worker) ended: Vec<Run>,
}

/// Tasks that the slots have or wait for, oldest first.
#[derive(Debug, Default)]
struct Order {
    /// What runs, and since when.
    running: Vec<(Time, RunId)>,
    /// What waits behind it, and slots of what is before each.
    waiting: Vec<(RunId, u32)>,
}

impl RunQueue {
    /// Notes which of the tasks that run take much longer than was thought. Each is looked at once: the slots take
    /// tasks in order, so that what is behind the first that may still be short has not run longer. Where all slots
    /// have long ones, what waits behind them may be taken for one too: there is no slot for short ones either way.
    pub(in crate::worker) fn notice_overlong(&mut self, now: Time, stats: &Runtimes) {
        while let Some((at, id)) = self.watchdog.first() {
            let same = |run: &&Run| run.stage == Stage::Handed && run.handed_at == at && !run.long;
            let service_us = self.get(id).filter(same).map_or(0, |run| run.service_us(stats));
            if window::is_short(service_us, 0) {
                if !self.watchdog.is_overlong(now, at, service_us) {
                    return;
                }
                self.mark_long(id);
            }
            self.watchdog.pop();
        }
    }

    /// Retracts what was taken on a wrong guess, if what runs takes much longer than was thought.
    pub(in crate::worker) fn retract(&mut self, ctx: &mut Ctx<'_>, stats: &mut Runtimes) -> Retracted {
        let mut retracted = Retracted::default();
        let Order { running, waiting } = self.in_order();
        if !self.find_long(ctx.now, stats, &running) {
            return retracted;
        }
        for (id, before) in waiting {
            let run = self.run(id);
            let (owner, lease) = (run.owner, run.lease);
            let service_us = stats.estimate_us(owner, lease.job);
            if before >= window::slots_to_offer(self.slots, service_us, 0) {
                retracted.leases.entry(owner).or_default().push(lease);
                retracted.ended.extend(self.cancel(ctx, owner, lease).map(|run| *run));
            }
        }
        retracted
    }

    /// What runs and what waits behind it. The slots take tasks in order, so the oldest are those that run.
    fn in_order(&self) -> Order {
        let mut order: Vec<(Time, RunId, u32)> = Vec::new();
        for (id, run) in &self.runs {
            match run.stage {
                Stage::Handed => order.push((run.handed_at, *id, run.slots)),
                Stage::Ready => order.push((Time(u64::MAX), *id, run.slots)),
                // What is paused runs no longer, and what it was thought to take is not to blame.
                Stage::Staging(_) | Stage::Paused | Stage::Requeuing | Stage::Aborted { .. } => {}
            }
        }
        order.sort_unstable();
        let (mut parts, mut before) = (Order::default(), 0);
        for (since, id, slots) in order {
            if before < self.slots {
                parts.running.push((since, id));
            } else {
                parts.waiting.push((id, before));
            }
            before += slots;
        }
        parts
    }

    /// Of those that run, finds what takes much longer than was thought, and learns from it; whether any does. Each is
    /// compared with what was thought before, or the first would excuse the others.
    fn find_long(&mut self, now: Time, stats: &mut Runtimes, running: &[(Time, RunId)]) -> bool {
        let mut found: Vec<(RunId, u64, u32)> = Vec::new();
        for (since, id) in running {
            let run = self.run(*id);
            let service_us = stats.estimate_us(run.owner, run.lease.job);
            let elapsed_us = now.since_us(*since);
            if elapsed_us >= STUCK_US && elapsed_us / 8 > u64::from(service_us) {
                found.push((*id, elapsed_us, service_us));
            }
        }
        for (id, elapsed_us, service_us) in &found {
            let run = self.run(*id);
            // How long it takes is not known yet; that it takes longer than was thought is. Where nothing was thought,
            // this much would count as all of it.
            if *service_us > 0 {
                stats.measure(run.owner, run.lease.job, *elapsed_us);
            }
            self.mark_long(*id);
        }
        !found.is_empty()
    }
}
