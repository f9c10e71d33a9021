//! Where the results of `weft map` go: stdout in the order of the inputs, a file each, or a JSON line each as they
//! come. The order costs a buffer, whose bound is the feed's window.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Stdout, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use weft_client::{Existing, Mesh, Output, TaskResult};
use weft_node::terminal::Screen;

use super::Problem;
use super::feed::Feed;
use super::outcome::ResultLine;
use crate::render::json_line;

const STDOUT_BYTES: usize = 256 << 10;

/// Stdout, and what a terminal may see of it.
pub(crate) type Out = BufWriter<Screen<Stdout>>;

/// One way to give results out.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Outputs on stdout, in order.
    Ordered(Ordered),
    /// Outputs into files of that directory, and what a task left in `/out` into a directory beside each.
    Files(PathBuf),
    /// JSON lines on stdout, in no order.
    Lines(Out),
}

/// Results that wait for those before them.
#[derive(Debug)]
pub(crate) struct Ordered {
    out: Out,
    /// The next index to be written.
    next: u32,
    /// Never more than the feed's window.
    early: BTreeMap<u32, TaskResult>,
}

impl Sink {
    /// Stdout, in order; `raw` lets a terminal have all of it.
    pub(crate) fn ordered(raw: bool) -> Self {
        Self::Ordered(Ordered { out: stdout(raw), next: 0, early: BTreeMap::new() })
    }

    /// JSON lines.
    pub(crate) fn lines() -> Self {
        Self::Lines(stdout(true))
    }

    /// A directory, made when it is missing. Two input files of one name would write one output: that is refused.
    pub(crate) fn files(dir: PathBuf, inputs: &[PathBuf]) -> Result<Self, Problem> {
        let mut names = BTreeSet::new();
        for input in inputs {
            let beside = files_name(file_name(input));
            if !names.insert(file_name(input).to_owned()) || !names.insert(beside) {
                let name = file_name(input).to_string_lossy().into_owned();
                let text = format!(
                    "--out: two inputs are called {name}: rename one, or map them into two directories"
                );
                return Err(Problem::Usage(text));
            }
        }
        let made = std::fs::create_dir_all(&dir);
        made.map_err(|source| Problem::File { action: "make", path: dir.clone(), source })?;
        Ok(Self::Files(dir))
    }

    /// Whether results are held back until those before them came.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self, Self::Ordered(_))
    }

    /// Gives out one result, and those that waited for it.
    pub(crate) async fn take(
        &mut self,
        mesh: &Mesh,
        feed: &Arc<Feed>,
        result: TaskResult,
    ) -> Result<(), Problem> {
        match self {
            Self::Ordered(ordered) => ordered.take(mesh, feed, result).await,
            Self::Files(dir) if result.is_done() => {
                let name = match feed.file(result.index) {
                    Some(input) => file_name(input).to_owned(),
                    None => OsString::from(result.index.to_string()),
                };
                write_output(mesh, &result.output, &dir.join(&name)).await?;
                if result.archive.bytes_len() > 0 {
                    result.unpack(mesh, &dir.join(files_name(&name)), Existing::Replace).await?;
                }
                Ok(())
            }
            Self::Files(_) => Ok(()),
            Self::Lines(out) => write_line(out, &result),
        }
    }

    /// Whether its reader has everything that can be given out.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Ordered(Ordered { out, next: _, early: _ }) | Self::Lines(out) => out.buffer().is_empty(),
            Self::Files(_) => true,
        }
    }

    /// Gives everything that was taken to its reader.
    pub(crate) fn flush(&mut self) -> Result<(), Problem> {
        match self {
            Self::Ordered(Ordered { out, next: _, early: _ }) | Self::Lines(out) => {
                out.flush().map_err(Problem::Stdout)
            }
            Self::Files(_) => Ok(()),
        }
    }
}

