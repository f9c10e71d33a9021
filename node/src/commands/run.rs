//! `weft run`: one task, whose stdin, stdout, stderr and exit code become ours.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use weft_client::api::TaskState;
use weft_client::{Existing, Input, Level, Map, Mesh, Outcome, TaskResult, Told};

use super::interrupt::Interrupt;
use super::live::Live;
use super::out::Out;
use super::outcome::{self, ResultLine};
use super::shortage::Shortage;
use super::why::at_work;
use super::{Problem, kept, receipt, spool, task_of};
use crate::cli::RunArgs;
use crate::render;

/// Time without a result after which the wait is explained.
const EXPLAIN_AFTER: Duration = Duration::from_secs(3);

/// Runs the task and returns its exit code.
pub(crate) async fn run(data_dir: &Path, args: RunArgs) -> Result<u8, Problem> {
    let interrupt = Interrupt::listen()?;
    let mut live = Live::new(args.raw);
    let is_kept = args.keep.level.is_some_and(|level| level != Level::Memory);
    let begun = OnceLock::new();
    // Whatever the interrupt finds under way is dropped, which cancels the task if it has not ended and is not kept.
    let code = tokio::select! {
        code = Box::pin(run_to_its_end(data_dir, args, &mut live, &begun)) => code,
        () = interrupt.came() => Err(match begun.get().filter(|_| is_kept) {
            Some(job) => {
                let id = render::short(job);
                Problem::Interrupted(format!(
                    "interrupted; job {job} goes on: `weft attach {id}` shows its result, `weft cancel {id}` ends it"
                ))
            }
            None => kept::unbegun(is_kept, "the task is cancelled"),
        }),
    };
    if code.is_err() {
        live.stop().await;
    }
    code
}

/// Runs the task; `begun` is told the job's id.
async fn run_to_its_end(
    data_dir: &Path,
    args: RunArgs,
    live: &mut Live,
    begun: &OnceLock<String>,
) -> Result<u8, Problem> {
    let RunArgs { module, task, stdin, out, force, receipt, json, raw: _, args, keep } = args;
    if let Some(dir) = &out {
        check_empty(dir, force)?;
    }
    let task = kept::keep(task_of(&module, task, args)?, keep)?;
    let task = if receipt { task.receipts() } else { task };
    let task = if json { task } else { task.streamed() };
    let mesh = Mesh::connect_in(data_dir).await?;
    let stdin = stdin_of(stdin, data_dir).await?;
    let told = mesh.map(&task, futures::stream::iter([stdin])).await?;
    begun.get_or_init(|| told.job().to_owned());
    let result = result_of(&mesh, told, live).await?;
    if json {
        print_line(&result).await?;
    } else {
        Box::pin(show(&mesh, &result, live)).await?;
        // The receipt says it in full.
        receipt::contradiction(&result).filter(|_| !receipt).iter().for_each(|text| render::say(text));
    }
    take_files(&mesh, &result, out.as_deref(), json).await?;
    if receipt {
        receipt::of_result(&result, json)?;
    }
    Ok(outcome::exit_code(&result.outcome))
}

/// A directory for results must not hold others: what is found in it later would be of two tasks.
pub(crate) fn check_empty(dir: &Path, force: bool) -> Result<(), Problem> {
    let is_empty = std::fs::read_dir(dir).map(|mut found| found.next().is_none());
    match is_empty {
        Ok(false) if !force => {
            let text = format!(
                "--out: {} is not empty; name another directory, or pass --force to write over files in it",
                dir.display()
            );
            Err(Problem::Usage(text))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Problem::File { action: "write into", path: dir.to_owned(), source }),
    }
}

/// Waits for the task's end and shows what it prints meanwhile; says so when no node has taken it after a while.
async fn result_of(mesh: &Mesh, mut told: Map, live: &mut Live) -> Result<TaskResult, Problem> {
    let job = told.job().to_owned();
    let (mut said, mut shortage) = (None, Shortage::new());
    let mut next = loop {
        match tokio::time::timeout(EXPLAIN_AFTER, next_told(mesh, &mut told, &mut shortage)).await {
            Ok(first) => break first,
            Err(_late) => explain(mesh, &job, &mut said).await,
        }
    };
    let mut ended = None;
    // The job's end comes behind its result; to leave before it would look like giving up.
    while let Some(event) = next {
        match event? {
            Told::Printed(printed) => live.take(&printed).await?,
            Told::Ended(result) => ended = Some(*result),
        }
        next = next_told(mesh, &mut told, &mut shortage).await;
    }
    ended.ok_or_else(|| Problem::Failed(format!("job {job} ended without a result; see the log of the node")))
}

