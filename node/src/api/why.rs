//! `GET /v1/jobs/{id}/why`: where a task is and what each peer answered about it, in the API's types; and how it ended, from its
//! result among those that are kept of its job.

use axum::extract::{Path, Query, State};
use serde::Deserialize;
use weft_client::api as wire;
use weft_core::snapshot::{Deadline, PeerResponse, Response, TaskView, Why};
use weft_core::{JobId, Outcome, PeerId};

use super::caller::Names;
use super::convert;
use super::error::ApiError;
use super::finding::find_here;
use super::results::PORTION;
use super::{Answered, Api, json};
use crate::handle::NoResults;
use crate::jobs::{JobSummary, TaskEnd};

/// Results of one job that are looked through for that of a task. They come in about the order of the tasks.
const SEARCHED_MAX: u64 = 100_000;

/// Which task is asked for, if one is.
#[derive(Debug, Deserialize)]
pub(super) struct WhyQuery {
    index: Option<u32>,
}

/// Why a task is where it is: the one that is asked for, else the first that has not ended, or else the first that was not done.
pub(super) async fn why(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<WhyQuery>,
) -> Answered {
    let summary = find_here(&api, &name)?;
    let job = summary.job;
    let index = query.index.or_else(|| api.handle.jobs().first_unended(job));
    let failed = match index {
        None if summary.done < summary.tasks => find_end(&api, job, Asked::Failed).await.ok(),
        None | Some(_) => None,
    };
    let index = index.or(failed.as_ref().map(|end| end.index)).unwrap_or(0);
    let why = api.handle.why(job, index).await?;
    let names = Names::of(&api, &api.handle.snapshot().await?);
    let mut said = match why {
        Some(why) => place(job, index, why, &names),
        None if summary.ended && index < summary.tasks => over(&summary, index),
        None => return Err(no_task(&summary, index)),
    };
    if is_over(&said.task) {
        let end = match failed {
            Some(failed) => Ok(failed),
            None => find_end(&api, job, Asked::Index(index)).await,
        };
        match end {
            Ok(end) => said.ended = Some(ended(end, &names)),
            Err(why) => said.notes.push(why),
        }
    }
    said.notes.extend(lost_parents(&api, &summary));
    Ok(json::answer(&said))
}

fn is_over(task: &wire::TaskState) -> bool {
    matches!(task, wire::TaskState::Ended | wire::TaskState::Cancelled | wire::TaskState::Expired)
}

/// The jobs that one comes after and whose records can't be used, in sentences.
fn lost_parents(api: &Api, summary: &JobSummary) -> Vec<String> {
    let quarantined = api.handle.journal().unwrap_or_default().quarantined;
    let is_lost = |parent: &&JobId| quarantined.iter().any(|(hurt, _)| hurt == *parent);
    let note = |parent: &JobId| {
        format!(
            "job {parent}, which it comes after, is in quarantine and counts as one that did not succeed; `weft retry {}` \
             runs what was skipped for that",
            summary.job
        )
    };
    summary.meta.after.iter().filter(is_lost).map(note).collect()
}

/// Why nothing is known of a task of a known job.
fn no_task(summary: &JobSummary, index: u32) -> ApiError {
    let JobSummary { job, tasks, .. } = summary;
    match tasks {
        0 => ApiError::not_found("task", &format!("{index} in job {job}: it has none yet")),
        _ if index >= *tasks => ApiError::not_found("task", &format!("{index} in job {job}"))
            .expected(format!("0 to {}: it has {tasks}, counted from 0", tasks - 1)),
        _ => ApiError::not_found("task", &format!("{index} under way in job {job}: it has just ended"))
            .help("ask again"),
    }
}

