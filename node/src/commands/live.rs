//! What a task prints, shown while it runs. Some of it may never come (the result has all), and a second attempt prints
//! from the beginning again: so it is counted and hashed, and shown once.

use std::io::{self, Stderr, Stdout, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use weft_client::{Mesh, Output, Printed, Stream};
use weft_node::terminal::Screen;

use super::Problem;
use crate::render::say;

/// Both streams of one task.
#[derive(Debug)]
pub(crate) struct Live {
    output: Shown,
    errors: Shown,
    stdout: Screen<Stdout>,
    stderr: Screen<Stderr>,
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
    /// Nothing is shown yet; `raw` lets a terminal have all that comes.
    pub(crate) fn new(raw: bool) -> Self {
        Self {
            output: Shown::default(),
            errors: Shown::default(),
            stdout: Screen::stdout(raw),
            stderr: Screen::stderr(raw),
        }
    }

    /// Shows what is new in it.
    pub(crate) fn take(&mut self, printed: &Printed) -> Result<(), Problem> {
        match printed.stream {
            Stream::Output => self.output.take(printed, &mut self.stdout).map_err(Problem::Stdout),
            Stream::Errors => {
                // A stderr that is gone takes no words, and that is no reason to lose the output.
                drop(self.errors.take(printed, &mut self.stderr));
                Ok(())
            }
        }
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
        drop(self.stderr.finish());
        if let Err(Problem::Client(error)) = told {
            say(&format!("the task's stderr is lost: {error}"));
        }
        self.output.finish(mesh, output, "stdout", was_stopped, &mut self.stdout).await?;
        self.stdout.finish().map_err(Problem::Stdout)
    }
}

impl Shown {
    fn take(&mut self, printed: &Printed, out: &mut impl Write) -> io::Result<()> {
        let Printed { index: _, attempt, stream: _, offset, bytes } = printed;
        if *attempt > self.attempt {
            (self.attempt, self.seen, self.waits) = (*attempt, 0, false);
            self.seen_hash = blake3::Hasher::new();
        }
        if *attempt < self.attempt || self.waits {
            return Ok(());
        }
        if *offset != self.seen {
            self.waits = true;
            return Ok(());
        }
        let old =
            usize::try_from(self.bytes.saturating_sub(self.seen)).unwrap_or(usize::MAX).min(bytes.len());
        let (old, new) = bytes.split_at(old);
        self.seen_hash.update(old);
        self.seen += old.len() as u64;
        if !new.is_empty() && self.seen_hash.finalize() == self.hash.finalize() {
            out.write_all(new)?;
            out.flush()?;
            for hash in [&mut self.hash, &mut self.seen_hash] {
                hash.update(new);
            }
            self.seen += new.len() as u64;
            self.bytes = self.seen;
        } else if !new.is_empty() {
            self.waits = true;
        }
        Ok(())
    }

    async fn finish(
        &mut self,
        mesh: &Mesh,
        all: &Output,
        name: &str,
        was_stopped: bool,
        out: impl Write + Send + Unpin,
    ) -> Result<(), Problem> {
        if was_stopped && all.bytes_len() < self.bytes {
            return Ok(());
        }
        let (skip, expected) = (self.bytes, self.hash.finalize());
        let mut rest = Rest { out, skip, expected, hash: blake3::Hasher::new(), end: None };
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
struct Rest<W> {
    out: W,
    /// Bytes still to be skipped.
    skip: u64,
    /// The hash of all that is skipped.
    expected: blake3::Hash,
    hash: blake3::Hasher,
    end: Option<End>,
}

/// Why the copying ended early.
enum End {
    Differs,
    Failed(io::Error),
}

impl<W: Write + Send + Unpin> Rest<W> {
    /// False when what was shown is not how it begins; nothing was written then.
    async fn copy(&mut self, mesh: &Mesh, all: &Output) -> Result<bool, Problem> {
        self.end = None;
        let copied = match all {
            Output::Inline(bytes) => {
                self.take(bytes).and_then(|()| self.out.flush()).map_err(Problem::Stdout)
            }
            Output::Blob { id, .. } => {
                mesh.get_blob_to(id, self).await.map(|_bytes| ()).map_err(Problem::from)
            }
        };
        match self.end.take() {
            Some(End::Differs) => Ok(false),
            Some(End::Failed(error)) => Err(Problem::Stdout(error)),
            // Shorter than what was shown.
            None => copied.map(|()| self.skip == 0),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let old = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        let (old, new) = bytes.split_at(old);
        let was_skipping = self.skip > 0;
        self.hash.update(old);
        self.skip -= old.len() as u64;
        if was_skipping && self.skip == 0 && self.hash.finalize() != self.expected {
            self.end = Some(End::Differs);
            return Err(io::Error::other("it differs"));
        }
        self.out.write_all(new).map_err(|error| {
            let kind = error.kind();
            self.end = Some(End::Failed(error));
            kind.into()
        })
    }
}

/// Writes block: there is nothing else to do meanwhile but to let the node wait.
impl<W: Write + Send + Unpin> AsyncWrite for Rest<W> {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.get_mut().take(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().out.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of these pieces: attempt, offset, text.
    fn shown(pieces: &[(u32, u64, &str)]) -> (String, Shown) {
        let (mut shown, mut out) = (Shown::default(), Vec::new());
        for (attempt, offset, text) in pieces {
            let bytes = text.as_bytes().to_vec().into();
            let printed =
                Printed { index: 0, attempt: *attempt, stream: Stream::Output, offset: *offset, bytes };
            shown.take(&printed, &mut out).unwrap();
        }
        (String::from_utf8(out).unwrap(), shown)
    }

    /// What the result adds to them, and whether it begins like them.
    fn rest(shown: &Shown, all: &str) -> (String, bool) {
        let mut rest = Rest {
            out: Vec::new(),
            skip: shown.bytes,
            expected: shown.hash.finalize(),
            hash: blake3::Hasher::new(),
            end: None,
        };
        let same = rest.take(all.as_bytes()).is_ok() && rest.skip == 0;
        (String::from_utf8(rest.out).unwrap(), same)
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
