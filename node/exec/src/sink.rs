//! A guest's standard output or standard error: bounded, and passed on as it is written. The caller of [`Sink::push`]
//! ends the run when the bound is reached.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{Limit, Stream};

/// Bytes that a stream accepts in one write.
const PERMIT_BYTES: usize = 64 << 10;

/// Receives what a run prints, as it is printed: the stream, the offset in that stream, and at most
/// [`INLINE_BYTES_MAX`] bytes.
pub type Printer = Box<dyn FnMut(Stream, u64, &[u8]) + Send>;

/// A printer that both streams of a run share.
pub(crate) type SharedPrinter = Arc<Mutex<Printer>>;

/// Bytes that a guest writes, up to a bound. Exceeding it ends the run; nothing is truncated silently.
#[derive(Clone, Debug)]
pub(crate) struct Sink(Arc<Mutex<Written>>);

struct Written {
    bytes: Vec<u8>,
    limit: Limit,
    limit_bytes: u64,
    over: bool,
    stream: Stream,
    printer: Option<SharedPrinter>,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("limit", &self.limit)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Sink {
    /// Standard output of a command.
    pub(crate) fn output(limit_bytes: u64, printer: Option<SharedPrinter>) -> Self {
        Self::new(Limit::Output { limit_bytes }, limit_bytes, Stream::Output, printer)
    }

    /// Standard error.
    pub(crate) fn errors(limit_bytes: u64, printer: Option<SharedPrinter>) -> Self {
        Self::new(Limit::Errors { limit_bytes }, limit_bytes, Stream::Errors, printer)
    }

    fn new(limit: Limit, limit_bytes: u64, stream: Stream, printer: Option<SharedPrinter>) -> Self {
        let bytes = Vec::new();
        Self(Arc::new(Mutex::new(Written { bytes, limit, limit_bytes, over: false, stream, printer })))
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When they don't fit; the part that fits is kept.
    pub(crate) fn push(&self, bytes: &[u8]) -> Result<(), Limit> {
        let mut written = self.lock();
        let room = written.limit_bytes.saturating_sub(written.bytes.len() as u64);
        let fits = usize::try_from(room).ok().and_then(|room| bytes.get(..room)).unwrap_or(bytes);
        written.add(fits);
        if fits.len() < bytes.len() {
            written.over = true;
            return Err(written.limit.clone());
        }
        Ok(())
    }

    /// The bound, if the guest exceeded it.
    pub(crate) fn exceeded(&self) -> Option<Limit> {
        let written = self.lock();
        written.over.then(|| written.limit.clone())
    }

    /// Takes everything written so far.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn add(&mut self, bytes: &[u8]) {
        let mut offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        let Some(printer) = &self.printer else { return };
        let mut print = printer.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.chunks(INLINE_BYTES_MAX) {
            print(self.stream, offset, piece);
            offset += piece.len() as u64;
        }
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes).map_err(|limit| StreamError::Trap(wasmtime::Error::msg(limit.to_string())))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

/// Required by `StdoutStream`; writes go through `OutputStream`.
impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let pushed = self.push(bytes).map_err(|limit| io::Error::other(limit.to_string()));
        Poll::Ready(pushed.map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
