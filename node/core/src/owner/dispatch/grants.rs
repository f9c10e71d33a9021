//! From a worker that has a slot to a lease: the next attempt of a task, and the grants that say so in frames of bounded
//! length. All strategies issue leases here.

use alloc::vec::Vec;

use crate::effect::Event;
use crate::id::{LeaseId, PeerId};
use crate::message::{BATCH_MAX, Grant};
use crate::owner::agenda::Alarm;
use crate::owner::books::{OwnerCtx, cancel_at};
use crate::owner::holding;
use crate::owner::record::Record;
use crate::owner::task::{Attempt, TaskState};

/// Bytes of inputs in one frame beyond which a second one is begun.
const FRAME_BYTES: u64 = 256 * 1024;

/// Makes the next attempt of a task a lease of that worker, which has a slot for it.
pub(super) fn issue(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, worker: PeerId) -> Grant {
    let now = cx.ctx.now;
    record.job.last_award_at = now;
    if record.job.verifies() {
        take_back(cx, record, index, worker);
    }
    let OwnerCtx { ctx, books, .. } = cx;
    let name = record.name();
    let policy = record.job.spec.policy;
    let epoch = record.job.epoch;
    let task = record.job.live_task_mut(index);
    task.attempts += 1;
    let id = LeaseId { job: name, epoch, index, attempt: task.attempts };
    let lease = books.leases.issue(worker, id, now.plus_ms(ctx.mesh.lease_ms));
    if task.live.is_empty() {
        // Most tasks have one attempt.
        task.live.reserve_exact(1);
    }
    task.live.push(Attempt::new(lease, now));
    if task.first_at.is_none() {
        task.first_at = Some(now);
        if let Some(at) = task.gives_up_at(&policy) {
            books.agenda.set(at, Alarm::GiveUp(name, index));
        }
    }
    let grant = Grant { lease: id, input: task.input.clone() };
    if task.state() == TaskState::Queued {
        record.job.transition(index, TaskState::Leased);
    }
    ctx.counters.awards += 1;
    ctx.notify(Event::Leased { job: name, index, worker, attempt: id.attempt });
    holding::note_given(cx, record, index, worker);
    grant
}

/// A node has one vote: what it may still have of a task is taken back before it gets the task again.
fn take_back(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, worker: PeerId) {
    let task = record.job.live_task_mut(index);
    while let Some(place) = task.live.iter().position(|attempt| attempt.worker() == worker) {
        let attempt = task.live.swap_remove(place);
        cancel_at(cx.ctx, worker, &[attempt.lease.id()]);
        cx.books.leases.end(attempt.lease);
    }
}

/// Takes as many grants from the front as one frame may carry.
pub(super) fn cut_frame(grants: &mut Vec<Grant>) -> Vec<Grant> {
    let mut bytes = 0;
    let fits = |grant: &&Grant| {
        let fits = bytes < FRAME_BYTES;
        bytes += grant.input.inline_len();
        fits
    };
    let count = grants.iter().take(BATCH_MAX).take_while(fits).count();
    let rest = if count < grants.len() { grants.split_off(count) } else { Vec::new() };
    core::mem::replace(grants, rest)
}
