//! What people are told of a kept job that waits for the disk, or for a second node. The rest of `owner/keeping.rs`, in a file of
//! its own for its length.

use super::Keeping;
use crate::id::JobId;
use crate::snapshot::Note;
use crate::time::Time;

/// How long a word about a job at level mesh waits for a second node before `why` says so, in milliseconds.
const KEEPER_LATE_MS: u64 = 2000;

impl Keeping {
    /// Why a kept job's task that waits is not placed, if its job is to blame for nothing.
    pub(in crate::owner) fn note(&self, job: JobId, begins_with: u64) -> Option<Note> {
        if self.failed {
            Some(Note::JournalFailed)
        } else {
            (!self.takes(job) || !self.is_persisted(begins_with)).then_some(Note::DiskBehind)
        }
    }

    /// Whether what is to be told of a job has waited for long for a second node that keeps it.
    pub(in crate::owner) fn keeper_note(&self, now: Time, job: JobId) -> Option<Note> {
        let since = self.lines.waits_since(job)?;
        let waited_ms = now.since_us(since) / 1000;
        (waited_ms >= KEEPER_LATE_MS).then_some(Note::KeeperBehind { waited_ms })
    }
}
