//! The reference policies for sub-millisecond tasks, as models: an owner chooses a node by its estimate of all nodes'
//! queues. Every node submits; the response goes back to the owner. No processor time, no loss.

use std::collections::VecDeque;

use super::LanTrace;
use crate::agenda::Agenda;
use weft_sim::Chance;

/// How an owner chooses the node of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A random node.
    Random,
    /// The better of two random nodes, by a snapshot of the mesh with this interval, in microseconds.
    Gossip(u64),
    /// The better of two random nodes, which are asked first.
    Probe,
    /// By a table of the owner's tasks in flight and of the queue lengths that responses report.
    Table {
        /// Whether a task runs on its owner if a slot is free there, or if it would wait no longer there than elsewhere.
        local_first: bool,
        /// Whether two random rows are compared instead of all.
        two_rows: bool,
    },
}

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LanFigures {
    /// Mean response, in milliseconds.
    pub mean_ms: f64,
    /// 99th percentile of the response, in milliseconds.
    pub p99_ms: f64,
    /// Messages per task, with its response, without gossip.
    pub messages: f64,
    /// Every response of the measured part, in microseconds, sorted.
    pub responses_us: Vec<u64>,
}

impl LanFigures {
    /// Figures from each task's submission and response time. The first fifth is not measured.
    #[must_use]
    pub fn new(mut responses: Vec<(u64, u64)>, messages: u64) -> Self {
        responses.sort_unstable();
        let tasks = responses.len().max(1) as f64;
        let measured = responses.iter().skip(responses.len() / 5);
        let mut responses_us: Vec<u64> = measured.map(|(_, took)| *took).collect();
        responses_us.sort_unstable();
        Self {
            mean_ms: crate::sparrow::meter::mean_ms(&responses_us),
            p99_ms: crate::sparrow::meter::percentile_ms(&responses_us, 99.0),
            messages: messages as f64 / tasks,
            responses_us,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives(u32),
    /// The two nodes that a task's owner asked reply with their queues.
    Probed {
        task: u32,
        one: u32,
        other: u32,
    },
    TaskAt {
        node: u32,
        task: u32,
    },
    Ended {
        node: u32,
        task: u32,
    },
    /// A response with the load of its node.
    Answer {
        node: u32,
        task: u32,
        load: u32,
        told_us: u64,
    },
    Gossip,
}

#[derive(Clone, Debug, Default)]
struct Node {
    running: u32,
    queue: VecDeque<u32>,
}

impl Node {
    fn load(&self) -> u32 {
        self.running + self.queue.len() as u32
    }
}

/// An owner's estimate of one node's queue.
#[derive(Clone, Debug, Default)]
struct Row {
    reported: u32,
    /// When the owner sent the tasks that the last report did not include.
    sent: VecDeque<u64>,
}

impl Row {
    fn learn(&mut self, load: u32, told_us: u64, delay_us: u64) {
        self.reported = load;
        while self.sent.front().is_some_and(|at| *at + delay_us <= told_us) {
            self.sent.pop_front();
        }
    }

    fn estimate(&self) -> u32 {
        self.reported + self.sent.len() as u32
    }
}

struct Run<'a> {
    trace: &'a LanTrace,
    policy: Policy,
    agenda: Agenda<Event>,
    chance: Chance,
    nodes: Vec<Node>,
    /// Estimates by owner, then by node.
    table: Vec<Vec<Row>>,
    snapshot: Vec<u32>,
    responses: Vec<(u64, u64)>,
    messages: u64,
}

/// Interval at which gossip updates all rows of all tables, in microseconds.
const TABLE_GOSSIP_US: u64 = 100_000;

/// Runs a trace.
#[must_use]
pub fn run(trace: &LanTrace, policy: Policy, seed: u64) -> LanFigures {
    let nodes = trace.shape.workers;
    let mut run = Run {
        trace,
        policy,
        agenda: Agenda::new(),
        chance: Chance::new(seed, "lan"),
        nodes: vec![Node::default(); nodes],
        table: vec![vec![Row::default(); nodes]; nodes],
        snapshot: vec![0; nodes],
        responses: Vec::new(),
        messages: 0,
    };
    for (task, (at, _, _)) in (0u32..).zip(&trace.tasks) {
        run.agenda.at(*at, Event::Arrives(task));
    }
    match policy {
        Policy::Random | Policy::Probe => {}
        Policy::Gossip(every_us) => run.agenda.after(every_us, Event::Gossip),
        Policy::Table { .. } => run.agenda.after(TABLE_GOSSIP_US, Event::Gossip),
    }
    while run.responses.len() < trace.tasks.len() {
        let Some(event) = run.agenda.pop() else { break };
        run.happen(event);
    }
    LanFigures::new(run.responses, run.messages)
}

impl Run<'_> {
    fn owner(&self, task: u32) -> usize {
        self.trace.tasks[task as usize].1 as usize
    }

