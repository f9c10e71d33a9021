//! Results on their way to a client, as frames or as lines: those of a stream, and those of `GET /v1/jobs/{id}/results`,
//! which are read again and again.

use std::future::poll_fn;

use axum::body::{Body, Bytes};
use futures::stream;
use tokio::sync::OwnedSemaphorePermit;
use weft_client::frames::{self, NodeFrame, Summary};
use weft_core::JobId;

use super::Api;
use super::convert;
use super::error::ApiError;
use super::json;
use crate::jobs::{JobSummary, NoSuchJob, Portion, Print, Taken, TaskEnd};

/// Results told at once.
pub(super) const PORTION: Portion = Portion { results_max: frames::BATCH_MAX, bytes: frames::BATCH_BYTES };

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Frames,
    JsonLines,
}

impl Encoding {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Frames => frames::CONTENT_TYPE,
            Self::JsonLines => "application/x-ndjson",
        }
    }
}

/// Which results of a job are read, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) encoding: Encoding,
    /// How many are left out.
    pub(super) from: usize,
    /// How many are told at most.
    pub(super) limit: usize,
    /// Whether those that are not there yet are waited for.
    pub(super) follow: bool,
}

/// Results of a kept job on their way to one client.
struct Reader {
    api: Api,
    job: JobId,
    reading: Reading,
    first: Option<Vec<u8>>,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// Results of a kept job.
pub(super) fn read_results(
    api: Api,
    job: JobId,
    reading: Reading,
    permit: OwnedSemaphorePermit,
) -> Body {
    let first = Some(accepted(reading.encoding, job));
    let reader = Reader { api, job, reading, first, over: false, _permit: permit };
    Body::from_stream(stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next_chunk().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(chunk)), reader))
    }))
}

impl Reader {
    async fn next_chunk(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(first);
        }
        if self.over {
            return None;
        }
        match self.read().await {
            Ok(Taken::Results(ends)) => {
                self.reading.from += ends.len();
                self.reading.limit -= ends.len();
                Some(encode_results(self.reading.encoding, ends))
            }
            // Only the stream of an attached job tells them.
            Ok(Taken::Printed(_)) => Some(Vec::new()),
            Ok(Taken::Ended(summary)) => {
                self.over = true;
                Some(encode_end(self.reading.encoding, &summary))
            }
            Err(error) => {
                self.over = true;
                Some(encode_error(self.reading.encoding, error.into()))
            }
        }
    }

    async fn read(&self) -> Result<Taken, NoSuchJob> {
        let Self { api, job, reading: Reading { encoding: _, from, limit, follow }, .. } = self;
        let jobs = api.handle.jobs();
        let portion = Portion { results_max: PORTION.results_max.min(*limit), ..PORTION };
        if *follow && *limit > 0 {
            poll_fn(|cx| jobs.poll_read(cx, *job, *from, portion)).await
        } else {
            jobs.read(*job, *from, portion)
        }
    }
}

/// What a stream begins with. JSON lines have no such frame: a header names the job.
pub(super) fn accepted(encoding: Encoding, job: JobId) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Accepted { job: job.to_string() }),
        Encoding::JsonLines => Vec::new(),
    }
}

pub(super) fn encode_results(encoding: Encoding, ends: Vec<TaskEnd>) -> Vec<u8> {
    match encoding {
        Encoding::Frames => {
            encode_frame(&NodeFrame::Results(ends.into_iter().map(convert::result).collect()))
        }
        Encoding::JsonLines => {
            ends.into_iter().flat_map(|end| json::line(&json::result(convert::result(end)))).collect()
        }
    }
}

pub(super) fn encode_prints(encoding: Encoding, prints: Vec<Print>) -> Vec<u8> {
    match encoding {
        Encoding::Frames => prints
            .into_iter()
            .flat_map(|print| encode_frame(&NodeFrame::Printed(convert::printed(print))))
            .collect(),
        // A client that reads lines gets results only.
        Encoding::JsonLines => Vec::new(),
    }
}

pub(super) fn encode_end(encoding: Encoding, summary: &JobSummary) -> Vec<u8> {
    match encoding {
        Encoding::Frames => {
            let JobSummary { tasks, done, failed, cancelled, .. } = *summary;
            let figures = Summary { tasks, done, failed, cancelled };
            let last = if summary.ended { NodeFrame::Ended(figures) } else { NodeFrame::SoFar(figures) };
            encode_frame(&last)
        }
        // The end of the lines is the end.
        Encoding::JsonLines => Vec::new(),
    }
}

pub(super) fn encode_error(encoding: Encoding, error: ApiError) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Error(error.into_body())),
        Encoding::JsonLines => json::line(&error.into_body()),
    }
}

pub(super) fn encode_frame(frame: &NodeFrame) -> Vec<u8> {
    let mut chunk = Vec::new();
    frames::encode(frame, &mut chunk)
        .expect("a portion of results, its texts cut, is shorter than a frame may be");
    chunk
}
