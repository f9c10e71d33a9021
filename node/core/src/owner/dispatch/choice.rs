//! Which of the bids for a job a task goes to: the one that promises the earliest start, unless the worker that has the
//! task's input starts it sooner than that one can fetch it. [`rank`] says when a task would start.

use super::locality::Locality;
use super::open_call::OpenBid;
use crate::ctx::Ctx;
use crate::membership::Membership;
use crate::owner::task::Task;
use crate::policy::rank;
use crate::task::Payload;

/// What a task may go to.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    /// By expected start.
    pub(super) bids: &'a [OpenBid],
    pub(super) members: &'a Membership,
    pub(super) locality: &'a Locality,
}

/// The bid that a task goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) place: usize,
    /// It is of the worker that the task avoids, for want of another.
    pub(super) avoided: bool,
}

impl Choice<'_> {
    /// The bid that a task goes to, of those that may be used.
    pub(super) fn best(
        &self,
        ctx: &mut Ctx<'_>,
        task: &Task,
        usable: impl Fn(&OpenBid) -> bool,
    ) -> Option<Chosen> {
        let wanted = |bid: &OpenBid| usable(bid) && !task.avoids(bid.worker);
        let from = rank::pick(self.bids.len(), || ctx.draw());
        let Some(best) = position_from(self.bids, from, wanted) else {
            let place = position_from(self.bids, from, &usable)?;
            return Some(Chosen { place, avoided: true });
        };
        let nearer = self.nearer(ctx, &task.input, best, wanted);
        Some(Chosen { place: nearer.unwrap_or(best), avoided: false })
    }

    /// A wanted bid of the worker that has the input, if a task starts sooner there than with the best bid otherwise.
    fn nearer(
        &self,
        ctx: &Ctx<'_>,
        input: &Payload,
        best: usize,
        wanted: impl Fn(&OpenBid) -> bool,
    ) -> Option<usize> {
        let expected_us = |bid: &OpenBid| bid.expected_us(ctx.me, self.members.rtt_us(bid.worker), ctx.now);
        let holder = self.locality.holder(input)?;
        let best = self.bids.get(best).filter(|best| best.worker != holder)?;
        let place = self.bids.iter().position(|bid| bid.worker == holder && wanted(bid))?;
        let there_us = self.bids.get(place).map(expected_us)?;
        let fetch_us = rank::fetch_us(input.bytes_len(), 0);
        (there_us < expected_us(best).saturating_add(fetch_us)).then_some(place)
    }
}

/// The first bid that will do, looked for from that place on, and then before it.
fn position_from(bids: &[OpenBid], from: usize, wanted: impl Fn(&OpenBid) -> bool) -> Option<usize> {
    let (before, behind) = bids.split_at_checked(from).unwrap_or((&[], bids));
    let place = behind.iter().position(&wanted).map(|place| place + before.len());
    place.or_else(|| before.iter().position(&wanted))
}
