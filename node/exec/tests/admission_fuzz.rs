//! Fuzz target: whatever bytes come in as a module, the answer is code or a reason: no panic, no hang, no growth.
//!
//! Bytes go the way of a submitted module: admission, baseline and optimising compiler, loading and linking, and sometimes a
//! run. The first byte says what the others are: a module as it is, what follows a module's head, the contents of its
//! sections, the choices of a generator of valid modules, or the changes to a committed module.
//!
//! A test run takes the committed corpus, a few hundred random inputs, and modules that follow from fixed seeds
//! (`WEFT_FUZZ=n`: that many of them). For as long as you like:
//!
//! ```sh
//! MALLOC_ARENA_MAX=1 BOLERO_RANDOM_ITERATIONS=1000000 cargo test -p weft-exec --test admission_fuzz -- --nocapture modules
//! ```
//!
//! or until `BOLERO_RANDOM_TEST_TIME_MS`; a failure prints its `BOLERO_RANDOM_SEED`. Each compilation has threads of its
//! own, and glibc keeps what they freed in up to eight arenas a core: without that first word a long run seems to grow,
//! ever slower, by half a gigabyte.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, and is told how long to run"
)]

#[expect(dead_code, reason = "each target uses its part")]
#[path = "support/fuzz.rs"]
mod fuzz;
#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::fmt;
use std::fs;
use std::panic::RefUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fuzz::{Dice, Growth, Held, Raw, Watch};
use support::{OWNER, command, task};
use wasm_smith::{Config, Module};
use weft_core::{Limits, Outcome, Program};
use weft_exec::{Bounds, Code, Compiler, CompilerConfig, Given, How, Interrupt, PrepareError, Sandbox, Stop};

/// No single module may take longer, in a debug build on a busy machine.
const HANG: Duration = Duration::from_secs(30);
/// A round keeps nothing: what the process may grow by in all. The loader keeps 256 modules, each with a file.
const GROWTH: Held = Held { bytes: 256 << 20, files: 600, threads: 40 };
/// Longest input.
const BYTES_MAX: usize = 8192;
const CORE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Bounds that small modules meet.
const TIGHT: Bounds = Bounds {
    bytes: 4096,
    functions: 6,
    body_bytes: 200,
    locals: 12,
    nesting: 4,
    carried: 16,
    targets: 4,
    handlers: 1000,
    all_handlers: 2000,
    fields: 1000,
    all_fields: 2000,
    arity: 3,
    types: 6,
    tags: 100,
    imports: 3,
    exports: 6,
    globals: 4,
    data: 2,
    segments: 2,
    elements: 8,
    tables: 1,
    modules: 2,
    links: 8,
};

/// A module, and how it is handed in.
struct Case {
    module: Vec<u8>,
    /// To a compiler with tight bounds.
    tight: bool,
    /// Asked for as tasks do: baseline code first. Otherwise on this thread.
    asked: bool,
    /// Metered, and run.
    runs: bool,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { module, tight, asked, runs } = self;
        let hex: String = module.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "tight: {tight}, asked: {asked}, runs: {runs}, {} bytes: {hex}", module.len())
    }
}

impl Case {
    /// As tasks meet it, and no more.
    fn plain(module: Vec<u8>) -> Self {
        Self { module, tight: false, asked: false, runs: false }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut dice = Dice(bytes);
        let form = dice.byte();
        let how = dice.byte();
        let module = match form % 8 {
            0 => dice.0.to_vec(),
            1 => [CORE, dice.0].concat(),
            2 => [COMPONENT, dice.0].concat(),
            3 => sections(CORE, &mut dice),
            4 => sections(COMPONENT, &mut dice),
            5 => smith(exotic(dice.byte()), dice.0),
            6 => smith(modest(), dice.0),
            _ => changed(&mut dice),
        };
        Self { module, tight: how & 3 == 1, asked: how & 4 != 0, runs: how & 8 != 0 }
    }

    fn program(&self) -> Program {
        let program = command(&self.module);
        if !self.runs {
            return program;
        }
        let limits =
            Limits { fuel: Some(20_000), memory_bytes: 1 << 20, output_bytes: 4096, ..Limits::DEFAULT };
        Program { limits, ..program }
    }
}

/// Sections whose lengths are right and whose contents are not.
fn sections(head: &[u8], dice: &mut Dice<'_>) -> Vec<u8> {
    let mut module = head.to_vec();
    while !dice.0.is_empty() {
        module.push(dice.byte() % 15);
        let len = usize::from(dice.byte()) % 128;
        let content = dice.take(len);
        module.push(u8::try_from(content.len()).unwrap());
        module.extend_from_slice(content);
    }
    module
}

