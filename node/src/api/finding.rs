//! One job by what a client calls it.

use axum::http::StatusCode;
use weft_core::JobId;

use super::Api;
use super::error::ApiError;
use super::title::is_like_an_id;
use crate::counts::millis;
use crate::jobs::{JobSummary, now_ms};

/// Jobs that are named where a name means several.
const SEVERAL_SHOWN: usize = 4;

/// The job of that id, of the only id that begins so, or of that name.
pub(super) fn find(api: &Api, name: &str) -> Result<JobSummary, ApiError> {
    let jobs = api.handle.jobs();
    let missing = || {
        let missing = ApiError::not_found("job", name).expected("a job's id, its first digits, or its name");
        match why_unknown(api, name) {
            Some(why) => missing.help(why),
            None => missing,
        }
    };
    match fitting(api, name).as_slice() {
        [] => Err(missing()),
        [job] => jobs.summary(*job).ok_or_else(|| hurt(api, *job).unwrap_or_else(missing)),
        several => Err(ambiguous(api, name, several)),
    }
}

/// The same, if this node leads it.
pub(super) fn find_here(api: &Api, name: &str) -> Result<JobSummary, ApiError> {
    let summary = find(api, name)?;
    summary.here()?;
    Ok(summary)
}

/// The same; also one of which this node has a copy, and whose owner is not connected.
pub(super) fn find_readable(api: &Api, name: &str) -> Result<JobSummary, ApiError> {
    let summary = find(api, name)?;
    if !summary.is_left_copy() {
        summary.here()?;
    }
    Ok(summary)
}

/// Why a job of this node may not be known, as far as the node can tell.
pub(super) fn why_unknown(api: &Api, name: &str) -> Option<String> {
    unread(api).or_else(|| forgotten(api, name))
}

/// When a job was forgotten, if it was one of the last.
fn forgotten(api: &Api, name: &str) -> Option<String> {
    let digits = match Named::of(name) {
        Named::Id(job) => job.to_string(),
        Named::Beginning(digits) if !digits.is_empty() => digits,
        Named::Beginning(_) | Named::Name => return None,
    };
    let (job, at_ms) = api.handle.jobs().forgotten(&digits)?;
    let before = match at_ms {
        Some(at_ms) => {
            format!("{} ago", millis(now_ms().saturating_sub(at_ms)))
        }
        None => String::from("before this node was started"),
    };
    Some(format!("job {job} was here and was forgotten with its results, {before}"))
}

/// Why jobs of this node may not be known, if its journal could not be opened.
fn unread(api: &Api) -> Option<String> {
    let why = api.handle.unopened_journal()?;
    Some(format!("jobs on the disk of this node are not known now: {why}"))
}

/// The jobs that a client may mean: the one of that id, known or not; those whose ids begin so; or those of that name.
pub(super) fn fitting(api: &Api, name: &str) -> Vec<JobId> {
    let jobs = api.handle.jobs();
    match Named::of(name) {
        Named::Id(job) => vec![job],
        Named::Beginning(digits) if digits.is_empty() => Vec::new(),
        Named::Beginning(digits) => jobs.beginning(&digits, SEVERAL_SHOWN),
        Named::Name => jobs.named(name, SEVERAL_SHOWN),
    }
}

/// How a client calls a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Id(JobId),
    /// The first digits of an id, in lower case.
    Beginning(String),
    Name,
}

impl Named {
    pub(super) fn of(name: &str) -> Self {
        let digits = name.to_ascii_lowercase();
        match digits.parse() {
            Ok(job) => Self::Id(job),
            Err(_) if is_like_an_id(name) => Self::Beginning(digits),
            Err(_) => Self::Name,
        }
    }

    /// Whether that job may be meant.
    pub(super) fn may_be(&self, job: JobId) -> bool {
        match self {
            Self::Id(named) => *named == job,
            Self::Beginning(digits) => job.to_string().starts_with(digits),
            Self::Name => true,
        }
    }
}

/// That more than one job is meant.
pub(super) fn ambiguous(api: &Api, name: &str, jobs: &[JobId]) -> ApiError {
    let what = match Named::of(name) {
        Named::Id(_) => "have the id",
        Named::Beginning(_) => "begin with",
        Named::Name => "have the name",
    };
    let now_ms = now_ms();
    let called = |job: &JobId| match api.handle.jobs().summary(*job) {
        Some(known) => format!("{job} ({} ago)", millis(now_ms.saturating_sub(known.meta.submitted_ms))),
        None => job.to_string(),
    };
    let ids: Vec<String> = jobs.iter().map(called).collect();
    ApiError::new(StatusCode::CONFLICT, format!("several jobs {what} {name}"))
        .expected(format!("one of {}", ids.join(", ")))
}

/// That a job is known, and its records can't be used, if that is so.
fn hurt(api: &Api, job: JobId) -> Option<ApiError> {
    let journal = api.handle.journal()?;
    let (_, why) = journal.quarantined.into_iter().find(|(hurt, _)| *hurt == job)?;
    let text = format!("job {job} is in quarantine, its records can't be used: {why}");
    Some(ApiError::new(StatusCode::CONFLICT, text).help("`weft forget` removes what is left of it"))
}
