//! Many tasks in one pool's life: nothing grows, in the node or in its slots. Alone in its process, which it measures.
//! `WEFT_SOAK_TASKS` sets how many; 100,000 otherwise, half a minute.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::fs;
use std::sync::Arc;

use support::{Slots, command_echo, echo, function, kinds, work};
use weft_core::{Outcome, RunId, Work};

/// What a process holds: resident bytes, open files, threads.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident: u64,
    files: usize,
    threads: usize,
}

fn held(pid: &str) -> Held {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let resident = pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096;
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    Held { resident, files: count("fd"), threads: count("task") }
}

/// Runs tasks of two programs in batches, some with long outputs.
fn round(slots: &Slots, works: &[Work], tasks: u64) {
    let batch = 1000;
    for start in (0..tasks).step_by(batch) {
        let works = works.iter().cycle().take(batch);
        slots.pool.submit((start..).map(RunId).zip(works.cloned()).collect());
        for (_, report) in slots.collect(batch) {
            assert_eq!(report.outcome, Outcome::Done);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn tasks() -> u64 {
    std::env::var("WEFT_SOAK_TASKS").map_or(100_000, |tasks| tasks.parse().unwrap())
}

#[test]
fn nothing_grows_with_the_number_of_tasks() {
    for kind in kinds() {
        let slots = Slots::start(kind, 2);
        let (function_module, command_module) = (echo(), command_echo(0));
        slots.blobs.put(&function_module);
        slots.blobs.put(&command_module);
        let echo = Arc::new(function(&function_module, "echo"));
        let command = Arc::new(support::command(&command_module));
        let works = [
            work(&echo, b"short"),
            work(&command, b"short"),
            work(&echo, &[7; 16_000]),
            work(&command, &[7; 16_384]),
        ];
        round(&slots, &works, 4000);
        let children = slots.pool.status().children;
        let pids: Vec<String> =
            ["self".to_owned()].into_iter().chain(children.iter().map(u32::to_string)).collect();
        let before: Vec<Held> = pids.iter().map(|pid| held(pid)).collect();
        round(&slots, &works, tasks());
        let status = slots.pool.status();
        assert_eq!((status.children, status.replaced, status.busy, status.queued), (children, 0, 0, 0));
        for (pid, before) in pids.iter().zip(before) {
            let after = held(pid);
            let grown = after.resident.saturating_sub(before.resident);
            // What the allocator keeps differs; a leak of one input of each task would be 160 MB.
            assert!(grown < 24 << 20, "{pid}: {before:?}, then {after:?}");
            assert!(
                after.files <= before.files + 2 && after.threads <= before.threads,
                "{pid}: {before:?}, then {after:?}"
            );
        }
    }
}
