//! Stdout and stderr of tasks. A write may block for as long as a reader likes, so that a thread of its own does it:
//! meanwhile the verb can still be interrupted.

use std::io::{self, IsTerminal as _, Write as _};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::task::{JoinHandle, spawn_blocking};
use weft_node::terminal::Screen;

use super::Problem;

/// What is gathered before it is written, and at most once more while a write is under way.
const BUFFER_BYTES: usize = 256 << 10;
/// How long the reader of a verb that was interrupted, or failed, is waited for.
const FLUSH_WAIT: Duration = Duration::from_millis(500);

/// One of this process's two streams, buffered. It must be ended: what is not flushed may be lost, and a terminal would
/// keep the colour of the task.
#[derive(Debug)]
pub(crate) struct Out {
    to: To,
    /// What a terminal may see of what was taken and not yet written.
    buffer: Screen<Vec<u8>>,
    writing: Option<JoinHandle<io::Result<()>>>,
    /// The bar that makes way, where both share a terminal.
    bar: Option<ProgressBar>,
    /// The last byte that was taken.
    last: Option<u8>,
    /// Why a write failed, for the code that gave this away as a writer.
    failed: Option<io::Error>,
}

#[derive(Clone, Debug)]
enum To {
    Stdout,
    Stderr,
    #[cfg(test)]
    Full,
    #[cfg(test)]
    Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>),
}

impl To {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
            #[cfg(test)]
            Self::Full => std::fs::write("/dev/full", bytes),
            #[cfg(test)]
            Self::Memory(written) => {
                written
                    .lock()
                    .map_err(|_panicked| io::Error::other("a test panicked"))?
                    .extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

impl Out {
    /// Stdout; `bar` makes way while something is written. What is not safe on a terminal is made visible there, unless
    /// `raw`.
    pub(crate) fn stdout(bar: Option<ProgressBar>, raw: bool) -> Self {
        Self::new(To::Stdout, bar, raw || !io::stdout().is_terminal())
    }

    /// Stderr, in the same way.
    pub(crate) fn stderr(raw: bool) -> Self {
        Self::new(To::Stderr, None, raw || !io::stderr().is_terminal())
    }

    fn new(to: To, bar: Option<ProgressBar>, raw: bool) -> Self {
        Self { to, buffer: Screen::new(Vec::new(), raw), writing: None, bar, last: None, failed: None }
    }

    /// Whether what is not safe on a terminal is made visible: a lone carriage return ends a line then.
    pub(crate) fn is_filtered(&self) -> bool {
        !self.buffer.is_raw()
    }

    /// Whether everything was written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.buffer.get_ref().is_empty() && self.writing.is_none()
    }

    /// The last byte that was taken, if there was any.
    pub(crate) fn last(&self) -> Option<u8> {
        self.last
    }

    /// Takes bytes; waits only while two buffers are full.
    pub(crate) async fn put(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.write_all(bytes).await.map_err(Problem::Stdout)
    }

    /// Ends what one task wrote: a colour does not outlive its task.
    pub(crate) fn end_task(&mut self) -> Result<(), Problem> {
        self.buffer.finish().map_err(Problem::Stdout)
    }

    /// Waits until everything is written.
    pub(crate) async fn all(&mut self) -> Result<(), Problem> {
        self.flush().await.map_err(Problem::Stdout)
    }

    /// Ends what was written: shows what was held back, takes a colour back, and waits until all of it is written; for a
    /// short while only after an error or an interrupt.
    pub(crate) async fn end<T>(&mut self, result: Result<T, Problem>) -> Result<T, Problem> {
        match result {
            Ok(value) => self.finish().await.map(|()| value),
            Err(problem) => {
                self.stop().await;
                Err(problem)
            }
        }
    }

    /// Ends what was written, as slowly as its reader takes it.
    pub(crate) async fn finish(&mut self) -> Result<(), Problem> {
        self.end_task()?;
        self.all().await
    }

    /// Ends what was written after an error, which is the one to tell. What its reader does not take soon is lost.
    pub(crate) async fn stop(&mut self) {
        drop(tokio::time::timeout(FLUSH_WAIT, self.finish()).await);
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
            // The system's own words, where it has some.
            self.failed =
                Some(error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error));
        }
        Poll::Ready(written)
    }

    fn start(&mut self) {
        let (to, bytes, bar) = (self.to.clone(), mem::take(self.buffer.get_mut()), self.bar.clone());
        self.writing = Some(spawn_blocking(move || match bar {
            Some(bar) => bar.suspend(|| to.write(&bytes)),
            None => to.write(&bytes),
        }));
    }
}

impl AsyncWrite for Out {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.buffer.get_ref().len() >= BUFFER_BYTES {
            ready!(this.poll_idle(cx))?;
            this.start();
        }
        this.buffer.write_all(bytes)?;
        this.last = bytes.last().copied().or(this.last);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_idle(cx))?;
            if this.buffer.get_ref().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.start();
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A terminal, and what it was given.
    pub(crate) fn terminal() -> (Out, Arc<Mutex<Vec<u8>>>) {
        memory(false)
    }

    pub(crate) fn memory(raw: bool) -> (Out, Arc<Mutex<Vec<u8>>>) {
        let written = Arc::default();
        (Out::new(To::Memory(Arc::clone(&written)), None, raw), written)
    }

    #[tokio::test]
    async fn a_full_disk_is_told_in_the_words_of_the_system() {
        let mut out = Out::new(To::Full, None, true);
        out.put(b"text").await.unwrap();
        out.all().await.unwrap_err();
        let told = out.take_failure().unwrap().to_string();
        assert!(told.contains("No space left on device"), "{told}");
    }

    #[tokio::test]
    async fn a_terminal_gets_the_last_bytes_and_its_colour_back_however_it_ends() {
        for (given, shown) in
            [("\x1b[31mred", "\x1b[31mred\x1b[0m"), ("abc\r", "abc\n"), ("abc\x1b", "abc\\x1b")]
        {
            let interrupted = || Problem::Interrupted(String::new());
            for result in [Ok(()), Err(interrupted())] {
                let (mut out, written) = terminal();
                out.put(given.as_bytes()).await.unwrap();
                // What came before is on its way already.
                let started = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut out).poll_flush(cx)));
                drop(started.await);
                let was_well = result.is_ok();
                assert_eq!(out.end(result).await.is_ok(), was_well);
                assert_eq!(String::from_utf8_lossy(&written.lock().unwrap()), shown);
            }
        }
    }
}
