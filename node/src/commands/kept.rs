//! How a job is kept: from the command line, in words, and the short verbs on one that is: `weft cancel`, `weft retry`,
//! `weft forget`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weft_client::{Level, Map, Mesh, Task, api};

use weft_node::counts::{counted, kept_and_open};

use super::Problem;
use crate::cli::{JobArgs, KeepArgs};
use crate::render::{millis, print_json, say, short};

/// Highest exit code that counts failures.
const FAILED_MAX: u64 = 100;

/// The task with what its job survives and is called.
pub(crate) fn keep(task: Task, given: KeepArgs) -> Result<Task, Problem> {
    let KeepArgs { level, name, label, shared } = given;
    if name.as_ref().is_some_and(String::is_empty) {
        return Err(Problem::Usage(String::from("--name: it is empty; leave the flag out for no name")));
    }
    if let Some(problem) = name.as_deref().and_then(weft_node::api::job_name_problem) {
        return Err(Problem::Usage(format!("--name: {problem}")));
    }
    let mut names: Vec<&str> = label.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) =
        names.windows(2).find_map(|pair| if let [a, b] = pair { (a == b).then_some(*a) } else { None })
    {
        return Err(Problem::Usage(format!("--label: {twice} is given twice; each label has one value")));
    }
    let task = match level {
        Some(level) => task.level(level),
        None => task,
    };
    let task = match name {
        Some(name) => task.name(name),
        None => task,
    };
    let task = if shared { task.shared() } else { task };
    Ok(label.into_iter().fold(task, |task, (name, value)| task.label(name, value)))
}

/// Says where results are from a copy of a job, and not from the node that owns it.
pub(crate) fn say_copy(job: &api::Job) {
    if job.is_left_copy() {
        let (id, owner) = (&job.job, job.owner.called());
        say(&format!(
            "node {owner}, which owns job {id}, is not connected: these results are from another node's copy, and those that {owner} \
             told last may not be among them; if {owner} is gone for good, `weft adopt {id} --force` makes another job of the copy"
        ));
    }
}

/// Where a job is kept, by the names of its nodes.
pub(crate) async fn place(mesh: &Mesh, job: &str, level: Level) -> String {
    let Ok(job) = mesh.job(job).await else { return format!("at level {level}") };
    let owner = job.owner.called();
    match level {
        Level::Memory => format!("in the memory of {owner}"),
        Level::Disk => match job.keepers.as_slice() {
            [owner, copy] => format!("by {}, a copy at {}", owner.called(), copy.called()),
            _ => format!("on the disk of {owner}"),
        },
        Level::Mesh => {
            let keepers: Vec<&str> = job.keepers.iter().map(api::Node::called).collect();
            format!("by {}", keepers.join(", "))
        }
    }
}

/// The best level that a job of this node can have now, and why it is not `mesh`.
pub(crate) async fn best_level(mesh: &Mesh) -> Result<(Level, Option<String>), Problem> {
    let keeps = mesh.status().await?.keeps;
    let others = mesh.peers().await?;
    let others = others.iter().filter(|peer| peer.connected && peer.keeps && !peer.draining).count();
    match (keeps, others) {
        (true, 2..) => Ok((Level::Mesh, None)),
        (false, _) => Ok((Level::Disk, None)),
        (true, 0) => Ok((Level::Disk, Some(format!("and there alone: {}", short_of("no other"))))),
        (true, _) => {
            let lack = short_of("only one other");
            Ok((Level::Disk, Some(format!("of which a person can make another job: {lack}"))))
        }
    }
}

fn short_of(others: &str) -> String {
    format!("with three nodes it would outlive any one of them, and {others} that can keep it is connected")
}

/// How long a job that no node leads is asked for, by what does something about it, or shows what there is.
const FIND_TIME: Duration = Duration::from_secs(30);
/// The same by what waits for its end anyway.
const WAIT_TIME: Duration = Duration::from_secs(120);

/// The job of that id or name. Where no node leads it now, that is told once, and another one is waited for.
pub(crate) async fn find(mesh: &Mesh, job: &str) -> Result<api::Job, Problem> {
    find_within(mesh, job, FIND_TIME).await
}

