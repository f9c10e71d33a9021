//! What an entry knows of who leads its job. One that another node leads is here as its log is, and tells nothing else.

use std::time::Instant;

use weft_core::{JobId, PeerId};

use super::super::{Custody, Led, Moved, Shown};
use super::Entry;
use super::journalled::instant_of;

impl Entry {
    /// Whether it is a job at level `mesh`, which other nodes keep, too.
    pub(in crate::jobs) fn has_keepers(&self) -> bool {
        self.custody.is_some()
    }

    /// Whether this node tells of the job: no other one leads it.
    pub(in crate::jobs) fn is_here(&self) -> bool {
        self.custody.as_ref().is_none_or(|custody| custody.led == Led::Here)
    }

    /// Who leads it, if another node does.
    pub(in crate::jobs) fn here(&self, job: JobId) -> Result<(), Moved> {
        match self.custody {
            Some(Custody { led: Led::Elsewhere { leader }, .. }) => Err(Moved { job, leader }),
            Some(Custody { led: Led::Here, .. }) | None => Ok(()),
        }
    }

    /// Whether it counts as an unfinished job of this node.
    pub(in crate::jobs) fn is_unfinished(&self) -> bool {
        self.is_here() && !self.is_ended()
    }

    /// Whether it counts as a job of this node's journal. Those that other nodes lead have a bound of their own, the engine's.
    pub(in crate::jobs) fn is_kept_here(&self) -> bool {
        self.is_here() && self.is_journalled()
    }

    /// Another node leads it.
    pub(in crate::jobs) fn follow(&mut self, leader: Option<PeerId>) {
        self.custody.get_or_insert_with(Custody::new).led = Led::Elsewhere { leader };
        self.wake();
    }

    pub(in crate::jobs) fn set_keepers(&mut self, keepers: Vec<PeerId>) {
        self.custody.get_or_insert_with(Custody::new).keepers = keepers;
    }

    pub(in crate::jobs) fn set_shared(&mut self, shared: bool) {
        self.custody.get_or_insert_with(Custody::new).shared = shared;
    }

    /// As its log is now.
    pub(in crate::jobs) fn show(&mut self, shown: Shown) {
        let Shown { counts, told, closed, cancelled, given_up, has_ended, ended_ms } = shown;
        (self.counts, self.closed) = (counts, closed);
        self.journal.iter_mut().for_each(|journal| journal.told = told);
        (self.cancelled_by_user, self.given_up) = (cancelled, given_up);
        match (has_ended, self.ended_at) {
            (true, None) => self.ended_at = Some(ended_ms.map_or_else(Instant::now, instant_of)),
            (false, Some(_)) => self.ended_at = None,
            (true, Some(_)) | (false, None) => {}
        }
    }
}
