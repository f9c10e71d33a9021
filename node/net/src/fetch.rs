//! Fetches a blob from a peer that has it, or through a peer that can reach one. Runs in the caller's task; the driver
//! is not involved.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use tokio::sync::{Semaphore, mpsc};
use weft_core::{BlobId, PeerId};

use crate::blob::{
    BLOB_BYTES_MAX, BUSY, BlobSink, BlobStore, CHUNK_BYTES, CHUNKS_AHEAD, FOUND, NONE, PROTOCOL, Request,
    WAIT, blocking, unless_stalled, unless_trickling,
};
use crate::names;
use crate::retry::Tries;
use crate::shared::Shared;

/// Most incoming transfers at a time; further ones wait.
const FETCHES_MAX: usize = 64;
/// Most peers that are asked to relay, if no provider can be reached.
const RELAYS_MAX: usize = 3;
/// Most tries after streams that were dropped before the answer, which happens in bursts.
const TRIES: u32 = 10;
/// Most WAIT messages of a provider.
const WAITS_MAX: u32 = 300;

/// A blob could not be fetched. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// This node's own store failed.
    #[error("the blob store failed: {0}")]
    Store(io::Error),
    /// No peer delivered it.
    #[error("no peer delivered {blob:?}: {}", Faults(faults))]
    Failed {
        /// The blob.
        blob: BlobId,
        /// The peers that were asked, and why each failed.
        faults: Vec<(PeerId, Fault)>,
    },
}

/// Why a peer did not deliver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no connection to it.
    #[error("not connected")]
    NotConnected,
    /// It does not have the blob.
    #[error("does not have it")]
    NotFound,
    /// It serves the most transfers that it may.
    #[error("busy")]
    Busy,
    /// It claims that the blob is longer than the bound.
    #[error("claims {bytes} bytes, the limit is {BLOB_BYTES_MAX}")]
    TooLong {
        /// The claimed length, in bytes.
        bytes: u64,
    },
    /// It claims another length than the known one.
    #[error("claims {bytes} bytes, it has {known}")]
    OtherLength {
        /// The claimed length, in bytes.
        bytes: u64,
        /// The known length, in bytes.
        known: u64,
    },
    /// It claims that the blob is longer than the free space of this node.
    #[error("claims {bytes} bytes, for which there is no room here")]
    NoRoom {
        /// The claimed length, in bytes.
        bytes: u64,
    },
    /// Not a byte for ten seconds.
    #[error("stalled")]
    Stalled,
    /// The connection broke; the text says how.
    #[error("broke off: {0}")]
    Broken(String),
    /// It sent other bytes; the text is the store's.
    #[error("sent something else: {0}")]
    Wrong(String),
}

impl FetchError {
    /// Whether this node is certainly at fault: its store failed, or the blob has its known length and does not fit. If
    /// only the provider claims the length, the provider is at fault.
    #[must_use]
    pub fn is_ours(&self, known: Option<u64>) -> bool {
        let no_room = |fault: &Fault| matches!(fault, Fault::NoRoom { bytes } if Some(*bytes) == known);
        match self {
            Self::Store(_) => true,
            Self::Failed { faults, .. } => faults.iter().any(|(_, fault)| no_room(fault)),
        }
    }

    /// Whether other bytes were sent.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        let wrong = |fault: &Fault| match fault {
            Fault::TooLong { .. } | Fault::OtherLength { .. } | Fault::Wrong(_) => true,
            Fault::NotConnected
            | Fault::NotFound
            | Fault::Busy
            | Fault::NoRoom { .. }
            | Fault::Stalled
            | Fault::Broken(_) => false,
        };
        match self {
            Self::Store(_) => false,
            Self::Failed { faults, .. } => faults.iter().any(|(_, fault)| wrong(fault)),
        }
    }
}

struct Faults<'a>(&'a [(PeerId, Fault)]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no peer is connected");
        }
        for (i, (peer, fault)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{peer:?} {fault}")?;
        }
        Ok(())
    }
}

/// Why one attempt at one provider failed.
enum Stop {
    /// The provider's fault.
    Fault(Fault),
    /// The stream was dropped before an answer, or the provider's length differs from the last one's: try again.
    Again(Fault),
    /// This node's fault.
    Store(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Fault(if error.kind() == io::ErrorKind::TimedOut {
            Fault::Stalled
        } else {
            Fault::Broken(error.to_string())
        })
    }
}

