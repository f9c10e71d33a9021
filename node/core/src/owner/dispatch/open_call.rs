//! A job's open call and the bids that were made for it: plain bookkeeping, without a message to any peer. All strategies
//! use it: bids and matches come for it, and a short job that calls for credit asks with it.

use alloc::vec::Vec;

use super::requests::Requests;
use crate::id::{BidId, CallId, PeerId};
use crate::policy::rank::{self, Promise};
use crate::time::Time;

/// Bids of one worker that may be open at once; beyond it the newest is released.
const BIDS_PER_WORKER_MAX: usize = 16;
/// Slots that one bid is believed to have.
pub(super) const SLOTS_MAX: u32 = 65_536;

/// A call that is open.
#[derive(Debug)]
pub(in crate::owner) struct OpenCall {
    pub(in crate::owner) call: CallId,
    pub(in crate::owner) bids: Vec<OpenBid>,
    pub(in crate::owner) asked: Vec<PeerId>,
    /// Those that were asked were asked for credit, and would have to be asked again for a bid.
    pub(in crate::owner) for_credit: bool,
    pub(in crate::owner) repeat_at: Time,
    /// When bids may be used that were kept back for a moment.
    pub(in crate::owner) ripe_at: Option<Time>,
    /// What matchmakers were asked for it.
    pub(in crate::owner) requests: Requests,
}

/// Slots that a worker promised.
#[derive(Clone, Debug)]
pub(in crate::owner) struct OpenBid {
    pub(in crate::owner) bid: BidId,
    pub(in crate::owner) worker: PeerId,
    pub(in crate::owner) left: u32,
    pub(in crate::owner) start_in_us: u32,
    pub(in crate::owner) warm: bool,
    /// A matchmaker handed it on: the worker has not heard the call.
    pub(in crate::owner) matched: bool,
    pub(in crate::owner) came_at: Time,
    pub(in crate::owner) expires_at: Time,
}

impl OpenCall {
    /// One that was sent to no peer yet.
    pub(in crate::owner) fn new(call: CallId, repeat_at: Time) -> Self {
        Self {
            call,
            bids: Vec::new(),
            asked: Vec::new(),
            for_credit: false,
            repeat_at,
            ripe_at: None,
            requests: Requests::default(),
        }
    }

    /// Takes a bid, unless that worker has too many open already.
    pub(in crate::owner) fn take(&mut self, bid: OpenBid) -> bool {
        let same = self.bids.iter().filter(|other| other.worker == bid.worker).count();
        let fits = same < BIDS_PER_WORKER_MAX;
        if fits {
            self.bids.push(bid);
        }
        fits
    }

    /// When something is to be done about it next.
    pub(in crate::owner) fn due(&self) -> Time {
        [self.requests.silence_at, self.ripe_at].into_iter().flatten().fold(self.repeat_at, Time::min)
    }

    /// Forgets bids that ended.
    pub(in crate::owner) fn expire(&mut self, now: Time) {
        self.bids.retain(|bid| bid.left > 0 && bid.expires_at > now);
    }

    /// A peer can't be spoken to: its bids are void, and what a matchmaker was asked there is asked elsewhere.
    pub(in crate::owner) fn on_peer_down(&mut self, peer: PeerId, now: Time) {
        self.bids.retain(|bid| bid.worker != peer);
        self.forget_asked(peer);
        self.requests.on_gone(peer, now);
    }

    /// A peer is to be asked again.
    pub(in crate::owner) fn forget_asked(&mut self, peer: PeerId) {
        self.asked.retain(|asked| *asked != peer);
    }
}

impl OpenBid {
    /// When a task awarded now is expected to start, in microseconds from now.
    pub(in crate::owner) fn expected_us(&self, me: PeerId, rtt_us: u32, now: Time) -> u64 {
        rank::start_us(&Promise {
            start_in_us: self.start_in_us,
            age_us: now.since_us(self.came_at),
            warm: self.warm,
            own: self.worker == me,
            rtt_us,
        })
    }
}
