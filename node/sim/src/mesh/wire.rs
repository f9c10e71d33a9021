//! What the members of a trio tell each other, as far as the model looks at it: who leads in which epoch, what was promised,
//! and what a member says of its own disk.

use weft_core::JobId;
use weft_core::custody::CustodyMessage;

use super::rows::Rows;
use super::{ACKED_EARLY, COLLISION, LOST, Mesh, OLD_EPOCH, PROMISE, SEALED_EARLY, TOLD_EARLY, told::Told};
use crate::host::{HostId, SimHost};

impl Mesh {
    /// A member sends a message to another one.
    pub(crate) fn on_sent(&mut self, hosts: &[SimHost], by: HostId, word: &CustodyMessage) -> Told {
        let host = &hosts[by.0];
        match word {
            CustodyMessage::Keep { job, epoch, committed, .. } => {
                self.on_keep(host, *job, *epoch);
                let committed = usize::try_from(*committed).unwrap_or(usize::MAX);
                return self.on_known_committed(hosts, (*job, by), committed);
            }
            CustodyMessage::Kept { job, epoch, upto, .. } => {
                let upto = usize::try_from(*upto).unwrap_or(usize::MAX);
                self.on_kept(host, *job, (*epoch, upto));
            }
            CustodyMessage::Seal { job, epoch } | CustodyMessage::Sealed { job, epoch, .. } => {
                self.on_sealed(host, *job, *epoch);
            }
            CustodyMessage::Forgotten { job } => {
                let holds = self.jobs.get(job).is_none_or(|job| job.is_over() || job.accepted.is_none());
                self.demand(LOST, holds, || {
                    format!("host {} says that {job:?} was forgotten, which its user wants to keep", by.0)
                });
            }
            CustodyMessage::Behind { .. }
            | CustodyMessage::Stale { .. }
            | CustodyMessage::Want { .. }
            | CustodyMessage::Have { .. }
            | CustodyMessage::Forget { .. }
            | CustodyMessage::Dismissed { .. }
            | CustodyMessage::PreSeal { .. }
            | CustodyMessage::PreSealed { .. }
            | CustodyMessage::Unknown { .. }
            | CustodyMessage::HandOver { .. } => {}
        }
        Told::default()
    }

    fn on_keep(&mut self, host: &SimHost, name: JobId, epoch: u32) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let (leader, life) = *job.leaders.entry(epoch).or_insert((host.id, host.life));
        self.demand(COLLISION, leader == host.id, || {
            format!("hosts {} and {} both lead {name:?} in epoch {epoch}", leader.0, host.id.0)
        });
        self.demand(OLD_EPOCH, leader != host.id || life == host.life, || {
            format!("host {} was restarted and leads {name:?} in its old epoch {epoch}", host.id.0)
        });
    }

    /// A leader says that this many records are committed.
    fn on_known_committed(&mut self, hosts: &[SimHost], (name, by): (JobId, HostId), count: usize) -> Told {
        let rows = Rows(hosts[by.0].disk.records(name).to_vec());
        if count == 0 || !self.has(name) {
            return Told::default();
        }
        let over = self.jobs.get(&name).is_some_and(super::MeshJob::is_over);
        self.demand(TOLD_EARLY, count <= rows.len() || over, || {
            format!(
                "host {} says that {count} records of {name:?} are committed, and has {}",
                by.0,
                rows.len()
            )
        });
        Told { job: Some(name), ..self.commit(hosts, (name, by), &rows, Some(count.min(rows.len()))) }
    }

    /// A follower says that this many records are on its disk.
    fn on_kept(&mut self, host: &SimHost, name: JobId, (epoch, upto): (u32, usize)) {
        let rows = Rows(host.disk.records(name).to_vec()).first(upto);
        let here = rows.len() == upto && rows.blobs().all(|blob| host.blobs.contains(&blob));
        self.demand(ACKED_EARLY, here, || {
            format!("host {} acknowledges {upto} records of {name:?}, and has {}", host.id.0, rows.len())
        });
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let acked = job.acked.entry((host.id, host.disk.number)).or_default();
        if !rows.begin_with_all(&acked.0) {
            *acked = rows;
        }
        let promised = job.promised.entry((host.id, host.disk.number)).or_default();
        let most = *promised;
        *promised = most.max(epoch);
        self.demand(PROMISE, epoch >= most, || {
            format!("host {} promised epoch {most} of {name:?}, and acknowledges one of {epoch}", host.id.0)
        });
    }

    /// A member says that it takes nothing of a lower epoch.
    fn on_sealed(&mut self, host: &SimHost, name: JobId, epoch: u32) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let promised = job.promised.entry((host.id, host.disk.number)).or_default();
        *promised = epoch.max(*promised);
        let rows = Rows(host.disk.records(name).to_vec());
        let safe = host.disk.promised(name).max(rows.epoch_at(rows.len()));
        self.demand(SEALED_EARLY, safe >= epoch, || {
            format!(
                "host {} says that it promised epoch {epoch} of {name:?}, its disk says {safe}",
                host.id.0
            )
        });
    }
}