/// Fetches blobs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetcher {
    control: libp2p_stream::Control,
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) shared: Arc<Shared>,
    permits: Arc<Semaphore>,
}

/// The received part of a blob; the next provider continues there.
struct Progress {
    blob: BlobId,
    /// Its length, if known beforehand.
    known: Option<u64>,
    written: u64,
    sink: Option<(u64, Box<dyn BlobSink>)>,
}

impl Fetcher {
    pub(crate) fn new(
        control: libp2p_stream::Control,
        store: Arc<dyn BlobStore>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { control, store, shared, permits: Arc::new(Semaphore::new(FETCHES_MAX)) }
    }

    /// The blob's length, if it is stored.
    pub(crate) async fn length_here(&self, blob: BlobId) -> io::Result<Option<u64>> {
        let store = Arc::clone(&self.store);
        Ok(blocking(move || store.open(blob)).await??.map(|(bytes, _)| bytes))
    }

    /// See [`crate::Net::fetch`].
    pub(crate) async fn fetch(
        &self,
        blob: BlobId,
        from: &[PeerId],
        known: Option<u64>,
    ) -> Result<u64, FetchError> {
        let _permit = self.permits.acquire().await.map_err(|e| FetchError::Store(io::Error::other(e)))?;
        if let Some(bytes) = self.length_here(blob).await.map_err(FetchError::Store)? {
            return Ok(bytes);
        }
        let mut progress = Progress { blob, known, written: 0, sink: None };
        let mut faults = Vec::new();
        for (provider, via) in from.iter().map(|&peer| (peer, None)).chain(self.relays(from)) {
            match self.pull(&mut progress, provider, via).await {
                Ok(bytes) => return Ok(bytes),
                Err(Stop::Fault(fault) | Stop::Again(fault)) => faults.push((provider, fault)),
                Err(Stop::Store(error)) => return Err(FetchError::Store(error)),
            }
        }
        Err(FetchError::Failed { blob, faults })
    }

    /// Fetches from this provider only, for another node.
    pub(crate) async fn fetch_for_other(&self, blob: BlobId, provider: PeerId) -> bool {
        let mut progress = Progress { blob, known: None, written: 0, sink: None };
        self.pull(&mut progress, provider, None).await.is_ok()
    }

    /// Peers that may relay, each with the provider that it should ask.
    fn relays(&self, from: &[PeerId]) -> Vec<(PeerId, Option<PeerId>)> {
        let others = self.shared.linked().into_iter().filter(|peer| !from.contains(peer));
        let mut vias = from.iter().cycle();
        others.take(RELAYS_MAX).map(|relay| (relay, vias.next().copied())).collect()
    }

    async fn pull(
        &self,
        progress: &mut Progress,
        provider: PeerId,
        via: Option<PeerId>,
    ) -> Result<u64, Stop> {
        let mut tries = Tries::of(TRIES);
        loop {
            let pulled = self.pull_once(progress, provider, via).await;
            let may_pass = matches!(pulled, Err(Stop::Again(_)));
            if !(may_pass && tries.wait().await) {
                return pulled;
            }
        }
    }

