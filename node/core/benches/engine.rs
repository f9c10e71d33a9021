//! The cost of the engine alone; this program plays slots and network. First a single node runs batches of empty tasks
//! of several sizes. Then a node of a mesh, in which all nodes submit short tasks one by one: its inputs are recorded
//! and replayed to a new engine, so that nothing but the engine is timed. Prints microseconds per task, and inputs per
//! second, where an input is one `Engine::handle` and one `Engine::next_wakeup`. The best of several rounds; processor
//! time of the thread, where the system reports it.
//!
//! `cargo bench -p weft-core`; no harness, plain timing.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and may panic")]

#[path = "engine/crowd.rs"]
mod crowd;

use crowd::Crowd;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use weft_core::message::{Assign, Call, Capacity, Class, Credit, Delivery, Grant, Needs};
use weft_core::{
    BidId, BlobId, CallId, Command, Effect, Engine, Entry, Event, Fetched, Gossip, Input, JobId, LeaseId,
    Limits, MeshConfig, Message, NodeConfig, Outcome, Payload, PeerId, Profile, Program, Recall, Report,
    RunId, Submission, Terms, Time, Usage,
};

const ROUNDS: u64 = 5;
/// Inputs that are decoded at a time, so that they are in the cache as after a driver has read them.
const WARM: usize = 512;
/// Tasks submitted at a time, as the node's API does.
const AHEAD: u32 = 8192;

fn main() {
    let only = std::env::args().find(|arg| arg == "batch" || arg == "crowd");
    if only.as_deref() != Some("crowd") {
        batches();
    }
    if only.as_deref() != Some("batch") {
        crowds();
    }
}

fn batches() {
    println!("{:<44} {:>10} {:>14}", "a lone node, no-op tasks", "us a task", "inputs a second");
    let plain = Terms { memo: Recall::Off, ..Terms::default() };
    for tasks in [1_000, 100_000, 1_000_000] {
        batch(&format!("{tasks} tasks, 256 an input"), tasks, (0, 0), plain);
    }
    batch("100000, with 1,000 known results", 100_000, (1000, 0), Terms::default());
    batch("100000, with 10,000 jobs that wait for a parent", 100_000, (0, 10_000), plain);
    batch("100000, with receipts", 100_000, (0, 0), Terms { receipts: true, ..plain });
}

fn crowds() {
    println!("{:<44} {:>10} {:>14}", "one of many nodes, tasks of 0.5 ms", "us a task", "inputs a second");
    for peers in [2, 9, 31, 63, 99] {
        let (tasks, before, timed) = Crowd::new(peers).run(60_000);
        let best = (0..ROUNDS).map(|_| replay(&before, &timed)).min().expect("there are rounds");
        print(&format!("{} nodes", peers + 1), (best, tasks, timed.len() as u64));
    }
}

/// Inputs of an engine, with their times.
type Log = Vec<(Time, Input)>;

/// Nanoseconds, tasks, inputs.
type Cost = (u64, u64, u64);

fn print(what: &str, (nanos, tasks, inputs): Cost) {
    let each = nanos / tasks.max(1);
    let rate = inputs * 1_000_000_000 / nanos.max(1);
    println!("{what:<44} {:>7}.{:02} {rate:>14}", each / 1000, each % 1000 / 10);
}

fn batch(what: &str, tasks: u32, (remembered, waiting): (u32, u64), terms: Terms) {
    // Small batches are repeated until the clock can measure them.
    let jobs = (100_000 / u64::from(tasks)).max(1);
    let run = |_| {
        let mut engine = engine();
        work(&mut engine, JobId(0), 0..remembered, Terms::default(), 60_000);
        wait(&mut engine, waiting);
        let clock = Clock::start();
        let each = |job| work(&mut engine, JobId(job), remembered..remembered + tasks, terms, 2);
        let inputs = (1..=jobs).map(each).sum();
        (clock.stop(), jobs * u64::from(tasks), inputs)
    };
    print(what, (0..ROUNDS).map(run).min().expect("there are rounds"));
}

