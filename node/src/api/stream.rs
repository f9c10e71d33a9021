//! One job's request and answer, driven by the connection that polls the answer's body: inputs are read as long as the
//! job has room, results are sent as they come, and all that is ready goes into one chunk. No task of its own, no timer, and no memory but one
//! unfinished frame and one portion of results.

use std::future::poll_fn;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use futures::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use weft_client::frames::{self, ClientFrame, NodeFrame, Payload as WirePayload, Splitter, Summary};
use weft_core::{Command, JobId, Payload};

use super::convert;
use super::error::ApiError;
use super::json;
use super::{Api, Orphan};
use crate::jobs::{JobSummary, NoSuchJob, Portion, Print, Taken, TaskEnd};

/// Tasks of one job that may be unfinished or undelivered before its inputs are left unread.
const OUTSTANDING_MAX: u32 = 16_384;
/// Results told at once.
const PORTION: Portion = Portion { results_max: frames::BATCH_MAX, bytes: frames::BATCH_BYTES };

/// While inputs are left unread, the end of the connection hides behind them: so something is written, which fails.
const PULSE: Duration = Duration::from_secs(1);

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

/// Where a job's inputs come from.
pub(super) struct Source {
    pub(super) body: BodyDataStream,
    pub(super) splitter: Splitter,
}

/// What the body of a job brought.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) inputs: Vec<Payload>,
    pub(super) closed: bool,
}

impl Source {
    /// Takes every frame that is here whole.
    pub(super) fn arrived(&mut self) -> Result<Arrived, ApiError> {
        let mut arrived = Arrived::default();
        while let Some(frame) = self.next_frame()? {
            match frame {
                _ if arrived.closed => return Err(ApiError::bad("a frame after the closing one")),
                ClientFrame::Open(_) => return Err(ApiError::bad("a job opened twice")),
                ClientFrame::Inputs(inputs) => extend(&mut arrived.inputs, inputs)?,
                ClientFrame::Close => arrived.closed = true,
            }
        }
        Ok(arrived)
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<ClientFrame>, ApiError> {
        let frame = self.splitter.next_frame().map_err(|error| ApiError::bad(error.to_string()));
        frame.map_err(|error| error.expected("frames: a length of 4 bytes, little endian, then bincode"))
    }

    /// Reads on; false at the end of the body.
    pub(super) async fn read(&mut self) -> Result<bool, ApiError> {
        match self.body.next().await {
            Some(Ok(bytes)) => {
                self.splitter.push(&bytes);
                Ok(true)
            }
            Some(Err(error)) => Err(ApiError::bad(format!("the body broke: {error}"))),
            None => Ok(false),
        }
    }
}

fn extend(inputs: &mut Vec<Payload>, more: Vec<WirePayload>) -> Result<(), ApiError> {
    inputs.reserve(more.len());
    for input in more {
        inputs.push(convert::input(input)?);
    }
    Ok(())
}

/// A job in the table whose stream is open. Dropped before its time, it gives the job up: it is cancelled, and its
/// results are not kept.
pub(super) struct OpenJob {
    pub(super) api: Api,
    pub(super) job: JobId,
    permit: Option<OwnedSemaphorePermit>,
    /// The engine knows of it.
    pub(super) handed_in: bool,
}

impl OpenJob {
    pub(super) fn new(api: Api, job: JobId, permit: OwnedSemaphorePermit) -> Self {
        Self { api, job, permit: Some(permit), handed_in: false }
    }

    /// The job no longer needs this stream.
    pub(super) fn release(&mut self) {
        self.permit = None;
    }
}

impl Drop for OpenJob {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        if !self.handed_in {
            self.api.handle.jobs().retract(self.job);
            return;
        }
        self.api.handle.jobs().cancel(self.job);
        self.api.handle.jobs().abandon(self.job);
        // It holds as many as there are streams; only a server that ends refuses, and with it the node ends.
        drop(self.api.orphans.try_send(Orphan { job: self.job, _permit: permit }));
    }
}

/// An open job, its inputs, its answer.
pub(super) struct JobStream {
    pub(super) open: OpenJob,
    /// `None` once all inputs came.
    pub(super) source: Option<Source>,
    pub(super) detached: bool,
    pub(super) encoding: Encoding,
    /// What is told before anything else.
    pub(super) first: Vec<u8>,
    pub(super) over: bool,
}

