//! What becomes of jobs at level `mesh` when processes die and disks are lost: a job outlives one of its three disks.

use weft_core::JobId;
use weft_core::custody::Seat;

use super::rows::Rows;
use super::{Mesh, MeshJob};
use crate::host::{HostId, SimHost};

impl Mesh {
    /// A process dies: it leads nothing any more. Its jobs that were not accepted, of which nothing was promised.
    pub(crate) fn on_killed(&mut self, host: &SimHost) -> Vec<JobId> {
        self.named.on_killed(host.id);
        let mut doubtful = Vec::new();
        for (name, job) in &mut self.jobs {
            job.leader = job.leader.filter(|leader| *leader != host.id);
            let led = job.begun.iter().filter(|(_, leader)| **leader == host.id);
            job.ended.extend(led.map(|(epoch, _)| *epoch));
            if job.owner == Some(host.id) && job.accepted.is_none() {
                doubtful.push(*name);
            }
        }
        doubtful
    }

    /// Disks were lost. The jobs of which nothing is promised any more: two of their three members are gone.
    pub(crate) fn on_lost(&mut self, hosts: &[SimHost]) -> Vec<JobId> {
        let mut gone = Vec::new();
        for (name, job) in self.jobs.iter_mut().filter(|(_, job)| !job.gone) {
            job.gone = count_disks(hosts, &job.seats()) < 2 && !job.written.is_empty();
            gone.extend(job.gone.then_some(*name));
        }
        gone
    }

    /// The jobs of which two of the three disks were lost, also by what the log of a node that leads them says of who sits where: no
    /// record of theirs can be committed there, so nothing that waits for that is told, to users or to workers.
    pub(crate) fn lost_at(&self, hosts: &[SimHost], leader: &SimHost) -> Vec<JobId> {
        let gone = self.jobs.iter().filter(|(_, job)| job.gone).map(|(name, _)| *name);
        gone.filter(|name| trios(leader, *name).iter().any(|seats| count_disks(hosts, seats) < 2)).collect()
    }

    /// Who keeps a job, as far as any user was told.
    pub(crate) fn seats(&self, name: JobId) -> Vec<Seat> {
        self.jobs.get(&name).map(MeshJob::seats).unwrap_or_default()
    }

    /// Jobs that must be known at each of their members until they end, with whom their users follow.
    pub(crate) fn unended(&self) -> impl Iterator<Item = (JobId, Option<HostId>)> + '_ {
        let open =
            self.jobs.iter().filter(|(_, job)| job.accepted.is_some() && !job.told_end && !job.is_over());
        open.map(|(name, job)| (*name, job.leader))
    }

    /// What a node of a mesh at rest still keeps of a job that another one knows to be forgotten.
    pub(crate) fn kept_in_vain(hosts: &[SimHost]) -> Option<(HostId, JobId)> {
        let live = || hosts.iter().filter(|host| host.engine.is_some());
        let forgotten = |job: &JobId| live().any(|host| host.disk.has_forgotten(*job));
        live().find_map(|host| host.disk.jobs().find(forgotten).map(|job| (host.id, job)))
    }
}

impl MeshJob {
    /// Who sits in its trio, as far as any user was told; else by its first record.
    pub(super) fn seats(&self) -> Vec<Seat> {
        if !self.committed.is_empty() {
            return Rows(self.committed.clone()).seats();
        }
        Rows(self.written.values().take(1).cloned().collect()).seats()
    }
}

/// Who sits in a job's trio by the log of a node that leads it, and by what of that is committed: a replacement that is not counts
/// once both that stay have it.
fn trios(leader: &SimHost, name: JobId) -> [Vec<Seat>; 2] {
    let all = leader.disk.records(name);
    let kept = leader.engine.as_ref().map(|engine| engine.snapshot().kept).unwrap_or_default();
    let committed = kept.iter().find(|kept| kept.job == name).map_or(0, |kept| kept.committed);
    let committed = usize::try_from(committed).ok().and_then(|count| all.get(..count)).unwrap_or(all);
    [all, committed].map(|part| Rows(part.to_vec()).seats())
}

/// How many of these members are there, each with the disk that has the seat.
fn count_disks(hosts: &[SimHost], seats: &[Seat]) -> usize {
    let sits = |host: &&SimHost| {
        let disk = host.disk.number;
        !host.is_gone && seats.iter().any(|seat| seat.peer == host.peer && seat.disk == disk)
    };
    hosts.iter().filter(sits).count()
}
