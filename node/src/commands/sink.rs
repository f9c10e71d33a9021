//! Where the results of `weft map` go: stdout in the order of the inputs, a file each, or a JSON line each as they
//! come. The order costs a buffer, whose bound is the feed's window.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use weft_client::{Error, Mesh, Output, TaskResult};
use weft_node::terminal::visible;

use super::Problem;
use super::feed::Feed;
use super::joblog::Row;
use super::out::Out;
use super::outcome::ResultLine;
use super::outdir::{Held, Unwritten};
use super::plan::Label;
use crate::render::json_line;

/// Output that is tagged at once, in bytes.
const TAGGED_BYTES: usize = 4 << 10;

/// Where results are given out, and what to log of those that were.
#[derive(Debug)]
pub(crate) struct Sink {
    to: To,
    /// Lines of the joblog about results that were given out.
    logged: Vec<Row>,
}

/// One way to give results out.
#[derive(Debug)]
enum To {
    /// Outputs on stdout, in order.
    Ordered(Ordered),
    /// Outputs into files of that directory, and what a task left in `/out` into a directory next to each.
    Files(Held),
    /// JSON lines on stdout, in no order.
    Lines(Out),
}

/// Results that wait for those before them.
#[derive(Debug)]
struct Ordered {
    out: Out,
    /// The next place to be written.
    next: u32,
    /// By their places. Never more than the feed's window.
    /// Boxed: a map moves its values about.
    early: BTreeMap<u32, Box<Told>>,
}

/// One result on its way out.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) result: TaskResult,
    pub(crate) label: Label,
    /// Its line of the joblog, if there is one.
    pub(crate) row: Option<Row>,
}

impl Sink {
    /// Stdout, in order.
    pub(crate) fn ordered(out: Out) -> Self {
        Self::to(To::Ordered(Ordered { out, next: 0, early: BTreeMap::new() }))
    }

    /// Files of a directory.
    pub(crate) fn files(held: Held) -> Self {
        Self::to(To::Files(held))
    }

    /// JSON lines on stdout.
    pub(crate) fn lines(out: Out) -> Self {
        Self::to(To::Lines(out))
    }

    fn to(to: To) -> Self {
        Self { to, logged: Vec::new() }
    }

    /// Whether results are held back until those before them came.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self.to, To::Ordered(_))
    }

    /// The place of the result that is given out next; `None` where there is no order.
    pub(crate) fn next(&self) -> Option<u32> {
        match &self.to {
            To::Ordered(ordered) => Some(ordered.next),
            To::Files(_) | To::Lines(_) => None,
        }
    }

    /// Gives out one result, and those that waited for it. `place` is that of its input among all that were given to
    /// the node.
    ///
    /// # Errors
    /// When this output, or any, can't be written.
    pub(crate) async fn take(
        &mut self,
        mesh: &Mesh,
        feed: &Feed,
        place: u32,
        told: Told,
    ) -> Result<(), Unwritten> {
        let To::Ordered(ordered) = &mut self.to else { return self.give(mesh, told).await };
        ordered.early.insert(place, Box::new(told));
        let before = ordered.next;
        while let Some(told) = ordered.early.remove(&ordered.next) {
            let Told { result, mut label, row } = *told;
            let written = ordered.out.write_result(mesh, &result, label.tag.take()).await;
            written.map_err(|problem| gone(problem, &label.shown()))?;
            self.logged.extend(row);
            ordered.next += 1;
        }
        feed.release(usize::try_from(ordered.next - before).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Gives out one result now, whatever came before it.
    ///
    /// # Errors
    /// When this output, or any, can't be written.
    pub(crate) async fn give(&mut self, mesh: &Mesh, told: Told) -> Result<(), Unwritten> {
        let Told { result, mut label, row } = told;
        let given = match (&mut self.to, &label.out) {
            (To::Ordered(ordered), _) => {
                let written = ordered.out.write_result(mesh, &result, label.tag.take()).await;
                Ok(written.map_err(|problem| gone(problem, &label.shown()))?)
            }
            (To::Files(held), Some(name)) if result.is_done() => held.dir().write(mesh, &result, name).await,
            (To::Files(_), _) => Ok(()),
            (To::Lines(out), _) => Ok(write_line(out, &result, label.tag.as_deref()).await?),
        };
        self.logged.extend(row.map(|row| if given.is_ok() { row } else { row.unwritten() }));
        given
    }

    /// How many lines of the joblog wait.
    pub(crate) fn logged(&self) -> usize {
        self.logged.len()
    }

    /// The lines of the joblog about results that were given out, once: after [`Sink::flush`], their reader has them.
    pub(crate) fn take_logged(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.logged)
    }

    /// Whether its reader has everything that can be given out.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out().is_none_or(Out::is_flushed)
    }

    /// Gives everything that was taken to its reader.
    pub(crate) async fn flush(&mut self) -> Result<(), Problem> {
        match self.out_mut() {
            Some(out) => out.all().await,
            None => Ok(()),
        }
    }

    /// Ends what was given out, as [`Out::end`].
    pub(crate) async fn end<T>(&mut self, result: Result<T, Problem>) -> Result<T, Problem> {
        match self.out_mut() {
            Some(out) => out.end(result).await,
            None => result,
        }
    }

    fn out(&self) -> Option<&Out> {
        match &self.to {
            To::Ordered(Ordered { out, next: _, early: _ }) | To::Lines(out) => Some(out),
            To::Files(_) => None,
        }
    }

    fn out_mut(&mut self) -> Option<&mut Out> {
        match &mut self.to {
            To::Ordered(Ordered { out, next: _, early: _ }) | To::Lines(out) => Some(out),
            To::Files(_) => None,
        }
    }
}

