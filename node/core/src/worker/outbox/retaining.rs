//! Outcomes on their way to this node's disk and back: an outcome of a kept job's task that its owner does not acknowledge soon is
//! written, and offered again in a later life. Nothing waits for it: what a crash takes before runs again. The outbox alone
//! drives it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Outbox, Sealed};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{JobId, LeaseId, PeerId};
use crate::message::Delivery;
use crate::retained::{Retained, RetainedKey};
use crate::task::Report;
use crate::time::Time;

/// How long an outcome waits for its acknowledgement before it is written, in milliseconds: most come sooner, and cost no write.
const WRITTEN_AFTER_MS: u64 = 50;
/// Outcomes of kept jobs that are written; beyond it they are in memory alone.
const RETAINED_MAX: usize = 4096;
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

impl Outbox {
    /// Outcomes that have waited for their acknowledgement for a while are written, and those that were written and are not
    /// waited for any more go. `keepers` are the nodes that may lead a job.
    pub(in crate::worker) fn retain(&mut self, ctx: &mut Ctx<'_>, keepers: impl Fn(JobId) -> Vec<PeerId>) {
        let mut outcomes = Vec::new();
        while let Some((owner, lease)) = self.retaining.pop_due(ctx.now) {
            let Self { kept, retaining, .. } = self;
            let entry = kept.get_mut(&(owner, lease)).filter(|entry| !entry.is_written);
            let Some(entry) = entry.filter(|entry| retaining.add(&entry.sealed.report)) else { continue };
            entry.is_written = true;
            let leaf = entry.sealed.leaf.filter(|_| entry.proof.is_none());
            let (delivery, since) = (entry.delivery(lease), entry.since);
            outcomes.push(Retained { owner, keepers: keepers(lease.job), delivery, leaf, since });
        }
        let gone = self.retaining.take_gone();
        if !outcomes.is_empty() || !gone.is_empty() {
            ctx.emit(Effect::Retain { outcomes, gone });
        }
    }

    /// Outcomes of an earlier life, which are offered again; what is too old, or can't have been written, goes.
    pub(in crate::worker) fn restore(&mut self, ctx: &mut Ctx<'_>, all: Vec<Retained>) {
        for retained in all {
            let (key, keeps_us) = (retained.key(), 1000 * ctx.mesh.keep_ms);
            let Retained { owner, keepers: _, delivery, leaf, since } = retained;
            let Delivery { lease, report, memo, proof } = delivery;
            let is_old = ctx.now.since_us(since) > keeps_us;
            let is_sound = report.is_sound() && lease.epoch > 0 && !self.contains(owner, lease);
            if is_old || !is_sound || !self.retaining.add(&report) {
                ctx.counters.dropped += 1;
                self.retaining.drop_old(key);
                continue;
            }
            self.put(ctx, owner, lease, Sealed { report, memo, leaf });
            let entry = self.kept.get_mut(&(owner, lease)).expect("it was put in just now");
            (entry.proof, entry.since, entry.is_written) = (proof, since, true);
        }
    }
}
