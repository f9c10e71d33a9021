//! `weft drain` and `weft stop`: the local node takes no new tasks, or ends.

use std::path::Path;
use std::time::Duration;

use weft_client::{Error, JobFilter, JobState, Level, Mesh, api};
use weft_node::counts::counted;
use weft_node::settings;

use super::{Problem, places};
use crate::cli::{DrainArgs, StopArgs};
use crate::render::{millis, say};

/// How often the node is asked while it is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a node may take to end besides its grace: it delivers results, tells its workers, closes its journal.
const END_TIME: Duration = Duration::from_secs(60);

/// Tells the node to take no new tasks, or to take them again.
pub(crate) async fn drain(mesh: &Mesh, args: &DrainArgs) -> Result<u8, Problem> {
    let before = mesh.status().await?;
    mesh.drain(!args.off).await?;
    if args.off {
        let (name, again) =
            (before.name, if before.draining { "takes new tasks again" } else { "was not draining" });
        say(&format!("node {name} {again}"));
        return Ok(0);
    }
    let status = mesh.status().await?;
    let (given_back, left) = (given_back(&before, &status), left(&status));
    say(&format!("node {} takes no new tasks{given_back} and {left}; {}", status.name, after_that(&status)));
    if args.wait || args.leave {
        tokio::select! {
            emptied = emptied(mesh, &status, args.leave) => return emptied,
            _ = tokio::signal::ctrl_c() => {
                return Err(Problem::Interrupted("interrupted; the node still takes no new tasks".into()));
            }
        }
    }
    Ok(0)
}

/// Waits until a draining node holds no task, and, where it leaves for good, until other nodes have its places; or until it has ended.
/// The exit code: 1 if it leaves for good and something is on its disk still.
async fn emptied(mesh: &Mesh, status: &api::Status, leaves: bool) -> Result<u8, Problem> {
    let ended = idle(mesh, status).await?;
    said(&status.name, ended);
    match (ended, leaves) {
        (Idle::Ended, true) => {
            let text = "it ended before it was known what is on its disk: start it again, and drain it before it is told to stop";
            Err(Problem::Failed(text.into()))
        }
        (Idle::Ended, false) => Ok(0),
        (Idle::Drained, true) => places::leave(mesh, status).await.map(u8::from),
        (Idle::Drained, false) => places::tell(mesh, status).await.map(|()| 0),
    }
}

/// What a node gave back when it was told to drain.
fn given_back(before: &api::Status, after: &api::Status) -> String {
    let count = |status: &api::Status| status.counters.get("given_back");
    match count(after).saturating_sub(count(before)) {
        0 => String::new(),
        tasks => format!(", gives back {} that had not begun,", counted(tasks, "task")),
    }
}

/// What a node that drains does when it has nothing left to do.
fn after_that(status: &api::Status) -> &'static str {
    if status.stopping {
        "it was told to end, and does so then"
    } else {
        "`weft drain --off` lets it take tasks again"
    }
}

/// What a draining node still has to do.
fn left(status: &api::Status) -> String {
    let tasks = || counted(u64::from(status.running) + u64::from(status.waiting), "task");
    let results = || counted(u64::from(status.undelivered), "result");
    match (status.running + status.waiting, status.undelivered) {
        (0, 0) => String::from("holds none"),
        (_, 0) => format!("has {} to end", tasks()),
        (0, _) => format!("has {} to deliver", results()),
        (_, _) => format!("has {} to end and {} to deliver", tasks(), results()),
    }
}

/// How a node that drains got to hold no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    Drained,
    Ended,
}

fn said(name: &str, idle: Idle) {
    say(&match idle {
        Idle::Drained => format!("node {name} holds no task any more"),
        Idle::Ended => format!("node {name} has stopped"),
    });
}