impl Out {
    /// The output of a task that is done, ended by a newline. Of the others there is nothing to show.
    async fn write_result(
        &mut self,
        mesh: &Mesh,
        result: &TaskResult,
        tag: Option<String>,
    ) -> Result<(), Problem> {
        if !result.is_done() {
            return Ok(());
        }
        match tag {
            None => write_whole(mesh, &result.output, self).await?,
            Some(tag) => {
                let mut tagged = Tagged::new(self, &tag);
                let written = match &result.output {
                    Output::Inline(bytes) => tagged.write_all(bytes).await.map_err(Problem::Stdout),
                    Output::Blob { id, .. } => {
                        mesh.get_blob_to(id, &mut tagged).await.map(|_bytes| ()).map_err(Problem::from)
                    }
                };
                let nothing_yet = result.output.bytes_len() == 0;
                if nothing_yet {
                    self.put(format!("{tag}\t").as_bytes()).await?;
                }
                whole(written, self)?;
            }
        }
        let is_ended = result.output.bytes_len() > 0 && self.last() == Some(b'\n');
        if !is_ended {
            self.put(b"\n").await?;
        }
        self.end_task()
    }
}

/// Why an output is no longer there, where the node names no other reason.
pub(super) const MADE_ROOM: &str = "which made room for others";

/// Says whose output is no longer there, and how to have it again.
fn gone(problem: Problem, named: &str) -> Problem {
    let Problem::Client(error) = &problem else { return problem };
    let Error::NotFound { what: "blob", help, .. } = error.as_ref() else { return problem };
    let why = help.as_deref().unwrap_or(MADE_ROOM);
    Problem::Failed(format!(
        "{named}: its output is no longer in the node's store, {}: run the task again, by a new job",
        visible(why)
    ))
}

async fn write_whole(mesh: &Mesh, output: &Output, out: &mut Out) -> Result<(), Problem> {
    match output {
        Output::Inline(bytes) => out.put(bytes).await,
        Output::Blob { id, .. } => copy_blob(mesh, id, out).await,
    }
}

async fn write_line(out: &mut Out, result: &TaskResult, input: Option<&str>) -> Result<(), Problem> {
    out.put(json_line(&ResultLine::of(result).with_input(input))?.as_bytes()).await
}

/// A blob on stdout.
pub(crate) async fn copy_blob(mesh: &Mesh, id: &str, out: &mut Out) -> Result<(), Problem> {
    let copied = mesh.get_blob_to(id, out).await.map(|_bytes| ()).map_err(Problem::from);
    whole(copied, out)
}

/// The result of copying: a stdout that is gone is not the fault of the source.
fn whole(copied: Result<(), Problem>, out: &mut Out) -> Result<(), Problem> {
    match out.take_failure() {
        Some(error) => Err(Problem::Stdout(error)),
        None => copied,
    }
}

