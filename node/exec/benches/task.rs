//! What one task costs: bare wasmtime with a pool of the same settings (store, instance, input in, call, output out),
//! beside this sandbox's slots, which get the same tasks in batches of a thousand; a function and a WASI command; one
//! slot and two.
//!
//! `cargo bench -p weft-exec --bench task`. `bare_*` are per call and thread; `slots_*` per batch, with tasks a second
//! beside: compare tasks a second.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark may panic")]

mod support;

use divan::Bencher;
use divan::counter::ItemsCount;
use support::{Bare, PoolBench, Setting};
use weft_core::Entry;

const BATCH: u64 = 1000;
const INPUT: &[u8] = b"0123456789abcdef";
const FUNCTIONS: &[u8] = include_bytes!("../../../wasm-tasks/echo.wasm");

fn main() {
    divan::main();
}

#[divan::bench(threads = [1, 2], sample_count = 50, sample_size = 1000)]
fn bare_function(bencher: Bencher<'_, '_>) {
    let bare = Bare::function(FUNCTIONS, "weft_fn_echo");
    bencher.counter(ItemsCount::new(1_u32)).bench(|| bare.call(INPUT));
}