/// Waits until the node holds no task and has delivered all results; one that was told to end may do so meanwhile.
async fn idle(mesh: &Mesh, told: &api::Status) -> Result<Idle, Problem> {
    let mut stopping = told.stopping;
    loop {
        let status = match mesh.status().await {
            Err(_going) if stopping => {
                until_gone(mesh.data_dir(), &format!("node {}", told.name), end_time(told)).await?;
                return Ok(Idle::Ended);
            }
            other => other?,
        };
        stopping = status.stopping;
        if status.running + status.waiting + status.reserved == 0 && status.undelivered == 0 {
            return Ok(Idle::Drained);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends the node, and reports the jobs that end with it.
pub(crate) async fn stop(data_dir: &Path, args: &StopArgs) -> Result<u8, Problem> {
    let Some((mesh, status)) = reach(data_dir, args).await? else {
        say("the node has stopped");
        return Ok(0);
    };
    let mesh = &mesh;
    let unfinished = match tell_to_stop(mesh).await {
        Err(unheard) if is_silent(&unheard) && status.stopping => Vec::new(),
        other => other?,
    };
    let led = unfinished.iter().filter(|job| job.leader.peer == status.peer);
    let (of_mesh, others): (Vec<&api::Job>, Vec<&api::Job>) = led.partition(|job| job.level == Level::Mesh);
    let (lost, kept): (Vec<&api::Job>, Vec<&api::Job>) =
        others.into_iter().partition(|job| job.level == Level::Memory);
    let lost = ending(&lost, ["ends with it", "end with it"]);
    let kept =
        ending(&kept, ["on disk goes on when it is started again", "on disk go on when it is started again"]);
    let moved = [
        "at level mesh goes on at another node that keeps it",
        "at level mesh go on at other nodes that keep them",
    ];
    let moved = ending(&of_mesh, moved);
    say(&format!("node {} is told to {}{lost}{kept}{moved}", status.name, how(&status)));
    if args.no_wait {
        return Ok(0);
    }
    until_gone(mesh.data_dir(), &format!("node {}", status.name), end_time(&status)).await?;
    said(&status.name, Idle::Ended);
    Ok(0)
}

/// The node, once it answers; none if it has ended before that. One that is silent and holds the data directory was told to end
/// before, or has only just been started.
async fn reach(data_dir: &Path, args: &StopArgs) -> Result<Option<(Mesh, api::Status)>, Error> {
    let until = tokio::time::Instant::now() + END_TIME;
    let mut was_there = false;
    loop {
        match ask(data_dir).await {
            Ok(found) => return Ok(Some(found)),
            Err(unheard) if !is_silent(&unheard) || args.no_wait => return Err(unheard),
            Err(_) if was_there && !settings::is_held(data_dir) => return Ok(None),
            Err(unheard) if !settings::is_held(data_dir) || tokio::time::Instant::now() >= until => {
                return Err(unheard);
            }
            Err(_) => was_there = true,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(data_dir: &Path) -> Result<(Mesh, api::Status), Error> {
    let mesh = Mesh::connect_in(data_dir).await?;
    let status = mesh.status().await?;
    Ok((mesh, status))
}

/// Whether no node gave an answer.
fn is_silent(error: &Error) -> bool {
    matches!(error, Error::NoNode { .. } | Error::Unreachable { .. })
}

/// The jobs that had not ended when the node was told to end.
async fn tell_to_stop(mesh: &Mesh) -> Result<Vec<api::Job>, Error> {
    let states = vec![JobState::Waiting, JobState::Running];
    let unfinished = mesh.list_all(&JobFilter { states, ..JobFilter::default() }).await?;
    mesh.stop().await?;
    Ok(unfinished)
}

/// How long a node that was told to end may take.
fn end_time(told: &api::Status) -> Duration {
    END_TIME + Duration::from_millis(told.grace_ms)
}

/// Waits for the end of a node that was told to end.
async fn until_gone(data_dir: &Path, node: &str, time: Duration) -> Result<(), Problem> {
    tokio::time::timeout(time, gone(data_dir)).await.map_err(|_late| {
        Problem::Failed(format!("{node} has not ended within {} s; its log may say why", time.as_secs()))
    })
}

/// What becomes of these unfinished jobs, of one or of several.
fn ending(jobs: &[&api::Job], [one, several]: [&str; 2]) -> String {
    let left = jobs.iter().map(|job| {
        let ended = u64::from(job.done) + u64::from(job.failed) + u64::from(job.cancelled);
        u64::from(job.tasks).saturating_sub(ended)
    });
    let tasks = counted(left.sum(), "unfinished task");
    match jobs.len() {
        0 => String::new(),
        1 => format!("; 1 job with {tasks} {one}"),
        count => format!("; {count} jobs with {tasks} {several}"),
    }
}

/// What a node is told that is told to end.
fn how(status: &api::Status) -> String {
    if status.stopping {
        return String::from("stop at once");
    }
    let held = status.running + status.waiting;
    match (held, status.grace_ms) {
        (0, _) | (_, 0) => String::from("stop"),
        (_, ms) => format!(
            "stop; it holds {}, and lets those of other nodes that run end for up to {}",
            counted(held.into(), "task"),
            millis(ms)
        ),
    }
}

/// Waits until no node holds the data directory.
async fn gone(data_dir: &Path) {
    while settings::is_held(data_dir) {
        tokio::time::sleep(PAUSE).await;
    }
}
