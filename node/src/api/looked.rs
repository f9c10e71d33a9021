//! Blobs that the disk was asked about a moment ago: clients ask about a module before each job, and each question to the disk
//! is a thread's work. What is said here is no older than [`FRESH`]; a file may be removed as soon after any answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weft_core::BlobId;

/// For how long an answer of the disk holds.
const FRESH: Duration = Duration::from_millis(200);
/// Blobs of which one is known; beyond it those that are not fresh are forgotten, or else all.
const LOOKED_MAX: usize = 1024;

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Looked(Mutex<BTreeMap<BlobId, Look>>);

/// The file was there.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    bytes: u64,
    /// It is known to be no module as text.
    is_no_text: bool,
}

impl Looked {
    /// The length of a blob whose file was there.
    pub(super) fn bytes(&self, id: BlobId) -> Option<u64> {
        self.fresh(id, Instant::now()).map(|look| look.bytes)
    }

    /// Whether the file was there and is no module as text.
    pub(super) fn is_no_text(&self, id: BlobId) -> bool {
        self.fresh(id, Instant::now()).is_some_and(|look| look.is_no_text)
    }

    /// The file is there.
    pub(super) fn note(&self, id: BlobId, bytes: u64) {
        self.note_at(id, bytes, Instant::now());
    }

    fn note_at(&self, id: BlobId, bytes: u64, now: Instant) {
        // What its bytes are does not change: they have its name.
        let is_no_text = self.fresh(id, now).is_some_and(|look| look.is_no_text);
        self.insert(id, Look { at: now, bytes, is_no_text });
    }

    /// The file is there, and no module as text.
    pub(super) fn note_no_text(&self, id: BlobId, bytes: u64) {
        self.insert(id, Look { at: Instant::now(), bytes, is_no_text: true });
    }

    fn fresh(&self, id: BlobId, now: Instant) -> Option<Look> {
        self.lock().get(&id).filter(|look| look.is_fresh(now)).copied()
    }

    fn insert(&self, id: BlobId, look: Look) {
        let mut all = self.lock();
        if all.len() >= LOOKED_MAX {
            all.retain(|_, known| known.is_fresh(look.at));
        }
        if all.len() >= LOOKED_MAX {
            all.clear();
        }
        all.insert(id, look);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobId, Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < FRESH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BlobId = BlobId([7; 32]);

    fn look(at: Instant, is_no_text: bool) -> Look {
        Look { at, bytes: 5, is_no_text }
    }

    #[test]
    fn an_answer_holds_for_a_moment() {
        let (looked, at) = (Looked::default(), Instant::now());
        assert!(looked.fresh(ID, at).is_none());
        looked.insert(ID, look(at, false));
        let last = FRESH.saturating_sub(Duration::from_nanos(1));
        assert_eq!(looked.fresh(ID, at + last).map(|look| look.bytes), Some(5));
        assert!(looked.fresh(ID, at + FRESH).is_none());
    }

    #[test]
    fn what_the_bytes_are_is_not_forgotten_by_another_look() {
        let (looked, at) = (Looked::default(), Instant::now());
        for (is_no_text, after) in [(false, false), (true, true)] {
            looked.insert(ID, look(at, is_no_text));
            looked.note_at(ID, 5, at);
            assert_eq!(looked.fresh(ID, at).map(|look| look.is_no_text), Some(after));
        }
    }

    #[test]
    fn it_is_bounded() {
        let (looked, at) = (Looked::default(), Instant::now());
        for number in 0..2 * LOOKED_MAX + 1 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_le_bytes());
            looked.insert(BlobId(id), look(at, false));
            assert!(looked.lock().len() <= LOOKED_MAX && looked.fresh(BlobId(id), at).is_some());
        }
    }
}
