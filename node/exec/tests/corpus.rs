//! Runs every module of tests/corpus, and some that are too large to keep as text, and checks how each one ends:
//! with the outcome that its header names, in time, the same way twice, and without a trace in this process.
//!
//! An entry is a text module with a header of comments: `;; expect: KIND PART OF THE TEXT` (alternatives are divided
//! by ` | `), and where needed `;; run: function NAME`, `;; limits: wall_ms=100 memory_mib=16 ...`, `;; input: TEXT`,
//! `;; profile: impure`, and `;; after: OTHER`, for one that must come right after another on the same slot.
//! `WEFT_CORPUS=PART` runs those with that part in their names.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, prints what it did, and is told what to run"
)]

#[path = "corpus/generate.rs"]
mod generate;
#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::{Slots, program, sandbox, work};
use weft_core::{BlobId, Entry, Limits, Outcome, Payload, Profile, Program, Report, RunId};
use weft_exec::{Given, Sandbox, Stop};

/// How much later than its limit a run may end, when the machine has nothing else to do.
const LATE: Duration = Duration::from_millis(100);
/// The same on a machine that is busy with other tests.
const LATE_WHEN_BUSY: Duration = Duration::from_secs(2);
/// How often a run may try to meet [`LATE`].
const TRIES: u32 = 20;
/// No module's compiling may take longer, on a busy machine and with a compiler that was built without optimisation.
const COMPILE_MAX: Duration = Duration::from_secs(120);
/// How much more memory may be resident after the second pass over the corpus than after the first.
const GROWTH_MAX: u64 = 24 << 20;

/// One entry of the corpus.
struct Trial {
    name: String,
    /// Outcome's word and a part of its text; any one must fit.
    expect: Vec<(String, String)>,
    module: Vec<u8>,
    program: Program,
    input: Vec<u8>,
    after: Option<String>,
}

impl Trial {
    /// An entry with the corpus's own limits; `expect` as in a header.
    fn new(name: &str, module: Vec<u8>, entry: Entry, expect: &str) -> Self {
        let expect = expect
            .split(" | ")
            .map(|one| one.split_once(' ').unwrap_or((one, "")))
            .map(|(word, part)| (word.to_owned(), part.to_owned()))
            .collect();
        let mut program = program(&module, entry);
        program.limits =
            Limits { wall_ms: 2_000, memory_bytes: 64 << 20, output_bytes: 1 << 20, ..Limits::DEFAULT };
        Self { name: name.to_owned(), expect, module, program, input: Vec::new(), after: None }
    }

    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let header = |key: &str| {
            let start = format!(";; {key}: ");
            text.lines().find_map(|line| line.strip_prefix(&start))
        };
        let expect = header("expect").unwrap_or_else(|| panic!("{name} does not say what to expect"));
        let entry = match header("run").map(|run| run.strip_prefix("function ").unwrap()) {
            Some(function) => Entry::Function(function.to_owned()),
            None => Entry::Command,
        };
        let mut trial = Self::new(name, assemble(path, &text), entry, expect);
        for limit in header("limits").into_iter().flat_map(str::split_whitespace) {
            set_limit(&mut trial.program.limits, limit);
        }
        if let Some(profile) = header("profile") {
            assert_eq!(profile, "impure", "{name}: the only other profile here");
            trial.program.profile = Profile::Impure;
        }
        trial.input = header("input").unwrap_or_default().as_bytes().to_vec();
        trial.after = header("after").map(str::to_owned);
        trial
    }

    /// Whether its time limit is what ends it.
    fn runs_out_of_time(&self) -> bool {
        self.expect.iter().any(|(word, part)| word == "limit" && part.starts_with("time"))
    }

    fn wall(&self) -> Duration {
        Duration::from_millis(u64::from(self.program.limits.wall_ms))
    }

    /// What is wrong with this end, if anything.
    fn complaint(&self, ran: &Ran) -> Option<String> {
        let text = ran.outcome.to_string();
        let word = ran.outcome.word();
        if !self.expect.iter().any(|(kind, part)| kind == word && text.contains(part)) {
            return Some(format!("expected {:?}, got {word}: {text}", self.expect));
        }
        if text.chars().any(char::is_control) || text.chars().count() > 2_000 {
            return Some(format!("a text that nobody can print: {text:?}"));
        }
        if ran.took > self.wall() + LATE_WHEN_BUSY {
            return Some(format!("took {:?}, the limit is {:?}", ran.took, self.wall()));
        }
        if ran.compile > COMPILE_MAX {
            return Some(format!("compiling took {:?}", ran.compile));
        }
        None
    }
}

