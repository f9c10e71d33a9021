//! Leases that run out while this node suspects itself: they are held for a while, because whoever has them may work
//! on, and be heard again soon.

use super::Owner;
use crate::config::MeshConfig;
use crate::ctx::Ctx;
use crate::id::{LeaseId, PeerId};
use crate::membership::Membership;
use crate::time::Time;

impl Owner {
    /// A peer fell silent.
    pub(crate) fn on_silent(&mut self, ctx: &Ctx<'_>, members: &Membership, peer: PeerId) {
        self.suspicion.on_silent(ctx.now, ctx.mesh, peer, members.count_connected());
    }

    /// An input comes: if a lease should have been looked at long ago, this node slept.
    pub(crate) fn on_woken(&mut self, now: Time, mesh: &MeshConfig) {
        if let Some((due, _)) = self.expiries.first() {
            self.suspicion.on_late(now, mesh, *due);
        }
    }

    /// Whether a lease that ran out is held; it ends later then.
    pub(super) fn hold_back(&mut self, ctx: &mut Ctx<'_>, members: &Membership, lease: LeaseId) -> bool {
        let Some(task) = self.jobs.get_mut(&lease.job).and_then(|job| job.task_mut(lease.index)) else {
            return false;
        };
        let Some(attempt) = task.live.iter_mut().find(|attempt| attempt.number == lease.attempt) else {
            return false;
        };
        let connected = attempt.worker == ctx.me || members.is_reachable(attempt.worker);
        let Some(until) = self.suspicion.holds(ctx.now, connected) else { return false };
        attempt.expires_at = until;
        self.expiries.insert((until, lease));
        ctx.counters.held_back += 1;
        true
    }
}
