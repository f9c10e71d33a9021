//! Speculative copies: when no task of a job waits any more and some of its tasks take much longer than the others did,
//! each of those may run a second time elsewhere, and the one that ends first counts. Backup tasks as map-reduce has
//! them, begun when a copy is expected to end first (LATE), and few enough that a wrong guess costs a tenth at most.
//!
//! A task's own progress is unknown here, so its age is taken for it: what runs far longer than all others is expected
//! to run as long again. Paused tasks are not slow, and when this node slept no task is.
//!
//! What is held by peers that this node lost all at once is slow like anything else: it is left to them, and may have a
//! copy among those who are left once no other task waits. A half of a mesh so goes on with what it has, and releases
//! no more of what the other half may still do than a tenth of a job.

use alloc::vec::Vec;

use super::agenda::Alarm;
use super::books::OwnerCtx;
use super::record::Record;
use super::task::{Task, TaskState};
use crate::id::{LeaseId, PeerId};
use crate::reputation::Trust;
use crate::stats::SAMPLES_MIN;
use crate::time::Time;

/// A job's tasks are checked this often at most, and this often at least, in milliseconds.
const CHECK_MIN_MS: u64 = 20;
const CHECK_MAX_MS: u64 = 1000;
/// One copy for this many tasks of a job, rounded up to one.
const TASKS_PER_COPY: u32 = 10;

/// How many copies a job may have, by its number of tasks.
fn copies_max(tasks: u32) -> u32 {
    (tasks / TASKS_PER_COPY).max(1)
}

/// Whether stragglers of a job may be looked for now.
fn may_copy(record: &Record) -> bool {
    let Record { job, .. } = record;
    // Fewer tasks can't tell which of them is slow.
    let enough = job.open || job.total() > SAMPLES_MIN;
    let allowed = enough && job.spec.policy.backups && !job.verifies() && !job.ended;
    allowed && job.queue.is_empty() && job.counts.leased() > 0 && copies_left(record) > 0
}

fn copies_left(record: &Record) -> u32 {
    let Record { job, replicas, .. } = record;
    copies_max(job.total()).saturating_sub(replicas.copies).saturating_sub(replicas.count_wanted())
}

/// Where a copy may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyAt {
    pub(super) worker: PeerId,
    pub(super) trust: Trust,
    /// When it would start there, in microseconds from now.
    pub(super) start_us: u64,
}

/// Whether a copy of that task may go there: to another node, of full reputation, that is expected to end first.
pub(super) fn fits_copy(record: &Record, index: u32, at: CopyAt, now: Time) -> bool {
    let task = record.job.live_task(index);
    let elsewhere = task.live.iter().all(|attempt| attempt.worker() != at.worker);
    let held_us = task.due().map(|attempt| attempt.held_us(now)).max().unwrap_or(0);
    at.trust == Trust::Closed && elsewhere && record.job.stats.held.is_worth(held_us, at.start_us)
}

/// Has a job checked soon whose last tasks are leased.
pub(super) fn plan(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if record.replicas.speculate_at.is_none() && may_copy(record) {
        set(cx, record, cx.ctx.now.plus_ms(CHECK_MIN_MS));
    }
}

fn set(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, at: Time) {
    record.replicas.speculate_at = Some(at);
    cx.books.agenda.set(at, Alarm::Speculate(record.name()));
}

/// It is time to check a job for stragglers; `slept` says that this node did, so that every task seems to take long.
pub(super) fn on_check(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, slept: bool) {
    record.replicas.speculate_at = None;
    if may_copy(record) {
        let at = check(cx, record, slept);
        set(cx, record, at);
    }
}

/// Finds the stragglers of a job, the slowest first. When to check again: it costs as much as there are leases.
fn check(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, slept: bool) -> Time {
    let now = cx.ctx.now;
    let later = now.plus_ms(CHECK_MAX_MS);
    let slow_after_us = record.job.stats.held.slow_after_us().filter(|_| !slept);
    let Some(slow_us) = slow_after_us else { return later };
    let mut next = later;
    let mut slow: Vec<(u64, u32)> = Vec::new();
    for lease in cx.books.leases.of_job(record.name()) {
        let task = record.job.live_task(lease.index);
        if record.replicas.wants(lease.index) {
            continue;
        }
        match alone_for_us(task, lease, now).map(|held_us| (held_us, slow_us.checked_sub(held_us))) {
            Some((_, Some(left_us @ 1..))) => next = next.min(Time(now.0.saturating_add(left_us))),
            Some((held_us, Some(0) | None)) => slow.push((held_us, lease.index)),
            None => {}
        }
    }
    slow.sort_unstable_by(|one, other| other.cmp(one));
    slow.truncate(usize::try_from(copies_left(record)).unwrap_or(usize::MAX));
    if !slow.is_empty() {
        cx.touch(record.name());
    }
    slow.into_iter().for_each(|(_, index)| record.replicas.want(index));
    next.max(now.plus_ms(CHECK_MIN_MS))
}

/// How long the one attempt of a task has been held; `None` if there may be no copy of it.
fn alone_for_us(task: &Task, lease: LeaseId, now: Time) -> Option<u64> {
    let mut due = task.due();
    let only = due.next().filter(|_| due.next().is_none())?;
    let counts = task.state() == TaskState::Leased && !task.copied;
    let runs = only.number() == lease.attempt && !only.paused && only.fetching.is_none();
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
