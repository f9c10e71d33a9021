//! What a worker may begin of a job at level `mesh`: nothing of an epoch below one of which it began something.

use std::collections::BTreeMap;

use weft_core::{Audit, JobId, LeaseId, PeerId};

use crate::invariants::{Scene, ensure};

/// The greatest epochs of which one process began something.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    epochs: BTreeMap<JobId, u32>,
    breach: Option<LeaseId>,
}

impl Fence {
    /// A step is over; `before` are the leases that were held or kept before it.
    pub(crate) fn on_step(&mut self, before: &[(PeerId, LeaseId)], audit: &Audit) {
        let kept = audit.held.iter().filter(|(_, lease)| lease.epoch > 0);
        // One that another leader has taken over goes on, and does not begin.
        let is_new = |lease: &LeaseId| before.iter().all(|(_, held)| held != lease);
        for (_, lease) in kept.filter(|(_, lease)| is_new(lease)) {
            let most = self.epochs.entry(lease.job).or_default();
            if lease.epoch < *most {
                self.breach.get_or_insert(*lease);
            }
            *most = lease.epoch.max(*most);
        }
    }
}

pub(crate) fn no_lease_of_an_older_epoch_begins(scene: &Scene<'_>) -> Result<(), String> {
    let late = scene.host.fence.breach.filter(|lease| scene.reference.mesh.has(lease.job));
    ensure(late.is_none(), || format!("{late:?} begins after one of a later epoch"))
}
