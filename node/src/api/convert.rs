//! The API's words from and to the core's. Structs are taken apart field by field, so that a new field can't be
//! forgotten. What comes from a client is checked here; past this file only what passed exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_client::api;
use weft_client::frames::{
    JobRequest, Limits as WireLimits, Payload as WirePayload, PrintedItem, ResultItem,
};
use weft_core::message::{Class, LABEL_BYTES_MAX, LABELS_MAX, Needs};
use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{
    BlobId, Entry, Failure, Join, Level, Limit, Limits, Outcome, Payload, PeerId, Policy, Profile, Program,
    Recall, Recalled, Report, Stream, TASK_SLOTS_MAX, Terms, Trap, Verified,
};

use super::error::ApiError;
use crate::jobs::{Print, TaskEnd, Title};
use crate::receipts;

/// Longest text of a failure that is told; the rest is cut off.
const TEXT_BYTES_MAX: usize = 16 << 10;
const FUNCTION_BYTES_MAX: usize = 256;
const ARGS_MAX: usize = 4096;
/// What a 32-bit memory can have at most.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// A job request, checked.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) program: Program,
    pub(super) needs: Needs,
    pub(super) class: Class,
    pub(super) terms: Terms,
    pub(super) policy: Policy,
    pub(super) detached: bool,
    pub(super) level: Level,
    pub(super) title: Title,
    pub(super) shared: bool,
    /// Parents by the names that the client gave them.
    pub(super) after: Vec<String>,
    pub(super) join: Join,
    /// The job that the same nodes are to keep, if one is named.
    pub(super) keep_with: Option<String>,
}

/// Checks a request; `own` is the node's choice of known results where the request makes none. The module's length is filled
/// in by the caller, which looks into the store.
pub(super) fn job(request: JobRequest, own: Recall) -> Result<Job, ApiError> {
    let JobRequest {
        module,
        function,
        args,
        env,
        files,
        profile,
        limits,
        needs,
        class,
        retries,
        policy,
        memo,
        receipts,
        stream,
        detached,
        slots,
        after,
        join,
        parcels,
        level,
        name,
        labels,
        shared,
        keep_with,
    } = request;
    check_entry(function.as_ref(), args.len(), &env)?;
    let too_long = |text: &String| text.len() > LABEL_BYTES_MAX;
    if needs.len() > LABELS_MAX || needs.iter().any(|(name, value)| too_long(name) || too_long(value)) {
        return Err(ApiError::bad("too many or too long labels")
            .expected("at most 32, with names and values of 64 bytes at most"));
    }
    if !(1..=TASK_SLOTS_MAX).contains(&slots) {
        let most = format!("1 to {TASK_SLOTS_MAX}");
        return Err(ApiError::bad(format!("{slots} slots for one task")).expected(most));
    }
    let policy = super::policy::policy(policy, retries)?;
    let title = super::title::title(name, labels)?;
    let program = Program {
        module: BlobId(module),
        module_bytes: 0,
        entry: entry(function, parcels, join)?,
        args,
        env: last_of_each(env),
        files: input(files)?,
        profile: profile_in(profile),
        limits: self::limits(limits)?,
    };
    // No client reads along with a detached job.
    let memo = memo.map_or(own, recall_in);
    let terms = Terms { memo, receipts, stream: stream && !detached };
    Ok(Job {
        program,
        needs: Needs { labels: needs, slots },
        class: class_in(class),
        terms,
        policy,
        detached,
        level: level_in(level),
        title,
        shared,
        after,
        join: self::join(join),
        keep_with: Some(keep_with).filter(|job| !job.is_empty()),
    })
}

fn check_entry(function: Option<&String>, args: usize, env: &[(String, String)]) -> Result<(), ApiError> {
    if function.is_some_and(|name| !(1..=FUNCTION_BYTES_MAX).contains(&name.len())) {
        return Err(ApiError::bad("a function's name of unfit length").expected("1 to 256 bytes"));
    }
    if args + env.len() > ARGS_MAX {
        return Err(ApiError::bad("too many arguments and variables").expected("at most 4096 together"));
    }
    match env.iter().find(|(name, _)| name.is_empty() || name.contains(['=', '\0'])) {
        Some((name, _)) => {
            Err(ApiError::bad(format!("the name of a variable is {name:?}")).expected("a name without ="))
        }
        None => Ok(()),
    }
}

fn profile_in(profile: api::Profile) -> Profile {
    match profile {
        api::Profile::Pure => Profile::Pure,
        api::Profile::Portable => Profile::Portable,
        api::Profile::Impure => Profile::Impure,
    }
}

