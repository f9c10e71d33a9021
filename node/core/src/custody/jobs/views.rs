//! The jobs that this node keeps, as others may see them. The rest of `custody/jobs.rs`, in a file of its own for its length.

use alloc::vec::Vec;

use super::{Custody, acts};
use crate::custody::member::{Member, Role};
use crate::custody::trio::Trio;
use crate::durable::LogRecord;
use crate::id::{JobId, PeerId};
use crate::snapshot::{CopyView, KeptView};

impl Custody {
    /// Whether this node leads a job that it keeps.
    pub(crate) fn leads(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|kept| kept.member.role() == Role::Leader)
    }

    /// The nodes that keep a job which this one keeps.
    pub(crate) fn trio(&self, job: JobId) -> Option<Trio> {
        self.jobs.get(&job).map(|kept| kept.member.log().trio())
    }

    /// Which of this node's members of a job it is, and the last record that it knows to be committed; of a job that three nodes
    /// keep.
    pub(crate) fn committed(&self, job: JobId) -> Option<(u64, u32)> {
        self.jobs.get(&job).map(|kept| (kept.serial, kept.member.committed()))
    }

    /// The copies of others' jobs here.
    pub(crate) fn copies(&self) -> Vec<CopyView> {
        self.copies.views()
    }

    pub(crate) fn views(&self) -> Vec<KeptView> {
        self.jobs.iter().map(|(job, kept)| view(*job, &kept.member, self.me.peer)).collect()
    }
}

fn view(job: JobId, member: &Member<LogRecord>, me: PeerId) -> KeptView {
    KeptView {
        job,
        keepers: member.log().trio().peers().to_vec(),
        leader: acts::leader_of(member, me),
        epoch: member.epoch(),
        committed: member.committed(),
        last: member.log().last().seq,
        has_seat: member.is_member(),
    }
}
