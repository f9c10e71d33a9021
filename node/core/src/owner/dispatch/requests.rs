//! What one call requests of matchmakers, and how much of it is still open at each. Plain bookkeeping; `matchmaking.rs`
//! sends the messages.

use alloc::vec::Vec;

use crate::id::PeerId;
use crate::referral::WITHOUT_MAX;
use crate::time::Time;

/// Matched bids that are not taken at one time, after which none is requested at that time any more.
const UNTAKEN_MAX: u32 = 64;

/// The requests of one call.
#[derive(Debug, Default)]
pub(in crate::owner) struct Requests {
    pub(in crate::owner) all: Vec<Request>,
    /// Matched workers that were of no use; no matchmaker hands them on again before the call is repeated.
    pub(in crate::owner) excluded: Vec<PeerId>,
    /// Matched bids that were not taken at that time, because their workers had too many open.
    untaken: (Time, u32),
    /// A worker was excluded since the matchmakers were asked last.
    pub(in crate::owner) excludes_more: bool,
    /// When the silence of a matchmaker is noticed.
    pub(in crate::owner) silence_at: Option<Time>,
}

/// One matchmaker that was asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::owner) struct Request {
    pub(in crate::owner) matchmaker: PeerId,
    /// Tasks requested there and not matched.
    pub(in crate::owner) left: u32,
    /// Whether it said anything since it was asked.
    pub(in crate::owner) answered: bool,
    pub(in crate::owner) since: Time,
}

impl Request {
    /// It has not answered, and may be lost.
    pub(in crate::owner) fn is_silent(&self) -> bool {
        self.left > 0 && !self.answered
    }

    /// It waits at a matchmaker that answered.
    pub(in crate::owner) fn waits(&self) -> bool {
        self.left > 0 && self.answered
    }
}

impl Requests {
    /// Tasks requested anywhere.
    pub(in crate::owner) fn count(&self) -> u32 {
        self.all.iter().map(|request| request.left).fold(0, u32::saturating_add)
    }

    /// Where something is still open.
    pub(in crate::owner) fn open_at(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.all.iter().filter(|request| request.left > 0).map(|request| request.matchmaker)
    }

    /// That node can't be spoken to: what is open there is requested elsewhere at once.
    pub(in crate::owner) fn on_gone(&mut self, peer: PeerId, now: Time) {
        for request in self.all.iter_mut().filter(|request| request.matchmaker == peer && request.left > 0) {
            request.left = 0;
            self.silence_at = Some(now);
        }
    }

    /// That worker is given nothing of this call for now.
    pub(in crate::owner) fn exclude(&mut self, worker: PeerId) {
        if self.excluded.len() < WITHOUT_MAX && !self.excluded.contains(&worker) {
            self.excluded.push(worker);
            self.excludes_more = true;
        }
    }

    /// A bid was not taken. The next one is requested at once: of a worker that advertises bids without end, without end.
    pub(in crate::owner) fn on_untaken(&mut self, now: Time) {
        let (at, count) = self.untaken;
        self.untaken = (now, if at == now { count.saturating_add(1) } else { 1 });
    }

    /// Too many were of no use: none is requested before the call is repeated, or before time passes.
    pub(in crate::owner) fn is_exhausted(&self, now: Time) -> bool {
        let (at, count) = self.untaken;
        self.excluded.len() >= WITHOUT_MAX || (at == now && count >= UNTAKEN_MAX)
    }

    /// There are no cells any more: where something is open that is to be withdrawn.
    pub(in crate::owner) fn leave(&mut self) -> Vec<PeerId> {
        let open = self.open_at().collect();
        *self = Self::default();
        open
    }

    /// A request by the number that a matchmaker named, if it was sent to that one.
    pub(in crate::owner) fn named(&mut self, number: u32, matchmaker: PeerId) -> Option<&mut Request> {
        let request = self.all.get_mut(usize::try_from(number).ok()?)?;
        Some(request).filter(|request| request.matchmaker == matchmaker)
    }

    /// Tasks requested at a matchmaker.
    pub(in crate::owner) fn left_at(&self, matchmaker: PeerId) -> u32 {
        self.all.iter().find(|request| request.matchmaker == matchmaker).map_or(0, |request| request.left)
    }

    /// The number of the request for a matchmaker.
    pub(in crate::owner) fn number_for(&mut self, matchmaker: PeerId, now: Time) -> usize {
        let same = |request: &Request| request.matchmaker == matchmaker;
        let place = self.all.iter().position(same).unwrap_or(self.all.len());
        if place == self.all.len() {
            self.all.push(Request { matchmaker, left: 0, answered: true, since: now });
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bids_that_are_not_taken_end_the_requests_of_one_time_only() {
        let (now, later) = (Time(1), Time(2));
        let mut requests = Requests::default();
        (1..UNTAKEN_MAX).for_each(|_| requests.on_untaken(now));
        assert!(!requests.is_exhausted(now));
        requests.on_untaken(now);
        assert!(requests.is_exhausted(now) && !requests.is_exhausted(later));
        requests.on_untaken(later);
        assert!(!requests.is_exhausted(later), "the count begins again");
    }
}