/// The same for a verb that waits for the job's end.
pub(crate) async fn find_to_wait(mesh: &Mesh, job: &str) -> Result<api::Job, Problem> {
    let view = find_within(mesh, job, WAIT_TIME).await?;
    if !view.state.has_ended() && view.leader.peer.is_empty() {
        let (id, owner) = (&view.job, view.owner.called());
        say(&format!(
            "no node leads job {id} now, which was submitted on {owner}: one that does is waited for, up to {} s",
            WAIT_TIME.as_secs()
        ));
    }
    Ok(view)
}

async fn find_within(mesh: &Mesh, job: &str, time: Duration) -> Result<api::Job, Problem> {
    let mut is_told = false;
    let waits = |why: &weft_client::Error| {
        if !core::mem::replace(&mut is_told, true) {
            say(&format!("{why}; it is asked for again, up to {} s", time.as_secs()));
        }
    };
    Ok(mesh.job_within(job, time, waits).await?)
}

/// Whether an error says that the node, or who leads the job, is away.
pub(crate) fn is_away(error: &weft_client::Error) -> bool {
    use weft_client::Error::{Broken, NoNode, NotNow, Unreachable};
    matches!(error, Broken { .. } | NoNode { .. } | Unreachable { .. } | NotNow { .. })
}

/// Tells each time once that the way to a job is broken, and once that it is found again.
#[derive(Debug, Default)]
pub(crate) struct Away(bool);

impl Away {
    pub(crate) fn tell(&mut self, results: &mut Map) {
        if results.take_break().is_some() {
            let id = short(results.job());
            let text =
                "the connection by which it was followed broke: this node went, or the one that leads it";
            say(&format!("job {id} is looked for again: {text}"));
            self.0 = true;
        }
        if self.0 && results.away().is_none() {
            say(&format!("job {} goes on", short(results.job())));
            self.0 = false;
        }
    }
}

/// That the job goes on after a restart of its node, or after another one took it over.
pub(crate) fn say_restarted(job: &api::Job) {
    let Some(api::Restarted { at_ms, kept, open }) = job.restarted else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let ago = millis(now_ms.saturating_sub(at_ms));
    let how = if job.level == Level::Mesh {
        format!("has been led by {} for {ago}", job.leader.called())
    } else {
        format!("was restarted with its node {ago} ago")
    };
    say(&format!("job {} {how}: {}", job.job, kept_and_open(kept, open)));
}

/// An interrupt before the node said that it accepted the job. A kept one may have been accepted just then.
pub(crate) fn unbegun(is_kept: bool, what: &str) -> Problem {
    let perhaps =
        if is_kept { "; if its job was accepted just then it goes on: see `weft jobs`" } else { "" };
    Problem::Interrupted(format!("interrupted; {what}{perhaps}"))
}

/// The exit code of `weft map` for that many failed tasks.
pub(crate) fn failed_code(failed: u64) -> u8 {
    u8::try_from(failed.min(FAILED_MAX)).unwrap_or(u8::MAX)
}

/// That a job was cancelled, though none of its tasks was.
pub(crate) fn cut_short(job: &str) -> Problem {
    Problem::Interrupted(format!("job {job} was cancelled before all of its inputs had come"))
}

/// The exit code of `weft map` for a job that has ended.
pub(crate) fn exit_code(job: &api::Job) -> Result<u8, Problem> {
    let failed = failed_code(job.failed.into());
    if job.given_up {
        say(&format!("job {}: more tasks failed than it allows, so the rest was cancelled", job.job));
        return Ok(failed);
    }
    if let Some(reason) = &job.refused_more {
        return Err(Problem::Failed(format!("job {}: {reason}", job.job)));
    }
    match (job.cancelled, job.cancelled_by_user) {
        (0, false) => Ok(failed),
        // Each task that it has ended, and there were to be more.
        (0, true) => Err(cut_short(&job.job)),
        (cancelled, _) => Err(Problem::Interrupted(format!(
            "job {} was cancelled before {cancelled} of its tasks had ended",
            job.job
        ))),
    }
}

// The three below change the job by what the user called it, and not by the id that the view has: another node that says it leads
// a job of that name is then asked itself, and can't have another job changed.

