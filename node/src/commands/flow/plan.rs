//! What becomes of each step in a run: kept, waited for, tried again or begun anew, and why. Decides from hashes and from what the jobs of
//! earlier runs say; asks no node.

use serde::Serialize;
use weft_client::JobState;
use weft_client::api;
use weft_node::counts::counted;

use super::super::Problem;
use super::content::Written;
use super::file::{Flow, Inputs, Step};
use super::graph;
use super::jobs::Newest;
use super::ready::Ready;
use crate::render::{Side, Table, json_line, print, short};

/// Which steps a run is about, and how they end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen<'a> {
    /// That step and those that take from it run again.
    pub(crate) from: Option<&'a str>,
    /// That step and those before it are all.
    pub(crate) only: Option<&'a str>,
    /// No step ends at its first failure, unless its own bound says so.
    pub(crate) keep_going: bool,
}

/// What becomes of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The results of that job are those that it would have.
    Kept(api::Job),
    /// That job does the same, and has not ended.
    Runs(api::Job),
    /// That job does the same, and tasks of it are not done: they run again.
    Retry(api::Job),
    /// A new job.
    New {
        /// Why no earlier one will do.
        why: String,
    },
}

impl Decision {
    /// The earlier job that it goes on with.
    pub(crate) fn job(&self) -> Option<&api::Job> {
        match self {
            Self::Kept(job) | Self::Runs(job) | Self::Retry(job) => Some(job),
            Self::New { .. } => None,
        }
    }
}

/// A step and what becomes of it.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) ready: Ready<'a>,
    /// How many tasks it has, as far as that is known.
    pub(crate) tasks: Option<u64>,
    pub(crate) decision: Decision,
}

impl Planned<'_> {
    /// The step's name.
    pub(crate) fn name(&self) -> &str {
        &self.ready.step.name
    }
}

/// The chosen steps, each behind all that it comes after.
///
/// # Errors
/// When a chosen one is none of the flow's.
pub(crate) fn chosen<'a>(
    flow: &Flow,
    ordered: &[&'a Step],
    chosen: Chosen<'a>,
) -> Result<Vec<&'a Step>, Problem> {
    for (flag, name) in [("--from", chosen.from), ("--only", chosen.only)] {
        if let Some(name) = name {
            flow.known_step(name).map_err(|text| Problem::Usage(format!("{flag}: {text}")))?;
        }
    }
    let Some(last) = chosen.only else { return Ok(ordered.to_vec()) };
    let names = graph::up_to(ordered, last);
    Ok(ordered.iter().copied().filter(|step| names.contains(step.name.as_str())).collect())
}

/// Decides about each step, which are in their order.
pub(crate) fn plan<'a>(steps: Vec<Ready<'a>>, earlier: &Newest, chosen: Chosen<'_>) -> Vec<Planned<'a>> {
    let mut all: Vec<Planned<'a>> = Vec::with_capacity(steps.len());
    for ready in steps {
        let step = ready.step;
        let tasks = match &step.takes {
            Inputs::EachResult(parent) => find(&all, parent).and_then(|parent| parent.tasks),
            Inputs::None | Inputs::Files(_) | Inputs::Dir(_) | Inputs::Lines(..) | Inputs::Gather(_) => {
                ready.tasks
            }
        };
        let decision = if chosen.from == Some(step.name.as_str()) {
            new("asked for by --from")
        } else {
            decide(&ready, &all, earlier.get(&step.name), chosen.keep_going)
        };
        all.push(Planned { ready, tasks, decision });
    }
    all
}

fn find<'p, 'a>(all: &'p [Planned<'a>], name: &str) -> Option<&'p Planned<'a>> {
    all.iter().find(|planned| planned.name() == name)
}

fn new(why: impl Into<String>) -> Decision {
    Decision::New { why: why.into() }
}

