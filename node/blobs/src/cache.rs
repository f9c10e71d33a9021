//! The in-memory cache of the store: small blobs that were used recently. It holds nothing that is not also a file.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use weft_core::BlobId;

/// Longest cached blob, in bytes. Longer ones are left to the page cache of the operating system.
pub(crate) const CACHED_BLOB_BYTES_MAX: usize = 1 << 20;
/// Most bytes of all cached blobs. A blob counts as at least [`CACHED_BLOB_BYTES_MIN`].
const CACHE_BYTES_MAX: usize = 64 << 20;
/// Least bytes that an entry counts as, so that a million empty blobs are bounded too.
const CACHED_BLOB_BYTES_MIN: usize = 256;

/// A bounded map that evicts the least recently used entry.
#[derive(Default)]
pub(crate) struct Cache {
    blobs: HashMap<BlobId, (u64, Bytes)>,
    order: BTreeMap<u64, BlobId>,
    clock: u64,
    bytes: usize,
}

impl Cache {
    pub(crate) fn get(&mut self, id: BlobId) -> Option<Bytes> {
        let (used, bytes) = self.blobs.get_mut(&id)?;
        self.clock += 1;
        self.order.remove(used);
        self.order.insert(self.clock, id);
        *used = self.clock;
        Some(bytes.clone())
    }

    /// Adds the blob if it is small enough, and evicts others if necessary.
    pub(crate) fn insert(&mut self, id: BlobId, bytes: Bytes) {
        if bytes.len() > CACHED_BLOB_BYTES_MAX || self.blobs.contains_key(&id) {
            return;
        }
        self.bytes += cost(&bytes);
        self.clock += 1;
        self.order.insert(self.clock, id);
        self.blobs.insert(id, (self.clock, bytes));
        while self.bytes > CACHE_BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.remove(oldest);
        }
    }

    pub(crate) fn remove(&mut self, id: BlobId) {
        if let Some((used, bytes)) = self.blobs.remove(&id) {
            self.order.remove(&used);
            self.bytes -= cost(&bytes);
        }
    }
}

fn cost(bytes: &Bytes) -> usize {
    bytes.len().max(CACHED_BLOB_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(number: u32, len: usize) -> (BlobId, Bytes) {
        (BlobId::of(&number.to_le_bytes()), Bytes::from(vec![0; len]))
    }

    #[test]
    fn the_bound_holds_and_the_least_recently_used_goes() {
        let mut cache = Cache::default();
        for number in 0..64 {
            let (id, bytes) = blob(number, CACHED_BLOB_BYTES_MAX);
            cache.insert(id, bytes);
        }
        let (first, _) = blob(0, 0);
        let (second, _) = blob(1, 0);
        assert!(cache.get(first).is_some());
        let (one_more, bytes) = blob(64, 1);
        cache.insert(one_more, bytes);
        assert!(cache.bytes <= CACHE_BYTES_MAX);
        assert!(cache.get(first).is_some(), "used just now");
        assert!(cache.get(second).is_none(), "the oldest");
        assert!(cache.get(one_more).is_some());
        assert_eq!(cache.order.len(), cache.blobs.len());
    }

    #[test]
    fn big_blobs_stay_out_and_removed_ones_cost_nothing() {
        let mut cache = Cache::default();
        let (big, bytes) = blob(1, CACHED_BLOB_BYTES_MAX + 1);
        cache.insert(big, bytes);
        assert!(cache.get(big).is_none());
        let (small, bytes) = blob(2, 0);
        cache.insert(small, bytes.clone());
        cache.insert(small, bytes);
        assert_eq!(cache.bytes, CACHED_BLOB_BYTES_MIN);
        cache.remove(small);
        assert_eq!((cache.bytes, cache.order.len()), (0, 0));
    }
}
