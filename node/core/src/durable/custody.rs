//! What a record of a log means to custody. Nothing is decided here.

use alloc::vec::Vec;

use super::record::LogRecord;
use crate::custody::record::{Mark, Record};
use crate::custody::trio::Seat;
use crate::time::Time;

impl Record for LogRecord {
    fn mark(&self) -> Mark {
        match self {
            Self::Accepted(accepted) => accepted.keepers.trio().map_or(Mark::Foreign, Mark::Accepted),
            Self::Led { epoch, at: _ } => Mark::Led(*epoch),
            Self::Retried { epoch, at: _ } => Mark::Retried(*epoch),
            Self::Replaced { seat, by } => Mark::Replaced { seat: *seat, by: *by },
            Self::Ended { .. } => Mark::Ended,
            Self::Restarted { .. } => Mark::Foreign,
            Self::Extended { .. }
            | Self::Closed
            | Self::Outcomes(_)
            | Self::Rest(_)
            | Self::ParentEnded(_)
            | Self::Cancelled
            | Self::GivenUp { .. }
            | Self::NotTaken(_)
            | Self::Given { .. }
            | Self::Leased { .. }
            | Self::Resolved { .. } => Mark::Other,
        }
    }

    fn names_blobs(&self) -> bool {
        self.blobs().next().is_some()
    }

    fn led(epoch: u32, at: Time) -> Self {
        Self::Led { epoch, at }
    }

    fn retried(epoch: u32, at: Time) -> Self {
        Self::Retried { epoch, at }
    }

    fn replaced(seat: u8, by: Seat) -> Self {
        Self::Replaced { seat, by }
    }

    fn memory(&self, len: usize) -> usize {
        len.saturating_add(self.parts_bytes())
    }

    fn encode(&self) -> Vec<u8> {
        Self::encode(self)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}
