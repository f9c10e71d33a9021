//! `weft why`: where a task is, and what each node answered to its job's call for bids.

use weft_client::{Mesh, api};
use weft_node::counts::counted;
use weft_node::terminal::visible;

use super::Problem;
use crate::cli::WhyArgs;
use crate::render::{Side, Table, micros, millis, print, print_json, say, short};

/// Prints where the task is, and each node's last answer.
pub(crate) async fn why(mesh: &Mesh, args: &WhyArgs) -> Result<u8, Problem> {
    let (job, index) = parse(&args.task)?;
    let why = mesh.why(job, index).await?;
    if args.json {
        return print_json(&why).map(|()| 0);
    }
    print(&headline(&why))?;
    if let Some(left_ms) = why.deadline_left_ms {
        print(&format!("its deadline leaves {}\n", millis(left_ms.into())))?;
    }
    for note in &why.notes {
        print(&format!("{}\n", visible(note)))?;
    }
    if why.deadline_missed {
        print("its deadline can't be met any more: the task is treated as if it had none\n")?;
    }
    let is_over =
        matches!(why.task, api::TaskState::Ended | api::TaskState::Cancelled | api::TaskState::Expired);
    if why.responses.is_empty() {
        match &why.ended {
            Some(ended) if ended.exit_code.is_none() => {}
            Some(_) => say(&format!(
                "`weft results {} --from {}` shows its output first",
                visible(&why.job),
                why.index
            )),
            None if is_over => {}
            None => say("no node was asked about it"),
        }
        return Ok(0);
    }
    let mut table = Table::new(&[
        ("PEER", Side::Left),
        ("NAME", Side::Left),
        ("RESPONSE", Side::Left),
        ("BECAUSE", Side::Left),
        ("AGO", Side::Right),
    ]);
    for of in &why.responses {
        let (response, because) = words(&of.response);
        table.row([short(&of.peer), of.name.clone(), response, because, millis(of.ago_ms)]);
    }
    table.print().map(|()| 0)
}

/// Where the task is. The job's id, too, is another node's word.
fn headline(why: &api::Why) -> String {
    let place = why.ended.as_ref().map_or_else(|| place(&why.task), end);
    format!("task {} of job {}: {}\n", why.index, visible(&why.job), visible(&place))
}

/// How it ended, by which node, and what it took.
fn end(ended: &api::TaskEnded) -> String {
    let how = match (ended.outcome.as_str(), &ended.reason, ended.exit_code) {
        (word, Some(reason), _) => format!("{word}: {reason}"),
        (word @ "failed", None, Some(code)) => format!("{word} with exit code {code}"),
        (word, None, _) => String::from(word),
    };
    let by = match &ended.worker {
        Some(worker) if ended.memo => {
            format!("; nothing ran, {} had computed it before", who(worker, &ended.name))
        }
        Some(worker) => format!(
            ", by {} in {}, attempt {}",
            who(worker, &ended.name),
            micros(ended.wall_us),
            ended.attempts
        ),
        None if ended.attempts > 0 => format!(", after {}", counted(ended.attempts.into(), "attempt")),
        None => String::from(", and never ran"),
    };
    format!("{how}{by}")
}

/// `JOB` or `JOB/INDEX`.
fn parse(text: &str) -> Result<(&str, Option<u32>), Problem> {
    let Some((job, index)) = text.split_once('/') else {
        return Ok((text, None));
    };
    match index.parse() {
        Ok(index) => Ok((job, Some(index))),
        Err(_no_number) => {
            Err(Problem::Usage(format!("`{text}`: after the slash comes a task's number, from 0")))
        }
    }
}

fn place(task: &api::TaskState) -> String {
    match task {
        api::TaskState::Queued { before: 0 } => String::from("waits for a worker, first of its job"),
        api::TaskState::Queued { before } => {
            format!("waits for a worker, {} of its job before it", counted((*before).into(), "task"))
        }
        api::TaskState::Leased { worker, name, attempt, since_ms, paused, progress } => {
            let paused = if *paused { ", paused for a task of a higher class" } else { "" };
            let at = stage(progress.as_deref());
            let (who, since) = (who(worker, name), millis(*since_ms));
            format!("{at} {who}, which has had it for {since}, attempt {attempt}{paused}")
        }
        api::TaskState::Fetching { worker, name } => {
            format!("ended on {}; its output is on the way here", who(worker, name))
        }
        api::TaskState::Ended => String::from("ended"),
        api::TaskState::Cancelled => String::from("cancelled"),
        api::TaskState::NotBefore { in_ms } => {
            format!("waits until its job may start, in {}", millis(*in_ms))
        }
        api::TaskState::Delayed { failures, in_ms } => {
            format!("had {}, is tried again in {}", counted(u64::from(*failures), "failure"), millis(*in_ms))
        }
        api::TaskState::Expired => String::from("expired: its time was over before it ended"),
        api::TaskState::After { parents, left } => {
            let jobs = if *left == 1 { "another job" } else { "other jobs" };
            let more = (*left as usize).saturating_sub(parents.len());
            let more = if more == 0 { String::new() } else { format!("; and {more} more") };
            format!("waits for {jobs} to end: {}{more}", parents.join("; "))
        }
        api::TaskState::Gathering => {
            String::from("waits for its input, which is made of the results that its job gathers")
        }
        api::TaskState::AwaitsResult { of } => format!("waits for its input, a result of job {of}"),
    }
}

