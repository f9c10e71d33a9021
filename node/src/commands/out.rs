//! Stdout and stderr of tasks. A write may block for as long as a reader likes, so that a thread of its own does it:
//! meanwhile the verb can still be interrupted.

use std::io::{self, Write as _};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use indicatif::ProgressBar;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Problem;

/// What is gathered before it is written, and at most once more while a write is under way.
const BUFFER_BYTES: usize = 256 << 10;

/// One of this process's two streams, buffered. What is not flushed may be lost.
#[derive(Debug)]
pub(crate) struct Out {
    to: To,
    buffer: Vec<u8>,
    writing: Option<JoinHandle<io::Result<()>>>,
    /// The bar that makes way, where both share a terminal.
    bar: Option<ProgressBar>,
    /// The last byte that was taken.
    last: Option<u8>,
    /// Why a write failed, for whoever gave this away as a writer.
    failed: Option<io::Error>,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Stdout,
    Stderr,
}

impl To {
    fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
        }
    }
}

impl Out {
    /// Stdout; `bar` makes way while something is written.
    pub(crate) fn stdout(bar: Option<ProgressBar>) -> Self {
        Self { to: To::Stdout, buffer: Vec::new(), writing: None, bar, last: None, failed: None }
    }

    /// Stderr.
    pub(crate) fn stderr() -> Self {
        Self { to: To::Stderr, ..Self::stdout(None) }
    }

    /// Whether everything was written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.buffer.is_empty() && self.writing.is_none()
    }

    /// The last byte that was taken, if there was any.
    pub(crate) fn last(&self) -> Option<u8> {
        self.last
    }

    /// Takes bytes; waits only while two buffers are full.
    pub(crate) async fn put(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.write_all(bytes).await.map_err(Problem::Stdout)
    }

    /// Waits until everything is written.
    pub(crate) async fn all(&mut self) -> Result<(), Problem> {
        self.flush().await.map_err(Problem::Stdout)
    }

    /// Why it could not be written to, if that is so.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Ready when no write is under way.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let written = ready!(Pin::new(writing).poll(cx));
        self.writing = None;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = &written {
            self.failed = Some(error.kind().into());
        }
        Poll::Ready(written)
    }

    fn start(&mut self) {
        let (to, bytes, bar) = (self.to, mem::take(&mut self.buffer), self.bar.clone());
        self.writing = Some(spawn_blocking(move || match bar {
            Some(bar) => bar.suspend(|| to.write(&bytes)),
            None => to.write(&bytes),
        }));
    }
}

impl AsyncWrite for Out {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.buffer.len() >= BUFFER_BYTES {
            ready!(this.poll_idle(cx))?;
            this.start();
        }
        this.buffer.extend_from_slice(bytes);
        this.last = bytes.last().copied().or(this.last);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_idle(cx))?;
            if this.buffer.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.start();
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
