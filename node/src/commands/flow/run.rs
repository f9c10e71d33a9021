//! `weft flow run`: hands in what is to run, each step as a job, and waits for the end of all of them. The jobs are the flow: when this
//! process ends they go on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use weft_client::{Input, Job, Level, Mesh, Task, api};
use weft_node::counts::counted;

use super::super::interrupt::Interrupt;
use super::super::run::check_empty;
use super::super::{Problem, kept, results};
use super::file::{Flow, Inputs, Step};
use super::jobs::Steps;
use super::plan::{Decision, Planned, written};
use super::{planned, status};
use crate::cli::{FlowRunArgs, ResultsArgs, ShowResultsArgs};
use crate::render::{millis, say, short};

/// Jobs whose ends are waited for at once, each with a connection of its own to the node.
const WAITS_MAX: usize = 16;

/// Runs the flow to its end, or hands it in.
pub(crate) async fn run(
    connect: impl AsyncFnOnce() -> Result<Mesh, Problem>,
    args: FlowRunArgs,
) -> Result<u8, Problem> {
    let FlowRunArgs { plan: what, dry_run: _, keep_going, out, force, no_wait, level } = args;
    let flow = Flow::read(&what.file.file)?;
    let (mesh, plan) = planned(connect, &flow, &what, keep_going).await?;
    let last = last_steps(&plan);
    if let Some(dir) = &out {
        last.iter().try_for_each(|step| check_empty(&dir.join(step), force))?;
    }
    let chosen = level;
    let (level, lack) = match chosen {
        Some(Level::Memory) => return Err(Problem::Usage(String::from("--level: expected disk or mesh"))),
        Some(level) => (level, None),
        None => kept::best_level(&mesh).await?,
    };
    let beginning = Beginning { mesh: &mesh, flow: &flow, level, is_chosen: chosen.is_some(), keep_going };
    let steps = beginning.all(&plan, lack).await?;
    if no_wait {
        return if what.json { status::json(&steps).map(|()| 0) } else { Ok(0) };
    }
    let ended = wait(&mesh, steps, &what.file.file.display().to_string()).await?;
    if what.json {
        status::json(&ended)?;
    }
    let code = exit_code(&ended);
    show_results(&mesh, &ended, &last, out.as_deref().map(|dir| Out { dir, force })).await?;
    code
}

/// The steps of which no other one takes results.
fn last_steps(plan: &[Planned<'_>]) -> Vec<String> {
    let is_taken =
        |name: &str| plan.iter().any(|other| other.ready.step.parents().iter().any(|parent| parent == name));
    plan.iter().map(Planned::name).filter(|name| !is_taken(name)).map(str::to_owned).collect()
}

/// Where the results of the last steps go.
struct Out<'a> {
    dir: &'a Path,
    force: bool,
}

/// Writes the results of the last steps, or says how to see them.
async fn show_results(
    mesh: &Mesh,
    ended: &Steps,
    last: &[String],
    out: Option<Out<'_>>,
) -> Result<(), Problem> {
    for (step, job) in ended.iter().filter(|(step, job)| last.contains(step) && job.done > 0) {
        let Some(Out { dir, force }) = out else {
            say(&format!("step {step}: `weft results {}` shows what it put out", short(&job.job)));
            continue;
        };
        let show = ShowResultsArgs {
            job: job.job.clone(),
            from: 0,
            out: Some(dir.join(step)),
            force,
            resume: false,
            json: false,
            raw: false,
        };
        // How many failed is told already.
        Box::pin(results::results(mesh, ResultsArgs { show, follow: true })).await?;
        say(&format!("step {step}: its results are in {}", dir.join(step).display()));
    }
    Ok(())
}

/// How steps are begun.
struct Beginning<'a> {
    mesh: &'a Mesh,
    flow: &'a Flow,
    level: Level,
    /// The level was asked for, and no other one is taken.
    is_chosen: bool,
    keep_going: bool,
}

