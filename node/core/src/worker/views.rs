//! The worker as others may look at it: counts, and what it holds.

use alloc::string::String;

use super::Worker;
use crate::id::{LeaseId, PeerId};
use crate::policy::Owners;

impl Worker {
    /// Most that what runs and what is paused may use, in bytes.
    pub(crate) fn memory_in_use(&self) -> u64 {
        self.runs.memory_in_use()
    }

    /// Most that it may ever be, in bytes.
    pub(crate) fn memory_max(&self) -> u64 {
        self.runs.memory_max()
    }

    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Tasks held, whatever their stage, but not those only waiting to be aborted.
    pub(crate) fn held(&self) -> u32 {
        self.runs.len()
    }

    pub(crate) fn handed(&self) -> u32 {
        self.runs.handed()
    }

    pub(crate) fn paused(&self) -> u32 {
        self.runs.paused()
    }

    pub(crate) fn reserved(&self) -> u32 {
        self.reserved.saturating_add(self.standings.reserved())
    }

    /// Slots that bids to callers reserve.
    pub(crate) fn bid_to_callers(&self) -> u32 {
        self.reserved - self.stands.slots
    }

    pub(crate) fn undelivered(&self) -> usize {
        self.outbox.len()
    }

    pub(crate) fn kept(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.outbox.leases()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn reservations(&self) -> usize {
        self.bids.len() + self.standings.len()
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.runs.leases()
    }
}
