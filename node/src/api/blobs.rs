//! Blobs in and out, streamed: the disk works on blocking threads, and neither side is held in memory.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use weft_blobs::{Loss, Room};
use weft_client::api::BlobRef;
use weft_core::BlobId;
use weft_net::FetchError;

use super::arrivals::has_room;
use super::error::ApiError;
use super::json::{self, blob_id};
use super::places::{Lasting, take};
use super::{Answered, Api};
use crate::text_module::{self, TEXT_BYTES_MAX};

/// Longest blob that is taken.
const BLOB_BYTES_MAX: u64 = 64 << 30;
/// Pieces of an upload between the socket and the disk; beyond it the socket waits.
const PIECES_MAX: usize = 8;
/// How long an upload waits for room in the store, and how often it looks.
const ROOM_TIME: Duration = Duration::from_secs(600);
const ROOM_PAUSE: Duration = Duration::from_millis(100);
/// An upload that brings nothing for so long ends when others wait for its place, or for room, of which it has this much or more.
const STALL_TIME: Duration = Duration::from_secs(60);
const HELD_BYTES_MIN: u64 = 1 << 20;
/// How long what a refused upload still brings is read.
const REFUSED_TIME: Duration = Duration::from_secs(10);
/// By so much of its beginning a module as text is known.
const MODULE_HEAD_BYTES: u64 = 64;
/// How much of a blob is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// `PUT /v1/blobs`.
pub(super) async fn put(State(api): State<Api>, request: Request) -> Answered {
    // A client that asks before it sends the body does not send it after a refusal.
    let asks_first = request.headers().contains_key(EXPECT);
    // Of one that does not say it, what came counts.
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let announced = length.unwrap_or(0).min(BLOB_BYTES_MAX);
    let mut body = request.into_body().into_data_stream();
    let Lasting { uploads, bounds, .. } = &api.lasting;
    let _upload = match permit(uploads, "uploads", bounds.uploads) {
        Ok(permit) => permit,
        Err(refusal) => {
            if !asks_first {
                let_end(&api, body);
            }
            return Err(refusal);
        }
    };
    match take_in(&api, announced, &mut body).await {
        Ok(blob) => Ok((StatusCode::CREATED, json::answer(&blob)).into_response()),
        Err(refusal) => {
            let_end(&api, body);
            Err(refusal)
        }
    }
}

/// Reads what a refused upload still brings, and drops it, for a while: were the connection closed at once, a client
/// that still sends would learn that it broke, not why.
fn let_end(api: &Api, mut body: BodyDataStream) {
    let mut refused = api.lasting.refused.lock().expect("no thread panics while it holds this lock");
    while refused.try_join_next().is_some() {}
    refused.spawn(async move {
        let ended = async { while let Some(Ok(_)) = body.next().await {} };
        drop(timeout(REFUSED_TIME, ended).await);
    });
}

/// Stores what an upload brings.
async fn take_in(api: &Api, announced: u64, body: &mut BodyDataStream) -> Result<BlobRef, ApiError> {
    let room = room(api, announced).await?;
    let writers = &api.lasting.writers;
    let _writer = writers.acquire().await.expect("this semaphore is never closed");
    let (pieces, source) = mpsc::channel(PIECES_MAX);
    let store = api.handle.store().clone();
    let source = PieceReader { pieces: source, current: Bytes::new() };
    let stored = spawn_blocking(move || store.put_reader_for_job(room, source, BLOB_BYTES_MAX));
    let holds_room = || announced >= HELD_BYTES_MIN && api.arrivals.is_waited_for();
    let is_wanted = || writers.available_permits() == 0 || holds_room();
    let fed = feed(body, pieces, is_wanted).await;
    let stored = stored.await.map_err(thread_died)?;
    fed?;
    let (id, bytes) = stored?;
    Ok(BlobRef { id: id.to_string(), bytes })
}

