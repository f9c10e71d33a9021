//! Who keeps a new job at level mesh: this node and two others, chosen among those that can; the same three as the job that it
//! comes after. The choice itself is [`custody::choose`]'s.

use super::Owner;
use super::record::Records;
use crate::ctx::Ctx;
use crate::custody::{self, Candidate, Seat, Trio};
use crate::id::PeerId;
use crate::membership::Membership;
use crate::refusal::Refusal;
use crate::reputation::Trust;
use crate::submission::Submission;

impl Owner {
    /// The nodes that keep a job.
    pub(super) fn choose_keepers(
        &self,
        ctx: &Ctx<'_>,
        members: &Membership,
        spec: &Submission,
    ) -> Result<Trio, Refusal> {
        // A node without a disk of its own keeps nothing, and one whose disk failed or is full no more.
        let seat = Seat { peer: ctx.me, disk: self.disk };
        let refusal =
            self.books.keeping.refusal().or_else(|| (self.disk == 0).then_some(Refusal::JournalFailed));
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if let Some(trio) = trio_of_parents(&self.records, spec)? {
            return Ok(trio);
        }
        let me = Candidate { seat, host: members.host(ctx.me) };
        let others = self.candidates(ctx, members).collect();
        custody::choose(spec.job, me, others).map_err(|found| Refusal::TooFewKeepers { found })
    }

    /// The connected nodes that can keep jobs of others.
    pub(super) fn candidates(&self, ctx: &Ctx<'_>, members: &Membership) -> impl Iterator<Item = Candidate> {
        let reputation = &self.books.reputation;
        let is_trusted = |peer: PeerId| reputation.trust(peer, ctx.now) <= Trust::Deprioritised;
        members.keepers().filter(move |candidate| is_trusted(candidate.seat.peer))
    }
}

/// The nodes that keep those jobs which a job comes after and which have not ended: it is to be led where they are.
fn trio_of_parents(records: &Records, spec: &Submission) -> Result<Option<Trio>, Refusal> {
    let mut trio = None;
    for parent in spec.after.iter().filter_map(|parent| records.get(parent)).filter(|live| !live.job.ended) {
        match (trio, parent.job.trio) {
            (None, of_parent) => trio = of_parent,
            (Some(one), Some(other)) if one == other => {}
            (Some(_), _) => return Err(Refusal::ParentsKeptApart { job: parent.name() }),
        }
    }
    Ok(trio)
}
