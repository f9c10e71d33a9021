//! Guests' loops: native Rust, bare wasmtime, and this sandbox's slots, on the same source in the same run; and what
//! fuel, canonical NaNs and the baseline compiler cost. Each row is the time of one call.
//!
//! `cargo bench -p weft-exec --bench loops`. Compare rows of one loop: `bare` is the reference for all but `native`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark may panic")]

#[expect(dead_code, clippy::indexing_slicing, reason = "shared by benchmarks, which may panic")]
mod support;
#[path = "../../../wasm-tasks/loops/src/work.rs"]
#[expect(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "the guests' own source"
)]
mod work;

use divan::Bencher;
use support::{Bare, PoolBench, Setting};
use weft_core::{Entry, Profile};

const LOOPS: &[u8] = include_bytes!("../../../wasm-tasks/loops.wasm");

/// A loop and its size: each takes some tens of milliseconds.
#[derive(Clone, Copy, Debug)]
struct Loop {
    name: &'static str,
    native: fn(u32) -> u64,
    size: u32,
}

impl std::fmt::Display for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const ALL: [Loop; 5] = [
    Loop { name: "mandelbrot", native: work::mandelbrot, size: 400 },
    Loop { name: "sha256", native: work::sha256, size: 100_000 },
    Loop { name: "collatz", native: work::collatz, size: 200_000 },
    Loop { name: "matmul", native: work::matmul, size: 400 },
    Loop { name: "sieve", native: work::sieve, size: 5_000_000 },
];

fn main() {
    divan::main();
}

#[divan::bench(args = ALL, sample_count = 20)]
fn native(bencher: Bencher<'_, '_>, what: Loop) {
    bencher.bench(|| (what.native)(divan::black_box(what.size)));
}

#[divan::bench(args = ALL, sample_count = 20)]
fn bare(bencher: Bencher<'_, '_>, what: Loop) {
    let bare = Bare::function(LOOPS, &format!("weft_fn_{}", what.name));
    let input = what.size.to_string();
    bencher.bench_local(|| bare.call(input.as_bytes()));
}

#[divan::bench(args = ALL, sample_count = 20)]
fn process_slot(bencher: Bencher<'_, '_>, what: Loop) {
    in_pool(bencher, what, Setting::PROCESS);
}

#[divan::bench(args = ALL, sample_count = 20)]
fn thread_slot(bencher: Bencher<'_, '_>, what: Loop) {
    in_pool(bencher, what, Setting::THREAD);
}

#[divan::bench(args = ALL, sample_count = 20)]
fn process_slot_fuel(bencher: Bencher<'_, '_>, what: Loop) {
    in_pool(bencher, what, Setting { fuel: Some(u64::MAX / 2), ..Setting::PROCESS });
}

#[divan::bench(args = ALL, sample_count = 20)]
fn process_slot_portable(bencher: Bencher<'_, '_>, what: Loop) {
    in_pool(bencher, what, Setting { profile: Profile::Portable, ..Setting::PROCESS });
}

fn in_pool(bencher: Bencher<'_, '_>, what: Loop, setting: Setting) {
    let pool = PoolBench::new(LOOPS, Entry::Function(what.name.into()), setting, 1);
    let input = what.size.to_string();
    let expected = (what.native)(what.size).to_string();
    bencher.bench_local(|| {
        let outputs = pool.run(1, input.as_bytes());
        assert_eq!(outputs, [expected.as_bytes()], "another answer than native code");
    });
}
