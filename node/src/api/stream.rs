//! One job's request and answer, driven by the connection that polls the answer's body: inputs are read as long as the
//! job has room, results are sent as they come, and all that is ready goes into one chunk. No task of its own, no timer, and no memory but one
//! unfinished frame and one portion of results.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio::time::timeout;
use weft_client::frames::{ClientFrame, NodeFrame, Payload as WirePayload, Splitter};
use weft_core::{Command, JobId, Payload, Refusal};

use super::Api;
use super::convert;
use super::error::ApiError;
use super::open_job::OpenJob;
use super::results::{
    Encoding, PORTION, break_off, encode_end, encode_error, encode_frame, encode_kept, encode_next,
    encode_prints, encode_results,
};
use crate::handle::NoResults;
use crate::jobs::{self, JobSummary, Listener, NoSuchJob, NotAccepted, Taken};

/// Tasks of one job that may be unfinished or undelivered before its inputs are left unread; a job that is kept and detached
/// may have more of them, within the job table's bounds over all jobs.
const OUTSTANDING_MAX: u32 = 16_384;
/// While inputs are left unread, the end of the connection hides behind them: so something is written, which fails.
const PULSE: Duration = Duration::from_secs(1);

/// A client is told how many of its inputs are kept when there are this many more.
const KEPT_EVERY: u32 = 512;

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

    /// Reads on until the job is closed. It must get no input: its inputs are results of another one.
    pub(super) async fn read_whole(&mut self, arrived: &mut Arrived) -> Result<(), ApiError> {
        while !arrived.closed {
            if !arrived.inputs.is_empty() {
                return Err(ApiError::bad(Refusal::TakesResults.to_string()));
            }
            if !self.read().await? {
                return Err(ApiError::bad("the body ended before the job was closed").expected("Close"));
            }
            *arrived = self.arrived()?;
        }
        Ok(())
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

/// An open job, its inputs, its answer.
pub(super) struct JobStream {
    pub(super) open: OpenJob,
    /// `None` once all inputs came.
    pub(super) source: Option<Source>,
    pub(super) results: Results,
    /// While it reads them where they are kept.
    pub(super) _listener: Option<Listener>,
    /// The next part of them, which is read where they are kept. It goes on while inputs are read, or each of these would have it
    /// begin again.
    pub(super) reading: Option<Reading>,
    pub(super) encoding: Encoding,
    /// What is told before anything else.
    pub(super) first: Vec<u8>,
    /// Inputs of which the client knows that they are kept, at least.
    pub(super) kept: u32,
    /// Inputs were refused: none is taken any more.
    pub(super) is_cut: bool,
    pub(super) over: bool,
}

/// What a stream does about the job's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Results {
    /// Takes them out of the table.
    Taken,
    /// Reads them where they are kept.
    Read {
        /// Where the next part begins.
        next: u64,
    },
    /// Leaves them there: the job is detached.
    NotTold,
}

/// Results that are on their way from where they are kept.
pub(super) type Reading = BoxFuture<'static, Result<jobs::Results, NoResults>>;

/// What a stream waited for.
enum Woken {
    Results(Result<Taken, NoSuchJob>),
    Kept(Result<jobs::Results, NoResults>),
    Inputs(Result<bool, ApiError>),
    /// This number of inputs is kept.
    InputsKept(u32),
    /// Some inputs were refused.
    Refused,
    /// Nothing came for a while, and inputs are left unread.
    Quiet,
}

