//! Results on their way to a client, as frames or as lines: those of a stream, and those of `GET /v1/jobs/{id}/results`,
//! which are read again and again.

use std::io;

use axum::body::{Body, Bytes};
use futures::stream;
use tokio::sync::OwnedSemaphorePermit;
use weft_client::api::ErrorBody;
use weft_client::frames::{self, NodeFrame, ResultItem, Summary};
use weft_core::JobId;

use super::Api;
use super::convert;
use super::error::ApiError;
use super::json;
use crate::handle::NoResults;
use crate::jobs::{JobSummary, Listener, NoSuchJob, Portion, Print, Results, TaskEnd};

/// Results told at once.
pub(super) const PORTION: Portion = Portion { results_max: frames::BATCH_MAX, bytes: frames::BATCH_BYTES };

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Frames,
    JsonLines,
}

impl Encoding {
    /// What a client takes that says so.
    pub(super) fn of(accept: &str) -> Self {
        if accept == frames::CONTENT_TYPE { Self::Frames } else { Self::JsonLines }
    }

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
    pub(super) from: u64,
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
    _listener: Option<Listener>,
    _permit: OwnedSemaphorePermit,
}

/// Results of a kept job.
pub(super) fn read_results(api: Api, job: JobId, reading: Reading, permit: OwnedSemaphorePermit) -> Body {
    let first = Some(accepted(reading.encoding, job));
    let listener = reading.follow.then(|| api.handle.listen(job));
    let reader = Reader { api, job, reading, first, over: false, _listener: listener, _permit: permit };
    Body::from_stream(stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next_chunk().await?;
        Some((chunk.map(Bytes::from), reader))
    }))
}

impl Reader {
    async fn next_chunk(&mut self) -> Option<io::Result<Vec<u8>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(Ok(first));
        }
        if self.over {
            return None;
        }
        Some(self.read().await.or_else(|error| {
            self.over = true;
            break_off(self.reading.encoding, error.into())
        }))
    }

    async fn read(&mut self) -> Result<Vec<u8>, NoResults> {
        let Reading { encoding, from, limit, follow } = self.reading;
        let portion = Portion { results_max: PORTION.results_max.min(limit), ..PORTION };
        let handle = &self.api.handle;
        if limit == 0 {
            self.over = true;
            let summary = handle.jobs().summary(self.job).ok_or(NoSuchJob)?;
            return Ok(encode_end(encoding, &summary));
        }
        let Results { ends, next, end } = if follow {
            handle.results(self.job, from, portion).await?
        } else {
            handle.results_now(self.job, from, portion).await?
        };
        let is_last = next == from;
        self.reading.from = next;
        self.reading.limit = limit.saturating_sub(ends.len());
        let mut chunk = encode_next(encoding, next);
        chunk.extend(encode_results(encoding, ends));
        let end = match end {
            Some(end) => Some(end),
            None if is_last && !follow => Some(handle.jobs().summary(self.job).ok_or(NoSuchJob)?),
            None => None,
        };
        if let Some(summary) = end {
            self.over = true;
            chunk.extend(encode_end(encoding, &summary));
        }
        Ok(chunk)
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
    encode_items(encoding, ends.into_iter().map(convert::result).collect())
}

pub(super) fn encode_items(encoding: Encoding, items: Vec<ResultItem>) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Results(items)),
        Encoding::JsonLines => items.into_iter().flat_map(|item| json::line(&json::result(item))).collect(),
    }
}

/// Where to read on behind the results that come next. It goes first: a client whose connection breaks between the two has
/// none of them and reads them again.
pub(super) fn encode_next(encoding: Encoding, from: u64) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Next { from }),
        Encoding::JsonLines => Vec::new(),
    }
}

/// How many of its inputs a client need not hand in again.
pub(super) fn encode_kept(encoding: Encoding, tasks: u32) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Kept { tasks }),
        Encoding::JsonLines => Vec::new(),
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

/// How a stream ends that can't go on: with the reason, or, where the job goes on at another node, without an end, so that its
/// client reads on there.
pub(super) fn break_off(encoding: Encoding, error: ApiError) -> io::Result<Vec<u8>> {
    if error.is_passing() {
        Err(io::ErrorKind::ConnectionAborted.into())
    } else {
        Ok(encode_error(encoding, error))
    }
}

pub(super) fn encode_error(encoding: Encoding, error: ApiError) -> Vec<u8> {
    encode_error_body(encoding, error.into_body())
}

pub(super) fn encode_error_body(encoding: Encoding, body: ErrorBody) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Error(body)),
        Encoding::JsonLines => json::line(&body),
    }
}

pub(super) fn encode_frame(frame: &NodeFrame) -> Vec<u8> {
    let mut chunk = Vec::new();
    frames::encode(frame, &mut chunk)
        .expect("a portion of results, its texts cut, is shorter than a frame may be");
    chunk
}
