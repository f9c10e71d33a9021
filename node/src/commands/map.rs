//! `weft map`: one task per line, block or file. Inputs flow out and results flow in at the same time, both bounded.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use weft_client::{Map, Mesh, Outcome, Task, TaskResult};

use super::choice::Choice;
use super::feed::{self, Feed, Source};
use super::interrupt::Interrupt;
use super::out::Out;
use super::outdir::{Earlier, Held, OutDir, Unwritten};
use super::plan::{Label, OutSpec, Plan, Planned};
use super::records::{Ends, Opened, RECORD_BYTES_MAX};
use super::shortage::Shortage;
use super::sink::Sink;
use super::sources::Sources;
use super::stage::StageWatch;
use super::tailor::Tailor;
use super::template::Word;
use super::{Problem, outcome, receipt, task_of};
use crate::cli::{InputsArgs, MapArgs};
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
    let MapArgs { module, inputs, mut task, out, force, resume, tag, receipt, json, raw, mut args } = args;
    let max_failures = task.policy.max_failures.map(u64::from);
    // A function has no arguments and files, its own or others; that is said where the task is made.
    let is_command = task.function.is_none();
    let tailor = is_command.then(|| Tailor::take(&mut task, &mut args, inputs.as_file)).flatten();
    let sources = Sources::of(&module, &task, &inputs)?;
    let task = task_of(&module, task, args)?;
    let task = if receipt { task.receipts() } else { task };
    let task = if tailor.is_some() { task.parcels() } else { task };
    let out = out.as_deref().map(OutSpec::parse).transpose()?;
    let plan = Plan::new(out, tailor, tag, sources);
    let (inputs, choice) = inputs_of(inputs, &plan)?;
    let earlier = match (force, resume) {
        (true, _) => Earlier::Replace,
        (false, true) => Earlier::Keep,
        (false, false) => Earlier::Refuse,
    };
    let how = How { earlier, json, raw, receipt, max_failures };
    let interrupt = Interrupt::listen()?;
    let (session, results) = tokio::select! {
        begun = Box::pin(begin(data_dir, &task, inputs, plan, choice, how)) => begun?,
        () = interrupt.came() => return Err(Problem::Interrupted("interrupted; no job was begun".into())),
    };
    Box::pin(session.run(results, &interrupt)).await
}

/// What else the command line says.
#[derive(Clone, Copy, Debug)]
struct How {
    earlier: Earlier,
    json: bool,
    raw: bool,
    receipt: bool,
    max_failures: Option<u64>,
}

/// Opens the directory for outputs, and then the job.
async fn begin(
    data_dir: &Path,
    task: &Task,
    inputs: Inputs,
    plan: Plan,
    choice: Choice,
    how: How,
) -> Result<(Session, Map), Problem> {
    let How { earlier, json, raw, receipt, max_failures } = how;
    let mesh = Mesh::connect_in(data_dir).await?;
    let dir = plan.out.as_ref().map(|out| OutDir::open(out.dir.clone(), earlier)).transpose()?;
    let dir = dir.map(Held::new);
    let mut plan = plan.into_dir(dir.as_ref().map(|held| Arc::clone(held.dir())));
    let source = match inputs {
        Inputs::Stream(source) => source,
        Inputs::Files(files) => chosen(files, &mut plan, choice)?,
    };
    let window = (dir.is_none() && !json).then_some(WINDOW);
    let (feed, inputs) = Feed::start(source, plan, choice, window);
    let results = mesh.map(task, inputs).await?;
    let job = results.job().to_owned();
    say(&format!("job {job}"));
    let progress = Progress::new(&job);
    let stage = Some(StageWatch::start(&mesh, &job));
    // JSON lines are safe to show as they are.
    let out = |raw| Out::stdout(progress.bar().filter(|_| std::io::stdout().is_terminal()), raw);
    let sink = match dir {
        Some(held) => Sink::Files(held),
        None if json => Sink::Lines(out(true)),
        None => Sink::ordered(out(raw)),
    };
    let session = Session {
        mesh,
        feed,
        sink,
        progress,
        stage,
        workers: BTreeSet::new(),
        quiet: json,
        receipts: receipt,
        left_files: 0,
        max_failures,
        gave_up: false,
        shortage: Shortage::new(),
        job,
    };
    Ok((session, results))
}

/// Inputs before the directory for outputs is open.
enum Inputs {
    Stream(Source),
    Files(Vec<Planned>),
}

