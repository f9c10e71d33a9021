//! The WASI preview 1 context of one run: input, arguments, environment, and two bounded sinks. No directory, no
//! network. What a guest calls of it beyond that is in [`crate::calls`].

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use weft_core::{Limit, Program};

/// A command's first argument, its own name.
const PROGRAM_NAME: &str = "main.wasm";
/// What a stream says it can take at once.
const PERMIT_BYTES: usize = 64 << 10;

/// The context for a run whose standard output goes to `output` and standard error to `errors`.
pub(crate) fn context(program: &Program, input: Bytes, output: &Sink, errors: &Sink) -> WasiP1Ctx {
    let mut builder = WasiCtxBuilder::new();
    builder.arg(PROGRAM_NAME).args(&program.args).envs(&program.env);
    builder.stdin(MemoryInputPipe::new(input)).stdout(output.clone()).stderr(errors.clone());
    builder.allow_tcp(false).allow_udp(false);
    builder.build_p1()
}

/// Bytes that a guest writes, up to a bound. Going beyond it ends the run; nothing is cut off silently.
#[derive(Clone, Debug)]
pub(crate) struct Sink(Arc<Mutex<Written>>);

#[derive(Debug)]
struct Written {
    bytes: Vec<u8>,
    limit: Limit,
    limit_bytes: u64,
    over: bool,
}

impl Sink {
    pub(crate) fn output(limit_bytes: u64) -> Self {
        Self::new(Limit::Output { limit_bytes }, limit_bytes)
    }

    pub(crate) fn errors(limit_bytes: u64) -> Self {
        Self::new(Limit::Errors { limit_bytes }, limit_bytes)
    }

    fn new(limit: Limit, limit_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(Written { bytes: Vec::new(), limit, limit_bytes, over: false })))
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When they don't fit; what fits is kept, for people.
    pub(crate) fn push(&self, bytes: &[u8]) -> Result<(), Limit> {
        let mut written = self.lock();
        let room = written.limit_bytes.saturating_sub(written.bytes.len() as u64);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        match bytes.get(..room) {
            Some(fits) if bytes.len() > room => {
                written.bytes.extend_from_slice(fits);
                written.over = true;
                Err(written.limit.clone())
            }
            Some(_) | None => {
                written.bytes.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The bound, if the guest went beyond it.
    pub(crate) fn exceeded(&self) -> Option<Limit> {
        let written = self.lock();
        written.over.then(|| written.limit.clone())
    }

    /// Everything written so far.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Asked for by `StdoutStream`; preview 1 writes through `OutputStream`.
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
