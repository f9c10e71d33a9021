//! A naive model of which bids a node may hand on and which workers it may award: an exchange introduces or lends no
//! more slots of a bid than were advertised to it, or lent at its own request; an owner hires only workers that an
//! exchange introduced at its request; and a worker that was named a liar gets no task for a while. Part of the
//! invariants. It sees the inputs and messages of one process and is dropped with it.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{BidId, CallId, CellWord, PeerId, Time};

use crate::invariants::{Scene, ensure};

/// How long a named liar is given no task at least, in milliseconds.
const NAMED_MS: u64 = 30_000;

/// What one process has heard and sent.
#[derive(Debug, Default)]
pub(crate) struct CreditModel {
    /// Slots that are advertised to it, by worker and bid. Bids of its own worker pass without a message and are left
    /// out.
    stood: BTreeMap<(PeerId, BidId), u32>,
    /// Slots that it asked others to lend.
    scouted: BTreeMap<PeerId, u64>,
    /// Exchanges that it asked for bids, with the call and the desk of the request.
    sought: BTreeSet<(PeerId, CallId, u32)>,
    /// Bids that were introduced by a node that it had not asked.
    hearsay: BTreeSet<BidId>,
    /// Unused bids that were introduced by an exchange that it had asked.
    rightly: BTreeSet<BidId>,
    hired_on_hearsay: Option<String>,
    /// When it last named each node a liar, by its own clock.
    named: BTreeMap<PeerId, Time>,
    handed_on_too_much: Option<String>,
    gave_to_a_liar: Option<String>,
}

impl CreditModel {
    /// The process receives a message of a mesh of cells; `me` is its peer id.
    pub(crate) fn on_heard(&mut self, me: PeerId, from: PeerId, word: &CellWord) {
        match word {
            CellWord::Advertise { bids, ttl_ms: _ } => {
                for (bid, slots) in bids {
                    self.stood.insert((from, *bid), *slots);
                    // This node's own exchange may introduce the bid, which passes without a message.
                    self.hearsay.remove(bid);
                }
            }
            CellWord::Flock { bids, ttl_ms: _ } => {
                let asked = self.scouted.entry(from).or_default();
                for (worker, bid, slots) in bids.iter().filter(|(worker, _, _)| *worker != me) {
                    let lent = u64::from(*slots).min(*asked);
                    *asked -= lent;
                    let stood = self.stood.entry((*worker, *bid)).or_default();
                    *stood = stood.saturating_add(u32::try_from(lent).unwrap_or(u32::MAX));
                    self.hearsay.remove(bid);
                }
            }
            CellWord::Match(word) => {
                // The same bid may be introduced again by an exchange that was asked meanwhile.
                if self.sought.contains(&(from, word.call, word.request_id)) {
                    self.hearsay.remove(&word.bid);
                    self.rightly.insert(word.bid);
                } else if !self.rightly.contains(&word.bid) {
                    self.hearsay.insert(word.bid);
                }
            }
            CellWord::Request(_)
            | CellWord::Waits { .. }
            | CellWord::FlockRequest { .. }
            | CellWord::Claim { .. } => {}
        }
    }

    /// The process sends a message of a mesh of cells.
    pub(crate) fn on_said(&mut self, to: PeerId, word: &CellWord) {
        match word {
            CellWord::Match(word) => self.hand_on(word.worker, word.bid, word.slots),
            CellWord::Flock { bids, ttl_ms: _ } => {
                bids.iter().for_each(|(worker, bid, slots)| self.hand_on(*worker, *bid, *slots));
            }
            CellWord::FlockRequest { count, memory_bytes: _ } => {
                *self.scouted.entry(to).or_default() += u64::from(*count);
            }
            CellWord::Request(seek) => {
                self.sought.insert((to, seek.call, seek.request_id));
            }
            CellWord::Claim { award, call: _ } => {
                if self.hearsay.contains(&award.bid) {
                    self.hired_on_hearsay = Some(format!(
                        "{to:?} is hired on {:?}, introduced by a node that was not asked",
                        award.bid
                    ));
                }
                self.rightly.remove(&award.bid);
            }
            CellWord::Advertise { .. } | CellWord::Waits { .. } => {}
        }
    }

    fn hand_on(&mut self, worker: PeerId, bid: BidId, slots: u32) {
        let Some(stood) = self.stood.get_mut(&(worker, bid)) else { return };
        match stood.checked_sub(slots) {
            Some(left) => *stood = left,
            None => {
                self.handed_on_too_much =
                    Some(format!("{slots} slots of {bid:?} handed on, {stood} were advertised"));
            }
        }
    }

    /// The process tells its user that a node lied.
    pub(crate) fn on_named(&mut self, worker: PeerId, now: Time) {
        self.named.insert(worker, now);
    }

    /// Whether the process told its user that this node lied.
    pub(crate) fn has_named(&self, worker: PeerId) -> bool {
        self.named.contains_key(&worker)
    }

    /// The process awards a task to a node.
    pub(crate) fn on_award(&mut self, worker: PeerId, now: Time) {
        let since = self.named.get(&worker).filter(|since| now < since.plus_ms(NAMED_MS));
        if let Some(since) = since {
            self.gave_to_a_liar =
                Some(format!("{worker:?} is awarded a task and was named a liar at {since:?}"));
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
