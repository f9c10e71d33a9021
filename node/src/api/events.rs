//! `GET /v1/events`: what became of jobs and nodes, a page at a time; the answer is held back while there is none.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_client::api::{self as wire, JobState, What};
use weft_core::JobId;

use super::error::ApiError;
use super::finding::find_readable;
use super::places::take;
use super::{Answered, Api, convert, json};
use crate::jobs::{Counts, Happened, Look};

/// Longest time for which an answer is held back.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    from: Option<u64>,
    job: Option<String>,
    wait_ms: Option<u64>,
}

pub(super) async fn events(State(api): State<Api>, Query(query): Query<EventsQuery>) -> Answered {
    let EventsQuery { from, job, wait_ms } = query;
    let job = job.map(|job| job_here(&api, &job)).transpose()?;
    let (from, events) = (from.unwrap_or(0), api.handle.jobs().events());
    let mut look = events.look(from, job);
    if let Some(wait_ms) = wait_ms.filter(|wait_ms| *wait_ms > 0 && is_empty(&look)) {
        let _permit = take(&api.lasting.waits).ok_or_else(|| {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients wait for events or ends of jobs")
                .expected(format!("at most {}", api.lasting.bounds.waits))
                .help("ask without wait_ms now and then")
        })?;
        let time = Duration::from_millis(wait_ms).min(WAIT_MAX);
        let waits = events.look_or_wait(look.next, job);
        if let Ok(found) = tokio::time::timeout(time, waits).await {
            look = found;
        }
    }
    Ok(json::answer(&page(look)))
}

/// A job whose events this node notes.
fn job_here(api: &Api, name: &str) -> Result<JobId, ApiError> {
    let summary = find_readable(api, name)?;
    match summary.here() {
        Ok(()) => Ok(summary.job),
        Err(moved) => {
            let told = ApiError::new(StatusCode::CONFLICT, moved.to_string());
            Err(told.help("that node has the job's events: ask there"))
        }
    }
}

fn is_empty(look: &Look) -> bool {
    look.events.is_empty() && look.missed.is_none() && look.is_all
}

fn page(look: Look) -> wire::Events {
    let Look { missed, events, next, is_all } = look;
    let missed = missed.map(|(from, to)| wire::Missed { from, to });
    let event = |(offset, happened)| wire::Event { offset, what: what(happened) };
    wire::Events { missed, events: events.into_iter().map(event).collect(), next, is_all }
}

fn what(happened: Happened) -> What {
    match happened {
        Happened::Submitted { job, meta } => What::Submitted {
            job: job.to_string(),
            name: meta.title.name.clone(),
            level: convert::level_out(meta.level),
        },
        Happened::Led { job, counts } => {
            What::Led { job: job.to_string(), tasks: counts.tasks, done: counts.done }
        }
        Happened::Moved { job, leader } => {
            What::Moved { job: job.to_string(), leader: leader.map(|leader| leader.to_string()) }
        }
        Happened::Retried { job } => What::Retried { job: job.to_string() },
        Happened::Leased { job, index, worker, attempt } => {
            What::Leased { job: job.to_string(), index, worker: worker.to_string(), attempt }
        }
        Happened::LeaseLost { job, index, worker } => {
            What::LeaseLost { job: job.to_string(), index, worker: worker.to_string() }
        }
        Happened::TaskEnded { job, index, outcome, worker, attempts } => What::TaskEnded {
            job: job.to_string(),
            index,
            outcome: outcome.to_owned(),
            worker: worker.map(|worker| worker.to_string()),
            attempts,
        },
        Happened::JobEnded { job, counts: Counts { done, failed, cancelled, .. }, cancelled: by_user } => {
            let state = match failed + cancelled {
                _ if by_user => JobState::Cancelled,
                0 => JobState::Done,
                _ => JobState::Failed,
            };
            What::JobEnded { job: job.to_string(), state, done, failed, cancelled }
        }
        Happened::Forgotten { job } => What::Forgotten { job: job.to_string() },
        Happened::NodeUp { peer } => What::NodeUp { peer: peer.to_string() },
        Happened::NodeDown { peer, reason } => What::NodeDown { peer: peer.to_string(), reason },
    }
}
