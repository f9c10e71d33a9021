//! `weft flow`: a file of steps, each of which is a job that may take the results of other steps. Here is what each verb does; a run is in
//! `run.rs`. A flow is its jobs: they carry its name, the step's name and hashes of what decides the results as labels, and no other
//! record is kept of it.

mod content;
mod file;
mod graph;
mod jobs;
mod plan;
mod ready;
mod run;
mod status;
mod words;

use std::collections::BTreeSet;
use std::path::PathBuf;

use weft_client::Mesh;
use weft_node::counts::counted;

use super::{Problem, why};
use crate::cli::{
    FlowArgs, FlowFile, FlowForgetArgs, FlowName, FlowPlanArgs, FlowRetryArgs, FlowWay, FlowWhyArgs, WhyArgs,
};
use crate::render::{say, short};
use file::Flow;
use jobs::Named;
use plan::{Chosen, Planned};

/// Labels that are for `weft flow` itself.
pub(super) const HIDDEN_LABELS: [&str; 2] = [content::CONTENT, content::PARTS];

/// Does what the command line says about a flow.
pub(crate) async fn flow(data_dir: Option<PathBuf>, args: FlowArgs) -> Result<u8, Problem> {
    let connect = async || super::connect(data_dir).await;
    match args.way {
        FlowWay::Check(args) => check(&args),
        FlowWay::Plan(args) => show_plan(connect, &args, false).await,
        FlowWay::Run(args) if args.dry_run => show_plan(connect, &args.plan, args.keep_going).await,
        FlowWay::Run(args) => run::run(connect, args).await,
        FlowWay::Status(args) => {
            let named = Named::of(&args.flow)?;
            status::show(&named, &named.jobs(&connect().await?).await?, args.json).map(|()| 0)
        }
        FlowWay::Why(args) => show_why(&connect().await?, args).await,
        FlowWay::Retry(args) => retry(&connect().await?, &args).await,
        FlowWay::Cancel(args) => cancel(&connect().await?, &args).await,
        FlowWay::Forget(args) => forget(&connect().await?, &args).await,
    }
}

/// Reads the flow and all that its steps name; makes each step's job as far as that needs no node.
fn check(args: &FlowFile) -> Result<u8, Problem> {
    let flow = Flow::read(&args.file)?;
    for step in graph::ordered(&flow)? {
        let draft = ready::drafted(&flow, step)?;
        if draft.is_map() {
            drop(draft.inputs().map_err(|problem| flow.wrong(step, problem))?);
        }
    }
    say(&format!(
        "{}: flow {} is right, with {}",
        flow.path.display(),
        flow.name,
        counted(flow.steps.len() as u64, "step")
    ));
    Ok(0)
}

async fn show_plan(
    connect: impl AsyncFnOnce() -> Result<Mesh, Problem>,
    args: &FlowPlanArgs,
    keep_going: bool,
) -> Result<u8, Problem> {
    let flow = Flow::read(&args.file.file)?;
    let (_mesh, plan) = planned(connect, &flow, args, keep_going).await?;
    plan::show(&plan, args.json).map(|()| 0)
}

/// What becomes of each step. What is wrong on this machine is told before a node is asked.
async fn planned<'a>(
    connect: impl AsyncFnOnce() -> Result<Mesh, Problem>,
    flow: &'a Flow,
    args: &'a FlowPlanArgs,
    keep_going: bool,
) -> Result<(Mesh, Vec<Planned<'a>>), Problem> {
    let chosen = Chosen { from: args.from.as_deref(), only: args.only.as_deref(), keep_going };
    let mut steps = Vec::new();
    for step in plan::chosen(flow, &graph::ordered(flow)?, chosen)? {
        steps.push(ready::Ready::read(flow, step).await?);
    }
    let mesh = connect().await?;
    let earlier = jobs::newest(jobs::own(&mesh, &flow.name).await?);
    Ok((mesh, plan::plan(steps, &earlier, chosen)))
}