/// Features that a node takes.
fn modest() -> Config {
    Config {
        reference_types_enabled: true,
        gc_enabled: true,
        exceptions_enabled: true,
        threads_enabled: false,
        memory64_enabled: false,
        max_memories: 1,
        ..Config::default()
    }
}

/// Some that it does not.
fn exotic(which: u8) -> Config {
    let has = |bit: u8| which & (1 << bit) != 0;
    Config {
        reference_types_enabled: has(0) || has(1),
        gc_enabled: has(1),
        exceptions_enabled: has(2),
        threads_enabled: has(3),
        memory64_enabled: has(4),
        custom_page_sizes_enabled: has(5),
        wide_arithmetic_enabled: has(6),
        max_memories: if has(7) { 4 } else { 1 },
        max_tables: 4,
        ..Config::default()
    }
}

fn smith(config: Config, choices: &[u8]) -> Vec<u8> {
    let mut unstructured = arbitrary::Unstructured::new(choices);
    // Choices that lead nowhere are an empty module.
    Module::new(config, &mut unstructured).map_or_else(|_| CORE.to_vec(), |module| module.to_bytes())
}

/// The modules of this repository that are not too long for this.
fn committed() -> &'static [Vec<u8>] {
    static COMMITTED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    COMMITTED.get_or_init(|| {
        let modules = files(&here().join("../../wasm-tasks"), "wasm");
        modules.iter().map(|path| fs::read(path).unwrap()).filter(|bytes| bytes.len() < 64 << 10).collect()
    })
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|has| has == extension))
        .collect();
    paths.sort();
    paths
}

fn changed(dice: &mut Dice<'_>) -> Vec<u8> {
    let modules = committed();
    let mut module = modules[usize::from(dice.byte()) % modules.len()].clone();
    let mut numbers = [0; 64];
    let taken = dice.take(64);
    numbers[..taken.len()].copy_from_slice(taken);
    mutate(&mut module, &numbers);
    module
}

