//! Who brought which blob home: a task that reads it is expected to start sooner there. A hint, bounded, never missed.

use alloc::collections::{BTreeMap, VecDeque};

use super::job::StandingBid;
use crate::id::{BlobId, PeerId};
use crate::policy::rank;
use crate::task::{Payload, Report};

/// Blobs remembered; beyond it the oldest is forgotten.
const PRODUCED_MAX: usize = 4096;

/// Blobs that came home, and from whom.
#[derive(Debug, Default)]
pub(super) struct Produced {
    by: BTreeMap<BlobId, PeerId>,
    order: VecDeque<BlobId>,
}

impl Produced {
    pub(super) fn on_commit(&mut self, worker: Option<PeerId>, report: &Report) {
        let Some(worker) = worker else { return };
        for blob in report.blobs() {
            if self.by.insert(blob, worker).is_none() {
                self.order.push_back(blob);
            }
        }
        while self.order.len() > PRODUCED_MAX {
            self.order.pop_front().map(|blob| self.by.remove(&blob));
        }
    }

    /// A wanted bid of whoever has the input, if a task starts sooner there than with the best bid otherwise.
    pub(super) fn nearer(
        &self,
        input: &Payload,
        bids: &[StandingBid],
        best: usize,
        wanted: impl Fn(&StandingBid) -> bool,
        expected_us: impl Fn(&StandingBid) -> u64,
    ) -> Option<usize> {
        let holder = *self.by.get(&input.blob()?)?;
        let best = bids.get(best).filter(|best| best.worker != holder)?;
        let place = bids.iter().position(|bid| bid.worker == holder && wanted(bid))?;
        let there_us = bids.get(place).map(&expected_us)?;
        let fetch_us = rank::fetch_us(input.bytes_len(), 0);
        (there_us < expected_us(best).saturating_add(fetch_us)).then_some(place)
    }
}
