//! Disks of dead processes that are lost, that are older copies of themselves, or on which a record is not what was written: which
//! jobs that costs, and how a swarm draws it for jobs at level `disk`. Other nodes' disks that are lost are in
//! [`crate::custody_plan`].

use std::time::Duration;

use weft_core::JobId;

use crate::chance::Chance;
use crate::fault::Fault;
use crate::host::HostId;
use crate::world::World;

/// Longest time for which a process is away, in milliseconds.
const AWAY_MS: u64 = 4_000;

impl World {
    /// All is lost.
    pub(crate) fn on_wipe(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        if host.engine.is_none() {
            host.blobs.clear();
            host.disk.wipe();
            self.reference.on_wiped(id);
            self.note_lost();
        }
    }

    /// What came since the copy is lost; what is in it goes on.
    pub(crate) fn on_go_back(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        if host.engine.is_some() {
            return;
        }
        host.disk.go_back();
        for job in self.reference.kept_of(id) {
            if self.hosts[id.0].disk.fold(job).is_ok() {
                self.coverage.add("a job goes on by an older log", 1);
                let log = self.hosts[id.0].disk.log(job);
                self.reference.on_older(job, &log);
            } else {
                self.reference.on_log_lost(job);
            }
        }
        self.note_lost();
    }

    /// A job is lost there.
    pub(crate) fn on_tear(&mut self, id: HostId, place: usize) {
        let host = &self.hosts[id.0];
        let jobs: Vec<JobId> = host.disk.jobs().collect();
        let place = place.checked_rem(jobs.len()).filter(|_| host.engine.is_none());
        let Some(job) = place.map(|place| jobs[place]) else { return };
        let is_shared = host.disk.is_at_mesh(job) || self.copied(id, job).is_some();
        self.hosts[id.0].disk.tear(job, is_shared);
        if self.reference.kept_of(id).contains(&job) {
            self.reference.on_log_lost(job);
        }
        self.note_lost();
    }
}

/// The faults of owners' disks, and their mending; each begins within `phase_ms`.
pub(crate) fn plan(chance: &mut Chance, owners: usize, phase_ms: u64) -> Vec<(Duration, Fault)> {
    let mut plan = Vec::new();
    for _ in 0..chance.below(3) {
        let host = HostId(chance.index(owners));
        let at_ms = chance.between(500, phase_ms);
        let (at, back) =
            (Duration::from_millis(at_ms), Duration::from_millis(at_ms + chance.between(1, AWAY_MS)));
        plan.push((at, Fault::Kill { host, told: chance.permille(500) }));
        if chance.permille(500) {
            plan.push((at, Fault::Tear { host, place: chance.index(8) }));
        } else {
            let copied = Duration::from_millis(chance.between(1, at_ms));
            plan.extend([(copied, Fault::Copy(host)), (at, Fault::GoBack(host))]);
        }
        plan.push((back, Fault::Restart(host)));
    }
    plan
}
