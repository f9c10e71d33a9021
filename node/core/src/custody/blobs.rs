//! Blobs that records of other members name: a record is written once they are here. Each is pinned until then, and kept by the
//! driver with its record afterwards. Plain bookkeeping; what can't be fetched is tried again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::position::Position;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BlobId, JobId, PeerId};
use crate::input::Fetched;
use crate::time::Time;

/// Blobs that could not be had are tried again this often, in milliseconds.
const RETRY_MS: u64 = 5000;

/// Bytes of records that wait, of all jobs; beyond them no further record of another member is taken.
const BYTES_MAX: usize = 64 << 20;
/// What each blob that such a record names counts of them: about the memory that waiting for it takes.
const BLOB_BYTES: usize = 256;

/// A record that waits for blobs.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its length, in bytes.
    pub(super) bytes: usize,
    pub(super) job: JobId,
    pub(super) at: Position,
    pub(super) blobs: BTreeSet<BlobId>,
    /// Nodes that should have them, best first.
    pub(super) from: Vec<PeerId>,
}

impl Wanted {
    /// What it counts of the bytes that may wait.
    fn cost(&self) -> usize {
        self.bytes.saturating_add(self.blobs.len().saturating_mul(BLOB_BYTES))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    /// By job and number.
    records: BTreeMap<(JobId, u32), Waiting>,
    /// The records that wait for a blob.
    by: BTreeMap<BlobId, BTreeSet<(JobId, u32)>>,
    /// Blobs whose last fetch failed.
    failed: BTreeSet<BlobId>,
    retry_at: Option<Time>,
    /// Bytes of the records.
    bytes: usize,
    /// What is unpinned when the records have been emitted.
    unpins: Vec<BlobId>,
}

#[derive(Debug)]
struct Waiting {
    wanted: Wanted,
    left: BTreeSet<BlobId>,
}

impl Blobs {
    /// Whether further records may wait.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < BYTES_MAX
    }

    /// A record is to be written once its blobs are here.
    pub(super) fn want(&mut self, ctx: &mut Ctx<'_>, wanted: Wanted) {
        let key = (wanted.job, wanted.at.seq);
        for blob in &wanted.blobs {
            ctx.emit(Effect::Pin(*blob));
            let waiting = self.by.entry(*blob).or_default();
            if waiting.is_empty() {
                ctx.emit(Effect::Fetch { blob: *blob, from: wanted.from.clone(), bytes: None });
            }
            waiting.insert(key);
        }
        self.bytes = self.bytes.saturating_add(wanted.cost());
        self.records.insert(key, Waiting { left: wanted.blobs.clone(), wanted });
    }

    /// A fetch ended; the records whose blobs are all here now.
    pub(super) fn on_fetched(&mut self, now: Time, blob: BlobId, fetched: Fetched) -> Vec<(JobId, Position)> {
        let mut whole = Vec::new();
        if fetched != Fetched::Here {
            if self.by.contains_key(&blob) {
                self.failed.insert(blob);
                self.retry_at.get_or_insert(now.plus_ms(RETRY_MS));
            }
            return whole;
        }
        self.failed.remove(&blob);
        for key in self.by.remove(&blob).unwrap_or_default() {
            let Some(waiting) = self.records.get_mut(&key) else { continue };
            waiting.left.remove(&blob);
            if waiting.left.is_empty()
                && let Some(Waiting { wanted, .. }) = self.records.remove(&key)
            {
                self.bytes = self.bytes.saturating_sub(wanted.cost());
                self.unpins.extend(wanted.blobs);
                whole.push((wanted.job, wanted.at));
            }
        }
        whole
    }

    /// Records of a job from that number on are not wanted any more.
    pub(super) fn drop_from(&mut self, job: JobId, from: u32) {
        let keys: Vec<(JobId, u32)> =
            self.records.range((job, from)..=(job, u32::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(Waiting { wanted, left }) = self.records.remove(&key) else { continue };
            for blob in left {
                let Some(waiting) = self.by.get_mut(&blob) else { continue };
                waiting.remove(&key);
                if waiting.is_empty() {
                    self.by.remove(&blob);
                    self.failed.remove(&blob);
                }
            }
            self.bytes = self.bytes.saturating_sub(wanted.cost());
            self.unpins.extend(wanted.blobs);
        }
    }

    /// What is to be unpinned now that the records are emitted.
    pub(super) fn unpin(&mut self, ctx: &mut Ctx<'_>) {
        self.unpins.drain(..).for_each(|blob| ctx.emit(Effect::Unpin(blob)));
    }

    /// Tries the fetches that failed again, when it is time.
    pub(super) fn try_again(&mut self, ctx: &mut Ctx<'_>) {
        if self.retry_at.is_none_or(|at| at > ctx.now) {
            return;
        }
        self.retry_at = None;
        for blob in core::mem::take(&mut self.failed) {
            let waiting = self.by.get(&blob).into_iter().flatten();
            let from: BTreeSet<PeerId> = waiting
                .filter_map(|key| self.records.get(key))
                .flat_map(|record| record.wanted.from.iter().copied())
                .collect();
            if !from.is_empty() {
                ctx.emit(Effect::Fetch { blob, from: from.into_iter().collect(), bytes: None });
            }
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.retry_at
    }
}
