//! What it costs to make a module ready: compiled by the optimising and by the baseline compiler (bare wasmtime, in
//! this process, all cores), taken from the disk cache with its tag checked, and mapped by a slot; a module of 40 kB
//! and a made one of 5 MB.
//!
//! `cargo bench -p weft-exec --bench compile`.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use divan::Bencher;
use tempfile::TempDir;
use wasmtime::{Config, Engine, Strategy};
use weft_core::{BlobId, Entry, Limits, Payload, Profile, Program};
use weft_exec::{Code, Compiler, CompilerConfig, How, Interrupt, Sandbox};

const SMALL: &[u8] = include_bytes!("../../../wasm-tasks/tiles.wasm");

/// Some thousand functions of arithmetic and branches, as a compiler of some language would write them.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut text = String::from("(module (memory (export \"memory\") 1)\n");
    for function in 0..9000 {
        write!(text, "(func $f{function} (param i32 i32) (result i32) (local i32)").unwrap();
        for step in 0..24 {
            let (at, next) = (step * 8 + function % 64, (function * 7 + step) % 9000);
            write!(
                text,
                "(if (i32.lt_u (local.get 0) (i32.const {at})) (then (local.set 2 (i32.add (local.get 2) \
                 (i32.load offset={at} (local.get 1)))) (i32.store offset={at} (local.get 1) (local.get 2))))"
            )
            .unwrap();
            if step == 23 {
                write!(text, "(call $f{next} (local.get 2) (local.get 1)) (local.set 0)").unwrap();
            }
        }
        text.push_str("(local.get 0))\n");
    }
    text.push_str("(func (export \"_start\") (drop (call $f0 (i32.const 0) (i32.const 0)))))");
    wat::parse_str(&text).unwrap()
});

fn main() {
    println_sizes();
    divan::main();
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn println_sizes() {
    println!("small: {} bytes, large: {} bytes", SMALL.len(), LARGE.len());
}

const BOTH: [&str; 2] = ["small", "large"];

fn bytes(which: &str) -> &'static [u8] {
    if which == "small" { SMALL } else { &LARGE }
}

#[divan::bench(args = BOTH, sample_count = 5, sample_size = 1)]
fn optimising(bencher: Bencher<'_, '_>, which: &str) {
    precompile(bencher, bytes(which), Strategy::Cranelift);
}

#[divan::bench(args = BOTH, sample_count = 5, sample_size = 1)]
fn baseline(bencher: Bencher<'_, '_>, which: &str) {
    precompile(bencher, bytes(which), Strategy::Winch);
}

fn precompile(bencher: Bencher<'_, '_>, module: &[u8], strategy: Strategy) {
    let engine = Engine::new(Config::new().strategy(strategy)).unwrap();
    bencher.bench_local(|| engine.precompile_module(module).unwrap());
}

#[divan::bench(args = BOTH, sample_count = 20, sample_size = 1)]
fn from_disk(bencher: Bencher<'_, '_>, which: &str) {
    let dir = TempDir::new().unwrap();
    drop(code(&dir, bytes(which)));
    bencher.bench_local(|| code(&dir, bytes(which)));
}

#[divan::bench(args = BOTH, sample_count = 20, sample_size = 1)]
fn mapped_by_a_slot(bencher: Bencher<'_, '_>, which: &str) {
    let dir = TempDir::new().unwrap();
    let code = code(&dir, bytes(which));
    bencher
        .with_inputs(|| Sandbox::for_slot(1 << 30).unwrap())
        .bench_local_values(|sandbox| (sandbox.load(&code).unwrap(), sandbox));
}

fn code(dir: &TempDir, module: &'static [u8]) -> Arc<Code> {
    let config = CompilerConfig::new(Some(dir.path().to_owned()), Interrupt::Kill, How::Here);
    let program = Program {
        module: BlobId::of(module),
        module_bytes: module.len() as u64,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    };
    Compiler::start(config).unwrap().code(&program, || Ok(Bytes::from_static(module))).unwrap()
}
