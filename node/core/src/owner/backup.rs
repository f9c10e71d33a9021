//! Backup copies: when nothing of a job waits any more and some of its tasks take much longer than the others did,
//! each of those may run a second time elsewhere, and whichever ends first counts. Backup tasks as map-reduce has them,
//! begun when a copy is expected to end first (LATE), and few enough that a wrong guess costs a tenth at most.
//!
//! A task's own progress is unknown here, so its age speaks for it: what runs far longer than all others is expected
//! to run as long again. Paused tasks are not slow, and when this node slept nobody is.
//!
//! What is held by peers that this node lost all at once is slow like anything else: it is left to them, and may have a
//! copy among those who are left once nothing else waits. A half of a mesh so goes on with what it has, and releases
//! no more of what the other half may still do than a tenth of a job.

use alloc::vec::Vec;

use super::Owner;
use super::job::{Job, State};
use super::open::StandingBid;
use crate::ctx::Ctx;
use crate::id::{JobId, LeaseId, PeerId};
use crate::standing::Trust;
use crate::stats::SAMPLES_MIN;
use crate::time::Time;

/// A job's tasks are looked at this often at most, and this often at least, in milliseconds.
const LOOK_MIN_MS: u64 = 20;
const LOOK_MAX_MS: u64 = 1000;
/// One copy for so many tasks of a job, rounded up to one.
const TASKS_PER_COPY: u32 = 10;

/// How many copies a job of so many tasks may have.
pub(super) fn copies_max(tasks: u32) -> u32 {
    (tasks / TASKS_PER_COPY).max(1)
}

impl Job {
    /// Whether slow tasks of it may be looked for now.
    fn may_copy(&self) -> bool {
        // Fewer tasks can't tell which of them is slow.
        let enough = self.open || self.total > SAMPLES_MIN;
        let allowed = enough && self.what.policy.backups && !self.verifies() && !self.ended;
        allowed && self.queue.is_empty() && self.counts.leased > 0 && self.copies_left() > 0
    }

    fn copies_left(&self) -> u32 {
        let sought = u32::try_from(self.extra.len()).unwrap_or(u32::MAX);
        copies_max(self.total).saturating_sub(self.counts.copies).saturating_sub(sought)
    }

    /// Whether a copy of that task may go to this bid: to another node, of good standing, that ends first.
    pub(super) fn fits_copy(
        &self,
        index: u32,
        bid: &StandingBid,
        trust: Trust,
        start_us: u64,
        now: Time,
    ) -> bool {
        let Some(task) = self.task(index) else { return false };
        let elsewhere = task.live.iter().all(|attempt| attempt.worker != bid.worker);
        let held_us = task.due().map(|attempt| attempt.held_us(now)).max().unwrap_or(0);
        trust == Trust::Full && elsewhere && self.stats.held.is_worth(held_us, start_us)
    }
}

impl Owner {
    /// Has a job looked at soon whose last tasks are leased.
    pub(super) fn plan_look(&mut self, ctx: &Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if job.look_at.is_none() && job.may_copy() {
            let at = ctx.now.plus_ms(LOOK_MIN_MS);
            job.look_at = Some(at);
            self.looks.insert((at, name));
        }
    }

    /// Looks at the jobs whose time has come.
    pub(super) fn look(&mut self, ctx: &Ctx<'_>) {
        while let Some(&(at, name)) = self.looks.first() {
            if at > ctx.now {
                return;
            }
            self.looks.pop_first();
            let next = self.look_at_job(ctx, name);
            let Some(job) = self.jobs.get_mut(&name) else { continue };
            job.look_at = next;
            self.looks.extend(next.map(|at| (at, name)));
        }
    }

    /// Finds slow tasks of a job, the slowest first. When to look again, if ever: it costs as much as leases stand.
    fn look_at_job(&mut self, ctx: &Ctx<'_>, name: JobId) -> Option<Time> {
        let job = self.jobs.get_mut(&name).filter(|job| job.may_copy())?;
        let later = ctx.now.plus_ms(LOOK_MAX_MS);
        let Some(slow_us) = job.stats.held.slow_after_us() else { return Some(later) };
        if self.suspicion.slept(ctx.now) {
            return Some(later);
        }
        let mut next = later;
        let mut slow: Vec<(u64, u32)> = Vec::new();
        for (_, lease) in self.leases.iter().filter(|(_, lease)| lease.job == name) {
            let Some(held_us) = alone_for_us(job, *lease, ctx.now) else { continue };
            match slow_us.checked_sub(held_us) {
                Some(left_us @ 1..) => next = next.min(Time(ctx.now.0.saturating_add(left_us))),
                Some(0) | None => slow.push((held_us, lease.index)),
            }
        }
        slow.sort_unstable_by(|one, other| other.cmp(one));
        let most = usize::try_from(job.copies_left()).unwrap_or(usize::MAX);
        slow.truncate(most);
        if !slow.is_empty() {
            job.extra.extend(slow.into_iter().map(|(_, index)| index));
            self.dirty.insert(name);
        }
        Some(next.max(ctx.now.plus_ms(LOOK_MIN_MS)))
    }

    /// A copy ended before what it is a copy of: whoever has that is slow.
    pub(super) fn blame_slow(&mut self, ctx: &mut Ctx<'_>, slow: &[PeerId]) {
        ctx.counters.copies_won += u64::from(!slow.is_empty());
        for peer in slow {
            self.standings.blamed(*peer, ctx.now).on_slow(ctx.now);
        }
    }
}

/// How long the one attempt of a task has been held; `None` if there may be no copy of it.
fn alone_for_us(job: &Job, lease: LeaseId, now: Time) -> Option<u64> {
    let task = job.task(lease.index)?;
    let mut due = task.due();
    let only = due.next().filter(|_| due.next().is_none())?;
    let counts = task.state == State::Leased && !task.copied && !job.extra.contains(&lease.index);
    let runs = only.number == lease.attempt && !only.paused && only.fetching.is_none();
    (counts && runs).then(|| only.held_us(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_a_tenth_of_the_tasks() {
        for (tasks, most) in [(1, 1), (10, 1), (19, 1), (20, 2), (1000, 100), (u32::MAX, u32::MAX / 10)] {
            assert_eq!(copies_max(tasks), most);
        }
    }
}
