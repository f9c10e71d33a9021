//! What a worker does about epochs of jobs at level mesh: tasks of a node that does not lead their job any more are refused, and
//! what is held of it is the next leader's (`held.rs`).

use super::Worker;
use super::epochs::Brought;
use crate::ctx::Ctx;
use crate::id::{JobId, LeaseId, PeerId};
use crate::membership::Membership;

impl Worker {
    /// A node says which jobs it leads, each in its epoch. It hears at once what is its own by that, and cancels what it does not
    /// want.
    pub(crate) fn on_lead(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        from: PeerId,
        led: &[(JobId, u32)],
    ) {
        for (job, epoch) in ctx.within_frame(led) {
            if self.epochs.on_lead(from, *job, *epoch) {
                self.follow(ctx, from, LeaseId { job: *job, epoch: *epoch, index: 0, attempt: 0 });
                self.runs.renew(ctx, members, Some(from));
            }
        }
    }

    /// Tasks come from a node. Whether they are refused, because another one leads their job.
    pub(super) fn is_fenced(&mut self, ctx: &mut Ctx<'_>, from: PeerId, brought: Brought<'_>) -> bool {
        let Brought { grants, keepers } = brought;
        let Some(first) = grants.first().filter(|_| !keepers.is_empty()) else { return false };
        if self.epochs.on_tasks(from, first.lease, keepers) {
            self.follow(ctx, from, first.lease);
        }
        grants.iter().any(|grant| self.epochs.is_old(from, grant.lease))
    }
}
