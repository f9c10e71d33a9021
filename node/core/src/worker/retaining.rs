//! Outcomes on their way to this node's disk and back: an outcome of a kept job's task that its owner does not acknowledge soon is
//! written, and offered again in a later life. Nothing waits for it: what a crash takes before runs again. Plain bookkeeping; the
//! outbox and `shelf.rs` drive it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::id::{LeaseId, PeerId};
use crate::policy::agreed::UNDELIVERED_PER_OWNER_MAX;
use crate::retained::RetainedKey;
use crate::task::Report;
use crate::time::Time;

/// How long an outcome waits for its acknowledgement before it is written, in milliseconds: most come sooner, and cost no write.
const WRITTEN_AFTER_MS: u64 = 50;
/// Outcomes of kept jobs that are written; beyond it they are in memory alone.
const RETAINED_MAX: usize = 8192;
const _: () =
    assert!(RETAINED_MAX >= 4 * UNDELIVERED_PER_OWNER_MAX, "one silent owner must not take all of it");
/// Bytes that they carry themselves; beyond it they are in memory alone.
const RETAINED_BYTES_MAX: u64 = 64 << 20;

/// What is on the disk, and what is to go there.
#[derive(Debug, Default)]
pub(super) struct Retaining {
    /// Outcomes that may have to be written, by when they ended.
    fresh: VecDeque<(Time, PeerId, LeaseId)>,
    /// What the disk is to forget.
    gone: Vec<RetainedKey>,
    outcomes: usize,
    bytes: u64,
}

impl Retaining {
    /// An attempt ended. Outcomes of jobs in memory, which have epoch 0, are of no use in a later life.
    pub(super) fn on_ended(&mut self, now: Time, owner: PeerId, lease: LeaseId) {
        if lease.epoch > 0 {
            self.fresh.push_back((now.plus_ms(WRITTEN_AFTER_MS), owner, lease));
        }
    }

    /// The next one that may have to be written now.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(PeerId, LeaseId)> {
        let (_, owner, lease) = self.fresh.pop_front_if(|(at, _, _)| *at <= now)?;
        Some((owner, lease))
    }

    /// Those at the front go that are not to be written any more.
    pub(super) fn prune(&mut self, is_over: impl Fn(PeerId, LeaseId) -> bool) {
        while self.fresh.front().is_some_and(|(_, owner, lease)| is_over(*owner, *lease)) {
            self.fresh.pop_front();
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.fresh.front().map(|(at, _, _)| *at)
    }

    /// Whether there is room for one more on the disk; then it counts as there.
    pub(super) fn add(&mut self, report: &Report) -> bool {
        let bytes = self.bytes.saturating_add(report.carried_len());
        let has_room = self.outcomes < RETAINED_MAX && bytes <= RETAINED_BYTES_MAX;
        if has_room {
            (self.outcomes, self.bytes) = (self.outcomes + 1, bytes);
        }
        has_room
    }

    /// One that is on the disk is to go.
    pub(super) fn remove(&mut self, owner: PeerId, lease: LeaseId, report: &Report) {
        self.outcomes -= 1;
        self.bytes -= report.carried_len();
        self.gone.push(RetainedKey { owner, lease });
    }

    /// One of an earlier life is of no use.
    pub(super) fn drop_old(&mut self, key: RetainedKey) {
        self.gone.push(key);
    }

    pub(super) fn take_gone(&mut self) -> Vec<RetainedKey> {
        core::mem::take(&mut self.gone)
    }
}
