//! `weft jobs`: the jobs that were submitted to the local node.

use weft_client::{Mesh, api};

use super::Problem;
use crate::cli::ShowArgs;
use crate::render::{Side, Table, millis, print_json, say, short};

/// Prints the jobs, oldest first.
pub(crate) async fn jobs(mesh: &Mesh, args: &ShowArgs) -> Result<u8, Problem> {
    let jobs = mesh.jobs().await?;
    if args.json {
        return print_json(&jobs).map(|()| 0);
    }
    if jobs.is_empty() {
        say("no jobs: `weft run` and `weft map` make some");
        return Ok(0);
    }
    let mut table = Table::new(&[
        ("JOB", Side::Left),
        ("STATE", Side::Left),
        ("CLASS", Side::Left),
        ("TASKS", Side::Right),
        ("QUEUED", Side::Right),
        ("LEASED", Side::Right),
        ("DONE", Side::Right),
        ("FAILED", Side::Right),
        ("CANCELLED", Side::Right),
        ("RETRIED", Side::Right),
        ("TIME", Side::Right),
        ("MODULE", Side::Left),
    ])
    .fitted(&["CANCELLED", "RETRIED", "MODULE", "CLASS", "QUEUED", "LEASED"]);
    for job in &jobs {
        table.row([
            job.job.clone(),
            state(job).into(),
            job.class.to_string(),
            job.tasks.to_string(),
            (job.queued + job.delayed + job.held).to_string(),
            job.leased.to_string(),
            job.done.to_string(),
            job.failed.to_string(),
            job.cancelled.to_string(),
            job.retried.to_string(),
            millis(job.elapsed_ms),
            if job.module.is_empty() { "-".into() } else { short(&job.module) },
        ]);
    }
    table.print().map(|()| 0)
}

fn state(job: &api::Job) -> &'static str {
    if job.given_up {
        return "given up";
    }
    match (job.state, job.cancelled_by_user) {
        (api::JobState::Ended, true) => "cancelled",
        (api::JobState::Open | api::JobState::Running, true) => "cancelling",
        (api::JobState::Open | api::JobState::Running, false) if job.held > 0 => "after others",
        (api::JobState::Open, false) => "open",
        (api::JobState::Running, false) => "running",
        (api::JobState::Ended, false) if job.tasks > 0 && job.skipped == job.tasks => "skipped",
        (api::JobState::Ended, false) => "ended",
    }
}
