//! Bytes to and from the node's store. What comes back is hashed again before it counts.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Method;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api::BlobRef;
use crate::error::Error;
use crate::http::{About, Answer, Body, Call, full, reason_of};
use crate::input::FilePart;
use crate::mesh::Mesh;
use crate::result::{hex, parse_id};

/// How much of a file is read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Room made at once for a blob of announced length; a longer one grows as it comes.
const RESERVE_BYTES_MAX: u64 = 64 << 20;

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
        self.put_body(full(bytes)).await
    }

    /// Stores a file's bytes in the node's store, without holding them in memory.
    ///
    /// # Errors
    /// [`Error::File`] when it can't be read, and as [`Mesh::put_blob`].
    pub async fn put_blob_file(&self, path: &Path) -> Result<BlobRef, Error> {
        let unreadable = |source| Error::File { path: path.to_owned(), source };
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        // Errors on the way would reach us only as a broken connection; a directory is the likely one.
        if file.metadata().await.map_err(unreadable)?.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        let pieces = stream::try_unfold(file, |mut file| async move {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let read = file.read_buf(&mut piece).await?;
            Ok::<_, io::Error>((read > 0).then(|| (piece.freeze(), file)))
        });
        self.put_pieces(path, pieces).await
    }

    /// Stores a part of an open file, without holding it in memory.
    ///
    /// # Errors
    /// As [`Mesh::put_blob_file`].
    pub(crate) async fn put_blob_part(&self, part: FilePart) -> Result<BlobRef, Error> {
        let name = part.name().to_owned();
        let pieces = stream::try_unfold((part, 0), |(part, at)| async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; PIECE_BYTES];
                let read = part.read_at(at, &mut piece)?;
                piece.truncate(read);
                Ok::<_, io::Error>((piece, part))
            });
            let (piece, part) = read.await.map_err(io::Error::other)??;
            let next = at + piece.len() as u64;
            Ok::<_, io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), (part, next))))
        });
        self.put_pieces(&name, pieces).await
    }

    /// Stores what comes. When it breaks off, the connection only tells that the body broke: why is kept beside it.
    async fn put_pieces<S>(&self, name: &Path, pieces: S) -> Result<BlobRef, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let failed = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&failed);
        let pieces = pieces.map_ok(Frame::data).map_err(move |source| {
            let reason = source.to_string();
            *noted.lock().expect("nobody panics holding this lock") = Some(source);
            Error::Broken { reason }
        });
        let stored = self.put_body(BodyExt::boxed_unsync(StreamBody::new(pieces))).await;
        let failed = failed.lock().expect("nobody panics holding this lock").take();
        match failed {
            Some(source) => Err(Error::File { path: name.to_owned(), source }),
            None => stored,
        }
    }

    async fn put_body(&self, body: Body) -> Result<BlobRef, Error> {
        let about = About { what: "blob", name: "" };
        self.http().json(Call { method: Method::PUT, body, ..Call::get("/v1/blobs", about) }).await
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
    /// As [`Mesh::get_blob`]; [`Error::Broken`] when the writer fails.
    pub async fn get_blob_to<W: AsyncWrite + Unpin>(&self, id: &str, writer: &mut W) -> Result<u64, Error> {
        let answer = self.open_blob(id).await?;
        self.copy(id, answer, writer).await
    }

    async fn open_blob(&self, id: &str) -> Result<Answer, Error> {
        let name = hex(&parse_id(id)?);
        self.http().send(Call::get(format!("/v1/blobs/{name}"), About { what: "blob", name: id })).await
    }

    async fn copy<W: AsyncWrite + Unpin>(
        &self,
        id: &str,
        answer: Answer,
        writer: &mut W,
    ) -> Result<u64, Error> {
        let Answer { status: _, content_length: _, mut body, connection } = answer;
        let failed =
            |error: io::Error| Error::Broken { reason: format!("the blob can't be written: {error}") };
        let mut hasher = blake3::Hasher::new();
        let mut total = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::Broken { reason: reason_of(&error) })?;
            if let Ok(piece) = frame.into_data() {
                hasher.update(&piece);
                total += piece.len() as u64;
                writer.write_all(&piece).await.map_err(failed)?;
            }
        }
        writer.flush().await.map_err(failed)?;
        if *hasher.finalize().as_bytes() != parse_id(id)? {
            return Err(Error::protocol(format!("blob {id} came with other bytes than its name says")));
        }
        self.http().give_back(connection);
        Ok(total)
    }
}