/// While work pins most of the store, an upload waits until some of it ends: so a job whose inputs exceed the quota is
/// held back, not refused.
async fn room(api: &Api, bytes: u64) -> Result<Room, ApiError> {
    if let Some(room) = begin(api, bytes).await? {
        return Ok(room);
    }
    let _waiting = api.arrivals.wait();
    let until = Instant::now() + ROOM_TIME;
    while Instant::now() < until {
        tokio::time::sleep(ROOM_PAUSE).await;
        // Asked first, for a look takes no other thread.
        if has_room(api.handle.store())
            && let Some(room) = begin(api, bytes).await?
        {
            return Ok(room);
        }
    }
    // What is pinned may be results that are kept: then no task needs the rest.
    let store = api.handle.store().clone();
    Ok(spawn_blocking(move || store.reserve(bytes)).await.map_err(thread_died)??)
}

/// Room for an upload, if there is some now; what gives way for it is evicted on another thread.
async fn begin(api: &Api, bytes: u64) -> Result<Option<Room>, ApiError> {
    let (arrivals, store) = (Arc::clone(&api.arrivals), api.handle.store().clone());
    Ok(spawn_blocking(move || arrivals.begin(&store, bytes)).await.map_err(thread_died)??)
}

/// Room for one more blob on its way.
fn permit(room: &Arc<Semaphore>, what: &str, most: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    take(room).ok_or_else(|| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("too many {what} are under way"))
            .expected(format!("at most {most}"))
            .help("try again when some have ended")
    })
}

/// Hands the pieces of a body to the disk, until one of them ends. A body that brings nothing for a while is given up
/// if its place is wanted.
async fn feed(
    body: &mut BodyDataStream,
    pieces: mpsc::Sender<io::Result<Option<Bytes>>>,
    is_wanted: impl Fn() -> bool,
) -> Result<(), ApiError> {
    loop {
        let piece = match timeout(STALL_TIME, body.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => Ok(None),
            Err(_stalled) if is_wanted() => {
                let text = format!("the upload sent nothing for {} s, and others wait", STALL_TIME.as_secs());
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, text).help("send it again"));
            }
            Err(_stalled) => continue,
        };
        let last = !matches!(piece, Ok(Some(_)));
        if pieces.send(piece).await.is_err() || last {
            return Ok(());
        }
    }
}

/// What [`feed`] hands over, as a reader for a blocking thread. A sender that is gone without a last word means that
/// the upload was given up: that must not look like its end.
struct PieceReader {
    pieces: mpsc::Receiver<io::Result<Option<Bytes>>>,
    current: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(Some(piece))) => self.current = piece,
                Some(Ok(None)) => return Ok(0),
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let piece = self.current.split_to(self.current.len().min(buffer.len()));
        let (room, _) = buffer.split_at_mut(piece.len());
        room.copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// `GET` and `HEAD` of `/v1/blobs/{id}`.
pub(super) async fn get(State(api): State<Api>, method: Method, Path(name): Path<String>) -> Answered {
    let id = blob_id(&name)?;
    let missing = || {
        let missing = ApiError::not_found("blob", &name);
        match api.handle.store().loss(id) {
            Some(Loss::Removed) => missing.help("another program removed its file"),
            Some(Loss::Corrupt) => missing.help("its file had other bytes than were stored, and was deleted"),
            Some(Loss::Before) => missing.help(
                "its file was not there when the node started: it was removed, or deleted because its bytes were wrong",
            ),
            None => missing,
        }
    };
    if method == Method::HEAD {
        let bytes = len_on_disk(&api, id).await?.ok_or_else(missing)?;
        // Who asks does not send it again. It may have given way since it was looked for.
        api.handle.store().keep_for_job(id);
        if !api.handle.store().has(id) {
            return Err(missing());
        }
        return Ok((headers(bytes), Body::empty()).into_response());
    }
    let Lasting { downloads, bounds, .. } = &api.lasting;
    let permit = permit(downloads, "downloads", bounds.downloads)?;
    let opened = match open(&api, id).await? {
        None if fetched(&api, id).await? => open(&api, id).await?,
        opened => opened,
    };
    let (bytes, file) = opened.ok_or_else(missing)?;
    let store = api.handle.store().clone();
    let sent = move || {
        store.taken(id);
        drop(permit);
    };
    Ok((headers(bytes), file_body(file, bytes, sent)).into_response())
}

async fn open(api: &Api, id: BlobId) -> Result<Option<(u64, File)>, ApiError> {
    let store = api.handle.store().clone();
    Ok(spawn_blocking(move || store.open_read(id)).await.map_err(thread_died)??)
}

