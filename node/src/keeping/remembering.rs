//! Known results on their way to their shelf in the journal. They wait here for each other, so that many are one write to the
//! disk: nothing waits for them, and what a crash takes is computed again. Plain bookkeeping of the keeper's thread.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weft_core::{Remembered, TaskId};
use weft_journal::{Entry, Shelf};

/// For how long a result waits for others.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Results that wait; with one more they are written.
const WAITING_MAX: usize = 1024;
/// Bytes of them; from there on they are written.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Remembering {
    /// What is known of each task from now on, as bytes; none if nothing.
    waiting: BTreeMap<TaskId, Option<Vec<u8>>>,
    bytes: usize,
    due: Option<Instant>,
}

impl Remembering {
    /// Notes results, and tasks that have none any more.
    pub(super) fn note(&mut self, known: Vec<Remembered>, gone: Vec<TaskId>) {
        let known = known.into_iter().map(|known| (known.task, Some(known.encode())));
        for (task, bytes) in gone.into_iter().map(|task| (task, None)).chain(known) {
            self.bytes += bytes.as_ref().map_or(0, Vec::len);
            if let Some(Some(before)) = self.waiting.insert(task, bytes) {
                self.bytes -= before.len();
            }
            self.due.get_or_insert_with(|| Instant::now() + WAIT_MAX);
        }
        if self.waiting.len() > WAITING_MAX || self.bytes >= WAITING_BYTES_MAX {
            self.due = Some(Instant::now());
        }
    }

    /// When it is to be written, if there is anything.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be written now, all together.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        (self.bytes, self.due) = (0, None);
        let entry = |(TaskId(task), bytes): (TaskId, Option<Vec<u8>>)| {
            let (shelf, key) = (Shelf::Remembered, task.to_vec());
            match bytes {
                Some(bytes) => Entry::Put { shelf, key, bytes },
                None => Entry::Take { shelf, key },
            }
        };
        std::mem::take(&mut self.waiting).into_iter().map(entry).collect()
    }
}
