//! What the engine itself costs, the slots and the network being this program. First a lone node that runs a batch of
//! tasks which take no time, by size; then a node among so many others, where everybody submits short tasks one by one
//! and each is placed here or there: these inputs are recorded and played again to a fresh engine, so that nothing
//! but the engine is timed. Prints microseconds per task, and inputs per second where an input is one
//! `Engine::handle` and the question when to wake it. The best of several rounds; processor time of the thread, where
//! the system tells it.
//!
//! `cargo bench -p weft-core`; no harness, plain timing.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints, and may panic")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use weft_core::message::{Ahead, Call, Capacity, Class, Delivery, Grant, Needs, Place};
use weft_core::{
    BidId, BlobId, CallId, Command, Effect, Engine, Entry, Event, Gossip, Input, JobId, LeaseId, Limits,
    MeshConfig, Message, NodeConfig, Outcome, Payload, PeerId, Policy, Profile, Program, Report, RunId,
    Submission, Terms, Time, Usage,
};

const ROUNDS: u64 = 5;
/// Inputs of one task in the batch, kept ahead as the node's API does.
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
    let plain = Terms { memo: false, ..Terms::default() };
    for tasks in [1_000, 100_000, 1_000_000] {
        batch(&format!("{tasks} tasks, 256 an input"), tasks, 0, plain);
    }
    batch("100000, beside 1,000 remembered results", 100_000, 1000, Terms::default());
    batch("100000, with receipts", 100_000, 0, Terms { receipts: true, ..plain });
}

fn crowds() {
    println!("{:<44} {:>10} {:>14}", "one of many nodes, tasks of 0.5 ms", "us a task", "inputs a second");
    for peers in [2, 9, 31, 63, 99] {
        let (tasks, before, timed) = Crowd::new(peers).run(60_000);
        let best = (0..ROUNDS).map(|_| replay(&before, timed.clone())).min().expect("there are rounds");
        print(&format!("{} nodes", peers + 1), (best, tasks, timed.len() as u64));
    }
}

/// What an engine was told, and when.
type Log = Vec<(Time, Input)>;

/// Nanoseconds, tasks, inputs.
type Cost = (u64, u64, u64);

fn print(what: &str, (nanos, tasks, inputs): Cost) {
    let each = nanos / tasks.max(1);
    let rate = inputs * 1_000_000_000 / nanos.max(1);
    println!("{what:<44} {:>7}.{:02} {rate:>14}", each / 1000, each % 1000 / 10);
}

fn batch(what: &str, tasks: u32, remembered: u32, terms: Terms) {
    // As many of the small ones as the clock can tell.
    let jobs = (100_000 / u64::from(tasks)).max(1);
    let run = |_| {
        let mut engine = engine();
        work(&mut engine, JobId(0), 0..remembered, Terms::default(), 60_000);
        let clock = Clock::start();
        let each = |job| work(&mut engine, JobId(job), remembered..remembered + tasks, terms, 2);
        let inputs = (1..=jobs).map(each).sum();
        (clock.stop(), jobs * u64::from(tasks), inputs)
    };
    print(what, (0..ROUNDS).map(run).min().expect("there are rounds"));
}