/// What a stream waited for.
enum Woken {
    Results(Result<Taken, NoSuchJob>),
    Inputs(Result<bool, ApiError>),
    /// Nothing came for a while, and inputs are left unread.
    Quiet,
}

impl JobStream {
    /// The answer's body.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut stream| async move {
            let chunk = stream.next_chunk().await?;
            Some((Ok::<_, std::convert::Infallible>(chunk), stream))
        }))
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first).into());
        }
        if self.over {
            return None;
        }
        let told = match self.advance().await {
            Ok(chunk) => chunk,
            Err(error) => {
                self.over = true;
                encode_error(self.encoding, error)
            }
        };
        Some(told.into())
    }

    /// Reads inputs until there is something to tell.
    async fn advance(&mut self) -> Result<Vec<u8>, ApiError> {
        loop {
            if self.detached && self.source.is_none() {
                return Ok(self.taken());
            }
            match self.wait().await {
                Woken::Results(Ok(Taken::Results(ends))) => {
                    let mut chunk = encode_results(self.encoding, ends);
                    self.add_end(&mut chunk);
                    return Ok(chunk);
                }
                Woken::Results(Ok(Taken::Printed(prints))) => {
                    return Ok(encode_prints(self.encoding, prints));
                }
                Woken::Results(Ok(Taken::Ended(summary))) => return Ok(self.ended(&summary)),
                Woken::Results(Err(error)) => return Err(error.into()),
                Woken::Inputs(Ok(true)) => self.extend().await?,
                Woken::Inputs(Ok(false)) => {
                    return Err(ApiError::bad("the body ended without a closing frame"));
                }
                Woken::Inputs(Err(error)) => return Err(error),
                // No results; a client that is gone does not take them.
                Woken::Quiet => return Ok(encode_results(self.encoding, Vec::new())),
            }
        }
    }

    /// Inputs go first, or the workers would run dry while results are told; their bound lets results through.
    async fn wait(&mut self) -> Woken {
        let Self { open, source, detached, encoding: _, first: _, over: _ } = self;
        let (jobs, job) = (open.api.handle.jobs(), open.job);
        if *detached && let Some(source) = source {
            let room = poll_fn(|cx| jobs.poll_room(cx, job, OUTSTANDING_MAX));
            return match timeout(PULSE, room).await {
                Ok(()) => Woken::Inputs(source.read().await),
                Err(_) => Woken::Quiet,
            };
        }
        let results = poll_fn(|cx| jobs.poll_take(cx, job, PORTION));
        match source {
            Some(source) if jobs.outstanding(job) < OUTSTANDING_MAX && !jobs.is_cancelled(job) => {
                tokio::select! {
                    biased;
                    read = source.read() => Woken::Inputs(read),
                    results = results => Woken::Results(results),
                }
            }
            Some(_) => timeout(PULSE, results).await.map_or(Woken::Quiet, Woken::Results),
            None => Woken::Results(results.await),
        }
    }

    /// Hands on what has arrived.
    async fn extend(&mut self) -> Result<(), ApiError> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let Arrived { inputs, closed } = source.arrived()?;
        let OpenJob { api, job, permit: _, handed_in: _ } = &self.open;
        let (jobs, job) = (api.handle.jobs(), *job);
        if jobs.is_cancelled(job) {
            return if self.detached { Err(ApiError::bad("the job was cancelled")) } else { Ok(()) };
        }
        if !inputs.is_empty() {
            check_room(api, job, inputs.len(), self.detached)?;
            jobs.submitted(job, &inputs);
            api.handle.command(Command::Extend { job, inputs }).await?;
        }
        if closed {
            self.source = None;
            jobs.close(job);
            api.handle.command(Command::Close { job }).await?;
        }
        Ok(())
    }

    /// A detached job goes on without its client.
    fn taken(&mut self) -> Vec<u8> {
        self.over = true;
        self.open.release();
        let job = self.open.job;
        let tasks = self.open.api.handle.jobs().summary(job).map_or(0, |summary| summary.tasks);
        match self.encoding {
            Encoding::Frames => encode_frame(&NodeFrame::Taken { tasks }),
            Encoding::JsonLines => Vec::new(),
        }
    }

    fn ended(&mut self, summary: &JobSummary) -> Vec<u8> {
        self.over = true;
        self.source = None;
        self.open.release();
        encode_end(self.encoding, summary)
    }

    /// If that was all, adds the end to the same chunk.
    fn add_end(&mut self, chunk: &mut Vec<u8>) {
        if let Some(summary) = self.open.api.handle.jobs().try_end(self.open.job) {
            chunk.extend(self.ended(&summary));
        }
    }
}