fn decide(
    ready: &Ready<'_>,
    before: &[Planned<'_>],
    earlier: Option<&api::Job>,
    keep_going: bool,
) -> Decision {
    let parents = || ready.step.parents().iter().filter_map(|name| find(before, name));
    let anew: Vec<&str> =
        parents().filter(|parent| parent.decision.job().is_none()).map(Planned::name).collect();
    let Some(earlier) = earlier else { return new("never run, or its results are forgotten") };
    if let Some(first) = anew.first() {
        let others = if anew.len() > 1 { " and other steps" } else { "" };
        let text = format!("step {first}{others} runs anew");
        return new(text);
    }
    let jobs: Vec<String> =
        parents().filter_map(|parent| parent.decision.job()).map(|job| job.job.clone()).collect();
    let written = written(ready, &jobs);
    let on_it = Written::on(earlier);
    if !written.is_same(&on_it) {
        return new(written.changes(&on_it).join(", "));
    }
    // Tasks of a job that takes results come when that job does. Of another, fewer came if handing it in was interrupted.
    let takes_results = !ready.step.parents().is_empty();
    let is_whole = takes_results || ready.tasks.is_none_or(|tasks| tasks == u64::from(earlier.tasks));
    if keep_going && earlier.given_up && !ready.step.has_own_bound() {
        // Tried again it would end at the next failure, too: what a job allows stays as it was submitted.
        return new(format!("--keep-going, and job {} ends at its first failure", short(&earlier.job)));
    }
    match earlier.state {
        JobState::Done if is_whole => Decision::Kept(earlier.clone()),
        JobState::Waiting | JobState::Running if is_whole || earlier.open => Decision::Runs(earlier.clone()),
        JobState::Failed | JobState::Cancelled if is_whole => Decision::Retry(earlier.clone()),
        JobState::Waiting | JobState::Running | JobState::Done | JobState::Failed | JobState::Cancelled => {
            new("not all of its inputs had come")
        }
    }
}

/// What is written on the job of a step that takes the results of those.
pub(crate) fn written(ready: &Ready<'_>, jobs: &[String]) -> Written {
    let how = match ready.step.takes {
        Inputs::Gather(_) => "gather",
        Inputs::None | Inputs::Files(_) | Inputs::Dir(_) | Inputs::Lines(..) | Inputs::EachResult(_) => {
            "each"
        }
    };
    ready.content.written(how, jobs)
}

/// A line of `weft flow plan --json`.
#[derive(Serialize)]
struct Line<'a> {
    step: &'a str,
    decision: &'static str,
    why: &'a str,
    job: Option<&'a str>,
    tasks: Option<u64>,
    kept: u64,
    to_run: Option<u64>,
}

fn line<'a>(planned: &'a Planned<'_>, why: &'a str) -> Line<'a> {
    let kept = planned.decision.job().map_or(0, |job| u64::from(job.done));
    Line {
        step: planned.name(),
        decision: match planned.decision {
            Decision::Kept(_) => "kept",
            Decision::Runs(_) => "runs",
            Decision::Retry(_) => "retry",
            Decision::New { .. } => "new",
        },
        why,
        job: planned.decision.job().map(|job| job.job.as_str()),
        tasks: planned.tasks,
        kept,
        to_run: planned.tasks.map(|tasks| tasks.saturating_sub(kept)),
    }
}

/// Why that is decided, in words.
fn why(decision: &Decision) -> String {
    match decision {
        Decision::Kept(job) => format!("nothing changed since job {}", short(&job.job)),
        Decision::Runs(job) => format!("job {} runs it", short(&job.job)),
        Decision::Retry(job) => {
            let left = u64::from(job.tasks).saturating_sub(u64::from(job.done));
            format!("{} of job {} not done", counted(left, "task"), short(&job.job))
        }
        Decision::New { why } => why.clone(),
    }
}

