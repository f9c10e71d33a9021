//! Bytes to and from the node's store. What comes back is hashed again before it counts.

use std::future::ready;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Method;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api::BlobRef;
use crate::error::Error;
use crate::http::{About, Answer, Body, Call, broken, full};
use crate::input::FilePart;
use crate::measured::Measured;
use crate::mesh::Mesh;
use crate::result::{hex, parse_id};

/// How much of a file is read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Room made at once for a blob of announced length; a longer one grows as it comes.
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// For so long a node that has no room for an upload or a download is asked again.
const BUSY_TIME: Duration = Duration::from_secs(60);
/// The pause before it is asked for the second time; it doubles up to the longest one.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(2);

impl Mesh {
    /// Stores bytes in the node's store. The store keeps what work needs and else what was used last, up to its
    /// quota.
    ///
    /// # Errors
    /// [`Error::Refused`] when the store has no room.
    pub async fn put_blob(&self, bytes: impl Into<Bytes>) -> Result<BlobRef, Error> {
        let bytes = bytes.into();
        if Self::asks_first(bytes.len()) {
            let id = hex(blake3::hash(&bytes).as_bytes());
            if self.has_blob(&id).await? {
                return Ok(BlobRef { id, bytes: bytes.len() as u64 });
            }
        }
        self.put_bytes(bytes).await
    }

    pub(crate) async fn put_bytes(&self, bytes: Bytes) -> Result<BlobRef, Error> {
        self.put_body(true, || ready(Ok(full(bytes.clone())))).await
    }

