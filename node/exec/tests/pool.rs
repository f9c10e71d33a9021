//! The slots: every task is answered once, whatever becomes of it, and nothing is left behind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Slots, command, command_echo, echo, function, function_module, kinds, work};
use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{BlobId, Limits, Outcome, Payload, Profile, Program, Report, RunId, TaskId, Work};

const SPIN: &str =
    r#"(func (export "weft_fn_spin") (param i32 i32) (result i64) (loop (br 0)) (i64.const 0))"#;

fn by_run(reports: Vec<(RunId, Report)>) -> BTreeMap<RunId, Report> {
    let count = reports.len();
    let map: BTreeMap<_, _> = reports.into_iter().collect();
    assert_eq!(map.len(), count, "a run was answered twice");
    map
}

#[test]
fn every_task_of_two_thousand_is_answered_once() {
    for kind in kinds() {
        let slots = Slots::start(kind, 3);
        let module = echo();
        slots.blobs.put(&module);
        let program = Arc::new(function(&module, "echo"));
        let all: Vec<(RunId, Work)> =
            (0..2000_u64).map(|run| (RunId(run), work(&program, &run.to_le_bytes()))).collect();
        for batch in all.chunks(64) {
            slots.pool.submit(batch.to_vec());
        }
        let reports = by_run(slots.collect(2000));
        for (run, report) in &reports {
            assert_eq!(report.outcome, Outcome::Done);
            assert_eq!(report.output, Payload::inline(&run.0.to_le_bytes()));
        }
        let compiled = reports.values().filter(|report| report.usage.compile_us > 0).count();
        assert!((1..=3).contains(&compiled), "{compiled} tasks say that they compiled");
        assert!(slots.bell.count() <= 2000);
        assert_eq!((slots.pool.status().busy, slots.pool.status().queued), (0, 0));
        assert!(slots.pool.take_events().is_empty());
    }
}

#[test]
fn outcomes_of_all_kinds_come_home() {
    for kind in kinds() {
        let slots = Slots::start(kind, 2);
        let module = echo();
        let hello = command_echo(0);
        slots.blobs.put(&module);
        slots.blobs.put(&hello);
        let program = Arc::new(function(&module, "echo"));
        let input = slots.blobs.put(&vec![7; INLINE_BYTES_MAX]);
        let big = Payload::Blob { id: input, bytes: INLINE_BYTES_MAX as u64 };
        let gone = Payload::Blob { id: BlobId::of(b"nowhere"), bytes: 7 };
        let task = TaskId([1; 32]);
        slots.pool.submit(vec![
            (
                RunId(1),
                Work {
                    task,
                    owner: support::OWNER,
                    program: Arc::clone(&program),
                    input: big,
                    stream: false,
                },
            ),
            (RunId(2), Work { task, owner: support::OWNER, program, input: gone, stream: false }),
            (RunId(3), work(&Arc::new(function(b"a module that is not here", "x")), b"")),
            (RunId(4), work(&Arc::new(command(&hello)), &[8; INLINE_BYTES_MAX])),
        ]);
        let reports = by_run(slots.collect(4));
        let report = |run: u64| reports.get(&RunId(run)).unwrap();
        assert_eq!(report(1).outcome, Outcome::Done);
        assert_eq!(report(1).output, Payload::inline(&vec![7; INLINE_BYTES_MAX]));
        assert!(matches!(&report(2).outcome, Outcome::Lost(text) if text.contains("input")));
        assert!(matches!(&report(3).outcome, Outcome::Lost(text) if text.contains("module")));
        let Payload::Blob { id, bytes } = report(4).output else { panic!("a long output is a blob") };
        assert_eq!(bytes, INLINE_BYTES_MAX as u64 + 10);
        assert_eq!(weft_exec::BlobAccess::read(&*slots.blobs, id).unwrap().len() as u64, bytes);
    }
}

#[test]
fn an_abort_ends_what_runs_and_what_waits() {
    for kind in kinds() {
        let slots = Slots::start(kind, 1);
        let module = function_module(SPIN);
        slots.blobs.put(&module);
        let program = Arc::new(function(&module, "spin"));
        slots.pool.submit(vec![(RunId(1), work(&program, b"")), (RunId(2), work(&program, b""))]);
        slots.wait_busy(1);
        assert_eq!(slots.pool.status().queued, 1);
        slots.pool.abort(RunId(2));
        assert_eq!(by_run(slots.collect(1)).get(&RunId(2)).unwrap().outcome, Outcome::Cancelled);
        slots.pool.abort(RunId(1));
        assert_eq!(by_run(slots.collect(1)).get(&RunId(1)).unwrap().outcome, Outcome::Cancelled);
        slots.pool.abort(RunId(1));
        slots.pool.abort(RunId(77));
        assert!(slots.pool.take_events().is_empty());
    }
}

#[test]
fn a_full_queue_answers_what_it_refuses() {
    for kind in kinds() {
        let slots = Slots::start(kind, 0);
        let module = echo();
        slots.blobs.put(&module);
        let program = Arc::new(function(&module, "echo"));
        let one = work(&program, b"");
        let over = weft_exec::QUEUE_MAX as u64 + 3;
        slots.pool.submit((0..over).map(|run| (RunId(run), one.clone())).collect());
        let refused = by_run(slots.collect(3));
        assert_eq!(refused.len(), 3);
        assert!(refused.values().all(|report| report.outcome.word() == "lost"));
        assert_eq!(slots.pool.status().queued, weft_exec::QUEUE_MAX);
    }
}

#[test]
fn a_dropped_pool_ends_its_guests_and_threads() {
    for kind in kinds() {
        let slots = Slots::start(kind, 2);
        let spin = function_module(SPIN);
        slots.blobs.put(&spin);
        let limits = Limits { wall_ms: 60_000, ..Limits::DEFAULT };
        let program = Arc::new(Program { limits, profile: Profile::Impure, ..function(&spin, "spin") });
        slots.pool.submit((0..8).map(|run| (RunId(run), work(&program, b""))).collect());
        slots.wait_busy(2);
        let dropped = Instant::now();
        drop(slots);
        assert!(dropped.elapsed() < Duration::from_secs(10));
    }
}

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn memory_does_not_grow_with_the_number_of_tasks() {
    for kind in kinds() {
        let slots = Slots::start(kind, 2);
        let touch = function_module(
            r#"(func (export "weft_fn_touch") (param i32 i32) (result i64)
                   (local $at i32)
                   (drop (memory.grow (i32.const 30)))
                   (loop (i32.store (i32.add (local.get $at) (i32.const 65536)) (i32.const 1))
                         (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                         (br_if 0 (i32.lt_u (local.get $at) (i32.const 1900000))))
                   (call $pack (i32.const 16) (i32.const 1)))"#,
        );
        slots.blobs.put(&touch);
        let program = Arc::new(function(&touch, "touch"));
        let round = |tasks: u64| {
            slots.pool.submit((0..tasks).map(|run| (RunId(run), work(&program, b""))).collect());
            assert!(
                slots
                    .collect(usize::try_from(tasks).unwrap())
                    .iter()
                    .all(|(_, report)| report.outcome == Outcome::Done)
            );
        };
        round(200);
        let before = resident_bytes();
        round(2000);
        let grown = resident_bytes().saturating_sub(before);
        // Other tests of this process run at the same time; 2000 tasks of 2 MiB that leaked would be 4 GiB.
        assert!(grown < 256 << 20, "{grown} bytes more after 2000 tasks");
    }
}
