//! The index of the store: lengths, quota, pins and the order of eviction. Pure accounting: it accesses no file.
//!
//! The quota counts whole disk blocks, which is what a blob uses of the disk and also bounds the number of small blobs.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use weft_core::BlobId;

use crate::Error;
use crate::awaited::{Awaited, Wanted};

/// Length of a block, in bytes. Every blob counts as at least one.
const BLOCK_BYTES: u64 = 4096;

/// Most lost blobs that are remembered; others are only missing.
const LOST_MAX: usize = 4096;

/// Bytes that a blob of this length is charged.
pub(crate) fn charge(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES).max(1).saturating_mul(BLOCK_BYTES)
}

/// Length in bytes.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length fits 64 bits")
}

/// One stored blob.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob {
    /// Length of the content.
    pub(crate) bytes: u64,
    /// The content was hashed since the store was opened.
    pub(crate) verified: bool,
    /// The content survives a power cut.
    pub(crate) durable: bool,
    /// Distinguishes this file from one that replaced it.
    pub(crate) generation: u64,
    /// Until then it is evicted for the quota but not for a full disk: it waits to be fetched.
    pub(crate) kept_until: Option<Instant>,
    /// It is never evicted, and counts as set aside alone.
    aside: bool,
    used: u64,
}

/// Use of the store, and events since it was opened. Bytes count as whole disk blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of blobs.
    pub blobs: usize,
    /// Bytes of blobs that were set aside, which are in no other number of bytes.
    pub aside: u64,
    /// Bytes of all other blobs.
    pub bytes: u64,
    /// Bytes of pinned blobs, which are not evicted.
    pub pinned: u64,
    /// Bytes reserved for blobs that are being written.
    pub reserved: u64,
    /// The limit of `bytes` and `reserved` together.
    pub quota: u64,
    /// Number of evicted blobs.
    pub evicted: u64,
    /// Number of files whose content had another hash; they were deleted.
    pub corrupt: u64,
    /// Blobs that work rests on and that are no longer here, as [`Loss`] says; each until it is here again, or no work rests on
    /// it.
    pub vanished: usize,
}

/// How a blob was lost that work rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Another program removed its file.
    Removed,
    /// Its file had other bytes than were stored, and was deleted.
    Corrupt,
    /// It was not there when the store was opened: lost in one of these ways before that.
    Before,
}

/// The index of one store.
pub(crate) struct Index {
    blobs: HashMap<BlobId, Blob>,
    /// Pins; also of absent blobs, which are kept once they arrive. Bounded by the work of this node.
    pins: HashMap<BlobId, u32>,
    /// Blobs that may be evicted, least recently used first.
    order: BTreeMap<u64, BlobId>,
    clock: u64,
    usage: Usage,
    /// Blobs that are pinned once more, because someone is to want them soon.
    awaited: Awaited,
    /// Pinned blobs that were lost, and how.
    lost: BTreeMap<BlobId, Loss>,
}

impl Index {
    pub(crate) fn new(quota: u64) -> Self {
        let usage = Usage { quota, ..Usage::default() };
        Self {
            blobs: HashMap::new(),
            pins: HashMap::new(),
            order: BTreeMap::new(),
            clock: 0,
            usage,
            awaited: Awaited::default(),
            lost: BTreeMap::new(),
        }
    }

    pub(crate) fn blob(&self, id: BlobId) -> Option<Blob> {
        self.blobs.get(&id).copied()
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { blobs: self.blobs.len(), vanished: self.lost.len(), ..self.usage }
    }

    /// Adds or replaces a blob as the most recently used one. Returns its generation.
    pub(crate) fn insert(&mut self, id: BlobId, bytes: u64, verified: bool) -> u64 {
        let aside = self.remove(id).is_some_and(|before| before.aside);
        self.lost.remove(&id);
        let tick = self.tick();
        self.blobs.insert(
            id,
            Blob { bytes, verified, durable: false, generation: tick, kept_until: None, aside, used: tick },
        );
        if aside {
            self.usage.aside += charge(bytes);
            return tick;
        }
        self.usage.bytes += charge(bytes);
        if self.pins.contains_key(&id) {
            self.usage.pinned += charge(bytes);
        } else {
            self.order.insert(tick, id);
        }
        tick
    }

    pub(crate) fn remove(&mut self, id: BlobId) -> Option<Blob> {
        let blob = self.blobs.remove(&id)?;
        if blob.aside {
            self.usage.aside -= charge(blob.bytes);
            return Some(blob);
        }
        self.usage.bytes -= charge(blob.bytes);
        if self.order.remove(&blob.used).is_none() {
            self.usage.pinned -= charge(blob.bytes);
        }
        Some(blob)
    }

