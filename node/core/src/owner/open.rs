//! A job's open call and the bids that stand for it: plain bookkeeping, without a word to anybody. The owner drives it.

use alloc::vec::Vec;

use super::seek::Seeking;
use crate::id::{BidId, CallId, PeerId};
use crate::policy::rank::{self, Promise};
use crate::time::Time;

/// Bids of one worker that may stand at once; beyond it the newest is released.
const BIDS_PER_WORKER_MAX: usize = 16;

/// A call that stands.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) call: CallId,
    pub(super) bids: Vec<StandingBid>,
    pub(super) asked: Vec<PeerId>,
    /// Who was asked for standing room, and would have to be asked again for a bid.
    pub(super) for_room: bool,
    pub(super) repeat_at: Time,
    /// When bids may be used that were kept back for a moment.
    pub(super) ripe_at: Option<Time>,
    pub(super) seeking: Seeking,
}

/// Room that a worker promised.
#[derive(Clone, Debug)]
pub(super) struct StandingBid {
    pub(super) bid: BidId,
    pub(super) worker: PeerId,
    pub(super) left: u32,
    pub(super) start_in_us: u32,
    pub(super) warm: bool,
    /// An exchange handed it on: the worker has not heard the call.
    pub(super) introduced: bool,
    pub(super) came_at: Time,
    pub(super) expires_at: Time,
}

impl OpenCall {
    /// Takes a bid, unless that worker has too many standing already.
    pub(super) fn take(&mut self, bid: StandingBid) -> bool {
        let same = self.bids.iter().filter(|other| other.worker == bid.worker).count();
        let fits = same < BIDS_PER_WORKER_MAX;
        if fits {
            self.bids.push(bid);
        }
        fits
    }

    /// When it wants to be looked at again.
    pub(super) fn due(&self) -> Time {
        [self.seeking.look_at, self.ripe_at].into_iter().flatten().fold(self.repeat_at, Time::min)
    }

    /// Forgets bids that ended.
    pub(super) fn expire(&mut self, now: Time) {
        self.bids.retain(|bid| bid.left > 0 && bid.expires_at > now);
    }
}

impl StandingBid {
    /// When a task awarded now is expected to start, in microseconds from now.
    pub(super) fn expected_us(&self, me: PeerId, rtt_us: u32, now: Time) -> u64 {
        rank::start_us(&Promise {
            start_in_us: self.start_in_us,
            age_us: now.since_us(self.came_at),
            warm: self.warm,
            own: self.worker == me,
            rtt_us,
        })
    }
}
