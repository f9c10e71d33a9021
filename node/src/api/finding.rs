//! One job by what a client calls it.

use axum::http::StatusCode;
use weft_core::JobId;

use super::Api;
use super::error::ApiError;
use super::title::is_like_an_id;
use crate::jobs::JobSummary;

/// Jobs that are named where a name means several.
const SEVERAL_SHOWN: usize = 4;

/// The job of that id, of the only id that begins so, or of that name.
pub(super) fn find(api: &Api, name: &str) -> Result<JobSummary, ApiError> {
    let jobs = api.handle.jobs();
    let missing = || {
        let missing = ApiError::not_found("job", name).expected("a job's id, its first digits, or its name");
        match api.handle.unopened_journal() {
            Some(why) => missing.help(format!("jobs on the disk of this node are not known now: {why}")),
            None => missing,
        }
    };
    let (fitting, what) = match name.to_ascii_lowercase().parse::<JobId>() {
        Ok(job) => (vec![job], "have the id"),
        Err(_) if name.is_empty() => return Err(missing()),
        Err(_) if is_like_an_id(name) => {
            (jobs.beginning(&name.to_ascii_lowercase(), SEVERAL_SHOWN), "begin with")
        }
        Err(_) => (jobs.named(name, SEVERAL_SHOWN), "have the name"),
    };
    match fitting.as_slice() {
        [] => Err(missing()),
        [job] => jobs.summary(*job).ok_or_else(|| hurt(api, *job).unwrap_or_else(missing)),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(ApiError::new(StatusCode::CONFLICT, format!("several jobs {what} {name}"))
                .expected(format!("one of {}", ids.join(", "))))
        }
    }
}

/// That a job is known, and its records can't be used, if that is so.
fn hurt(api: &Api, job: JobId) -> Option<ApiError> {
    let journal = api.handle.journal()?;
    let (_, why) = journal.quarantined.into_iter().find(|(hurt, _)| *hurt == job)?;
    let text = format!("job {job} is in quarantine, its records can't be used: {why}");
    Some(ApiError::new(StatusCode::CONFLICT, text).help("`weft forget` removes what is left of it"))
}