/// The module of this text, with its included file in place.
fn assemble(path: &Path, text: &str) -> Vec<u8> {
    let mut whole = String::new();
    for line in text.lines() {
        match line.trim().strip_prefix(";; include: ") {
            Some(file) => whole.push_str(&fs::read_to_string(path.with_file_name(file)).unwrap()),
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    wat::parse_str(&whole).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn set_limit(limits: &mut Limits, text: &str) {
    let (key, value) = text.split_once('=').unwrap();
    let value: u64 = value.parse().unwrap();
    let narrow = || u32::try_from(value).unwrap();
    match key {
        "wall_ms" => limits.wall_ms = narrow(),
        "memory_mib" => limits.memory_bytes = value << 20,
        "fuel" => limits.fuel = Some(value),
        "output_bytes" => limits.output_bytes = value,
        "errors_bytes" => limits.errors_bytes = value,
        "files_mib" => limits.files_bytes = value << 20,
        "files" => limits.files = narrow(),
        _ => panic!("{key} is no limit"),
    }
}

/// Everything, in an order in which each entry that wants a predecessor comes right after it.
fn corpus() -> Vec<Trial> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "wat"));
    paths.sort();
    assert!(paths.len() > 100, "the corpus is not where it should be");
    let mut trials: Vec<Trial> = paths.iter().map(|path| Trial::read(path)).collect();
    trials.extend(generate::all());
    if let Ok(part) = env::var("WEFT_CORPUS") {
        trials.retain(|trial| trial.name.contains(&part));
    }
    let (followers, mut ordered): (Vec<Trial>, Vec<Trial>) =
        trials.into_iter().partition(|trial| trial.after.is_some());
    for follower in followers {
        let leader = ordered.iter().position(|trial| Some(&trial.name) == follower.after.as_ref());
        ordered.insert(leader.unwrap() + 1, follower);
    }
    ordered
}

/// How an entry ended.
struct Ran {
    outcome: Outcome,
    took: Duration,
    compile: Duration,
}

/// Something that runs tasks.
trait Host {
    /// Takes what it keeps of the modules' own bytes, before memory is measured.
    fn take(&self, _corpus: &[Trial]) {}

    /// Waits until nothing is being compiled: a compiler at work has the memory of its module, not a leak.
    fn settle(&self) {}

    fn run(&self, trial: &Trial) -> Ran;
}

impl Host for Sandbox {
    fn run(&self, trial: &Trial) -> Ran {
        let Trial { module, program, input, .. } = trial;
        let started = Instant::now();
        let prepared = self.prepare(program, || Ok(Bytes::from(module.clone())));
        let compile = started.elapsed();
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                return Ran { outcome: error.outcome(), took: Duration::ZERO, compile };
            }
        };
        let task = program.task_id(&Payload::inline(input));
        let started = Instant::now();
        let finished =
            self.run(&prepared, program, task, Given::input(Bytes::from(input.clone())), &Stop::new(), None);
        Ran { outcome: finished.outcome, took: started.elapsed(), compile }
    }
}

/// A pool of one slot, so that each task gets the slot of the task before it.
struct Queue {
    slots: Slots,
    runs: Cell<u64>,
    warm: RefCell<BTreeSet<BlobId>>,
}

impl Queue {
    fn start(kind: weft_exec::Slots) -> Self {
        Self { slots: Slots::start(kind, 1), runs: Cell::new(0), warm: RefCell::default() }
    }

    /// From submitting to the report.
    fn ask(&self, trial: &Trial) -> (Report, Duration) {
        self.runs.set(self.runs.get() + 1);
        let program = Arc::new(trial.program.clone());
        let started = Instant::now();
        self.slots.pool.submit(vec![(RunId(self.runs.get()), work(&program, &trial.input))]);
        let (_, report) = self.slots.collect(1).remove(0);
        (report, started.elapsed())
    }
}

impl Host for Queue {
    fn take(&self, corpus: &[Trial]) {
        for trial in corpus {
            self.slots.blobs.put(&trial.module);
        }
    }

