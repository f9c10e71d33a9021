//! What the outbox has to do with this node's disk: it has outcomes written that wait for long, and takes those of an earlier life.

use alloc::vec::Vec;

use super::outbox::{Outbox, Sealed};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{JobId, PeerId};
use crate::message::Delivery;
use crate::retained::Retained;

impl Outbox {
    /// Outcomes that have waited for their acknowledgement for a while are written, and those that were written and are not
    /// waited for any more go. `keepers` are the nodes that may lead a job.
    pub(super) fn retain(&mut self, ctx: &mut Ctx<'_>, keepers: impl Fn(JobId) -> Vec<PeerId>) {
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
    pub(super) fn restore(&mut self, ctx: &mut Ctx<'_>, all: Vec<Retained>) {
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
