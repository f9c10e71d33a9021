//! `POST /v1/jobs`: opens a job from the beginning of its body, then hands over to its stream.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use weft_client::frames::{self, ClientFrame, JobRequest, Splitter};
use weft_core::{AFTER_MAX, About, BlobId, Command, JobId, Join, Level, Payload, Refusal, input::Submission};

use super::error::ApiError;
use super::json::{self, Bytes, Module};
use super::open_job::OpenJob;
use super::places::take;
use super::results::{Encoding, accepted};
use super::stream::{Arrived, JobStream, Results, Source, check_room};
use super::{Answered, Api, blobs, convert, finding, placing, room};
use crate::jobs::{JobMeta, Title, now_ms};

/// How long the first frame of a job may take.
const OPEN_TIME: Duration = Duration::from_secs(10);

/// The header that names the job of an answer.
pub(super) static JOB_HEADER: HeaderName = HeaderName::from_static("weft-job");

pub(super) async fn submit(State(api): State<Api>, headers: HeaderMap, request: Request) -> Answered {
    // From its beginning: a body that comes slowly holds its connection as a stream does.
    let permit = stream_permit(&api)?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        frames::CONTENT_TYPE => submit_frames(api, permit, request.into_body()).await,
        "application/json" => submit_json(api, permit, request.into_body()).await,
        other => Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("content-type {other:?}"))
            .expected(format!("application/json or {}", frames::CONTENT_TYPE))),
    }
}

async fn submit_frames(api: Api, permit: OwnedSemaphorePermit, body: Body) -> Answered {
    let mut source = Source { body: body.into_data_stream(), splitter: Splitter::default() };
    let request = tokio::time::timeout(OPEN_TIME, opening(&mut source)).await.unwrap_or_else(|_| {
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, format!("no opening frame within {OPEN_TIME:?}")))
    })?;
    let mut first = source.arrived()?;
    if convert::join(request.join).takes_results() {
        let whole = source.read_whole(&mut first);
        tokio::time::timeout(OPEN_TIME, whole).await.unwrap_or_else(|_| {
            let text = format!("no closing frame of a job that takes results within {OPEN_TIME:?}");
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, text))
        })?;
    }
    let source = (!first.closed).then_some(source);
    open(api, permit, request, first, source, Encoding::Frames).await
}

async fn opening(source: &mut Source) -> Result<JobRequest, ApiError> {
    loop {
        match source.next_frame()? {
            Some(ClientFrame::Open(request)) => return Ok(request),
            Some(ClientFrame::Inputs(_) | ClientFrame::Close) => {
                return Err(ApiError::bad("the first frame opens no job").expected("Open"));
            }
            None => {}
        }
        if !source.read().await? {
            return Err(ApiError::bad("the body ended before a job was opened").expected("Open"));
        }
    }
}

async fn submit_json(api: Api, permit: OwnedSemaphorePermit, body: Body) -> Answered {
    let body = to_bytes(body, json::BODY_BYTES_MAX).await.map_err(|error| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the job can't be read: {error}"))
            .expected("at most 16 MiB")
            .help("put long inputs into blobs first: PUT /v1/blobs")
    })?;
    let json::Parts { mut request, module, files, inputs } = json::parse(&body)?;
    let BlobId(module) = match module {
        Module::Stored(id) => match blobs::text_module(&api, id).await? {
            Some(text) => blobs::store(&api, json::binary(text)?).await?,
            None => id,
        },
        Module::Here(bytes) => blobs::store(&api, bytes).await?,
    };
    request.module = module;
    request.files = convert::payload_out(stored(&api, json::archive(&api, files).await?).await?);
    let mut payloads = Vec::with_capacity(inputs.len());
    for input in inputs {
        payloads.push(stored(&api, input).await?);
    }
    let arrived = Arrived { inputs: payloads, closed: true };
    open(api, permit, request, arrived, None, Encoding::JsonLines).await
}

