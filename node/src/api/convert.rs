//! The API's words from and to the core's. Structs are taken apart field by field, so that a new field can't be
//! forgotten. What comes from a client is checked here; past this file only what passed exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_client::api;
use weft_client::frames::{
    JobRequest, Limits as WireLimits, Payload as WirePayload, Profile as WireProfile, ResultItem,
};
use weft_core::message::{Class, Needs};
use weft_core::snapshot::{Answer, Counters, JobView, PeerView, Said, Snapshot, TaskView, Why};
use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{
    BlobId, Entry, Failure, JobId, Limit, Limits, Outcome, Payload, PeerId, Profile, Program, Report, Trap,
    Usage,
};

use super::error::ApiError;
use crate::handle::NodeInfo;
use crate::jobs::{JobSummary, TaskEnd};

/// Longest text of a failure that is told; the rest is cut off.
const TEXT_BYTES_MAX: usize = 16 << 10;
const LABELS_MAX: usize = 32;
const LABEL_BYTES_MAX: usize = 64;
const FUNCTION_BYTES_MAX: usize = 256;
const ARGS_MAX: usize = 4096;
const RETRIES_MAX: u32 = 100;
/// What a 32-bit memory can have at most.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// A job request, checked.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) program: Program,
    pub(super) needs: Needs,
    pub(super) class: Class,
    pub(super) retries: u32,
    pub(super) detached: bool,
}

/// Checks a request. The module's length is filled in by whoever looks into the store.
pub(super) fn job(request: JobRequest) -> Result<Job, ApiError> {
    let JobRequest { module, function, args, env, profile, limits, needs, class, retries, detached } =
        request;
    if let Some(name) = &function
        && !(1..=FUNCTION_BYTES_MAX).contains(&name.len())
    {
        return Err(ApiError::bad("a function's name of unfit length").expected("1 to 256 bytes"));
    }
    if args.len() + env.len() > ARGS_MAX {
        return Err(ApiError::bad("too many arguments and variables").expected("at most 4096 together"));
    }
    if let Some((name, _)) = env.iter().find(|(name, _)| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(ApiError::bad(format!("the name of a variable is {name:?}")).expected("a name without ="));
    }
    let too_long = |text: &String| text.len() > LABEL_BYTES_MAX;
    if needs.len() > LABELS_MAX || needs.iter().any(|(name, value)| too_long(name) || too_long(value)) {
        return Err(
            ApiError::bad("too many or too long labels").expected("at most 32, each of 64 bytes and value")
        );
    }
    if retries > RETRIES_MAX {
        return Err(ApiError::bad(format!("{retries} retries")).expected("at most 100"));
    }
    let profile = match profile {
        WireProfile::Pure => Profile::Pure,
        WireProfile::Portable => Profile::Portable,
        WireProfile::Impure => Profile::Impure,
    };
    let program = Program {
        module: BlobId(module),
        module_bytes: 0,
        entry: function.map_or(Entry::Command, Entry::Function),
        args,
        env,
        profile,
        limits: self::limits(limits)?,
    };
    Ok(Job { program, needs: Needs { labels: needs }, class: class_in(class), retries, detached })
}

