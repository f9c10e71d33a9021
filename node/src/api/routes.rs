//! The routes with short answers: the state of node and jobs, and the few commands to a node.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use serde::Deserialize;
use weft_client::{api as wire, frames};
use weft_core::snapshot::Snapshot;
use weft_core::{Command, JobId, PeerId};

use super::error::{self, ApiError};
use super::places::take;
use super::stream::{Encoding, read_results};
use super::{Answered, Api, auth, blobs, json, metrics, submit, views};
use crate::jobs::JobSummary;

/// Longest time for which the answer to one question is held back.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// All routes, behind the check of who asks.
pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/peers/{id}/forget", post(forget))
        .route("/v1/jobs", get(jobs).post(submit::submit))
        .route("/v1/jobs/{id}", get(job))
        .route("/v1/jobs/{id}/why", get(why))
        .route("/v1/jobs/{id}/results", get(results))
        .route("/v1/jobs/{id}/cancel", post(cancel))
        .route("/v1/drain", post(drain))
        .route("/v1/stop", post(stop))
        .route("/v1/blobs", put(blobs::put))
        .route("/v1/blobs/{id}", get(blobs::get))
        .route("/metrics", get(metrics::metrics))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "no such route").expected("one under /v1"))
        .layer(middleware::from_fn_with_state(api.clone(), auth::check))
        .layer(middleware::from_fn(error::unless_panicked))
        .with_state(api)
}

async fn status(State(api): State<Api>) -> Answered {
    let standing = api.handle.standing().await?;
    Ok(json::answer(&views::status(standing, &api.handle)))
}

async fn peers(State(api): State<Api>) -> Answered {
    let snapshot = api.handle.snapshot().await?;
    let peers: Vec<wire::Peer> = snapshot.peers.into_iter().map(views::peer).collect();
    Ok(json::answer(&peers))
}

/// Forgets a peer that is gone.
async fn forget(State(api): State<Api>, Path(name): Path<String>) -> Answered {
    let missing =
        || ApiError::not_found("peer", &name).expected("the whole id of one that GET /v1/peers lists");
    let peer: PeerId = name.parse().map_err(|_cause| missing())?;
    let snapshot = api.handle.snapshot().await?;
    let known = snapshot.peers.iter().find(|view| view.peer == peer).ok_or_else(missing)?;
    if known.connected {
        let text = format!("peer {} is connected: only one that is gone can be forgotten", peer.short());
        return Err(ApiError::new(StatusCode::CONFLICT, text).help("stop its node first"));
    }
    api.handle.command(Command::Forget(peer)).await?;
    Ok(json::answer(&serde_json::json!({ "peer": peer.to_string() })))
}

async fn jobs(State(api): State<Api>) -> Answered {
    let snapshot = api.handle.snapshot().await?;
    let jobs: Vec<wire::Job> =
        api.handle.jobs().summaries().into_iter().map(|summary| view(summary, &snapshot)).collect();
    Ok(json::answer(&jobs))
}

#[derive(Deserialize)]
struct JobQuery {
    wait_ms: Option<u64>,
}

async fn job(State(api): State<Api>, Path(name): Path<String>, Query(query): Query<JobQuery>) -> Answered {
    let mut summary = find(&api, &name)?;
    if let Some(ms) = query.wait_ms {
        let _permit = take(&api.lasting.waits).ok_or_else(|| {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients wait for the end of a job")
                .expected(format!("at most {}", api.lasting.bounds.waits))
                .help("ask without wait_ms now and then")
        })?;
        let ended = poll_fn(|cx| api.handle.jobs().poll_ended(cx, summary.job));
        // However the wait ends, the answer is the state then.
        drop(tokio::time::timeout(Duration::from_millis(ms).min(WAIT_MAX), ended).await);
        summary = find(&api, &summary.job.to_string())?;
    }
    let snapshot = api.handle.snapshot().await?;
    Ok(json::answer(&view(summary, &snapshot)))
}

