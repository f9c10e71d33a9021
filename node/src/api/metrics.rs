//! `GET /metrics`: the node in Prometheus' text format. Gauges are the state now, counters what happened since the
//! start; there is one sample a name, so that nothing here grows with peers or jobs.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use weft_client::api::{Journal, Slots, Status};
use weft_core::snapshot::{Counter, Counters};

use super::{Answered, Api, views};

pub(super) async fn metrics(State(api): State<Api>) -> Answered {
    let standing = api.handle.standing().await?;
    let counted = standing.snapshot.counters;
    let text = render(&views::status(standing, &api), &counted);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

fn render(status: &Status, counted: &Counters) -> String {
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
    gauge(
        &mut text,
        "store_vanished",
        "Needed blobs that were removed, or deleted because their bytes were wrong",
        vanished.into(),
    );
    gauge(&mut text, "store_failing", "1 while the blob store fails", status.store.fault.is_some().into());
    let Journal { waiting_bytes, low, quarantined, failure, incomplete: _, unopened: _ } = &status.journal;
    gauge(&mut text, "journal_waiting_bytes", "Bytes of records that wait for the disk", *waiting_bytes);
    gauge(&mut text, "journal_low", "1 while the disk has too little room for new kept jobs", (*low).into());
    let quarantined = u64::try_from(quarantined.len()).unwrap_or(u64::MAX);
    gauge(&mut text, "journal_quarantined", "Kept jobs whose records can not be used", quarantined);
    gauge(&mut text, "journal_failed", "1 once no job is kept on disk any more", failure.is_some().into());
    gauge(&mut text, "draining", "1 while no new work is taken", status.draining.into());
    gauge(&mut text, "stopping", "1 from when the node was told to end", status.stopping.into());
    gauge(&mut text, "peers_connected", "Peers that can be spoken to", status.peers_connected.into());
    gauge(&mut text, "jobs_unfinished", "Own jobs that have not ended", status.jobs_unfinished.into());
    counters(&mut text, counted);
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

/// A sample for each row of the engine's table.
fn counters(text: &mut String, counters: &Counters) {
    for Counter { name: _, metric, help, get } in Counters::TABLE {
        sample(text, metric, help, "counter", get(counters));
    }
}

fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    sample(text, &format!("weft_{name}"), help, "gauge", value);
}

fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    sample(text, &format!("weft_{name}_total"), help, "counter", value);
}

fn sample(text: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    *text += &format!("# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_the_engine_is_a_sample_with_its_value() {
        let mut text = String::new();
        counters(&mut text, &Counters { calls: 7, ..Counters::default() });
        assert_eq!(text.matches("# TYPE ").count(), Counters::TABLE.len());
        let calls = "# TYPE weft_calls_total counter\nweft_calls_total 7\n";
        assert!(text.contains(calls) && text.contains("\nweft_memo_recalled_total 0\n"), "{text}");
    }

    #[test]
    fn the_page_on_operations_lists_every_counter() {
        let page = include_str!("../../../docs/operations.md");
        for Counter { name, metric, help, get: _ } in Counters::TABLE {
            let row = format!("| `{name}` | `{metric}` | {help} |");
            assert!(page.contains(&row), "docs/operations.md has no row `{row}`");
        }
    }
}
