//! One study: jobs drawn from a seed, run by the mesh and by one omniscient queue, and the figures of both.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use weft_core::{BlobId, Entry, Limits, MeshConfig, Payload, Profile, Program};

use super::lean::{Lean, LeanJob, LeanSpec, Mishap};
use super::tally::Kind;
use crate::trace::{Durations, Shape, Trace};
use weft_sim::Chance;

/// One-way delay of the network, in microseconds, as in Sparrow's simulation.
const DELAY_US: u64 = 500;
/// Mean running time of a task, in microseconds, as in Sparrow's simulation.
const MEAN_US: u64 = 100_000;
/// Time of the first job, in microseconds: all connections are open by then.
pub(super) const START_US: u64 = 2_500_000;
/// How long after the last job all tasks must have ended, in microseconds.
pub(super) const REST_US: u64 = 120_000_000;

/// The distribution of running times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One exponential draw a job, shared by its tasks.
    ExpJobs,
    /// All tasks run equally long.
    Constant,
}

/// The nodes that submit jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// All nodes, drawn for each job.
    All,
    /// This number of nodes.
    Few(u32),
}

/// The fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No fault.
    None,
    /// The matchmakers of this number of cells die.
    Crash(usize),
    /// The matchmakers of this number of cells match no worker.
    Silent(usize),
    /// The matchmakers of this number of cells match bids that do not exist.
    Forge(usize),
    /// This many messages per thousand are lost, from the first job on.
    Loss(u32),
    /// The mesh is cut into two halves for this time, in milliseconds.
    Halves(u64),
}

/// The parameters of a study.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    /// The seed of the trace and of the mesh.
    pub seed: u64,
    /// The number of nodes.
    pub nodes: u32,
    /// The number of slots of a node.
    pub slots: u32,
    /// Load: the share of all slots' time that the jobs take, in percent.
    pub load_percent: u32,
    /// The number of jobs.
    pub jobs: u32,
    /// The number of tasks of a job.
    pub tasks: u32,
    /// The distribution of running times.
    pub work: Work,
    /// The nodes that submit jobs.
    pub owners: Owners,
    /// The fault of the run.
    pub trouble: Trouble,
    /// The settings of the mesh.
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

    /// Runs the study.
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
        let (refused, mismatched) = counters.fold((0, 0), |(refused, mismatched), counters| {
            (refused + counters.refused, mismatched + counters.mismatched)
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
            mismatched,
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

    /// The jobs: the trace that `weft-experiments run sparrow` draws from this seed, and the owner of each job.
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

    /// One omniscient queue: each task goes to the slot that is free first, half a round trip to start it and half to
    /// learn of its end. Returns the response times in microseconds, by job.
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

/// The figures of a study. Times are means over the middle half of the jobs.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Running time of a job's longest task, in milliseconds.
    pub ideal_ms: f64,
    /// From a job's arrival to the end of its last task, under one omniscient queue.
    pub central_ms: f64,
    /// The same in the mesh.
    pub mean_ms: f64,
    /// The same until the owner reported the end to its user.
    pub told_ms: f64,
    /// 99th percentile of the same, in milliseconds.
    pub p99_ms: f64,
    /// Messages per task, without outcomes and acknowledgements.
    pub messages: f64,
    /// Outcomes and acknowledgements per task.
    pub end_messages: f64,
    /// Messages per task, by kind.
    pub kinds: Vec<(String, f64)>,
    /// Messages that a node sends per second, while jobs arrive.
    pub node_messages: f64,
    /// Bytes of those messages per second.
    pub node_bytes: f64,
    /// Gossips that a node receives per second.
    pub node_gossips: f64,
    /// Bytes of those gossips per second.
    pub node_gossip_bytes: f64,
    /// Messages and gossips that the busiest node sent and received per second.
    pub heaviest: f64,
    /// The number of executions.
    pub executed: u64,
    /// The number of tasks whose end was reported.
    pub ended: u64,
    /// The number of those that did not end as done.
    pub undone: u64,
    /// The number of jobs that did not end.
    pub unended: u64,
    /// The number of leases that ended without an outcome.
    pub lost: u64,
    /// The number of refused awards.
    pub refused: u64,
    /// The number of matches that did not lead to a lease.
    pub mismatched: u64,
    /// The number of inputs that engines handled.
    pub inputs: u64,
    /// Virtual time at the end, in seconds.
    pub virtual_s: f64,
}

impl Figures {
    /// A job's mean time divided by that of its longest task.
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
            "executed {}, ended {} ({} not done), {} jobs open; lost {}, refused {}, mismatched {}; {} inputs, {:.1} s",
            self.executed,
            self.ended,
            self.undone,
            self.unended,
            self.lost,
            self.refused,
            self.mismatched,
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
