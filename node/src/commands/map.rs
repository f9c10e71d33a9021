//! `weft map`: one task per line or per file. Inputs flow out and results flow in at the same time, both bounded.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use weft_client::{Map, Mesh, Outcome, TaskResult};

use super::feed::{Feed, Source};
use super::sink::Sink;
use super::{Problem, outcome, receipt, task_of};
use crate::cli::MapArgs;
use crate::render::{Progress, say};

/// Results that may wait for one before them, and so the inputs under way when the order is kept.
const WINDOW: usize = 4096;
/// Failures told one by one; the rest are only counted.
const COMPLAINTS_MAX: u64 = 20;
/// Highest exit code that counts failures.
const FAILED_MAX: u64 = 100;
/// Distinct workers counted for the last line.
const WORKERS_MAX: usize = 4096;
const TICK: Duration = Duration::from_millis(200);
/// How long a cancelled job's node is waited for.
const CANCEL_WAIT: Duration = Duration::from_secs(2);

/// Runs the job; the exit code is the number of failed tasks.
pub(crate) async fn map(data_dir: &Path, args: MapArgs) -> Result<u8, Problem> {
    let MapArgs { module, each_line, each_file, task, out, receipt, json, args } = args;
    let failures_max = task.policy.max_failures;
    let task = task_of(&module, task, args)?;
    let task = if receipt { task.receipts() } else { task };
    let sink = match out {
        Some(dir) => Sink::files(dir, &each_file)?,
        None if json => Sink::lines(),
        None => Sink::ordered(),
    };
    let source = match each_line {
        Some(path) => Source::lines(path)?,
        None => Source::files(each_file)?,
    };
    let mesh = Mesh::connect_in(data_dir).await?;
    let (feed, inputs) = Feed::start(source, sink.is_ordered().then_some(WINDOW));
    let results = mesh.map(&task, inputs).await?;
    let (progress, job) = (Progress::new(results.job()), String::from(results.job()));
    let to_terminal = std::io::stdout().is_terminal();
    let session = Session {
        mesh,
        feed,
        sink,
        progress,
        workers: BTreeSet::new(),
        quiet: json,
        receipts: receipt,
        left_files: 0,
        to_terminal,
        failures_max,
        job,
    };
    session.run(results).await
}

/// One job under way.
struct Session {
    mesh: Mesh,
    feed: Arc<Feed>,
    sink: Sink,
    progress: Progress,
    workers: BTreeSet<String>,
    /// Failures are in the data already.
    quiet: bool,
    /// Each result must have a good receipt.
    receipts: bool,
    /// Tasks that left files which nobody takes.
    left_files: u64,
    /// Stdout is a terminal.
    to_terminal: bool,
    /// The job is given up when more tasks than this fail.
    failures_max: Option<u32>,
    /// The job's id.
    job: String,
}

impl Session {
    async fn run(mut self, mut results: Map) -> Result<u8, Problem> {
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        let mut clock = tokio::time::interval(TICK);
        loop {
            // What is there already is taken without a pause; only a wait gives the reader what it has so far.
            if let Some(item) = results.next().now_or_never() {
                let Some(item) = item else { break };
                self.take(item?).await?;
                continue;
            }
            self.show()?;
            tokio::select! {
                item = results.next() => {
                    let Some(item) = item else { break };
                    self.take(item?).await?;
                }
                _ = clock.tick() => self.progress.tick(self.feed.total()),
                _ = &mut interrupt => return self.interrupted(&results).await,
            }
        }
        self.end()
    }

    /// Gives what was taken to the reader; the bar makes way where both share a terminal.
    fn show(&mut self) -> Result<(), Problem> {
        if self.sink.is_flushed() {
            return Ok(());
        }
        if self.to_terminal { self.progress.aside(|| self.sink.flush()) } else { self.sink.flush() }
    }

    async fn take(&mut self, result: TaskResult) -> Result<(), Problem> {
        if result.outcome == Outcome::Cancelled {
            self.progress.count_cancelled();
        } else {
            self.progress.count(result.is_done(), result.memo);
        }
        if self.receipts && result.outcome != Outcome::Cancelled {
            receipt::of_result(&result, true)?;
        }
        self.left_files += u64::from(self.sink.is_ordered() && result.archive.bytes_len() > 0);
        if let Some(worker) = &result.worker
            && self.workers.len() < WORKERS_MAX
            && !self.workers.contains(worker)
        {
            self.workers.insert(worker.clone());
        }
        if !result.is_done() && result.outcome != Outcome::Cancelled && !self.quiet {
            self.complain(&result);
        }
        self.sink.take(&self.mesh, &self.feed, result).await
    }

    fn complain(&self, result: &TaskResult) {
        let failed = self.progress.failed();
        if failed <= COMPLAINTS_MAX {
            let text = outcome::complaint(result, &self.feed.name(result.index));
            self.progress.aside(|| say(&text));
        }
        if failed == COMPLAINTS_MAX + 1 {
            self.progress.aside(|| say("more tasks failed; --json tells about each of them"));
        }
    }

    fn end(mut self) -> Result<u8, Problem> {
        self.sink.flush()?;
        let (failed, cancelled) = (self.progress.failed(), self.progress.cancelled());
        self.progress.finish(self.workers.len());
        if self.left_files > 0 {
            say(&format!("{} tasks left files in /out: --out DIR takes them", self.left_files));
        }
        match self.feed.take_problem() {
            Some(problem) => Err(problem),
            None if cancelled > 0 => stopped((&self.job, self.failures_max), failed, cancelled),
            None => Ok(u8::try_from(failed.min(FAILED_MAX)).unwrap_or(u8::MAX)),
        }
    }

    async fn interrupted(mut self, results: &Map) -> Result<u8, Problem> {
        // The node hears of it by the closing connection too, should this take too long.
        drop(tokio::time::timeout(CANCEL_WAIT, results.cancel()).await);
        self.sink.flush()?;
        self.progress.finish(self.workers.len());
        Err(Problem::Interrupted(format!("interrupted; job {} is cancelled", results.job())))
    }
}

/// The job ended before its tasks had: somebody cancelled it, or more of them failed than it allows.
fn stopped((job, failures_max): (&str, Option<u32>), failed: u64, cancelled: u64) -> Result<u8, Problem> {
    match failures_max {
        Some(most) if failed > u64::from(most) => {
            say(&format!(
                "given up: {failed} tasks failed, --max-failures {most} allows no more; {cancelled} were cancelled"
            ));
            Ok(u8::try_from(failed.min(FAILED_MAX)).unwrap_or(u8::MAX))
        }
        Some(_) | None => Err(Problem::Interrupted(format!(
            "job {job} was cancelled before {cancelled} of its tasks had ended"
        ))),
    }
}