impl Ordered {
    async fn take(&mut self, mesh: &Mesh, feed: &Arc<Feed>, result: TaskResult) -> Result<(), Problem> {
        self.early.insert(result.index, result);
        let before = self.next;
        while let Some(result) = self.early.remove(&self.next) {
            self.write(mesh, &result).await?;
            self.next += 1;
        }
        feed.release(usize::try_from(self.next - before).unwrap_or(usize::MAX));
        Ok(())
    }

    /// The output of a task that is done, ended by a newline. Of the others there is nothing to show.
    async fn write(&mut self, mesh: &Mesh, result: &TaskResult) -> Result<(), Problem> {
        if !result.is_done() {
            return Ok(());
        }
        self.write_output(mesh, result).await?;
        if self.out.get_ref().is_raw() {
            return Ok(());
        }
        // A colour does not outlive its task.
        self.out.flush().and_then(|()| self.out.get_mut().finish()).map_err(Problem::Stdout)
    }

    async fn write_output(&mut self, mesh: &Mesh, result: &TaskResult) -> Result<(), Problem> {
        match &result.output {
            Output::Inline(bytes) => {
                let newline: &[u8] = if bytes.last() == Some(&b'\n') { b"" } else { b"\n" };
                self.out.write_all(bytes).and_then(|()| self.out.write_all(newline)).map_err(Problem::Stdout)
            }
            Output::Blob { id, .. } => {
                let last = copy_blob(mesh, id, &mut self.out).await?;
                let newline: &[u8] = if last == Some(b'\n') { b"" } else { b"\n" };
                self.out.write_all(newline).map_err(Problem::Stdout)
            }
        }
    }
}

pub(crate) fn stdout(raw: bool) -> Out {
    BufWriter::with_capacity(STDOUT_BYTES, Screen::stdout(raw))
}

fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(OsStr::new("output"))
}

/// What is beside an output: what its task left in `/out`.
fn files_name(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(".out");
    name
}

fn write_line(out: &mut Out, result: &TaskResult) -> Result<(), Problem> {
    let line = json_line(&ResultLine::of(result))?;
    out.write_all(line.as_bytes()).map_err(Problem::Stdout)
}

/// A blob on stdout; returns its last byte.
pub(crate) async fn copy_blob(mesh: &Mesh, id: &str, out: &mut Out) -> Result<Option<u8>, Problem> {
    let mut pipe = Pipe { out, last: None, failed: None };
    let copied = mesh.get_blob_to(id, &mut pipe).await;
    match (pipe.failed.take(), copied) {
        (Some(error), _) => Err(Problem::Stdout(error)),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_bytes)) => Ok(pipe.last),
    }
}

/// Writes an output into a file, which appears whole or not at all.
pub(crate) async fn write_output(mesh: &Mesh, output: &Output, path: &Path) -> Result<(), Problem> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |source| Problem::File { action: "write", path: path.to_owned(), source };
    let written = match output {
        Output::Inline(bytes) => std::fs::write(&part, bytes).map_err(failed),
        Output::Blob { id, .. } => {
            let mut file = tokio::fs::File::create(&part).await.map_err(failed)?;
            mesh.get_blob_to(id, &mut file).await.map(|_bytes| ()).map_err(Problem::from)
        }
    };
    let moved = written.and_then(|()| std::fs::rename(&part, path).map_err(failed));
    if moved.is_err() {
        drop(std::fs::remove_file(&part));
    }
    moved
}

/// Stdout as the client wants it. Writes block: there is nothing else to do meanwhile but to let the node wait.
struct Pipe<'a> {
    out: &'a mut Out,
    last: Option<u8>,
    failed: Option<io::Error>,
}

impl AsyncWrite for Pipe<'_> {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let pipe = self.get_mut();
        Poll::Ready(match pipe.out.write(bytes) {
            Ok(written) => {
                pipe.last = bytes.get(..written).and_then(|bytes| bytes.last().copied()).or(pipe.last);
                Ok(written)
            }
            Err(error) => {
                let kind = error.kind();
                pipe.failed = Some(error);
                Err(kind.into())
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