async fn stored(api: &Api, input: Bytes) -> Result<Payload, ApiError> {
    match input {
        Bytes::Short(bytes) => Ok(Payload::Inline(bytes)),
        Bytes::Long(bytes) => {
            let length = bytes.len() as u64;
            Ok(Payload::Blob { id: blobs::store(api, bytes).await?, bytes: length })
        }
        Bytes::Stored(id) => {
            let length = api.handle.store().len(id);
            let bytes = length.ok_or_else(|| ApiError::not_found("blob", &id.to_string()))?;
            Ok(Payload::Blob { id, bytes })
        }
    }
}

/// A job that can be opened.
struct Made {
    submission: Submission,
    meta: JobMeta,
    /// It was submitted to go on without its client, at whatever level.
    detached: bool,
    /// All inputs of the client are here.
    came: bool,
}

/// Makes the job that a client wants, with the inputs that are here.
async fn made(api: &Api, request: JobRequest, arrived: Arrived) -> Result<Made, ApiError> {
    let Arrived { inputs, closed: came } = with_place(arrived, request.join);
    let wanted = convert::job(request, api.handle.info().memo)?;
    let (join, level, detached) = (wanted.join, wanted.level, wanted.detached);
    let needs = placing::with_whole_ids(api, wanted.needs).await?;
    let is_kept = detached || level != Level::Memory;
    // Before it is looked for what the job rests on: a client that is told that this is gone brings it again.
    room::make_room(api, level).await;
    let after = parents(api, &wanted.after, join)?;
    let module = wanted.program.module;
    let program = convert::with_length(wanted.program, module_length(api, module)?);
    check_files(api, &program.files)?;
    let job = new_job(api, wanted.keep_with.as_deref())?;
    check_room(api, job, inputs.len(), is_kept && level == Level::Memory)?;
    let submitted_ms = now_ms();
    let meta = JobMeta {
        module,
        class: wanted.class,
        detached: is_kept,
        level,
        owner: api.handle.info().peer,
        shared: wanted.shared,
        submitted_ms,
        streamed: wanted.terms.stream,
        signed: wanted.terms.receipts.then(|| program.clone()),
        after: after.clone().into(),
        takes_results: join.takes_results(),
        title: Arc::new(wanted.title),
    };
    let submission = Submission {
        job,
        program,
        needs,
        class: wanted.class,
        terms: wanted.terms,
        policy: wanted.policy,
        inputs,
        // What takes results of another job is closed once that one has no more of them.
        closed: came && !join.takes_each(),
        after,
        join,
        level,
        about: about(&meta.title, meta.shared, submitted_ms),
    };
    submission.check().map_err(|refusal| ApiError::bad(refusal.to_string()))?;
    Ok(Made { submission, meta, detached, came })
}

/// Opens a job with the inputs that are here. From here on its stream owns it.
async fn open(
    api: Api,
    permit: OwnedSemaphorePermit,
    request: JobRequest,
    arrived: Arrived,
    source: Option<Source>,
    encoding: Encoding,
) -> Answered {
    check_open(&api)?;
    let Made { submission, meta, detached, came } = made(&api, request, arrived).await?;
    let (job, closed, level, is_kept) = (submission.job, submission.closed, meta.level, meta.detached);
    let jobs = api.handle.jobs();
    jobs.create(job, meta)?;
    jobs.submitted(job, &submission.inputs);
    if closed {
        jobs.close(job);
    }
    // Whatever ends this early from here on, cancels.
    let mut open = OpenJob::new(api.clone(), job, jobs.feed(job), permit);
    let listener = (is_kept && !detached).then(|| api.handle.listen(job));
    api.handle.command(Command::Submit(submission)).await?;
    open.handed_in = true;
    if level != Level::Memory {
        // Nothing is promised before it is kept.
        if let Err(refused) = api.handle.accepted(job).await {
            open.release();
            // The client is told; the list need not.
            let _ended = jobs.forget(job);
            return Err(refused.into());
        }
    }
    // A job in memory is given up with its stream; a detached one, too, until all of it came; and one that no client was told is
    // accepted.
    open.goes_on = !detached && is_kept;
    // The loop goes first: telling the client that its job is accepted is a system call that the job need not wait for.
    tokio::task::yield_now().await;
    if detached && came {
        open.release();
    }
    let first = accepted(encoding, job);
    if detached && encoding == Encoding::JsonLines {
        let body = json::answer(&serde_json::json!({ "job": job.to_string() }));
        return Ok((StatusCode::ACCEPTED, [(JOB_HEADER.clone(), job.to_string())], body).into_response());
    }
    let results = match (detached, is_kept) {
        (true, _) => Results::NotTold,
        (false, true) => Results::Read { next: 0 },
        (false, false) => Results::Taken,
    };
    let stream = JobStream { source, results, _listener: listener, first, ..begun(open, encoding) };
    Ok(streaming(job, encoding, stream.into_body()))
}

