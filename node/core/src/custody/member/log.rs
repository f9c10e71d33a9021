//! A member's log: what is taken into it, what is cut from it, and what of it is on the disk.

use super::Member;
use super::state::Write;
use crate::custody::action::Action;
use crate::custody::position::Position;
use crate::custody::record::{Mark, Record};
use crate::custody::trio::FIRST_EPOCH;
use crate::custody::waiting::memory_of;
use alloc::sync::Arc;

impl<R: Record + Clone> Member<R> {
    /// Takes records of another member's log, which has `after` before them and none of an epoch above `epoch`. How far the
    /// logs are equal now; what is malformed, or beyond a bound, ends it.
    pub(super) fn take_all(&mut self, after: Position, records: &[Arc<[u8]>], epoch: u32) -> u32 {
        let mut at = after;
        for bytes in records {
            let Some(record) = R::decode(bytes) else { break };
            let begins = match record.mark() {
                Mark::Accepted(_) => Some(FIRST_EPOCH),
                Mark::Led(begins) | Mark::Retried(begins) => Some(begins),
                Mark::Replaced { .. } | Mark::Ended | Mark::Other | Mark::Foreign => None,
            };
            let next = Position { epoch: begins.unwrap_or(at.epoch), seq: at.seq.saturating_add(1) };
            if next.epoch > epoch || !(self.log.spans().has(next) || self.take(at, record, bytes)) {
                break;
            }
            at = next;
        }
        at.seq
    }

    /// Takes the record behind `after`, in place of what is there. False if it can't be taken.
    fn take(&mut self, after: Position, record: R, bytes: &Arc<[u8]>) -> bool {
        if !self.waiting.has_room() || !self.cut(after.seq) || !self.log.push(&record) {
            return false;
        }
        let here = !record.names_blobs();
        if !here {
            let at = self.log.last();
            self.emit(Action::Fetch { at, record: record.clone(), bytes: bytes.len() });
        }
        let memory = memory_of(&record, bytes);
        self.waiting.push((record, Arc::clone(bytes)), memory, here);
        self.write_waiting();
        true
    }

    /// Adds a record of its own, which is here with all that it names.
    pub(super) fn push_own(&mut self, record: R, bytes: Arc<[u8]>) -> Option<u32> {
        self.log.push(&record).then(|| {
            self.persist(record, bytes);
            self.written
        })
    }

    /// The blobs of a record are here.
    pub(super) fn note_blobs(&mut self, at: Position) {
        if self.log.spans().has(at) {
            self.waiting.note_here(at.seq, self.written);
        }
        self.write_waiting();
    }

    /// What the records take in memory that are not to be written yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.bytes()
    }

    fn write_waiting(&mut self) {
        while let Some((record, bytes)) = self.waiting.pop_here() {
            self.persist(record, bytes);
        }
    }

    fn persist(&mut self, record: R, bytes: Arc<[u8]>) {
        self.written = self.written.saturating_add(1);
        self.writes.push_back(Write::Record(self.written));
        self.emit(Action::Persist { seq: self.written, record, bytes });
    }

    /// Removes what is behind a record. False, and nothing is removed, where that is known to be committed: no leader asks for
    /// it.
    pub(super) fn cut(&mut self, after: u32) -> bool {
        if after < self.committed.min(self.log.last().seq) {
            return false;
        }
        if after >= self.log.last().seq {
            return true;
        }
        self.drop_waiting(after);
        if after < self.written {
            for write in &mut self.writes {
                if matches!(write, Write::Record(seq) if *seq > after) {
                    *write = Write::Other;
                }
            }
            (self.written, self.durable) = (after, self.durable.min(after));
            self.writes.push_back(Write::Other);
            self.emit(Action::Cut { after });
        }
        if let Some(reading) = &mut self.reading {
            reading.stale = true;
        }
        self.log.cut(after);
        true
    }

    /// Records behind this one that were not written go.
    pub(super) fn drop_waiting(&mut self, after: u32) {
        if !self.waiting.cut(after.saturating_sub(self.written)) {
            return;
        }
        let after = after.max(self.written);
        self.log.cut(after);
        self.emit(Action::Drop { from: after.saturating_add(1) });
    }

    /// Promises an epoch, and takes nothing of a lower one from now on.
    pub(super) fn promise(&mut self, epoch: u32) {
        self.drop_waiting(self.written);
        self.promised = epoch;
        self.seen = self.seen.max(epoch);
        self.writes.push_back(Write::Promise(epoch));
        self.emit(Action::Promise { epoch });
    }

    /// All up to a record is committed.
    pub(super) fn commit(&mut self, upto: u32) {
        if upto <= self.committed {
            return;
        }
        let before = core::mem::replace(&mut self.committed, upto);
        self.emit(Action::Committed { upto });
        if self.log.last_replaced().is_none_or(|seq| seq <= before) {
            return;
        }
        let new = self.log.replacements().take_while(|of| of.seq > before);
        let is_replaced = new.into_iter().any(|of| of.seq <= upto && !of.confirms());
        if is_replaced {
            self.emit(Action::Keepers(self.log.trio()));
        }
    }
}
