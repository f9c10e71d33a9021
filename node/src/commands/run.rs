//! `weft run`: one task, whose stdin, stdout, stderr and exit code become ours.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use weft_client::api::TaskState;
use weft_client::{Existing, Input, Mesh, Outcome, Task, TaskResult, Told};

use super::live::Live;
use super::outcome::{self, ResultLine};
use super::spool::{self, Stdin};
use super::{Problem, receipt, task_of};
use crate::cli::RunArgs;
use crate::render;

/// After so long without a result the wait is explained.
const EXPLAIN_AFTER: Duration = Duration::from_secs(3);

/// Runs the task and returns the exit code that speaks of it.
pub(crate) async fn run(data_dir: &Path, args: RunArgs) -> Result<u8, Problem> {
    let RunArgs { module, task, stdin, out, force, receipt, json, args } = args;
    if let Some(dir) = &out {
        check_empty(dir, force)?;
    }
    let task = task_of(&module, task, args)?;
    let task = if receipt { task.receipts() } else { task };
    let task = if json { task } else { task.streamed() };
    let mesh = Mesh::connect_in(data_dir).await?;
    let mut live = Live::default();
    let work = async {
        let stdin = stdin_of(stdin, data_dir).await?;
        let result = result_of(&mesh, &task, stdin.input(), &mut live).await?;
        drop(stdin);
        Ok(result)
    };
    // Whatever the interrupt finds under way is dropped, which cancels the task.
    let result = tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Err(Problem::Interrupted("interrupted; the task is cancelled".into())),
    }?;
    if json {
        print_line(&result)?;
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
fn check_empty(dir: &Path, force: bool) -> Result<(), Problem> {
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

/// Waits for the task's end and shows what it prints meanwhile; says so when nobody has taken it after a while.
async fn result_of(mesh: &Mesh, task: &Task, input: Input, live: &mut Live) -> Result<TaskResult, Problem> {
    let mut told = mesh.map(task, futures::stream::iter([input])).await?;
    let job = told.job().to_owned();
    let mut next = match tokio::time::timeout(EXPLAIN_AFTER, told.next_told()).await {
        Ok(first) => first,
        Err(_late) => {
            explain(mesh, &job).await;
            told.next_told().await
        }
    };
    let mut ended = None;
    // The job's end comes behind its result; to leave before it would look like giving up.
    while let Some(event) = next {
        match event? {
            Told::Printed(printed) => live.take(&printed)?,
            Told::Ended(result) => ended = Some(*result),
        }
        next = told.next_told().await;
    }
    ended.ok_or_else(|| Problem::Failed(format!("job {job} ended without a result; see the log of the node")))
}

async fn explain(mesh: &Mesh, job: &str) {
    // This is a kindness: whether it can be answered changes nothing.
    if let Ok(why) = mesh.why(job, Some(0)).await
        && matches!(why.task, TaskState::Queued { .. })
    {
        render::say(&format!("no node has taken the task yet; `weft why {}` says why", render::short(job)));
    }
}

fn print_line(result: &TaskResult) -> Result<(), Problem> {
    let line =
        serde_json::to_string(&ResultLine::of(result)).map_err(|error| Problem::Failed(error.to_string()))?;
    render::print(&format!("{line}\n"))
}

/// Shows what was not shown while the task ran, and how it ended where that is not plain.
async fn show(mesh: &Mesh, result: &TaskResult, mut live: Live) -> Result<(), Problem> {
    let was_stopped = match result.outcome {
        Outcome::Done | Outcome::Failed(_) => false,
        Outcome::Trapped { .. }
        | Outcome::Limit { .. }
        | Outcome::Invalid { .. }
        | Outcome::Cancelled
        | Outcome::Lost { .. }
        | Outcome::Expired { .. }
        | Outcome::Skipped { .. } => true,
    };
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

/// A command's own exit code speaks for itself.
fn is_plain_exit(result: &TaskResult) -> bool {
    matches!(result.outcome, Outcome::Failed(weft_client::Failure::Exit { .. }))
}

async fn stdin_of(given: Option<PathBuf>, data_dir: &Path) -> Result<Stdin, Problem> {
    match given {
        Some(path) if path.as_os_str() != "-" => Ok(Input::File(path).into()),
        None if io::stdin().is_terminal() => Ok(Input::default().into()),
        Some(_) | None => spool::read_stdin(data_dir).await,
    }
}
