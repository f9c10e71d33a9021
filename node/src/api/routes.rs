//! The routes with short answers: the state of node and jobs, and the few commands to a node.

use std::future::poll_fn;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Extension, Router, middleware};
use serde::Deserialize;
use weft_client::api as wire;
use weft_core::{Command, PeerId};

use super::caller::{Caller, Names};
use super::elsewhere;
use super::error::{self, ApiError};
use super::finding::{find_here, find_readable};
use super::places::take;

use super::{
    Answered, Api, adopting, auth, blobs, events, json, listing, metrics, resume, submit, verbs, views, why,
};

/// Longest time for which the answer to one question is held back.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// All routes, behind the check of who asks.
pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/peers/{id}/forget", post(forget))
        .route("/v1/events", get(events::events))
        .route("/v1/jobs", get(listing::jobs).post(submit::submit))
        .route("/v1/jobs/{id}/inputs", post(resume::resume))
        .route("/v1/jobs/{id}/adopt", post(adopting::adopt))
        .merge(of_jobs().route_layer(middleware::from_fn_with_state(api.clone(), elsewhere::pass_on)))
        .route("/v1/drain", post(drain))
        .route("/v1/stop", post(stop))
        .route("/v1/blobs", put(blobs::put))
        .route("/v1/blobs/{id}", get(blobs::get))
        .route("/metrics", get(metrics::metrics))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "no such route").expected("one under /v1"))
        .layer(Extension(Caller::Here))
        .layer(middleware::from_fn_with_state(api.clone(), auth::check))
        .layer(middleware::from_fn(error::unless_panicked))
        .with_state(api)
}

/// The routes of one job, which are the same for other members.
pub(super) fn of_jobs() -> Router<Api> {
    Router::new()
        .route("/v1/jobs/{id}", get(job))
        .route("/v1/jobs/{id}/why", get(why::why))
        .route("/v1/jobs/{id}/results", get(verbs::results))
        .route("/v1/jobs/{id}/cancel", post(verbs::cancel))
        .route("/v1/jobs/{id}/retry", post(verbs::retry))
        .route("/v1/jobs/{id}/forget", post(verbs::forget))
}

async fn status(State(api): State<Api>) -> Answered {
    let standing = api.handle.standing().await?;
    Ok(json::answer(&views::status(standing, &api)))
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

#[derive(Deserialize)]
struct JobQuery {
    wait_ms: Option<u64>,
}

async fn job(State(api): State<Api>, Path(name): Path<String>, Query(query): Query<JobQuery>) -> Answered {
    let mut summary = find_readable(&api, &name)?;
    if let Some(ms) = query.wait_ms {
        let _permit = take(&api.lasting.waits).ok_or_else(|| {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients wait for the end of a job")
                .expected(format!("at most {}", api.lasting.bounds.waits))
                .help("ask without wait_ms now and then")
        })?;
        let ended = poll_fn(|cx| api.handle.jobs().poll_ended(cx, summary.job));
        // However the wait ends, the answer is the state then.
        drop(tokio::time::timeout(Duration::from_millis(ms).min(WAIT_MAX), ended).await);
        summary = find_here(&api, &summary.job.to_string())?;
    }
    let snapshot = api.handle.snapshot().await?;
    let names = Names::of(&api, &snapshot);
    Ok(json::answer(&views::job(summary, &snapshot, &names)))
}

#[derive(Deserialize)]
struct DrainQuery {
    on: bool,
}

async fn drain(State(api): State<Api>, Query(query): Query<DrainQuery>) -> Answered {
    if api.handle.is_stopping() && !query.on {
        return Err(ApiError::stopping("takes no new work"));
    }
    api.handle.command(Command::Drain(query.on)).await?;
    Ok(json::answer(&serde_json::json!({ "draining": query.on })))
}

async fn stop(State(api): State<Api>) -> Answered {
    api.handle.stop();
    Ok(json::answer(&serde_json::json!({ "stopping": true })))
}
