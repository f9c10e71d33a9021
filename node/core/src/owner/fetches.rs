//! Which attempts wait for which blob, and what the outcomes that wait carry themselves. Plain bookkeeping. An outcome for
//! which there is no room is not taken: its worker keeps it, and sends it again.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Bound;

use crate::id::{BlobId, LeaseId};
use crate::time::Time;

/// Bytes that outcomes which wait for blobs carry themselves, beyond which none that carries much is taken.
const WAITING_BYTES_MAX: u64 = 256 << 20;
/// What an outcome may carry that is taken all the same, in bytes: most carry nothing but the names of blobs.
const SMALL_BYTES: u64 = 1024;

/// All attempts that wait for blobs.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    /// The attempts that wait for a blob.
    by: BTreeMap<BlobId, BTreeSet<LeaseId>>,
    /// For how many blobs an attempt waits, and what its outcome carries.
    carried: BTreeMap<LeaseId, (u32, u64)>,
    bytes: u64,
    /// Those of the blobs that this node has no room for.
    pub(super) shortage: Shortage,
}

impl Fetches {
    /// Whether an outcome that carries this many bytes may wait.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        bytes <= SMALL_BYTES || self.bytes.saturating_add(bytes) <= WAITING_BYTES_MAX
    }

    /// An attempt's outcome waits for a blob; true if nothing else does.
    pub(super) fn insert(&mut self, blob: BlobId, lease: LeaseId, bytes: u64) -> bool {
        let waiting = self.by.entry(blob).or_default();
        let first = waiting.is_empty();
        let (blobs, carried) = self.carried.entry(lease).or_default();
        *blobs += u32::from(waiting.insert(lease));
        // However many blobs it waits for, it is kept once.
        let more = bytes.saturating_sub(*carried);
        *carried += more;
        self.bytes = self.bytes.saturating_add(more);
        first
    }

    /// The attempts that wait for a blob, in the order of their names.
    pub(super) fn of(&self, blob: BlobId) -> impl Iterator<Item = LeaseId> + '_ {
        self.by.get(&blob).into_iter().flat_map(|waiting| waiting.iter().copied())
    }

    /// The attempts that waited for a blob, in the order of their names; they do not any more.
    pub(super) fn take(&mut self, blob: BlobId) -> impl Iterator<Item = LeaseId> + use<> {
        let waiting = self.by.remove(&blob).unwrap_or_default();
        for lease in &waiting {
            let (blobs, bytes) = self.carried.get_mut(lease).expect("what waits for a blob is counted");
            *blobs -= 1;
            if *blobs == 0 {
                self.bytes = self.bytes.saturating_sub(*bytes);
                self.carried.remove(lease);
            }
        }
        waiting.into_iter()
    }
}

/// Fetches that found no room on this node.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// Blobs whose last fetch found no room, and whether one is tried now; [`Fetches`] knows which leases want
    /// them.
    pub(super) blobs: BTreeMap<BlobId, bool>,
    /// What was tried last: all take turns, for a short one may have room where a long one has none.
    cursor: Option<BlobId>,
    pub(super) retry_at: Option<Time>,
}

impl Shortage {
    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.retry_at
    }

    /// The blob whose turn it is, of those that are not being tried.
    pub(super) fn next(&mut self) -> Option<BlobId> {
        let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.blobs.range((after, Bound::Unbounded));
        let mut waiting = later.chain(&self.blobs).filter(|(_, tried)| !**tried).map(|(blob, _)| *blob);
        self.cursor = waiting.next();
        self.cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;

    #[test]
    fn what_waits_is_bounded_by_what_it_carries() {
        let mut fetches = Fetches::default();
        let lease = |index| LeaseId { job: JobId(1), epoch: 0, index, attempt: 1 };
        let blob = BlobId::of(b"blob");
        assert!(fetches.insert(blob, lease(1), WAITING_BYTES_MAX));
        assert!(!fetches.insert(blob, lease(1), WAITING_BYTES_MAX), "it is told once");
        assert!(!fetches.has_room(SMALL_BYTES + 1) && fetches.has_room(SMALL_BYTES));
        assert_eq!(fetches.take(blob).collect::<alloc::vec::Vec<_>>(), [lease(1)]);
        assert!(fetches.has_room(WAITING_BYTES_MAX));
        assert_eq!(fetches.take(blob).count(), 0);
    }

    #[test]
    fn what_an_outcome_carries_counts_once_however_many_blobs_it_waits_for() {
        let mut fetches = Fetches::default();
        let lease = LeaseId { job: JobId(1), epoch: 0, index: 0, attempt: 1 };
        let blobs = [BlobId::of(b"one"), BlobId::of(b"two"), BlobId::of(b"three")];
        for blob in blobs {
            assert!(fetches.insert(blob, lease, WAITING_BYTES_MAX / 2));
        }
        assert!(fetches.has_room(WAITING_BYTES_MAX / 2));
        for blob in blobs {
            assert!(!fetches.has_room(WAITING_BYTES_MAX), "it waits for {blob} still");
            assert_eq!(fetches.take(blob).count(), 1);
        }
        assert!(fetches.has_room(WAITING_BYTES_MAX));
    }
}