/// Where a task is, and each peer's answer.
fn place(job: JobId, index: u32, why: Why, names: &Names) -> wire::Why {
    let Why { state, deadline, responses, notes } = why;
    let notes = notes.iter().map(ToString::to_string).collect();
    let name = |peer: PeerId| names.node(peer).name;
    let task = match state {
        TaskView::Queued { before } => wire::TaskState::Queued { before },
        TaskView::Leased { worker, attempt, since_ms, paused, progress } => wire::TaskState::Leased {
            worker: worker.to_string(),
            name: name(worker),
            attempt,
            since_ms,
            paused,
            progress: progress.word().map(String::from),
        },
        TaskView::Fetching { worker } => {
            wire::TaskState::Fetching { worker: worker.to_string(), name: name(worker) }
        }
        TaskView::Ended => wire::TaskState::Ended,
        TaskView::Cancelled => wire::TaskState::Cancelled,
        TaskView::NotBefore { in_ms } => wire::TaskState::NotBefore { in_ms },
        TaskView::Delayed { failures, in_ms } => wire::TaskState::Delayed { failures, in_ms },
        TaskView::Expired => wire::TaskState::Expired,
        TaskView::Gathering => wire::TaskState::Gathering,
        TaskView::AwaitsResult { of } => wire::TaskState::AwaitsResult { of: of.to_string() },
        TaskView::After { parents, left } => {
            wire::TaskState::After { parents: parents.iter().map(ToString::to_string).collect(), left }
        }
    };
    let (deadline_left_ms, deadline_missed) = match deadline {
        None => (None, false),
        Some(Deadline::Left { ms }) => (Some(ms), false),
        Some(Deadline::Missed) => (None, true),
    };
    let response = |PeerResponse { peer, response, ago_ms }: PeerResponse| wire::PeerResponse {
        name: name(peer),
        peer: peer.to_string(),
        response: self::response(response),
        ago_ms,
    };
    let responses = responses.into_iter().map(response).collect();
    wire::Why {
        job: job.to_string(),
        index,
        task,
        ended: None,
        deadline_left_ms,
        deadline_missed,
        notes,
        responses,
    }
}

fn response(response: Response) -> wire::Response {
    match response {
        Response::Nothing => wire::Response::Nothing,
        Response::Bid(slots) => wire::Response::Bid { slots },
        Response::Declined(reason) => wire::Response::Declined { reason: reason.to_string() },
        Response::NotAsked(reason) => wire::Response::NotAsked { reason: reason.to_string() },
        Response::Unreachable => wire::Response::Unreachable,
    }
}

/// Which task is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// That one.
    Index(u32),
    /// The first that ended otherwise than done, of those that were told first.
    Failed,
}

impl Asked {
    fn is(self, end: &TaskEnd) -> bool {
        match self {
            Self::Index(index) => end.index == index,
            Self::Failed => end.report.outcome != Outcome::Done,
        }
    }

    /// From which result on it is looked for: about as many before it as behind it.
    fn from(self) -> u64 {
        match self {
            Self::Index(index) => u64::from(index).saturating_sub(SEARCHED_MAX / 2),
            Self::Failed => 0,
        }
    }
}

/// The end of a task of that job; in words why it is not found.
async fn find_end(api: &Api, job: JobId, asked: Asked) -> Result<TaskEnd, String> {
    let first = asked.from();
    let mut from = first;
    while from - first < SEARCHED_MAX {
        let results = match api.handle.results_now(job, from, PORTION).await {
            Ok(results) => results,
            Err(NoResults::NotKept(_)) => {
                return Err(String::from(
                    "its result went to the client that submitted the job, and is not kept",
                ));
            }
            Err(error) => return Err(error.to_string()),
        };
        if results.next == from {
            break;
        }
        from = results.next;
        if let Some(end) = results.ends.into_iter().find(|end| asked.is(end)) {
            return Ok(end);
        }
    }
    Err(String::from(
        "its result is not among those that were looked through; `weft results` has all of them",
    ))
}

/// A task that is over, of which the engine knows no more than that.
fn over(summary: &JobSummary, index: u32) -> wire::Why {
    wire::Why {
        job: summary.job.to_string(),
        index,
        task: wire::TaskState::Ended,
        ended: None,
        deadline_left_ms: None,
        deadline_missed: false,
        notes: Vec::new(),
        responses: Vec::new(),
    }
}

/// The end as it is told.
fn ended(end: TaskEnd, names: &Names) -> wire::TaskEnded {
    let worker = end.worker;
    let item = convert::result(end);
    wire::TaskEnded {
        outcome: String::from(item.outcome.word()),
        exit_code: item.outcome.exit_code(),
        reason: item.outcome.reason().map(String::from),
        worker: worker.as_ref().map(PeerId::to_string),
        name: worker.map(|worker| names.node(worker).name).unwrap_or_default(),
        attempts: item.attempts,
        memo: item.memo.is_some(),
        wall_us: item.usage.wall_us,
    }
}