/// The next thing that the node tells; says meanwhile if the result waits for room on this machine.
async fn next_told(
    mesh: &Mesh,
    told: &mut Map,
    shortage: &mut Shortage,
) -> Option<Result<Told, weft_client::Error>> {
    loop {
        tokio::select! {
            event = told.next_told() => return event,
            text = shortage.news(mesh) => render::say(&text),
        }
    }
}

/// Says where the task is, unless that was said already. What a worker is at is for people who watch.
async fn explain(mesh: &Mesh, job: &str, said: &mut Option<String>) {
    // Without an answer the wait is not explained.
    let Ok(why) = mesh.why(job, Some(0)).await else { return };
    let text = if matches!(why.task, TaskState::Queued { .. }) {
        Some(format!("no node has taken the task yet; `weft why {}` says why", render::short(job)))
    } else {
        let at = at_work(&why.task).filter(|_| io::stderr().is_terminal());
        at.map(|at| format!("the task: {at}"))
    };
    if text.is_some() && text != *said {
        text.iter().for_each(|text| render::say(text));
        *said = text;
    }
}

async fn print_line(result: &TaskResult) -> Result<(), Problem> {
    let mut out = Out::stdout(None, true);
    out.put(render::json_line(&ResultLine::of(result))?.as_bytes()).await?;
    out.all().await
}

/// Shows what was not shown while the task ran, and how it ended unless its exit code says that.
async fn show(mesh: &Mesh, result: &TaskResult, live: &mut Live) -> Result<(), Problem> {
    let was_stopped = result.exit_code().is_none();
    live.finish(mesh, &result.output, &result.errors, was_stopped).await?;
    if let Some(word) = result.recalled {
        render::say(&format!("from memory, computed by {} {word}", computer(mesh, result).await));
    }
    if !result.is_done() && !is_plain_exit(result) {
        render::say(&format!("the task {}", outcome::words(&result.outcome)));
    }
    Ok(())
}

/// The name of the node that computed a result, or its id where it is not known here.
async fn computer(mesh: &Mesh, result: &TaskResult) -> String {
    let Some(id) = &result.worker else { return String::from("an unknown node") };
    if let Ok(status) = mesh.status().await
        && status.peer == *id
    {
        return status.name;
    }
    let peers = mesh.peers().await.unwrap_or_default();
    let named = peers.into_iter().find(|peer| peer.peer == *id).map(|peer| peer.name);
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| render::short(id))
}

/// Unpacks what the task left in `/out`, or says that there is something.
async fn take_files(mesh: &Mesh, result: &TaskResult, out: Option<&Path>, json: bool) -> Result<(), Problem> {
    match out {
        Some(dir) => {
            // The directory was empty, or the user said that files in it may go.
            result.unpack(mesh, dir, Existing::Replace).await?;
        }
        None if result.archive.bytes_len() > 0 && !json => {
            let length = render::bytes(result.archive.bytes_len());
            render::say(&format!("the task left files in /out ({length} packed): --out DIR takes them"));
        }
        None => {}
    }
    Ok(())
}

/// Whether the command's own exit code says how it ended.
fn is_plain_exit(result: &TaskResult) -> bool {
    matches!(result.outcome, Outcome::Failed(weft_client::Failure::Exit { .. }))
}

/// The input of the task.
pub(crate) async fn stdin_of(given: Option<PathBuf>, data_dir: &Path) -> Result<Input, Problem> {
    match given {
        Some(path) if path.as_os_str() != "-" => Ok(Input::File(path)),
        None if io::stdin().is_terminal() => Ok(Input::default()),
        Some(_) | None => spool::read_stdin(data_dir).await,
    }
}
