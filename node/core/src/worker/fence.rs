//! What a worker does about epochs of jobs at level mesh: tasks of a node that does not lead their job any more are refused, and
//! what is held of it goes once another leads.

use alloc::vec::Vec;

use super::Worker;
use super::epochs::Brought;
use crate::ctx::Ctx;
use crate::id::{JobId, LeaseId, PeerId};
use crate::message::BATCH_MAX;

impl Worker {
    /// A node says which jobs it leads, each in its epoch.
    pub(crate) fn on_lead(&mut self, ctx: &mut Ctx<'_>, from: PeerId, led: &[(JobId, u32)]) {
        for (job, epoch) in ctx.within_frame(led) {
            if self.epochs.on_lead(from, *job, *epoch) {
                self.leave_older(ctx, *job, *epoch);
            }
        }
    }

    /// Tasks come from a node. Whether they are refused, because another one leads their job.
    pub(super) fn is_fenced(&mut self, ctx: &mut Ctx<'_>, from: PeerId, brought: Brought<'_>) -> bool {
        let Brought { grants, keepers } = brought;
        let Some(first) = grants.first().filter(|_| !keepers.is_empty()) else { return false };
        if self.epochs.on_tasks(from, first.lease, keepers) {
            self.leave_older(ctx, first.lease.job, first.lease.epoch);
        }
        grants.iter().any(|grant| self.epochs.is_old(from, grant.lease))
    }

    /// What is held of a job under older epochs goes: its tasks are placed anew under the new one.
    fn leave_older(&mut self, ctx: &mut Ctx<'_>, job: JobId, epoch: u32) {
        for keeper in self.epochs.keepers(job) {
            let held = self.runs.leases_of_job(keeper, job).chain(self.outbox.leases_of_job(keeper, job));
            let older: Vec<LeaseId> = held.filter(|lease| lease.epoch < epoch).collect();
            for part in older.chunks(BATCH_MAX) {
                self.holder().cancel(ctx, keeper, part);
            }
        }
    }
}