/// A clock that stands while others have the processor; any clock where there is none.
struct Clock(Instant, Option<u64>);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), on_cpu())
    }

    /// Nanoseconds.
    fn stop(&self) -> u64 {
        let spent = self.1.zip(on_cpu()).map(|(start, end)| end - start);
        spent.unwrap_or_else(|| u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Nanoseconds that this thread had a processor.
fn on_cpu() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn engine() -> Engine {
    let node = NodeConfig {
        name: "bench".into(),
        slots: 4,
        memory_bytes: 1 << 30,
        labels: Vec::new(),
        class_min: Class::Scavenger,
        boot: 1,
    };
    Engine::new(PeerId([1; 32]), MeshConfig::DEFAULT, node, [7; 32])
}

/// Submits one job and runs it to its end; each task is said to take so long.
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
                Effect::Fetch { blob, .. } => next.push_back(Input::Fetched { blob, found: true }),
                Effect::Sign { batch, .. } => next.push_back(Input::Signed { batch, signature: [0; 64] }),
                Effect::Notify(Event::TaskEnded { .. }) => (ended, owed) = (ended + 1, owed + 1),
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
    Submission {
        job,
        program: program(),
        needs: Needs::default(),
        class: Class::Batch,
        terms,
        policy: Policy::DEFAULT,
        inputs,
        closed: true,
    }
}

/// Plays what a crowd said to a fresh engine; nanoseconds that the second part took.
fn replay(before: &[(Time, Input)], timed: Log) -> u64 {
    let mut engine = engine();
    for (now, input) in before {
        drop(engine.handle(*now, input.clone()));
    }
    let clock = Clock::start();
    let mut wakes = 0;
    for (now, input) in timed {
        drop(engine.handle(now, input));
        wakes += u64::from(engine.next_wakeup().is_some());
    }
    let spent = clock.stop();
    assert!(wakes > 0, "leases end some day");
    spent
}

/// One engine, and everybody else: peers that run what they are given, and give this node as much to run.
struct Crowd {
    engine: Engine,
    now: Time,
    peers: Vec<Peer>,
    /// What will happen, in order.
    next: VecDeque<Input>,
    /// Tasks in the slots, ours or not.
    runs: VecDeque<RunId>,
    job: u64,
    /// What the engine was told.
    log: Log,
    ended: u64,
}

/// Somebody else, as far as it takes to be talked to.
struct Peer {
    id: PeerId,
    /// Of our tasks, how many it took and holds.
    taken: u64,
    held: Vec<LeaseId>,
    /// What this node takes of it, and how much of that was used.
    ahead: Option<Ahead>,
    placed: u64,
    acks: Vec<LeaseId>,
}

impl Crowd {
    fn new(count: u8) -> Self {
        let peers = (1..=count).map(|number| Peer {
            id: PeerId([number.wrapping_mul(37) | 1; 32].map(|byte| byte ^ number)),
            taken: 0,
            held: Vec::new(),
            ahead: None,
            placed: 0,
            acks: Vec::new(),
        });
        let mut crowd = Self {
            engine: engine(),
            now: Time::ZERO,
            peers: peers.collect(),
            next: VecDeque::new(),
            runs: VecDeque::new(),
            job: 0,
            log: Vec::new(),
            ended: 0,
        };
        for place in 0..crowd.peers.len() {
            let peer = crowd.peers.get(place).expect("it is one of them").id;
            crowd.tell(Input::PeerUp { peer, boot: 1 });
            crowd.tell(Input::Rtt { peer, rtt_us: 200 });
            let slots = 4;
            let capacity = Capacity {
                boot: 1,
                seq: 1,
                slots,
                free: slots,
                memory_bytes: 1 << 30,
                ..Capacity::default()
            };
            crowd.tell(Input::Heard { origin: peer, gossip: Gossip::Capacity(capacity) });
            // It has short tasks, so that this node bids to it; and takes some of ours.
            crowd.tell(Input::Received { from: peer, message: Message::Call(call(JobId(u64::MAX))) });
        }
        crowd
    }

    /// Submits so many tasks, each peer as many again in turn, and lets all end.
    /// How many tasks there were, and what the engine was told, before the first and after.
    fn run(mut self, tasks: u64) -> (u64, Log, Log) {
        self.submit();
        self.drain(0);
        for place in 0..self.peers.len() {
            self.say_ended(place);
        }
        let before = std::mem::take(&mut self.log);
        self.ended = 0;
        for number in 0..tasks {
            self.submit();
            let place = usize::try_from(number).unwrap_or(0) % self.peers.len();
            self.place(place);
            self.drain(6);
            self.now.0 += 300;
        }
        self.drain(0);
        let foreign: u64 = self.peers.iter().map(|peer| peer.placed).sum();
        assert!(self.ended >= tasks, "{} of {tasks} tasks ended", self.ended);
        (tasks + foreign, before, self.log)
    }

    fn submit(&mut self) {
        self.job += 1;
        let inputs = vec![Payload::inline(&self.job.to_le_bytes())];
        let terms = Terms { memo: false, ..Terms::default() };
        self.tell(Input::Command(Command::Submit(submission(
            JobId(self.job.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            inputs,
            terms,
        ))));
    }

    /// A peer gives this node a task, if it said that it takes one.
    fn place(&mut self, place: usize) {
        self.job += 1;
        let job = JobId(self.job);
        let Some(peer) = self.peers.get_mut(place) else { return };
        let Some(ahead) = peer.ahead.filter(|ahead| ahead.taken + u64::from(ahead.room) > peer.placed) else {
            return;
        };
        peer.placed += 1;
        let grants = vec![Grant {
            lease: LeaseId { job, index: 0, attempt: 1 },
            input: Payload::inline(&self.job.to_le_bytes()),
        }];
        let acks = std::mem::take(&mut peer.acks);
        let placed =
            Place { call: call(job), bid: ahead.bid, placed: peer.placed, lease_ms: 4000, acks, grants };
        let (from, message) = (peer.id, Message::Place(Box::new(placed)));
        self.tell(Input::Received { from, message });
    }

    /// Lets tasks end until so many are left in the slots, and peers answer for what they hold.
    fn drain(&mut self, left: usize) {
        while self.runs.len() > left {
            let Some(run) = self.runs.pop_front() else { break };
            self.tell(Input::Ran(vec![(run, report(500))]));
        }
        for place in 0..self.peers.len() {
            if self.peers.get(place).is_some_and(|peer| !peer.held.is_empty()) {
                self.say_ended(place);
            }
        }
    }

    fn say_ended(&mut self, place: usize) {
        let Some(peer) = self.peers.get_mut(place) else { return };
        let all = std::mem::take(&mut peer.held).into_iter();
        let all = all.map(|lease| Delivery { lease, report: report(500), memo: None, proof: None }).collect();
        let ahead = Ahead {
            bid: BidId(1),
            taken: peer.taken,
            room: 4,
            held: 3,
            slots: 4,
            ttl_ms: 2000,
            class_min: Class::Scavenger,
        };
        let from = peer.id;
        self.tell(Input::Received { from, message: Message::Ended { all, ahead } });
    }

    fn tell(&mut self, input: Input) {
        self.next.push_back(input);
        while let Some(input) = self.next.pop_front() {
            self.now.0 += 1;
            self.log.push((self.now, input.clone()));
            let effects: Vec<Effect> = self.engine.handle(self.now, input).collect();
            let wake = self.engine.next_wakeup();
            effects.into_iter().for_each(|effect| self.perform(effect));
            if wake.is_some_and(|(at, _)| at <= self.now) {
                self.next.push_back(Input::Wake);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Execute { run, .. } => self.runs.push_back(run),
            Effect::Fetch { blob, .. } => self.next.push_back(Input::Fetched { blob, found: true }),
            Effect::Notify(Event::TaskEnded { .. }) => self.ended += 1,
            Effect::Send { to, message } => self.hear(to, message),
            Effect::Notify(
                Event::JobEnded { .. }
                | Event::JobGivenUp { .. }
                | Event::Lost { .. }
                | Event::Printed { .. }
                | Event::Differed { .. }
                | Event::Refused { .. },
            )
            | Effect::Sign { .. }
            | Effect::Publish(_)
            | Effect::Abort(_)
            | Effect::Pause(_)
            | Effect::Resume(_)
            | Effect::Pin(_)
            | Effect::Unpin(_)
            | Effect::Stash(_) => {}
        }
    }

    fn hear(&mut self, to: PeerId, message: Message) {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == to) else { return };
        match message {
            Message::Place(place) => {
                peer.taken = place.placed;
                peer.held.extend(place.grants.iter().map(|grant| grant.lease));
            }
            Message::Ahead(ahead) => peer.ahead = Some(ahead),
            Message::Ended { all, ahead } => {
                peer.ahead = Some(ahead);
                peer.acks.extend(all.iter().map(|delivery| delivery.lease));
            }
            Message::Call(_)
            | Message::Withdraw(_)
            | Message::Bid(_)
            | Message::Decline(_)
            | Message::Award(_)
            | Message::Release(_)
            | Message::Refuse { .. }
            | Message::Renew(_)
            | Message::Outcome(_)
            | Message::Ack(_)
            | Message::Cancel(_)
            | Message::Cell(_)
            | Message::Printed { .. } => {}
        }
    }
}

fn call(job: JobId) -> Call {
    Call {
        call: CallId(job.0),
        job,
        program: program(),
        needs: Needs::default(),
        class: Class::Batch,
        terms: Terms { memo: false, ..Terms::default() },
        count: 1,
        service_us: 500,
        deadline_ms: None,
        waited_ms: 0,
    }
}
