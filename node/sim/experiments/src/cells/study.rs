//! One study: jobs drawn from a seed, run by the mesh and by one omniscient queue, and the figures of both.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use weft_core::{BlobId, Entry, Limits, MeshConfig, Payload, Profile, Program};

use super::lean::{Lean, LeanJob, LeanSpec, Mishap};
use super::tally::Kind;
use crate::trace::{Durations, Shape, Trace};
use weft_sim::Chance;

/// One way through the network, in microseconds; Sparrow's.
const DELAY_US: u64 = 500;
/// Mean running time of a task, in microseconds; Sparrow's.
const MEAN_US: u64 = 100_000;
/// When the first job comes: the mesh has found itself by then.
pub(super) const START_US: u64 = 2_500_000;
/// How long after the last job everything must have ended.
pub(super) const REST_US: u64 = 120_000_000;

/// How long tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One exponential draw a job, shared by its tasks.
    ExpJobs,
    /// All the same.
    Constant,
}

/// Who submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Every node, by chance.
    All,
    /// So many nodes.
    Few(u32),
}

/// What goes wrong in the middle of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The exchanges of so many cells die.
    Crash(usize),
    /// The exchanges of so many cells introduce nobody.
    Silent(usize),
    /// The exchanges of so many cells introduce bids that do not exist.
    Forge(usize),
    /// So many messages of a thousand are lost, from the first job on.
    Loss(u32),
    /// The mesh falls into two halves for so many milliseconds.
    Halves(u64),
}

/// What is studied.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    /// Everything follows from it.
    pub seed: u64,
    /// Nodes.
    pub nodes: u32,
    /// Slots of each.
    pub slots: u32,
    /// Share of all slots' time that the jobs ask for, in percent.
    pub load_percent: u32,
    /// Jobs.
    pub jobs: u32,
    /// Tasks of each.
    pub tasks: u32,
    /// How long they run.
    pub work: Work,
    /// Who submits them.
    pub owners: Owners,
    /// What goes wrong.
    pub trouble: Trouble,
    /// What the mesh agrees on.
    pub mesh: MeshConfig,
}

impl Study {
    /// Sparrow's shape, at this size, load and number of jobs.
    #[must_use]
    pub fn sparrow(seed: u64, nodes: u32, load_percent: u32, jobs: u32) -> Self {
        Self {
            seed,
            nodes,
            slots: 4,
            load_percent,
            jobs,
            tasks: 100,
            work: Work::ExpJobs,
            owners: Owners::All,
            trouble: Trouble::None,
            mesh: MeshConfig::DEFAULT,
        }
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self) -> Figures {
        let jobs = self.draw();
        let central = self.central(&jobs);
        let mut lean = self.engines();
        let last_us = jobs.last().map_or(START_US, |job| job.at_us);
        self.plan_trouble(&mut lean, last_us);
        for job in jobs {
            lean.plan(job);
        }
        lean.run_until(START_US - 1, false);
        let (before, traffic) = (lean.tally.clone(), lean.traffic());
        lean.run_until(last_us, false);
        let (after, traffic_after) = (lean.tally.clone(), lean.traffic());
        let span_s = (last_us - START_US) as f64 / 1e6;
        lean.run_until(last_us + REST_US, true);
        let nodes = f64::from(self.nodes);
        let per_node = |count: u64| count as f64 / nodes / span_s;
        let heaviest = traffic.iter().zip(&traffic_after);
        let heaviest = heaviest.map(|(was, is)| is.0 + is.1 - was.0 - was.1).max().unwrap_or(0);
        let tasks = (lean.tally.executed - before.executed).max(1) as f64;
        let end = lean.tally.clone();
        let was = |kind: &Kind| before.kinds.get(kind).copied().unwrap_or(0);
        let each = |kind: &Kind, count: &u64| (count - was(kind)) as f64 / tasks;
        let kinds =
            end.kinds.iter().map(|(kind, count)| (format!("{kind:?}").to_lowercase(), each(kind, count)));
        let kinds = kinds.collect();
        let count = |end_of_task: bool| -> f64 {
            let kinds = end.kinds.iter().filter(|(kind, _)| kind.is_end() == end_of_task);
            kinds.map(|(kind, count)| each(kind, count)).sum()
        };
        let counters = lean.engines().map(|engine| engine.snapshot().counters);
        let (refused, misled) = counters.fold((0, 0), |(refused, misled), counters| {
            (refused + counters.refused, misled + counters.misled)
        });
        let middle = lean.jobs.len() / 4..lean.jobs.len() * 3 / 4;
        let middle = if middle.is_empty() { 0..lean.jobs.len() } else { middle };
        let measured = &lean.jobs[middle.clone()];
        let unended = lean.jobs.iter().filter(|job| job.told_us.is_none()).count();
        let ideal_ms = mean_ms(measured.iter().map(longest));
        Figures {
            ideal_ms,
            central_ms: mean_ms(central[middle].iter().copied()),
            mean_ms: mean_ms(measured.iter().map(|job| job.ended_us.saturating_sub(job.at_us))),
            told_ms: mean_ms(measured.iter().map(|job| job.told_us.unwrap_or(u64::MAX / 2) - job.at_us)),
            p99_ms: p99_ms(measured.iter().map(|job| job.ended_us.saturating_sub(job.at_us))),
            messages: count(false),
            end_messages: count(true),
            kinds,
            node_messages: per_node(after.messages - before.messages),
            node_bytes: per_node(after.bytes - before.bytes),
            node_gossips: per_node(after.gossips - before.gossips),
            node_gossip_bytes: per_node(after.gossip_bytes - before.gossip_bytes),
            heaviest: heaviest as f64 / span_s,
            executed: end.executed,
            ended: end.ended,
            undone: end.undone,
            unended: unended as u64,
            lost: end.lost,
            refused,
            misled,
            inputs: end.inputs,
            virtual_s: lean.now_us() as f64 / 1e6,
        }
    }

