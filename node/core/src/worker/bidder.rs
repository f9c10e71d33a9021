//! The bidder: it reads demand and free slots, and writes promises. [`super::offer`] bids for calls, [`super::credit`]
//! grants credit for short tasks, [`super::advertise`] offers what is left to other owners through a matchmaker. The
//! worker creates one for each input.

use alloc::vec::Vec;

use super::identity::{Identity, Refusal};
use super::ledger::{Ended, Ledger};
use super::market::Market;
use super::outbox::Outbox;
use super::requests::{CallKey, Requests};
use super::room::Room;
use super::runs::RunQueue;
use super::runtimes::Runtimes;
use super::staging::Staging;
use crate::ctx::Ctx;
use crate::id::{BidId, JobId, PeerId};
use crate::message::{BATCH_MAX, Grant, Reason};
use crate::time::Time;

/// The parts of a worker that bidding reads, and those that it writes: estimates, demand and promises.
#[derive(Debug)]
pub(super) struct Bidder<'a> {
    pub(super) identity: &'a Identity,
    pub(super) runs: &'a RunQueue,
    pub(super) staging: &'a Staging,
    pub(super) outbox: &'a Outbox,
    /// Run times; a call carries its owner's estimate.
    pub(super) stats: &'a mut Runtimes,
    pub(super) requests: &'a mut Requests,
    pub(super) ledger: &'a mut Ledger,
}

impl Bidder<'_> {
    pub(super) fn market(&self) -> Market<'_> {
        Market {
            identity: self.identity,
            requests: self.requests,
            ledger: self.ledger,
            runs: self.runs,
            stats: self.stats,
            outbox: self.outbox,
        }
    }

    pub(super) fn room(&self) -> Room<'_> {
        Room { slots: self.identity.slots, runs: self.runs, ledger: self.ledger }
    }

    // ---- promises that end

    /// Ends the promises that expired.
    pub(super) fn end_promises(&mut self, now: Time) {
        while let Some(ended) = self.ledger.end_next(now) {
            match ended {
                Ended::Bid(bid) => self.requests.on_expired(now, bid.key(), bid.tasks),
                Ended::Credit(owner) => self.requests.on_credit_ended(owner),
                Ended::Advertised => {}
            }
        }
    }

    /// An owner withdrew a call: it is forgotten, and its bids end.
    pub(super) fn on_withdraw(&mut self, key: CallKey) {
        self.requests.remove(key);
        self.ledger.end_bids(|bid| bid.key() == key);
    }

    /// An owner released a promise unused.
    pub(super) fn on_release(&mut self, owner: PeerId, id: BidId) {
        if self.ledger.credits.get(owner).is_some_and(|credit| credit.bid == id) {
            self.ledger.end_credit(owner);
            self.requests.on_credit_ended(owner);
            self.requests.on_backlog(owner, false);
        }
        // An owner that knows the id of an advert was matched with it.
        self.ledger.end_advert(id);
        if let Some(bid) = self.ledger.end_bid_of(owner, id) {
            self.requests.on_released(bid.key(), bid.tasks);
        }
    }

    /// Forgets the calls of an owner that disconnected or restarted, and ends all promises to it.
    pub(super) fn forget(&mut self, owner: PeerId) {
        self.requests.forget(owner);
        self.ledger.forget(owner);
    }

    /// Ends all calls and bids, because this node takes no new work. Credit is renewed no more; what is sent on it comes back.
    pub(super) fn close(&mut self, ctx: &mut Ctx<'_>) {
        for key in self.requests.keys().collect::<Vec<_>>() {
            self.requests.remove(key);
            Refusal::for_now(Reason::Draining).tell(ctx, key.owner, key.call);
        }
        self.ledger.end_bids(|_| true);
    }

    // ---- answers

    /// The reason for a call that gets no bid: all slots are held or promised.
    pub(super) fn busy(&self) -> Refusal {
        Refusal::for_now(Reason::Busy { slots: self.identity.slots, held: self.room().taken() })
    }
}

/// Whether all grants are of that job, and their number and inputs are within their bounds.
pub(super) fn is_sound(grants: &[Grant], job: JobId) -> bool {
    grants.len() <= BATCH_MAX && grants.iter().all(|grant| grant.lease.job == job && grant.input.is_sound())
}
