//! The end of an owner whose user stops it: its jobs live in its memory and end with it, so whoever works for it is told
//! to stop. Nothing is told to this node's user, who wanted it, and nothing of its state changes any more.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::award::withdraw;
use super::{Owner, cancel_at};
use crate::ctx::Ctx;
use crate::id::{LeaseId, PeerId};

impl Owner {
    pub(crate) fn on_stop(&mut self, ctx: &mut Ctx<'_>) {
        for job in self.jobs.values_mut() {
            withdraw(ctx, job);
        }
        let mut held: BTreeMap<PeerId, Vec<LeaseId>> = BTreeMap::new();
        for (worker, lease) in self.leases.iter().filter(|(worker, _)| *worker != ctx.me) {
            held.entry(*worker).or_default().push(*lease);
        }
        for (worker, leases) in held {
            cancel_at(ctx, worker, &leases);
        }
    }
}
