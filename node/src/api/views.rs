//! The state of the node, its peers and its jobs, in the API's types. Structs are taken apart
//! field by field, so that a new field can't be forgotten.

use std::collections::BTreeMap;
use std::sync::Mutex;

use weft_blobs::Usage;
use weft_client::api;
use weft_core::JobId;
use weft_core::message::Class;
use weft_core::snapshot::{Counters, JobView, PeerView, Snapshot, Trust};
use weft_exec::PoolStatus;

use super::Api;
use super::caller::Names;
use super::convert;
use crate::handle::{NodeHandle, NodeInfo, Standing};
use crate::jobs::{JobSummary, Led, Restarted};
use crate::keeping::JournalState;

/// Most own jobs whose binding is reported.
const BINDINGS_MAX: usize = 16;

/// The node as it is.
pub(super) fn status(standing: Standing, api: &Api) -> api::Status {
    let handle = &api.handle;
    let info: &NodeInfo = handle.info();
    let Standing { snapshot, pool } = standing;
    let journal = handle.journal().unwrap_or_default();
    let Snapshot {
        me,
        capacity,
        running,
        paused: _,
        waiting,
        reserved,
        undelivered,
        starved,
        known,
        self_fencing: _,
        peers,
        jobs,
        kept: _,
        copies: _,
        counters,
    } = snapshot;
    let NodeInfo {
        peer: _,
        name,
        version,
        data_dir,
        memo: _,
        mesh,
        listen: _,
        troubles,
        started,
        store_fault,
        grace,
    } = info;
    let unfinished = |job: &&JobView| job.open || job.queued + job.held + job.leased + job.delayed > 0;
    api::Status {
        peer: me.to_string(),
        name: name.clone(),
        version: (*version).to_owned(),
        data_dir: data_dir.display().to_string(),
        mesh: mesh.clone(),
        listen: info.listening(),
        troubles: self::troubles(troubles, &journal),
        uptime_ms: millis(started.elapsed()),
        slots: capacity.slots,
        free: capacity.free,
        running,
        waiting,
        reserved,
        undelivered,
        backlog: capacity.backlog,
        memory_bytes: capacity.memory_bytes,
        sandbox: slots(pool),
        memo: api::Memo { entries: known, hits: counters.recalled + counters.answered },
        store: store(api, starved, store_fault.get()),
        journal: self::journal(handle, journal),
        labels: labels(capacity.labels),
        binding: jobs.iter().rev().filter(unfinished).take(BINDINGS_MAX).map(binding).collect(),
        draining: capacity.draining,
        keeps: capacity.disk != 0,
        stopping: handle.is_stopping(),
        grace_ms: millis(*grace),
        peers_connected: count(peers.iter().filter(|peer| peer.connected).count()),
        jobs_unfinished: count(jobs.iter().filter(unfinished).count()),
        counters: self::counters(&counters),
    }
}

/// What is wrong with the node, and with what its journal has of single jobs.
fn troubles(own: &Mutex<BTreeMap<String, String>>, journal: &JournalState) -> Vec<String> {
    let own = own.lock().expect("no thread panics while it holds this lock");
    own.values().cloned().chain(journal.troubles()).collect()
}

fn journal(handle: &NodeHandle, state: JournalState) -> api::Journal {
    let JournalState { failure, incomplete, is_disk_low, quarantined, unreadable: _ } = state;
    let unopened = handle.unopened_journal().map(String::from);
    let (failure, incomplete) = (failure.or_else(|| unopened.clone()), incomplete.or(unopened));
    api::Journal {
        waiting_bytes: u64::try_from(handle.journal_waiting_bytes()).unwrap_or(u64::MAX),
        low: is_disk_low,
        quarantined: quarantined.into_iter().map(|(job, _)| job.to_string()).collect(),
        failure,
        incomplete,
        unopened: handle.unopened_journal().is_some(),
    }
}

fn store(api: &Api, starved: u32, fault: Option<String>) -> api::Store {
    let Usage { blobs, aside, bytes, pinned, reserved: _, quota, evicted: _, corrupt: _, vanished } =
        api.handle.store().usage();
    api::Store {
        blobs: u64::try_from(blobs).unwrap_or(u64::MAX),
        bytes,
        pinned_bytes: pinned,
        aside_bytes: aside,
        uploads_wait: api.arrivals.is_waited_for(),
        quota_bytes: quota,
        starved,
        vanished: count(vanished),
        fault,
    }
}

fn binding(job: &JobView) -> api::Binding {
    let JobView { job, regime, service_us, .. } = job;
    api::Binding { job: job.to_string(), regime: regime.to_string(), service_us: *service_us }
}

fn slots(pool: PoolStatus) -> api::Slots {
    let PoolStatus {
        processes,
        slots: _,
        busy,
        queued,
        paused,
        children,
        replaced,
        confinement,
        compiled,
        compiling,
        optimising,
        broken,
    } = pool;
    let confinement = match (confinement, broken, processes) {
        (_, Some(broken), _) => format!("no slot starts: {broken}"),
        (Some(kept), None, _) => format!("seccomp {}, Landlock {}", kept.seccomp, kept.landlock),
        (None, None, true) => String::from("no process yet"),
        (None, None, false) => String::from("the runtime alone: slots are threads"),
    };
    api::Slots {
        kind: String::from(if processes { "process" } else { "thread" }),
        busy,
        queued: count(queued),
        paused,
        children: count(children.len()),
        replaced,
        confinement,
        compiled,
        compiling,
        optimising,
    }
}

