//! `GET /metrics`: the node in Prometheus' text format. Gauges say how things stand, counters what happened since the
//! start; there is one sample a name, so that nothing here grows with peers or jobs.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use weft_client::api::{Counters, Slots, Status};

use super::{Answered, Api, views};

pub(super) async fn metrics(State(api): State<Api>) -> Answered {
    let standing = api.handle.standing().await?;
    let usage = api.handle.store().usage();
    let text = render(&views::status(standing, api.handle.info(), usage));
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

fn render(status: &Status) -> String {
    let mut text = String::with_capacity(4096);
    gauge(&mut text, "uptime_seconds", "Time since the node started", status.uptime_ms / 1000);
    gauge(&mut text, "slots", "Tasks that may run at once", status.slots.into());
    gauge(&mut text, "slots_free", "Slots without a task", status.free.into());
    gauge(&mut text, "slots_reserved", "Slots promised to owners", status.reserved.into());
    gauge(&mut text, "tasks_running", "Tasks handed to the slots", status.running.into());
    gauge(&mut text, "tasks_waiting", "Tasks that wait for a slot or a blob", status.waiting.into());
    gauge(&mut text, "tasks_backlog", "Own tasks that wait for a worker", status.backlog.into());
    gauge(&mut text, "outcomes_undelivered", "Outcomes not yet acknowledged", status.undelivered.into());
    slots(&mut text, &status.sandbox);
    gauge(&mut text, "memo_entries", "Results of pure tasks remembered", status.memo.entries.into());
    counter(&mut text, "memo_hits", "Tasks answered from memory", status.memo.hits);
    gauge(&mut text, "store_bytes", "Bytes of the blob store in use", status.store.bytes);
    gauge(&mut text, "store_starved", "Own outcomes that wait for room here", status.store.starved.into());
    let vanished = status.store.vanished;
    gauge(&mut text, "store_vanished", "Needed blobs that another program removed", vanished.into());
    gauge(&mut text, "store_failing", "1 while the blob store fails", status.store.fault.is_some().into());
    gauge(&mut text, "draining", "1 while no new work is taken", status.draining.into());
    gauge(&mut text, "peers_connected", "Peers that can be spoken to", status.peers_connected.into());
    gauge(&mut text, "jobs_unfinished", "Own jobs that have not ended", status.jobs_unfinished.into());
    counters(&mut text, status.counters);
    text
}

fn slots(text: &mut String, slots: &Slots) {
    let Slots {
        kind: _,
        busy,
        queued,
        paused,
        children,
        replaced,
        confinement: _,
        compiled,
        compiling,
        optimising,
    } = slots;
    gauge(text, "slots_busy", "Slots that run a task", (*busy).into());
    gauge(text, "slots_queued", "Tasks queued before the slots", (*queued).into());
    gauge(text, "slots_paused", "Tasks held for one of a higher class", (*paused).into());
    gauge(text, "slot_processes", "Child processes of the slots", (*children).into());
    counter(text, "slot_processes_replaced", "Child processes killed or dead, and replaced", *replaced);
    gauge(text, "modules_compiled", "Modules compiled and in memory", *compiled);
    gauge(text, "modules_compiling", "Modules being compiled", *compiling);
    gauge(
        text,
        "modules_optimising",
        "Modules that run on baseline code until they are optimised",
        *optimising,
    );
}

fn counters(text: &mut String, counters: Counters) {
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
        recalled,
        answered,
        told,
        untold,
        disagreed,
        unproven,
        preempted,
        unasked,
        ..
    } = counters;
    counter(text, "calls", "Calls for bids sent", calls);
    counter(text, "bids_made", "Bids made as a worker", bids_made);
    counter(text, "bids_received", "Bids received as an owner", bids_received);
    counter(text, "declines", "Declines made as a worker", declines);
    counter(text, "awards", "Leases awarded as an owner", awards);
    counter(text, "awards_refused", "Awards whose bid no longer stood", refused);
    counter(text, "tasks_executed", "Tasks executed as a worker", executed);
    counter(text, "tasks_committed", "Tasks committed as an owner", committed);
    counter(text, "leases_lost", "Leases that ended without an outcome", lost);
    counter(text, "outcomes_late", "Outcomes of tasks already over", late);
    counter(text, "outcomes_differing", "Late outcomes of pure tasks with another output", differing);
    counter(text, "outcomes_forged", "Outcomes of leases never issued to their sender", forged);
    counter(text, "outcomes_resent", "Outcomes sent again", resent);
    counter(text, "outcomes_gossiped_home", "Outcomes that came home through gossip", gossiped_home);
    counter(text, "messages_dropped", "Messages, calls or outcomes dropped at a bound", dropped);
    counter(text, "memo_recalled", "Own tasks ended at once, their result being known", recalled);
    counter(text, "memo_answered", "Tasks of others answered from memory", answered);
    counter(text, "memo_told", "Results told to everybody", told);
    counter(text, "memo_untold", "Results not told for want of budget", untold);
    counter(text, "memo_disagreed", "Remembered results that another contradicted", disagreed);
    counter(text, "proofs_dropped", "Proofs that did not belong to their outcome", unproven);
    counter(text, "bids_unasked", "Bids to owners that told of a backlog", unasked);
    counter(text, "tasks_preempted", "Running tasks paused for one of a higher class", preempted);
    doubts(text, counters);
}

/// What an owner did for want of trust, and what a mesh of cells did.
fn doubts(text: &mut String, counters: Counters) {
    let Counters {
        copies,
        copies_won,
        verified,
        lies,
        held_back,
        abandoned,
        sought,
        stood,
        introduced,
        lent,
        misled,
        ..
    } = counters;
    let trust = [
        ("copies", "Backup copies awarded as an owner", copies),
        ("copies_won", "Backup copies that ended first", copies_won),
        ("tasks_verified", "Own tasks that several nodes computed alike", verified),
        ("lies", "Answers that most other nodes contradicted", lies),
        ("leases_held_back", "Leases held beyond their end in self-suspicion", held_back),
        ("tasks_abandoned", "Tasks of owners that were gone, stopped as a worker", abandoned),
    ];
    let cells = [
        ("cells_sought", "Seeks sent to exchanges as an owner", sought),
        ("cells_stood", "Bids stood at an exchange as a worker", stood),
        ("cells_introduced", "Bids handed to owners as an exchange", introduced),
        ("cells_lent", "Slots lent to another exchange", lent),
        ("cells_misled", "Introductions that came to nothing as an owner", misled),
    ];
    trust.into_iter().chain(cells).for_each(|(name, help, value)| counter(text, name, help, value));
}

fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    *text += &format!("# HELP weft_{name} {help}.\n# TYPE weft_{name} gauge\nweft_{name} {value}\n");
}

fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    *text += &format!(
        "# HELP weft_{name}_total {help}.\n# TYPE weft_{name}_total counter\nweft_{name}_total {value}\n"
    );
}
