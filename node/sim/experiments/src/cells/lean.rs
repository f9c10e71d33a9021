//! A lean driver for meshes of ten thousand engines: virtual time and the same two doors as a [`weft_sim::World`], but
//! one delay for all links, tasks that carry their running time, and no invariants after each event: the swarms of a
//! few hosts check those. Engines know their cell; other peers are connected on demand. Driven by [`super::study`].

mod net;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use weft_core::{
    Command, Effect, Engine, Event, Fetched, Gossip, Input, MeshConfig, Message, NodeConfig, Outcome,
    Payload, PeerId, Report, RunId, Submission, Time, Usage, cell_of, cells_for,
};

use super::tally::Tally;
use weft_sim::Chance;

/// One message of this many is encoded to measure its length.
const WEIGHED: u64 = 16;

/// The parameters of a lean mesh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeanSpec {
    pub(crate) seed: u64,
    pub(crate) nodes: u32,
    pub(crate) slots: u32,
    /// One-way delay of all links, in microseconds.
    pub(crate) delay_us: u64,
    pub(crate) mesh: MeshConfig,
}

/// A fault of a lean mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The matchmakers of this number of cells die and do not come back.
    Crash(usize),
    /// This many messages per thousand are lost, from now on.
    Loss(u32),
    /// True: no message passes between the two halves of the nodes. False: all pass again.
    Cut(bool),
    /// The matchmakers of this number of cells match no worker any more.
    Silent(usize),
    /// The matchmakers of this number of cells match workers with bids that do not exist.
    Forge(usize),
}

/// Whether a node sends the messages of its engine, drops its matches, or forges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Honest,
    Silent,
    Forges,
}

struct Host {
    engine: Option<Engine>,
    peer: PeerId,
    cell: u32,
    conduct: Conduct,
    /// Executions that have a slot.
    busy: Vec<RunId>,
    waiting: VecDeque<(RunId, u64, u32)>,
    wake_at: u64,
    said: u64,
    heard: u64,
}

