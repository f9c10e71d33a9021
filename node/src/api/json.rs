//! Jobs and results as JSON, for curl and for other languages.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use weft_client::api::{Failure, JobSubmission, LimitsJson, Outcome, ResultLine, Value};
use weft_client::frames::{
    INLINE_BYTES_MAX, JobRequest, Limits, Payload as WirePayload, Profile, ResultItem,
};
use weft_core::{BlobId, PeerId};

use super::error::ApiError;

/// Longest JSON submission.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;
const INPUTS_MAX: usize = 100_000;

/// One line of JSON.
pub(super) fn line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("plain data always serialises");
    line.push(b'\n');
    line
}

/// A submission in parts, some of which must still find their way into the store.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) request: JobRequest,
    pub(super) module: Module,
    pub(super) inputs: Vec<Bytes>,
}

/// The module of a submission.
#[derive(Debug)]
pub(super) enum Module {
    Here(Vec<u8>),
    Stored(BlobId),
}

/// Bytes of a submission.
#[derive(Debug)]
pub(super) enum Bytes {
    Short(Arc<[u8]>),
    Long(Vec<u8>),
    Stored(BlobId),
}

/// Reads a submission.
pub(super) fn parse(body: &[u8]) -> Result<Parts, ApiError> {
    let submission: JobSubmission = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad(format!("the job does not parse: {error}")))?;
    let JobSubmission {
        module,
        wasm_base64,
        function,
        args,
        env,
        limits,
        needs,
        class,
        retries,
        inputs,
        detached,
    } = submission;
    if inputs.len() > INPUTS_MAX {
        return Err(ApiError::bad(format!("{} inputs", inputs.len())).expected("at most 100000"));
    }
    let module = match (module, wasm_base64) {
        (Some(id), None) => Module::Stored(blob_id(&id)?),
        (None, Some(text)) => Module::Here(decode(&text)?),
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::bad("not exactly one module").expected("either module or wasm_base64"));
        }
    };
    let LimitsJson { wall_ms, memory_bytes, fuel, output_bytes, errors_bytes } = limits;
    let request = JobRequest {
        module: [0; 32],
        function,
        args,
        env: env.into_iter().collect(),
        profile: Profile::Pure,
        limits: Limits { wall_ms, memory_bytes, fuel, output_bytes, errors_bytes },
        needs: needs.into_iter().collect(),
        class,
        retries,
        detached,
    };
    let inputs = inputs.into_iter().map(bytes).collect::<Result<_, _>>()?;
    Ok(Parts { request, module, inputs })
}

fn bytes(value: Value) -> Result<Bytes, ApiError> {
    let bytes = match value {
        Value::Text(text) => text.into_bytes(),
        Value::Base64 { base64 } => decode(&base64)?,
        Value::Blob { blob, bytes: _ } => return Ok(Bytes::Stored(blob_id(&blob)?)),
    };
    Ok(if bytes.len() <= INLINE_BYTES_MAX { Bytes::Short(bytes.into()) } else { Bytes::Long(bytes) })
}

pub(super) fn blob_id(text: &str) -> Result<BlobId, ApiError> {
    text.parse().map_err(|error| ApiError::bad(format!("{text:?} is no blob id: {error}")))
}

fn decode(text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD.decode(text).map_err(|error| ApiError::bad(format!("not base64: {error}")))
}

/// An ended task as a line.
pub(super) fn result(item: ResultItem) -> ResultLine {
    let ResultItem { index, outcome, output, errors, worker, attempts, usage } = item;
    let exit_code = match &outcome {
        Outcome::Done => Some(0),
        Outcome::Failed(Failure::Exit { exit_code }) => Some(*exit_code),
        Outcome::Failed(Failure::Error { error: _ }) => Some(1),
        Outcome::Trapped { trap: _ }
        | Outcome::Limit { which: _, limit: _ }
        | Outcome::Invalid { reason: _ }
        | Outcome::Cancelled
        | Outcome::Lost { reason: _ } => None,
    };
    ResultLine {
        index,
        detail: (outcome != Outcome::Done).then(|| outcome.to_string()),
        outcome: outcome.word().to_owned(),
        exit_code,
        output: value(&output),
        errors: value(&errors),
        worker: worker.map(|id| PeerId(id).to_string()),
        attempts,
        wall_us: usage.wall_us,
    }
}

fn value(payload: &WirePayload) -> Value {
    match payload {
        WirePayload::Inline(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Base64 { base64: STANDARD.encode(bytes) },
        },
        WirePayload::Blob { id, bytes } => Value::Blob { blob: BlobId(*id).to_string(), bytes: *bytes },
    }
}
