//! The verbs on one job: results, cancel, retry, forget.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use weft_core::JobId;

use super::caller::Caller;
use super::error::ApiError;
use super::finding::{find_here, find_readable};
use super::results::{Encoding, Reading, read_results};
use super::{Answered, Api, json, submit};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultsQuery {
    from: Option<u64>,
    limit: Option<usize>,
    follow: Option<bool>,
}

pub(super) async fn results(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<ResultsQuery>,
    headers: HeaderMap,
) -> Answered {
    let summary = find_readable(&api, &name)?;
    if !summary.meta.detached {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "the results of an attached job in memory flow to its submitter",
        )
        .help("submit it detached, or with level disk, to read its results here"));
    }
    let ResultsQuery { from, limit, follow } = query;
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let encoding = Encoding::of(accept);
    let reading = Reading {
        encoding,
        from: from.unwrap_or(0),
        limit: limit.unwrap_or(usize::MAX),
        // Nothing more comes to a copy whose owner is gone.
        follow: follow.unwrap_or(true) && !summary.is_left_copy(),
    };
    let permit = submit::stream_permit(&api)?;
    let body = read_results(api, summary.job, reading, permit);
    Ok(submit::streaming(summary.job, encoding, body))
}

pub(super) async fn cancel(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answered {
    let summary = find_here(&api, &name)?;
    caller.check(&api, &summary).await?;
    api.handle.cancel(summary.job).await?;
    Ok(answer(summary.job))
}

/// Runs the tasks again that did not end as done.
pub(super) async fn retry(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answered {
    let summary = find_here(&api, &name)?;
    caller.check(&api, &summary).await?;
    let job = summary.job;
    api.handle.retry(job).await?;
    Ok(answer(job))
}

/// Forgets a job that has ended, or whose records can't be used.
pub(super) async fn forget(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answered {
    let job = match (name.parse::<JobId>(), api.handle.journal()) {
        // Whose it is can't be read any more: it is this node's to forget.
        (Ok(job), Some(journal))
            if caller == Caller::Here && journal.quarantined.iter().any(|(hurt, _)| *hurt == job) =>
        {
            job
        }
        (Ok(_) | Err(_), _) => {
            let summary = find_here(&api, &name)?;
            caller.check(&api, &summary).await?;
            summary.job
        }
    };
    api.handle.forget(job).await?;
    Ok(answer(job))
}

fn answer(job: JobId) -> axum::response::Response {
    json::answer(&serde_json::json!({ "job": job.to_string() }))
}
