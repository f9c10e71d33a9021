//! Answers requests of other members: reads them, hands them to the node, and sends what it says. Bounded in number and
//! time. Driven by a task of its own, which accepts every stream at once: libp2p drops streams that are not accepted.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncWriteExt, StreamExt};
use libp2p::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weft_core::PeerId;

use crate::api::{
    ASKED_BYTES_MAX, ApiBody, ApiFrame, ApiReply, Asked, DATA_BYTES_MAX, PULSE_EVERY, malformed,
};
use crate::caught::caught;
use crate::names;

/// Most requests that are answered at a time; a further one is told that this node is busy.
pub(crate) const ANSWERS_MAX: usize = 512;
/// Of those, the ones of one peer.
pub(crate) const ANSWERS_A_PEER_MAX: usize = 64;
/// Most refusals that are being written; a further stream is dropped.
const REFUSALS_MAX: usize = 128;
/// Most requests that wait for the node; one beyond it waits with its stream.
pub(crate) const ASKED_MAX: usize = 64;
/// Longest time for a request to come whole.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// An answer of which nothing is taken for this long breaks off.
const UNREAD_MAX: Duration = Duration::from_secs(60);

// Requests that come at once, and those that are refused, take little memory together.
const _: () = assert!((ANSWERS_MAX + REFUSALS_MAX) * ASKED_BYTES_MAX <= 32 << 20);

/// Serves until it is dropped.
pub(crate) async fn answer(mut incoming: libp2p_stream::IncomingStreams, asked: mpsc::Sender<Asked>) {
    let mut answering: JoinSet<PeerId> = JoinSet::new();
    let mut refusing = JoinSet::new();
    let mut of_peer: BTreeMap<PeerId, usize> = BTreeMap::new();
    loop {
        tokio::select! {
            next = incoming.next() => {
                let Some((peer, stream)) = next else { return };
                let Some(peer) = names::to_core(&peer) else { continue };
                let count = of_peer.entry(peer).or_default();
                if *count < ANSWERS_A_PEER_MAX && answering.len() < ANSWERS_MAX {
                    *count += 1;
                    let asked = asked.clone();
                    answering.spawn_local(async move {
                        drop(caught("a request of a peer", converse(peer, stream, asked)).await);
                        peer
                    });
                } else if refusing.len() < REFUSALS_MAX {
                    refusing.spawn_local(refuse(stream));
                }
            }
            Some(ended) = answering.join_next() => {
                // Each ends with its peer: a panic is caught inside.
                let Ok(peer) = ended else { continue };
                if let Some(count) = of_peer.get_mut(&peer) {
                    *count -= 1;
                    if *count == 0 {
                        of_peer.remove(&peer);
                    }
                }
            }
            Some(_) = refusing.join_next() => {}
        }
    }
}

async fn refuse(mut stream: Stream) {
    // Read first, so that the refusal is not lost with what was not read.
    let read = ApiFrame::read(&mut stream, ASKED_BYTES_MAX);
    if matches!(timeout(REQUEST_TIME, read).await, Ok(Ok(_))) {
        drop(send(&mut stream, ApiFrame::Busy).await);
        drop(timeout(REQUEST_TIME, stream.close()).await);
    }
}

async fn converse(from: PeerId, mut stream: Stream, asked: mpsc::Sender<Asked>) {
    match reply(from, &mut stream, asked).await {
        // The answer is sent; a peer that is gone by now has it or asks again.
        Ok(()) => drop(timeout(REQUEST_TIME, stream.close()).await),
        Err(error) => tracing::debug!(?from, %error, "a request of a peer broke off"),
    }
}

async fn reply(from: PeerId, stream: &mut Stream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let read = timeout(REQUEST_TIME, ApiFrame::read(stream, ASKED_BYTES_MAX)).await;
    let ApiFrame::Request(request) = read.map_err(io::Error::from)?? else {
        return Err(malformed("no request"));
    };
    let (reply, replied) = oneshot::channel();
    let handing_on = async {
        let question = Asked { from, request, reply };
        asked.send(question).await.map_err(|_no_node| ())?;
        replied.await.map_err(|_dropped| ())
    };
    let Ok(ApiReply { head, body }) = while_pulsing(stream, handing_on).await? else {
        return send(stream, ApiFrame::Busy).await;
    };
    send(stream, ApiFrame::Head(head)).await?;
    send_body(stream, body).await?;
    send(stream, ApiFrame::End).await
}

async fn send_body(stream: &mut Stream, mut body: ApiBody) -> io::Result<()> {
    while let Some(chunk) = while_pulsing(stream, body.next()).await? {
        let mut rest: Bytes = chunk?;
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(DATA_BYTES_MAX));
            send(stream, ApiFrame::Data(part.to_vec())).await?;
        }
    }
    Ok(())
}

/// Waits, and says now and then that the answer is still on its way; an error if the asker is gone.
async fn while_pulsing<T>(stream: &mut Stream, work: impl Future<Output = T>) -> io::Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        match timeout(PULSE_EVERY, &mut work).await {
            Ok(done) => return Ok(done),
            Err(_quiet) => send(stream, ApiFrame::Pulse).await?,
        }
    }
}

async fn send(stream: &mut Stream, frame: ApiFrame) -> io::Result<()> {
    let bytes = frame.encode()?;
    let written = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    timeout(UNREAD_MAX, written).await.map_err(io::Error::from)?
}
