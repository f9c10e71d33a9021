//! Known results on their way to this node's disk and back: what was computed here or came home outlives a restart, what
//! others told does not. The table itself ([`Memo`](super::Memo)) knows no disk; the engine calls both functions.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Entry, Memo, Seen, is_worth_it};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{PeerId, TaskId};
use crate::task::Report;

/// A known result as the disk has it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Remembered {
    /// The task.
    pub task: TaskId,
    /// Its result.
    pub report: Report,
    /// The node that computed it.
    pub worker: PeerId,
}

/// The first byte of each.
const VERSION: u8 = 1;
/// Memory that decoding one may claim, in bytes.
const CLAIM_MAX: usize = 1 << 20;

impl Remembered {
    /// The result as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![VERSION];
        let config = bincode::config::standard();
        bytes.extend(bincode::encode_to_vec(self, config).expect("plain data always encodes"));
        bytes
    }

    /// The result of bytes from a disk; none if they are those of another version, malformed, or have a tail.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (_, rest) = bytes.split_first().filter(|(version, _)| **version == VERSION)?;
        let config = bincode::config::standard().with_limit::<CLAIM_MAX>();
        let (remembered, used) = bincode::decode_from_slice(rest, config).ok()?;
        (used == rest.len()).then_some(remembered)
    }
}

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
    let changed: BTreeSet<TaskId> = core::mem::take(&mut ctx.memo.changed);
    if changed.is_empty() {
        return;
    }
    let (mut known, mut gone) = (Vec::new(), Vec::new());
    for task in changed {
        match ctx.memo.lasting(task) {
            Some(Entry { report, worker, .. }) => {
                known.push(Remembered { task, report: Report::clone(report), worker: *worker });
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