fn limits(limits: WireLimits) -> Result<Limits, ApiError> {
    let WireLimits { wall_ms, memory_bytes, fuel, output_bytes, errors_bytes } = limits;
    let default = Limits::DEFAULT;
    let limits = Limits {
        wall_ms: wall_ms.unwrap_or(default.wall_ms),
        memory_bytes: memory_bytes.unwrap_or(default.memory_bytes),
        fuel,
        output_bytes: output_bytes.unwrap_or(default.output_bytes),
        errors_bytes: errors_bytes.unwrap_or(default.errors_bytes),
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

fn class_out(class: Class) -> api::Class {
    match class {
        Class::Scavenger => api::Class::Scavenger,
        Class::Batch => api::Class::Batch,
        Class::Interactive => api::Class::Interactive,
        Class::Realtime => api::Class::Realtime,
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

fn payload_out(payload: Payload) -> WirePayload {
    match payload {
        Payload::Inline(bytes) => WirePayload::Inline(bytes),
        Payload::Blob { id, bytes } => WirePayload::Blob { id: id.0, bytes },
    }
}

/// An ended task, for the wire.
pub(super) fn result(end: TaskEnd) -> ResultItem {
    let TaskEnd { index, report, worker, attempts } = end;
    let Report { outcome, output, errors, usage } = report;
    ResultItem {
        index,
        outcome: self::outcome(outcome),
        output: payload_out(output),
        errors: payload_out(errors),
        worker: worker.map(|PeerId(bytes)| bytes),
        attempts,
        usage: self::usage(usage),
    }
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
        Outcome::Lost(reason) => api::Outcome::Lost { reason: cut(reason) },
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
        Limit::Other(_) => api::LimitKind::Other,
    }
}

fn usage(usage: Usage) -> api::Usage {
    let Usage { wall_us, cpu_us, compile_us, queue_us, memory_bytes, fuel } = usage;
    api::Usage { wall_us, cpu_us, compile_us, queue_us, memory_bytes, fuel }
}

/// A text of bounded length.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text
}

/// The node as it is.
pub(super) fn status(snapshot: Snapshot, info: &NodeInfo) -> api::Status {
    let Snapshot { me, capacity, running, waiting, reserved, undelivered, peers, jobs, counters } = snapshot;
    let NodeInfo { peer: _, name, version, data_dir, mesh, listen, started } = info;
    let unfinished = |job: &&JobView| job.open || job.queued + job.leased > 0;
    api::Status {
        peer: me.to_string(),
        name: name.clone(),
        version: (*version).to_owned(),
        data_dir: data_dir.display().to_string(),
        mesh: mesh.clone(),
        listen: listen.lock().expect("nobody panics holding this lock").clone(),
        uptime_ms: millis(started.elapsed()),
        slots: capacity.slots,
        free: capacity.free,
        running,
        waiting,
        reserved,
        undelivered,
        backlog: capacity.backlog,
        memory_bytes: capacity.memory_bytes,
        labels: labels(capacity.labels),
        draining: capacity.draining,
        peers_connected: count(peers.iter().filter(|peer| peer.connected).count()),
        jobs_unfinished: count(jobs.iter().filter(unfinished).count()),
        counters: self::counters(counters),
    }
}

fn counters(counters: Counters) -> api::Counters {
    let Counters {
        calls,
        bids_made,
        bids_received,
        declines,
        awards,
        refused,
        executed,
        committed,
        lost,
        late,
        differing,
        forged,
        resent,
        gossiped_home,
        dropped,
    } = counters;
    api::Counters {
        calls,
        bids_made,
        bids_received,
        declines,
        awards,
        refused,
        executed,
        committed,
        lost,
        late,
        differing,
        forged,
        resent,
        gossiped_home,
        dropped,
    }
}

/// A peer as seen from here.
pub(super) fn peer(view: PeerView) -> api::Peer {
    let PeerView { peer, connected, rtt_us, capacity, leased, done, lost } = view;
    let weft_core::message::Capacity {
        boot: _,
        seq: _,
        name,
        slots,
        free,
        memory_bytes,
        labels,
        backlog,
        draining,
    } = capacity;
    let labels = self::labels(labels);
    let peer = peer.to_string();
    api::Peer {
        peer,
        name,
        connected,
        rtt_us,
        slots,
        free,
        memory_bytes,
        labels,
        backlog,
        draining,
        leased,
        done,
        lost,
    }
}

/// A job: what the table knows of it, and what the engine still does.
pub(super) fn job_view(summary: JobSummary, view: Option<&JobView>) -> api::Job {
    let JobSummary {
        job,
        meta,
        tasks,
        closed,
        ended,
        cancelled_by_user,
        done,
        failed,
        cancelled,
        lost,
        elapsed,
    } = summary;
    let state = match (closed, ended) {
        (_, true) => api::JobState::Ended,
        (true, false) => api::JobState::Running,
        (false, false) => api::JobState::Open,
    };
    let (queued, leased, retried) = match view {
        Some(view) => (view.queued, view.leased, view.retried),
        // The engine has forgotten an ended job, or not heard of a new one.
        None => (tasks.saturating_sub(done + failed + cancelled), 0, lost),
    };
    api::Job {
        job: job.to_string(),
        state,
        detached: meta.detached,
        cancelled_by_user,
        class: class_out(meta.class),
        module: meta.module.to_string(),
        tasks,
        queued,
        leased,
        done,
        failed,
        cancelled,
        retried,
        elapsed_ms: millis(elapsed),
    }
}

/// What was said about a task.
pub(super) fn why(job: JobId, index: u32, why: Why, names: &BTreeMap<PeerId, String>) -> api::Why {
    let Why { state, answers } = why;
    let task = match state {
        TaskView::Queued { before } => api::TaskState::Queued { before },
        TaskView::Leased { worker, attempt, since_ms } => {
            api::TaskState::Leased { worker: worker.to_string(), attempt, since_ms }
        }
        TaskView::Fetching { worker } => api::TaskState::Fetching { worker: worker.to_string() },
        TaskView::Ended => api::TaskState::Ended,
        TaskView::Cancelled => api::TaskState::Cancelled,
    };
    let answer = |Answer { peer, said, ago_ms }: Answer| api::Answer {
        name: names.get(&peer).cloned().unwrap_or_default(),
        peer: peer.to_string(),
        said: self::said(said),
        ago_ms,
    };
    api::Why { job: job.to_string(), index, task, answers: answers.into_iter().map(answer).collect() }
}

fn said(said: Said) -> api::Said {
    match said {
        Said::Nothing => api::Said::Nothing,
        Said::Bid(slots) => api::Said::Bid { slots },
        Said::Declined(reason) => api::Said::Declined { reason: reason.to_string() },
        Said::NotAsked(reason) => api::Said::NotAsked { reason: reason.to_string() },
        Said::Unreachable => api::Said::Unreachable,
    }
}

fn labels(labels: Vec<(String, String)>) -> BTreeMap<String, String> {
    labels.into_iter().collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The program, with its module's length.
pub(super) fn with_length(program: Program, module_bytes: u64) -> Arc<Program> {
    Arc::new(Program { module_bytes, ..program })
}
