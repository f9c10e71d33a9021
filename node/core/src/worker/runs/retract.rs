//! Wrong estimates: a task runs much longer than expected. Its slots are not available to short tasks any more, and
//! tasks that wait behind it are retracted: returned to their owners, for a worker that is free.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::RunQueue;
use super::run::{Run, Stage};
use crate::ctx::Ctx;
use crate::id::{LeaseId, PeerId, RunId};
use crate::policy::window;
use crate::time::Time;
use crate::worker::runtimes::Runtimes;

/// An estimate is wrong when a task runs longer than this and much longer than estimated. In microseconds.
const STUCK_US: u64 = 1_000_000;

/// The retracted tasks.
#[derive(Debug, Default)]
pub(in crate::worker) struct Retracted {
    /// Leases to return, by owner.
    pub(in crate::worker) leases: BTreeMap<PeerId, Vec<LeaseId>>,
    /// Those of the tasks that were not in the slots, and are removed.
    pub(in crate::worker) ended: Vec<Run>,
}

/// Tasks that the slots have or wait for, oldest first.
#[derive(Debug, Default)]
struct Order {
    /// Those that run, and since when.
    running: Vec<(Time, RunId)>,
    /// Those that wait behind them, and the slots of all tasks before each.
    waiting: Vec<(RunId, u32)>,
}

impl RunQueue {
    /// Marks running tasks as long that take much longer than estimated. The slots start tasks in order, so the search
    /// ends at the first that may still be short. When all slots have long tasks, one that waits behind them may be
    /// marked, too: there is no slot for short tasks either way.
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

    /// Retracts the tasks that were accepted on a wrong estimate, if a running task proves it wrong.
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
            if before >= window::slots_to_offer_own(self.slots, service_us) {
                retracted.leases.entry(owner).or_default().push(lease);
                retracted.ended.extend(self.cancel(ctx, owner, lease).map(|run| *run));
            }
        }
        retracted
    }

    /// Takes the tasks out of the slots again that have not begun there: those that wait behind running ones, and those whose
    /// module is being compiled.
    pub(in crate::worker) fn recall(&mut self, ctx: &mut Ctx<'_>) {
        let Order { running, waiting } = self.in_order();
        let compiling = running.into_iter().map(|(_, id)| id).filter(|id| self.run(*id).compiling);
        let unbegun = waiting.into_iter().map(|(id, _)| id).chain(compiling);
        let handed: Vec<RunId> = unbegun.filter(|id| self.run(*id).stage == Stage::Handed).collect();
        handed.into_iter().for_each(|id| self.requeue_one(ctx, id));
    }

    /// Running and waiting tasks. The slots start tasks in order, so that the oldest are running.
    fn in_order(&self) -> Order {
        let mut order: Vec<(Time, RunId, u32)> = Vec::new();
        for (id, run) in &self.runs {
            match run.stage {
                Stage::Handed => order.push((run.handed_at, *id, run.slots)),
                Stage::Ready => order.push((Time(u64::MAX), *id, run.slots)),
                // A paused task says nothing about its estimate.
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

    /// Finds running tasks that take much longer than estimated, and corrects the estimates. True if there are any.
    /// Each is compared with the estimate as it was before, or the first would hide the others.
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