/// What the worker of a task is at with it, as `compiling on anna`; `None` while none has it.
pub(crate) fn at_work(task: &api::TaskState) -> Option<String> {
    match task {
        api::TaskState::Leased { worker, name, progress, .. } => {
            let name = if name.is_empty() { short(worker) } else { visible(name).into_owned() };
            Some(format!("{} {name}", stage(progress.as_deref())))
        }
        api::TaskState::Fetching { .. }
        | api::TaskState::Queued { .. }
        | api::TaskState::Ended
        | api::TaskState::Cancelled
        | api::TaskState::NotBefore { .. }
        | api::TaskState::Delayed { .. }
        | api::TaskState::Expired
        | api::TaskState::After { .. }
        | api::TaskState::Gathering
        | api::TaskState::AwaitsResult { .. } => None,
    }
}

fn stage(progress: Option<&str>) -> &'static str {
    match progress {
        Some("fetching") => "its module or input is on the way to",
        Some("waiting") => "waits for a slot of",
        Some("compiling") => "its module is being compiled on",
        Some("running") => "runs on",
        Some(_) | None => "held by",
    }
}

/// A node by its name and its id.
fn who(id: &str, name: &str) -> String {
    if name.is_empty() { short(id) } else { format!("{name} ({})", short(id)) }
}

fn words(response: &api::Response) -> (String, String) {
    let empty = String::new;
    match response {
        api::Response::Nothing => ("asked, no answer yet".into(), empty()),
        api::Response::Bid { slots } => (format!("bid for {slots}"), empty()),
        api::Response::Declined { reason } => ("declined".into(), reason.clone()),
        api::Response::NotAsked { reason } => ("not asked".into(), reason.clone()),
        api::Response::Unreachable => ("unreachable".into(), empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_a_worker_has_is_told_by_the_workers_name_and_what_it_is_at() {
        let leased = |progress: Option<&str>, name: &str| api::TaskState::Leased {
            worker: "ae44a7b8ff00".into(),
            name: name.into(),
            attempt: 1,
            since_ms: 12_000,
            paused: false,
            progress: progress.map(String::from),
        };
        assert_eq!(
            place(&leased(Some("compiling"), "bert")),
            "its module is being compiled on bert (ae44a7b8), which has had it for 12 s, attempt 1"
        );
        assert_eq!(
            at_work(&leased(Some("compiling"), "bert")).unwrap(),
            "its module is being compiled on bert"
        );
        assert_eq!(at_work(&leased(Some("running"), "")).unwrap(), "runs on ae44a7b8");
        assert!(place(&leased(None, "bert")).starts_with("held by bert (ae44a7b8), "));
        assert_eq!(at_work(&api::TaskState::Queued { before: 0 }), None);
    }

    #[test]
    fn what_another_node_calls_the_job_is_safe_to_show() {
        let job = String::from("a7\u{1b}[31m");
        let task = api::TaskState::Ended;
        let (deadline_missed, notes, responses) = (false, Vec::new(), Vec::new());
        let ended = None;
        let why = api::Why {
            job,
            index: 3,
            task,
            ended,
            deadline_left_ms: None,
            deadline_missed,
            notes,
            responses,
        };
        assert!(!headline(&why).contains('\u{1b}'), "{}", headline(&why));
    }

    #[test]
    fn an_end_says_how_and_by_whom_and_what_it_took() {
        let failed = api::TaskEnded {
            outcome: "failed".into(),
            exit_code: Some(3),
            reason: None,
            worker: Some("ae44a7b8ff00".into()),
            name: "bert".into(),
            attempts: 2,
            memo: false,
            wall_us: 1500,
        };
        assert_eq!(end(&failed), "failed with exit code 3, by bert (ae44a7b8) in 1.5 ms, attempt 2");
        let known = api::TaskEnded {
            outcome: "done".into(),
            exit_code: Some(0),
            memo: true,
            attempts: 0,
            ..failed.clone()
        };
        assert_eq!(end(&known), "done; nothing ran, bert (ae44a7b8) had computed it before");
        let skipped = api::TaskEnded {
            outcome: "skipped".into(),
            exit_code: None,
            reason: Some("it comes after job 7".into()),
            worker: None,
            attempts: 0,
            ..failed
        };
        assert_eq!(end(&skipped), "skipped: it comes after job 7, and never ran");
        let lost = api::TaskEnded { outcome: "lost".into(), reason: None, attempts: 3, ..skipped };
        assert_eq!(end(&lost), "lost, after 3 attempts");
    }

    #[test]
    fn a_task_is_named_by_job_and_number() {
        assert_eq!(parse("3fa1").unwrap(), ("3fa1", None));
        assert_eq!(parse("3fa1/12").unwrap(), ("3fa1", Some(12)));
        assert!(parse("3fa1/x").unwrap_err().to_string().contains("number"));
    }
}