/// A clock of this thread's processor time; wall-clock time where the system has none.
struct Clock(Instant, Option<u64>);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), on_cpu())
    }

    /// Nanoseconds since the start.
    fn stop(&self) -> u64 {
        let spent = self.1.zip(on_cpu()).map(|(start, end)| end - start);
        spent.unwrap_or_else(|| u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Processor time of this thread, in nanoseconds.
fn on_cpu() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn engine() -> Engine {
    let node = NodeConfig {
        name: "bench".into(),
        slots: 4,
        memory_bytes: 1 << 30,
        module_bytes: u64::MAX,
        store_bytes: u64::MAX,
        labels: Vec::new(),
        class_min: Class::Scavenger,
        disk: 0,
        boot: 1,
        owners: weft_core::Owners::All,
    };
    Engine::new(PeerId([1; 32]), MeshConfig::DEFAULT, node, [7; 32])
}

/// Submits one job and runs it to its end; each task reports this service time.
#[expect(clippy::too_many_lines, reason = "one line an effect")]
fn work(engine: &mut Engine, job: JobId, tasks: std::ops::Range<u32>, terms: Terms, wall_us: u64) -> u64 {
    let count = tasks.len();
    let mut inputs = tasks.map(|number| Payload::inline(&number.to_le_bytes()));
    let open = Submission {
        closed: false,
        ..submission(job, inputs.by_ref().take(AHEAD as usize).collect(), terms)
    };
    let (mut now, mut told, mut ended, mut owed) = (Time(job.0 * 1_000_000_000), 0, 0, 0);
    let mut next = VecDeque::from([Input::Command(Command::Submit(open))]);
    while let Some(input) = next.pop_front() {
        now.0 += 5;
        told += 1;
        let mut runs: Vec<(RunId, Report)> = Vec::new();
        for effect in engine.handle(now, input) {
            match effect {
                Effect::Execute { run, .. } => runs.push((run, report(wall_us))),
                Effect::Fetch { blob, .. } => next.push_back(Input::Fetched { blob, fetched: Fetched::Here }),
                Effect::Sign { batch, .. } => next.push_back(Input::Signed { batch, signature: [0; 64] }),
                Effect::Notify(Event::TaskEnded { .. }) => (ended, owed) = (ended + 1, owed + 1),
                Effect::Notify(
                    Event::JobEnded { .. }
                    | Event::JobGivenUp { .. }
                    | Event::Lost { .. }
                    | Event::Printed { .. }
                    | Event::Differed { .. }
                    | Event::Refused { .. }
                    | Event::OwnerGone { .. }
                    | Event::DependenciesSatisfied { .. }
                    | Event::Accepted { .. }
                    | Event::ExtensionRefused { .. }
                    | Event::Grown { .. }
                    | Event::RetryRefused { .. }
                    | Event::Confirmed { .. }
                    | Event::Forgotten { .. }
                    | Event::Leads { .. }
                    | Event::Follows { .. }
                    | Event::Keepers { .. }
                    | Event::Leased { .. },
                )
                | Effect::Send { .. }
                | Effect::Publish(_)
                | Effect::Abort(_)
                | Effect::Pause(_)
                | Effect::Resume(_)
                | Effect::Pin(_)
                | Effect::Unpin(_)
                | Effect::Stash(_)
                | Effect::Persist { .. }
                | Effect::Forget { .. }
                | Effect::Cut { .. }
                | Effect::Promise { .. }
                | Effect::ReadLog { .. }
                | Effect::Gather { .. }
                | Effect::Recall { .. }
                | Effect::Remember { .. }
                | Effect::Retain { .. } => {}
            }
        }
        assert!(engine.next_wakeup().is_none_or(|(at, _)| at.0 > 0), "a driver asks after every input");
        if !runs.is_empty() {
            next.push_back(Input::Ran(runs));
        }
        if owed >= 1024 {
            let more: Vec<Payload> = inputs.by_ref().take(std::mem::take(&mut owed)).collect();
            next.extend((!more.is_empty()).then_some(Input::Command(Command::Extend { job, inputs: more })));
        }
        if next.is_empty() && ended == count {
            next.extend((told > 0 && owed != usize::MAX).then_some(Input::Command(Command::Close { job })));
            owed = usize::MAX;
            ended += 1;
        }
    }
    assert_eq!(ended, count + 1, "every task ended");
    told
}

fn report(wall_us: u64) -> Report {
    let usage = Usage { wall_us, ..Usage::default() };
    Report { usage, output: Payload::inline(b"answer"), ..Report::bare(Outcome::Done) }
}

fn program() -> Arc<Program> {
    Arc::new(Program {
        module: BlobId([3; 32]),
        module_bytes: 6,
        entry: Entry::Command,
        args: vec!["--fast".into()],
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    })
}

fn submission(job: JobId, inputs: Vec<Payload>, terms: Terms) -> Submission {
    Submission { terms, ..Submission::new(job, program(), inputs) }
}

/// Submits jobs whose common parent does not end.
fn wait(engine: &mut Engine, joins: u64) {
    let parent = JobId(u64::MAX);
    let open = Submission { closed: false, ..submission(parent, Vec::new(), Terms::default()) };
    let first = (joins > 0).then_some(open);
    let joins = (1..=joins).map(|number| Submission {
        after: vec![parent],
        ..submission(JobId(u64::MAX - number), vec![Payload::empty()], Terms::default())
    });
    for what in first.into_iter().chain(joins) {
        drop(engine.handle(Time::ZERO, Input::Command(Command::Submit(what))));
    }
}

/// Replays the recorded inputs to a new engine; returns the nanoseconds of the second part.
fn replay(before: &[(Time, Input)], timed: &[(Time, Input)]) -> u64 {
    let mut engine = engine();
    for (now, input) in before {
        drop(engine.handle(*now, input.clone()));
    }
    let (mut spent, mut wakes) = (0, 0);
    for part in timed.chunks(WARM) {
        let part = part.to_vec();
        let clock = Clock::start();
        for (now, input) in part {
            drop(engine.handle(now, input));
            wakes += u64::from(engine.next_wakeup().is_some());
        }
        spent += clock.stop();
    }
    assert!(wakes > 0, "leases end some day");
    spent
}