impl Beginning<'_> {
    /// Hands in what is to run, in order; the job of each step.
    async fn all(&self, plan: &[Planned<'_>], lack: Option<String>) -> Result<Steps, Problem> {
        let interrupt = Interrupt::listen()?;
        if plan.iter().any(|planned| planned.decision.job().is_none()) {
            let lack = lack.map(|lack| format!(", {lack}")).unwrap_or_default();
            say(&format!("flow {}: its jobs are kept at level {}{lack}", self.flow.name, self.level));
        }
        let mut steps = Steps::new();
        for planned in plan {
            let job = tokio::select! {
                job = self.begin(planned, &steps) => job?,
                () = interrupt.came() => return Err(Problem::Interrupted(format!(
                    "interrupted; {} of {} steps are handed in and go on: `weft flow run` hands in the rest, `weft flow cancel` ends them",
                    steps.len(),
                    plan.len()
                ))),
            };
            steps.push((planned.name().to_owned(), job));
        }
        Ok(steps)
    }

    /// The job of a step: an earlier one, or a new one.
    async fn begin(&self, planned: &Planned<'_>, before: &Steps) -> Result<api::Job, Problem> {
        let step = planned.name();
        match &planned.decision {
            Decision::Kept(job) => {
                say(&format!(
                    "step {step}: kept, {} done in job {}",
                    counted(job.done.into(), "task"),
                    short(&job.job)
                ));
                Ok(job.clone())
            }
            Decision::Runs(job) => {
                say(&format!("step {step}: job {} runs it already", short(&job.job)));
                Ok(job.clone())
            }
            Decision::Retry(job) => again(self.mesh, step, job).await,
            Decision::New { why } => {
                let job = self.submit(planned, before).await?;
                let tasks =
                    planned.tasks.map_or_else(|| String::from("tasks"), |tasks| counted(tasks, "task"));
                say(&format!("step {step}: job {} with {tasks}: {why}", short(job.id())));
                Ok(told_if_over(step, job.progress().await?))
            }
        }
    }

    async fn submit(&self, planned: &Planned<'_>, before: &Steps) -> Result<Job, Problem> {
        let (step, ready) = (planned.ready.step, &planned.ready);
        let jobs: BTreeMap<&str, &api::Job> = before.iter().map(|(step, job)| (step.as_str(), job)).collect();
        let of = |names: &[String]| -> Vec<&api::Job> {
            names.iter().filter_map(|name| jobs.get(name.as_str()).copied()).collect()
        };
        let task = self.kept(ready.draft.task.clone(), step, &of(step.parents()));
        let parents: Vec<String> = of(step.parents()).into_iter().map(|job| job.job.clone()).collect();
        let task = kept_together(before, &parents).into_iter().fold(task, Task::keep_with);
        let labels = written(ready, &parents).labels(&self.flow.name, &step.name);
        let task = labels.into_iter().fold(task, |task, (name, value)| task.label(name, value));
        let task = of(&step.after).into_iter().fold(task, |task, job| task.after(&job.job));
        let task = if step.even_if_failed { task.even_if_failed() } else { task };
        let job = match &step.takes {
            Inputs::None => self.mesh.submit_stream(&task, stream::iter([Input::default()])).await,
            Inputs::EachResult(_) => {
                let task = parents.iter().fold(task, |task, job| task.each_result_of(job));
                self.mesh.submit_stream(&task, stream::empty()).await
            }
            Inputs::Gather(_) => {
                let task = parents.iter().fold(task, |task, job| task.gather(job));
                self.mesh.submit_stream(&task, stream::empty()).await
            }
            Inputs::Files(_) | Inputs::Dir(_) | Inputs::Lines(..) => {
                self.mesh.submit_stream(&task, ready.draft.inputs()?).await
            }
        };
        job.map_err(|error| self.flow.wrong(step, Problem::from(error)))
    }

    /// The task with its level, and with when it ends because of failures.
    fn kept(&self, task: Task, step: &Step, parents: &[&api::Job]) -> Task {
        let task = if self.keep_going || step.has_own_bound() { task } else { task.max_failures(0) };
        task.level(if self.is_chosen { self.level } else { self.level_of(step, parents) })
    }

    /// The best level that a step can have which takes the results of those jobs.
    fn level_of(&self, step: &Step, parents: &[&api::Job]) -> Level {
        let least = parents.iter().map(|job| job.level).fold(self.level, Level::min);
        let keepers =
            |job: &api::Job| job.keepers.iter().map(|node| node.peer.clone()).collect::<BTreeSet<_>>();
        let is_apart =
            parents.iter().any(|job| parents.first().is_some_and(|first| keepers(first) != keepers(job)));
        if least == Level::Mesh && is_apart {
            say(&format!(
                "step {}: its job is kept at level disk, for the jobs whose results it takes are kept by different nodes",
                step.name
            ));
            return Level::Disk;
        }
        least
    }
}