/// What the command line says about inputs, looked at as far as that costs no work.
fn inputs_of(given: InputsArgs, plan: &Plan) -> Result<(Inputs, Choice), Problem> {
    let InputsArgs { each_line, each_file, each_block, as_file: _, jsonl, nul, shuf, limit } = given;
    let choice = Choice { shuf, limit };
    let ends = match (jsonl, nul) {
        (_, true) => Ends::Nul,
        (true, false) => Ends::JsonLine,
        (false, false) => Ends::Line,
    };
    let (path, block) = match (each_line, each_block.as_slice()) {
        (Some(path), _) => (path, None),
        (None, [size, path]) => (path.into(), Some(block_bytes(size)?)),
        (None, _) => return Ok((Inputs::Files(plan.of_files(feed::files(each_file)?)?), choice)),
    };
    if block.is_some() && plan.has(Word::Line) {
        return Err(Problem::Usage(String::from(
            "a block has no {line}; {index} is its number, {name} the file's name",
        )));
    }
    let opened = Opened::open(path)?;
    let bytes_total = opened.bytes_total;
    if let Some(bytes) = block.filter(|bytes| bytes_total.is_none() && *bytes > RECORD_BYTES_MAX as u64) {
        return Err(Problem::Usage(format!(
            "--each-block: a block of {bytes} bytes from {}, which is not a plain file, would have to be kept in memory; \
             at most {} MiB",
            opened.name.display(),
            RECORD_BYTES_MAX >> 20
        )));
    }
    Ok((Inputs::Stream(Source::Stream(opened.items(ends, block), bytes_total)), choice))
}

fn block_bytes(size: &std::ffi::OsStr) -> Result<u64, Problem> {
    let parsed = weft_node::settings::parse_bytes(&size.to_string_lossy());
    let bytes = parsed.map_err(|error| {
        Problem::Usage(format!("--each-block: {error}; a size and a file, such as 16MiB big.log"))
    })?;
    if bytes == 0 {
        return Err(Problem::Usage(String::from("--each-block: a block of no bytes; such as 16MiB")));
    }
    Ok(bytes)
}

/// The files that run, in their order; what an earlier run left under the names of their outputs is gone then, unless
/// they are kept. Nothing is removed if one of the outputs would take the place of a file that is read.
fn chosen(files: Vec<Planned>, plan: &mut Plan, choice: Choice) -> Result<Source, Problem> {
    files.iter().try_for_each(|file| plan.note(file))?;
    let refusal = |file: &Planned| Some(format!("--out: {}: {}", file.label.shown(), plan.refusal(file)?));
    if let Some(text) = files.iter().find_map(refusal) {
        return Err(Problem::Usage(text));
    }
    let all = files.len();
    let mut left: Vec<Planned> = Vec::with_capacity(all);
    for mut file in files {
        if !plan.is_done(&mut file) {
            left.push(file);
        }
    }
    let kept = (all - left.len()) as u64;
    if choice.shuf {
        left = choice.draw(left.into_iter().map(Ok))?;
    } else {
        left.truncate(usize::try_from(choice.count_of(left.len() as u64)).unwrap_or(usize::MAX));
    }
    left.iter_mut().try_for_each(|file| plan.clear(file))?;
    Ok(Source::Files(left, kept))
}

/// One job under way.
struct Session {
    mesh: Mesh,
    feed: Arc<Feed>,
    sink: Sink,
    progress: Progress,
    /// Until the first result.
    stage: Option<StageWatch>,
    workers: BTreeSet<String>,
    /// Failures are in the data already.
    quiet: bool,
    /// Each result must have a good receipt.
    receipts: bool,
    /// Tasks that left files which are not taken.
    left_files: u64,
    /// With more failed tasks the job is cancelled.
    max_failures: Option<u64>,
    /// It was cancelled for that.
    gave_up: bool,
    /// Whether outcomes wait for room on this machine.
    shortage: Shortage,
    /// The job's id.
    job: String,
}

impl Session {
    async fn run(mut self, mut results: Map, interrupt: &Interrupt) -> Result<u8, Problem> {
        // Whatever is under way when the interrupt comes is dropped, a write that waits for its reader too.
        let ended = tokio::select! {
            biased;
            () = interrupt.came() => None,
            ended = self.drive(&mut results) => Some(ended),
        };
        match ended {
            Some(ended) => self.sink.end(ended).await.and_then(|()| self.end()),
            None => self.interrupted(&results).await,
        }
    }

    /// Takes results until there are no more, and gives them out.
    async fn drive(&mut self, results: &mut Map) -> Result<(), Problem> {
        let mut clock = tokio::time::interval(TICK);
        loop {
            // What is there already is taken without a pause; only a wait gives the reader what it has so far.
            if let Some(item) = results.next().now_or_never() {
                let Some(item) = item else { break };
                self.take(item?).await?;
                self.give_up(results).await?;
                continue;
            }
            if !self.sink.is_flushed() {
                self.sink.flush().await?;
            }
            tokio::select! {
                item = results.next() => {
                    let Some(item) = item else { break };
                    self.take(item?).await?;
                    self.give_up(results).await?;
                }
                _ = clock.tick() => {
                    self.progress.at(self.stage.as_ref().and_then(StageWatch::text));
                    self.progress.tick(self.feed.total());
                }
                text = self.shortage.news(&self.mesh) => self.progress.aside(|| say(&text)),
            }
        }
        self.sink.flush().await
    }

