//! Serves blobs to peers, bounded in number and time. Driven by a task of its own, which accepts every stream at once:
//! libp2p drops streams that are not accepted.

use std::io::{self, Read};
use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::Stream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use weft_core::PeerId;

use crate::blob::{
    BUSY, CHUNK_BYTES, CHUNKS_AHEAD, FOUND, NONE, REQUEST_BYTES, Request, WAIT, WAIT_EVERY, blocking,
    unless_stalled, unless_trickling,
};
use crate::caught::caught;
use crate::fetch::Fetcher;
use crate::names;

/// Most outgoing transfers at a time; a further request is answered as busy.
const TRANSFERS_MAX: usize = 64;
/// Most refusals that are being written; a further stream is dropped.
const STREAMS_MAX: usize = 256;
/// Most blobs that this node fetches for other nodes at a time.
const ERRANDS_MAX: usize = 8;

struct Server {
    fetcher: Fetcher,
    transfers: Semaphore,
    errands: Semaphore,
}

/// Serves until it is dropped.
pub(crate) async fn serve(mut incoming: libp2p_stream::IncomingStreams, fetcher: Fetcher) {
    let server = Arc::new(Server {
        fetcher,
        transfers: Semaphore::new(TRANSFERS_MAX),
        errands: Semaphore::new(ERRANDS_MAX),
    });
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            next = incoming.next() => {
                let Some((peer, stream)) = next else { return };
                if tasks.len() < STREAMS_MAX {
                    let answering = Arc::clone(&server).answer(peer, stream);
                    tasks.spawn_local(async move { drop(caught("a transfer to a peer", answering).await) });
                }
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

impl Server {
    async fn answer(self: Arc<Self>, peer: libp2p::PeerId, mut stream: Stream) {
        let Some(peer) = names::to_core(&peer) else { return };
        if let Err(error) = self.converse(peer, &mut stream).await {
            tracing::debug!(?peer, %error, "a transfer broke off");
            return;
        }
        // The bytes are sent; a peer that is gone by now has them or asks again.
        drop(unless_stalled(stream.close()).await);
    }

    async fn converse(&self, peer: PeerId, stream: &mut Stream) -> io::Result<()> {
        let mut bytes = [0; REQUEST_BYTES];
        unless_stalled(stream.read_exact(&mut bytes)).await?;
        let request = Request::decode(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        let Ok(_permit) = self.transfers.try_acquire() else {
            return unless_stalled(stream.write_all(&[BUSY])).await;
        };
        let mut found = self.open(request).await;
        if found.is_none() && self.run_errand(peer, request, stream).await? {
            found = self.open(request).await;
        }
        let Some((bytes, reader)) = found else {
            return unless_stalled(stream.write_all(&[NONE])).await;
        };
        let head = [&[FOUND][..], &bytes.to_be_bytes()].concat();
        unless_stalled(stream.write_all(&head)).await?;
        send(stream, reader, bytes, request.offset).await
    }

    async fn open(&self, request: Request) -> Option<(u64, Box<dyn Read + Send>)> {
        let store = Arc::clone(&self.fetcher.store);
        match blocking(move || store.open(request.blob)).await.and_then(|result| result) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(blob = ?request.blob, %error, "the store could not open a blob that a peer wants");
                None
            }
        }
    }

    /// Fetches a blob for a peer that can't reach its provider, and sends WAIT meanwhile. Returns whether it is stored
    /// now.
    async fn run_errand(&self, peer: PeerId, request: Request, stream: &mut Stream) -> io::Result<bool> {
        let Some(provider) = request.via.filter(|via| *via != peer) else { return Ok(false) };
        if !self.fetcher.shared.is_linked(provider) {
            return Ok(false);
        }
        let Ok(_permit) = self.errands.try_acquire() else { return Ok(false) };
        let mut errand = std::pin::pin!(self.fetcher.fetch_for_other(request.blob, provider));
        loop {
            tokio::select! {
                here = &mut errand => return Ok(here),
                () = tokio::time::sleep(WAIT_EVERY) => {
                    unless_stalled(stream.write_all(&[WAIT])).await?;
                    unless_stalled(stream.flush()).await?;
                }
            }
        }
    }
}

/// Sends the blob from the offset on, while one blocking thread reads ahead: a hand-over between threads for each chunk
/// would cost more than the chunk on a busy machine.
async fn send(stream: &mut Stream, reader: Box<dyn Read + Send>, bytes: u64, offset: u64) -> io::Result<()> {
    let left = bytes.checked_sub(offset).ok_or(io::ErrorKind::InvalidInput)?;
    let (chunks, mut read) = mpsc::channel(CHUNKS_AHEAD);
    let reading = tokio::task::spawn_blocking(move || read_ahead(reader, offset, left, &chunks));
    let (began, mut passed) = (tokio::time::Instant::now(), 0);
    while let Some(chunk) = read.recv().await {
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let written = unless_trickling(began, passed, unless_stalled(stream.write(rest))).await?;
            passed += written as u64;
            rest = rest.get(written..).filter(|_| written > 0).ok_or(io::ErrorKind::WriteZero)?;
        }
    }
    reading.await.map_err(io::Error::other)??;
    unless_stalled(stream.flush()).await
}

/// The store can't seek, so the bytes before the offset are read and dropped.
fn read_ahead(
    mut reader: Box<dyn Read + Send>,
    offset: u64,
    mut left: u64,
    chunks: &mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
    while left > 0 {
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)];
        reader.read_exact(&mut chunk)?;
        left -= chunk.len() as u64;
        if chunks.blocking_send(chunk).is_err() {
            // The transfer has failed and reports it.
            return Ok(());
        }
    }
    Ok(())
}