/// Cancels the job. One that has ended is left as it is, without an error.
pub(crate) async fn cancel(mesh: &Mesh, args: &JobArgs) -> Result<u8, Problem> {
    let before = find(mesh, &args.job).await?;
    let has_ended = before.state.has_ended();
    if !has_ended {
        mesh.cancel(&args.job).await?;
    }
    if args.json {
        return print_json(&mesh.job(&args.job).await?).map(|()| 0);
    }
    let ended = u64::from(before.done) + u64::from(before.failed) + u64::from(before.cancelled);
    if has_ended {
        let cancelled =
            if before.cancelled == 0 { String::new() } else { format!(", {} cancelled", before.cancelled) };
        let (done, failed) = (before.done, before.failed);
        say(&format!("job {} had ended already: {done} done, {failed} failed{cancelled}", before.job));
    } else {
        let left = u64::from(before.tasks).saturating_sub(ended);
        say(&format!("job {} is cancelled: {left} of {} tasks had not ended", before.job, before.tasks));
    }
    Ok(0)
}

/// Has the tasks run again that are not done.
pub(crate) async fn retry(mesh: &Mesh, args: &JobArgs) -> Result<u8, Problem> {
    let before = find(mesh, &args.job).await?;
    mesh.retry(&args.job).await?;
    if args.json {
        return print_json(&mesh.job(&args.job).await?).map(|()| 0);
    }
    let again = u64::from(before.failed) + u64::from(before.cancelled);
    let tasks = if again == 1 { String::from("1 task runs") } else { format!("{again} tasks run") };
    say(&format!("job {}: {tasks} again, {} were done before", before.job, before.done));
    Ok(0)
}

/// Forgets the job.
pub(crate) async fn forget(mesh: &Mesh, args: &JobArgs) -> Result<u8, Problem> {
    let job = match find(mesh, &args.job).await {
        Ok(job) => job,
        // One in quarantine has no view, and can be forgotten.
        Err(Problem::Client(error)) if matches!(*error, weft_client::Error::Refused { .. }) => {
            return forget_unseen(mesh, args).await;
        }
        Err(problem) => return Err(problem),
    };
    mesh.forget(&args.job).await?;
    if args.json {
        return print_json(&job).map(|()| 0);
    }
    say(&format!(
        "job {} is forgotten, with the results of {}",
        job.job,
        counted(u64::from(job.done) + u64::from(job.failed), "task")
    ));
    Ok(0)
}

/// Forgets a job of which nothing can be told.
async fn forget_unseen(mesh: &Mesh, args: &JobArgs) -> Result<u8, Problem> {
    mesh.forget(&args.job).await?;
    if args.json {
        return print_json(&serde_json::json!({ "job": args.job })).map(|()| 0);
    }
    say(&format!("what was left of job {} is forgotten", args.job));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job of two tasks, one of which is done.
    fn ended() -> api::Job {
        let job = serde_json::json!({
            "job": "a7c372edeab46585", "state": "done", "detached": true, "cancelled_by_user": false,
            "class": "batch", "module": "", "tasks": 2, "queued": 0, "leased": 0, "done": 1, "failed": 1,
            "cancelled": 0, "retried": 0, "elapsed_ms": 1,
        });
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn a_job_that_was_cancelled_is_no_success_though_each_of_its_tasks_is_done() {
        let half = api::Job { cancelled_by_user: true, failed: 0, done: 2, ..ended() };
        let problem = exit_code(&half).unwrap_err();
        assert_eq!(problem.exit_code(true), super::super::EXIT_INTERRUPTED);
        assert!(problem.to_string().contains("before all of its inputs had come"), "{problem}");
        let problem = exit_code(&api::Job { cancelled: 1, done: 1, ..half }).unwrap_err();
        assert!(problem.to_string().contains("before 1 of its tasks"), "{problem}");
    }

    #[test]
    fn a_job_that_lacks_inputs_is_no_success() {
        let whole = ended();
        assert_eq!(exit_code(&whole).unwrap(), 1);
        let reason = String::from("3 tasks were not taken: the disk is full");
        let lacking = api::Job { refused_more: Some(reason), failed: 0, done: 2, ..whole };
        let problem = exit_code(&lacking).unwrap_err();
        assert_eq!(problem.exit_code(true), super::super::EXIT_OWN);
        assert!(problem.to_string().contains("3 tasks were not taken"), "{problem}");
    }
}