/// Changes some bytes, or cuts, doubles, or moves a piece.
fn mutate(module: &mut Vec<u8>, dice: &[u8; 64]) {
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

/// What modules are handed to.
struct Node {
    roomy: Compiler,
    tight: Compiler,
    loader: Sandbox,
    watch: Watch,
    growth: Growth,
    /// Modules handed in, taken, and run.
    counts: [AtomicU64; 3],
}

impl RefUnwindSafe for Node {}

impl Node {
    fn start() -> Self {
        // Nothing that was compiled is kept, and everything may be compiled by the baseline compiler first.
        let base = CompilerConfig::new(None, Interrupt::Kill, How::Here);
        let base = CompilerConfig { memory_bytes: 0, quick_bytes: 0, ..base };
        Self {
            tight: Compiler::start(CompilerConfig { bounds: TIGHT, ..base.clone() }).unwrap(),
            roomy: Compiler::start(base).unwrap(),
            loader: Sandbox::for_slot(4 << 20).unwrap(),
            watch: Watch::start(2 * HANG),
            growth: Growth::new(GROWTH),
            counts: Default::default(),
        }
    }

    /// Hands it in; the answer must be one of the two that are the module's own. Whether it was taken.
    fn hand_in(&self, case: &Case) -> bool {
        let started = Instant::now();
        let taken = self.watch.over(|| self.answer(case));
        assert!(started.elapsed() < HANG, "took {:?}: {case:?}", started.elapsed());
        self.growth.look();
        self.counts[0].fetch_add(1, Ordering::Relaxed);
        self.counts[1].fetch_add(u64::from(taken), Ordering::Relaxed);
        taken
    }

    fn answer(&self, case: &Case) -> bool {
        let compiler = if case.tight { &self.tight } else { &self.roomy };
        let program = case.program();
        let module = Bytes::copy_from_slice(&case.module);
        let first = case.asked.then(|| ask(compiler, &program, &module));
        let best = compiler.code(&program, || Ok(module.clone()));
        if let Some(first) = &first {
            assert_eq!(first.is_ok(), best.is_ok(), "{first:?}, then {best:?}: {case:?}");
        }
        let verdicts = first.into_iter().chain([best]);
        verdicts.map(|verdict| self.load(case, &program, verdict)).last().unwrap()
    }

    fn load(&self, case: &Case, program: &Program, verdict: Result<Arc<Code>, PrepareError>) -> bool {
        let code = match verdict {
            Ok(code) => code,
            Err(error) => {
                expect_reason(case, &error);
                return false;
            }
        };
        match self.loader.load(&code) {
            Ok(prepared) if case.runs => {
                let given = Given::input(Bytes::from_static(b"input"));
                let ran = self.loader.run(&prepared, program, task(1), given, &Stop::new(), None);
                self.counts[2].fetch_add(1, Ordering::Relaxed);
                assert!(
                    !matches!(ran.outcome, Outcome::Lost(_) | Outcome::Cancelled),
                    "{}: {case:?}",
                    ran.outcome
                );
                assert!(ran.usage.fuel <= program.limits.fuel, "{:?}: {case:?}", ran.usage);
                assert!(ran.usage.memory_bytes <= program.limits.memory_bytes, "{:?}: {case:?}", ran.usage);
            }
            Ok(_) => {}
            Err(error) => expect_reason(case, &error),
        }
        true
    }
}

/// As a task does: what is made soonest.
fn ask(compiler: &Compiler, program: &Program, module: &Bytes) -> Result<Arc<Code>, PrepareError> {
    let (tell, hear) = mpsc::channel();
    let bytes = module.clone();
    let done = Box::new(move |verdict| tell.send(verdict).unwrap());
    compiler.request(program, OWNER, Arc::new(move || Ok(bytes.clone())), done);
    hear.recv().unwrap()
}

/// The error text of a module, safe to print.
fn expect_reason(case: &Case, error: &PrepareError) {
    let text = match error {
        PrepareError::Invalid(text) | PrepareError::Limit(text) => text,
        PrepareError::TooLong { bytes, limit } => {
            return assert!(bytes > limit && case.tight, "{error}: {case:?}");
        }
        PrepareError::Unreadable(_)
        | PrepareError::Late(_)
        | PrepareError::Host(_)
        | PrepareError::Engine(_) => panic!("{error}: {case:?}"),
    };
    assert!(!text.is_empty() && text.len() < 4096, "{text}: {case:?}");
    assert!(!text.chars().any(char::is_control), "{text:?}: {case:?}");
    assert!(!text.contains("gave up"), "the compiler panicked: {text}: {case:?}");
}

#[test]
fn modules() {
    let node = Node::start();
    bolero::check!()
        .with_iterations(1000)
        .with_max_len(BYTES_MAX)
        .with_generator(Raw(BYTES_MAX))
        .map(|bytes| Case::of(&bytes))
        .for_each(|case| {
            node.hand_in(case);
        });
    let [all, taken, ran] = node.counts.map(AtomicU64::into_inner);
    assert!(
        taken * 8 > all && taken < all && ran > 0,
        "{all} handed in, {taken} taken, {ran} run: too uniform"
    );
}

fn rounds(default: u64) -> u64 {
    std::env::var("WEFT_FUZZ").ok().map_or(default, |text| text.parse().unwrap())
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
    let node = Node::start();
    let rounds = rounds(30);
    let taken = (0..rounds).filter(|&seed| node.hand_in(&Case::plain(smith(modest(), &random(seed, 4096)))));
    let taken = taken.count() as u64;
    assert!(taken * 2 > rounds, "only {taken} of {rounds} were taken: this tests nothing");
}

#[test]
fn changed_modules_are_compiled_or_refused() {
    let node = Node::start();
    let modules = committed();
    assert!(modules.len() >= 5);
    let rounds = rounds(150);
    let refused = (0..rounds).filter(|&seed| {
        let mut module = modules[usize::try_from(seed).unwrap() % modules.len()].clone();
        mutate(&mut module, &random(seed ^ (1 << 63), 64).try_into().unwrap());
        !node.hand_in(&Case::plain(module))
    });
    let refused = refused.count() as u64;
    assert!(refused * 2 > rounds, "only {refused} of {rounds} were refused: the changes change nothing");
}

/// The module of a text of `tests/corpus`, with what it includes.
fn assemble(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| match line.trim().strip_prefix(";; include: ") {
        Some(file) => fs::read_to_string(path.with_file_name(file)).unwrap(),
        None => format!("{line}\n"),
    };
    wat::parse_str(text.lines().map(line).collect::<String>()).unwrap()
}

/// Modules of `tests/corpus` that a fuzzer starts from: short ones, as they are, and run.
#[test]
fn the_seeds_are_what_the_corpus_says() {
    let seeds = here().join("tests/__fuzz__/modules/corpus");
    let write = std::env::var("WEFT_FUZZ_SEEDS").is_ok();
    let mut found = 0;
    for path in files(&here().join("tests/corpus"), "wat") {
        let seed = [&[0, 8], assemble(&path).as_slice()].concat();
        let to = seeds.join(path.file_stem().unwrap());
        if seed.len() > 300 {
            continue;
        }
        found += 1;
        if write {
            fs::create_dir_all(&seeds).unwrap();
            fs::write(&to, &seed).unwrap();
        }
        let has = fs::read(&to).unwrap_or_default();
        assert!(has == seed, "{} is out of date: run this with WEFT_FUZZ_SEEDS=1", to.display());
    }
    assert!(found > 40, "only {found} seeds");
}