/// Fetches a blob from the members, the output of a task in a job that another node leads: those that lead such jobs are
/// asked first. Whether it is here now.
async fn fetched(api: &Api, id: BlobId) -> Result<bool, ApiError> {
    let Some(asker) = api.handle.asker() else { return Ok(false) };
    let likely = api.leaders.all();
    let mut from = asker.connected();
    from.sort_by_key(|peer| !likely.contains(peer));
    match asker.fetch(id, &from).await {
        Ok(_bytes) => Ok(true),
        Err(FetchError::Failed { .. }) => Ok(false),
        Err(FetchError::Store(error)) => {
            let text = format!("blob {id} can't be fetched into the store of this node: {error}");
            Err(ApiError::new(StatusCode::INSUFFICIENT_STORAGE, text))
        }
    }
}

fn headers(bytes: u64) -> [(axum::http::HeaderName, String); 2] {
    [(CONTENT_LENGTH, bytes.to_string()), (CONTENT_TYPE, String::from("application/octet-stream"))]
}

/// A file, piece by piece, as fast as the socket takes it; the next piece is read while one is sent. `sent` is called
/// with the last piece, and dropped when the body is.
fn file_body(file: File, bytes: u64, sent: impl FnOnce() + Send + 'static) -> Body {
    let first = (bytes > 0).then(|| read_piece(file, bytes));
    Body::from_stream(stream::try_unfold((first, Some(sent)), |(reading, mut sent)| async move {
        let Some(reading) = reading else { return Ok::<_, io::Error>(None) };
        let (piece, file, left) = reading.await.map_err(io::Error::other)??;
        let next = (left > 0).then(|| read_piece(file, left));
        if next.is_none() {
            // A request for more than the last piece can't come.
            sent.take().into_iter().for_each(|sent| sent());
        }
        Ok(Some((Bytes::from(piece), (next, sent))))
    }))
}

/// The length of the next piece, and what is left after it.
fn read_piece(mut file: File, left: u64) -> JoinHandle<io::Result<(Vec<u8>, File, u64)>> {
    spawn_blocking(move || {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut piece = vec![0; room];
        file.read_exact(&mut piece)?;
        let left = left - piece.len() as u64;
        Ok((piece, file, left))
    })
}

/// The length of a blob whose file is there. A client sends again what is not: the index alone would not know that the file was
/// removed.
async fn len_on_disk(api: &Api, id: BlobId) -> Result<Option<u64>, ApiError> {
    let store = api.handle.store().clone();
    if let Some(bytes) = api.looked.bytes(id).filter(|_| store.has(id)) {
        return Ok(Some(bytes));
    }
    let found = spawn_blocking(move || store.len_on_disk(id)).await.map_err(thread_died)??;
    found.into_iter().for_each(|bytes| api.looked.note(id, bytes));
    Ok(found)
}

/// A stored module that is text: its bytes; `None` for one that is binary already, or is not here.
pub(super) async fn text_module(api: &Api, id: BlobId) -> Result<Option<Vec<u8>>, ApiError> {
    let store = api.handle.store().clone();
    if api.looked.is_no_text(id) && store.has(id) {
        return Ok(None);
    }
    let looked = Arc::clone(&api.looked);
    let read = spawn_blocking(move || -> Result<Option<Vec<u8>>, ApiError> {
        let Some((bytes, mut file)) = store.open_read(id)? else { return Ok(None) };
        let failed = |error: io::Error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        let mut text = Vec::new();
        file.by_ref().take(MODULE_HEAD_BYTES).read_to_end(&mut text).map_err(failed)?;
        if bytes > TEXT_BYTES_MAX || !text_module::may_begin(&text) {
            looked.note_no_text(id, bytes);
            return Ok(None);
        }
        file.take(bytes).read_to_end(&mut text).map_err(failed)?;
        Ok(Some(text))
    });
    read.await.map_err(thread_died)?
}

/// Stores bytes that are here already.
pub(super) async fn store(api: &Api, bytes: Vec<u8>) -> Result<BlobId, ApiError> {
    let store = api.handle.store().clone();
    let id = spawn_blocking(move || store.put(&bytes)).await.map_err(thread_died)??;
    api.handle.store().keep_for_job(id);
    Ok(id)
}

fn thread_died(error: tokio::task::JoinError) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the blob store failed: {error}"))
}
