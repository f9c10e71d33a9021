//! Where a record is in a job's log, and which epochs a log is made of. Pure arithmetic.
//!
//! Each epoch has one leader, and a leader never changes what it wrote. So two logs with the same epoch at one number are equal
//! up to it, and [`Spans`] alone say how far two logs agree.

use alloc::vec::Vec;

/// Most epochs of one log. A job whose log has this many gets no further leader.
pub const SPANS_MAX: usize = 4096;

/// The place of one record. The one with the greater epoch is further, whatever its number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Position {
    /// The epoch that it belongs to.
    pub epoch: u32,
    /// Its number, from 1.
    pub seq: u32,
}

impl Position {
    /// Before the first record.
    pub const NONE: Self = Self { epoch: 0, seq: 0 };
}

/// Records that follow each other in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Span {
    /// The epoch.
    pub epoch: u32,
    /// The number of its first record.
    pub first: u32,
}

/// The epochs of a log, and its length. What a peer sends is not checked before [`Self::is_sound`] says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Spans {
    spans: Vec<Span>,
    last: u32,
}

impl Spans {
    /// Of a log without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a log can be like this: numbers and epochs rise, from record 1 on, and there are not too many.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let rises = |pair: &[Span]| match pair {
            [one, next] => one.epoch < next.epoch && one.first < next.first,
            _ => true,
        };
        let starts = match self.spans.first() {
            None => self.last == 0,
            Some(span) => span.first == 1 && span.epoch > 0,
        };
        let ends = self.spans.last().is_none_or(|span| span.first <= self.last);
        starts && ends && self.spans.len() <= SPANS_MAX && self.spans.windows(2).all(rises)
    }

    /// The epochs, in order.
    #[must_use]
    pub fn epochs(&self) -> &[Span] {
        &self.spans
    }

    /// The place of the last record.
    #[must_use]
    pub fn last(&self) -> Position {
        Position { epoch: self.spans.last().map_or(0, |span| span.epoch), seq: self.last }
    }

    /// The epoch of a record, if there is one of this number.
    #[must_use]
    pub fn epoch_at(&self, seq: u32) -> Option<u32> {
        if seq > self.last {
            return None;
        }
        let behind = self.spans.partition_point(|span| span.first <= seq);
        Some(self.spans.get(behind.checked_sub(1)?)?.epoch)
    }

    /// The place of the record of this number, or [`Position::NONE`] for 0 and for what is not there.
    #[must_use]
    pub fn at(&self, seq: u32) -> Position {
        self.epoch_at(seq).map_or(Position::NONE, |epoch| Position { epoch, seq })
    }

    /// Whether that record is in the log. [`Position::NONE`] is in each.
    #[must_use]
    pub fn has(&self, position: Position) -> bool {
        position == Position::NONE || (position.seq > 0 && self.at(position.seq) == position)
    }

    /// The number of the last record that both logs have.
    #[must_use]
    pub fn common(&self, other: &Self) -> u32 {
        let (mut mine, mut theirs) = (self.spans.iter().rev(), other.spans.iter().rev());
        let (mut end, mut their_end) = (self.last, other.last);
        let (mut one, mut two) = (mine.next(), theirs.next());
        while let (Some(a), Some(b)) = (one, two) {
            if a.epoch == b.epoch {
                return end.min(their_end);
            }
            if a.epoch > b.epoch {
                end = a.first.saturating_sub(1);
                one = mine.next();
            } else {
                their_end = b.first.saturating_sub(1);
                two = theirs.next();
            }
        }
        0
    }

    /// Adds a record, of its own epoch if it begins one. False, and nothing is added, if it can't follow.
    pub fn push(&mut self, begins: Option<u32>) -> bool {
        let Some(seq) = self.last.checked_add(1) else { return false };
        if let Some(epoch) = begins {
            if epoch <= self.last().epoch || self.spans.len() >= SPANS_MAX {
                return false;
            }
            self.spans.push(Span { epoch, first: seq });
        }
        if self.spans.is_empty() {
            return false;
        }
        self.last = seq;
        true
    }

    /// Removes the records behind this one.
    pub fn cut(&mut self, after: u32) {
        self.last = self.last.min(after);
        self.spans.retain(|span| span.first <= after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with these epochs, one record each.
    fn log(epochs: &[u32]) -> Spans {
        let mut spans = Spans::new();
        let mut before = 0;
        for epoch in epochs {
            assert!(spans.push((*epoch != before).then_some(*epoch)), "{epochs:?}");
            before = *epoch;
        }
        spans
    }

    #[test]
    fn two_logs_agree_up_to_the_last_record_of_the_same_epoch() {
        let table: [(&[u32], &[u32], u32); 9] = [
            (&[], &[], 0),
            (&[3], &[], 0),
            (&[3, 3], &[3], 1),
            (&[3, 3], &[3, 3], 2),
            (&[3, 3, 4], &[3, 3, 5, 5], 2),
            (&[3, 3, 3, 4], &[3, 5], 1),
            (&[3, 4, 6, 6], &[3, 4, 4, 8], 2),
            (&[3, 4, 4, 4], &[3, 4, 4, 5], 3),
            (&[3], &[4], 0),
        ];
        for (one, two, common) in table {
            assert_eq!(log(one).common(&log(two)), common, "{one:?} {two:?}");
            assert_eq!(log(two).common(&log(one)), common, "{two:?} {one:?}");
        }
    }

    #[test]
    fn a_log_knows_the_epoch_at_each_number_also_after_a_cut() {
        let mut spans = log(&[3, 3, 4, 7, 7]);
        let found: Vec<Option<u32>> = (0..7).map(|seq| spans.epoch_at(seq)).collect();
        assert_eq!(found, [None, Some(3), Some(3), Some(4), Some(7), Some(7), None]);
        assert!(spans.has(Position::NONE) && spans.has(Position { epoch: 4, seq: 3 }));
        assert!(!spans.has(Position { epoch: 3, seq: 3 }) && !spans.has(Position { epoch: 3, seq: 0 }));
        spans.cut(3);
        assert_eq!((spans.last(), spans.epochs().len()), (Position { epoch: 4, seq: 3 }, 2));
        assert!(!spans.push(Some(4)) && spans.push(Some(5)) && spans.is_sound());
        spans.cut(0);
        assert_eq!(spans, Spans::new());
        assert!(!spans.push(None), "the first record begins an epoch");
    }

    #[test]
    fn what_no_log_is_like_is_not_sound() {
        let span = |epoch, first| Span { epoch, first };
        let table = [
            (alloc::vec![], 1),
            (alloc::vec![span(3, 2)], 2),
            (alloc::vec![span(0, 1)], 1),
            (alloc::vec![span(3, 1), span(3, 2)], 2),
            (alloc::vec![span(3, 1), span(4, 1)], 2),
            (alloc::vec![span(3, 1), span(4, 4)], 3),
            ((0..5000).map(|n| span(n + 1, n + 1)).collect(), 5000),
        ];
        for (spans, last) in table {
            assert!(!Spans { spans: spans.clone(), last }.is_sound(), "{spans:?} {last}");
        }
    }
}