    pub(super) fn engines(&self) -> Lean {
        let spec = LeanSpec {
            seed: self.seed,
            nodes: self.nodes,
            slots: self.slots,
            delay_us: DELAY_US,
            mesh: self.mesh,
        };
        Lean::new(spec, program())
    }

    /// The jobs: the very trace that `weft-experiments run sparrow` draws from this seed, and who submits what.
    fn draw(&self) -> Vec<LeanJob> {
        let shape = Shape {
            workers: self.nodes as usize,
            slots: self.slots as usize,
            tasks: self.tasks as usize,
            jobs: self.jobs as usize,
            mean_us: MEAN_US,
            delay_us: DELAY_US,
            load: f64::from(self.load_percent) / 100.0,
        };
        let durations = match self.work {
            Work::ExpJobs => Durations::ExpJobs,
            Work::Constant => Durations::Constant,
        };
        self.assign(&Trace::draw(&shape, durations, self.seed))
    }

    /// A trace's jobs, each with its owner.
    pub(super) fn assign(&self, trace: &Trace) -> Vec<LeanJob> {
        let mut who = Chance::new(self.seed, "owners");
        let owners = match self.owners {
            Owners::All => self.nodes,
            Owners::Few(count) => count.clamp(1, self.nodes),
        };
        let each = trace.arrivals.iter().zip(&trace.durations).map(|(at, duration)| LeanJob {
            at_us: START_US + at,
            owner: who.small(0, owners - 1),
            tasks: vec![*duration as u32; self.tasks as usize],
            left: self.tasks,
            ended_us: 0,
            told_us: None,
        });
        each.collect()
    }

    /// One queue that knows everything: each task goes to the slot that is free first, half a round trip to start it
    /// and half to hear of its end. Response times in microseconds, by job.
    fn central(&self, jobs: &[LeanJob]) -> Vec<u64> {
        let slots = (self.nodes * self.slots) as usize;
        let mut free: BinaryHeap<Reverse<u64>> = (0..slots).map(|_| Reverse(0)).collect();
        let mut responses = Vec::with_capacity(jobs.len());
        for job in jobs {
            let mut ended = 0;
            for service in &job.tasks {
                let Reverse(at) = free.pop().expect("a mesh has slots");
                let done = at.max(job.at_us) + DELAY_US + u64::from(*service);
                ended = ended.max(done);
                free.push(Reverse(done + DELAY_US));
            }
            responses.push(ended - job.at_us);
        }
        responses
    }

