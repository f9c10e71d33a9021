//! Passes a client's request on to another member, and the member's answer to the client. What comes is parsed and written
//! anew: no byte of it reaches the client as it came.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use futures::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use weft_client::api::{self as wire, ErrorBody};
use weft_client::frames::{self, NodeFrame, Splitter};
use weft_core::JobId;
use weft_net::{ApiAnswer, ApiRequest};

use super::error::ApiError;
use super::results::{Encoding, encode_error_body, encode_frame, encode_items};
use super::{Api, json, submit};

/// Longest answer that is read whole, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest reason of a refusal, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// What is asked about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    View,
    Why,
    Results,
    /// It is cancelled, retried or forgotten.
    Change(&'static str),
}

impl Wanted {
    /// By the path of the request. None, too, where it comes with a method that this path does not have.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let (_name, suffix) =
            path.strip_prefix("/v1/jobs/").map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
        let wanted = match suffix {
            "" => Self::View,
            "why" => Self::Why,
            "results" => Self::Results,
            "cancel" => Self::Change("/cancel"),
            "retry" => Self::Change("/retry"),
            "forget" => Self::Change("/forget"),
            _ => return None,
        };
        let fits = if wanted.only_reads() { reads(method) } else { method == Method::POST };
        fits.then_some(wanted)
    }

    /// Whether asking twice does no harm.
    pub(super) fn only_reads(self) -> bool {
        !matches!(self, Self::Change(_))
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::View => "",
            Self::Why => "/why",
            Self::Results => "/results",
            Self::Change(suffix) => suffix,
        }
    }
}

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// A client's request about a job, as another member is asked. An answer without its body can't be checked, so it is asked with
/// it; a client that wants none gets none.
pub(super) fn question(parts: &Parts, wanted: Wanted, job: JobId) -> ApiRequest {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let method = if reads(&parts.method) { &Method::GET } else { &parts.method };
    ApiRequest {
        method: method.as_str().to_owned(),
        target: format!("/v1/jobs/{job}{}{query}", wanted.suffix()),
        accept: String::from(if wanted == Wanted::Results {
            frames::CONTENT_TYPE
        } else {
            "application/json"
        }),
        content_type: String::new(),
        body: Vec::new(),
    }
}

/// A path that ends with a name, of which nothing has a meaning of its own.
pub(super) fn target(path: &str, name: &str) -> String {
    let mut target = String::from(path);
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => target.push(byte.into()),
            _ => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

/// Whether a member says that it does not lead the job, or leads it no longer.
pub(super) fn is_moved(answer: &ApiAnswer) -> bool {
    answer.head.status == StatusCode::NOT_FOUND.as_u16() || is_passing(answer)
}

fn is_passing(answer: &ApiAnswer) -> bool {
    answer.head.headers.iter().any(|(name, _)| *name == RETRY_AFTER.as_str())
}

/// The job that a member was asked about. An answer about another one is none: its client would go on with that one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meant<'a> {
    pub(super) job: JobId,
    /// What it is called, where the client asked by that.
    pub(super) name: Option<&'a str>,
}