impl JobStream {
    /// The answer's body.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut stream| async move {
            let chunk = stream.next_chunk().await?;
            Some((chunk, stream))
        }))
    }

    async fn next_chunk(&mut self) -> Option<io::Result<Bytes>> {
        if !self.first.is_empty() {
            return Some(Ok(std::mem::take(&mut self.first).into()));
        }
        if self.over {
            return None;
        }
        let told = self.advance().await.or_else(|error| {
            self.over = true;
            break_off(self.encoding, error)
        });
        Some(told.map(Bytes::from))
    }

    /// Reads inputs until there is something to tell.
    async fn advance(&mut self) -> Result<Vec<u8>, ApiError> {
        loop {
            if self.is_detached() && self.source.is_none() {
                return self.taken().await;
            }
            let woken = self.wait().await;
            if matches!(woken, Woken::Kept(_)) {
                self.reading = None;
            }
            match woken {
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
                Woken::Kept(Ok(jobs::Results { ends, next, end })) => {
                    self.results = Results::Read { next };
                    let mut chunk = encode_next(self.encoding, next);
                    chunk.extend(encode_results(self.encoding, ends));
                    end.iter().for_each(|summary| chunk.extend(self.ended(summary)));
                    return Ok(chunk);
                }
                Woken::Kept(Err(error)) => return Err(error.into()),
                Woken::InputsKept(tasks) => {
                    self.kept = tasks;
                    return Ok(encode_kept(self.encoding, tasks));
                }
                Woken::Refused => self.cut().await?,
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
        let Self { open, source, results, reading, is_cut, kept, .. } = self;
        let (jobs, job, least) = (open.api.handle.jobs(), open.job, kept.saturating_add(KEPT_EVERY));
        if *results == Results::NotTold
            && let Some(source) = source
        {
            let room = poll_fn(|cx| jobs.poll_room(cx, job, OUTSTANDING_MAX));
            let inputs = async {
                match timeout(PULSE, room).await {
                    Ok(()) => Woken::Inputs(source.read().await),
                    Err(_) => Woken::Quiet,
                }
            };
            return tokio::select! {
                biased;
                tasks = poll_fn(|cx| jobs.poll_kept(cx, job, least)) => Woken::InputsKept(tasks),
                woken = inputs => woken,
            };
        }
        let results = told(&open.api, job, *results, reading);
        match source {
            Some(source)
                if !*is_cut && jobs.outstanding(job) < OUTSTANDING_MAX && !jobs.is_cancelled(job) =>
            {
                tokio::select! {
                    biased;
                    () = poll_fn(|cx| jobs.poll_refused_more(cx, job)) => Woken::Refused,
                    tasks = poll_fn(|cx| jobs.poll_kept(cx, job, least)) => Woken::InputsKept(tasks),
                    read = source.read() => Woken::Inputs(read),
                    told = results => told,
                }
            }
            Some(_) => timeout(PULSE, results).await.unwrap_or(Woken::Quiet),
            None => results.await,
        }
    }

    /// Hands on what has arrived.
    async fn extend(&mut self) -> Result<(), ApiError> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let Arrived { inputs, closed } = source.arrived()?;
        let OpenJob { api, job, .. } = &self.open;
        let (jobs, job) = (api.handle.jobs(), *job);
        if jobs.is_cancelled(job) {
            return if self.is_detached() { Err(ApiError::bad("the job was cancelled")) } else { Ok(()) };
        }
        let summary = jobs.summary(job).ok_or(NoSuchJob)?;
        summary.here()?;
        if !self.open.feeds() {
            // This node led the job, another one did, and this one leads it again: what it brought before may be void.
            return Err(broken_off(job));
        }
        if summary.refused_more.is_some() {
            return if self.is_detached() { Err(cut_off(&summary)) } else { self.cut().await };
        }
        if !inputs.is_empty() {
            if summary.ended && self.is_detached() {
                return Err(cut_off(&summary));
            }
            check_room(api, job, inputs.len(), !summary.journalled && self.is_detached())?;
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

    /// Takes no more inputs. What was taken goes on to its end.
    async fn cut(&mut self) -> Result<(), ApiError> {
        let OpenJob { api, job, .. } = &self.open;
        if !self.is_cut {
            self.is_cut = true;
            api.handle.jobs().close(*job);
            api.handle.command(Command::Close { job: *job }).await?;
        }
        Ok(())
    }

    fn is_detached(&self) -> bool {
        self.results == Results::NotTold
    }

    /// A detached job goes on without its client, once all of it is kept.
    async fn taken(&mut self) -> Result<Vec<u8>, ApiError> {
        let OpenJob { api, job, .. } = &self.open;
        let accepted = api.handle.accepted(*job).await;
        let summary = api.handle.jobs().summary(*job).ok_or(NoSuchJob)?;
        if summary.refused_more.is_some() || accepted == Err(NotAccepted::Over) {
            return Err(cut_off(&summary));
        }
        if let Err(NotAccepted::JournalFailed { .. }) = accepted {
            // Its records may be on the disk: it is as it is, and not cancelled.
            self.open.release();
        }
        accepted?;
        self.over = true;
        self.open.release();
        Ok(match self.encoding {
            Encoding::Frames => encode_frame(&NodeFrame::Taken { tasks: summary.tasks }),
            Encoding::JsonLines => Vec::new(),
        })
    }

    fn ended(&mut self, summary: &JobSummary) -> Vec<u8> {
        self.over = true;
        self.source = None;
        self.open.release();
        if self.is_cut || summary.refused_more.is_some() {
            return encode_error(self.encoding, cut_off(summary));
        }
        encode_end(self.encoding, summary)
    }

    /// If that was all, adds the end to the same chunk. Results that are kept are read to their end first.
    fn add_end(&mut self, chunk: &mut Vec<u8>) {
        if self.results != Results::Taken {
            return;
        }
        if let Some(summary) = self.open.api.handle.jobs().try_end(self.open.job) {
            chunk.extend(self.ended(&summary));
        }
    }
}

/// That a job has fewer tasks than there were inputs.
fn cut_off(summary: &JobSummary) -> ApiError {
    let reason = summary.refused_more.clone().unwrap_or_else(|| NotAccepted::Over.to_string());
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, format!("job {}: {reason}", summary.job))
        .help("`weft jobs` shows what became of the inputs before them; hand in the others as another job")
}

/// That a stream brings nothing any more: its client goes on with another one, where the job's log ends.
fn broken_off(job: JobId) -> ApiError {
    let text = format!("job {job} was led by another node meanwhile");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).soon()
}

/// Waits for something to tell of a job.
async fn told(api: &Api, job: JobId, results: Results, reading: &mut Option<Reading>) -> Woken {
    let jobs = api.handle.jobs();
    let Results::Read { next } = results else {
        return Woken::Results(poll_fn(|cx| jobs.poll_take(cx, job, PORTION)).await);
    };
    let reading = reading.get_or_insert_with(|| {
        let handle = api.handle.clone();
        async move { handle.results(job, next, PORTION).await }.boxed()
    });
    tokio::select! {
        biased;
        prints = poll_fn(|cx| jobs.poll_printed(cx, job)) => Woken::Results(Ok(Taken::Printed(prints))),
        kept = reading => Woken::Kept(kept),
    }
}

/// Whether a job may have `more` tasks more.
pub(super) fn check_room(api: &Api, job: JobId, more: usize, keeps_in_memory: bool) -> Result<(), ApiError> {
    let jobs = api.handle.jobs();
    if keeps_in_memory && jobs.is_full() {
        return Err(ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "detached jobs keep as many results in memory as they may",
        )
        .help("submit it with level disk, run it attached (its results flow to you), or forget ended jobs"));
    }
    let tasks = jobs.summary(job).map_or(0, |summary| summary.tasks);
    if u32::try_from(more).ok().and_then(|more| tasks.checked_add(more)).is_none() {
        return Err(ApiError::bad("a job of more than 4294967295 tasks").help("make two jobs of it"));
    }
    Ok(())
}
