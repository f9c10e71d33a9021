//! Read-only views of the worker, for the engine: gossip, snapshots, audits. Nothing here decides.

use alloc::string::String;

use super::Worker;
use crate::id::{LeaseId, PeerId};
use crate::policy::Owners;

impl Worker {
    // ---- what it is

    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.identity.labels
    }

    pub(crate) fn owners(&self) -> &Owners {
        &self.identity.owners
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.identity.memory_bytes
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.identity.draining
    }

    // ---- what it holds

    pub(crate) fn leases(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.runs.leases()
    }

    /// Tasks held, those that are being aborted included.
    pub(crate) fn held(&self) -> u32 {
        self.runs.len()
    }

    /// Slots of all held tasks.
    pub(crate) fn held_slots(&self) -> u32 {
        self.runs.held_slots()
    }

    /// Tasks that the slots were given and have not answered, and how many of them are paused.
    pub(crate) fn handed(&self) -> u32 {
        self.runs.handed()
    }

    pub(crate) fn paused(&self) -> u32 {
        self.runs.paused()
    }

    /// Slots of tasks that were handed to the slots and are not paused.
    pub(crate) fn active_slots(&self) -> u32 {
        self.runs.active_slots()
    }

    /// Memory that running and paused tasks may use at most, in bytes.
    pub(crate) fn memory_in_use(&self) -> u64 {
        self.runs.memory_in_use()
    }

    /// The bound of it, in bytes.
    pub(crate) fn memory_max(&self) -> u64 {
        self.runs.memory_max()
    }

    // ---- what it promised

    /// Slots of all promises.
    pub(crate) fn reserved(&self) -> u32 {
        self.ledger.promised_in_all()
    }

    /// Slots promised to callers.
    pub(crate) fn bid_to_callers(&self) -> u32 {
        self.ledger.bid_slots()
    }

    pub(crate) fn reservations(&self) -> usize {
        self.ledger.len()
    }

    /// Slots that are advertised, and by how many adverts.
    pub(crate) fn advertised(&self) -> (u32, usize) {
        (self.ledger.adverts.slots(), self.ledger.adverts.len())
    }

    /// Slots that are advertised at that matchmaker.
    pub(crate) fn advertised_at(&self, matchmaker: PeerId) -> u32 {
        let there = self.ledger.adverts.iter().filter(|(_, advert)| advert.matchmaker == matchmaker);
        there.map(|(_, advert)| advert.slots).sum()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.requests.len()
    }

    // ---- what it delivers

    pub(crate) fn undelivered(&self) -> usize {
        self.outbox.len()
    }

    pub(crate) fn kept(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.outbox.leases()
    }
}
