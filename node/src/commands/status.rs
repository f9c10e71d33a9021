//! `weft status`: the local node in a page.

use weft_client::{Mesh, api};
use weft_node::counts::counted;
use weft_node::terminal::visible;

use super::Problem;
use crate::cli::ShowArgs;
use crate::render::{bytes, micros, millis, print, print_json, short};

/// Prints the node's state.
pub(crate) async fn status(mesh: &Mesh, args: &ShowArgs) -> Result<u8, Problem> {
    let status = mesh.status().await?;
    if args.json {
        return print_json(&status).map(|()| 0);
    }
    let mut text = String::new();
    for (name, value) in rows(&status) {
        text.push_str(&format!("{name:<13}{}\n", visible(&value)));
    }
    print(&text).map(|()| 0)
}

fn rows(status: &api::Status) -> Vec<(&'static str, String)> {
    let counters = &status.counters;
    let draining = match (status.stopping, status.draining) {
        (true, _) => ", stopping: ends when it runs nothing for others",
        (false, true) => ", draining: takes no new work",
        (false, false) => "",
    };
    let mut rows = vec![
        ("node", format!("{} ({}), weft {}", status.name, short(&status.peer), status.version)),
        ("directory", status.data_dir.clone()),
        ("up", millis(status.uptime_ms)),
        ("mesh", format!("{}, {} connected", status.mesh, counted(status.peers_connected.into(), "peer"))),
        ("listening", if status.listen.is_empty() { "-".into() } else { status.listen.join(", ") }),
        (
            "slots",
            format!(
                "{} free of {}, {} promised, {} a task at most{draining}",
                status.free,
                status.slots,
                status.reserved,
                bytes(status.memory_bytes)
            ),
        ),
        ("slot kind", slot_kind(&status.sandbox)),
        ("working", format!("{} running, {} waiting for a slot or bytes", status.running, status.waiting)),
        (
            "memory",
            format!(
                "{} remembered, {} tasks answered with them",
                counted(status.memo.entries.into(), "result"),
                status.memo.hits
            ),
        ),
        ("store", store(&status.store, &status.data_dir)),
        ("journal", journal(&status.journal)),
        (
            "own jobs",
            format!(
                "{} unfinished, {} queued",
                counted(status.jobs_unfinished.into(), "job"),
                counted(status.backlog.into(), "task")
            ),
        ),
        (
            "since start",
            format!(
                "{} tasks run for the mesh, {} own tasks ended, {} attempts lost",
                counters.get("executed"),
                counters.get("committed"),
                counters.get("lost")
            ),
        ),
    ];
    for binding in &status.binding {
        let service = match binding.service_us {
            0 => "service unknown".into(),
            us => format!("{} a task", micros(us.into())),
        };
        rows.push(("binding", format!("job {}: {}, {service}", short(&binding.job), binding.regime)));
    }
    rows.extend(status.troubles.iter().map(|text| ("trouble", text.clone())));
    rows.push(("labels", super::labels(&status.labels)));
    rows.push(("processor", processor(&status.labels)));
    if status.undelivered > 0 {
        rows.push((
            "undelivered",
            format!("{} results that their owners have not taken yet", status.undelivered),
        ));
    }
    rows
}

fn store(store: &api::Store, data_dir: &str) -> String {
    let api::Store {
        blobs,
        bytes: taken,
        pinned_bytes,
        aside_bytes,
        uploads_wait,
        quota_bytes,
        starved,
        vanished,
        fault,
    } = store;
    let mut text = format!(
        "{} of {}, {} in use by work, {}",
        bytes(*taken),
        bytes(*quota_bytes),
        bytes(*pinned_bytes),
        counted(*blobs, "blob")
    );
    if *aside_bytes > 0 {
        text.push_str(&format!(
            ", and {} set aside, as jobs of the journal that can't be read may rest on it",
            bytes(*aside_bytes)
        ));
    }
    if *uploads_wait {
        text.push_str("; uploads wait for room");
    }
    if *starved > 0 {
        text.push_str(&format!(
            "; NO ROOM for the outcomes of {starved} own tasks, which wait with their workers"
        ));
    }
    if *vanished > 0 {
        text.push_str(&format!(
            "; GONE: {} that jobs rest on, from {data_dir}/blobs: removed by another program, or deleted because the bytes \
             were wrong; cancel jobs that wait for {}, and submit these again",
            counted((*vanished).into(), "blob"),
            if *vanished == 1 { "it" } else { "them" },
        ));
    }
    if let Some(fault) = fault {
        text.push_str(&format!("; FAILS: {fault}"));
    }
    text
}

/// Where jobs at level `disk` are.
fn journal(journal: &api::Journal) -> String {
    let api::Journal { waiting_bytes, low, quarantined, failure, incomplete: _, unopened: _ } = journal;
    let mut text = match (failure, low) {
        (Some(failure), _) => format!("FAILED: {failure}"),
        (None, true) => String::from("LOW: the disk has too little room for new jobs of level disk"),
        (None, false) => String::from("keeps jobs of level disk"),
    };
    if *waiting_bytes > 0 {
        text.push_str(&format!("; {} wait for the disk", bytes(*waiting_bytes)));
    }
    if !quarantined.is_empty() {
        text.push_str(&format!("; in quarantine, to be forgotten: {}", quarantined.join(", ")));
    }
    text
}

fn slot_kind(slots: &api::Slots) -> String {
    let api::Slots {
        kind,
        busy,
        queued,
        paused,
        children,
        replaced,
        confinement,
        compiled,
        compiling,
        optimising,
    } = slots;
    let processes = match kind.as_str() {
        "process" => format!(", {children} processes ({replaced} replaced)"),
        _ => String::new(),
    };
    format!(
        "{kind}, {confinement}{processes}; {busy} busy, {queued} queued, {paused} paused; {} compiled, {compiling} being \
         compiled, {optimising} to be optimised",
        counted(*compiled, "module")
    )
}

/// What the node found out about its processor, as tasks ask for it.
fn processor(labels: &std::collections::BTreeMap<String, String>) -> String {
    let own = labels.iter().filter(|(name, _)| name.starts_with("cpu."));
    own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_another_program_removed_is_told_of_with_what_to_do() {
        let gone = |vanished| store(&api::Store { vanished, ..api::Store::default() }, "/data");
        assert!(!gone(0).contains("GONE"));
        let text = gone(1);
        assert!(text.contains("GONE: 1 blob that jobs rest on") && text.contains("/data/blobs"), "{text}");
        assert!(gone(2).contains("2 blobs") && gone(2).contains("submit these again"));
    }
}