/// A job's stream before it has taken or told anything.
fn begun(open: OpenJob, encoding: Encoding) -> JobStream {
    JobStream {
        open,
        source: None,
        results: Results::NotTold,
        _listener: None,
        reading: None,
        encoding,
        first: Vec::new(),
        kept: 0,
        is_cut: false,
        over: false,
    }
}

/// Whether the node takes jobs.
pub(super) fn check_open(api: &Api) -> Result<(), ApiError> {
    if api.handle.is_stopping() {
        return Err(ApiError::stopping("takes no jobs"));
    }
    let failure = api.handle.journal().and_then(|journal| journal.failure);
    failure.map_or(Ok(()), |failure| {
        let text = format!("this node takes no jobs and ends as soon as it can: {failure}");
        Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).help("submit it to another node"))
    })
}

fn about(title: &Title, shared: bool, submitted_ms: u64) -> About {
    let labels = title.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    About { name: title.name.clone(), labels, shared, submitted_ms }
}

/// An answer whose body comes bit by bit.
pub(super) fn streaming(job: JobId, encoding: Encoding, body: Body) -> Response {
    let kind = encoding.content_type().to_owned();
    ([(CONTENT_TYPE, kind), (JOB_HEADER.clone(), job.to_string())], body).into_response()
}

/// Room for one more open stream.
pub(super) fn stream_permit(api: &Api) -> Result<OwnedSemaphorePermit, ApiError> {
    take(&api.lasting.streams).ok_or_else(|| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many job streams are open")
            .expected(format!("at most {}", api.lasting.bounds.streams))
            .help("wait until some jobs have ended, or submit them detached")
    })
}

/// The length of a module that is in the store.
fn module_length(api: &Api, module: BlobId) -> Result<u64, ApiError> {
    api.handle.store().len(module).ok_or_else(|| {
        ApiError::not_found("module", &module.to_string()).help("upload it first: PUT /v1/blobs")
    })
}

/// The archive for `/in` must be in the store, as long as it is said to be.
fn check_files(api: &Api, files: &Payload) -> Result<(), ApiError> {
    let Payload::Blob { id, bytes } = files else { return Ok(()) };
    match api.handle.store().len(*id) {
        Some(length) if length == *bytes => Ok(()),
        Some(length) => {
            Err(ApiError::bad(format!("files of {bytes} bytes")).expected(format!("{length} bytes")))
        }
        None => {
            Err(ApiError::not_found("blob", &id.to_string()).help("upload the files first: PUT /v1/blobs"))
        }
    }
}

