//! How far each step of a flow is: a table, or JSON.

use weft_client::api;

use super::super::{Problem, jobs as listed};
use super::jobs::{Named, Steps, in_order, newest};
use crate::render::{Side, Table, json_line, millis, print};

/// Prints the newest job of each step. Steps that have none are in the table where the flow's file is named.
pub(crate) fn show(named: &Named, jobs: &[api::Job], is_json: bool) -> Result<(), Problem> {
    let steps = in_order(newest(jobs.to_vec()));
    if is_json {
        return json(&steps);
    }
    let mut table = Table::new(&[
        ("STEP", Side::Left),
        ("JOB", Side::Left),
        ("STATE", Side::Left),
        ("TASKS", Side::Right),
        ("DONE", Side::Right),
        ("FAILED", Side::Right),
        ("CANCELLED", Side::Right),
        ("TIME", Side::Right),
    ]);
    for (step, job) in &steps {
        table.row([
            step.clone(),
            job.job.clone(),
            listed::state(job).into(),
            job.tasks.to_string(),
            job.done.to_string(),
            job.failed.to_string(),
            job.cancelled.to_string(),
            millis(job.elapsed_ms),
        ]);
    }
    let dash = || String::from("-");
    for step in named.steps().filter(|name| !steps.iter().any(|(step, _)| step == name)) {
        table.row([step.to_owned(), dash(), "never run".into(), dash(), dash(), dash(), dash(), dash()]);
    }
    table.print()
}

/// One object a line: a step, and its job as `weft jobs --json` has it.
pub(crate) fn json(steps: &Steps) -> Result<(), Problem> {
    steps
        .iter()
        .try_for_each(|(step, job)| print(&json_line(&serde_json::json!({ "step": step, "job": job }))?))
}
