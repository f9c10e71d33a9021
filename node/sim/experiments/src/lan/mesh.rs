//! A lean world for experiments: the engines of a node behind the same two doors, on a quiet network, without faults and
//! without invariants. It only measures; [`weft_sim::World`] checks the invariants.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_core::message::Class;
use weft_core::{
    BlobId, Command, Effect, Engine, Entry, Event as Told, Fetched, Gossip, Input, JobId, Limits, MeshConfig,
    Message, NodeConfig, Outcome, Payload, PeerId, Profile, Program, Report, RunId, Submission, Time, Usage,
};

use super::slots::{Begun, Slots};
use crate::agenda::Agenda;
use weft_sim::Chance;

/// An event of a host.
#[derive(Debug)]
enum Event {
    /// Its user has one more task, with this running time, in microseconds.
    Wants(u32),
    /// Its user submits a job of its own.
    Submits(Box<Submission>),
    Received {
        from: usize,
        message: Message,
    },
    Heard {
        from: usize,
        gossip: Arc<Gossip>,
    },
    /// An execution ends, if it still has the slot of this turn, which counts from 1.
    Ran(RunId, u32),
    Aborted(RunId),
    Fetched(BlobId),
    Wake,
}

#[derive(Debug)]
struct Host {
    engine: Engine,
    job: JobId,
    /// When each of its tasks was submitted, in microseconds.
    submitted: Vec<u64>,
    slots: Slots,
    wake_at: Option<u64>,
}

/// A full mesh of engines.
#[derive(Debug)]
pub struct LeanMesh {
    delay_us: u64,
    agenda: Agenda<(usize, Event)>,
    chance: Chance,
    hosts: Vec<Host>,
    peers: Vec<PeerId>,
    program: Arc<Program>,
    /// For each ended task: its time of submission, and how long until its end was reported at the owner, in microseconds.
    pub responses: Vec<(u64, u64)>,
    /// The number of messages between peers, without gossip.
    pub messages: u64,
    /// The number of published gossips, each of which reaches all hosts.
    pub gossips: u64,
    /// The number of inputs that engines handled.
    pub inputs: u64,
    /// The number of executions that were begun.
    pub executions: u64,
    /// For each submitted job: its submission, the number of ended tasks, and the end of the last one; times are in
    /// microseconds.
    pub jobs: BTreeMap<JobId, (u64, usize, u64)>,
    /// The number of messages of each kind, in the order of [`KINDS`].
    pub kinds: [u64; KINDS.len()],
}

/// Kinds of messages that are counted separately.
pub const KINDS: [&str; 16] = [
    "call", "withdraw", "bid", "decline", "award", "release", "refuse", "renew", "outcome", "ack", "cancel",
    "other", "cells", "ahead", "ended", "place",
];

impl LeanMesh {
    /// `hosts` connected hosts of `slots` slots each, with a one-way delay of `delay_us` microseconds. Every host owns an
    /// open job.
    #[must_use]
    pub fn new(hosts: usize, slots: u32, delay_us: u64, seed: u64) -> Self {
        Self::with_slots(&vec![slots; hosts], delay_us, seed)
    }

    /// The same, with a number of slots for each host.
    #[must_use]
    pub fn with_slots(slots: &[u32], delay_us: u64, seed: u64) -> Self {
        let hosts = slots.len();
        let mut chance = Chance::new(seed, "mesh");
        let peers: Vec<PeerId> = (0..hosts).map(|_| PeerId(chance.seed())).collect();
        let mut mesh = Self {
            delay_us,
            agenda: Agenda::new(),
            chance: Chance::new(seed, "jobs"),
            hosts: Vec::new(),
            program: Arc::new(program()),
            peers,
            responses: Vec::new(),
            messages: 0,
            gossips: 0,
            inputs: 0,
            executions: 0,
            jobs: BTreeMap::new(),
            kinds: [0; KINDS.len()],
        };
        for (number, slots) in slots.iter().copied().enumerate() {
            let node = NodeConfig {
                name: format!("host-{number}"),
                slots,
                memory_bytes: 1 << 30,
                module_bytes: u64::MAX,
                store_bytes: u64::MAX,
                labels: Vec::new(),
                class_min: Class::Scavenger,
                disk: 0,
                boot: 1 + number as u64,
                owners: weft_core::Owners::All,
            };
            let engine = Engine::new(mesh.peers[number], MeshConfig::DEFAULT, node, chance.seed());
            let job = JobId(chance.any());
            mesh.hosts.push(Host {
                engine,
                job,
                submitted: Vec::new(),
                slots: Slots::new(slots),
                wake_at: None,
            });
        }
        for number in 0..hosts {
            mesh.introduce(number);
        }
        mesh
    }

