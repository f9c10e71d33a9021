//! Where the inputs of `weft map` come from: the lines of a file or of stdin, or a list of files. Read no faster than
//! they are taken, by a thread of their own, since a read may block.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, Stream};
use tokio::sync::{Semaphore, mpsc};
use weft_client::Input;

use super::Problem;
use crate::render::Total;

/// Longest line, in bytes; a longer one ends the input with an error.
const LINE_BYTES_MAX: usize = 64 << 20;
/// Lines handed over at once, where so many are there.
const BATCH_MAX: usize = 256;
/// Batches read ahead.
const BATCHES_MAX: usize = 4;
const READ_BYTES: usize = 256 << 10;

/// What the reader and whoever takes the results know of one another.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Inputs that may still be given out; without it they are bounded by the node alone.
    window: Option<Semaphore>,
    given: AtomicU64,
    bytes_read: AtomicU64,
    bytes_total: Option<u64>,
    /// All inputs were read.
    ended: AtomicBool,
    problem: Mutex<Option<Problem>>,
    /// The files, when every input is one.
    files: Vec<PathBuf>,
}

/// One source of inputs, not yet read from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The lines of a file, or of stdin.
    Lines(Box<Lines>),
    /// Whole files.
    Files(Vec<PathBuf>),
}

/// A file to be cut into lines.
pub(crate) struct Lines {
    name: PathBuf,
    bytes_total: Option<u64>,
    reader: Box<dyn io::Read + Send>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// The lines of that file, `-` for stdin.
    pub(crate) fn lines(path: PathBuf) -> Result<Self, Problem> {
        if path.as_os_str() == "-" {
            let lines = Lines { name: "stdin".into(), bytes_total: None, reader: Box::new(io::stdin()) };
            return Ok(Self::Lines(Box::new(lines)));
        }
        let unreadable = |source| Problem::File { action: "read", path: path.clone(), source };
        let file = File::open(&path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if about.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        let bytes_total = about.is_file().then_some(about.len());
        Ok(Self::Lines(Box::new(Lines { name: path, bytes_total, reader: Box::new(file) })))
    }

    /// Those files; looks whether each is there, so that a wrong name costs no work.
    pub(crate) fn files(paths: Vec<PathBuf>) -> Result<Self, Problem> {
        for path in &paths {
            let unreadable = |source| Problem::File { action: "read", path: path.clone(), source };
            let about = std::fs::metadata(path).map_err(unreadable)?;
            if about.is_dir() {
                return Err(unreadable(io::ErrorKind::IsADirectory.into()));
            }
        }
        Ok(Self::Files(paths))
    }
}

impl Feed {
    /// Starts to read; at most `window` inputs are given out beyond those that [`Feed::release`] gave back.
    pub(crate) fn start(
        source: Source,
        window: Option<usize>,
    ) -> (Arc<Self>, impl Stream<Item = Input> + use<>) {
        let (bytes_total, files) = match &source {
            Source::Lines(lines) => (lines.bytes_total, Vec::new()),
            Source::Files(paths) => (None, paths.clone()),
        };
        let feed = Arc::new(Self {
            window: window.map(Semaphore::new),
            given: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            bytes_total,
            ended: AtomicBool::new(false),
            problem: Mutex::new(None),
            files,
        });
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        let reader = Arc::clone(&feed);
        // Nobody waits for this thread: a read of stdin may last for ever. It ends with its channel or its input.
        std::thread::spawn(move || {
            // Inputs that end with a panic must not look like all of them.
            let read = weft_net::caught_call("reading the inputs", || reader.read(source, &sender));
            if let Err(panicked) = read {
                *reader.problem.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Problem::Failed(panicked.to_string()));
            }
        });
        let state = Taken { feed: Arc::clone(&feed), batches, batch: Vec::new().into_iter() };
        (feed, stream::unfold(state, Taken::next))
    }

    /// Lets `count` more inputs out.
    pub(crate) fn release(&self, count: usize) {
        if let Some(window) = &self.window {
            window.add_permits(count);
        }
    }

    /// How many inputs there are, as far as that can be told.
    pub(crate) fn total(&self) -> Total {
        if !self.files.is_empty() {
            return Total::Exactly(self.files.len() as u64);
        }
        let given = self.given.load(Ordering::Relaxed);
        if self.ended.load(Ordering::Acquire) {
            return Total::Exactly(given);
        }
        match (self.bytes_total, self.bytes_read.load(Ordering::Relaxed)) {
            (Some(all), read) if read > 0 => Total::About(
                u64::try_from(u128::from(given) * u128::from(all) / u128::from(read)).unwrap_or(given),
            ),
            (Some(_) | None, _) => Total::Unknown,
        }
    }

    /// What to call the task at that place.
    pub(crate) fn name(&self, index: u32) -> String {
        match self.file(index) {
            Some(path) => format!("{} (task {index})", path.display()),
            None => format!("task {index}"),
        }
    }

    /// The input file of that task, if inputs are files.
    pub(crate) fn file(&self, index: u32) -> Option<&Path> {
        self.files.get(usize::try_from(index).ok()?).map(PathBuf::as_path)
    }

    /// Why the input ended early, if it did.
    pub(crate) fn take_problem(&self) -> Option<Problem> {
        self.problem.lock().expect("nobody panics holding this lock").take()
    }