    /// Stores a file's bytes in the node's store, without holding them in memory: as many as it has when it is opened.
    ///
    /// # Errors
    /// [`Error::File`] when it can't be read, and as [`Mesh::put_blob`].
    pub async fn put_blob_file(&self, path: &Path) -> Result<BlobRef, Error> {
        let unreadable = |source| Error::File { path: path.to_owned(), source };
        let found = tokio::fs::metadata(path).await.map_err(unreadable)?;
        // Errors on the way would reach us only as a broken connection; a directory is the likely one.
        if found.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        if found.is_file() && found.len() > 0 {
            let file = tokio::fs::File::open(path).await.map_err(unreadable)?.into_std().await;
            let put = self.put_blob_part(FilePart::new(Arc::new(file), path, 0, found.len())).await;
            // Some files of the system say a length that they do not have, or none.
            let is_short = |error: &Error| matches!(error, Error::File { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof);
            let says_the_same =
                async || tokio::fs::metadata(path).await.is_ok_and(|now| now.len() == found.len());
            match put {
                Err(error) if is_short(&error) && says_the_same().await => {}
                put => return put,
            }
        }
        // What came through a pipe can't be read twice.
        let may_repeat = found.is_file();
        let pieces = || async move {
            let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
            Ok(stream::try_unfold(file, |mut file| async move {
                let mut piece = BytesMut::with_capacity(PIECE_BYTES);
                let read = file.read_buf(&mut piece).await?;
                Ok::<_, io::Error>((read > 0).then(|| (piece.freeze(), file)))
            }))
        };
        self.put_pieces(path, None, may_repeat, pieces).await
    }

    /// Stores a part of an open file, without holding it in memory.
    ///
    /// # Errors
    /// As [`Mesh::put_blob_file`].
    pub(crate) async fn put_blob_part(&self, part: FilePart) -> Result<BlobRef, Error> {
        let pieces = || {
            ready(Ok(stream::try_unfold((part.clone(), 0), |(part, at)| async move {
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; PIECE_BYTES];
                    let read = part.read_at(at, &mut piece)?;
                    piece.truncate(read);
                    Ok::<_, io::Error>((piece, part))
                });
                let (piece, part) = read.await.map_err(io::Error::other)??;
                let next = at + piece.len() as u64;
                Ok::<_, io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), (part, next))))
            })))
        };
        self.put_pieces(part.name(), Some(part.bytes_len()), true, pieces).await
    }

    /// Stores what comes, of this length if that is known; `pieces` gives it from its beginning, for each try. When it breaks off, the connection only
    /// tells that the body broke: the reason is kept separately.
    async fn put_pieces<P, S>(
        &self,
        name: &Path,
        bytes: Option<u64>,
        may_repeat: bool,
        pieces: impl Fn() -> P,
    ) -> Result<BlobRef, Error>
    where
        P: Future<Output = Result<S, Error>>,
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let failed = Arc::new(Mutex::new(None));
        let body = || {
            let (pieces, noted) = (pieces(), Arc::clone(&failed));
            async move {
                let pieces = pieces.await?.map_ok(Frame::data).map_err(move |source: io::Error| {
                    let reason = source.to_string();
                    *noted.lock().expect("no thread panics while it holds this lock") = Some(source);
                    Error::Broken { reason }
                });
                let body = StreamBody::new(Box::pin(pieces));
                Ok(match bytes {
                    Some(bytes) => BodyExt::boxed_unsync(Measured::new(body, bytes)),
                    None => BodyExt::boxed_unsync(body),
                })
            }
        };
        let stored = self.put_body(may_repeat, body).await;
        let failed = failed.lock().expect("no thread panics while it holds this lock").take();
        match failed {
            Some(source) => Err(Error::File { path: name.to_owned(), source }),
            None => stored,
        }
    }

    /// Stores a body, which is made anew for each try.
    async fn put_body<B>(&self, may_repeat: bool, body: impl Fn() -> B) -> Result<BlobRef, Error>
    where
        B: Future<Output = Result<Body, Error>>,
    {
        let about = About { what: "blob", name: "" };
        let call = || {
            let body = body();
            async move { Ok(Call { method: Method::PUT, body: body.await?, ..Call::get("/v1/blobs", about) }) }
        };
        let answer = self.send_when_there_is_room(may_repeat, call).await?;
        self.http().json_of(answer).await
    }

    /// Sends a request, which is made anew for each try, until the node has room for it, or until [`BUSY_TIME`] has
    /// passed: its refusal is the answer then.
    async fn send_when_there_is_room<'a, C>(
        &self,
        may_repeat: bool,
        call: impl Fn() -> C,
    ) -> Result<Answer, Error>
    where
        C: Future<Output = Result<Call<'a>, Error>>,
    {
        let (began, mut pause) = (Instant::now(), BUSY_PAUSE);
        loop {
            let is_last = !may_repeat || began.elapsed() + pause >= BUSY_TIME;
            if let Some(answer) = self.http().send_if_room(call().await?, is_last).await? {
                return Ok(answer);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BUSY_PAUSE_MAX);
        }
    }

    /// The bytes of a blob, all in memory.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the node does not have it.
    pub async fn get_blob(&self, id: &str) -> Result<Bytes, Error> {
        let answer = self.open_blob(id).await?;
        let room = answer.content_length.unwrap_or(0).min(RESERVE_BYTES_MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        self.copy(id, answer, &mut bytes).await?;
        Ok(bytes.into())
    }

    /// Writes the bytes of a blob somewhere, piece by piece, and says how many they were. They are checked as they
    /// pass: after an error what was written must not be used.
    ///
    /// # Errors
    /// As [`Mesh::get_blob`]; [`Error::Unwritten`] when the writer fails.
    pub async fn get_blob_to<W: AsyncWrite + Unpin>(&self, id: &str, writer: &mut W) -> Result<u64, Error> {
        let answer = self.open_blob(id).await?;
        self.copy(id, answer, writer).await
    }

    async fn open_blob(&self, id: &str) -> Result<Answer, Error> {
        let name = hex(&parse_id(id)?);
        let about = About { what: "blob", name: id };
        self.send_when_there_is_room(true, || ready(Ok(Call::get(format!("/v1/blobs/{name}"), about)))).await
    }

    async fn copy<W: AsyncWrite + Unpin>(
        &self,
        id: &str,
        answer: Answer,
        writer: &mut W,
    ) -> Result<u64, Error> {
        let Answer { body, connection, .. } = answer;
        let (total, hash) = pour(body, |error| broken(&error), writer).await?;
        if *hash.as_bytes() != parse_id(id)? {
            return Err(Error::protocol(format!("blob {id} came with other bytes than its name says")));
        }
        self.http().give_back(connection);
        Ok(total)
    }
}

/// Writes a body somewhere, piece by piece; returns how many bytes it had, and their hash. A writer that fails does not
/// pass for a connection that broke.
async fn pour<B, W>(
    mut body: B,
    broken: impl Fn(B::Error) -> Error,
    writer: &mut W,
) -> Result<(u64, blake3::Hash), Error>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    W: AsyncWrite + Unpin,
{
    let unwritten = |source| Error::Unwritten { source };
    let mut hasher = blake3::Hasher::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(&broken)?.into_data() {
            hasher.update(&piece);
            total += piece.len() as u64;
            writer.write_all(&piece).await.map_err(unwritten)?;
        }
    }
    writer.flush().await.map_err(unwritten)?;
    Ok((total, hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_is_full_is_no_broken_connection() {
        let broken = |never: std::convert::Infallible| match never {};
        let mut full = tokio::fs::File::options().write(true).open("/dev/full").await.unwrap();
        let told = pour(Full::new(Bytes::from_static(b"bytes")), broken, &mut full).await.unwrap_err();
        assert!(
            matches!(&told, Error::Unwritten { source } if source.kind() == io::ErrorKind::StorageFull),
            "{told}"
        );
        let mut written = Vec::new();
        let (bytes, hash) =
            pour(Full::new(Bytes::from_static(b"bytes")), broken, &mut written).await.unwrap();
        assert_eq!((bytes, written.as_slice(), hash), (5, &b"bytes"[..], blake3::hash(b"bytes")));
    }
}
