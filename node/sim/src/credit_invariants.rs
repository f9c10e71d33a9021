//! What a node may hand on and to whom it may give, as naively as can be said: an exchange introduces or lends no more
//! of a bid than stood with it, or was lent at its own request; an owner hires nobody on the word of who was not asked;
//! and nobody who was named a liar gets a task for a while. Part of the invariants; it hears what a host is told and
//! says, and dies with its process.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{BidId, CallId, CellWord, PeerId, Time};

use crate::invariants::{Scene, ensure};

/// For how long a named liar is given nothing at least, in milliseconds.
const NAMED_MS: u64 = 30_000;

/// What one process knows of both.
#[derive(Debug, Default)]
pub(crate) struct CreditModel {
    /// Slots that stand with it, by worker and bid. What its own worker stands is not seen, and not kept.
    stood: BTreeMap<(PeerId, BidId), u32>,
    /// Slots that it asked others to lend.
    scouted: BTreeMap<PeerId, u64>,
    /// Where it sought, for which call, as which desk.
    sought: BTreeSet<(PeerId, CallId, u32)>,
    /// Bids introduced by who was not asked.
    hearsay: BTreeSet<BidId>,
    /// Bids introduced by who was asked, and not used yet.
    rightly: BTreeSet<BidId>,
    hired_on_hearsay: Option<String>,
    /// When it named whom a liar last, by its own clock.
    named: BTreeMap<PeerId, Time>,
    handed_on_too_much: Option<String>,
    gave_to_a_liar: Option<String>,
}

impl CreditModel {
    /// It, whose peer id this is, hears a word of a mesh of cells.
    pub(crate) fn on_heard(&mut self, me: PeerId, from: PeerId, word: &CellWord) {
        match word {
            CellWord::Stand { bids, ttl_ms: _ } => {
                for (bid, slots) in bids {
                    self.stood.insert((from, *bid), *slots);
                    // Its own exchange may introduce it, which is not seen.
                    self.hearsay.remove(bid);
                }
            }
            CellWord::Lend { bids, ttl_ms: _ } => {
                let asked = self.scouted.entry(from).or_default();
                for (worker, bid, slots) in bids.iter().filter(|(worker, _, _)| *worker != me) {
                    let lent = u64::from(*slots).min(*asked);
                    *asked -= lent;
                    let stood = self.stood.entry((*worker, *bid)).or_default();
                    *stood = stood.saturating_add(u32::try_from(lent).unwrap_or(u32::MAX));
                    self.hearsay.remove(bid);
                }
            }
            CellWord::Introduce(word) => {
                // The same bid may come again, from who was asked by then.
                if self.sought.contains(&(from, word.call, word.desk)) {
                    self.hearsay.remove(&word.bid);
                    self.rightly.insert(word.bid);
                } else if !self.rightly.contains(&word.bid) {
                    self.hearsay.insert(word.bid);
                }
            }
            CellWord::Seek(_) | CellWord::Waits { .. } | CellWord::Scout { .. } | CellWord::Hire { .. } => {}
        }
    }

    /// It says one to that node.
    pub(crate) fn on_said(&mut self, to: PeerId, word: &CellWord) {
        match word {
            CellWord::Introduce(word) => self.hand_on(word.worker, word.bid, word.slots),
            CellWord::Lend { bids, ttl_ms: _ } => {
                bids.iter().for_each(|(worker, bid, slots)| self.hand_on(*worker, *bid, *slots));
            }
            CellWord::Scout { count, memory_bytes: _ } => {
                *self.scouted.entry(to).or_default() += u64::from(*count);
            }
            CellWord::Seek(seek) => {
                self.sought.insert((to, seek.call, seek.desk));
            }
            CellWord::Hire { award, call: _ } => {
                if self.hearsay.contains(&award.bid) {
                    self.hired_on_hearsay = Some(format!("{to:?} is hired on {:?}", award.bid));
                }
                self.rightly.remove(&award.bid);
            }
            CellWord::Stand { .. } | CellWord::Waits { .. } => {}
        }
    }

    fn hand_on(&mut self, worker: PeerId, bid: BidId, slots: u32) {
        let Some(stood) = self.stood.get_mut(&(worker, bid)) else { return };
        match stood.checked_sub(slots) {
            Some(left) => *stood = left,
            None => {
                self.handed_on_too_much = Some(format!("{slots} slots of {bid:?} handed on, {stood} stood"));
            }
        }
    }

    /// It tells its user that a node lied.
    pub(crate) fn on_named(&mut self, worker: PeerId, now: Time) {
        self.named.insert(worker, now);
    }

    /// Whether it told its user that this node lied.
    pub(crate) fn has_named(&self, worker: PeerId) -> bool {
        self.named.contains_key(&worker)
    }

    /// It gives a node a task.
    pub(crate) fn on_award(&mut self, worker: PeerId, now: Time) {
        let since = self.named.get(&worker).filter(|since| now < since.plus_ms(NAMED_MS));
        if let Some(since) = since {
            self.gave_to_a_liar = Some(format!("{worker:?} is given a task, and lied at {since:?}"));
        }
    }
}

pub(crate) fn invariant_a_bid_is_handed_on_once(scene: &Scene<'_>) -> Result<(), String> {
    let seen = &scene.host.credit_model.handed_on_too_much;
    ensure(seen.is_none(), || seen.clone().unwrap_or_default())
}

pub(crate) fn invariant_who_was_named_is_given_nothing(scene: &Scene<'_>) -> Result<(), String> {
    let seen = &scene.host.credit_model.gave_to_a_liar;
    ensure(seen.is_none(), || seen.clone().unwrap_or_default())
}

pub(crate) fn invariant_who_is_hired_was_introduced_by_who_was_asked(
    scene: &Scene<'_>,
) -> Result<(), String> {
    let seen = &scene.host.credit_model.hired_on_hearsay;
    ensure(seen.is_none(), || seen.clone().unwrap_or_default())
}
