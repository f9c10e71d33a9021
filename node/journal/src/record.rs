//! What is appended: entries of jobs' logs, and what goes with them.

use weft_core::JobId;

use crate::error::Refused;
use crate::kind::Kind;
use crate::listing::Listing;
use crate::shelf::{self, Shelf};

/// Longest word that a member of a job keeps for itself ([`Entry::Own`]), in bytes; a longer one is refused.
pub const OWN_BYTES_MAX: usize = 64 << 10;
/// What an entry counts as in the queue besides its bytes.
const ENTRY_BYTES: usize = 64;

/// One change of the journal. The entries of one append are on the disk together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The next record of a job's log.
    Append {
        /// The job.
        job: JobId,
        /// One more than its last record's number; 1 for the first. A snapshot may leave records out.
        seq: u32,
        /// What it says.
        kind: Kind,
        /// Tasks whose end it tells; none for most kinds, and for a snapshot all that it covers. They are counted along the
        /// log, so that [`Reader::records_at`](crate::Reader::records_at) finds an end by its number.
        ends: u32,
        /// How it says it.
        bytes: Vec<u8>,
    },
    /// The records behind one of a job's log never counted: a member follows another leader now.
    Cut {
        /// The job.
        job: JobId,
        /// The last record that stays; at least the snapshot that the log begins with. 0 if none stays: then the log is empty,
        /// and keeps what its member promised.
        after: u32,
    },
    /// What this member promised about a job; no part of the log, and replaced as a whole.
    Own {
        /// The job; its log may be empty yet.
        job: JobId,
        /// The promise.
        bytes: Vec<u8>,
    },
    /// How a job is shown in lists; replaced as a whole. Left out if the job has no log, or one in quarantine.
    List {
        /// The job.
        job: JobId,
        /// What is shown.
        listing: Listing,
    },
    /// The log of a job goes, in whatever state it is; no error if there is none.
    Forget {
        /// The job.
        job: JobId,
    },
    /// Puts something on a shelf, in place of what had that key.
    Put {
        /// Which one.
        shelf: Shelf,
        /// Its name there.
        key: Vec<u8>,
        /// The thing.
        bytes: Vec<u8>,
    },
    /// Takes something off a shelf; no error if it is not there.
    Take {
        /// Which one.
        shelf: Shelf,
        /// Its name there.
        key: Vec<u8>,
    },
}

impl Entry {
    /// What it counts as in the queue.
    pub(crate) fn cost(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Append { bytes, .. } | Self::Own { bytes, .. } => bytes.len(),
                Self::Put { key, bytes, .. } => key.len() + bytes.len(),
                Self::Take { key, .. } => key.len(),
                Self::List { listing, .. } => listing.text_bytes(),
                Self::Cut { .. } | Self::Forget { .. } => 0,
            }
    }

    /// Whether it begins new work.
    pub(crate) fn begins_work(&self) -> bool {
        matches!(self, Self::Append { kind, .. } if kind.begins_work())
    }

    /// Whether its parts are within their bounds.
    pub(crate) fn check_size(&self) -> Result<(), Refused> {
        let (what, bytes, max) = match self {
            Self::Append { kind, bytes, .. } => ("a record", bytes.len(), kind.bytes_max()),
            Self::Own { bytes, .. } => ("a member's own word", bytes.len(), OWN_BYTES_MAX),
            Self::Put { key, bytes, .. } => return shelf::check_size(key, bytes),
            Self::List { listing, .. } => return listing.check(),
            Self::Take { .. } | Self::Cut { .. } | Self::Forget { .. } => return Ok(()),
        };
        if bytes > max { Err(Refused::TooLong { what, bytes, max }) } else { Ok(()) }
    }
}