    async fn pull_once(
        &self,
        progress: &mut Progress,
        provider: PeerId,
        via: Option<PeerId>,
    ) -> Result<u64, Stop> {
        let mut stream = self.open(provider).await?;
        let request = Request { blob: progress.blob, offset: progress.written, via };
        let total = ask(&mut stream, request).await?;
        if total > BLOB_BYTES_MAX {
            return Err(Stop::Fault(Fault::TooLong { bytes: total }));
        }
        if let Some(known) = progress.known.filter(|known| *known != total) {
            return Err(Stop::Fault(Fault::OtherLength { bytes: total, known }));
        }
        let sink = match progress.sink.take() {
            Some((bytes, sink)) if bytes == total => sink,
            Some(_) => {
                progress.written = 0;
                return Err(Stop::Again(Fault::Wrong(String::from("another length"))));
            }
            None => {
                let (store, blob) = (Arc::clone(&self.store), progress.blob);
                let created = blocking(move || store.create(blob, total)).await.and_then(|result| result);
                // The length is the provider's claim: another provider may claim less.
                created.map_err(|error| {
                    if error.kind() == io::ErrorKind::QuotaExceeded {
                        Stop::Fault(Fault::NoRoom { bytes: total })
                    } else {
                        Stop::Store(error)
                    }
                })?
            }
        };
        let left = total - progress.written;
        let (chunks, taken) = mpsc::channel(CHUNKS_AHEAD);
        let keeping = tokio::task::spawn_blocking(move || keep(sink, left, taken));
        let received = receive(&mut stream, left, chunks).await;
        match keeping.await.map_err(io::Error::other).and_then(|kept| kept).map_err(Stop::Store)? {
            Kept::Whole(finished) => {
                let resumed = std::mem::take(&mut progress.written) > 0;
                finished.map_err(|error| {
                    if error.kind() != io::ErrorKind::InvalidData {
                        // Not the bytes' fault: storing them failed.
                        return Stop::Store(error);
                    }
                    let fault = Fault::Wrong(error.to_string());
                    // A part came from another peer, which may be the liar: this one is asked for all of it.
                    if resumed { Stop::Again(fault) } else { Stop::Fault(fault) }
                })?;
            }
            Kept::Part { sink, bytes } => {
                progress.written += bytes;
                progress.sink = Some((total, sink));
                return Err(received.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()).into());
            }
        }
        Ok(total)
    }

    async fn open(&self, provider: PeerId) -> Result<Stream, Stop> {
        let name = names::to_libp2p(provider).filter(|_| self.shared.is_linked(provider));
        let name = name.ok_or(Stop::Fault(Fault::NotConnected))?;
        let mut control = self.control.clone();
        let opened = async { control.open_stream(name, PROTOCOL).await.map_err(io::Error::other) };
        Ok(unless_stalled(opened).await?)
    }
}

/// Sends the request and returns the blob's length; its bytes follow on the stream.
async fn ask(stream: &mut Stream, request: Request) -> Result<u64, Stop> {
    let again = |error: io::Error| match Stop::from(error) {
        Stop::Fault(fault @ Fault::Broken(_)) => Stop::Again(fault),
        stop @ (Stop::Fault(_) | Stop::Again(_) | Stop::Store(_)) => stop,
    };
    let asked = async {
        stream.write_all(&request.encode()).await?;
        stream.flush().await
    };
    unless_stalled(asked).await.map_err(again)?;
    let mut waits = 0;
    let status = loop {
        let mut status = [0];
        unless_stalled(stream.read_exact(&mut status)).await.map_err(again)?;
        if status[0] != WAIT {
            break status[0];
        }
        waits += 1;
        if waits > WAITS_MAX {
            return Err(Stop::Fault(Fault::Stalled));
        }
    };
    match status {
        FOUND => {}
        NONE => return Err(Stop::Fault(Fault::NotFound)),
        BUSY => return Err(Stop::Again(Fault::Busy)),
        other => return Err(Stop::Fault(Fault::Broken(format!("answered {other}")))),
    }
    let mut length = [0; 8];
    unless_stalled(stream.read_exact(&mut length)).await?;
    Ok(u64::from_be_bytes(length))
}

/// What the store received over one connection.
enum Kept {
    /// All bytes; and whether they verified.
    Whole(io::Result<()>),
    /// Some bytes.
    Part { sink: Box<dyn BlobSink>, bytes: u64 },
}

/// The store's side, on one blocking thread for the whole transfer: a hand-over between threads for each chunk would
/// cost more than the chunk on a busy machine.
fn keep(mut sink: Box<dyn BlobSink>, left: u64, mut chunks: mpsc::Receiver<Vec<u8>>) -> io::Result<Kept> {
    let mut bytes = 0;
    while let Some(chunk) = chunks.blocking_recv() {
        sink.write(&chunk)?;
        bytes += chunk.len() as u64;
    }
    Ok(if bytes == left { Kept::Whole(sink.finish()) } else { Kept::Part { sink, bytes } })
}

/// The network's side: passes chunks on until all are received or the store gives up.
async fn receive(stream: &mut Stream, mut left: u64, chunks: mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let (began, mut passed) = (tokio::time::Instant::now(), 0);
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let chunk = unless_trickling(began, passed, read_chunk(stream, wanted)).await?;
        left -= chunk.len() as u64;
        passed += chunk.len() as u64;
        if chunks.send(chunk).await.is_err() {
            // The store reports the reason.
            break;
        }
    }
    Ok(())
}

/// Reads exactly this many bytes, at most [`CHUNK_BYTES`]; each read has its own timeout.
async fn read_chunk(stream: &mut Stream, bytes: usize) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; bytes];
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match unless_stalled(stream.read(rest)).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(chunk)
}
