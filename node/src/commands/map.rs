//! `weft map`: one task per line, block or file. Inputs flow out and results flow in at the same time, both bounded.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_client::{Level, Map, Mesh, Task};

use super::choice::Choice;
use super::feed::{Ahead, Feed, Source};
use super::inputs::{Inputs, inputs_of};
use super::interrupt::Interrupt;
use super::joblog::{Joblog, Opening};
use super::out::Out;
use super::outdir::{Earlier, Held, OutDir};
use super::plan::{OutSpec, Plan, Planned};
use super::session::{Begun, Logs, Session, Stops};
use super::sink::Sink;
use super::sources::Sources;
use super::stage::StageWatch;
use super::tailor::Tailor;
use super::tally::Tally;
use super::{Problem, kept, task_of};
use crate::cli::{Halt, MapArgs, When};
use crate::render::{Progress, say};

/// Results that may wait for one before them, and so the inputs under way when the order is kept.
const WINDOW: usize = 4096;
/// Most inputs without a result where few are to wait.
const AHEAD_MAX: usize = 8192;

/// Runs the job; the exit code is the number of failed tasks.
pub(crate) async fn map(data_dir: &Path, args: MapArgs) -> Result<u8, Problem> {
    let MapArgs {
        module,
        inputs,
        mut task,
        out,
        force,
        joblog,
        resume,
        resume_failed,
        halt,
        tag,
        receipt,
        json,
        raw,
        keep,
        mut args,
    } = args;
    let max_failures = task.policy.max_failures.map(u64::from);
    let is_kept = keep.level.is_some_and(|level| level != Level::Memory);
    // A function has no arguments and files, its own or others; that is said where the task is made.
    let is_command = task.function.is_none();
    let tailor = is_command.then(|| Tailor::take(&mut task, &mut args, inputs.as_file)).flatten();
    let sources = Sources::of(&module, &task, &inputs)?;
    let task = kept::keep(task_of(&module, task, args)?, keep)?;
    let task = if receipt { task.receipts() } else { task };
    let task = if tailor.is_some() { task.parcels() } else { task };
    let out = out.as_deref().map(OutSpec::parse).transpose()?;
    let plan = Plan::new(out, tailor, tag, sources);
    let (inputs, choice) = inputs_of(inputs, &plan)?;
    let opening = match (force, resume, resume_failed) {
        (true, _, _) => Opening::Over,
        (false, _, true) => Opening::ResumeFailed,
        (false, true, false) => Opening::Resume,
        (false, false, false) => Opening::New,
    };
    let how = How { module, joblog, opening, halt, json, raw, receipt, max_failures, is_kept };
    let interrupt = Interrupt::listen()?;
    let (session, results) = tokio::select! {
        begun = Box::pin(begin(data_dir, &task, inputs, plan, choice, how)) => begun?,
        () = interrupt.came() => return Err(kept::unbegun(is_kept, "no job was begun")),
    };
    Box::pin(session.run(results, &interrupt)).await
}

/// What else the command line says.
#[derive(Clone, Debug)]
struct How {
    module: PathBuf,
    joblog: Option<PathBuf>,
    opening: Opening,
    halt: Option<Halt>,
    json: bool,
    raw: bool,
    receipt: bool,
    max_failures: Option<u64>,
    is_kept: bool,
}

/// Opens the directory for outputs and the joblog, and then the job.
async fn begin(
    data_dir: &Path,
    task: &Task,
    inputs: Inputs,
    plan: Plan,
    choice: Choice,
    how: How,
) -> Result<(Session, Map), Problem> {
    let How { module, joblog, opening, halt, json, raw, receipt, max_failures, is_kept } = how;
    let mesh = Mesh::connect_in(data_dir).await?;
    let earlier = match opening {
        Opening::New => Earlier::Refuse,
        Opening::Over => Earlier::Replace,
        Opening::Resume | Opening::ResumeFailed => Earlier::Keep,
    };
    let dir = plan.out.as_ref().map(|out| OutDir::open(out.dir.clone(), earlier)).transpose()?;
    let dir = dir.map(Held::new);
    let (joblog, plan) = match joblog {
        Some(path) => log_of(&path, opening, &module, plan)?,
        None => (None, plan),
    };
    let mut plan = plan.into_dir(dir.as_ref().map(|held| Arc::clone(held.dir())));
    let source = match inputs {
        Inputs::Stream(source) => source,
        Inputs::Files(files) => chosen(files, &mut plan, choice)?,
    };
    let open = match halt {
        Some(Halt { when: When::Soon, .. }) => Some(twice_the_slots(&mesh).await?),
        Some(Halt { when: When::Now, .. }) | None => None,
    };
    let ahead = Ahead { window: (dir.is_none() && !json).then_some(WINDOW), open };
    let (feed, inputs) = Feed::start(source, plan, choice, ahead);
    let results = mesh.map(task, inputs).await?;
    let job = results.job().to_owned();
    say(&format!("job {job}"));
    let progress = Progress::new(&job);
    let stage = Some(StageWatch::start(&mesh, &job));
    // JSON lines are safe to show as they are.
    let out = |raw| Out::stdout(progress.bar().filter(|_| std::io::stdout().is_terminal()), raw);
    let sink = match dir {
        Some(held) => Sink::files(held),
        None if json => Sink::lines(out(true)),
        None => Sink::ordered(out(raw)),
    };
    let stops = Stops { max_failures, halt };
    let tally = Tally::new(progress, json);
    let logs = Logs { joblog, receipts: receipt };
    Ok((Session::new(Begun { mesh, feed, sink, tally, stage, job, is_kept }, logs, stops), results))
}

/// Opens the joblog, which the plan then knows.
fn log_of(
    path: &Path,
    opening: Opening,
    module: &Path,
    plan: Plan,
) -> Result<(Option<Joblog>, Plan), Problem> {
    if plan.reads(path) {
        let text = format!("--joblog: {} is a file that this map reads; name another one", path.display());
        return Err(Problem::Usage(text));
    }
    let (joblog, earlier) = Joblog::open(path, opening, module)?;
    Ok((Some(joblog), plan.with_log(earlier)))
}

/// How many inputs keep the mesh busy, with few of them waiting.
async fn twice_the_slots(mesh: &Mesh) -> Result<usize, Problem> {
    let own = mesh.status().await?.slots;
    let others =
        mesh.peers().await?.into_iter().filter(|peer| peer.connected).map(|peer| u64::from(peer.slots));
    let slots = u64::from(own) + others.sum::<u64>();
    Ok(usize::try_from(2 * slots.max(1)).unwrap_or(usize::MAX).min(AHEAD_MAX))
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
    let mut left = choice.of(left)?;
    left.iter_mut().try_for_each(|file| plan.clear(file))?;
    Ok(Source::Files(left, kept))
}
