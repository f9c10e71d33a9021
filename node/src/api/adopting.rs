//! `POST /v1/jobs/{id}/adopt`: a new job in place of one whose nodes are gone. Only for a client on this machine, whose node has
//! a copy of the job: what is made belongs to this node, and nothing of the old job is changed.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weft_client::api as wire;
use weft_core::{JobId, Level, PeerId};

use super::caller::Names;
use super::error::ApiError;
use super::finding::find;
use super::submit::{check_open, random_job};
use super::{Answered, Api, convert, elsewhere, json};
use crate::handle::{ADOPTED_FROM, Heir, Inheritance, NotAdopted};
use crate::jobs::{JobSummary, Title};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdoptQuery {
    #[serde(default)]
    force: bool,
    #[serde(default = "disk")]
    level: wire::Level,
}

fn disk() -> wire::Level {
    wire::Level::Disk
}

pub(super) async fn adopt(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<AdoptQuery>,
) -> Answered {
    check_open(&api)?;
    let level = convert::level_in(query.level);
    if level == Level::Memory {
        return Err(ApiError::bad("level memory: an adopted job is kept").expected("level disk or mesh"));
    }
    let summary =
        find(&api, &name).map_err(|error| if error.is_not_found() { no_copy(&name) } else { error })?;
    check_left(&api, &summary).await?;
    if !query.force {
        return Err(unforced(&summary, api.handle.adoptable(summary.job).await?));
    }
    let heir = Heir { job: random_job()?, level, title: title(summary.job, &summary.meta.title) };
    let (handle, job, to) = (api.handle.clone(), summary.job, heir.job);
    // It is done to its end also when the client goes away.
    #[expect(
        clippy::disallowed_methods,
        reason = "dropped with its request it would leave an open job; it ends by itself"
    )]
    let adopted = tokio::spawn(async move { handle.adopt(job, heir).await }).await;
    let adopted = adopted.map_err(|ended| {
        crate::ports::report_panic("adopting a job", ended);
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "adopting the job broke, which is a fault of weft")
    })??;
    let Inheritance { tasks, outcomes, is_half } = adopted;
    let copy_of = match summary.meta.level {
        Level::Disk => {
            Some(Names::of(&api, &api.handle.snapshot().await?).node(summary.owner()).called().to_owned())
        }
        Level::Memory | Level::Mesh => None,
    };
    Ok(json::answer(&wire::Adopted {
        job: to.to_string(),
        from: job.to_string(),
        level: query.level,
        tasks,
        outcomes,
        copy_of,
        cancelled: is_half,
    }))
}

/// A job is adopted only where a copy of it is.
fn no_copy(name: &str) -> ApiError {
    ApiError::not_found("job", name)
        .expected("a job of which this node has a copy")
        .help("this node has no copy of it: adopt it on one of the nodes that keep it")
}

/// Whether no node leads the job any more: only then is there a reason to make another one of it.
async fn check_left(api: &Api, summary: &JobSummary) -> Result<(), ApiError> {
    let Some(custody) = &summary.custody else { return Ok(()) };
    let leader = match summary.here() {
        Ok(()) => {
            let connected = api.handle.asker().map(weft_net::Asker::connected).unwrap_or_default();
            let helps = custody.keepers.iter().any(|keeper| connected.contains(keeper));
            helps.then(|| api.handle.info().peer)
        }
        Err(_) => elsewhere::leader_of(api, summary).await,
    };
    match leader {
        Some(leader) => Err(led(api, summary, leader).await?),
        None => Ok(()),
    }
}

async fn led(api: &Api, summary: &JobSummary, leader: PeerId) -> Result<ApiError, ApiError> {
    let names = Names::of(api, &api.handle.snapshot().await?);
    let node = names.node(leader);
    let text = format!("node {} leads job {}, which goes on by itself", node.called(), summary.job);
    let help = match summary.meta.level {
        Level::Disk => "a copy of a job is adopted where the node that owns the job is gone for good",
        Level::Memory | Level::Mesh => {
            "a job is adopted where two of the three nodes that keep it are gone for good"
        }
    };
    Ok(ApiError::new(StatusCode::CONFLICT, text).help(help))
}

/// What would happen.
fn unforced(summary: &JobSummary, inheritance: Inheritance) -> ApiError {
    let Inheritance { tasks, outcomes, is_half } = inheritance;
    let job = summary.job;
    let rest = tasks.saturating_sub(outcomes);
    let then = if is_half {
        format!("the other {rest} are cancelled, because not all inputs of the job had come")
    } else {
        format!("the other {rest} run here, some perhaps for a second time")
    };
    let text = format!(
        "job {job} would be made anew under another id: {outcomes} of its {tasks} tasks have results in this node's copy, {then}"
    );
    let gone = match summary.meta.level {
        Level::Disk => "the node that owns it is",
        Level::Memory | Level::Mesh => "two of the three nodes that keep it are",
    };
    ApiError::new(StatusCode::CONFLICT, text)
        .help(format!("if {gone} gone for good: `weft adopt {job} --force`"))
}

/// What the old job is called, and of which one the new one is made. That label is one more than a user can give: without it the
/// job would be adopted a second time.
fn title(job: JobId, old: &Title) -> Title {
    let mut title = Title::clone(old);
    title.labels.insert(ADOPTED_FROM.to_owned(), job.to_string());
    title
}

impl From<NotAdopted> for ApiError {
    fn from(error: NotAdopted) -> Self {
        let text = error.to_string();
        match error {
            NotAdopted::NotChanged(error) => error.into(),
            NotAdopted::Refused(error) => error.into(),
            NotAdopted::Full(error) => error.into(),
            NotAdopted::OfThisNode(_) => Self::new(StatusCode::CONFLICT, text),
            NotAdopted::Before { heir, .. } => Self::new(StatusCode::CONFLICT, text)
                .help(format!("`weft wait {heir}`; to adopt it again, `weft forget {heir}` first")),
            NotAdopted::Unfit { .. } => Self::new(StatusCode::CONFLICT, text)
                .help("submit it again, or wait until the nodes that keep it are back"),
            NotAdopted::NoBytes { .. } => Self::new(StatusCode::CONFLICT, text)
                .help("put them into this node's store (`weft blob put FILE`), and ask again"),
            NotAdopted::Changed(_) => {
                Self::new(StatusCode::CONFLICT, text).help("look at the job, and ask again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_with_all_labels_that_it_may_have_is_adopted_once_too() {
        let labels = (0..32).map(|number| (format!("label {number}"), String::new())).collect();
        let old = Title { name: String::from("friday"), labels };
        let new = title(JobId(7), &old);
        assert_eq!((new.labels.len(), new.labels[ADOPTED_FROM].as_str()), (33, "0000000000000007"));
        assert_eq!(title(JobId(8), &new).labels[ADOPTED_FROM], "0000000000000008", "of the last one");
    }
}
