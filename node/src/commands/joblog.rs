//! The joblog of `weft map`: a line for each ended task, written once its output was given out, so that what is in it
//! need not run again. Its columns are those of GNU parallel's `--joblog`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weft_client::{Mesh, TaskResult};

use super::plan::Label;
use super::{Problem, outcome};
use crate::render::short;

const HEADING: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";
const COLUMNS: usize = 9;
/// Longest line of an earlier log, in bytes; a longer one is refused.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// How often the names of nodes are asked for at most.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Exit code of a task whose output could not be written.
const UNWRITTEN: u8 = super::EXIT_OWN;

/// What is there may be a log of an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Then it is refused.
    New,
    /// Then it is written over.
    Over,
    /// Then it goes on: what ended is not run again.
    Resume,
    /// The same, but what failed is run again.
    ResumeFailed,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Joblog {
    path: PathBuf,
    file: File,
    /// The module's name.
    module: String,
    hosts: Hosts,
}

/// One line, before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    seq: u64,
    host: String,
    start_ms: u64,
    runtime_ms: u64,
    send_bytes: u64,
    receive_bytes: u64,
    exit: u8,
    command: String,
}

impl Row {
    /// The same for a task whose output could not be written.
    pub(crate) fn unwritten(self) -> Self {
        Self { exit: UNWRITTEN, ..self }
    }

