//! Known results on their way to this node's disk and back: what was computed here or came home outlives a restart, what
//! others told does not. The table itself ([`Memo`]) knows no disk; the engine calls both functions.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Entry, Memo, Seen, is_worth_it};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::TaskId;
use crate::remembered::Remembered;

/// Results of an earlier life, in the order in which they were kept. What no engine remembers is dropped.
pub(crate) fn restore(ctx: &mut Ctx<'_>, all: Vec<Remembered>) {
    for Remembered { task, report, worker } in all {
        if !report.is_sound() || !is_worth_it(&report) {
            ctx.counters.dropped += 1;
            continue;
        }
        let seen = if worker == ctx.me { Seen::Here } else { Seen::Home };
        ctx.memo.remember(ctx.counters, task, &report, (worker, seen));
        // It is on the disk; what is forgotten for want of room is not.
        ctx.memo.changed.remove(&task);
    }
}

/// Has what changed while the input was handled changed on the disk, too.
pub(crate) fn flush(ctx: &mut Ctx<'_>) {
    if ctx.memo.changed.is_empty() {
        return;
    }
    let changed: BTreeSet<TaskId> = core::mem::take(&mut ctx.memo.changed);
    let (mut known, mut gone) = (Vec::new(), Vec::new());
    for task in changed {
        match ctx.memo.lasting(task) {
            Some(Entry { report, worker, .. }) => {
                known.push(Remembered { task, report: Arc::clone(report), worker: *worker });
            }
            None => gone.push(task),
        }
    }
    ctx.emit(Effect::Remember { known, gone });
}

impl Memo {
    /// What is known of a task, if that outlives this life.
    fn lasting(&self, task: TaskId) -> Option<&Entry> {
        self.known.get(&task).filter(|entry| entry.seen != Seen::Told)
    }
}
