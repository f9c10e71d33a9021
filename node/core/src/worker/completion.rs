//! One task's begin and end: whether its result is known already, what the slots' answer means, how its outcome is
//! sealed, and what it streams while it runs. Functions of one task; [`super::holder`] measures and delivers.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::outbox::Sealed;
use super::runs::RunQueue;
use super::runs::run::{Accepted, Run, Stage};
use super::runtimes::Runtimes;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::RunId;
use crate::memo::Seen;
use crate::message::{Grant, Known, Message, PRINTED_BYTES_MAX, PRINTED_BYTES_MIN};
use crate::receipt::Receipt;
use crate::task::{INLINE_BYTES_MAX, Outcome, Recall, Report, Stream};
use crate::time::Time;

/// What becomes of a granted task.
#[derive(Debug)]
pub(super) enum Taken {
    /// This node computed it before; the outcome is ready.
    Answered(Sealed),
    /// It is to be run; its blobs are pinned in the store.
    Run(Box<Run>),
}

/// Answers a granted task from the memo, or makes a run of it.
pub(super) fn take(ctx: &mut Ctx<'_>, stats: &Runtimes, accepted: &Accepted, grant: Grant) -> Taken {
    let recalls = accepted.terms.memo != Recall::Off && accepted.program.is_pure() && !ctx.memo.is_empty();
    let task = recalls.then(|| accepted.key.task_id(&grant.input));
    let known = task.and_then(|task| ctx.memo.recall_own(task));
    if let Some(report) = known.as_ref().filter(|report| report.blobs().next().is_none()) {
        ctx.counters.answered += 1;
        return Taken::Answered(Sealed { report: report.clone(), memo: Some(ctx.me), leaf: None });
    }
    let measured_us = || stats.estimate_us(accepted.owner, grant.lease.job);
    let estimate_us = accepted.prefilled.unwrap_or_else(measured_us);
    let mut run = Box::new(Run::new(ctx.now, accepted, grant, estimate_us));
    (run.task, run.known) = (task, known);
    ctx.emit(Effect::Pin(run.program.module));
    ctx.pin(&run.program.files);
    ctx.pin(&run.input);
    Taken::Run(run)
}

/// What becomes of a run that the slots have answered.
#[derive(Debug)]
pub(super) enum Ended {
    /// It ran to its end.
    Done,
    /// It had not begun, and is ready again.
    Requeued,
    /// It was aborted; its answer is dropped.
    Dropped(Box<Run>),
    /// The slots do not have it: they answered before.
    Unknown,
}

/// What the slots' answer means for the run that they name.
pub(super) fn leave_slots(runs: &mut RunQueue, now: Time, id: RunId, outcome: &Outcome) -> Ended {
    match runs.get(id).map(Run::stage) {
        Some(Stage::Requeuing) if *outcome == Outcome::Cancelled => {
            runs.make_ready(now, id);
            Ended::Requeued
        }
        // A task may end before it can be paused, or taken out of the slots' queue.
        Some(Stage::Handed | Stage::Paused | Stage::Requeuing) => Ended::Done,
        Some(Stage::Aborted { .. }) => Ended::Dropped(runs.remove(now, id)),
        Some(Stage::Staging(_) | Stage::Ready) | None => Ended::Unknown,
    }
}

/// Whether a blob that the task needs may be what was lost.
pub(super) fn is_lost(report: &Report) -> bool {
    matches!(report.outcome, Outcome::Lost(_))
}

/// Whether the store had no room for what a task left.
pub(super) fn has_no_room(report: &Report) -> bool {
    matches!(report.outcome, Outcome::NoRoom(_))
}

/// Seals the outcome of a task that ran: cuts it to its bounds, adds it to the memo if the task is pure, and computes
/// the leaf to sign if its owner wants a receipt.
pub(super) fn seal(ctx: &mut Ctx<'_>, run: &Run, mut report: Report) -> Sealed {
    let task = run.task.expect("a task that was handed to the slots has a name");
    report.outcome.cut();
    report.usage.queue_us = report.usage.queue_us.saturating_add(run.queue_us);
    let report = Arc::new(report);
    if run.program.is_pure() && ctx.memo.remember(ctx.counters, task, &report, (ctx.me, Seen::Here)) {
        ctx.memo.tell(ctx.counters, Known { task, report: report.clone(), worker: ctx.me });
    }
    let signs = run.terms.receipts;
    let leaf = signs.then(|| Receipt::new(task, &run.program, &report, ctx.me).leaf());
    Sealed { report, memo: None, leaf }
}

/// What a running task printed, as the slots tell it.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) stream: Stream,
    /// How many bytes of that stream came before.
    pub(crate) offset: u64,
    pub(crate) bytes: Arc<[u8]>,
}

/// Sends its owner what a task printed, up to a bound; the outcome has all of it.
pub(super) fn stream(ctx: &mut Ctx<'_>, run: &mut Run, piece: Piece) {
    let Piece { stream, offset, bytes } = piece;
    let runs = matches!(run.stage(), Stage::Handed | Stage::Paused);
    if !runs || !run.terms.stream || bytes.is_empty() {
        return;
    }
    run.streamed_bytes += (bytes.len() as u64).max(PRINTED_BYTES_MIN);
    if bytes.len() > INLINE_BYTES_MAX || run.streamed_bytes > PRINTED_BYTES_MAX {
        ctx.counters.dropped += 1;
        return;
    }
    ctx.send(run.owner, Message::Printed { lease: run.lease, stream, offset, bytes });
}
