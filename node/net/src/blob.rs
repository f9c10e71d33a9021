//! Transfers of blobs between nodes: the store's interface and the messages of one transfer. A transfer has a substream
//! of its own:
//!
//! ```text
//!   request  blob 32 | offset 8 | via 0, or 1 and a peer 32, always 33 bytes
//!   answer   WAIT* then NONE, BUSY or FOUND | length 8 | bytes from the offset to the end
//! ```
//!
//! `via` asks a node that lacks the blob to fetch it from that peer first, over one hop only.

use std::io::{self, Read};
use std::time::Duration;

use libp2p::StreamProtocol;
use weft_core::{BlobId, PeerId};

pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/weft/blob/1");
/// Longest blob that is accepted, in bytes.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;
/// Bytes that are passed between network and store at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Most chunks of one transfer between network and store; beyond it the faster side waits.
pub(crate) const CHUNKS_AHEAD: usize = 4;
/// A transfer without a byte for this long is aborted.
pub(crate) const STALL: Duration = Duration::from_secs(10);
/// Least average rate of a transfer after its first minute, in bytes per second.
pub(crate) const RATE_MIN: u64 = 64 * 1024;
/// A node that fetches a blob for another node sends WAIT this often.
pub(crate) const WAIT_EVERY: Duration = Duration::from_secs(2);

pub(crate) const REQUEST_BYTES: usize = 32 + 8 + 1 + 32;
pub(crate) const NONE: u8 = 0;
pub(crate) const FOUND: u8 = 1;
pub(crate) const BUSY: u8 = 2;
pub(crate) const WAIT: u8 = 3;

/// This node's blob store.
pub trait BlobStore: Send + Sync {
    /// Length and content of a blob; `None` if it is not stored.
    ///
    /// # Errors
    /// When the store fails; the requesting peer is told that the blob is not found.
    fn open(&self, id: BlobId) -> io::Result<Option<(u64, Box<dyn Read + Send>)>>;

    /// Begins to store a blob of that many bytes.
    ///
    /// # Errors
    /// When the store is full or fails; the fetch ends.
    fn create(&self, id: BlobId, bytes: u64) -> io::Result<Box<dyn BlobSink>>;
}

/// A blob that is being stored; dropping it unfinished leaves nothing behind.
pub trait BlobSink: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When the store fails; the fetch ends.
    fn write(&mut self, chunk: &[u8]) -> io::Result<()>;

    /// Verifies length and hash and makes the blob visible.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the bytes have another hash: the next provider is asked. Any other when the
    /// store fails: the fetch ends.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A request for a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) blob: BlobId,
    /// Where to begin, in bytes.
    pub(crate) offset: u64,
    /// Peer to fetch it from if it is not stored.
    pub(crate) via: Option<PeerId>,
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { blob, offset, via } = self;
        let (flag, peer) = via.map_or((0, [0; 32]), |peer| (1, peer.0));
        [&blob.0[..], &offset.to_be_bytes(), &[flag], &peer].concat()
    }

    /// `None` if the flag is unknown.
    pub(crate) fn decode(bytes: &[u8; REQUEST_BYTES]) -> Option<Self> {
        let (blob, rest) = bytes.split_first_chunk::<32>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (flag, peer) = rest.split_first()?;
        let via = match flag {
            0 => None,
            1 => Some(PeerId(peer.try_into().ok()?)),
            _ => return None,
        };
        Some(Self { blob: BlobId(*blob), offset: u64::from_be_bytes(*offset), via })
    }
}

/// Runs a store's call on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)
}

/// Waits for one step of a transfer, for at most [`STALL`].
pub(crate) async fn unless_stalled<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(STALL, step).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Longest duration of a transfer after this many bytes; the announced length does not count. Otherwise a peer that
/// sends just fast enough not to stall could hold a transfer, and the task that waits for it.
pub(crate) fn longest(passed: u64) -> Duration {
    Duration::from_secs(60 + passed / RATE_MIN)
}

/// Waits for one step of a transfer that began at this time, until [`longest`] after it.
pub(crate) async fn unless_trickling<T>(
    began: tokio::time::Instant,
    passed: u64,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match tokio::time::timeout_at(began + longest(passed), step).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_request_survives_the_wire(blob in any::<[u8; 32]>(), offset: u64, via in any::<Option<[u8; 32]>>()) {
            let request = Request { blob: BlobId(blob), offset, via: via.map(PeerId) };
            let bytes: [u8; REQUEST_BYTES] = request.encode().try_into().unwrap();
            prop_assert_eq!(Request::decode(&bytes), Some(request));
        }
    }
}
