//! The ledger: every promise of slots until it is used or ends. Bids to callers, adverts at matchmakers, and credit for
//! short tasks share one account of slots and one list of ends. It decides nothing; [`super::bidder`] does.

pub(super) mod adverts;
pub(super) mod credits;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::classes::PerClass;
use super::requests::CallKey;
use crate::id::{BidId, CallId, PeerId};
use crate::message::Class;
use crate::time::Time;
use adverts::{Advert, Adverts};
use credits::{Credit, Credits};

/// The class under which advertised slots are counted.
const ADVERTISED: Class = Class::Scavenger;

/// Slots promised for tasks of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bid {
    pub(super) owner: PeerId,
    pub(super) call: CallId,
    pub(super) class: Class,
    /// Tasks that may still be awarded on it, and slots of each.
    pub(super) tasks: u32,
    pub(super) slots_each: u32,
    pub(super) expires_at: Time,
}

impl Bid {
    pub(super) fn key(&self) -> CallKey {
        CallKey { owner: self.owner, call: self.call }
    }

    fn slots(&self) -> u32 {
        self.tasks * self.slots_each
    }
}

/// A promise in the list of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    Bid(BidId),
    Advertised(BidId),
    Credit(PeerId),
}

/// A promise that expired.
#[derive(Debug)]
pub(super) enum Ended {
    /// A bid with tasks that its owner did not award.
    Bid(Bid),
    /// An advert that was not matched.
    Advertised,
    /// The credit of this owner.
    Credit(PeerId),
}

/// All promises.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    bids: BTreeMap<BidId, Bid>,
    pub(super) adverts: Adverts,
    pub(super) credits: Credits,
    ends: BTreeSet<(Time, Promise)>,
    /// Slots of bids and adverts, by class.
    promised: PerClass,
}

impl Ledger {
    // ---- the account

    /// Slots of bids of that class and above; adverts count as the lowest class.
    pub(super) fn promised(&self, class: Class) -> u32 {
        self.promised.at_least(class)
    }

    /// Slots of all promises: bids, adverts and credit.
    pub(super) fn promised_in_all(&self) -> u32 {
        self.promised.total().saturating_add(self.credits.slots())
    }

    /// Slots of bids.
    pub(super) fn bid_slots(&self) -> u32 {
        self.promised.total() - self.adverts.slots()
    }

    /// Number of open promises.
    pub(super) fn len(&self) -> usize {
        self.bids.len() + self.adverts.len() + self.credits.len()
    }

    // ---- bids

    pub(super) fn bid(&self, id: BidId) -> Option<&Bid> {
        self.bids.get(&id)
    }

    pub(super) fn add_bid(&mut self, id: BidId, bid: Bid) {
        self.promised.add(bid.class, bid.slots());
        self.ends.insert((bid.expires_at, Promise::Bid(id)));
        self.bids.insert(id, bid);
    }

    /// Tasks were awarded on a bid.
    pub(super) fn use_bid(&mut self, id: BidId, tasks: u32) {
        let bid = self.bids.get_mut(&id).expect("a bid that is used is open");
        bid.tasks -= tasks;
        let (left, class, slots_each) = (bid.tasks, bid.class, bid.slots_each);
        self.promised.sub(class, tasks * slots_each);
        if left == 0 {
            self.end_bid(id);
        }
    }

    /// Ends a bid, and frees its slots.
    pub(super) fn end_bid(&mut self, id: BidId) -> Option<Bid> {
        let bid = self.bids.remove(&id)?;
        self.ends.remove(&(bid.expires_at, Promise::Bid(id)));
        self.promised.sub(bid.class, bid.slots());
        Some(bid)
    }

    /// Ends a bid, if it was made to that owner.
    pub(super) fn end_bid_of(&mut self, owner: PeerId, id: BidId) -> Option<Bid> {
        self.bids.get(&id).filter(|bid| bid.owner == owner)?;
        self.end_bid(id)
    }

    /// Ends the bids that match.
    pub(super) fn end_bids(&mut self, matches: impl Fn(&Bid) -> bool) {
        let ids: Vec<BidId> = self.bids.iter().filter(|(_, bid)| matches(bid)).map(|(id, _)| *id).collect();
        for id in ids {
            self.end_bid(id);
        }
    }

