//! How many times as long as bare wasmtime: every figure is the median of ratios of runs that followed one another at
//! once, so that a machine whose speed drifts does not decide. The loops, tasks in batches, and two slots compared with one.
//!
//! `cargo bench -p weft-exec --bench ratios`, with `-- WORD` behind it for the rows that have this word in their name.
//! Below 1 is faster than the reference; the quartiles say how sure it is.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark may panic, and prints"
)]

#[expect(clippy::indexing_slicing, reason = "shared by benchmarks, which may panic")]
mod support;

use std::time::Instant;

use support::{Bare, BareCommand, PoolBench, Setting};
use weft_core::Entry;

const ROUNDS: usize = 41;
const BATCH: u64 = 1000;
const INPUT: &[u8] = b"0123456789abcdef";
const FUNCTIONS: &[u8] = include_bytes!("../../../wasm-tasks/echo.wasm");
const LOOPS: &[u8] = include_bytes!("../../../wasm-tasks/loops.wasm");
/// Each takes some tens of milliseconds.
const SIZES: [(&str, u32); 5] =
    [("mandelbrot", 400), ("sha256", 100_000), ("collatz", 200_000), ("matmul", 400), ("sieve", 5_000_000)];
/// Reads what fits into a kilobyte and writes it back.
const COMMAND: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 17)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 1024))
        (i32.store (i32.const 4) (i32.const 1024))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

fn main() {
    println!("{:44} {:>8} {:>8} {:>8} {:>12}", "", "quartile", "median", "quartile", "reference");
    references();
    loops(Setting::PROCESS, "process");
    loops(Setting::THREAD, "thread");
    if wanted("1000 functions") {
        let bare = Bare::function(FUNCTIONS, "weft_fn_echo");
        batches("function", FUNCTIONS, &Entry::Function("echo".into()), || drop(bare.call(INPUT)));
    }
    if wanted("1000 commands") {
        let command = wat::parse_str(COMMAND).unwrap();
        let bare = BareCommand::new(&command);
        batches("command", &command, &Entry::Command, || drop(bare.run(INPUT)));
    }
}

/// Whether a row of this name is asked for: all are, unless the command line says which. (`cargo bench` adds flags.)
fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}

/// What it costs a guest that uses none of them that there are collected objects, exceptions and foreign references.
fn references() {
    for (name, size) in SIZES.into_iter().filter(|(name, _)| wanted(&format!("{name}, references"))) {
        let input = size.to_string();
        let function = format!("weft_fn_{name}");
        let with = Bare::function(LOOPS, &function);
        let without = Bare::function_without_references(LOOPS, &function);
        let (with, without) = (|| drop(with.call(input.as_bytes())), || drop(without.call(input.as_bytes())));
        row(&format!("{name}, references / none"), with, without);
    }
    if wanted("1000 functions, references") {
        let with = Bare::function(FUNCTIONS, "weft_fn_echo");
        let without = Bare::function_without_references(FUNCTIONS, "weft_fn_echo");
        let thousand = |bare: &Bare| (0..BATCH).for_each(|_| drop(bare.call(INPUT)));
        row("1000 functions, references / none", || thousand(&with), || thousand(&without));
    }
}

fn loops(setting: Setting, kind: &str) {
    for (name, size) in SIZES.into_iter().filter(|(name, _)| wanted(&format!("{name}, {kind} slot"))) {
        let input = size.to_string();
        let bare = Bare::function(LOOPS, &format!("weft_fn_{name}"));
        let pool = PoolBench::new(LOOPS, Entry::Function(name.into()), setting, 1);
        let expected = bare.call(input.as_bytes());
        let (tag, expected) = expected.split_first().unwrap();
        assert_eq!(*tag, 0, "it answers");
        let answer = || assert_eq!(pool.run(1, input.as_bytes()), [expected.to_vec()], "the same answer");
        row(&format!("{name}, {kind} slot / bare"), answer, || drop(bare.call(input.as_bytes())));
    }
}

fn batches(name: &str, module: &[u8], entry: &Entry, bare: impl Fn()) {
    let pool = |slots| {
        let pool = PoolBench::new(module, entry.clone(), Setting::PROCESS, slots);
        // Compiled, started and measured before anything is timed.
        pool.run(4 * BATCH, INPUT);
        pool
    };
    let (one, two) = (pool(1), pool(2));
    let thousand = |pool: &PoolBench| assert_eq!(pool.reports(BATCH, INPUT).len() as u64, BATCH);
    row(&format!("1000 {name}s, one slot / bare"), || thousand(&one), || (0..BATCH).for_each(|_| bare()));
    row(&format!("1000 {name}s, one slot / two slots"), || thousand(&one), || thousand(&two));
}

/// Measures both in turn and prints the quartiles of the ratio of their times.
fn row(what: &str, ours: impl Fn(), reference: impl Fn()) {
    ours();
    reference();
    let mut ratios = Vec::new();
    let mut references = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, reference) = (seconds(&ours), seconds(&reference));
        ratios.push(ours / reference);
        references.push(reference * 1000.0);
    }
    ratios.sort_by(f64::total_cmp);
    references.sort_by(f64::total_cmp);
    let at = |quarter: usize| ratios.get(ROUNDS * quarter / 4).copied().unwrap();
    let reference_ms = references.get(ROUNDS / 2).copied().unwrap();
    println!("{what:44} {:>8.3} {:>8.3} {:>8.3} {reference_ms:>9.2} ms", at(1), at(2), at(3));
}

fn seconds(run: impl Fn()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_secs_f64()
}
