//! `weft run`: one task, whose stdin, stdout, stderr and exit code become ours.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use weft_client::api::TaskState;
use weft_client::{Input, Mesh, Output, Task, TaskResult};

use super::outcome::{self, ResultLine};
use super::spool::{self, Stdin};
use super::{Problem, task_of};
use crate::cli::RunArgs;
use crate::render;

/// After so long without a result the wait is explained.
const EXPLAIN_AFTER: Duration = Duration::from_secs(3);

/// Runs the task and returns the exit code that speaks of it.
pub(crate) async fn run(data_dir: &Path, args: RunArgs) -> Result<u8, Problem> {
    let RunArgs { module, task, stdin, json, args } = args;
    let task = task_of(&module, task, args)?;
    let mesh = Mesh::connect_in(data_dir).await?;
    let work = async {
        let stdin = stdin_of(stdin, data_dir).await?;
        let result = result_of(&mesh, &task, stdin.input()).await?;
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
        print_streams(&mesh, &result).await?;
    }
    Ok(outcome::exit_code(&result.outcome))
}

/// Waits for the task's end; says so when nobody has taken it after a while.
async fn result_of(mesh: &Mesh, task: &Task, input: Input) -> Result<TaskResult, Problem> {
    let mut results = mesh.map(task, futures::stream::iter([input])).await?;
    let job = results.job().to_owned();
    let first = match tokio::time::timeout(EXPLAIN_AFTER, results.next()).await {
        Ok(first) => first,
        Err(_late) => {
            explain(mesh, &job).await;
            results.next().await
        }
    };
    // The job's end comes behind its result; to leave before it would look like giving up.
    while results.next().await.is_some() {}
    match first {
        Some(result) => Ok(result?),
        None => Err(Problem::Failed(format!("job {job} ended without a result; see the log of the node"))),
    }
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

async fn print_streams(mesh: &Mesh, result: &TaskResult) -> Result<(), Problem> {
    let errors = fetch_errors(mesh, &result.errors).await;
    // A stderr that is gone takes no words, and that is no reason to lose the output.
    drop(io::stderr().write_all(&errors));
    super::sink::copy_to_stdout(mesh, &result.output).await?;
    if !result.is_done() && !is_plain_exit(result) {
        render::say(&format!("the task {}", outcome::words(&result.outcome)));
    }
    Ok(())
}

async fn fetch_errors(mesh: &Mesh, errors: &Output) -> Vec<u8> {
    match errors.fetch(mesh).await {
        Ok(bytes) => bytes.to_vec(),
        Err(error) => format!("weft: the task's stderr is lost: {error}\n").into_bytes(),
    }
}

/// A command's own exit code speaks for itself.
fn is_plain_exit(result: &TaskResult) -> bool {
    matches!(result.outcome, weft_client::Outcome::Failed(weft_client::Failure::Exit { .. }))
}

async fn stdin_of(given: Option<PathBuf>, data_dir: &Path) -> Result<Stdin, Problem> {
    match given {
        Some(path) if path.as_os_str() != "-" => Ok(Input::File(path).into()),
        None if io::stdin().is_terminal() => Ok(Input::default().into()),
        Some(_) | None => spool::read_stdin(data_dir).await,
    }
}