    fn plan_trouble(&self, lean: &mut Lean, last_us: u64) {
        let third = START_US + (last_us - START_US) / 3;
        match self.trouble {
            Trouble::None => {}
            Trouble::Crash(cells) => lean.plan_mishap(third, Mishap::Crash(cells)),
            Trouble::Silent(cells) => lean.plan_mishap(third, Mishap::Silent(cells)),
            Trouble::Forge(cells) => lean.plan_mishap(third, Mishap::Forge(cells)),
            Trouble::Loss(permille) => lean.plan_mishap(START_US, Mishap::Loss(permille)),
            Trouble::Halves(ms) => {
                lean.plan_mishap(third, Mishap::Cut(true));
                lean.plan_mishap(third + 1000 * ms, Mishap::Cut(false));
            }
        }
    }
}

/// What came of a study. Times are means over the middle half of the jobs.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Longest task of a job, in milliseconds.
    pub ideal_ms: f64,
    /// From a job's arrival to the end of its last task, under one omniscient queue.
    pub central_ms: f64,
    /// The same in the mesh.
    pub mean_ms: f64,
    /// The same until the job's owner told its user.
    pub told_ms: f64,
    /// Of a hundred jobs ninety-nine were faster.
    pub p99_ms: f64,
    /// Messages a task without outcomes and acknowledgements.
    pub messages: f64,
    /// Outcomes and acknowledgements a task.
    pub end_messages: f64,
    /// Messages a task, by kind.
    pub kinds: Vec<(String, f64)>,
    /// Messages that a node says a second, while jobs come.
    pub node_messages: f64,
    /// Their bytes.
    pub node_bytes: f64,
    /// Gossips that a node hears a second.
    pub node_gossips: f64,
    /// Their bytes.
    pub node_gossip_bytes: f64,
    /// Messages and gossips that the busiest node said and heard a second.
    pub heaviest: f64,
    /// Executions.
    pub executed: u64,
    /// Ends told.
    pub ended: u64,
    /// Of them otherwise than done.
    pub undone: u64,
    /// Jobs that did not end.
    pub unended: u64,
    /// Leases that ended without an outcome.
    pub lost: u64,
    /// Awards refused.
    pub refused: u64,
    /// Introductions that came to nothing.
    pub misled: u64,
    /// Inputs that engines were told.
    pub inputs: u64,
    /// Virtual time in all, in seconds.
    pub virtual_s: f64,
}

impl Figures {
    /// How many times the longest task a job took.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.mean_ms / self.ideal_ms
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "ideal {:.1} ms, central {:.1} ms ({:.3}), mesh {:.1} ms ({:.3}), told {:.1} ms, p99 {:.1} ms",
            self.ideal_ms,
            self.central_ms,
            self.central_ms / self.ideal_ms,
            self.mean_ms,
            self.ratio(),
            self.told_ms,
            self.p99_ms
        )?;
        write!(f, "messages a task {:.2} and {:.2} of its end:", self.messages, self.end_messages)?;
        for (kind, count) in &self.kinds {
            write!(f, " {kind} {count:.3}")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "a node and second: {:.0} messages, {:.0} bytes; gossip {:.1}, {:.0} bytes; the busiest node {:.0}",
            self.node_messages, self.node_bytes, self.node_gossips, self.node_gossip_bytes, self.heaviest
        )?;
        write!(
            f,
            "executed {}, ended {} ({} not done), {} jobs open; lost {}, refused {}, misled {}; {} inputs, {:.1} s",
            self.executed,
            self.ended,
            self.undone,
            self.unended,
            self.lost,
            self.refused,
            self.misled,
            self.inputs,
            self.virtual_s
        )
    }
}

fn program() -> Program {
    Program {
        module: BlobId::of(b"sparrow"),
        module_bytes: 100_000,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Impure,
        limits: Limits::DEFAULT,
    }
}

fn longest(job: &LeanJob) -> u64 {
    job.tasks.iter().copied().max().map_or(0, u64::from)
}

fn mean_ms(all: impl Iterator<Item = u64>) -> f64 {
    let (sum, count) = all.fold((0.0, 0u32), |(sum, count), us| (sum + us as f64, count + 1));
    sum / f64::from(count.max(1)) / 1000.0
}

fn p99_ms(all: impl Iterator<Item = u64>) -> f64 {
    let mut all: Vec<u64> = all.collect();
    all.sort_unstable();
    all.get(all.len() * 99 / 100).copied().unwrap_or(0) as f64 / 1000.0
}
