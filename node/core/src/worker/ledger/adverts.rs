//! Adverts: slots that a worker advertises at the matchmaker of its cell. Bookkeeping only; `worker/advertise.rs`
//! decides what is advertised and when.

use alloc::collections::BTreeMap;

use crate::id::{BidId, PeerId};
use crate::time::Time;

/// Direct calls in a row, while adverts are open and none is matched, after which the matchmaker is distrusted: owners
/// and this worker wait, and it does not match them.
const PASSED_OVER_MAX: u32 = 3;
/// How long a distrusted matchmaker's stand-in is used instead, in milliseconds.
const DOUBT_MS: u64 = 10_000;

/// Slots for the owner that the matchmaker matches with them.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct Advert {
    pub(in crate::worker) matchmaker: PeerId,
    pub(in crate::worker) slots: u32,
    pub(in crate::worker) expires_at: Time,
}

/// All open adverts.
#[derive(Debug, Default)]
pub(in crate::worker) struct Adverts {
    open: BTreeMap<BidId, Advert>,
    /// Slots of all adverts.
    slots: u32,
    /// When they are repeated.
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

    /// Takes slots of an advert, and ends it with its last. Returns what is left.
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

    /// An owner called directly while adverts are open: the matchmaker may not work.
    pub(in crate::worker) fn on_passed_over(&mut self, now: Time) {
        self.passed_over += 1;
        if self.passed_over >= PASSED_OVER_MAX {
            self.passed_over = 0;
            self.doubted_until = now.plus_ms(DOUBT_MS);
        }
    }

    /// The matchmaker matched an advert.
    pub(in crate::worker) fn on_matched(&mut self) {
        self.passed_over = 0;
    }

    /// Whether the matchmaker's stand-in serves this worker for now.
    pub(in crate::worker) fn doubts(&self, now: Time) -> bool {
        now < self.doubted_until
    }
}
