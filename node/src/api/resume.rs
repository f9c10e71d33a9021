//! `POST /v1/jobs/{id}/inputs`: a client whose stream of inputs broke when the job's node ended goes on with them.

use axum::Extension;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use weft_client::frames::{self, Splitter};

use super::caller::Caller;
use super::error::ApiError;
use super::finding::find_here;
use super::open_job::OpenJob;
use super::results::{Encoding, accepted};
use super::stream::{JobStream, Results, Source};
use super::submit::{check_open, stream_permit, streaming};
use super::{Answered, Api};
use crate::jobs::NotFed;

#[derive(Deserialize)]
pub(super) struct Resumption {
    /// How many inputs the job has: the body brings those behind them.
    from: u32,
    /// Where the results begin that the client does not have.
    #[serde(default)]
    next: u64,
    /// Whether it takes no results.
    #[serde(default)]
    detached: bool,
}

pub(super) async fn resume(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(Resumption { from, next, detached }): Query<Resumption>,
    headers: HeaderMap,
    request: Request,
) -> Answered {
    let permit = stream_permit(&api)?;
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != frames::CONTENT_TYPE) {
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "inputs come in frames")
            .expected(frames::CONTENT_TYPE));
    }
    if api.handle.is_stopping() {
        // Its next life takes them.
        return Err(ApiError::stopping("takes no inputs").soon());
    }
    check_open(&api)?;
    let summary = find_here(&api, &name)?;
    // Who brings inputs, or stops bringing them, changes the job.
    caller.check(&api, &summary).await?;
    let job = summary.job;
    let feed = api.handle.jobs().feed_on(job, from)?;
    let mut open = OpenJob::new(api, job, feed, permit);
    (open.handed_in, open.goes_on) = (true, !detached);
    let listener = (!detached).then(|| open.api.handle.listen(job));
    let source = Source { body: request.into_body().into_data_stream(), splitter: Splitter::default() };
    let stream = JobStream {
        open,
        source: Some(source),
        results: if detached { Results::NotTold } else { Results::Read { next } },
        _listener: listener,
        reading: None,
        encoding: Encoding::Frames,
        first: accepted(Encoding::Frames, job),
        kept: from,
        is_cut: false,
        over: false,
    };
    Ok(streaming(job, Encoding::Frames, stream.into_body()))
}

impl From<NotFed> for ApiError {
    fn from(error: NotFed) -> Self {
        let text = error.to_string();
        match error {
            NotFed::Unknown(error) => error.into(),
            NotFed::Moved(moved) => moved.into(),
            NotFed::NotAwaited(_) => {
                Self::new(StatusCode::CONFLICT, text).help("`weft jobs` shows how far it is")
            }
            // Its leader changed since the client asked.
            NotFed::Otherwise { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, text).soon(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use axum::body::Body;
    use weft_core::{JobId, Level, PeerId};

    use super::super::testing::{loopless, meta};
    use super::*;
    use crate::jobs::JobMeta;

    const JOB: JobId = JobId(7);

    #[tokio::test]
    async fn inputs_come_only_from_who_may_change_the_job() {
        let dir = tempfile::tempdir().unwrap();
        let api = loopless(dir.path()).api;
        let jobs = api.handle.jobs();
        let owner = PeerId([2; 32]);
        jobs.create(JOB, JobMeta { level: Level::Mesh, owner, ..meta() }).unwrap();
        jobs.await_client(JOB, Instant::now() + Duration::from_secs(60));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, frames::CONTENT_TYPE.parse().unwrap())]);
        let resumption = Resumption { from: 0, next: 0, detached: false };
        let (name, request) = (Path(JOB.to_string()), Request::new(Body::empty()));
        let from_here =
            resume(State(api.clone()), Extension(Caller::Here), name, Query(resumption), headers, request);
        assert!(from_here.await.is_err());
        assert!(jobs.feed_on(JOB, 0).is_ok(), "its own client can still come");
        assert!(!jobs.is_cancelled(JOB));
    }
}
