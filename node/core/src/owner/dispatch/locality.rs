//! Which worker brought which blob home: a task that reads one is expected to start sooner there. A hint, bounded, and never
//! missed.

use alloc::collections::{BTreeMap, VecDeque};

use crate::id::{BlobId, PeerId};
use crate::task::{Payload, Report};

/// Blobs remembered; beyond it the oldest is forgotten.
const PRODUCED_MAX: usize = 4096;

/// Blobs that came home, and from which worker.
#[derive(Debug, Default)]
pub(in crate::owner) struct Locality {
    by: BTreeMap<BlobId, PeerId>,
    order: VecDeque<BlobId>,
}

impl Locality {
    pub(in crate::owner) fn on_commit(&mut self, worker: PeerId, report: &Report) {
        for blob in report.blobs() {
            if self.by.insert(blob, worker).is_none() {
                self.order.push_back(blob);
            }
        }
        while self.order.len() > PRODUCED_MAX {
            self.order.pop_front().map(|blob| self.by.remove(&blob));
        }
    }

    /// The worker that brought this input home.
    pub(super) fn holder(&self, input: &Payload) -> Option<PeerId> {
        self.by.get(&input.blob()?).copied()
    }
}