enum Word {
    Message(Message),
    Gossip(Arc<Gossip>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Agenda {
    Ran { host: u32, run: RunId, job: u32 },
    Aborted { host: u32, run: RunId },
    Wake { host: u32 },
    Submit { owner: u32, job: u32 },
    Mishap(usize),
}

/// One job, as the study sees it.
#[derive(Clone, Debug)]
pub(crate) struct LeanJob {
    pub(crate) at_us: u64,
    pub(crate) owner: u32,
    pub(crate) tasks: Vec<u32>,
    pub(crate) left: u32,
    /// When its last task ended at its worker, in microseconds.
    pub(crate) ended_us: u64,
    /// When its owner reported its end, in microseconds.
    pub(crate) told_us: Option<u64>,
}

/// The mesh.
pub(crate) struct Lean {
    spec: LeanSpec,
    hosts: Vec<Host>,
    /// The nodes of each cell, dead ones included.
    mates: Vec<Vec<u32>>,
    now: u64,
    wire: VecDeque<(u64, u32, u32, Word)>,
    soon: VecDeque<(u32, Input)>,
    agenda: BinaryHeap<Reverse<(u64, u64, Agenda)>>,
    planned: u64,
    pub(crate) jobs: Vec<LeanJob>,
    mishaps: Vec<Mishap>,
    loss_permille: u32,
    cut: bool,
    chance: Chance,
    effects: Vec<Effect>,
    program: Arc<weft_core::Program>,
    pub(crate) tally: Tally,
}

impl Lean {
    pub(crate) fn new(spec: LeanSpec, program: weft_core::Program) -> Self {
        let mut chance = Chance::new(spec.seed, "lean");
        let cells = cells_for(spec.nodes, spec.mesh.full_mesh, spec.mesh.cell_nodes);
        let mut mates = vec![Vec::new(); cells.max(1) as usize];
        let mut hosts = Vec::new();
        for number in 0..spec.nodes {
            let mut id = chance.seed();
            id[28..].copy_from_slice(&number.to_le_bytes());
            let peer = PeerId(id);
            let cell = cell_of(peer, cells);
            mates[cell as usize].push(number);
            let node = NodeConfig {
                name: String::new(),
                slots: spec.slots,
                memory_bytes: 1 << 30,
                module_bytes: u64::MAX,
                store_bytes: u64::MAX,
                labels: Vec::new(),
                class_min: weft_core::message::Class::Scavenger,
                disk: 0,
                boot: u64::from(number) + 1,
                owners: weft_core::Owners::All,
            };
            let engine = Some(Engine::new(peer, spec.mesh, node, chance.seed()));
            hosts.push(Host {
                engine,
                peer,
                cell,
                conduct: Conduct::Honest,
                busy: Vec::new(),
                waiting: VecDeque::new(),
                wake_at: u64::MAX,
                said: 0,
                heard: 0,
            });
        }
        let mut lean = Self {
            spec,
            hosts,
            mates,
            now: 0,
            wire: VecDeque::new(),
            soon: VecDeque::new(),
            agenda: BinaryHeap::new(),
            planned: 0,
            jobs: Vec::new(),
            mishaps: Vec::new(),
            loss_permille: 0,
            cut: false,
            chance,
            effects: Vec::new(),
            program: Arc::new(program),
            tally: Tally::default(),
        };
        lean.connect();
        lean
    }

    /// Every node hears how large the mesh is, and is connected with its cell.
    /// The number of messages and gossips that each node has sent and received so far.
    pub(crate) fn traffic(&self) -> Vec<(u64, u64)> {
        self.hosts.iter().map(|host| (host.said, host.heard)).collect()
    }

    pub(crate) fn engines(&self) -> impl Iterator<Item = &Engine> {
        self.hosts.iter().filter_map(|host| host.engine.as_ref())
    }

    /// Runs the mesh until that time or, with `all_told`, until the end of every job was reported.
    pub(crate) fn run_until(&mut self, until_us: u64, all_told: bool) {
        while let Some(at) = self.next_at().filter(|at| *at <= until_us) {
            self.now = at;
            self.step();
            if all_told && self.tally.jobs_told == self.jobs.len() as u64 {
                return;
            }
        }
        self.now = self.now.max(until_us);
    }

    fn next_at(&self) -> Option<u64> {
        let wire = self.wire.front().map(|(at, ..)| *at);
        let agenda = self.agenda.peek().map(|Reverse((at, ..))| *at);
        wire.into_iter().chain(agenda).min()
    }

    fn step(&mut self) {
        let agenda = self.agenda.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
        if self.wire.front().is_some_and(|(at, ..)| *at <= agenda) {
            let Some((_, from, to, word)) = self.wire.pop_front() else { return };
            self.arrive(from, to, word);
        } else if let Some(Reverse((_, _, what))) = self.agenda.pop() {
            self.happen(what);
        }
        while let Some((host, input)) = self.soon.pop_front() {
            self.tell(host, input);
        }
    }

    fn arrive(&mut self, from: u32, to: u32, word: Word) {
        let origin = self.hosts[from as usize].peer;
        self.hosts[to as usize].heard += 1;
        match word {
            Word::Message(message) => self.tell(to, Input::Received { from: origin, message }),
            Word::Gossip(gossip) => self.tell(to, Input::Heard { origin, gossip: Gossip::clone(&gossip) }),
        }
    }

    fn happen(&mut self, what: Agenda) {
        match what {
            Agenda::Ran { host, run, job } => self.on_ran(host, run, job),
            Agenda::Aborted { host, run } => {
                let at = &mut self.hosts[host as usize];
                let had = at.busy.len() + at.waiting.len();
                at.busy.retain(|busy| *busy != run);
                at.waiting.retain(|(waiting, _, _)| *waiting != run);
                if at.busy.len() + at.waiting.len() < had {
                    self.fill_slots(host);
                    self.tell(host, Input::Ran(vec![(run, Report::bare(Outcome::Cancelled))]));
                }
            }
            Agenda::Wake { host } => {
                let at = &mut self.hosts[host as usize];
                if at.wake_at <= self.now {
                    at.wake_at = u64::MAX;
                    self.tell(host, Input::Wake);
                }
            }
            Agenda::Submit { owner, job } => {
                let submission = self.submission(job);
                self.tell(owner, Input::Command(Command::Submit(submission)));
            }
            Agenda::Mishap(number) => self.suffer(self.mishaps[number]),
        }
    }

    fn submission(&self, job: u32) -> Submission {
        let tasks = (0u32..).zip(&self.jobs[job as usize].tasks);
        let inputs = tasks.map(|(index, service)| {
            let words = [job, *service, index].map(u32::to_le_bytes);
            Payload::inline(words.as_flattened())
        });
        let (name, program) = (weft_core::JobId(u64::from(job)), Arc::clone(&self.program));
        let terms = weft_core::Terms { memo: weft_core::Recall::Off, receipts: false, stream: false };
        Submission { terms, ..Submission::new(name, program, inputs.collect()) }
    }

    fn on_ran(&mut self, host: u32, run: RunId, job: u32) {
        let at = &mut self.hosts[host as usize];
        let Some(place) = at.busy.iter().position(|busy| *busy == run) else { return };
        at.busy.swap_remove(place);
        if at.engine.is_none() {
            return;
        }
        self.fill_slots(host);
        self.tally.executed += 1;
        let job = &mut self.jobs[job as usize];
        job.left = job.left.saturating_sub(1);
        job.ended_us = job.ended_us.max(self.now);
        let wall_us = u64::from(job.tasks.first().copied().unwrap_or(0));
        let usage = Usage { wall_us, ..Usage::default() };
        let report = Report { usage, output: Payload::inline(b"done"), ..Report::bare(Outcome::Done) };
        self.tell(host, Input::Ran(vec![(run, report)]));
    }

    fn fill_slots(&mut self, host: u32) {
        let slots = self.spec.slots as usize;
        let at = &mut self.hosts[host as usize];
        let mut begun = Vec::new();
        while at.busy.len() < slots {
            let Some((run, service_us, job)) = at.waiting.pop_front() else { break };
            at.busy.push(run);
            begun.push((run, service_us, job));
        }
        for (run, service_us, job) in begun {
            self.agenda_at(self.now + service_us, Agenda::Ran { host, run, job });
        }
    }

    fn agenda_at(&mut self, at: u64, what: Agenda) {
        self.planned += 1;
        self.agenda.push(Reverse((at, self.planned, what)));
    }

    // ---- engines

    fn tell(&mut self, host: u32, input: Input) {
        let mut effects = std::mem::take(&mut self.effects);
        let now = Time(self.now);
        let at = &mut self.hosts[host as usize];
        if let Some(engine) = &mut at.engine {
            self.tally.inputs += 1;
            effects.extend(engine.handle(now, input));
        }
        for effect in effects.drain(..) {
            self.perform(host, effect);
        }
        self.effects = effects;
        let at = &mut self.hosts[host as usize];
        let wanted = at.engine.as_ref().and_then(Engine::next_wakeup).map(|(at, _)| at.0.max(self.now + 1));
        if let Some(wanted) = wanted.filter(|wanted| *wanted < at.wake_at) {
            at.wake_at = wanted;
            self.agenda_at(wanted, Agenda::Wake { host });
        }
    }

    fn perform(&mut self, host: u32, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(host, to, message),
            Effect::Publish(gossip) => self.publish(host, gossip),
            Effect::Execute { run, work } => {
                let Payload::Inline(bytes) = &work.input else { return };
                let word = |at: usize| {
                    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
                    four.map_or(0, u32::from_le_bytes)
                };
                self.hosts[host as usize].waiting.push_back((run, u64::from(word(4)), word(0)));
                self.fill_slots(host);
            }
            Effect::Abort(run) => self.agenda_at(self.now + 100, Agenda::Aborted { host, run }),
            Effect::Fetch { blob, .. } => {
                self.soon.push_back((host, Input::Fetched { blob, fetched: Fetched::Here }));
            }
            Effect::Notify(event) => self.on_event(event),
            Effect::Pin(_)
            | Effect::Unpin(_)
            | Effect::Stash(_)
            | Effect::Remember { .. }
            | Effect::Retain { .. } => {}
            Effect::Pause(_)
            | Effect::Resume(_)
            | Effect::Sign { .. }
            | Effect::Persist { .. }
            | Effect::Forget { .. }
            | Effect::Cut { .. }
            | Effect::Promise { .. }
            | Effect::ReadLog { .. }
            | Effect::Gather { .. }
            | Effect::Recall { .. } => {
                panic!("a lean mesh has one class, no receipts, and jobs in memory")
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::TaskEnded { report, .. } => {
                self.tally.ended += 1;
                self.tally.undone += u64::from(report.outcome != Outcome::Done);
            }
            Event::JobEnded { job } => {
                self.tally.jobs_told += 1;
                let job = usize::try_from(job.0).expect("jobs are numbered");
                self.jobs[job].told_us = Some(self.now);
            }
            Event::Lost { .. } => self.tally.lost += 1,
            Event::Printed { .. } | Event::Leased { .. } => {}
            Event::JobGivenUp { .. }
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
            | Event::Keepers { .. } => {
                panic!("a lean mesh's jobs ask for nothing special")
            }
        }
    }
}
