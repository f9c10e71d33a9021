//! Slots that a worker advertises at the matchmaker of its cell, for owners whom it does not know. Bookkeeping; what is
//! advertised when is [`crate::worker::bidder`]'s choice.

use alloc::collections::BTreeMap;

use crate::id::{BidId, PeerId};
use crate::time::Time;

/// Direct calls in a row, while something is advertised and no owner is matched, after which the matchmaker is doubted:
/// owners wait, this worker waits, and the matchmaker does not bring them together.
const PASSED_OVER_MAX: u32 = 3;
/// How long a doubted matchmaker's stand-in serves this worker instead, in milliseconds.
const DOUBT_MS: u64 = 10_000;

/// Slots for an owner whom that matchmaker names.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct Advert {
    pub(in crate::worker) matchmaker: PeerId,
    pub(in crate::worker) slots: u32,
    pub(in crate::worker) expires_at: Time,
}

/// All that is advertised.
#[derive(Debug, Default)]
pub(in crate::worker) struct Adverts {
    open: BTreeMap<BidId, Advert>,
    /// Slots of all of it.
    slots: u32,
    /// When it is said again.
    pub(in crate::worker) repeat_at: Option<Time>,
    passed_over: u32,
    doubted_until: Time,
}

impl Adverts {
    pub(in crate::worker) fn slots(&self) -> u32 {
        self.slots
    }

    pub(in crate::worker) fn len(&self) -> usize {
        self.open.len()
    }

    pub(in crate::worker) fn get(&self, id: BidId) -> Option<&Advert> {
        self.open.get(&id)
    }

    pub(in crate::worker) fn iter(&self) -> impl Iterator<Item = (BidId, &Advert)> {
        self.open.iter().map(|(id, advert)| (*id, advert))
    }

    pub(super) fn get_mut(&mut self, id: BidId) -> Option<&mut Advert> {
        self.open.get_mut(&id)
    }

    pub(super) fn insert(&mut self, id: BidId, advert: Advert) {
        self.slots += advert.slots;
        self.open.insert(id, advert);
    }

    /// Takes slots of one, which ends with its last; what is left of it.
    pub(super) fn take(&mut self, id: BidId, slots: u32) -> Advert {
        let advert = self.open.get_mut(&id).expect("an advert whose slots are taken is open");
        advert.slots -= slots;
        self.slots -= slots;
        let left = *advert;
        if left.slots == 0 {
            self.open.remove(&id);
        }
        left
    }

    /// An owner called directly while something is advertised: the matchmaker may not do its work.
    pub(in crate::worker) fn on_passed_over(&mut self, now: Time) {
        self.passed_over += 1;
        if self.passed_over >= PASSED_OVER_MAX {
            self.passed_over = 0;
            self.doubted_until = now.plus_ms(DOUBT_MS);
        }
    }

    /// The matchmaker sent an owner.
    pub(in crate::worker) fn on_matched(&mut self) {
        self.passed_over = 0;
    }

    /// Whether the matchmaker's stand-in serves this worker for now.
    pub(in crate::worker) fn doubts(&self, now: Time) -> bool {
        now < self.doubted_until
    }
}