    fn introduce(&mut self, number: usize) {
        let rtt_us = 2 * self.delay_us as u32;
        for other in (0..self.peers.len()).filter(|other| *other != number) {
            let peer = self.peers[other];
            self.tell(number, Input::PeerUp { peer, boot: 1 + other as u64, host: weft_core::Host::Unknown });
            self.tell(number, Input::Rtt { peer, rtt_us });
        }
        let submission = Submission { closed: false, ..self.submission(self.hosts[number].job) };
        self.tell(number, Input::Command(Command::Submit(submission)));
    }

    /// A closed job without tasks.
    fn submission(&self, job: JobId) -> Submission {
        Submission::new(job, Arc::clone(&self.program), Vec::new())
    }

    /// Plans that a host's user submits a job at that time, with tasks of these running times; all in microseconds. The
    /// last argument sets the rest of the submission.
    pub fn submit(
        &mut self,
        at_us: u64,
        host: usize,
        services: &[u32],
        wishes: impl Fn(&mut Submission),
    ) -> JobId {
        let job = JobId(self.chance.any());
        let mut submission = self.submission(job);
        let inputs = (0u64..).zip(services).map(|(number, service_us)| input(*service_us, number << 20));
        submission.inputs = inputs.collect();
        wishes(&mut submission);
        self.jobs.insert(job, (at_us, 0, at_us));
        self.agenda.at(at_us, (host, Event::Submits(Box::new(submission))));
        job
    }

    /// Makes a host's tasks slower by the factor `times`.
    pub fn slow(&mut self, host: usize, times: u32) {
        self.hosts[host].slots.slowness = times;
    }

    /// Plans one more task of a host's user at that time, with this running time; both in microseconds.
    pub fn want(&mut self, at_us: u64, host: usize, service_us: u32) {
        self.agenda.at(at_us, (host, Event::Wants(service_us)));
    }

    /// Runs the mesh until this number of tasks has ended, or until that time, in microseconds. True if they have ended.
    pub fn run(&mut self, tasks: usize, until_us: u64) -> bool {
        while self.responses.len() < tasks && self.agenda.now() < until_us {
            let Some((host, event)) = self.agenda.pop() else { break };
            self.happen(host, event);
        }
        self.responses.len() >= tasks
    }