fn view(summary: JobSummary, snapshot: &Snapshot) -> wire::Job {
    let job = summary.job;
    views::job_view(summary, snapshot.jobs.iter().find(|view| view.job == job))
}

/// The job of that id, or of the only id that begins so.
pub(super) fn find(api: &Api, name: &str) -> Result<JobSummary, ApiError> {
    let missing = || ApiError::not_found("job", name);
    if name.is_empty() || !name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(missing().expected("a job's id, or its first digits"));
    }
    let name = name.to_ascii_lowercase();
    if let Ok(job) = name.parse::<JobId>() {
        return api.handle.jobs().summary(job).ok_or_else(missing);
    }
    let mut fitting = api.handle.jobs().summaries().into_iter();
    let mut fitting = fitting.by_ref().filter(|summary| summary.job.to_string().starts_with(&name));
    let found = fitting.next().ok_or_else(missing)?;
    match fitting.next() {
        None => Ok(found),
        Some(_) => Err(ApiError::new(StatusCode::CONFLICT, format!("several jobs begin with {name}"))
            .expected("more digits of the id")),
    }
}

#[derive(Deserialize)]
struct WhyQuery {
    index: Option<u32>,
}

async fn why(State(api): State<Api>, Path(name): Path<String>, Query(query): Query<WhyQuery>) -> Answered {
    let summary = find(&api, &name)?;
    let job = summary.job;
    let index = query.index.or_else(|| api.handle.jobs().first_unended(job)).unwrap_or(0);
    let why = api.handle.why(job, index).await?;
    let why = why.ok_or_else(|| no_task(&summary, index))?;
    let snapshot = api.handle.snapshot().await?;
    let named = snapshot.peers.into_iter().map(|view| (view.peer, view.capacity.name));
    let names: BTreeMap<PeerId, String> =
        named.chain([(api.handle.info().peer, api.handle.info().name.clone())]).collect();
    Ok(json::answer(&views::why(job, index, why, &names)))
}

/// Why nothing is known of a task of a known job.
fn no_task(summary: &JobSummary, index: u32) -> ApiError {
    let JobSummary { job, tasks, .. } = summary;
    match tasks {
        0 => ApiError::not_found("task", &format!("{index} in job {job}: it has none yet")),
        _ if index >= *tasks => ApiError::not_found("task", &format!("{index} in job {job}"))
            .expected(format!("0 to {}: it has {tasks}, counted from 0", tasks - 1)),
        _ => ApiError::not_found("task", &format!("{index} under way in job {job}: it has ended"))
            .help("`weft jobs` shows how many of its tasks are done"),
    }
}

async fn results(State(api): State<Api>, Path(name): Path<String>, headers: HeaderMap) -> Answered {
    let summary = find(&api, &name)?;
    if !summary.meta.detached {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "the results of an attached job flow to its submitter",
        )
        .help("submit it detached to read its results here"));
    }
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let encoding = if accept == frames::CONTENT_TYPE { Encoding::Frames } else { Encoding::JsonLines };
    let permit = submit::stream_permit(&api)?;
    let body = read_results(api, summary.job, encoding, permit);
    Ok(submit::streaming(summary.job, encoding, body))
}

async fn cancel(State(api): State<Api>, Path(name): Path<String>) -> Answered {
    let summary = find(&api, &name)?;
    let job = summary.job;
    if !summary.ended {
        api.handle.jobs().cancel(job);
        // An open job would wait for tasks that its stream no longer reads.
        api.handle.command(Command::Close { job }).await?;
        api.handle.command(Command::Cancel { job }).await?;
    }
    Ok(json::answer(&serde_json::json!({ "job": job.to_string() })))
}

#[derive(Deserialize)]
struct DrainQuery {
    on: bool,
}

async fn drain(State(api): State<Api>, Query(query): Query<DrainQuery>) -> Answered {
    api.handle.command(Command::Drain(query.on)).await?;
    Ok(json::answer(&serde_json::json!({ "draining": query.on })))
}

async fn stop(State(api): State<Api>) -> Answered {
    api.handle.stop();
    Ok(json::answer(&serde_json::json!({ "stopping": true })))
}