    // ---- adverts

    pub(super) fn advertise(&mut self, id: BidId, advert: Advert) {
        self.promised.add(ADVERTISED, advert.slots);
        self.ends.insert((advert.expires_at, Promise::Advertised(id)));
        self.adverts.insert(id, advert);
    }

    /// Takes or withdraws slots of an advert.
    pub(super) fn use_advert(&mut self, id: BidId, slots: u32) {
        self.promised.sub(ADVERTISED, slots);
        let left = self.adverts.take(id, slots);
        if left.slots == 0 {
            self.ends.remove(&(left.expires_at, Promise::Advertised(id)));
        }
    }

    /// Extends an advert, at that matchmaker.
    pub(super) fn renew_advert(&mut self, id: BidId, matchmaker: PeerId, expires_at: Time) {
        let advert = self.adverts.get_mut(id).expect("an advert that is renewed is open");
        self.ends.remove(&(advert.expires_at, Promise::Advertised(id)));
        self.ends.insert((expires_at, Promise::Advertised(id)));
        (advert.matchmaker, advert.expires_at) = (matchmaker, expires_at);
    }

    pub(super) fn end_advert(&mut self, id: BidId) {
        if let Some(slots) = self.adverts.get(id).map(|advert| advert.slots) {
            self.use_advert(id, slots);
        }
    }

    /// Ends the adverts that match.
    pub(super) fn end_adverts(&mut self, matches: impl Fn(&Advert) -> bool) {
        let ids: Vec<BidId> =
            self.adverts.iter().filter(|(_, advert)| matches(advert)).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.end_advert(id));
    }

    // ---- credit

    /// Raises an owner's credit by what `more` returns for its account, and extends it to that time. Opens an account
    /// under a fresh id if there is none; `None` if there are too many accounts.
    pub(super) fn grant(
        &mut self,
        owner: PeerId,
        expires_at: Time,
        fresh: impl FnOnce() -> BidId,
        more: impl FnOnce(&mut Credit) -> u32,
    ) -> Option<&Credit> {
        let (ended_at, credit) = self.credits.grant(owner, expires_at, fresh, more)?;
        self.ends.remove(&(ended_at, Promise::Credit(owner)));
        self.ends.insert((expires_at, Promise::Credit(owner)));
        Some(credit)
    }

    /// A task that was sent on credit has ended. True if that closes the account, because the credit has expired.
    pub(super) fn on_prefilled_left(&mut self, owner: PeerId, now: Time) -> bool {
        let over = self.credits.on_left(owner, now);
        if over {
            self.end_credit(owner);
        }
        over
    }

    /// Closes an owner's account.
    pub(super) fn end_credit(&mut self, owner: PeerId) {
        if let Some(expires_at) = self.credits.remove(owner) {
            self.ends.remove(&(expires_at, Promise::Credit(owner)));
        }
    }

    // ---- ends

    /// Ends all promises to a peer, as owner and as matchmaker.
    pub(super) fn forget(&mut self, owner: PeerId) {
        self.end_adverts(|advert| advert.matchmaker == owner);
        self.end_credit(owner);
        self.end_bids(|bid| bid.owner == owner);
    }

    /// Ends the first promise that has expired.
    pub(super) fn end_next(&mut self, now: Time) -> Option<Ended> {
        let (at, promise) = *self.ends.first()?;
        if at > now {
            return None;
        }
        self.ends.pop_first();
        Some(self.end(promise))
    }

    fn end(&mut self, promise: Promise) -> Ended {
        match promise {
            Promise::Bid(id) => Ended::Bid(self.end_bid(id).expect("what ends by time has not ended before")),
            Promise::Advertised(id) => {
                self.end_advert(id);
                Ended::Advertised
            }
            Promise::Credit(owner) => {
                self.credits.expire(owner);
                Ended::Credit(owner)
            }
        }
    }

    /// When the next promise ends, and which kind it is.
    pub(super) fn next_end(&self) -> Option<(Time, &'static str)> {
        let (at, promise) = self.ends.first()?;
        let ends = match promise {
            Promise::Bid(_) => "a bid ends",
            Promise::Advertised(_) => "what is advertised ends",
            Promise::Credit(_) => "credit ends",
        };
        Some((*at, ends))
    }
}