/// Writes an output into a file, which appears whole or not at all.
pub(crate) async fn write_output(mesh: &Mesh, output: &Output, path: &Path) -> Result<(), Problem> {
    let failed = |source| Problem::File { action: "write", path: path.to_owned(), source };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let part = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(failed)?;
    match output {
        Output::Inline(bytes) => std::fs::write(part.path(), bytes).map_err(failed)?,
        Output::Blob { id, .. } => {
            let file = part.as_file().try_clone().map_err(failed)?;
            let copied = mesh.get_blob_to(id, &mut tokio::fs::File::from_std(file)).await;
            copied.map_err(|error| {
                if let Error::Unwritten { source } = error { failed(source) } else { error.into() }
            })?;
        }
    }
    part.persist(path).map(drop).map_err(|error| failed(error.error))
}

/// Puts a tag before each line.
struct Tagged<'a> {
    out: &'a mut Out,
    /// The tag and a tab.
    tag: String,
    last: Last,
}

/// What the last byte was, of those that were tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// A line's end, or none was there yet: the next byte begins a line.
    End,
    /// A carriage return. Where it is shown as a line's end, the next byte begins a line, unless it ends this one.
    Return,
    Other,
}

impl<'a> Tagged<'a> {
    fn new(out: &'a mut Out, tag: &str) -> Self {
        Self { out, tag: format!("{tag}\t"), last: Last::End }
    }

    /// These bytes with their tags, and what the last byte of them was.
    fn tagged(&self, bytes: &[u8]) -> (Vec<u8>, Last) {
        let returns_end_lines = self.out.is_filtered();
        let mut tagged = Vec::with_capacity(bytes.len() + self.tag.len());
        let mut last = self.last;
        for byte in bytes {
            if last == Last::End || last == Last::Return && *byte != b'\n' {
                tagged.extend_from_slice(self.tag.as_bytes());
            }
            tagged.push(*byte);
            last = match byte {
                b'\n' => Last::End,
                b'\r' if returns_end_lines => Last::Return,
                _ => Last::Other,
            };
        }
        (tagged, last)
    }
}

impl AsyncWrite for Tagged<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let piece = bytes.get(..TAGGED_BYTES).unwrap_or(bytes);
        let (tagged, last) = this.tagged(piece);
        // It takes all or waits.
        ready!(Pin::new(&mut *this.out).poll_write(cx, &tagged))?;
        this.last = last;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().out).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::out::tests::memory;

    /// What is written of an output that comes in these pieces, with the tag `one`.
    async fn tagged(raw: bool, pieces: &[&str]) -> String {
        let (mut out, written) = memory(raw);
        let mut tagged = Tagged::new(&mut out, "one");
        for piece in pieces {
            tagged.write_all(piece.as_bytes()).await.unwrap();
        }
        out.end(Ok(())).await.unwrap();
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn no_line_on_a_terminal_is_without_the_tag_of_its_input() {
        let forged = "a\rtwo\tforged\r\nb\r\rc\r";
        let shown = "one\ta\none\ttwo\tforged\r\none\tb\none\t\none\tc\n";
        assert_eq!(tagged(false, &[forged]).await, shown);
        for at in 1..forged.len() {
            let (first, second) = forged.split_at(at);
            assert_eq!(tagged(false, &[first, second]).await, shown, "in two pieces, {first:?} first");
        }
    }

    #[test]
    fn an_output_that_is_gone_is_told_with_its_task_and_what_to_do() {
        let missing = Error::NotFound { what: "blob", name: "7e08".into(), help: None };
        let said = gone(missing.into(), "task 3").to_string();
        assert!(said.starts_with("task 3: its output is no longer") && said.contains("again"), "{said}");
        let help = Some(String::from("another program removed its file"));
        let removed = Error::NotFound { what: "blob", name: "7e08".into(), help };
        let said = gone(removed.into(), "task 3").to_string();
        assert!(said.contains("store, another program removed its file: run"), "{said}");
        assert!(matches!(gone(Problem::Usage("x".into()), "task 3"), Problem::Usage(_)));
    }

    #[tokio::test]
    async fn in_a_pipe_a_tag_is_behind_line_ends_only() {
        assert_eq!(tagged(true, &["10%\r20%\r", "\nb\rc\n"]).await, "one\t10%\r20%\r\none\tb\rc\n");
    }
}
