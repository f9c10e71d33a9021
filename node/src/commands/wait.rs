//! `weft wait`: to the end of a job.

use weft_client::{Job, Mesh, api};
use weft_node::counts::counted;

use super::interrupt::Interrupt;
use super::{Problem, kept};
use crate::cli::WaitArgs;
use crate::render::{print_json, say, short};

/// Waits; the exit code is that of a map.
pub(crate) async fn wait(mesh: &Mesh, args: &WaitArgs) -> Result<u8, Problem> {
    let interrupt = Interrupt::listen()?;
    let job = Job::of(mesh, &kept::find_to_wait(mesh, &args.job).await?);
    let ended = tokio::select! {
        ended = job.wait() => ended?,
        () = interrupt.came() => {
            let text = format!("interrupted; job {} goes on: `weft wait {}` waits again", job.id(), short(job.id()));
            return Err(Problem::Interrupted(text));
        }
    };
    if args.json {
        print_json(&ended)?;
    }
    kept::say_restarted(&ended);
    say(&figures(&ended));
    kept::exit_code(&ended)
}

/// How a job ended, in numbers.
fn figures(job: &api::Job) -> String {
    let tasks = counted(job.tasks.into(), "task");
    let cancelled = if job.cancelled == 0 { String::new() } else { format!(", {} cancelled", job.cancelled) };
    format!("job {}: {tasks}: {} done, {} failed{cancelled}", job.job, job.done, job.failed)
}
