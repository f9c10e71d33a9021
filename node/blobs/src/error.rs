//! What can go wrong with a blob: whose fault it is, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use weft_core::BlobId;

/// Why an operation on the store failed. The store itself stays whole: nothing half-written is ever visible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was being done: "create", "rename to", ...
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too much is pinned or arriving, so that nothing more can be evicted.
    #[error(
        "no room for {wanted} bytes: of a quota of {quota} bytes {pinned} are pinned by work and {reserved} are \
         taken by blobs that arrive now; raise the blob quota or wait until jobs end"
    )]
    Full {
        /// Bytes that the blob needs.
        wanted: u64,
        /// The store's limit.
        quota: u64,
        /// Bytes that pins protect.
        pinned: u64,
        /// Bytes promised to writes under way.
        reserved: u64,
    },
    /// As many blobs are being written at once as the store allows.
    #[error("{writes} blobs are being written already; try again when one of them has ended")]
    Busy {
        /// Writes under way.
        writes: usize,
    },
    /// The source that was being stored failed.
    #[error("cannot read what should become a blob: {0}")]
    Source(#[source] io::Error),
    /// More bytes came than were allowed or announced.
    #[error("more than {allowed} bytes came; nothing was stored")]
    TooLong {
        /// Bytes that would have been accepted.
        allowed: u64,
    },
    /// Fewer bytes came than were announced.
    #[error("{got} bytes came where {announced} were announced; nothing was stored")]
    TooShort {
        /// Bytes that were announced.
        announced: u64,
        /// Bytes that came.
        got: u64,
    },
    /// Other bytes came than the name says: the sender is broken or lies.
    #[error("the bytes hash to {found}, not to {expected}; nothing was stored")]
    WrongHash {
        /// The name that was asked for.
        expected: BlobId,
        /// The name of what came.
        found: BlobId,
    },
    /// The blob is too big to be held in this machine's memory.
    #[error("a blob of {bytes} bytes does not fit into memory; stream it instead")]
    TooBigForMemory {
        /// The blob's length.
        bytes: u64,
    },
}

/// What to do about a failed system call.
fn advice(error: &io::Error) -> &'static str {
    const FULL: &str =
        "; the disk is full, and nothing is left there that this node could remove: make room on it";
    const ADVICE: [(io::ErrorKind, &str); 5] = [
        (io::ErrorKind::StorageFull, FULL),
        (io::ErrorKind::QuotaExceeded, FULL),
        (io::ErrorKind::PermissionDenied, "; check that this user owns the directory"),
        (io::ErrorKind::ReadOnlyFilesystem, "; the disk is mounted read-only"),
        (io::ErrorKind::NotFound, "; another program removed it while the node ran"),
    ];
    let known = ADVICE.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or("; check the disk", |(_, advice)| advice)
}

impl Error {
    /// True if the disk is full, as far as this user may fill it.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }

    /// True if the bytes, and not this machine, are to blame: the sender loses standing.
    #[must_use]
    pub fn is_senders_fault(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::TooShort { .. } | Self::WrongHash { .. })
    }

    /// Turns a failed system call on `path` into our error.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Whether a system call failed because the disk, or this user's part of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io { source, .. } | Error::Source(source) => source.kind(),
            Error::Full { .. } => io::ErrorKind::QuotaExceeded,
            Error::Busy { .. } => io::ErrorKind::ResourceBusy,
            Error::TooLong { .. } | Error::TooShort { .. } | Error::WrongHash { .. } => {
                io::ErrorKind::InvalidData
            }
            Error::TooBigForMemory { .. } => io::ErrorKind::OutOfMemory,
        };
        Self::new(kind, error)
    }
}