/// The results of a detached job, from the first on.
pub(super) fn read_results(api: Api, job: JobId, encoding: Encoding, permit: OwnedSemaphorePermit) -> Body {
    let start = (api, 0usize, accepted(encoding, job), false, permit);
    Body::from_stream(stream::unfold(start, move |(api, mut cursor, first, mut over, permit)| async move {
        if over {
            return None;
        }
        let chunk = if first.is_empty() {
            match poll_fn(|cx| api.handle.jobs().poll_read(cx, job, cursor, PORTION)).await {
                Ok(Taken::Results(ends)) => {
                    cursor += ends.len();
                    encode_results(encoding, ends)
                }
                // Only an attached job's stream has prints.
                Ok(Taken::Printed(_)) => Vec::new(),
                Ok(Taken::Ended(summary)) => {
                    over = true;
                    encode_end(encoding, &summary)
                }
                Err(error) => {
                    over = true;
                    encode_error(encoding, error.into())
                }
            }
        } else {
            first
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(chunk)), (api, cursor, Vec::new(), over, permit)))
    }))
}

/// Whether a job may have `more` tasks more.
pub(super) fn check_room(api: &Api, job: JobId, more: usize, detached: bool) -> Result<(), ApiError> {
    let jobs = api.handle.jobs();
    if detached && jobs.is_full() {
        return Err(ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "detached jobs keep as many results as they may",
        )
        .help("run this job attached (its results flow to you), or cancel a running detached job"));
    }
    let tasks = jobs.summary(job).map_or(0, |summary| summary.tasks);
    if u32::try_from(more).ok().and_then(|more| tasks.checked_add(more)).is_none() {
        return Err(ApiError::bad("a job of more than 4294967295 tasks").help("make two jobs of it"));
    }
    Ok(())
}

/// What a stream begins with. JSON lines have no such frame: a header names the job.
pub(super) fn accepted(encoding: Encoding, job: JobId) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Accepted { job: job.to_string() }),
        Encoding::JsonLines => Vec::new(),
    }
}

fn encode_results(encoding: Encoding, ends: Vec<TaskEnd>) -> Vec<u8> {
    match encoding {
        Encoding::Frames => {
            encode_frame(&NodeFrame::Results(ends.into_iter().map(convert::result).collect()))
        }
        Encoding::JsonLines => {
            ends.into_iter().flat_map(|end| json::line(&json::result(convert::result(end)))).collect()
        }
    }
}

fn encode_prints(encoding: Encoding, prints: Vec<Print>) -> Vec<u8> {
    match encoding {
        Encoding::Frames => prints
            .into_iter()
            .flat_map(|print| encode_frame(&NodeFrame::Printed(convert::printed(print))))
            .collect(),
        // A client that reads lines gets results only.
        Encoding::JsonLines => Vec::new(),
    }
}

fn encode_end(encoding: Encoding, summary: &JobSummary) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Ended(Summary {
            tasks: summary.tasks,
            done: summary.done,
            failed: summary.failed,
            cancelled: summary.cancelled,
        })),
        // The end of the lines is the end.
        Encoding::JsonLines => Vec::new(),
    }
}

fn encode_error(encoding: Encoding, error: ApiError) -> Vec<u8> {
    match encoding {
        Encoding::Frames => encode_frame(&NodeFrame::Error(error.into_body())),
        Encoding::JsonLines => json::line(&error.into_body()),
    }
}

fn encode_frame(frame: &NodeFrame) -> Vec<u8> {
    let mut chunk = Vec::new();
    frames::encode(frame, &mut chunk)
        .expect("a portion of results, its texts cut, is shorter than a frame may be");
    chunk
}
