//! What a task prints, shown while it runs. Some of it may never come (the result has all), and a second attempt prints
//! from the beginning again: so it is counted and hashed, and shown once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use weft_client::{Mesh, Output, Printed, Stream};

use super::Problem;
use super::out::Out;
use crate::render::say;

/// Both streams of one task.
#[derive(Debug)]
pub(crate) struct Live {
    output: Shown,
    errors: Shown,
    stdout: Out,
    stderr: Out,
}

/// What was shown of one stream.
#[derive(Debug, Default)]
struct Shown {
    /// Bytes shown, and their hash.
    bytes: u64,
    hash: blake3::Hasher,
    /// The attempt that prints now, what came of it without a gap, and its hash.
    attempt: u32,
    seen: u64,
    seen_hash: blake3::Hasher,
    /// Something is missing, or differs from what was shown: the rest waits for the result.
    waits: bool,
}

impl Live {
    /// Nothing was shown yet; `raw` lets a terminal have all that comes.
    pub(crate) fn new(raw: bool) -> Self {
        let (output, errors) = (Shown::default(), Shown::default());
        Self { output, errors, stdout: Out::stdout(None, raw), stderr: Out::stderr(raw) }
    }

    /// Shows what is new in it.
    pub(crate) async fn take(&mut self, printed: &Printed) -> Result<(), Problem> {
        match printed.stream {
            Stream::Output => {
                self.stdout.put(self.output.news(printed)).await?;
                self.stdout.all().await
            }
            Stream::Errors => {
                // If stderr is gone, the output is still written.
                drop(self.stderr.put(self.errors.news(printed)).await);
                drop(self.stderr.all().await);
                Ok(())
            }
        }
    }

    /// Ends both streams after an error or an interrupt. What their readers do not take soon is lost.
    pub(crate) async fn stop(&mut self) {
        tokio::join!(self.stdout.stop(), self.stderr.stop());
    }

    /// Shows the rest, now that all is known. A task that was stopped may have told less than it had printed.
    pub(crate) async fn finish(
        &mut self,
        mesh: &Mesh,
        output: &Output,
        errors: &Output,
        was_stopped: bool,
    ) -> Result<(), Problem> {
        let told = self.errors.finish(mesh, errors, "stderr", was_stopped, &mut self.stderr).await;
        drop(self.stderr.finish().await);
        if let Err(Problem::Client(error)) = told {
            say(&format!("the task's stderr is lost: {error}"));
        }
        self.output.finish(mesh, output, "stdout", was_stopped, &mut self.stdout).await?;
        self.stdout.finish().await
    }
}

impl Shown {
    /// The part of what was printed that is to be shown now; it counts as shown from here on.
    fn news<'a>(&mut self, printed: &'a Printed) -> &'a [u8] {
        let Printed { index: _, attempt, stream: _, offset, bytes } = printed;
        if *attempt > self.attempt {
            (self.attempt, self.seen, self.waits) = (*attempt, 0, false);
            self.seen_hash = blake3::Hasher::new();
        }
        if *attempt < self.attempt || self.waits {
            return &[];
        }
        if *offset != self.seen {
            self.waits = true;
            return &[];
        }
        let old =
            usize::try_from(self.bytes.saturating_sub(self.seen)).unwrap_or(usize::MAX).min(bytes.len());
        let (old, new) = bytes.split_at(old);
        self.seen_hash.update(old);
        self.seen += old.len() as u64;
        if new.is_empty() {
            return &[];
        }
        if self.seen_hash.finalize() != self.hash.finalize() {
            self.waits = true;
            return &[];
        }
        for hash in [&mut self.hash, &mut self.seen_hash] {
            hash.update(new);
        }
        self.seen += new.len() as u64;
        self.bytes = self.seen;
        new
    }

    async fn finish(
        &mut self,
        mesh: &Mesh,
        all: &Output,
        name: &str,
        was_stopped: bool,
        out: &mut Out,
    ) -> Result<(), Problem> {
        if was_stopped && all.bytes_len() < self.bytes {
            return Ok(());
        }
        let (skip, expected) = (self.bytes, self.hash.finalize());
        let mut rest = Rest { out, skip, expected, hash: blake3::Hasher::new(), differs: false };
        if rest.copy(mesh, all).await? {
            return Ok(());
        }
        say(&format!("the task was run again and its {name} differs from what is above; here is all of it"));
        (rest.skip, rest.expected) = (0, blake3::hash(b""));
        rest.hash = blake3::Hasher::new();
        rest.copy(mesh, all).await.map(|_same| ())
    }
}