#[cfg(test)]
mod tests {
    use super::credits::Spent;
    use super::*;

    const OWNER: PeerId = PeerId([1; 32]);
    const MATCHMAKER: PeerId = PeerId([2; 32]);

    /// Two tasks of three slots bid, four slots advertised, credit for five tasks; they end in that order.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        let (class, call, expires_at) = (Class::Interactive, CallId(7), Time(10));
        let bid = Bid { owner: OWNER, call, class, tasks: 2, slots_each: 3, expires_at };
        ledger.add_bid(BidId(1), bid);
        let advert = Advert { matchmaker: MATCHMAKER, slots: 4, expires_at: Time(20) };
        ledger.advertise(BidId(2), advert);
        ledger.grant(OWNER, Time(30), || BidId(3), |_| 5).unwrap();
        ledger
    }

    /// Slots promised to callers of a high class, with what is advertised, in all, and to callers alone.
    fn account(ledger: &Ledger) -> [u32; 4] {
        let promised = |class| ledger.promised(class);
        [
            promised(Class::Interactive),
            promised(Class::Scavenger),
            ledger.promised_in_all(),
            ledger.bid_slots(),
        ]
    }

    fn spend(ledger: &mut Ledger, tasks: u32) -> bool {
        let spent = Spent { bid: BidId(3), class: Class::Batch, tasks, used: 0 };
        ledger.credits.spend(OWNER, spent)
    }

    #[test]
    fn each_promise_is_accounted_until_it_is_used() {
        let mut ledger = ledger();
        assert_eq!((account(&ledger), ledger.len()), ([6, 10, 15, 6], 3));
        ledger.use_bid(BidId(1), 1);
        assert_eq!(account(&ledger), [3, 7, 12, 3]);
        ledger.use_advert(BidId(2), 3);
        assert_eq!(account(&ledger), [3, 4, 9, 3]);
        assert!(spend(&mut ledger, 4) && !spend(&mut ledger, 2), "one is left");
        assert_eq!(account(&ledger), [3, 4, 5, 3]);
        ledger.use_bid(BidId(1), 1);
        ledger.use_advert(BidId(2), 1);
        assert!(spend(&mut ledger, 1));
        assert_eq!((account(&ledger), ledger.len()), ([0; 4], 0));
    }

    #[test]
    fn promises_end_by_time_in_one_order_and_return_their_slots() {
        let mut ledger = ledger();
        assert!(ledger.end_next(Time(9)).is_none());
        assert_eq!(ledger.next_end(), Some((Time(10), "a bid ends")));
        assert!(matches!(ledger.end_next(Time(99)), Some(Ended::Bid(bid)) if bid.tasks == 2));
        assert_eq!(account(&ledger), [0, 4, 9, 0]);
        assert!(matches!(ledger.end_next(Time(99)), Some(Ended::Advertised)));
        assert_eq!(account(&ledger), [0, 0, 5, 0]);
        assert!(matches!(ledger.end_next(Time(99)), Some(Ended::Credit(OWNER))));
        assert_eq!((account(&ledger), ledger.next_end()), ([0; 4], None));
    }

    #[test]
    fn an_owner_that_is_gone_leaves_no_promise_and_no_end() {
        let mut ledger = ledger();
        ledger.forget(OWNER);
        assert_eq!(account(&ledger), [0, 4, 4, 0]);
        ledger.forget(MATCHMAKER);
        assert_eq!((account(&ledger), ledger.len(), ledger.next_end()), ([0; 4], 0, None));
    }

    #[test]
    fn credit_that_ran_out_is_kept_while_its_tasks_are_here() {
        let mut ledger = ledger();
        assert!(spend(&mut ledger, 2));
        while ledger.end_next(Time(30)).is_some() {}
        assert_eq!((ledger.promised_in_all(), ledger.credits.owners()), (0, 1));
        assert!(!ledger.on_prefilled_left(OWNER, Time(31)));
        assert!(ledger.on_prefilled_left(OWNER, Time(31)), "the last one ends it");
        assert_eq!(ledger.credits.owners(), 0);
    }
}
