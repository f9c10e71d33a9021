//! Blobs between nodes: what the store must offer, and the words of one transfer. A transfer has a substream of its
//! own:
//!
//! ```text
//!   request  blob 32 | offset 8 | via 0, or 1 and a peer 32, always 33 bytes
//!   answer   WAIT* then NONE, BUSY or FOUND | length 8 | bytes from the offset to the end
//! ```
//!
//! `via` asks a node that lacks the blob to get it from that peer first, one hop and no further.

use std::io::{self, Read};
use std::time::Duration;

use libp2p::StreamProtocol;
use weft_core::{BlobId, PeerId};

pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/weft/blob/1");
/// Longest blob that is accepted, in bytes.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;
/// Bytes that pass between network and store at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Chunks of one transfer between network and store; beyond it the faster of them waits.
pub(crate) const CHUNKS_AHEAD: usize = 4;
/// A transfer without a byte for this long is over.
pub(crate) const STALL: Duration = Duration::from_secs(10);
/// Bytes a second that a transfer must make on average, after its first minute.
pub(crate) const RATE_MIN: u64 = 64 * 1024;
/// A node that fetches a blob for somebody says so this often.
pub(crate) const WAIT_EVERY: Duration = Duration::from_secs(2);

pub(crate) const REQUEST_BYTES: usize = 32 + 8 + 1 + 32;
pub(crate) const NONE: u8 = 0;
pub(crate) const FOUND: u8 = 1;
pub(crate) const BUSY: u8 = 2;
pub(crate) const WAIT: u8 = 3;

/// Where this node keeps blobs. Called on blocking threads.
pub trait BlobStore: Send + Sync {
    /// Length and bytes of a blob; `None` when it is not here.
    ///
    /// # Errors
    /// When the store fails; the asking peer hears that the blob is not here.
    fn open(&self, id: BlobId) -> io::Result<Option<(u64, Box<dyn Read + Send>)>>;

    /// Begins to store a blob of that many bytes.
    ///
    /// # Errors
    /// When the store has no room or fails; the fetch ends.
    fn create(&self, id: BlobId, bytes: u64) -> io::Result<Box<dyn BlobSink>>;
}

/// A blob on its way into the store; dropped unfinished, it was never there.
pub trait BlobSink: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When the store fails; the fetch ends.
    fn write(&mut self, chunk: &[u8]) -> io::Result<()>;

    /// Checks length and hash and makes the blob visible.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the bytes are not the blob's: the next provider is asked. Any other when the
    /// store fails: the fetch ends.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// What one node asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) blob: BlobId,
    /// Where to begin, in bytes.
    pub(crate) offset: u64,
    /// From whom to get it if it is not there.
    pub(crate) via: Option<PeerId>,
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { blob, offset, via } = self;
        let (flag, peer) = via.map_or((0, [0; 32]), |peer| (1, peer.0));
        [&blob.0[..], &offset.to_be_bytes(), &[flag], &peer].concat()
    }

    /// `None` when the flag is none of ours.
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

/// Waits for one step of a transfer, but not for ever.
pub(crate) async fn unless_stalled<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(STALL, step).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// How long a transfer may have taken when so many bytes have passed; what is claimed does not count. A peer that
/// trickles, just fast enough not to stall, would otherwise hold a transfer, and the task that waits for it.
pub(crate) fn longest(passed: u64) -> Duration {
    Duration::from_secs(60 + passed / RATE_MIN)
}

/// The same for one step of a transfer that began then.
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