/// Why a step, or an item of it, is where it is.
async fn show_why(mesh: &Mesh, args: FlowWhyArgs) -> Result<u8, Problem> {
    let FlowWhyArgs { step, flow, json } = args;
    let (step, item) = match step.split_once('/') {
        Some((step, item)) => (step, format!("/{item}")),
        None => (step.as_str(), String::new()),
    };
    let named = Named::of(&flow)?;
    let jobs = jobs::newest(named.jobs(mesh).await?);
    let Some(job) = jobs.get(step) else {
        let known: BTreeSet<&str> = named.steps().chain(jobs.keys().map(String::as_str)).collect();
        let known: Vec<&str> = known.into_iter().collect();
        let text = match known.contains(&step) {
            true => format!(
                "step {step} of flow {} has no job: it never ran, or its results are forgotten",
                named.name
            ),
            false => format!("flow {} has no step {step}{}", named.name, words::nearest(step, &known)),
        };
        return Err(Problem::Failed(text));
    };
    why::why(mesh, &WhyArgs { task: format!("{}{item}", job.job), json }).await
}

/// Runs again what failed, was skipped or was cancelled.
async fn retry(mesh: &Mesh, args: &FlowRetryArgs) -> Result<u8, Problem> {
    let named = Named::of(&args.flow.flow)?;
    let mut steps = jobs::in_order(jobs::newest(named.jobs(mesh).await?));
    let mut again = 0;
    for (step, job) in &mut steps {
        if job.state.has_ended() && job.state != weft_client::JobState::Done {
            *job = run::again(mesh, step, job).await?;
            again += 1;
        }
    }
    if again == 0 {
        say(&format!("flow {}: no step has failed, nothing to retry", named.name));
    }
    if args.no_wait {
        return Ok(0);
    }
    let ended = run::wait(mesh, steps, &args.flow.flow).await?;
    if args.flow.json {
        status::json(&ended)?;
    }
    run::exit_code(&ended)
}

async fn cancel(mesh: &Mesh, args: &FlowName) -> Result<u8, Problem> {
    let named = Named::of(&args.flow)?;
    let all = named.jobs(mesh).await?;
    let open: Vec<_> = all.into_iter().filter(|job| !job.state.has_ended()).collect();
    // What takes results first, so that nothing is skipped for want of them.
    for job in open.iter().rev() {
        mesh.cancel(&job.job).await?;
    }
    say(&format!("flow {}: {} cancelled", named.name, counted(open.len() as u64, "job")));
    if args.json {
        status::show(&named, &named.jobs(mesh).await?, true)?;
    }
    Ok(0)
}

async fn forget(mesh: &Mesh, args: &FlowForgetArgs) -> Result<u8, Problem> {
    let FlowForgetArgs { flow: FlowName { flow, json }, old } = args;
    let named = Named::of(flow)?;
    let mut all = named.jobs(mesh).await?;
    if *old {
        let newest = jobs::newest(all.clone());
        all.retain(|job| !newest.values().any(|kept| kept.job == job.job));
    }
    if let Some(open) = all.iter().find(|job| !job.state.has_ended()) {
        let step = jobs::step_of(open);
        return Err(Problem::Failed(format!(
            "step {step} of flow {} has not ended: `weft cancel {}` ends it, `weft flow cancel` all of the flow",
            named.name,
            short(&open.job)
        )));
    }
    for job in all.iter().rev() {
        mesh.forget(&job.job).await?;
    }
    say(&format!("flow {}: {} forgotten, with all results", named.name, counted(all.len() as u64, "job")));
    if *json {
        status::json(&jobs::named_steps(all))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use weft_client::{JobState, api};

    use super::*;

    /// The flow of that text without its head.
    #[expect(clippy::unwrap_in_result, reason = "a test may panic")]
    pub(super) fn flow_text(dir: &Path, steps: &str) -> Result<Flow, Problem> {
        let path = dir.join("flow.toml");
        std::fs::write(&path, format!("[flow]\nname = 'f'\n{steps}")).unwrap();
        Flow::read(&path)
    }

    pub(super) fn flow_in(dir: &Path, steps: &str) -> Flow {
        flow_text(dir, steps).unwrap()
    }

    /// The same, of which no file is there.
    pub(super) fn flow(steps: &str) -> Flow {
        flow_in(tempfile::tempdir().unwrap().path(), steps)
    }

    pub(super) fn job(id: &str, state: JobState, tasks: u32) -> api::Job {
        let done = if state == JobState::Done { tasks } else { 0 };
        let job = serde_json::json!({
            "job": id, "state": state, "detached": true, "cancelled_by_user": false, "class": "batch", "module": "",
            "tasks": tasks, "queued": 0, "leased": 0, "done": done, "failed": 0, "cancelled": 0, "retried": 0, "elapsed_ms": 1,
        });
        serde_json::from_value(job).unwrap()
    }
}