/// The job with which a step's job is to be kept: the flow's first one, so that a later step can gather both. One that takes results
/// is kept with their jobs in any case.
fn kept_together(before: &Steps, parents: &[String]) -> Option<String> {
    let mut at_mesh = before.iter().filter(|(_, job)| job.level == Level::Mesh);
    at_mesh.next().filter(|_| parents.is_empty()).map(|(_, job)| job.job.clone())
}

/// Runs again what of a step's job is not done; the job as it is then.
pub(crate) async fn again(mesh: &Mesh, step: &str, job: &api::Job) -> Result<api::Job, Problem> {
    mesh.retry(&job.job).await?;
    let left = u64::from(job.tasks).saturating_sub(u64::from(job.done));
    say(&format!("step {step}: {} of job {} again", counted(left, "task"), short(&job.job)));
    Ok(told_if_over(step, mesh.job(&job.job).await?))
}

/// The job, of which [`wait`] says nothing if it has ended by now.
fn told_if_over(step: &str, job: api::Job) -> api::Job {
    if job.state.has_ended() {
        tell(step, &job);
    }
    job
}

/// Waits for the end of each that has not ended; they are told as they come. `flow` is how the command line called it.
pub(crate) async fn wait(mesh: &Mesh, steps: Steps, flow: &str) -> Result<Steps, Problem> {
    let interrupt = Interrupt::listen()?;
    let end = async |(at, (step, job)): (usize, (String, api::Job))| {
        if job.state.has_ended() {
            return Ok::<_, Problem>((at, step, job));
        }
        let ended = Job::of(mesh, &job).wait().await?;
        tell(&step, &ended);
        Ok((at, step, ended))
    };
    let all = stream::iter(steps.into_iter().enumerate())
        .map(end)
        .buffer_unordered(WAITS_MAX)
        .try_collect::<Vec<_>>();
    let mut ended = tokio::select! {
        ended = all => ended?,
        () = interrupt.came() => {
            let text = format!("interrupted; the flow goes on: `weft flow run {flow}` waits again, `weft flow cancel {flow}` ends it");
            return Err(Problem::Interrupted(text));
        }
    };
    ended.sort_by_key(|(at, ..)| *at);
    Ok(ended.into_iter().map(|(_, step, job)| (step, job)).collect())
}

fn tell(step: &str, job: &api::Job) {
    let mut text =
        format!("step {step}: {} done, {} failed", job.done, job.failed - job.failed.min(job.skipped));
    if job.skipped > 0 {
        text.push_str(&format!(", {} skipped", job.skipped));
    }
    if job.cancelled > 0 {
        text.push_str(&format!(", {} cancelled", job.cancelled));
    }
    text.push_str(&format!(", {}", millis(job.elapsed_ms)));
    if job.given_up && job.cancelled > 0 {
        text.push_str(": it ended at a failure, --keep-going runs the rest");
    }
    if job.failed > 0 {
        text.push_str(&format!("; `weft flow why {step}` or `weft results {}` shows why", short(&job.job)));
    }
    say(&text);
}

/// The exit code of all of them, as that of a map.
pub(crate) fn exit_code(ended: &Steps) -> Result<u8, Problem> {
    let (mut failed, mut problem) = (0, None);
    for (_, job) in ended {
        match if job.given_up { Ok(0) } else { kept::exit_code(job) } {
            Ok(_) => failed += u64::from(job.failed),
            Err(other) => drop(problem.get_or_insert(other)),
        }
    }
    match problem {
        Some(problem) if failed == 0 => Err(problem),
        Some(_) | None => Ok(kept::failed_code(failed)),
    }
}
