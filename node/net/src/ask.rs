//! Asks another member, and reads its answer as it comes. Runs in the caller's task; the driver is not involved.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::AsyncWriteExt;
use libp2p::Stream;
use libp2p_stream::OpenStreamError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use weft_core::{BlobId, PeerId};

use crate::api::{ANSWERED_BYTES_MAX, ApiFrame, ApiHead, ApiRequest, PROTOCOL};
use crate::fetch::{FetchError, Fetcher};
use crate::names;
use crate::retry::Tries;

/// Most requests of this node under way; a further one is refused at once.
pub(crate) const ASKS_MAX: usize = 512;
/// An answerer says something at least this often, or its answer is given up.
pub const STALL: Duration = Duration::from_secs(10);
/// Most tries of a request that only reads, after streams that were dropped before the answer, which happens in bursts.
const TRIES: u32 = 5;

/// Why a member gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no connection to it.
    #[error("not connected")]
    NotConnected,
    /// Its version of weft answers no such requests.
    #[error("its version of weft answers no other node")]
    Unsupported,
    /// It answers as many requests as it may, or this node asks as many; nothing was done.
    #[error("busy")]
    Busy,
    /// It said nothing for ten seconds.
    #[error("fell silent")]
    Stalled,
    /// The connection broke, or what came is no answer; the text says how.
    #[error("broke off: {0}")]
    Broken(String),
}

impl AskError {
    /// Whether the peer certainly did nothing of what was asked.
    #[must_use]
    pub fn did_nothing(&self) -> bool {
        matches!(self, Self::NotConnected | Self::Unsupported | Self::Busy)
    }
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Stalled } else { Self::Broken(error.to_string()) }
    }
}

/// Asks other members, for answers and for blobs. Cheap to clone.
#[derive(Clone)]
pub struct Asker {
    pub(crate) control: libp2p_stream::Control,
    fetcher: Fetcher,
    permits: Arc<Semaphore>,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").field("permits", &self.permits).finish_non_exhaustive()
    }
}

/// An answer of which the head was read. Dropping it tells the answerer that the rest is not wanted.
pub struct ApiAnswer {
    /// Its head; unchecked but for its length.
    pub head: ApiHead,
    stream: Stream,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl std::fmt::Debug for ApiAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiAnswer").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Asker {
    pub(crate) fn new(control: libp2p_stream::Control, fetcher: Fetcher) -> Self {
        Self { control, fetcher, permits: Arc::new(Semaphore::new(ASKS_MAX)) }
    }

    /// The peers that can be asked.
    #[must_use]
    pub fn connected(&self) -> Vec<PeerId> {
        self.fetcher.shared.linked()
    }

    /// Messages between this node and nodes of other versions that one of both does not know, since the start: they were
    /// dropped.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.fetcher.shared.unknown()
    }

    /// Fetches a blob into this node's store; see [`crate::Net::fetch`].
    ///
    /// # Errors
    /// As there.
    pub async fn fetch(&self, blob: BlobId, from: &[PeerId]) -> Result<u64, FetchError> {
        self.fetcher.fetch(blob, from, None).await
    }

    /// Asks a peer and waits for the head of its answer, as long as the peer says that it is at work.
    ///
    /// # Errors
    /// [`AskError`]. After [`AskError::Stalled`] and [`AskError::Broken`] it is not known whether anything was done.
    pub async fn ask(&self, peer: PeerId, request: &ApiRequest) -> Result<ApiAnswer, AskError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_all_taken| AskError::Busy)?;
        let sent = ApiFrame::Request(request.clone()).encode()?;
        let only_reads = request.method == "GET" || request.method == "HEAD";
        let mut tries = Tries::of(TRIES);
        let (head, stream) = loop {
            let asked = self.ask_once(peer, &sent).await;
            let may_pass = only_reads && matches!(asked, Err(AskError::Broken(_)));
            if !(may_pass && tries.wait().await) {
                break asked?;
            }
        };
        Ok(ApiAnswer { head, stream, over: false, _permit: permit })
    }

    async fn ask_once(&self, peer: PeerId, sent: &[u8]) -> Result<(ApiHead, Stream), AskError> {
        let name = names::to_libp2p(peer).filter(|_| self.fetcher.shared.is_linked(peer));
        let name = name.ok_or(AskError::NotConnected)?;
        let mut control = self.control.clone();
        let opened = timeout(STALL, control.open_stream(name, PROTOCOL)).await;
        let mut stream = match opened.map_err(|_late| AskError::Stalled)? {
            Ok(stream) => stream,
            Err(OpenStreamError::UnsupportedProtocol(_)) => return Err(AskError::Unsupported),
            Err(error) => return Err(AskError::Broken(error.to_string())),
        };
        let asked = async {
            stream.write_all(sent).await?;
            stream.flush().await
        };
        timeout(STALL, asked).await.map_err(|_late| AskError::Stalled)??;
        loop {
            match next_frame(&mut stream).await? {
                ApiFrame::Pulse => {}
                ApiFrame::Head(head) => return Ok((head, stream)),
                ApiFrame::Busy => return Err(AskError::Busy),
                ApiFrame::Request(_) | ApiFrame::Data(_) | ApiFrame::End => return Err(no_answer()),
            }
        }
    }
}

impl ApiAnswer {
    /// The next part of the body; `None` once it is whole.
    ///
    /// # Errors
    /// [`AskError`], where the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, AskError> {
        while !self.over {
            match next_frame(&mut self.stream).await? {
                ApiFrame::Pulse => {}
                ApiFrame::Data(bytes) => return Ok(Some(bytes.into())),
                ApiFrame::End => self.over = true,
                ApiFrame::Request(_) | ApiFrame::Head(_) | ApiFrame::Busy => return Err(no_answer()),
            }
        }
        Ok(None)
    }

    /// The whole body, if it has at most this many bytes.
    ///
    /// # Errors
    /// [`AskError`], where the body breaks off or is longer.
    pub async fn whole(mut self, bytes_max: usize) -> Result<Vec<u8>, AskError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > bytes_max {
                return Err(AskError::Broken(format!("an answer of more than {bytes_max} bytes")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

async fn next_frame(stream: &mut Stream) -> Result<ApiFrame, AskError> {
    let read = timeout(STALL, ApiFrame::read(stream, ANSWERED_BYTES_MAX)).await;
    Ok(read.map_err(|_late| AskError::Stalled)??)
}

fn no_answer() -> AskError {
    AskError::Broken(String::from("what came is no answer"))
}