impl Meant<'_> {
    fn check(self, answer: &impl OfJob) -> Result<(), ApiError> {
        self.check_id(answer.job())?;
        match (self.name, answer.name()) {
            (Some(asked), Some(told)) if asked != told => {
                Err(bad_gateway("it is about a job of another name"))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn check_id(self, told: &str) -> Result<(), ApiError> {
        if told == self.job.to_string() { Ok(()) } else { Err(bad_gateway("it is about another job")) }
    }
}

/// An answer about one job.
trait OfJob {
    fn job(&self) -> &str;

    /// What the job is called, where the answer says that.
    fn name(&self) -> Option<&str> {
        None
    }
}

impl OfJob for wire::Job {
    fn job(&self) -> &str {
        &self.job
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

impl OfJob for wire::Why {
    fn job(&self) -> &str {
        &self.job
    }
}

/// The answer to a change.
#[derive(serde::Deserialize, Serialize)]
struct Changed {
    job: String,
}

impl OfJob for Changed {
    fn job(&self) -> &str {
        &self.job
    }
}

/// A member's answer, for the client.
pub(super) async fn response(
    api: &Api,
    wanted: Wanted,
    meant: Meant<'_>,
    asked: &Parts,
    answer: ApiAnswer,
) -> Result<Response, ApiError> {
    if answer.head.status != StatusCode::OK.as_u16() {
        return Err(refusal(answer).await);
    }
    match wanted {
        Wanted::View => whole::<wire::Job>(meant, answer).await,
        Wanted::Why => whole::<wire::Why>(meant, answer).await,
        Wanted::Change(_) => whole::<Changed>(meant, answer).await,
        Wanted::Results => results(api, meant, asked, answer),
    }
}

async fn whole<T: DeserializeOwned + Serialize + OfJob>(
    meant: Meant<'_>,
    answer: ApiAnswer,
) -> Result<Response, ApiError> {
    let bytes = answer.whole(ANSWER_BYTES_MAX).await.map_err(|error| bad_gateway(&error.to_string()))?;
    Ok(json::answer(&parsed::<T>(meant, &bytes)?))
}

fn parsed<T: DeserializeOwned + OfJob>(meant: Meant<'_>, bytes: &[u8]) -> Result<T, ApiError> {
    let parsed: T = serde_json::from_slice(bytes).map_err(|error| bad_gateway(&error.to_string()))?;
    meant.check(&parsed)?;
    Ok(parsed)
}

/// Reads an answer of a list, and its length in bytes.
pub(super) async fn list<T: DeserializeOwned>(
    answer: ApiAnswer,
    bytes_max: usize,
) -> Option<(Vec<T>, usize)> {
    if answer.head.status != StatusCode::OK.as_u16() {
        return None;
    }
    let bytes = answer.whole(bytes_max).await.ok()?;
    Some((serde_json::from_slice(&bytes).ok()?, bytes.len()))
}

async fn refusal(answer: ApiAnswer) -> ApiError {
    let status = StatusCode::from_u16(answer.head.status).ok();
    let status = status.filter(|status| status.is_client_error() || status.is_server_error());
    let passes = is_passing(&answer);
    let body = answer.whole(REFUSAL_BYTES_MAX).await.ok();
    let body: Option<ErrorBody> = body.and_then(|body| serde_json::from_slice(&body).ok());
    match (status, body) {
        // Who is not admitted there is no reason to ask for the token here.
        (Some(status), Some(body)) if status != StatusCode::UNAUTHORIZED => {
            let error = ApiError::told(status, body);
            if passes { error.soon() } else { error }
        }
        (_, _) => bad_gateway("a refusal without a reason"),
    }
}

fn bad_gateway(why: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, format!("the node that leads the job gave no good answer: {why}"))
}

/// Results on their way through.
struct Passing {
    answer: ApiAnswer,
    splitter: Splitter,
    encoding: Encoding,
    job: JobId,
    /// The last frame was passed on.
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// Results, in the encoding that the client takes.
fn results(api: &Api, meant: Meant<'_>, asked: &Parts, answer: ApiAnswer) -> Result<Response, ApiError> {
    let accept = asked.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let encoding = Encoding::of(accept);
    let job = answer.head.headers.iter().find(|(name, _)| *name == submit::JOB_HEADER.as_str());
    let (_, told) = job.ok_or_else(|| bad_gateway("results of no job"))?;
    meant.check_id(told)?;
    let job = meant.job;
    let permit = submit::stream_permit(api)?;
    let passing =
        Passing { answer, splitter: Splitter::default(), encoding, job, over: false, _permit: permit };
    let body = Body::from_stream(stream::try_unfold(passing, async |mut passing| {
        Ok::<_, io::Error>(passing.next().await?.map(|chunk| (chunk, passing)))
    }));
    Ok(submit::streaming(job, encoding, body))
}

impl Passing {
    /// The next chunk; an error where the answer breaks off, which then does not look like its end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let mut chunk = Vec::new();
            while let Some(frame) = self.splitter.next_frame().map_err(io::Error::other)? {
                if self.over || is_of_another(&frame, self.job) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                self.over = matches!(frame, NodeFrame::Ended(_) | NodeFrame::SoFar(_) | NodeFrame::Error(_));
                chunk.extend(encoded(self.encoding, frame));
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk.into()));
            }
            match self.answer.chunk().await.map_err(io::Error::other)? {
                Some(bytes) => self.splitter.push(&bytes),
                None if self.over => return Ok(None),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Whether a frame says that it is about another job.
fn is_of_another(frame: &NodeFrame, job: JobId) -> bool {
    matches!(frame, NodeFrame::Accepted { job: told } if *told != job.to_string())
}

fn encoded(encoding: Encoding, frame: NodeFrame) -> Vec<u8> {
    match (encoding, frame) {
        (_, NodeFrame::Results(items)) => encode_items(encoding, items),
        (_, NodeFrame::Error(body)) => encode_error_body(encoding, body),
        (Encoding::Frames, frame) => encode_frame(&frame),
        // The end of the lines is the end.
        (
            Encoding::JsonLines,
            NodeFrame::Accepted { .. }
            | NodeFrame::Printed(_)
            | NodeFrame::Ended(_)
            | NodeFrame::Taken { .. }
            | NodeFrame::SoFar(_)
            | NodeFrame::Kept { .. }
            | NodeFrame::Next { .. },
        ) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[test]
    fn a_request_is_passed_on_for_the_job_that_was_found() {
        let request = axum::http::Request::builder().method("POST").uri("/v1/jobs/friday/retry?x=1");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let wanted = Wanted::of(&Method::POST, "/v1/jobs/friday%2F1/retry").unwrap();
        let question = question(&parts, wanted, JobId(0xa7c3_72ed_eab4_6585));
        assert_eq!(question.method, "POST");
        assert_eq!(question.target, "/v1/jobs/a7c372edeab46585/retry?x=1");
        assert!(!wanted.only_reads());
        assert_eq!(Wanted::of(&Method::GET, "/v1/jobs"), None);
        assert_eq!(target("/v1/lead/", "on friday/1?é"), "/v1/lead/on%20friday%2F1%3F%C3%A9");
    }

    #[test]
    fn an_answer_about_another_job_is_none() {
        let (asked, other) = ("a7c372edeab46585", "b7c372edeab46585");
        let by_id = Meant { job: asked.parse().unwrap(), name: None };
        let by_name = Meant { name: Some("friday"), ..by_id };
        let view = |job: &str, name: &str| {
            let view = serde_json::json!({
                "job": job, "name": name, "state": "done", "detached": true, "cancelled_by_user": false,
                "class": "batch", "module": "", "tasks": 0, "queued": 0, "leased": 0, "done": 0, "failed": 0,
                "cancelled": 0, "retried": 0, "elapsed_ms": 1,
            });
            view.to_string()
        };
        let told = |meant, job, name| parsed::<wire::Job>(meant, view(job, name).as_bytes());
        assert!(told(by_id, asked, "monday").is_ok() && told(by_name, asked, "friday").is_ok());
        for (meant, job, name) in
            [(by_id, other, ""), (by_name, other, "friday"), (by_name, asked, "monday"), (by_id, "A7", "")]
        {
            let status = told(meant, job, name).unwrap_err().into_response().status();
            assert_eq!(status, StatusCode::BAD_GATEWAY, "{meant:?} {job} {name}");
        }
        let changed =
            |job: &str| parsed::<Changed>(by_name, format!(r#"{{"job":"{job}"}}"#).as_bytes()).is_ok();
        assert!(changed(asked) && !changed(other));
        let accepted = |job: &str| NodeFrame::Accepted { job: job.to_owned() };
        assert!(is_of_another(&accepted(other), by_id.job) && !is_of_another(&accepted(asked), by_id.job));
    }

    #[test]
    fn what_a_client_wants_without_its_body_is_asked_for_with_it() {
        for (path, of) in
            [("", Wanted::View), ("/why?index=3", Wanted::Why), ("/results?from=7", Wanted::Results)]
        {
            let request = axum::http::Request::builder().method("HEAD").uri(format!("/v1/jobs/friday{path}"));
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let wanted = Wanted::of(&parts.method, parts.uri.path()).unwrap();
            let question = question(&parts, wanted, JobId(0xa7c3_72ed_eab4_6585));
            assert_eq!((wanted, question.method.as_str()), (of, "GET"));
            assert_eq!(question.target, format!("/v1/jobs/a7c372edeab46585{path}"));
        }
        // Not the leader's to refuse.
        for (method, path) in
            [("GET", "cancel"), ("HEAD", "retry"), ("DELETE", "forget"), ("POST", "why"), ("PUT", "results")]
        {
            let method: Method = method.parse().unwrap();
            assert_eq!(Wanted::of(&method, &format!("/v1/jobs/friday/{path}")), None, "{method} {path}");
        }
    }
}
