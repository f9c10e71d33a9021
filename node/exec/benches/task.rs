//! What one task costs: bare wasmtime with a pool of the same settings (store, instance, input in, call, output out),
//! compared with this sandbox's slots, which get the same tasks in batches of a thousand; a function, a WASI command and a
//! component; one slot and two.
//!
//! `cargo bench -p weft-exec --bench task`. `bare_*` are per call and thread; the others per batch, with tasks a
//! second below: compare tasks a second.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark may panic")]

#[expect(dead_code, clippy::indexing_slicing, reason = "shared by benchmarks, which may panic")]
mod support;

use divan::Bencher;
use divan::counter::ItemsCount;
use support::{Bare, BareCommand, PoolBench, Setting};
use weft_core::Entry;
use wit_component::ComponentEncoder;

const BATCH: u32 = 1000;
const INPUT: &[u8] = b"0123456789abcdef";
const FUNCTIONS: &[u8] = include_bytes!("../../../wasm-tasks/echo.wasm");

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
    divan::main();
}

#[divan::bench(threads = [1, 2], sample_count = 50, sample_size = 1000)]
fn bare_function(bencher: Bencher<'_, '_>) {
    let bare = Bare::function(FUNCTIONS, "weft_fn_echo");
    bencher.counter(ItemsCount::new(1_u32)).bench(|| bare.call(INPUT));
}

#[divan::bench(threads = [1, 2], sample_count = 50, sample_size = 1000)]
fn bare_command(bencher: Bencher<'_, '_>) {
    let bare = BareCommand::new(&wat::parse_str(COMMAND).unwrap());
    bencher.counter(ItemsCount::new(1_u32)).bench(|| bare.run(INPUT));
}

#[divan::bench(args = [1, 2], sample_count = 30)]
fn function_in_processes(bencher: Bencher<'_, '_>, slots: u32) {
    in_pool(bencher, FUNCTIONS, Entry::Function("echo".into()), Setting::PROCESS, slots);
}

#[divan::bench(args = [1, 2], sample_count = 30)]
fn function_in_threads(bencher: Bencher<'_, '_>, slots: u32) {
    in_pool(bencher, FUNCTIONS, Entry::Function("echo".into()), Setting::THREAD, slots);
}

#[divan::bench(args = [1, 2], sample_count = 30)]
fn command_in_processes(bencher: Bencher<'_, '_>, slots: u32) {
    in_pool(bencher, &wat::parse_str(COMMAND).unwrap(), Entry::Command, Setting::PROCESS, slots);
}

#[divan::bench(args = [1, 2], sample_count = 30)]
fn component_in_processes(bencher: Bencher<'_, '_>, slots: u32) {
    use wasi_preview1_component_adapter_provider::{
        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    };
    let module = wat::parse_str(COMMAND).unwrap();
    let encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    let adapter = (WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER);
    let component = encoder.adapter(adapter.0, adapter.1).unwrap().encode().unwrap();
    in_pool(bencher, &component, Entry::Command, Setting::PROCESS, slots);
}

fn in_pool(bencher: Bencher<'_, '_>, module: &[u8], entry: Entry, setting: Setting, slots: u32) {
    let pool = PoolBench::new(module, entry, setting, slots);
    // Compiled, started and measured before anything is timed.
    pool.run(u64::from(4 * BATCH), INPUT);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let outputs = pool.run(u64::from(BATCH), INPUT);
        assert!(outputs.iter().all(|output| output == INPUT), "another answer than was asked for");
    });
}