/// Writes what comes behind the part that was shown, if that part is the same.
struct Rest<'a> {
    out: &'a mut Out,
    /// Bytes still to be skipped.
    skip: u64,
    /// The hash of all that is skipped.
    expected: blake3::Hash,
    hash: blake3::Hasher,
    differs: bool,
}

impl Rest<'_> {
    /// False when what was shown is not how it begins; nothing was written then.
    async fn copy(&mut self, mesh: &Mesh, all: &Output) -> Result<bool, Problem> {
        self.differs = false;
        let copied = match all {
            Output::Inline(bytes) => {
                let written = self.write_all(bytes).await;
                written.and(self.flush().await).map_err(Problem::Stdout)
            }
            Output::Blob { id, .. } => {
                mesh.get_blob_to(id, self).await.map(|_bytes| ()).map_err(Problem::from)
            }
        };
        if self.differs {
            return Ok(false);
        }
        match self.out.take_failure() {
            Some(error) => Err(Problem::Stdout(error)),
            // Shorter than what was shown.
            None => copied.map(|()| self.skip == 0),
        }
    }

    /// How many of these bytes are still of the part that was shown; they count as seen.
    fn old(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let old = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        if old == 0 {
            return Ok(0);
        }
        self.hash.update(bytes.get(..old).unwrap_or_default());
        self.skip -= old as u64;
        if self.skip == 0 && self.hash.finalize() != self.expected {
            self.differs = true;
            return Err(io::Error::other("it differs"));
        }
        Ok(old)
    }
}

impl AsyncWrite for Rest<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.old(bytes)? {
            0 => Poll::Ready(ready!(Pin::new(&mut *this.out).poll_write(cx, bytes))),
            old => Poll::Ready(Ok(old)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().out).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().out).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::out::tests::terminal;

    /// What is shown of these pieces: attempt, offset, text.
    fn shown(pieces: &[(u32, u64, &str)]) -> (String, Shown) {
        let (mut shown, mut out) = (Shown::default(), Vec::new());
        for (attempt, offset, text) in pieces {
            let bytes = text.as_bytes().to_vec().into();
            let printed =
                Printed { index: 0, attempt: *attempt, stream: Stream::Output, offset: *offset, bytes };
            out.extend_from_slice(shown.news(&printed));
        }
        (String::from_utf8(out).unwrap(), shown)
    }

    /// What the result adds to them, and whether it begins like them.
    fn rest(shown: &Shown, all: &str) -> (String, bool) {
        let (skip, expected) = (shown.bytes, shown.hash.finalize());
        let mut out = Out::stdout(None, true);
        let mut rest = Rest { out: &mut out, skip, expected, hash: blake3::Hasher::new(), differs: false };
        let Ok(old) = rest.old(all.as_bytes()) else { return (String::new(), false) };
        (all.get(old..).unwrap().to_owned(), rest.skip == 0)
    }

    #[tokio::test]
    async fn a_task_that_is_interrupted_leaves_no_colour_on_the_terminal() {
        let (stdout, output) = terminal();
        let (stderr, errors) = terminal();
        let mut live = Live { output: Shown::default(), errors: Shown::default(), stdout, stderr };
        for stream in [Stream::Output, Stream::Errors] {
            let bytes = b"\x1b[31mred".to_vec().into();
            live.take(&Printed { index: 0, attempt: 1, stream, offset: 0, bytes }).await.unwrap();
        }
        live.stop().await;
        for written in [output, errors] {
            assert_eq!(written.lock().unwrap().as_slice(), b"\x1b[31mred\x1b[0m");
        }
    }

    #[test]
    fn everything_is_shown_once() {
        let (text, state) = shown(&[(1, 0, "one "), (1, 4, "two ")]);
        assert_eq!(text, "one two ");
        assert_eq!(rest(&state, "one two three"), ("three".into(), true));
        assert_eq!(rest(&state, "one two "), (String::new(), true));
    }

    #[test]
    fn a_gap_waits_for_the_result() {
        let (text, state) = shown(&[(1, 0, "one "), (1, 8, "three")]);
        assert_eq!(text, "one ");
        assert_eq!(rest(&state, "one two three"), ("two three".into(), true));
    }

    #[test]
    fn a_second_attempt_goes_on_where_the_first_ended() {
        let (text, state) = shown(&[(1, 0, "one "), (2, 0, "on"), (2, 2, "e two"), (1, 4, "late")]);
        assert_eq!(text, "one two");
        assert_eq!(rest(&state, "one two!"), ("!".into(), true));
    }

    #[test]
    fn what_differs_is_noticed() {
        let (text, state) = shown(&[(1, 0, "one "), (2, 0, "ten two")]);
        assert_eq!(text, "one ");
        assert_eq!(rest(&state, "ten two"), (String::new(), false));
        assert_eq!(rest(&state, "on"), (String::new(), false));
    }
}
