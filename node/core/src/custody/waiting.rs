//! Records of one job's log that were taken and are not to be written yet: bytes that they name are not here, or a record before
//! them waits for its own. For members and for copies. Bounded; plain bookkeeping.

use alloc::collections::VecDeque;

use super::record::Record;

/// Most records of one job that wait for bytes, or behind one that does, and what they take in memory; no further one is taken until
/// some are written.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 4 << 20;

/// All of one job, in the order of its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Waiting<R> {
    records: VecDeque<One<R>>,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct One<R> {
    record: R,
    /// What it takes in memory.
    bytes: usize,
    is_here: bool,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self { records: VecDeque::new(), bytes: 0 }
    }
}

impl<R> Waiting<R> {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What they take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.records.len() < WAITING_MAX && self.bytes < WAITING_BYTES_MAX
    }

    /// The next record, which takes that much memory; whether the bytes that it names are here.
    pub(super) fn push(&mut self, record: R, bytes: usize, is_here: bool) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.records.push_back(One { record, bytes, is_here });
    }

    /// The bytes are here that a record names; `written` is the last one before all of these.
    pub(super) fn note_here(&mut self, seq: u32, written: u32) {
        let place = seq.checked_sub(written.saturating_add(1));
        let place = place.and_then(|place| usize::try_from(place).ok());
        if let Some(one) = place.and_then(|place| self.records.get_mut(place)) {
            one.is_here = true;
        }
    }

    /// The next record that is to be written, if nothing that it names is missing.
    pub(super) fn pop_here(&mut self) -> Option<R> {
        let One { record, bytes, is_here: _ } = self.records.pop_front_if(|front| front.is_here)?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(record)
    }

    /// Leaves the first ones, that many. False if there are no others.
    pub(super) fn cut(&mut self, stay: u32) -> bool {
        let stay = usize::try_from(stay).unwrap_or(usize::MAX);
        let is_cut = stay < self.records.len();
        if is_cut {
            let gone: usize = self.records.drain(stay..).map(|one| one.bytes).sum();
            self.bytes = self.bytes.saturating_sub(gone);
        }
        is_cut
    }
}

/// What a record takes in memory with its bytes, about.
pub(super) fn memory_of<R: Record>(record: &R, bytes: &[u8]) -> usize {
    record.memory(bytes.len()).saturating_add(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_in_order_once_their_bytes_are_here() {
        let mut waiting = Waiting::default();
        for (record, is_here) in [("a", false), ("b", true), ("c", false)] {
            waiting.push(record, 10, is_here);
        }
        assert_eq!((waiting.pop_here(), waiting.bytes()), (None, 30));
        for (seq, written) in [(4, 4), (9, 4), (0, 4)] {
            waiting.note_here(seq, written);
            assert_eq!(waiting.pop_here(), None, "record {seq} is none of these");
        }
        waiting.note_here(5, 4);
        assert_eq!(
            (waiting.pop_here(), waiting.pop_here(), waiting.pop_here()),
            (Some("a"), Some("b"), None)
        );
        waiting.note_here(7, 6);
        assert_eq!((waiting.pop_here(), waiting.bytes(), waiting.is_empty()), (Some("c"), 0, true));
    }

    #[test]
    fn what_is_cut_makes_room() {
        let mut waiting = Waiting::default();
        while waiting.has_room() {
            waiting.push((), WAITING_BYTES_MAX / 4, false);
        }
        assert_eq!(waiting.records.len(), 4, "by their bytes");
        assert!(!waiting.cut(4) && !waiting.has_room());
        assert!(waiting.cut(1) && waiting.has_room());
        assert_eq!((waiting.records.len(), waiting.bytes()), (1, WAITING_BYTES_MAX / 4));
        while waiting.has_room() {
            waiting.push((), 1, false);
        }
        assert_eq!(waiting.records.len(), WAITING_MAX, "by their number");
    }
}
