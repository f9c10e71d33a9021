//! Whatever bytes come in as a module, the answer is code or a reason: no panic, no hang, no growth. Random valid
//! modules, and the modules of this repository with bytes changed. `WEFT_FUZZ=n` runs n rounds of each; the default is
//! quick.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic, and is told how long to run"
)]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::command;
use wasm_smith::{Config, Module};
use weft_exec::{Compiler, CompilerConfig, How, Interrupt, PrepareError};

/// No single module may take longer, in a debug build on a busy machine.
const HANG: Duration = Duration::from_secs(30);
/// A round keeps nothing: what the process grows by in all, in bytes.
const GROWTH_MAX: u64 = 256 << 20;

fn rounds(default: u64) -> u64 {
    std::env::var("WEFT_FUZZ").ok().map_or(default, |text| text.parse().unwrap())
}

fn compiler() -> Compiler {
    // Nothing that was compiled is kept.
    let base = CompilerConfig::new(None, Interrupt::Kill, How::Here);
    Compiler::start(CompilerConfig { memory_bytes: 0, ..base }).unwrap()
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).map_or(0, |pages| pages.parse::<u64>().unwrap() * 4096)
}

/// Hands it in; the answer must be one of the two that are the module's own.
fn hand_in(compiler: &Compiler, module: &[u8], seed: u64) -> bool {
    let started = Instant::now();
    let result = compiler.code(&command(module), || Ok(Bytes::copy_from_slice(module)));
    assert!(started.elapsed() < HANG, "round {seed} took {:?}", started.elapsed());
    match result {
        Ok(_) => true,
        Err(PrepareError::Invalid(text) | PrepareError::Limit(text)) => {
            assert!(!text.is_empty() && text.len() < 4096, "round {seed}: {text}");
            assert!(!text.contains("gave up"), "round {seed}: the compiler panicked: {text}");
            false
        }
        Err(other) => panic!("round {seed}: {other}"),
    }
}

/// Bytes that follow from the seed.
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let mut bytes = vec![0; len];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn random_valid_modules_are_compiled_or_refused() {
    let compiler = compiler();
    let config = Config {
        reference_types_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        max_memories: 1,
        ..Config::default()
    };
    let mut taken = 0;
    let rounds = rounds(30);
    for seed in 0..rounds {
        let bytes = random(seed, 4096);
        let mut unstructured = arbitrary::Unstructured::new(&bytes);
        let module = Module::new(config.clone(), &mut unstructured).unwrap().to_bytes();
        taken += u64::from(hand_in(&compiler, &module, seed));
    }
    assert!(taken * 2 > rounds, "only {taken} of {rounds} were taken: this tests nothing");
}

fn committed() -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wasm-tasks");
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).filter(|bytes| bytes.len() < 64 << 10).collect()
}

/// Changes some bytes, or cuts, doubles, or moves a piece.
fn mutate(module: &mut Vec<u8>, seed: u64) {
    let dice = random(seed ^ (1 << 63), 64);
    let number = |at: usize| usize::from(u16::from_le_bytes([dice[at], dice[at + 1]]));
    // Most of a module is its code; its head is where the counts and lengths are.
    let reach = if dice[0].is_multiple_of(2) { module.len() } else { module.len().min(300) };
    for change in 0..=usize::from(dice[1] % 4) {
        let at = (number(4 + 8 * change) * 7919 + number(6 + 8 * change)) % reach.min(module.len()).max(1);
        let len = number(8 + 8 * change) % 40;
        let end = (at + len).min(module.len());
        match dice[2 + change] % 6 {
            0 => module.truncate(at),
            1 => {
                let piece = module[at..end].to_vec();
                module.splice(at..at, piece);
            }
            2 => drop(module.drain(at..end)),
            3 => module[at..end].fill(0xff),
            _ => module[at] ^= dice[40 + change] | 1,
        }
        if module.is_empty() {
            return;
        }
    }
}

#[test]
fn changed_modules_are_compiled_or_refused() {
    let compiler = compiler();
    let modules = committed();
    assert!(modules.len() >= 5);
    let mut refused = 0;
    let mut before = 0;
    let rounds = rounds(150);
    for seed in 0..rounds {
        let mut module = modules[usize::try_from(seed).unwrap() % modules.len()].clone();
        mutate(&mut module, seed);
        refused += u64::from(!hand_in(&compiler, &module, seed));
        if seed == rounds / 3 {
            before = resident_bytes();
        }
    }
    assert!(refused * 2 > rounds, "only {refused} of {rounds} were refused: the changes change nothing");
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes");
}
