//! A naive model of which bids a node may hand on and which workers it may award: a matchmaker matches or passes on no
//! more slots of a bid than were advertised to it, or passed on at its own request; an owner claims only workers that
//! a matchmaker matched at its request; and a worker that was named a liar gets no task for a while. Part of the
//! invariants. It sees the inputs and messages of one process and is dropped with it.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{BidId, CallId, CellMessage, PeerId, Time};

use crate::invariants::{Scene, ensure};

/// How long a named liar is given no task at least, in milliseconds.
const NAMED_MS: u64 = 30_000;

/// What one process has heard and sent.
#[derive(Debug, Default)]
pub(crate) struct CreditModel {
    /// Slots that are advertised to it, by worker and bid. Bids of its own worker pass without a message and are left
    /// out.
    advertised: BTreeMap<(PeerId, BidId), u32>,
    /// Slots that it asked others to pass on.
    asked_to_flock: BTreeMap<PeerId, u64>,
    /// Matchmakers that it asked for bids, with the call and the id of the request.
    requested: BTreeSet<(PeerId, CallId, u32)>,
    /// Bids that were matched by a node that it had not asked.
    hearsay: BTreeSet<BidId>,
    /// Unused bids that were matched by a matchmaker that it had asked.
    rightly: BTreeSet<BidId>,
    claimed_on_hearsay: Option<String>,
    /// When it last named each node a liar, by its own clock.
    named: BTreeMap<PeerId, Time>,
    handed_on_too_much: Option<String>,
    gave_to_a_liar: Option<String>,
}

impl CreditModel {
    /// The process receives a message of a mesh of cells; `me` is its peer id.
    pub(crate) fn on_heard(&mut self, me: PeerId, from: PeerId, word: &CellMessage) {
        match word {
            CellMessage::Advertise { bids, ttl_ms: _ } => {
                for (bid, slots) in bids {
                    self.advertised.insert((from, *bid), *slots);
                    // This node's own matchmaker may match the bid, which passes without a message.
                    self.hearsay.remove(bid);
                }
            }
            CellMessage::Flock { bids, ttl_ms: _ } => {
                let asked = self.asked_to_flock.entry(from).or_default();
                for (worker, bid, slots) in bids.iter().filter(|(worker, _, _)| *worker != me) {
                    let passed_on = u64::from(*slots).min(*asked);
                    *asked -= passed_on;
                    let kept = self.advertised.entry((*worker, *bid)).or_default();
                    *kept = kept.saturating_add(u32::try_from(passed_on).unwrap_or(u32::MAX));
                    self.hearsay.remove(bid);
                }
            }
            CellMessage::Match(word) => {
                // The same bid may be matched again by a matchmaker that was asked meanwhile, or be known to this node's own.
                let is_advertised = self.advertised.contains_key(&(word.worker, word.bid));
                if self.requested.contains(&(from, word.call, word.request_id)) {
                    self.hearsay.remove(&word.bid);
                    self.rightly.insert(word.bid);
                } else if !self.rightly.contains(&word.bid) && !is_advertised {
                    self.hearsay.insert(word.bid);
                }
            }
            CellMessage::Request(_)
            | CellMessage::Waits { .. }
            | CellMessage::FlockRequest { .. }
            | CellMessage::Claim { .. } => {}
        }
    }

    /// The process sends a message of a mesh of cells.
    pub(crate) fn on_said(&mut self, to: PeerId, word: &CellMessage) {
        match word {
            CellMessage::Match(word) => self.hand_on(word.worker, word.bid, word.slots),
            CellMessage::Flock { bids, ttl_ms: _ } => {
                bids.iter().for_each(|(worker, bid, slots)| self.hand_on(*worker, *bid, *slots));
            }
            CellMessage::FlockRequest { count, memory_bytes: _ } => {
                *self.asked_to_flock.entry(to).or_default() += u64::from(*count);
            }
            CellMessage::Request(seek) => {
                self.requested.insert((to, seek.call, seek.request_id));
            }
            CellMessage::Claim { award, call: _ } => {
                if self.hearsay.contains(&award.bid) {
                    self.claimed_on_hearsay = Some(format!(
                        "{to:?} is claimed on {:?}, matched by a node that was not asked",
                        award.bid
                    ));
                }
                self.rightly.remove(&award.bid);
            }
            CellMessage::Advertise { .. } | CellMessage::Waits { .. } => {}
        }
    }

    fn hand_on(&mut self, worker: PeerId, bid: BidId, slots: u32) {
        let Some(kept) = self.advertised.get_mut(&(worker, bid)) else { return };
        match kept.checked_sub(slots) {
            Some(left) => *kept = left,
            None => {
                self.handed_on_too_much =
                    Some(format!("{slots} slots of {bid:?} handed on, {kept} were advertised"));
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

pub(crate) fn invariant_a_claimed_worker_was_matched_by_an_asked_node(
    scene: &Scene<'_>,
) -> Result<(), String> {
    let seen = &scene.host.credit_model.claimed_on_hearsay;
    ensure(seen.is_none(), || seen.clone().unwrap_or_default())
}
