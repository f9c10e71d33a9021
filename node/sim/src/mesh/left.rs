//! What a node says to workers that name attempts of a job at level `mesh` of which its disk has nothing: it lost its disk, or its
//! seat, and another node leads the job, or will. For a while the workers are to keep what they have.

use std::collections::BTreeMap;

use weft_core::{JobId, LeaseId, Time};

use super::{LEFT, Mesh};
use crate::host::{HostId, SimHost};

/// How long a worker keeps what it has for another leader, in milliseconds.
const LED_ELSEWHERE_MS: u64 = 20_000;

/// When each node was told first of a job of which its disk has nothing.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeMap<(HostId, JobId), Time>);

impl Named {
    /// A process dies.
    pub(super) fn on_killed(&mut self, host: HostId) {
        self.0.retain(|(of, _), _| *of != host);
    }
}

impl Mesh {
    /// A worker names these attempts to a node.
    pub(crate) fn on_named(&mut self, host: &SimHost, now: Time, leases: impl Iterator<Item = LeaseId>) {
        for LeaseId { job, .. } in leases.filter(|lease| lease.epoch > 0) {
            if has_log(host, job) {
                self.named.0.remove(&(host.id, job));
            } else if self.has(job) {
                self.named.0.entry((host.id, job)).or_insert(now);
            }
        }
    }

    /// A node tells a worker that it wants nothing more of these attempts.
    pub(crate) fn on_let_go(&mut self, host: &SimHost, now: Time, leases: &[LeaseId]) {
        for lease in leases {
            let goes_on = self.jobs.get(&lease.job).is_some_and(|job| job.goes_on(lease.index));
            if !goes_on || has_log(host, lease.job) {
                continue;
            }
            let since = self.named.0.get(&(host.id, lease.job));
            let waited = since.is_some_and(|since| now >= since.plus_ms(LED_ELSEWHERE_MS));
            self.demand(LEFT, waited, || {
                format!("host {} has nothing of {lease:?}, and has its worker forget it", host.id.0)
            });
        }
    }
}

fn has_log(host: &SimHost, job: JobId) -> bool {
    !host.disk.records(job).is_empty() || host.disk.is_behind(job)
}