    async fn take(&mut self, result: TaskResult) -> Result<(), Problem> {
        self.stage = None;
        let place = result.index;
        let label = self.feed.take_label(place);
        let result = TaskResult { index: label.number, ..result };
        if self.receipts && result.worker.is_some() && result.outcome != Outcome::Cancelled {
            receipt::of_result(&result, true)?;
        }
        self.left_files += u64::from(self.sink.is_ordered() && result.archive.bytes_len() > 0);
        if let Some(worker) = &result.worker
            && self.workers.len() < WORKERS_MAX
            && !self.workers.contains(worker)
        {
            self.workers.insert(worker.clone());
        }
        let (is_done, was_known) = (result.is_done(), result.memo);
        if result.outcome == Outcome::Cancelled {
            self.progress.count_cancelled();
        } else if !is_done {
            self.progress.count(false, was_known);
            self.complain(&result, &label).await;
        }
        let written = self.sink.take(&self.mesh, &self.feed, place, &label, result).await;
        match written {
            Ok(()) if is_done => self.progress.count(true, was_known),
            Ok(()) => {}
            Err(Unwritten::This(reason)) => {
                self.progress.count(false, was_known);
                self.tell(|| format!("{}: {reason}", label.shown()));
            }
            Err(Unwritten::All(problem)) => return Err(problem),
        }
        Ok(())
    }

    async fn complain(&self, result: &TaskResult, label: &Label) {
        if self.quiet || self.progress.failed() > COMPLAINTS_MAX + 1 {
            return;
        }
        let text = outcome::complaint(&self.mesh, result, &label.shown()).await;
        self.tell(|| text);
    }

    /// Says what became of the task that failed last.
    fn tell(&self, text: impl FnOnce() -> String) {
        let failed = self.progress.failed();
        if self.quiet {
            return;
        }
        if failed <= COMPLAINTS_MAX {
            self.progress.aside(|| say(&text()));
        } else if failed == COMPLAINTS_MAX + 1 {
            self.progress.aside(|| say("more tasks failed; --json tells about each of them"));
        }
    }

    /// Cancels the job once too many tasks failed. The node counts too, but not the inputs that could not be read.
    async fn give_up(&mut self, results: &Map) -> Result<(), Problem> {
        let most = self.max_failures.unwrap_or(u64::MAX);
        if self.gave_up || self.progress.failed() <= most {
            return Ok(());
        }
        self.gave_up = true;
        Ok(results.cancel().await?)
    }

    fn end(self) -> Result<u8, Problem> {
        let (failed, cancelled) = (self.progress.failed(), self.progress.cancelled());
        self.progress.finish(self.workers.len());
        if self.left_files > 0 {
            say(&format!("{} tasks left files in /out: --out DIR takes them", self.left_files));
        }
        if self.feed.kept() > 0 {
            say(&format!("{} outputs were there already and were kept, see --resume", self.feed.kept()));
        }
        match self.feed.take_problem() {
            Some(problem) => Err(problem),
            None if cancelled > 0 || self.gave_up => {
                stopped((&self.job, self.max_failures), failed, cancelled)
            }
            None => Ok(u8::try_from(failed.min(FAILED_MAX)).unwrap_or(u8::MAX)),
        }
    }

    async fn interrupted(mut self, results: &Map) -> Result<u8, Problem> {
        // The node hears of it by the closing connection too, should this take too long.
        drop(tokio::time::timeout(CANCEL_WAIT, results.cancel()).await);
        let problem = Problem::Interrupted(format!("interrupted; job {} is cancelled", results.job()));
        let ended = self.sink.end(Err(problem)).await;
        self.progress.finish(self.workers.len());
        ended
    }
}

/// The job ended before its tasks had: it was cancelled, or more of them failed than it allows.
fn stopped((job, failures_max): (&str, Option<u64>), failed: u64, cancelled: u64) -> Result<u8, Problem> {
    match failures_max {
        Some(most) if failed > most => {
            say(&format!(
                "more than {most} tasks failed, so the rest was cancelled or not begun; see --max-failures"
            ));
            Ok(u8::try_from(failed.min(FAILED_MAX)).unwrap_or(u8::MAX))
        }
        Some(_) | None => Err(Problem::Interrupted(format!(
            "job {job} was cancelled before {cancelled} of its tasks had ended"
        ))),
    }
}