    /// The time, in microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.agenda.now()
    }

    fn happen(&mut self, host: usize, event: Event) {
        let input = match event {
            Event::Wants(service_us) => {
                let now = self.agenda.now();
                let Host { job, submitted, .. } = &mut self.hosts[host];
                let number = (host as u64) << 40 | submitted.len() as u64;
                submitted.push(now);
                let inputs = vec![input(service_us, number)];
                Input::Command(Command::Extend { job: *job, inputs })
            }
            Event::Submits(submission) => Input::Command(Command::Submit(*submission)),
            Event::Received { from, message } => Input::Received { from: self.peers[from], message },
            Event::Heard { from, gossip } => {
                Input::Heard { origin: self.peers[from], gossip: Gossip::clone(&gossip) }
            }
            Event::Ran(run, turn) => {
                if !self.hosts[host].slots.is_due(run, turn) {
                    return;
                }
                let Some(service_us) = self.take(host, run) else { return };
                let usage = Usage { wall_us: u64::from(service_us), ..Usage::default() };
                Input::Ran(vec![(run, Report { usage, ..Report::bare(Outcome::Done) })])
            }
            Event::Aborted(run) => {
                if self.take(host, run).is_none() {
                    return;
                }
                Input::Ran(vec![(run, Report::bare(Outcome::Cancelled))])
            }
            Event::Fetched(blob) => Input::Fetched { blob, fetched: Fetched::Here },
            Event::Wake => {
                if self.hosts[host].wake_at != Some(self.agenda.now()) {
                    return;
                }
                self.hosts[host].wake_at = None;
                Input::Wake
            }
        };
        self.tell(host, input);
    }

    fn tell(&mut self, number: usize, input: Input) {
        self.inputs += 1;
        let now = self.agenda.now();
        let effects: Vec<Effect> = self.hosts[number].engine.handle(Time(now), input).collect();
        for effect in effects {
            self.perform(number, effect);
        }
        let host = &mut self.hosts[number];
        let wake = host.engine.next_wakeup().map(|(at, _)| at.0.max(now + 1));
        if host.wake_at != wake {
            host.wake_at = wake;
            wake.into_iter().for_each(|at| self.agenda.at(at, (number, Event::Wake)));
        }
    }

    fn perform(&mut self, number: usize, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                self.messages += 1;
                self.kinds[kind(&message)] += 1;
                let to = self.peers.iter().position(|peer| *peer == to).expect("only members are known");
                self.agenda.after(self.delay_us, (to, Event::Received { from: number, message }));
            }
            Effect::Publish(gossip) => {
                self.gossips += 1;
                let gossip = Arc::new(gossip);
                for other in (0..self.peers.len()).filter(|other| *other != number) {
                    let heard = Event::Heard { from: number, gossip: Arc::clone(&gossip) };
                    self.agenda.after(self.delay_us, (other, heard));
                }
            }
            Effect::Execute { run, work } => {
                self.executions += 1;
                let Payload::Inline(bytes) = &work.input else { return };
                let service = bytes.first_chunk::<4>().expect("inputs are made here");
                self.hosts[number].slots.put(run, u32::from_le_bytes(*service));
                self.fill(number);
            }
            Effect::Abort(run) => self.agenda.at(self.agenda.now(), (number, Event::Aborted(run))),
            Effect::Pause(run) => {
                let now = self.agenda.now();
                self.hosts[number].slots.pause(run, now);
                self.fill(number);
            }
            Effect::Resume(run) => {
                self.hosts[number].slots.resume(run);
                self.fill(number);
            }
            Effect::Fetch { blob, .. } => self.agenda.at(self.agenda.now(), (number, Event::Fetched(blob))),
            Effect::Notify(Told::TaskEnded { job, .. }) if self.jobs.contains_key(&job) => {
                let now = self.agenda.now();
                let (submitted, ended, last) = self.jobs.entry(job).or_default();
                *ended += 1;
                *last = now;
                self.responses.push((*submitted, now - *submitted));
            }
            Effect::Notify(Told::TaskEnded { index, .. }) => {
                let submitted = self.hosts[number].submitted[index as usize];
                self.responses.push((submitted, self.agenda.now() - submitted));
            }
            Effect::Sign { .. }
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
            | Effect::Retain { .. }
            | Effect::Notify(_) => {}
        }
    }

    /// Begins waiting executions in a host's free slots.
    fn fill(&mut self, number: usize) {
        for Begun { run, turn, ends } in self.hosts[number].slots.fill(self.agenda.now()) {
            self.agenda.at(ends, (number, Event::Ran(run, turn)));
        }
    }

    /// An execution leaves a host's slots. Returns its running time, in microseconds.
    fn take(&mut self, number: usize, run: RunId) -> Option<u32> {
        let service_us = self.hosts[number].slots.take(run);
        self.fill(number);
        service_us
    }
}

/// An input with its task's running time and a number that makes it unique.
fn input(service_us: u32, number: u64) -> Payload {
    Payload::inline(&[service_us.to_le_bytes().as_slice(), &number.to_le_bytes()].concat())
}

fn kind(message: &Message) -> usize {
    match message {
        Message::Call(_) => 0,
        Message::Withdraw(_) => 1,
        Message::Bid(_) => 2,
        Message::Decline(_) => 3,
        Message::Award(_) => 4,
        Message::Release(_) => 5,
        Message::Refuse { .. } => 6,
        Message::Renew(_) => 7,
        Message::Outcome(_) => 8,
        Message::Ack(_) => 9,
        Message::Cancel(_) => 10,
        Message::Printed { .. }
        | Message::Stopped { .. }
        | Message::GivenBack { .. }
        | Message::Custody(_)
        | Message::Lead(_)
        | Message::AskHolding(_)
        | Message::Holding(_)
        | Message::AskEnds(_)
        | Message::JobEnds(_) => 11,
        Message::Cell(_) => 12,
        Message::Credit(_) => 13,
        Message::Ended { .. } => 14,
        Message::Assign(_) => 15,
    }
}

fn program() -> Program {
    Program {
        module: BlobId::of(b"module"),
        module_bytes: 6,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Impure,
        // No task reaches its time limit.
        limits: Limits { wall_ms: Limits::MAX.wall_ms, ..Limits::DEFAULT },
    }
}