/// Every counter of the engine's table, by its name.
fn counters(counters: &Counters) -> api::Counters {
    Counters::TABLE.iter().map(|row| (row.name.to_owned(), (row.get)(counters))).collect()
}

/// A peer as seen from here.
pub(super) fn peer(view: PeerView) -> api::Peer {
    let PeerView {
        peer,
        connected,
        gone_ms,
        rtt_us,
        capacity,
        leased,
        done,
        lost,
        window: _,
        room: _,
        reputation,
    } = view;
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
        class_min: _,
        owners: _,
        disk,
    } = capacity;
    let labels = self::labels(labels);
    let peer = peer.to_string();
    api::Peer {
        peer,
        name,
        connected,
        gone_ms,
        rtt_us,
        slots,
        free,
        memory_bytes,
        labels,
        backlog,
        draining,
        keeps: disk != 0,
        leased,
        done,
        lost,
        trust: match reputation.trust {
            Trust::Closed => api::Trust::Closed,
            Trust::Deprioritised => api::Trust::Deprioritised,
            Trust::HalfOpen => api::Trust::HalfOpen,
            Trust::Open => api::Trust::Open,
        },
        open_ms: reputation.open_ms,
        lies: reputation.lies,
    }
}

/// A job as it is told.
pub(super) fn job(summary: JobSummary, snapshot: &Snapshot, names: &Names) -> api::Job {
    let job = summary.job;
    job_view(summary, snapshot.jobs.iter().find(|view| view.job == job), names)
}

/// Jobs as they are told.
pub(super) fn jobs(summaries: Vec<JobSummary>, snapshot: &Snapshot, names: &Names) -> Vec<api::Job> {
    let views: BTreeMap<JobId, &JobView> = snapshot.jobs.iter().map(|view| (view.job, view)).collect();
    let told = summaries.into_iter().map(|summary| {
        let view = views.get(&summary.job).copied();
        job_view(summary, view, names)
    });
    told.collect()
}

/// Who leads a job. One that can't be reached leads it no more, as far as this node can know.
fn leader(led: Led, names: &Names) -> api::Node {
    let leader = match led {
        Led::Here => Some(names.me()),
        Led::Elsewhere { leader } => leader.filter(|peer| names.is_here(*peer)),
    };
    leader.map(|peer| names.node(peer)).unwrap_or_default()
}

/// What the table knows of a job, and what the engine still does.
fn job_view(summary: JobSummary, view: Option<&JobView>, names: &Names) -> api::Job {
    let (owner, shared) = (summary.owner(), summary.is_shared());
    let JobSummary {
        job,
        meta,
        journalled: _,
        tasks,
        closed,
        ended,
        cancelled_by_user,
        done,
        failed,
        skipped,
        cancelled,
        lost,
        given_up,
        ended_ms,
        restarted,
        custody,
        refused_more,
        told: _,
        elapsed,
    } = summary;
    let (led, keepers) = custody.map_or((Led::Here, Vec::new()), |custody| (custody.led, custody.keepers));
    let (leader, from_log) = (leader(led, names), led != Led::Here && !ended);
    let (queued, leased, retried) = match view {
        Some(view) => (view.queued, view.leased, view.retried),
        // The engine has forgotten an ended job, or not heard of a new one.
        None => (tasks.saturating_sub(done + failed + cancelled), 0, lost),
    };
    let (delayed, held, given_up) =
        view.map_or((0, 0, given_up), |view| (view.delayed, view.held, view.given_up));
    let state = match (ended, failed + cancelled) {
        (false, _) if held > 0 && queued + delayed + leased == 0 => api::JobState::Waiting,
        (false, _) => api::JobState::Running,
        (true, _) if cancelled_by_user => api::JobState::Cancelled,
        (true, 0) => api::JobState::Done,
        (true, _) => api::JobState::Failed,
    };
    api::Job {
        job: job.to_string(),
        state,
        open: !closed && !ended,
        name: meta.title.name.clone(),
        labels: meta.title.labels.clone(),
        level: convert::level_out(meta.level),
        owner: names.node(owner),
        leader,
        keepers: keepers.into_iter().map(|peer| names.node(peer)).collect(),
        shared,
        submitted_ms: meta.submitted_ms,
        detached: meta.detached,
        cancelled_by_user,
        class: class_out(meta.class),
        module: meta.module.to_string(),
        tasks,
        queued,
        delayed,
        held,
        leased,
        from_log,
        done,
        failed,
        skipped,
        cancelled,
        retried,
        given_up,
        elapsed_ms: millis(elapsed),
        ended_ms,
        restarted: restarted.map(|Restarted { at_ms, kept, open }| api::Restarted { at_ms, kept, open }),
        refused_more,
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

fn class_out(class: Class) -> api::Class {
    match class {
        Class::Scavenger => api::Class::Scavenger,
        Class::Batch => api::Class::Batch,
        Class::Interactive => api::Class::Interactive,
        Class::Realtime => api::Class::Realtime,
    }
}