    /// Makes the blob the most recently used one.
    pub(crate) fn touch(&mut self, id: BlobId) {
        let tick = self.tick();
        let Some(blob) = self.blobs.get_mut(&id) else { return };
        if self.order.remove(&blob.used).is_some() {
            self.order.insert(tick, id);
        }
        blob.used = tick;
    }

    /// Records that the file of this generation is verified or durable; ignored if a newer file replaced it.
    pub(crate) fn confirm(&mut self, id: BlobId, generation: u64, durable: bool) {
        if let Some(blob) = self.blobs.get_mut(&id).filter(|blob| blob.generation == generation) {
            blob.verified = true;
            blob.durable |= durable;
        }
    }

    pub(crate) fn pin(&mut self, id: BlobId) {
        self.add_pin(id);
        if self.awaited.end(id, Wanted::ByJob) {
            self.unpin(id);
        }
    }

    /// Pins a blob that was here in an earlier life.
    pub(crate) fn pin_again(&mut self, id: BlobId) {
        self.pin(id);
        if !self.blobs.contains_key(&id) {
            self.note_lost(id, Loss::Before);
        }
    }

    /// Pins a stored blob until it is wanted so, or until then.
    pub(crate) fn pin_until(&mut self, id: BlobId, wanted: Wanted, until: Instant) {
        if !self.blobs.contains_key(&id) {
            return;
        }
        // First, so that it is never unpinned between the two.
        self.add_pin(id);
        let gone = [self.awaited.begin(id, wanted, until), self.awaited.surplus()];
        gone.into_iter().flatten().for_each(|id| self.end_pin(id));
    }

    /// A client took the blob.
    pub(crate) fn taken(&mut self, id: BlobId) {
        if self.awaited.end(id, Wanted::ByClient) {
            self.unpin(id);
        }
        self.keep_until(id, None);
    }

