//! What a worker does for kept jobs whose owner restarted, or that another node leads by now: what has begun goes on, and who leads
//! the job is told what there is of it. What that node has no use for it cancels.

use alloc::vec::Vec;

use super::Worker;
use super::outbox::Sealed;
use crate::ctx::Ctx;
use crate::id::{JobId, LeaseId, PeerId};
use crate::message::{BATCH_MAX, Delivery, HeldLease, HeldState, Holding, Message};
use crate::retained::{Retained, RetainedKey};

impl Worker {
    /// A node leads these jobs, each in its epoch, and asks what is held of them from earlier ones. Answers for what it gave
    /// itself, and for what others gave if it may lead the job.
    pub(crate) fn on_ask_holding(&mut self, ctx: &mut Ctx<'_>, from: PeerId, asked: &[(JobId, u32)]) {
        for (job, epoch) in ctx.within_frame(asked) {
            let newest = LeaseId { job: *job, epoch: *epoch, index: 0, attempt: 0 };
            if self.epochs.is_old(from, newest) {
                continue;
            }
            if self.epochs.on_lead(from, *job, *epoch) {
                self.follow(ctx, from, newest);
            }
            self.leave_unbegun(ctx, from, newest);
            self.say_held(ctx, from, newest);
            self.outbox.resend_now(from, Some(*job), ctx.now);
        }
    }

    /// Another node leads a job, in the epoch of that lease: what has begun of it under older ones, and what has ended, is that
    /// node's from now on.
    pub(super) fn follow(&mut self, ctx: &mut Ctx<'_>, leader: PeerId, newest: LeaseId) {
        for keeper in self.epochs.keepers(newest.job) {
            self.leave_unbegun(ctx, keeper, newest);
            if keeper == leader {
                continue;
            }
            for lease in self.older(keeper, newest) {
                self.holder().hand_over(ctx, RetainedKey { owner: keeper, lease }, leader);
            }
        }
    }

    /// What of a job's older epochs has not begun is left: it is placed anew.
    fn leave_unbegun(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, newest: LeaseId) {
        let held = self.runs.leases_of_job(owner, newest.job).filter(|lease| lease.epoch < newest.epoch);
        let unbegun: Vec<LeaseId> = held.filter(|lease| !self.runs.has_begun(owner, *lease)).collect();
        for part in unbegun.chunks(BATCH_MAX) {
            self.holder().cancel(ctx, owner, part);
        }
    }

    /// The leases of an owner's job, of older epochs, whose tasks are held or have ended.
    fn older(&self, owner: PeerId, newest: LeaseId) -> Vec<LeaseId> {
        let all = self.runs.leases_of_job(owner, newest.job);
        let all = all.chain(self.outbox.leases_of_job(owner, newest.job));
        all.filter(|lease| lease.epoch < newest.epoch).collect()
    }

    fn say_held(&mut self, ctx: &mut Ctx<'_>, leader: PeerId, newest: LeaseId) {
        let LeaseId { job, epoch, .. } = newest;
        let held = self.older(leader, newest).into_iter().map(|lease| {
            let is_held = self.runs.contains(leader, lease);
            HeldLease { lease, state: if is_held { HeldState::Running } else { HeldState::Ended } }
        });
        let held: Vec<HeldLease> = held.collect();
        let (last, parts) = match held.chunks(BATCH_MAX).collect::<Vec<_>>().split_last() {
            Some((last, parts)) => (last.to_vec(), parts.to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        for part in parts {
            ctx.send(leader, Message::Holding(Holding { job, epoch, all: part.to_vec(), is_last: false }));
        }
        ctx.send(leader, Message::Holding(Holding { job, epoch, all: last, is_last: true }));
    }

    /// A peer restarted. What it keeps over a restart it goes on with, as far as it has begun.
    pub(super) fn leave_unkept(&mut self, ctx: &mut Ctx<'_>, owner: PeerId) {
        let all = self.runs.leases_of(owner);
        let is_left = |lease: &LeaseId| lease.epoch == 0 || !self.runs.has_begun(owner, *lease);
        let (left, kept): (Vec<LeaseId>, Vec<LeaseId>) = all.into_iter().partition(is_left);
        for part in left.chunks(BATCH_MAX) {
            self.holder().cancel(ctx, owner, part);
        }
        for lease in kept {
            self.runs.forget_credit(owner, lease);
        }
        self.outbox.forget_unkept(ctx, owner);
    }

    /// Outcomes for this node's own owner, which leads their jobs no more: they are kept for the node that does.
    pub(crate) fn keep_untaken(&mut self, ctx: &mut Ctx<'_>, all: Vec<Delivery>) {
        for Delivery { lease, report, memo, .. } in all {
            if !self.outbox.contains(ctx.me, lease) {
                self.outbox.put(ctx, ctx.me, lease, Sealed { report, memo, leaf: None });
            }
        }
    }

    // ---- a later life

    /// Outcomes of an earlier life that their owners have not acknowledged.
    pub(crate) fn on_retained(&mut self, ctx: &mut Ctx<'_>, all: Vec<Retained>) {
        for Retained { owner: _, keepers, delivery, .. } in &all {
            self.epochs.restore(delivery.lease, keepers);
        }
        self.outbox.restore(ctx, all);
    }

    /// The input has been handled: outcomes that wait for long are written.
    pub(crate) fn retain(&mut self, ctx: &mut Ctx<'_>) {
        let Self { outbox, epochs, .. } = self;
        outbox.retain(ctx, |job| epochs.keepers(job));
    }
}
