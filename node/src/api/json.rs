//! Jobs and results as JSON, for curl and for other languages.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use weft_client::api::{FileJson, FilesJson, JobSubmission, LimitsJson, ResultLine, Value};
use weft_client::frames::{INLINE_BYTES_MAX, JobRequest, Limits, Payload as WirePayload, ResultItem};
use weft_client::{Archive, Level};
use weft_core::{BlobId, PeerId};

use super::Api;
use super::error::ApiError;
use crate::terminal::json_text;
use crate::text_module;

/// Longest JSON submission.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;
const INPUTS_MAX: usize = 100_000;
/// What the files of a JSON submission may be together, blobs included; it is packed in memory.
const ARCHIVE_BYTES_MAX: u64 = 256 << 20;

/// One line of JSON, in which no letter is unsafe for a terminal: it may be read with curl.
pub(super) fn line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = json_text(serde_json::to_string(value).expect("plain data always serialises"));
    line.push('\n');
    line.into()
}

/// An answer of one line.
pub(super) fn answer<T: Serialize>(value: &T) -> Response {
    ([(CONTENT_TYPE, "application/json")], line(value)).into_response()
}

/// A submission in parts, some of which must still find their way into the store.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) request: JobRequest,
    pub(super) module: Module,
    pub(super) files: FilesJson,
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
        wat,
        function,
        args,
        env,
        files,
        profile,
        limits,
        needs,
        slots,
        class,
        retries,
        policy,
        memo,
        receipts,
        after,
        join,
        inputs,
        detached,
        level,
        name,
        labels,
        shared,
        keep_with,
    } = submission;
    if inputs.len() > INPUTS_MAX {
        return Err(ApiError::bad(format!("{} inputs", inputs.len())).expected("at most 100000"));
    }
    let module = self::module(module, wasm_base64, wat)?;
    let request = JobRequest {
        module: [0; 32],
        function,
        args,
        env: env.into_iter().collect(),
        // The caller, which stores the parts, fills it in.
        files: WirePayload::default(),
        profile,
        limits: self::limits(limits),
        needs: needs.into_iter().collect(),
        class,
        retries,
        policy,
        memo,
        receipts,
        stream: false,
        detached,
        slots,
        after,
        join,
        parcels: false,
        level: level.unwrap_or_else(|| Level::of_none(detached)),
        name,
        labels: labels.into_iter().collect(),
        shared,
        keep_with,
    };
    let inputs = inputs.into_iter().map(bytes).collect::<Result<_, _>>()?;
    Ok(Parts { request, module, files, inputs })
}

fn module(stored: Option<String>, base64: Option<String>, wat: Option<String>) -> Result<Module, ApiError> {
    match (stored, base64, wat) {
        (Some(id), None, None) => Ok(Module::Stored(blob_id(&id)?)),
        (None, Some(text), None) => Ok(Module::Here(binary(decode(&text)?)?)),
        (None, None, Some(text)) => Ok(Module::Here(binary(text.into_bytes())?)),
        (_, _, _) => {
            let one = "one of module (a blob's id), wasm_base64 and wat (text)";
            Err(ApiError::bad("not exactly one module").expected(one))
        }
    }
}

fn limits(given: LimitsJson) -> Limits {
    let LimitsJson { wall_ms, memory_bytes, fuel, output_bytes, errors_bytes, files_bytes, files } = given;
    Limits { wall_ms, memory_bytes, fuel, output_bytes, errors_bytes, files_bytes, files }
}

/// The archive that a submission's files make.
pub(super) async fn archive(api: &Api, files: FilesJson) -> Result<Bytes, ApiError> {
    let list = match files {
        FilesJson::Archive { blob } => return Ok(Bytes::Stored(blob_id(&blob)?)),
        FilesJson::List(list) => list,
    };
    if list.is_empty() {
        return Ok(Bytes::Short(Arc::from([])));
    }
    let store = api.handle.store().clone();
    let packed = tokio::task::spawn_blocking(move || pack(&store, list)).await;
    let tar = packed.map_err(|error| ApiError::bad(format!("the files can't be packed: {error}")))??;
    Ok(if tar.len() <= INLINE_BYTES_MAX { Bytes::Short(tar.into()) } else { Bytes::Long(tar) })
}

/// Packs a list of files, in memory. Blocks.
fn pack(store: &weft_blobs::Store, list: Vec<FileJson>) -> Result<Vec<u8>, ApiError> {
    let mut archive = Archive::default();
    let mut room = ARCHIVE_BYTES_MAX;
    for file in list {
        let FileJson { path, text, base64, blob } = file;
        let bytes = match (text, base64, blob) {
            (Some(text), None, None) => text.into_bytes().into(),
            (None, Some(text), None) => decode(&text)?.into(),
            (None, None, Some(id)) => {
                let missing = || ApiError::not_found("blob", &id);
                let name = blob_id(&id)?;
                let length = store.len(name).ok_or_else(missing)?;
                if length > room {
                    return Err(too_much());
                }
                store.get(name).ok().flatten().ok_or_else(missing)?
            }
            (None, None, None) | (Some(_), _, _) | (None, Some(_), Some(_)) => {
                return Err(ApiError::bad(format!("file {path:?} has not exactly one source"))
                    .expected("text, base64 or blob"));
            }
        };
        room = room.checked_sub(bytes.len() as u64).ok_or_else(too_much)?;
        archive.add_bytes(&path, bytes).map_err(|error| ApiError::bad(error.to_string()))?;
    }
    let mut tar = Vec::new();
    archive.write_to(&mut tar).map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(tar)
}

fn too_much() -> ApiError {
    ApiError::bad("the files together are too long")
        .expected(format!("at most {} MiB", ARCHIVE_BYTES_MAX >> 20))
        .help("make a tar archive of them and upload it: PUT /v1/blobs, then \"files\": {\"blob\": id}")
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
    text.parse().map_err(|error| ApiError::bad(format!("{text:?} is not a blob id: {error}")))
}

/// A module in binary form, whichever form it came in.
pub(super) fn binary(module: Vec<u8>) -> Result<Vec<u8>, ApiError> {
    if !text_module::may_begin(&module) {
        return Ok(module);
    }
    let text =
        String::from_utf8(module).map_err(|error| ApiError::bad(format!("the module's text: {error}")))?;
    text_module::binary(&text).map_err(|error| ApiError::bad(format!("the module's text, {error}")))
}

fn decode(text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD.decode(text).map_err(|error| ApiError::bad(format!("not base64: {error}")))
}

/// An ended task as a line.
pub(super) fn result(item: ResultItem) -> ResultLine {
    let ResultItem {
        number,
        index,
        outcome,
        output,
        errors,
        files,
        worker,
        attempts,
        memo,
        usage,
        receipt,
        verified,
    } = item;
    ResultLine {
        number,
        index,
        reason: outcome.reason().map(String::from),
        outcome: outcome.word().to_owned(),
        exit_code: outcome.exit_code(),
        output: value(&output),
        errors: value(&errors),
        files: (files != WirePayload::default()).then(|| value(&files)),
        worker: worker.map(|id| PeerId(id).to_string()),
        attempts,
        memo: memo.is_some(),
        recalled: memo,
        wall_us: usage.wall_us,
        usage,
        receipt,
        verified,
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