    fn line(&self) -> String {
        let Self { seq, host, start_ms, runtime_ms, send_bytes, receive_bytes, exit, command } = self;
        let (start, runtime) = (seconds(*start_ms), seconds(*runtime_ms));
        format!("{seq}\t{host}\t{start}\t{runtime}\t{send_bytes}\t{receive_bytes}\t{exit}\t0\t{command}\n")
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// A text that is one column.
fn column(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

impl Joblog {
    /// Opens a log, and reads what an earlier run wrote.
    ///
    /// # Errors
    /// When it can't be opened, is not a log, or is there and should not be.
    pub(crate) fn open(path: &Path, opening: Opening, module: &Path) -> Result<(Self, Earlier), Problem> {
        let failed = |action| move |source| Problem::File { action, path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(path).map_err(failed("write"))?;
        let bytes = file.metadata().map_err(failed("read"))?.len();
        let earlier = match opening {
            // The heading alone is of a run of which nothing ended.
            Opening::New
                if bytes > 0 && Earlier::read(&file, false).ok() != Some((Earlier::default(), bytes)) =>
            {
                return Err(Problem::Usage(format!(
                    "--joblog: {} is not empty; pass --resume to run only inputs that have not ended by it, \
                     --resume-failed to run failed ones again, too, or --force to write over it",
                    path.display()
                )));
            }
            Opening::New => Earlier::default(),
            Opening::Over => {
                file.set_len(0).map_err(failed("write"))?;
                Earlier::default()
            }
            Opening::Resume | Opening::ResumeFailed => {
                let read = Earlier::read(&file, opening == Opening::ResumeFailed);
                let (earlier, whole_bytes) = read.map_err(failed("read the joblog"))?;
                // A line that was cut is not there: its task runs again.
                file.set_len(whole_bytes).map_err(failed("write"))?;
                earlier
            }
        };
        let module = module.file_name().unwrap_or(module.as_os_str()).to_string_lossy().into_owned();
        let mut log = Self { path: path.to_owned(), file, module: column(&module), hosts: Hosts::default() };
        if log.file.metadata().map_err(failed("read"))?.len() == 0 {
            log.append(format!("{HEADING}\n").as_bytes())?;
        }
        Ok((log, earlier))
    }

    /// The line of a result.
    pub(crate) async fn row(&mut self, mesh: &Mesh, result: &TaskResult, label: &Label) -> Row {
        let host = match &result.worker {
            Some(worker) if !result.memo => column(&self.hosts.name(mesh, worker).await),
            Some(_) | None => String::from("-"),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let runtime_ms = if result.memo { 0 } else { result.usage.wall_us / 1000 };
        let command = match &label.called {
            Some(called) => format!("{} {}", self.module, column(called)),
            None => self.module.clone(),
        };
        Row {
            seq: u64::from(label.number) + 1,
            host,
            start_ms: now_ms.saturating_sub(runtime_ms),
            runtime_ms,
            send_bytes: result.usage.in_bytes,
            receive_bytes: result.usage.out_bytes,
            exit: outcome::exit_code(&result.outcome),
            command,
        }
    }

    /// Writes lines of results that were given out.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn write(&mut self, rows: &[Row]) -> Result<(), Problem> {
        let text: String = rows.iter().map(Row::line).collect();
        self.append(text.as_bytes())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let Self { path, file, .. } = self;
        file.write_all(bytes).map_err(|source| Problem::File { action: "write", path: path.clone(), source })
    }
}

/// The names of nodes, by their ids.
#[derive(Debug, Default)]
struct Hosts {
    names: BTreeMap<String, String>,
    asked: Option<Instant>,
}

impl Hosts {
    async fn name(&mut self, mesh: &Mesh, id: &str) -> String {
        if !self.names.contains_key(id) && self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            self.asked = Some(Instant::now());
            // Without an answer, ids are names.
            if let Ok(status) = mesh.status().await {
                self.names.insert(status.peer, status.name);
            }
            let peers = mesh.peers().await.unwrap_or_default();
            self.names.extend(peers.into_iter().map(|peer| (peer.peer, peer.name)));
        }
        self.names.get(id).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| short(id))
    }
}

/// What an earlier log says of inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Earlier {
    done: Numbers,
    failed: Numbers,
    /// Those that failed run again.
    again: bool,
}

/// A set of numbers, 64 in a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Numbers(BTreeMap<u32, u64>);

impl Numbers {
    fn set(&mut self, number: u32, is_in: bool) {
        let word = self.0.entry(number / 64).or_default();
        let bit = 1 << (number % 64);
        *word = if is_in { *word | bit } else { *word & !bit };
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(&(number / 64)).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

impl Earlier {
    /// Whether the input of that number is not run again, where its output is on no list of its own.
    pub(crate) fn is_over(&self, number: u32) -> bool {
        self.done.has(number) || self.is_let_fail(number)
    }

    /// Whether it failed, and is not run again.
    pub(crate) fn is_let_fail(&self, number: u32) -> bool {
        !self.again && self.failed.has(number)
    }

    /// Reads a log; says how long it is, without a last line that was cut.
    fn read(file: &File, again: bool) -> io::Result<(Self, u64)> {
        let mut earlier = Self { again, ..Self::default() };
        let mut reader = BufReader::new(file);
        let (mut whole_bytes, mut number, mut line) = (0, 0u64, Vec::new());
        loop {
            line.clear();
            let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
            let Some(text) = line.strip_suffix(b"\n") else {
                let is_cut = read < LINE_BYTES_MAX && (number > 0 || HEADING.as_bytes().starts_with(&line));
                return if is_cut { Ok((earlier, whole_bytes)) } else { Err(no_log(number)) };
            };
            let text = String::from_utf8_lossy(text);
            number += 1;
            let is_taken = if number == 1 { text == HEADING } else { earlier.take(&text).is_some() };
            if !is_taken {
                return Err(no_log(number));
            }
            whole_bytes += read;
        }
    }

    /// Takes one line; of several about one input the last one counts.
    fn take(&mut self, line: &str) -> Option<()> {
        let columns: Vec<&str> = line.splitn(COLUMNS, '\t').collect();
        let [seq, _host, _start, _runtime, _send, _receive, exit, signal, _command] = columns.as_slice()
        else {
            return None;
        };
        let number = seq.parse::<u32>().ok()?.checked_sub(1)?;
        let (exit, signal): (i32, i32) = (exit.parse().ok()?, signal.parse().ok()?);
        let is_done = exit == 0 && signal == 0;
        self.done.set(number, is_done);
        self.failed.set(number, !is_done);
        Some(())
    }
}

fn no_log(line: u64) -> io::Error {
    let text = format!(
        "line {} is no line of a joblog; expected the columns {}",
        line.max(1),
        HEADING.replace('\t', " ")
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn row(number: u32, exit: u8) -> Row {
        Row {
            seq: u64::from(number) + 1,
            host: String::from("anna"),
            start_ms: 1_700_000_000_042,
            runtime_ms: 1_500,
            send_bytes: 3,
            receive_bytes: 4,
            exit,
            command: String::from("echo.wasm a b"),
        }
    }

    fn open(path: &Path, opening: Opening) -> Result<(Joblog, Earlier), String> {
        Joblog::open(path, opening, Path::new("dir/echo.wasm")).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_log_says_what_need_not_run_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut log, earlier) = open(&path, Opening::New).unwrap();
        assert!(!earlier.is_over(0));
        log.write(&[row(0, 0), row(70, 1)]).unwrap();
        log.write(&[row(5, 1), row(5, 0), row(6, 0), row(6, 124)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with(&format!(
                "{HEADING}\n1\tanna\t1700000000.042\t1.500\t3\t4\t0\t0\techo.wasm a b\n"
            )),
            "{text}"
        );
        let over = |opening| {
            let (_, earlier) = open(&path, opening).unwrap();
            [0, 1, 5, 6, 70].map(|number| earlier.is_over(number))
        };
        assert_eq!(over(Opening::Resume), [true, false, true, true, true]);
        assert_eq!(over(Opening::ResumeFailed), [true, false, true, false, false]);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "to read it changes nothing");
        let refused = open(&path, Opening::New).unwrap_err();
        assert!(refused.contains("--resume") && !refused.contains("  "), "{refused}");
        open(&path, Opening::Over).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{HEADING}\n"));
        open(&path, Opening::New).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{HEADING}\n"));
    }

    #[test]
    fn a_line_that_was_cut_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut log, _) = open(&path, Opening::New).unwrap();
        log.write(&[row(0, 0), row(1, 0)]).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut log, earlier) = open(&path, Opening::Resume).unwrap();
            let again: Vec<Row> = [0, 1]
                .into_iter()
                .filter(|number| !earlier.is_over(*number))
                .map(|number| row(number, 0))
                .collect();
            log.write(&again).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_log_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let rest = "\ta\t1\t1\t1\t1\t0\t0\tx";
        let line = format!("1{rest}");
        for wrong in [
            "hello",
            "hello\n",
            "Seq\tHost\n",
            &format!("{HEADING}\n{line}\nnone\n"),
            &format!("{HEADING}\n0{rest}\n"),
        ] {
            fs::write(&path, wrong).unwrap();
            let refused = open(&path, Opening::Resume).unwrap_err();
            assert!(refused.contains("no line of a joblog"), "{wrong:?}: {refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
        }
        fs::write(&path, format!("{HEADING}\n{line}\twith\ttabs\n")).unwrap();
        assert!(open(&path, Opening::Resume).unwrap().1.is_over(0), "a command may hold tabs");
    }

    #[test]
    fn a_name_is_one_column() {
        assert_eq!(column("an\tna\n\x1b[31m"), "an na  [31m");
    }
}