    /// Ends the pins whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(id) = self.awaited.over(now) {
            self.end_pin(id);
        }
    }

    /// Reverts a pin whose blob a full disk may still not cost.
    pub(crate) fn end_pin(&mut self, id: BlobId) {
        let kept_until = self.blob(id).and_then(|blob| blob.kept_until);
        self.unpin(id);
        self.keep_until(id, kept_until);
    }

    fn add_pin(&mut self, id: BlobId) {
        let count = self.pins.entry(id).or_insert(0);
        *count += 1;
        if *count > 1 {
            return;
        }
        if let Some(blob) = self.blobs.get(&id).filter(|blob| !blob.aside) {
            self.order.remove(&blob.used);
            self.usage.pinned += charge(blob.bytes);
        }
    }

    /// Sets all aside that is there: the quota is for what comes from now on.
    pub(crate) fn set_aside(&mut self) {
        self.blobs.values_mut().for_each(|blob| blob.aside = true);
        self.order.clear();
        self.usage.aside += core::mem::take(&mut self.usage.bytes);
        self.usage.pinned = 0;
    }

    /// Records how a blob was lost, if work rests on it.
    pub(crate) fn note_lost(&mut self, id: BlobId, how: Loss) {
        if self.pins.contains_key(&id) && self.lost.len() < LOST_MAX {
            self.lost.insert(id, how);
        }
    }

    pub(crate) fn loss(&self, id: BlobId) -> Option<Loss> {
        self.lost.get(&id).copied()
    }

    pub(crate) fn unpin(&mut self, id: BlobId) {
        let Some(count) = self.pins.get_mut(&id) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.pins.remove(&id);
        self.lost.remove(&id);
        if let Some(blob) = self.blobs.get_mut(&id).filter(|blob| !blob.aside) {
            blob.kept_until = None;
            self.order.insert(blob.used, id);
            self.usage.pinned -= charge(blob.bytes);
        }
    }

    /// Protects a blob from a full disk until then, or for as long as it is protected already.
    pub(crate) fn keep_at_least(&mut self, id: BlobId, until: Instant) {
        if let Some(blob) = self.blobs.get_mut(&id) {
            blob.kept_until = blob.kept_until.max(Some(until));
        }
    }

    /// The next blob to evict so that `wanted` more bytes fit; `None` if they fit. Fails before the first eviction if
    /// evicting everything would not suffice.
    pub(crate) fn victim_for(&self, wanted: u64) -> Result<Option<BlobId>, Error> {
        let Usage { quota, pinned, reserved, bytes, .. } = self.usage;
        let fixed = pinned + reserved;
        if wanted > quota.saturating_sub(fixed) {
            return Err(Error::Full { wanted, quota, pinned, reserved });
        }
        if bytes + reserved + wanted <= quota {
            return Ok(None);
        }
        let (_, victim) = self.order.first_key_value().expect("what is not pinned can be evicted");
        Ok(Some(*victim))
    }

    /// Protects a blob from eviction for a full disk until then; `None` ends the protection.
    pub(crate) fn keep_until(&mut self, id: BlobId, until: Option<Instant>) {
        if let Some(blob) = self.blobs.get_mut(&id) {
            blob.kept_until = until;
        }
    }

    /// The least recently used blob that may be evicted for a full disk: not pinned, and not waiting to be fetched.
    pub(crate) fn spare(&self, now: Instant) -> Option<BlobId> {
        let kept =
            |id: &BlobId| self.blob(*id).and_then(|blob| blob.kept_until).is_some_and(|until| until > now);
        self.order.values().copied().find(|id| !kept(id))
    }

    /// The least recently used blob, if the quota is exceeded because it was lowered.
    pub(crate) fn surplus(&self) -> Option<BlobId> {
        if self.usage.bytes <= self.usage.quota {
            return None;
        }
        self.order.first_key_value().map(|(_, id)| *id)
    }

    pub(crate) fn reserve(&mut self, charged: u64) {
        self.usage.reserved += charged;
    }

    pub(crate) fn release(&mut self, charged: u64) {
        self.usage.reserved -= charged;
    }

    pub(crate) fn count_eviction(&mut self) {
        self.usage.evicted += 1;
    }

    pub(crate) fn count_corruption(&mut self) {
        self.usage.corrupt += 1;
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> BlobId {
        BlobId([number; 32])
    }

    #[test]
    fn a_charge_is_whole_blocks_and_never_overflows() {
        assert_eq!(charge(0), BLOCK_BYTES);
        assert_eq!(charge(BLOCK_BYTES), BLOCK_BYTES);
        assert_eq!(charge(BLOCK_BYTES + 1), 2 * BLOCK_BYTES);
        assert_eq!(charge(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_victim_is_the_oldest_that_nobody_pinned() {
        let mut index = Index::new(3 * BLOCK_BYTES);
        for number in 1..=3 {
            index.insert(id(number), 1, true);
        }
        index.pin(id(1));
        index.touch(id(2));
        assert_eq!(index.victim_for(BLOCK_BYTES).unwrap(), Some(id(3)));
        index.unpin(id(1));
        assert_eq!(index.victim_for(BLOCK_BYTES).unwrap(), Some(id(1)), "unpinned, it is as old as it was");
    }

    /// Whether the only blob that may be evicted now is this one.
    fn is_spare(index: &mut Index, now: Instant, number: u8) -> bool {
        index.expire(now);
        let is_spare = index.victim_for(3 * BLOCK_BYTES).is_ok_and(|victim| victim == Some(id(number)));
        assert_eq!(is_spare, index.usage().pinned == 0);
        is_spare
    }

    #[test]
    fn what_a_client_brought_is_not_evicted_before_its_job_pins_it_or_a_while_has_passed() {
        let mut index = Index::new(3 * BLOCK_BYTES);
        let now = Instant::now();
        let (soon, later) =
            (now + std::time::Duration::from_secs(1), now + std::time::Duration::from_secs(2));
        index.pin_until(id(1), Wanted::ByJob, soon);
        assert_eq!(index.usage().pinned, 0, "it is not here");
        index.insert(id(1), 1, true);
        assert!(is_spare(&mut index, now, 1));
        index.pin_until(id(1), Wanted::ByJob, soon);
        index.pin_until(id(1), Wanted::ByJob, later);
        assert!(!is_spare(&mut index, soon, 1), "the later time counts");
        index.taken(id(1));
        assert!(!is_spare(&mut index, soon, 1), "it is a job that wants it");
        index.pin(id(1));
        index.unpin(id(1));
        assert!(is_spare(&mut index, soon, 1), "its job had it");
        index.pin_until(id(1), Wanted::ByJob, later);
        index.keep_until(id(1), Some(later + (later - now)));
        assert!(is_spare(&mut index, later, 1), "its time is over");
        assert_eq!(index.spare(later), None, "a full disk does not cost it yet");
    }

    #[test]
    fn a_result_that_was_told_is_not_evicted_before_its_client_has_it_or_a_while_has_passed() {
        let mut index = Index::new(3 * BLOCK_BYTES);
        let now = Instant::now();
        let later = now + std::time::Duration::from_secs(2);
        index.insert(id(1), 1, true);
        index.pin_until(id(1), Wanted::ByClient, later);
        index.pin_until(id(1), Wanted::ByJob, later);
        index.pin(id(1));
        index.unpin(id(1));
        assert!(!is_spare(&mut index, now, 1), "a job that takes it as input changes nothing");
        index.taken(id(1));
        assert!(is_spare(&mut index, now, 1));
        index.pin_until(id(1), Wanted::ByClient, later);
        assert!(is_spare(&mut index, later, 1));
    }

    #[test]
    fn a_full_disk_costs_nothing_that_somebody_is_to_take() {
        let mut index = Index::new(u64::MAX);
        for number in 1..=3 {
            index.insert(id(number), 1, true);
        }
        let now = Instant::now();
        let later = now + std::time::Duration::from_secs(1);
        index.keep_until(id(1), Some(later));
        index.pin(id(2));
        assert_eq!(index.spare(now), Some(id(3)));
        index.remove(id(3));
        assert_eq!(index.spare(now), None);
        assert_eq!(index.spare(later), Some(id(1)), "it was kept for long enough");
        index.keep_until(id(1), None);
        assert_eq!(index.spare(now), Some(id(1)), "it was taken");
        index.keep_at_least(id(1), later);
        assert_eq!((index.spare(now), index.spare(later)), (None, Some(id(1))), "it has just come");
        index.keep_at_least(id(1), now);
        assert_eq!(index.spare(now), None, "it is not kept for less than before");
        index.keep_until(id(1), None);
        index.keep_until(id(2), Some(later));
        index.remove(id(1));
        index.unpin(id(2));
        assert_eq!(index.spare(now), Some(id(2)), "the work that it was for is over");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_numbers() {
        let mut index = Index::new(3 * BLOCK_BYTES);
        index.pin(id(1));
        index.insert(id(1), 1, true);
        index.reserve(BLOCK_BYTES);
        index.insert(id(2), 1, true);
        let refused = index.victim_for(2 * BLOCK_BYTES).unwrap_err();
        assert!(matches!(refused, Error::Full { pinned: 4096, reserved: 4096, .. }), "{refused}");
        assert_eq!(index.victim_for(BLOCK_BYTES).unwrap(), Some(id(2)));
        assert!(index.victim_for(u64::MAX).is_err());
    }

    #[test]
    fn what_is_set_aside_is_in_no_other_account_whatever_becomes_of_it() {
        let mut index = Index::new(3 * BLOCK_BYTES);
        for number in 1..=3 {
            index.insert(id(number), 1, true);
        }
        index.pin(id(1));
        index.set_aside();
        let all = Usage { blobs: 3, aside: 3 * BLOCK_BYTES, quota: 3 * BLOCK_BYTES, ..Usage::default() };
        assert_eq!(index.usage(), all);
        index.unpin(id(1));
        index.pin(id(2));
        index.touch(id(3));
        index.insert(id(3), 1, true);
        index.unpin(id(2));
        assert_eq!((index.usage(), index.spare(Instant::now()), index.surplus()), (all, None, None));
        index.insert(id(4), 1, true);
        assert_eq!(index.victim_for(3 * BLOCK_BYTES).unwrap(), Some(id(4)), "the quota is for the others");
        index.remove(id(1));
        assert_eq!((index.usage().aside, index.usage().bytes), (2 * BLOCK_BYTES, BLOCK_BYTES));
    }

    #[test]
    fn what_an_earlier_life_had_and_is_not_here_is_lost_until_it_is_here_again() {
        let mut index = Index::new(u64::MAX);
        index.insert(id(1), 1, true);
        index.pin_again(id(1));
        index.pin_again(id(2));
        assert_eq!((index.loss(id(1)), index.loss(id(2))), (None, Some(Loss::Before)));
        assert_eq!(index.usage().vanished, 1);
        index.insert(id(2), 1, true);
        assert_eq!((index.loss(id(2)), index.usage().vanished), (None, 0));
        index.remove(id(1));
        assert_eq!(index.loss(id(1)), None, "it was not looked for");
    }

    #[test]
    fn accounts_return_to_zero() {
        let mut index = Index::new(u64::MAX);
        index.insert(id(1), 5000, false);
        index.pin(id(1));
        index.pin(id(1));
        index.insert(id(1), 10, true);
        index.unpin(id(1));
        assert_eq!(index.usage().pinned, BLOCK_BYTES);
        index.unpin(id(1));
        index.unpin(id(1));
        assert_eq!(index.usage().pinned, 0);
        index.remove(id(1));
        assert_eq!(index.usage(), Usage { quota: u64::MAX, ..Usage::default() });
        assert!(index.order.is_empty());
    }
}
