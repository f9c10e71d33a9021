//! Which bid a task goes to. [`rank`] says when it would start; here is who brought which blob home, because a task that
//! reads one is expected to start sooner there. That is a hint, bounded, and never missed.

use alloc::collections::{BTreeMap, VecDeque};

use rand_core::RngCore;

use super::job::Task;
use super::open::StandingBid;
use crate::ctx::Ctx;
use crate::id::{BlobId, PeerId};
use crate::membership::Membership;
use crate::policy::rank;
use crate::task::{Payload, Report};

/// Blobs remembered; beyond it the oldest is forgotten.
const PRODUCED_MAX: usize = 4096;

/// Blobs that came home, and from whom.
#[derive(Debug, Default)]
pub(super) struct Produced {
    by: BTreeMap<BlobId, PeerId>,
    order: VecDeque<BlobId>,
}

impl Produced {
    pub(super) fn on_commit(&mut self, worker: Option<PeerId>, report: &Report) {
        let Some(worker) = worker else { return };
        for blob in report.blobs() {
            if self.by.insert(blob, worker).is_none() {
                self.order.push_back(blob);
            }
        }
        while self.order.len() > PRODUCED_MAX {
            self.order.pop_front().map(|blob| self.by.remove(&blob));
        }
    }

    /// Who brought this input home.
    pub(super) fn holder(&self, input: &Payload) -> Option<PeerId> {
        self.by.get(&input.blob()?).copied()
    }

    /// Which of these bids, ordered by expected start, a task goes to, and whether that is of a worker that it avoids
    /// for want of another.
    pub(super) fn choose(
        &self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        bids: &[StandingBid],
        task: &Task,
        usable: impl Fn(&StandingBid) -> bool,
    ) -> Option<(usize, bool)> {
        let wanted = |bid: &StandingBid| usable(bid) && !task.avoids(bid.worker);
        let from = rank::pick(bids.len(), || ctx.rng.next_u64());
        let Some(best) = position_from(bids, from, wanted) else {
            return position_from(bids, from, &usable).map(|place| (place, true));
        };
        let expected_us = |bid: &StandingBid| bid.expected_us(ctx.me, members.rtt_us(bid.worker), ctx.now);
        let nearer = self.nearer(&task.input, bids, best, wanted, expected_us);
        Some((nearer.unwrap_or(best), false))
    }

    /// A wanted bid of whoever has the input, if a task starts sooner there than with the best bid otherwise.
    fn nearer(
        &self,
        input: &Payload,
        bids: &[StandingBid],
        best: usize,
        wanted: impl Fn(&StandingBid) -> bool,
        expected_us: impl Fn(&StandingBid) -> u64,
    ) -> Option<usize> {
        let holder = self.holder(input)?;
        let best = bids.get(best).filter(|best| best.worker != holder)?;
        let place = bids.iter().position(|bid| bid.worker == holder && wanted(bid))?;
        let there_us = bids.get(place).map(&expected_us)?;
        let fetch_us = rank::fetch_us(input.bytes_len(), 0);
        (there_us < expected_us(best).saturating_add(fetch_us)).then_some(place)
    }
}

/// The first bid that will do, looked for from that place on, and then before it.
fn position_from(bids: &[StandingBid], from: usize, wanted: impl Fn(&StandingBid) -> bool) -> Option<usize> {
    let (before, behind) = bids.split_at_checked(from).unwrap_or((&[], bids));
    let place = behind.iter().position(&wanted).map(|place| place + before.len());
    place.or_else(|| before.iter().position(&wanted))
}