/// Prints the plan.
pub(crate) fn show(plan: &[Planned<'_>], json: bool) -> Result<(), Problem> {
    if json {
        return plan
            .iter()
            .try_for_each(|planned| print(&json_line(&line(planned, &why(&planned.decision)))?));
    }
    let columns = [
        ("STEP", Side::Left),
        ("TASKS", Side::Right),
        ("KEPT", Side::Right),
        ("TO RUN", Side::Right),
        ("WHY", Side::Left),
    ];
    let mut table = Table::new(&columns);
    let count = |count: Option<u64>| count.map_or_else(|| String::from("?"), |count| count.to_string());
    for planned in plan {
        let why = why(&planned.decision);
        let Line { step, tasks, kept, to_run, .. } = line(planned, &why);
        table.row([step.to_owned(), count(tasks), kept.to_string(), count(to_run), why.clone()]);
    }
    table.print()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{flow_in, job};
    use super::*;

    const FLOW: &str = "[step.a]\nmodule = 'm.wasm'\neach = 'lines:l'\n[step.b]\nmodule = 'm.wasm'\neach = '@a'\n\
                        [step.c]\nmodule = 'm.wasm'\ngather = '@b'\n[step.d]\nmodule = 'm.wasm'\nargs = ['x']\nafter = 'a'";

    /// The steps of a flow, and what earlier jobs in these states say, with their tasks.
    async fn decided(states: &[(&str, JobState, u32)], from: Option<&str>, changed: &str) -> Vec<String> {
        decided_as(states, Chosen { from, ..Chosen::default() }, changed).await
    }

    async fn decided_as(states: &[(&str, JobState, u32)], chosen: Chosen<'_>, changed: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.wasm"), b"\0asm\x01\0\0\0").unwrap();
        std::fs::write(dir.path().join("l"), "1\n2\n").unwrap();
        let before = flow_in(dir.path(), FLOW);
        let mut earlier = Newest::new();
        for (name, state, tasks) in states {
            let ready = Ready::read(&before, before.step(name).unwrap()).await.unwrap();
            let parents: Vec<String> =
                ready.step.parents().iter().map(|parent| format!("job-{parent}")).collect();
            let mut job = job(&format!("job-{name}"), *state, *tasks);
            job.given_up = *state == JobState::Failed;
            job.labels = written(&ready, &parents)
                .labels("f", name)
                .map(|(name, value)| (name.to_owned(), value))
                .into();
            earlier.insert((*name).to_owned(), job);
        }
        let flow = flow_in(dir.path(), &FLOW.replace("'x'", changed));
        let ordered = graph::ordered(&flow).unwrap();
        let mut ready = Vec::new();
        for step in &ordered {
            ready.push(Ready::read(&flow, step).await.unwrap());
        }
        let plan = plan(ready, &earlier, chosen);
        let told = |planned: &Planned<'_>| {
            let line = line(planned, "");
            format!("{}: {}", line.decision, why(&planned.decision))
        };
        plan.iter().map(told).collect()
    }

    const ALL: [(&str, JobState, u32); 4] = [
        ("a", JobState::Done, 2),
        ("b", JobState::Done, 2),
        ("c", JobState::Done, 1),
        ("d", JobState::Done, 1),
    ];

    fn kinds(decided: &[String]) -> Vec<&str> {
        decided.iter().map(|text| text.split(':').next().unwrap()).collect()
    }

    #[tokio::test]
    async fn what_is_done_and_unchanged_is_kept() {
        let decided = decided(&ALL, None, "'x'").await;
        assert_eq!(kinds(&decided), ["kept"; 4], "{decided:?}");
    }

    #[tokio::test]
    async fn only_what_changed_and_what_takes_from_it_runs_again() {
        let after = decided(&ALL, None, "'y'").await;
        assert_eq!(kinds(&after), ["kept", "kept", "kept", "new"]);
        assert_eq!(after[3], "new: the arguments changed");
        let from = decided(&ALL, Some("b"), "'x'").await;
        let expected =
            ["kept: nothing changed since job job-a", "new: asked for by --from", "new: step b runs anew"];
        assert_eq!(from[..3], expected);
        assert_eq!(kinds(&from)[3], "kept");
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_and_what_runs_is_waited_for() {
        let states = [("a", JobState::Failed, 2), ("b", JobState::Waiting, 2), ("c", JobState::Running, 1)];
        let told = decided(&states, None, "'x'").await;
        assert_eq!(kinds(&told), ["retry", "runs", "runs", "new"], "{told:?}");
        assert_eq!(told[3], "new: never run, or its results are forgotten");
    }

    #[tokio::test]
    async fn what_ended_at_its_first_failure_is_begun_anew_to_keep_going() {
        let states = [("a", JobState::Failed, 2), ("b", JobState::Failed, 2)];
        let chosen = Chosen { keep_going: true, ..Chosen::default() };
        let told = decided_as(&states, chosen, "'x'").await;
        assert_eq!(told[0], "new: --keep-going, and job job-a ends at its first failure");
        assert_eq!(told[1], "new: step a runs anew");
    }

    #[tokio::test]
    async fn a_job_of_which_half_came_is_none() {
        let states = [("a", JobState::Cancelled, 1), ("b", JobState::Done, 1)];
        let told = decided(&states, None, "'x'").await;
        assert_eq!(told[0], "new: not all of its inputs had come");
        assert_eq!(told[1], "new: step a runs anew");
    }
}