    fn settle(&self) {
        let until = Instant::now() + COMPILE_MAX;
        while self.slots.pool.status().compiling + self.slots.pool.status().optimising > 0 {
            assert!(
                Instant::now() < until,
                "something is being compiled still: {:?}",
                self.slots.pool.status()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn run(&self, trial: &Trial) -> Ran {
        let mut compile = Duration::ZERO;
        if self.warm.borrow_mut().insert(trial.program.module) {
            compile = self.ask(trial).1.saturating_sub(trial.wall());
        }
        let (report, took) = self.ask(trial);
        Ran { outcome: report.outcome, took, compile }
    }
}

/// Runs each entry twice, and says what is wrong with those that did not end as they should.
fn pass(host: &dyn Host, corpus: &[Trial], table: &mut String) -> Vec<String> {
    let mut complaints = Vec::new();
    for trial in corpus {
        // The last one named is the one that took the process with it.
        eprintln!("{}", trial.name);
        let mut ran = host.run(trial);
        for _ in 1..TRIES {
            if !trial.runs_out_of_time() || ran.took <= trial.wall() + LATE {
                break;
            }
            ran = host.run(trial);
        }
        if let Some(complaint) = trial.complaint(&ran) {
            complaints.push(format!("{}: {complaint}", trial.name));
        }
        if trial.runs_out_of_time() && ran.took > trial.wall() + LATE {
            let late = ran.took.saturating_sub(trial.wall());
            complaints.push(format!("{}: {late:?} late, in each of {TRIES} tries", trial.name));
        }
        let (ms, compile) = (ran.took.as_millis(), ran.compile.as_millis());
        writeln!(table, "{:34} {ms:>6} ms {compile:>6} ms  {}", trial.name, ran.outcome).unwrap();
    }
    complaints
}

/// Bytes of memory that this process has, its slots, and its compilers, which end by themselves when idle.
#[derive(Clone, Copy)]
struct Resident {
    own: u64,
    slots: u64,
    compilers: u64,
}

impl Resident {
    fn now() -> Self {
        let mut resident = Self { own: resident_of("self"), slots: 0, compilers: 0 };
        for child in children() {
            let command = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let compiler = command.split('\0').any(|word| word == "--compile");
            let sum = if compiler { &mut resident.compilers } else { &mut resident.slots };
            *sum += resident_of(&child);
        }
        resident
    }
}

/// Names of this process's children.
fn children() -> Vec<String> {
    let lists = fs::read_dir("/proc/self/task").unwrap();
    lists
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// 0 for one that has just ended.
fn resident_of(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10)
}

/// Two passes, their complaints, and what they left in memory.
fn survive(host: impl Host) {
    let corpus = corpus();
    host.take(&corpus);
    let mut table = String::new();
    let before = Resident::now();
    let mut complaints = pass(&host, &corpus, &mut table);
    host.settle();
    let first = Resident::now();
    complaints.extend(pass(&host, &corpus, &mut String::new()));
    host.settle();
    let second = Resident::now();
    println!("{table}{} entries; resident here, in slots and in compilers, in MiB:", corpus.len());
    for (when, is) in [("before", before), ("after a pass", first), ("after another", second)] {
        println!("  {when:14} {:>5} {:>5} {:>5}", is.own >> 20, is.slots >> 20, is.compilers >> 20);
    }
    for (what, before, after) in [("here", first.own, second.own), ("in slots", first.slots, second.slots)] {
        let growth = after.saturating_sub(before);
        if growth > GROWTH_MAX {
            complaints.push(format!("the second pass left {} MiB more {what}", growth >> 20));
        }
    }
    drop(host);
    if !everybody_has_gone() {
        complaints.push(format!("these children live on: {:?}", children()));
    }
    assert!(complaints.is_empty(), "{} of the corpus:\n{}", complaints.len(), complaints.join("\n"));
}

/// Whether all children end, compilers too: what they had is the machine's again.
fn everybody_has_gone() -> bool {
    let until = Instant::now() + support::DEADLINE;
    while !children().is_empty() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn the_sandbox_survives_the_corpus() {
    let _alone = alone();
    survive(sandbox());
}

#[test]
fn slots_that_are_threads_survive_the_corpus() {
    let _alone = alone();
    survive(Queue::start(weft_exec::Slots::Threads));
}

#[cfg(target_os = "linux")]
#[test]
fn slots_that_are_processes_survive_the_corpus() {
    let _alone = alone();
    survive(Queue::start(support::processes()));
}

/// Memory is measured, and time: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