    fn happen(&mut self, event: Event) {
        let delay = self.trace.shape.delay_us;
        match event {
            Event::Arrives(task) => self.place(task),
            Event::Probed { task, one, other } => {
                let load = |node: u32| self.nodes[node as usize].load();
                let node = if load(one) <= load(other) { one } else { other };
                self.messages += 4;
                self.agenda.after(delay, Event::TaskAt { node, task });
                self.messages += 1;
            }
            Event::TaskAt { node, task } => {
                self.nodes[node as usize].queue.push_back(task);
                self.fill(node);
            }
            Event::Ended { node, task } => {
                self.nodes[node as usize].running -= 1;
                self.fill(node);
                let (told_us, load) = (self.agenda.now(), self.nodes[node as usize].load());
                let answer = Event::Answer { node, task, load, told_us };
                if self.owner(task) == node as usize {
                    self.agenda.at(told_us, answer);
                } else {
                    self.messages += 1;
                    self.agenda.after(delay, answer);
                }
            }
            Event::Answer { node, task, load, told_us } => {
                let owner = self.owner(task);
                self.table[owner][node as usize].learn(load, told_us, delay);
                let at = self.trace.tasks[task as usize].0;
                self.responses.push((at, self.agenda.now() - at));
            }
            Event::Gossip => self.on_gossip(),
        }
    }

    fn on_gossip(&mut self) {
        let (now, delay) = (self.agenda.now(), self.trace.shape.delay_us);
        self.snapshot = self.nodes.iter().map(Node::load).collect();
        if let Policy::Gossip(every_us) = self.policy {
            self.agenda.after(every_us, Event::Gossip);
            return;
        }
        for rows in &mut self.table {
            for (row, load) in rows.iter_mut().zip(&self.snapshot) {
                row.learn(*load, now, delay);
            }
        }
        self.agenda.after(TABLE_GOSSIP_US, Event::Gossip);
    }

    fn place(&mut self, task: u32) {
        let (owner, nodes) = (self.owner(task), self.nodes.len());
        let two = (self.chance.index(nodes), self.chance.index(nodes));
        let node = match self.policy {
            Policy::Random => two.0,
            Policy::Gossip(_) => {
                let told = |node: usize| self.snapshot[node];
                if told(two.0) <= told(two.1) { two.0 } else { two.1 }
            }
            Policy::Probe => {
                let delay = self.trace.shape.delay_us;
                let (one, other) = (two.0 as u32, two.1 as u32);
                // A round trip; the reply is as old as the way back.
                self.agenda.after(2 * delay, Event::Probed { task, one, other });
                return;
            }
            Policy::Table { local_first, two_rows } => self.by_table(owner, local_first, two_rows),
        };
        if node == owner {
            self.nodes[node].queue.push_back(task);
            self.fill(node as u32);
            return;
        }
        self.messages += 1;
        let now = self.agenda.now();
        self.table[owner][node].sent.push_back(now);
        self.agenda.after(self.trace.shape.delay_us, Event::TaskAt { node: node as u32, task });
    }

    fn by_table(&mut self, owner: usize, local_first: bool, two_rows: bool) -> usize {
        let slots = self.trace.shape.slots as u32;
        let here = self.nodes[owner].load();
        if local_first && here < slots {
            return owner;
        }
        let node = self.best_row(owner, two_rows);
        if local_first {
            let shape = &self.trace.shape;
            let wait =
                |load: u32| u64::from((load + 1).saturating_sub(slots)) * shape.mean_us / u64::from(slots);
            let there = if node == owner { here } else { self.table[owner][node].estimate() };
            return if wait(there) + 2 * shape.delay_us >= wait(here) { owner } else { node };
        }
        node
    }

    /// The row with the least estimate, ties by chance.
    fn best_row(&mut self, owner: usize, two_rows: bool) -> usize {
        let nodes = self.nodes.len();
        let here = self.nodes[owner].load();
        let table = &self.table[owner];
        let estimate = |node: usize| if node == owner { here } else { table[node].estimate() };
        if two_rows {
            let (one, other) = (self.chance.index(nodes), self.chance.index(nodes));
            return if estimate(one) <= estimate(other) { one } else { other };
        }
        let least = (0..nodes).map(estimate).min().unwrap_or(0);
        let ties: Vec<usize> = (0..nodes).filter(|node| estimate(*node) == least).collect();
        ties[self.chance.index(ties.len())]
    }

    fn fill(&mut self, number: u32) {
        let node = &mut self.nodes[number as usize];
        while node.running < self.trace.shape.slots as u32
            && let Some(task) = node.queue.pop_front()
        {
            node.running += 1;
            let ends = self.agenda.now() + u64::from(self.trace.tasks[task as usize].2);
            self.agenda.at(ends, Event::Ended { node: number, task });
        }
    }
}
