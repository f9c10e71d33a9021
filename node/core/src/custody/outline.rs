//! What a member remembers of its log besides its records: epochs, ends, replacements. Pure bookkeeping.

use alloc::vec::Vec;

use super::position::{Position, SPANS_MAX, Spans};
use super::record::{Mark, Record};
use super::trio::{Seat, Trio};
use super::{FIRST_EPOCH, SEATS};
use crate::id::PeerId;

/// Most ends, retries and replacements of one log; what would be one more is no record of such a log.
const TURNS_MAX: usize = 4 * SPANS_MAX;

/// The outline of one job's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct Outline {
    spans: Spans,
    /// As accepted.
    trio: Trio,
    turns: Vec<Turn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
struct Turn {
    seq: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
enum What {
    Ended,
    Retried,
    Replaced { seat: u8, by: Seat },
}

/// A replacement, and the trios before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The number of its record.
    pub seq: u32,
    /// The seat, 0 to 2.
    pub seat: u8,
    /// The trio before.
    pub before: Trio,
}

impl Outline {
    /// Of a log with this first record, if it can be one.
    #[must_use]
    pub fn new<R: Record>(first: &R) -> Option<Self> {
        let Mark::Accepted(trio) = first.mark() else { return None };
        let mut outline = Self { spans: Spans::new(), trio, turns: Vec::new() };
        (trio.is_sound() && outline.push(first)).then_some(outline)
    }

    /// The same without any record.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { spans: Spans::new(), trio: self.trio, turns: Vec::new() }
    }

    /// Adds a record. False, and nothing is added, if it can't follow.
    pub fn push<R: Record>(&mut self, record: &R) -> bool {
        let (begins, what) = match record.mark() {
            Mark::Accepted(trio) => {
                if self.last() != Position::NONE || trio != self.trio {
                    return false;
                }
                (Some(FIRST_EPOCH), None)
            }
            Mark::Foreign => return false,
            Mark::Led(epoch) => (Some(epoch), None),
            Mark::Retried(epoch) => (Some(epoch), Some(What::Retried)),
            Mark::Replaced { seat, by } => {
                if u32::from(seat) >= SEATS || !self.trio().with(seat, by).is_sound() {
                    return false;
                }
                (None, Some(What::Replaced { seat, by }))
            }
            Mark::Ended => (None, Some(What::Ended)),
            Mark::Other => (None, None),
        };
        if self.turns.len() >= TURNS_MAX || !self.spans.push(begins) {
            return false;
        }
        let seq = self.spans.last().seq;
        self.turns.extend(what.map(|what| Turn { seq, what }));
        true
    }

    /// Removes the records behind this one.
    pub fn cut(&mut self, after: u32) {
        self.spans.cut(after);
        self.turns.retain(|turn| turn.seq <= after);
    }

    /// Its epochs.
    #[must_use]
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The place of its last record.
    #[must_use]
    pub fn last(&self) -> Position {
        self.spans.last()
    }

    /// The number of the record with which the job ended, unless it was tried again since.
    #[must_use]
    pub fn ended(&self) -> Option<u32> {
        let turns = self.turns.iter().rev();
        let last = turns.into_iter().find(|turn| !matches!(turn.what, What::Replaced { .. }))?;
        (last.what == What::Ended).then_some(last.seq)
    }

    /// The trio, as of the last record.
    #[must_use]
    pub fn trio(&self) -> Trio {
        self.trio_before(u32::MAX)
    }

    /// Who sat where before the record of that number.
    fn trio_before(&self, seq: u32) -> Trio {
        let turns = self.turns.iter().take_while(|turn| turn.seq < seq);
        turns.fold(self.trio, |trio, turn| match turn.what {
            What::Replaced { seat, by } => trio.with(seat, by),
            What::Ended | What::Retried => trio,
        })
    }

    /// The last replacement, if there was one. Its leader had committed the one before.
    #[must_use]
    pub fn replacement(&self) -> Option<Replacement> {
        self.turns.iter().rev().find_map(|turn| match turn.what {
            What::Replaced { seat, by: _ } => {
                Some(Replacement { seq: turn.seq, seat, before: self.trio_before(turn.seq) })
            }
            What::Ended | What::Retried => None,
        })
    }

    /// The number of the record with which a node lost its seat last, if it did.
    pub(super) fn left_at(&self, peer: PeerId) -> Option<u32> {
        let replaced = self.turns.iter().rev().filter_map(|turn| match turn.what {
            What::Replaced { seat, by } => Some((turn.seq, seat, by)),
            What::Ended | What::Retried => None,
        });
        replaced.into_iter().find_map(|(seq, seat, by)| {
            let left = self.trio_before(seq).seat_of(peer) == Some(seat) && by.peer != peer;
            left.then_some(seq)
        })
    }

    /// Whether a node sat in the trio once, whatever its disk.
    #[must_use]
    pub fn knew(&self, peer: PeerId) -> bool {
        let replaced = |turn: &Turn| matches!(turn.what, What::Replaced { by, .. } if by.peer == peer);
        self.trio.seat_of(peer).is_some() || self.turns.iter().any(replaced)
    }
}