/// The jobs that one comes after, each known here.
fn parents(api: &Api, names: &[String], join: Join) -> Result<Vec<JobId>, ApiError> {
    if names.len() > AFTER_MAX {
        return Err(ApiError::bad(format!("{} jobs to come after", names.len())).expected("at most 64"));
    }
    // A client that is told of something not found looks for its module.
    let unknown = |name: &String| {
        ApiError::bad(format!("no job {name} to come after"))
            .expected("a job of this node, as `weft jobs` shows it")
    };
    let job = |name: &String| match finding::find(api, name) {
        Ok(found) => Ok(found.job),
        Err(error) if error.is_not_found() => Err(unknown(name)),
        Err(error) => Err(error),
    };
    let found = names.iter().map(job).collect::<Result<Vec<_>, _>>()?;
    if join.takes_results() {
        check_results(api, &found)?;
    }
    Ok(found)
}

/// The results of jobs that another one takes must be kept.
fn check_results(api: &Api, parents: &[JobId]) -> Result<(), ApiError> {
    let in_memory = |job: &JobId| {
        api.handle.jobs().summary(*job).is_some_and(|summary| summary.meta.level == Level::Memory)
    };
    let unkept = parents.iter().copied().find(in_memory);
    unkept.map_or(Ok(()), |job| Err(ApiError::bad(Refusal::ResultsNotKept { job }.to_string())))
}

/// The one input of a job that gathers is the place of what it will be.
fn with_place(arrived: Arrived, join: weft_client::api::Join) -> Arrived {
    let is_place = join == weft_client::api::Join::Gather && arrived.inputs.is_empty();
    if is_place { Arrived { inputs: vec![Payload::empty()], ..arrived } } else { arrived }
}

/// An id for a new job, in the group of a job that the same nodes are to keep.
fn new_job(api: &Api, keep_with: Option<&str>) -> Result<JobId, ApiError> {
    let Some(name) = keep_with else { return random_job() };
    let first = finding::find(api, name).map_err(|error| match error.is_not_found() {
        true => ApiError::bad(format!("no job {name} to be kept with"))
            .expected("a job of this node, as `weft jobs` shows it"),
        false => error,
    })?;
    loop {
        // Only half of the digits are by chance.
        let job = random_job()?.grouped_with(first.job);
        if !api.handle.jobs().is_known(job) {
            return Ok(job);
        }
    }
}

pub(super) fn random_job() -> Result<JobId, ApiError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("no randomness: {error}"))
    })?;
    Ok(JobId(u64::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use weft_core::Event;

    use super::super::testing::{Loopless, loopless};
    use super::*;
    use crate::handle::Request as Asked;

    /// Hands in a job of level `disk` until the node is asked to take it.
    async fn submitted(node: &mut Loopless) -> (impl Future<Output = Answered> + use<>, JobId) {
        let module = node.api.handle.store().put(b"\0asm").unwrap();
        let body = serde_json::json!({ "module": module.to_string(), "inputs": ["x"], "level": "disk" });
        let permit = stream_permit(&node.api).unwrap();
        let mut answer = Box::pin(submit_json(node.api.clone(), permit, Body::from(body.to_string())));
        let asked = tokio::select! {
            biased;
            _answer = &mut answer => panic!("it is not accepted yet"),
            asked = node.asked.recv() => asked,
        };
        let Some(Asked::Command(Command::Submit(Submission { job, .. }))) = asked else {
            panic!("a job is submitted")
        };
        (answer, job)
    }

    #[tokio::test]
    async fn a_job_goes_on_without_its_client_once_that_may_know_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = loopless(dir.path());
        let (answer, job) = submitted(&mut node).await;
        drop(answer);
        let orphan = node.orphans.try_recv().unwrap();
        assert!(orphan.job == job && !orphan.goes_on, "no client knows of it");
        assert!(node.api.handle.jobs().is_cancelled(job));
        let (answer, job) = submitted(&mut node).await;
        node.api.handle.jobs().record(Event::Accepted { job, tasks: 1 });
        let Ok(response) = answer.await else { panic!("it is accepted") };
        drop(response);
        let orphan = node.orphans.try_recv().unwrap();
        assert!(orphan.job == job && orphan.goes_on);
        assert!(!node.api.handle.jobs().is_cancelled(job));
    }
}
