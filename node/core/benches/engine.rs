//! What the engine itself costs: a lone node with two slots runs a batch of tasks that take no time, the slots being
//! this program. Prints microseconds per task and inputs per second; the best of several rounds.
//!
//! `cargo bench -p weft-core`; no harness, plain timing.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and may panic")]

use std::sync::Arc;
use std::time::Instant;

use weft_core::message::{Class, Needs};
use weft_core::{
    BlobId, Command, Effect, Engine, Entry, Event, Input, JobId, Limits, MeshConfig, NodeConfig, Outcome,
    Payload, PeerId, Policy, Profile, Program, Report, RunId, Submission, Terms, Time, Usage,
};

const ROUNDS: u64 = 7;
const TASKS: u32 = 100_000;

fn main() {
    println!("{:<44} {:>10} {:>14}", "a batch of 100,000 no-op tasks", "us a task", "inputs a second");
    round_of("results of no interest, nothing remembered", 0, Terms::default());
    round_of("the same beside 1,000 remembered results", 1000, Terms::default());
    round_of("with receipts", 0, Terms { receipts: true, ..Terms::default() });
}

fn round_of(what: &str, remembered: u32, terms: Terms) {
    let rounds: Vec<(u64, u64)> =
        (0..ROUNDS).map(|round| run(&mut engine(), round, remembered, terms)).collect();

    let (nanos, inputs) = rounds.into_iter().min().expect("there are rounds");
    let each = nanos / u64::from(TASKS);
    let rate = inputs * 1_000_000_000 / nanos.max(1);
    println!("{what:<44} {:>7}.{:02} {rate:>14}", each / 1000, each % 1000 / 10);
}

fn engine() -> Engine {
    let node = NodeConfig {
        name: "bench".into(),
        slots: 2,
        memory_bytes: 1 << 30,
        labels: Vec::new(),
        class_min: Class::Scavenger,
        boot: 1,
    };
    Engine::new(PeerId([1; 32]), MeshConfig::DEFAULT, node, [7; 32])
}

/// Nanoseconds that the batch took, and how many inputs the engine was told meanwhile.
fn run(engine: &mut Engine, round: u64, remembered: u32, terms: Terms) -> (u64, u64) {
    work(engine, JobId(2 * round), 0..remembered, Terms::default(), 60_000);
    let start = Instant::now();
    let inputs = work(engine, JobId(2 * round + 1), remembered..remembered + TASKS, terms, 2);
    (u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), inputs)
}

/// Submits one job and runs it to its end; each task is said to take so long.
fn work(engine: &mut Engine, job: JobId, tasks: std::ops::Range<u32>, terms: Terms, wall_us: u64) -> u64 {
    let count = tasks.len();
    let inputs = tasks.map(|number| Payload::inline(&number.to_le_bytes())).collect();
    let submit = submission(job, inputs, terms);
    let (mut now, mut told, mut ended) = (Time(job.0 * 1_000_000_000), 0, 0);
    let mut next = vec![Input::Command(Command::Submit(submit))];
    while let Some(input) = next.pop() {
        now.0 += 5;
        told += 1;
        let mut runs: Vec<(RunId, Report)> = Vec::new();
        for effect in engine.handle(now, input) {
            match effect {
                Effect::Execute { run, .. } => runs.push((run, report(wall_us))),
                Effect::Fetch { blob, .. } => next.push(Input::Fetched { blob, found: true }),
                Effect::Sign { batch, .. } => next.push(Input::Signed { batch, signature: [0; 64] }),
                Effect::Notify(Event::TaskEnded { .. }) => ended += 1,
                Effect::Notify(
                    Event::JobEnded { .. }
                    | Event::JobGivenUp { .. }
                    | Event::Lost { .. }
                    | Event::Printed { .. }
                    | Event::Differed { .. }
                    | Event::Refused { .. },
                )
                | Effect::Send { .. }
                | Effect::Publish(_)
                | Effect::Abort(_)
                | Effect::Pause(_)
                | Effect::Resume(_)
                | Effect::Pin(_)
                | Effect::Unpin(_)
                | Effect::Stash(_) => {}
            }
        }
        if !runs.is_empty() {
            next.insert(0, Input::Ran(runs));
        }
    }
    assert_eq!(ended, count, "every task ended");
    told
}

fn report(wall_us: u64) -> Report {
    let usage = Usage { wall_us, ..Usage::default() };
    Report { usage, output: Payload::inline(b"answer"), ..Report::bare(Outcome::Done) }
}

fn submission(job: JobId, inputs: Vec<Payload>, terms: Terms) -> Submission {
    let program = Program {
        module: BlobId::of(b"module"),
        module_bytes: 6,
        entry: Entry::Command,
        args: vec!["--fast".into()],
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    };
    Submission {
        job,
        program: Arc::new(program),
        needs: Needs::default(),
        class: Class::Batch,
        terms,
        policy: Policy::DEFAULT,
        inputs,
        closed: true,
    }
}