fn entry(function: Option<String>, parcels: bool, join: api::Join) -> Result<Entry, ApiError> {
    let gathers = join == api::Join::Gather;
    match (function, parcels || gathers) {
        (Some(_), _) if gathers => Err(ApiError::bad("a function that gathers results")
            .expected("a command, which finds them as files under /in")),
        (Some(_), true) => Err(ApiError::bad("a function with parcels").expected("a command")),
        (Some(name), false) => Ok(Entry::Function(name)),
        (None, true) => Ok(Entry::Parcel),
        (None, false) => Ok(Entry::Command),
    }
}

/// Which known results are used.
pub(super) fn recall_in(recall: api::Recall) -> Recall {
    match recall {
        api::Recall::Off => Recall::Off,
        api::Recall::Own => Recall::Own,
        api::Recall::Mesh => Recall::Mesh,
    }
}

fn recalled_out(recalled: Recalled) -> api::Recalled {
    match recalled {
        Recalled::Here => api::Recalled::Here,
        Recalled::Home => api::Recalled::Home,
        Recalled::Worker => api::Recalled::Worker,
        Recalled::Told => api::Recalled::Mesh,
    }
}

/// The variables, each name once: the last value wins, at the place of its first.
fn last_of_each(env: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut once: Vec<(String, String)> = Vec::with_capacity(env.len());
    for (name, value) in env {
        match places.get(&name).and_then(|place| once.get_mut(*place)) {
            Some(known) => known.1 = value,
            None => {
                places.insert(name.clone(), once.len());
                once.push((name, value));
            }
        }
    }
    once
}

pub(super) fn level_in(level: api::Level) -> Level {
    match level {
        api::Level::Memory => Level::Memory,
        api::Level::Disk => Level::Disk,
        api::Level::Mesh => Level::Mesh,
    }
}

/// What a job survives, for the wire.
pub(super) fn level_out(level: Level) -> api::Level {
    match level {
        Level::Memory => api::Level::Memory,
        Level::Disk => api::Level::Disk,
        Level::Mesh => api::Level::Mesh,
    }
}

pub(super) fn join(join: api::Join) -> Join {
    match join {
        api::Join::AllSucceeded => Join::AllSucceeded,
        api::Join::AllEnded => Join::AllEnded,
        api::Join::EachResult => Join::EachResult,
        api::Join::Gather => Join::Gather,
    }
}

fn limits(limits: WireLimits) -> Result<Limits, ApiError> {
    let WireLimits { wall_ms, memory_bytes, fuel, output_bytes, errors_bytes, files_bytes, files } = limits;
    let default = Limits::DEFAULT;
    let limits = Limits {
        wall_ms: wall_ms.unwrap_or(default.wall_ms),
        memory_bytes: memory_bytes.unwrap_or(default.memory_bytes),
        fuel,
        output_bytes: output_bytes.unwrap_or(default.output_bytes),
        errors_bytes: errors_bytes.unwrap_or(default.errors_bytes),
        files_bytes: files_bytes.unwrap_or(default.files_bytes),
        files: files.unwrap_or(default.files),
    };
    if limits.wall_ms == 0 {
        return Err(ApiError::bad("no running time at all").expected("wall_ms of at least 1"));
    }
    if let Some((name, value, most)) = limits.beyond_max() {
        return Err(ApiError::bad(format!("{name} of {value}")).expected(format!("at most {most}")));
    }
    if limits.memory_bytes > MEMORY_BYTES_MAX {
        return Err(
            ApiError::bad(format!("memory_bytes of {}", limits.memory_bytes)).expected("at most 4 GiB")
        );
    }
    Ok(limits)
}

fn class_in(class: api::Class) -> Class {
    match class {
        api::Class::Scavenger => Class::Scavenger,
        api::Class::Batch => Class::Batch,
        api::Class::Interactive => Class::Interactive,
        api::Class::Realtime => Class::Realtime,
    }
}

/// Checks an input.
pub(super) fn input(payload: WirePayload) -> Result<Payload, ApiError> {
    match payload {
        WirePayload::Inline(bytes) if bytes.len() <= INLINE_BYTES_MAX => Ok(Payload::Inline(bytes)),
        WirePayload::Inline(bytes) => {
            Err(ApiError::bad(format!("an input of {} bytes in a frame", bytes.len()))
                .expected("at most 16 KiB")
                .help("longer ones are uploaded first: PUT /v1/blobs"))
        }
        WirePayload::Blob { id, bytes } => Ok(Payload::Blob { id: BlobId(id), bytes }),
    }
}

/// Bytes for the wire.
pub(super) fn payload_out(payload: Payload) -> WirePayload {
    match payload {
        Payload::Inline(bytes) => WirePayload::Inline(bytes),
        Payload::Blob { id, bytes } => WirePayload::Blob { id: id.0, bytes },
    }
}

