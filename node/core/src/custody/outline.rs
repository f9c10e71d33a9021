//! What a member remembers of its log besides its records: epochs, ends, replacements. Pure bookkeeping.

use alloc::vec::Vec;

use super::position::{Position, SPANS_MAX, Spans};
use super::record::{Mark, Record};
use super::trio::{FIRST_EPOCH, SEATS, Seat, Trio};
use crate::id::PeerId;

/// Most ends, retries and replacements of one log; what would be one more is no record of such a log.
const TURNS_MAX: usize = 4 * SPANS_MAX;
/// Beyond this many there is no further replacement: each epoch has room for a retry and an end. A replacement takes two, as it is
/// confirmed by another record: so there are some 4096.
const REPLACED_MAX: usize = 2 * SPANS_MAX;

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

/// A replacement, and the trio before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The number of its record.
    pub seq: u32,
    /// The seat, 0 to 2.
    pub seat: u8,
    /// Who sits there from then on.
    pub by: Seat,
    /// The trio before.
    pub before: Trio,
}

impl Replacement {
    /// The trio from then on.
    #[must_use]
    pub fn after(&self) -> Trio {
        self.before.with(self.seat, self.by)
    }

    /// Whether the member had the seat before. Such a record says that the replacement before it is committed, to each member
    /// that has it in its log (Raft's C-new, section 6 of its paper): the trio before that one is asked no more.
    #[must_use]
    pub fn confirms(&self) -> bool {
        self.after() == self.before
    }
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
                let has_room = self.turns.len() < REPLACED_MAX;
                if !has_room || u32::from(seat) >= SEATS || !self.trio().with(seat, by).is_sound() {
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

    /// The number of the last record of a replacement, if there was one.
    pub(super) fn last_replaced(&self) -> Option<u32> {
        let last = self.turns.iter().rev().find(|turn| matches!(turn.what, What::Replaced { .. }));
        last.map(|turn| turn.seq)
    }

    /// The last replacement, if there was one. Its leader had committed the one before.
    #[must_use]
    pub fn replacement(&self) -> Option<Replacement> {
        self.replacements().next()
    }

    /// All replacements, the last first.
    pub(super) fn replacements(&self) -> impl Iterator<Item = Replacement> {
        self.turns.iter().rev().filter_map(|turn| match turn.what {
            What::Replaced { seat, by } => {
                Some(Replacement { seq: turn.seq, seat, by, before: self.trio_before(turn.seq) })
            }
            What::Ended | What::Retried => None,
        })
    }

    /// The number of the record with which a node lost its seat last, if it did.
    pub(super) fn left_at(&self, peer: PeerId) -> Option<u32> {
        let left = |of: &Replacement| of.before.seat_of(peer) == Some(of.seat) && of.by.peer != peer;
        self.replacements().find(left).map(|of| of.seq)
    }

    /// Whether a node sat in the trio once, whatever its disk.
    #[must_use]
    pub fn knew(&self, peer: PeerId) -> bool {
        let replaced = |turn: &Turn| matches!(turn.what, What::Replaced { by, .. } if by.peer == peer);
        self.trio.seat_of(peer).is_some() || self.turns.iter().any(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    struct Marked(Mark);

    impl Record for Marked {
        fn mark(&self) -> Mark {
            self.0
        }

        fn names_blobs(&self) -> bool {
            false
        }

        fn led(epoch: u32, _at: Time) -> Self {
            Self(Mark::Led(epoch))
        }

        fn retried(epoch: u32, _at: Time) -> Self {
            Self(Mark::Retried(epoch))
        }

        fn replaced(seat: u8, by: Seat) -> Self {
            Self(Mark::Replaced { seat, by })
        }

        fn encode(&self) -> Vec<u8> {
            Vec::new()
        }

        fn decode(_bytes: &[u8]) -> Option<Self> {
            None
        }
    }

    fn seat(node: u8) -> Seat {
        Seat { peer: PeerId([node; 32]), disk: u64::from(node) }
    }

    const fn replaced(seat: u8, by: Seat) -> Mark {
        Mark::Replaced { seat, by }
    }

    fn outline(marks: &[Mark]) -> Outline {
        let accepted = Mark::Accepted(Trio([seat(1), seat(2), seat(3)]));
        let mut outline = Outline::new(&Marked(accepted)).expect("a first record");
        marks.iter().for_each(|mark| assert!(outline.push(&Marked(*mark)), "{mark:?}"));
        outline
    }

    #[test]
    fn a_log_says_who_keeps_the_job_and_whether_it_ended() {
        let mut log =
            outline(&[Mark::Other, Mark::Ended, Mark::Led(4), replaced(2, seat(4)), Mark::Retried(6)]);
        assert_eq!((log.ended(), log.last()), (None, Position { epoch: 6, seq: 6 }));
        assert_eq!(log.trio(), Trio([seat(1), seat(2), seat(4)]));
        let before = Trio([seat(1), seat(2), seat(3)]);
        assert_eq!(log.replacement(), Some(Replacement { seq: 5, seat: 2, by: seat(4), before }));
        assert_eq!(log.last_replaced(), Some(5));
        assert_eq!((log.left_at(seat(3).peer), log.left_at(seat(4).peer)), (Some(5), None));
        log.cut(5);
        assert_eq!(log.ended(), Some(3), "the retry was cut");
        log.cut(4);
        assert_eq!((log.trio(), log.replacement(), log.last_replaced()), (before, None, None));
        log.cut(2);
        assert_eq!((log.ended(), log.last()), (None, Position { epoch: 3, seq: 2 }));
    }

    #[test]
    fn a_node_that_sits_again_left_before() {
        let log = outline(&[replaced(2, seat(4)), replaced(2, seat(3))]);
        assert_eq!((log.left_at(seat(3).peer), log.left_at(seat(4).peer)), (Some(2), Some(3)));
        assert!(log.knew(seat(4).peer) && !log.knew(seat(5).peer));
        let another_disk = outline(&[replaced(1, Seat { disk: 9, ..seat(2) })]);
        assert_eq!(another_disk.left_at(seat(2).peer), None, "the node is still there");
    }

    #[test]
    fn a_replacement_is_confirmed_by_the_same_one_again() {
        let log = outline(&[replaced(2, seat(4)), Mark::Other, replaced(2, seat(4))]);
        let [last, first] = log.replacements().collect::<Vec<_>>()[..] else { panic!("two") };
        assert_eq!((last.seq, last.before, last.confirms()), (4, log.trio(), true));
        assert_eq!((first.seq, first.after(), first.confirms()), (2, log.trio(), false));
        assert_eq!(log.left_at(seat(3).peer), Some(2), "the node left once");
    }

    #[test]
    fn what_can_t_follow_is_not_taken() {
        let accepted = Mark::Accepted(Trio([seat(1), seat(2), seat(3)]));
        let none = Seat { disk: 0, ..seat(5) };
        let table = [
            accepted,
            Mark::Foreign,
            Mark::Led(3),
            Mark::Retried(2),
            replaced(3, seat(5)),
            replaced(0, seat(2)),
            replaced(0, none),
        ];
        for mark in table {
            let mut log = outline(&[]);
            assert!(!log.push(&Marked(mark)), "{mark:?}");
            assert_eq!(log, outline(&[]), "{mark:?}");
        }
        let twice = Trio([seat(1), seat(2), seat(1)]);
        assert_eq!(Outline::new(&Marked(Mark::Accepted(twice))), None);
        assert_eq!(Outline::new(&Marked(Mark::Ended)), None);
    }
}
