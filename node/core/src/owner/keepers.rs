//! Whether a new job is taken, and who keeps it. At level mesh: this node and two others, chosen among those that can; the same
//! three as the job that it comes after. The choice itself is [`choice::choose`]'s. And which node has a copy of a job at level
//! disk.

use alloc::collections::BTreeSet;

use super::Owner;
use super::dependencies;
use super::lines::Lines;
use super::record::Records;
use crate::ctx::Ctx;
use crate::custody::choice::{self, Eligible};
use crate::custody::trio::{Keepers, Pair, Seat, Trio};
use crate::id::{JobId, PeerId};
use crate::membership::Membership;
use crate::refusal::Refusal;
use crate::reputation::Trust;
use crate::submission::{Level, Submission};

impl Owner {
    /// Whether a new job is taken, and who keeps it.
    pub(super) fn admit(
        &self,
        ctx: &Ctx<'_>,
        members: &Membership,
        spec: &Submission,
        kept_by: Result<Option<Trio>, Refusal>,
    ) -> Result<Keepers, Refusal> {
        let Self { records, history, books, .. } = self;
        spec.check()?;
        let refused = dependencies::unknown_parent(records, history, spec);
        let refused = refused.or_else(|| dependencies::unkept_parent(records, history, spec));
        refused.map_or(Ok(()), Err)?;
        match spec.level {
            Level::Memory => Ok(Keepers::Owner),
            Level::Disk => books.keeping.refusal().map_or_else(|| Ok(self.choose_copy(ctx, members)), Err),
            Level::Mesh => self.choose_keepers(ctx, members, spec, kept_by?).map(Keepers::Trio),
        }
    }

    /// The nodes that keep a job; `kept_by` are those that keep the jobs whose results it takes, if it does.
    fn choose_keepers(
        &self,
        ctx: &Ctx<'_>,
        members: &Membership,
        spec: &Submission,
        kept_by: Option<Trio>,
    ) -> Result<Trio, Refusal> {
        // A node without a disk of its own keeps nothing, and one whose disk failed or is full no more.
        let seat = Seat { peer: ctx.me, disk: self.disk };
        let refusal =
            self.books.keeping.refusal().or_else(|| (self.disk == 0).then_some(Refusal::JournalFailed));
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let of_parents = || trio_of_parents(&self.records, &self.books.keeping.lines, spec);
        if let Some(trio) = kept_by.map_or_else(of_parents, |trio| Ok(Some(trio)))? {
            // This node may lead them from another seat; this job is its own.
            return trio.owned_by(seat).ok_or(Refusal::JournalFailed);
        }
        let me = Eligible { seat, host: members.host(ctx.me) };
        let others = self.eligible_nodes(ctx, members).collect();
        choice::choose(spec.job, me, others).map_err(|found| Refusal::TooFewKeepers { found })
    }

    /// Who keeps a job at level disk: this node, and if exactly one other node can keep jobs, so that no three can, that one has a
    /// copy.
    fn choose_copy(&self, ctx: &Ctx<'_>, members: &Membership) -> Keepers {
        let mut others = self.eligible_nodes(ctx, members);
        let owner = Seat { peer: ctx.me, disk: self.disk };
        match (others.next(), others.next()) {
            (Some(only), None) if self.disk != 0 => Keepers::Copied(Pair { owner, copy: only.seat.peer }),
            _ => Keepers::Owner,
        }
    }

    /// The jobs that get further tasks from their clients.
    pub(crate) fn open_jobs(&self) -> BTreeSet<JobId> {
        let open = self.records.iter().filter(|(_, record)| record.job.awaits_client());
        open.map(|(job, _)| *job).collect()
    }

    /// The connected nodes that can keep jobs of others.
    pub(crate) fn eligible_nodes(
        &self,
        ctx: &Ctx<'_>,
        members: &Membership,
    ) -> impl Iterator<Item = Eligible> {
        let reputation = &self.books.reputation;
        let is_trusted = |peer: PeerId| reputation.trust(peer, ctx.now) <= Trust::Deprioritised;
        members.keepers().filter(move |candidate| is_trusted(candidate.seat.peer))
    }
}

/// The nodes that keep those jobs which a job comes after and which have not ended for good: it is to be led where they are.
fn trio_of_parents(records: &Records, lines: &Lines, spec: &Submission) -> Result<Option<Trio>, Refusal> {
    let is_open =
        |parent: JobId| lines.end_waits(parent) || records.get(&parent).is_some_and(|live| !live.job.ended);
    let open = spec.after.iter().copied().filter(|parent| is_open(*parent));
    let common = Trio::common(open.map(|parent| (parent, lines.trio(parent))));
    common.map_err(|job| Refusal::ParentsKeptApart { job })
}
