//! Errors of the store: which side is at fault, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use weft_core::BlobId;

/// No file more may be opened on this system, or by this process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Why an operation on the store failed. The store stays consistent: no incomplete blob is ever visible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("cannot {doing} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// The operation: "create", "rename to", ...
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Too much is pinned or being written, so that nothing more can be evicted.
    #[error("{}", no_room(*wanted, *quota, *pinned, *reserved))]
    Full {
        /// Bytes that the blob needs.
        wanted: u64,
        /// The store's limit.
        quota: u64,
        /// Pinned bytes.
        pinned: u64,
        /// Bytes reserved for writes in progress.
        reserved: u64,
    },
    /// The most blobs that may be written at the same time are being written.
    #[error("{writes} blobs are being written already; try again when one of them has ended")]
    Busy {
        /// Writes in progress.
        writes: usize,
    },
    /// The source that was being stored failed.
    #[error("cannot read what should become a blob: {0}")]
    Source(#[source] io::Error),
    /// More bytes arrived than allowed or announced.
    #[error("more than {allowed} bytes came; nothing was stored")]
    TooLong {
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// Fewer bytes arrived than announced.
    #[error("{got} bytes came where {announced} were announced; nothing was stored")]
    TooShort {
        /// Bytes that were announced.
        announced: u64,
        /// Bytes that arrived.
        got: u64,
    },
    /// The bytes have another hash: the sender is broken or lies.
    #[error("the bytes hash to {found}, not to {expected}; nothing was stored")]
    WrongHash {
        /// The requested hash.
        expected: BlobId,
        /// The hash of the received bytes.
        found: BlobId,
    },
    /// The blob does not fit into this machine's memory.
    #[error("a blob of {bytes} bytes does not fit into memory; stream it instead")]
    TooBigForMemory {
        /// The blob's length.
        bytes: u64,
    },
}

/// Advice for a failed system call.
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

/// What is in the way of a blob, and what to do.
fn no_room(wanted: u64, quota: u64, pinned: u64, reserved: u64) -> String {
    let [wanted_size, quota_size] = [wanted, quota].map(size);
    if wanted > quota {
        return format!(
            "no room for {wanted_size}: the whole store has {quota_size}; start the node with a larger one (--store)"
        );
    }
    let [pinned, reserved] = [pinned, reserved].map(size);
    format!(
        "no room for {wanted_size}: of the store's {quota_size} work needs {pinned}, and blobs that arrive now take {reserved}; \
         wait until jobs end, forget jobs whose results you have, or start the node with a larger store (--store)"
    )
}

/// A length for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
}

impl Error {
    /// True if the disk, or this user's quota on it, is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }

    /// True if the system could not put something onto the disk. That is not tried again: what it could not write may be gone.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        // Without a file more nothing was tried.
        let lacks_files = |source: &io::Error| matches!(source.raw_os_error(), Some(ENFILE | EMFILE));
        matches!(self, Self::Io { doing: "sync", source, .. } if !lacks_files(source))
    }

    /// True if the sender is at fault, not this machine: the sender loses reputation.
    #[must_use]
    pub fn is_senders_fault(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::TooShort { .. } | Self::WrongHash { .. })
    }

    /// Converts a failed system call on `path` to [`Error::Io`].
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Whether a system call failed because the disk, or this user's quota on it, is full.
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