    fn read(&self, source: Source, sender: &mpsc::Sender<Vec<Input>>) {
        let ended = match source {
            Source::Lines(lines) => self.read_lines(*lines, sender),
            Source::Files(paths) => {
                for batch in paths.chunks(BATCH_MAX) {
                    let inputs = batch.iter().cloned().map(Input::File).collect();
                    if !self.hand_over(inputs, 0, sender) {
                        return;
                    }
                }
                Ok(())
            }
        };
        if let Err(problem) = ended {
            *self.problem.lock().expect("nobody panics holding this lock") = Some(problem);
        }
        self.ended.store(true, Ordering::Release);
    }

    fn read_lines(&self, lines: Lines, sender: &mpsc::Sender<Vec<Input>>) -> Result<(), Problem> {
        let Lines { name, bytes_total: _, reader } = lines;
        let mut reader = BufReader::with_capacity(READ_BYTES, reader);
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut number: u64 = 0;
        loop {
            number += 1;
            let line = next_line(&mut reader).map_err(|source| Problem::File {
                action: "read",
                path: format!("{}, line {number}", name.display()).into(),
                source,
            });
            let line = match line {
                Ok(line) => line,
                Err(problem) => {
                    self.hand_over(batch, bytes, sender);
                    return Err(problem);
                }
            };
            let is_last = line.is_none();
            if let Some((line, read)) = line {
                bytes += read;
                batch.push(Input::from(line));
            }
            // A line that came alone goes on alone: whoever types it waits for its result.
            if is_last || batch.len() >= BATCH_MAX || !reader.buffer().contains(&b'\n') {
                if !self.hand_over(std::mem::take(&mut batch), bytes, sender) {
                    return Ok(());
                }
                bytes = 0;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// False when nobody takes inputs any more.
    fn hand_over(&self, batch: Vec<Input>, bytes: u64, sender: &mpsc::Sender<Vec<Input>>) -> bool {
        let count = batch.len() as u64;
        let taken = batch.is_empty() || sender.blocking_send(batch).is_ok();
        self.given.fetch_add(count, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        taken
    }
}

/// A line without its newline, and how many bytes were read for it; `None` at the end.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut line = Vec::new();
    let read = reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read > LINE_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {} MiB; use --each-file", LINE_BYTES_MAX >> 20)));
    }
    Ok(Some((line, read as u64)))
}

/// The taking end.
struct Taken {
    feed: Arc<Feed>,
    batches: mpsc::Receiver<Vec<Input>>,
    batch: std::vec::IntoIter<Input>,
}

impl Taken {
    async fn next(mut self) -> Option<(Input, Self)> {
        loop {
            if let Some(input) = self.batch.next() {
                if let Some(window) = &self.feed.window {
                    window.acquire().await.ok()?.forget();
                }
                return Some((input, self));
            }
            self.batch = self.batches.recv().await?.into_iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, StreamExt as _};

    fn lines(text: &'static [u8]) -> Source {
        let bytes_total = Some(text.len() as u64);
        Source::Lines(Box::new(Lines { name: "test".into(), bytes_total, reader: Box::new(text) }))
    }

    fn texts(inputs: Vec<Input>) -> Vec<String> {
        let text = |input| match input {
            Input::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Input::File(path) => path.display().to_string(),
            Input::Blob { id, .. } => id,
        };
        inputs.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn a_line_is_an_input_without_its_newline() {
        let (feed, inputs) = Feed::start(lines(b"one\n\nthree\r\nlast"), None);
        assert_eq!(texts(inputs.collect().await), ["one", "", "three\r", "last"]);
        assert_eq!(feed.total(), Total::Exactly(4));
        assert!(feed.take_problem().is_none());
    }

    #[tokio::test]
    async fn no_line_no_input() {
        let (feed, inputs) = Feed::start(lines(b""), None);
        assert!(inputs.collect::<Vec<_>>().await.is_empty());
        assert_eq!(feed.total(), Total::Exactly(0));
    }

    #[tokio::test]
    async fn the_window_holds_inputs_back() {
        let (feed, inputs) = Feed::start(lines(b"1\n2\n3\n"), Some(2));
        let mut inputs = Box::pin(inputs);
        assert!(inputs.next().await.is_some());
        assert!(inputs.next().await.is_some());
        assert!(inputs.next().now_or_never().is_none());
        feed.release(1);
        assert_eq!(texts(vec![inputs.next().await.unwrap()]), ["3"]);
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let reader = Box::new(io::repeat(b'x'));
        let source = Source::Lines(Box::new(Lines { name: "test".into(), bytes_total: None, reader }));
        let (feed, inputs) = Feed::start(source, None);
        assert!(inputs.collect::<Vec<_>>().await.is_empty());
        let text = feed.take_problem().unwrap().to_string();
        assert!(text.contains("line 1: longer than 64 MiB"), "{text}");
    }

    #[test]
    fn a_missing_file_is_refused_before_anything_runs() {
        let text = Source::files(vec!["/nonexistent/x".into()]).unwrap_err().to_string();
        assert!(
            text.starts_with("cannot read /nonexistent/x: No such file") && text.ends_with("check the path"),
            "{text}"
        );
    }
}