/// An ended task, for the wire.
pub(super) fn result(end: TaskEnd) -> ResultItem {
    let TaskEnd { number, index, report, worker, attempts, memo, receipt, verified } = end;
    let Report { outcome, output, errors, files, usage } = Arc::unwrap_or_clone(report);
    ResultItem {
        number,
        index,
        outcome: self::outcome(outcome),
        output: payload_out(output),
        errors: payload_out(errors),
        files: payload_out(files),
        worker: worker.map(|PeerId(bytes)| bytes),
        attempts,
        memo: memo.map(recalled_out),
        usage: receipts::usage_out(usage),
        receipt: receipt.and_then(|signed| receipts::show(&signed.0, &signed.1)),
        verified: verified.map(|found| self::verified(*found)),
    }
}

fn verified(found: Verified) -> api::Verified {
    let Verified { agreed, differed } = found;
    let names = |all: Vec<PeerId>| all.iter().map(PeerId::to_string).collect();
    api::Verified { agreed: names(agreed), differed: names(differed) }
}

/// What a running task printed, for the wire.
pub(super) fn printed(print: Print) -> PrintedItem {
    let Print { index, attempt, stream, offset, bytes } = print;
    let stream = match stream {
        Stream::Output => api::Stream::Output,
        Stream::Errors => api::Stream::Errors,
    };
    PrintedItem { index, attempt, stream, offset, bytes }
}

fn outcome(outcome: Outcome) -> api::Outcome {
    match outcome {
        Outcome::Done => api::Outcome::Done,
        Outcome::Failed(Failure::Exit(exit_code)) => api::Outcome::Failed(api::Failure::Exit { exit_code }),
        Outcome::Failed(Failure::Error(error)) => {
            api::Outcome::Failed(api::Failure::Error { error: cut(error) })
        }
        Outcome::Trapped(trap) => api::Outcome::Trapped { trap: self::trap(trap) },
        Outcome::LimitExceeded(limit) => {
            api::Outcome::Limit { which: limit_kind(&limit), limit: cut(limit.to_string()) }
        }
        Outcome::Invalid(reason) => api::Outcome::Invalid { reason: cut(reason) },
        Outcome::Cancelled => api::Outcome::Cancelled,
        Outcome::Lost(reason) | Outcome::NoRoom(reason) => api::Outcome::Lost { reason: cut(reason) },
        Outcome::Expired(expiry) => api::Outcome::Expired { reason: expiry.to_string() },
        Outcome::ParentFailed { job } => {
            api::Outcome::Skipped { reason: format!("it comes after job {job}, which did not succeed") }
        }
    }
}

fn trap(trap: Trap) -> String {
    cut(trap.to_string())
}

fn limit_kind(limit: &Limit) -> api::LimitKind {
    match limit {
        Limit::WallTime { limit_ms: _ } => api::LimitKind::Time,
        Limit::Memory { asked_bytes: _, limit_bytes: _ } => api::LimitKind::Memory,
        Limit::Fuel { limit: _ } => api::LimitKind::Fuel,
        Limit::Output { limit_bytes: _ } => api::LimitKind::Output,
        Limit::Errors { limit_bytes: _ } => api::LimitKind::Errors,
        Limit::FilesBytes { limit_bytes: _ } => api::LimitKind::Files,
        Limit::Files { limit: _ } => api::LimitKind::FilesCount,
        Limit::Other(_) => api::LimitKind::Other,
    }
}

/// A text of bounded length.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text
}

/// The program, with its module's length.
pub(super) fn with_length(program: Program, module_bytes: u64) -> Arc<Program> {
    Arc::new(Program { module_bytes, ..program })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_and_client_group_outcomes_alike() {
        use weft_core::{Expiry, Fault, JobId};
        let every = [
            Outcome::Done,
            Outcome::Failed(Failure::Exit(3)),
            Outcome::Trapped(Trap::Unreachable),
            Outcome::LimitExceeded(Limit::Fuel { limit: 1 }),
            Outcome::Invalid(String::new()),
            Outcome::Cancelled,
            Outcome::Lost(String::new()),
            Outcome::Expired(Expiry::Unfinished { after_ms: 1 }),
            Outcome::ParentFailed { job: JobId(1) },
        ];
        for core in every {
            let expected = match core.fault() {
                Fault::None => api::Fault::None,
                Fault::Task => api::Fault::Task,
                Fault::Program => api::Fault::Program,
                Fault::Worker | Fault::Disk => api::Fault::Worker,
                Fault::Owner => api::Fault::Job,
            };
            let word = core.word();
            let client = outcome(core);
            assert_eq!((client.word(), client.fault()), (word, expected));
        }
    }

    #[test]
    fn of_a_variable_that_is_given_twice_the_last_value_wins() {
        let given = [("A", "1"), ("B", "2"), ("A", "3"), ("A", "4")];
        let env = last_of_each(given.map(|(name, value)| (name.into(), value.into())).to_vec());
        assert_eq!(env, [("A".into(), "4".into()), ("B".into(), "2".into())]);
    }
}
