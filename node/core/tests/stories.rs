//! A few engines in one process, joined by a perfect wire: what they say to each other, told as stories. Loss, delay
//! and crashes are the simulator's.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use weft_core::message::{Award, Bid, Class, Delivery, Grant, Needs, Reason};
use weft_core::snapshot::{Said, TaskView};
use weft_core::*;

const JOB: JobId = JobId(0xa11ce);

#[test]
fn a_lone_node_runs_its_own_tasks_without_asking_anybody() {
    let mut mesh = Mesh::of(&[2]);
    mesh.submit(0, 5);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 5);
    assert!(mesh.log.iter().all(|(_, _, message)| !matches!(message, Message::Call(_))), "nobody to call");
    mesh.assert_quiet();
}

#[test]
fn what_does_not_fit_locally_goes_to_peers_that_bid() {
    let mut mesh = Mesh::of(&[2, 2, 2]);
    mesh.submit(0, 12);
    assert_eq!(mesh.running(), [2, 2, 2], "two slots each, filled at once");
    mesh.run_all();
    assert_eq!(mesh.ended(0), 12);
    let mut workers: Vec<_> = mesh.events[0].iter().filter_map(worker_of).collect();
    workers.sort_unstable();
    workers.dedup();
    assert_eq!(workers.len(), 3, "everybody did some");
    mesh.assert_quiet();
}

#[test]
fn a_task_that_fits_at_home_is_not_called_out() {
    let mut mesh = Mesh::of(&[2, 2]);
    mesh.submit(0, 2);
    assert_eq!(mesh.running(), [2, 0]);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 2);
}

#[test]
fn tasks_of_a_dead_worker_are_leased_again_after_the_grace() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit(0, 2);
    assert_eq!(mesh.running(), [0, 1, 1]);
    mesh.kill(1);
    mesh.advance_ms(400);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0, "it may come back within the grace");
    mesh.advance_ms(200);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 1);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 2);
    mesh.assert_quiet();
}

#[test]
fn a_silent_workers_lease_runs_its_time() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.cut(0, 1, false);
    mesh.advance_ms(3500);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0);
    mesh.advance_ms(1000);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 1);
}

#[test]
fn a_renewed_lease_does_not_end() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    for _ in 0..100 {
        mesh.advance_ms(500);
    }
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0, "fifty seconds of renewals");
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

#[test]
fn an_outcome_of_a_lease_never_issued_is_refused() {
    let mut mesh = Mesh::of(&[0, 0]);
    mesh.submit(0, 1);
    let lease = LeaseId { job: JOB, index: 0, attempt: 1 };
    let forged = Message::Outcome(vec![Delivery { lease, report: Report::bare(Outcome::Done) }]);
    mesh.say(1, 0, forged);
    assert_eq!(mesh.ended(0), 0);
    assert_eq!(mesh.engines[0].snapshot().counters.forged, 1);
}

#[test]
fn a_doubled_outcome_counts_once() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.run_all();
    let outcome =
        mesh.log.iter().find(|(_, _, message)| matches!(message, Message::Outcome(_))).unwrap().2.clone();
    mesh.say(1, 0, outcome);
    assert_eq!(mesh.ended(0), 1);
    assert_eq!(mesh.engines[0].snapshot().counters.late, 1);
}

#[test]
fn a_cancelled_job_ends_at_once_and_its_workers_stop() {
    let mut mesh = Mesh::of(&[1, 1]);
    mesh.submit(0, 5);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    assert_eq!(mesh.ended(0), 5);
    assert_eq!(mesh.aborted, 2);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 5, "what ran on is not told twice");
    mesh.assert_quiet();
}

#[test]
fn an_award_beyond_its_bid_is_refused() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    let bid = mesh.log.iter().find_map(|(_, _, message)| {
        if let Message::Bid(Bid { bid, call, .. }) = message { Some((*bid, *call)) } else { None }
    });
    let (bid, call) = bid.unwrap();
    let lease = LeaseId { job: JOB, index: 7, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::empty() }];
    mesh.say(0, 1, Message::Award(Award { call, bid, lease_ms: 4000, left: 0, grants }));
    assert!(matches!(mesh.log.last(), Some((_, _, Message::Refuse { leases })) if leases == &[lease]));
    assert_eq!(mesh.running(), [0, 1]);
}

#[test]
fn a_task_that_nobody_fits_waits_and_says_why_and_starts_when_somebody_does() {
    let mut mesh = Mesh::of(&[1, 1]);
    let needs = Needs { labels: vec![("gpu".into(), "yes".into())] };
    mesh.submit_with(0, 1, |what| what.needs = needs);
    mesh.advance_ms(100);
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    assert_eq!(why.state, TaskView::Queued { before: 0 });
    let label = Reason::Label { name: "gpu".into(), wanted: "yes".into() };
    let said: Vec<_> = why.answers.iter().map(|answer| answer.said.clone()).collect();
    assert_eq!(said.len(), 2);
    assert!(
        said.iter().all(|said| [Said::Declined(label.clone()), Said::NotAsked(label.clone())].contains(said))
    );
    mesh.join(1, vec![("gpu".into(), "yes".into())]);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

#[test]
fn a_failed_task_is_tried_elsewhere_as_often_as_the_job_says() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.outcome = Outcome::Failed(Failure::Exit(3));
    mesh.submit_with(0, 1, |what| what.retries = 1);
    mesh.run_all();
    let Event::TaskEnded { report, attempts, .. } = &mesh.events[0][0] else { panic!("a task ended") };
    assert_eq!((report.outcome.clone(), *attempts), (Outcome::Failed(Failure::Exit(3)), 2));
    let executed: Vec<_> = mesh.engines.iter().map(|engine| engine.snapshot().counters.executed).collect();
    assert_eq!(executed, [0, 1, 1], "the second attempt went to the other node");
}

#[test]
fn an_urgent_job_overtakes_a_batch() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 10);
    mesh.submit_with(0, 1, |what| (what.job, what.class) = (JobId(2), Class::Realtime));
    mesh.run_some(1);
    mesh.run_some(1);
    assert!(mesh.events[0].iter().any(|event| matches!(event, Event::JobEnded { job: JobId(2) })));
}

#[test]
fn an_outcome_comes_home_through_gossip_when_its_worker_is_cut_off() {
    let mut mesh = Mesh::of(&[0, 1, 0]);
    mesh.submit(0, 1);
    mesh.cut(0, 1, false);
    for _ in 0..10 {
        mesh.advance_ms(500);
    }
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0, "renewals come through the third node");
    mesh.run_all();
    mesh.advance_ms(1100);
    assert_eq!(mesh.ended(0), 1);
    assert_eq!(mesh.engines[0].snapshot().counters.gossiped_home, 1);
    mesh.advance_ms(1100);
    assert_eq!(mesh.engines[1].snapshot().undelivered, 0, "the acknowledgement came back the same way");
}

// ---- helpers

/// Engines, a perfect wire, and slots that end when the test says so.
struct Mesh {
    now: Time,
    engines: Vec<Engine>,
    links: BTreeMap<(usize, usize), bool>,
    wire: VecDeque<(usize, usize, Message)>,
    air: VecDeque<(usize, Gossip)>,
    slots: Vec<Vec<RunId>>,
    events: Vec<Vec<Event>>,
    log: Vec<(usize, usize, Message)>,
    aborted: usize,
    outcome: Outcome,
}

impl Mesh {
    fn of(slots: &[u32]) -> Self {
        let mut mesh = Self {
            now: Time::ZERO,
            engines: Vec::new(),
            links: BTreeMap::new(),
            wire: VecDeque::new(),
            air: VecDeque::new(),
            slots: Vec::new(),
            events: Vec::new(),
            log: Vec::new(),
            aborted: 0,
            outcome: Outcome::Done,
        };
        for slots in slots {
            mesh.join(*slots, Vec::new());
        }
        mesh
    }

    fn join(&mut self, slots: u32, labels: Vec<(String, String)>) {
        let index = self.engines.len();
        let boot = index as u64 + 1;
        let node = NodeConfig { name: format!("n{index}"), slots, memory_bytes: 1 << 30, labels, boot };
        self.engines.push(Engine::new(id(index), MeshConfig::DEFAULT, node, id(index).0));
        self.slots.push(Vec::new());
        self.events.push(Vec::new());
        for other in 0..index {
            self.links.insert((other, index), true);
            self.links.insert((index, other), true);
            self.input(other, Input::PeerUp { peer: id(index), boot });
            self.input(index, Input::PeerUp { peer: id(other), boot: other as u64 + 1 });
        }
    }

    fn submit(&mut self, node: usize, tasks: usize) {
        self.submit_with(node, tasks, |_| ());
    }

    fn submit_with(&mut self, node: usize, tasks: usize, change: impl FnOnce(&mut Submission)) {
        let program = Program {
            module: BlobId::of(b"module"),
            module_bytes: 6,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        };
        let mut what = Submission {
            job: JOB,
            program: Arc::new(program),
            needs: Needs::default(),
            class: Class::Batch,
            retries: 0,
            inputs: vec![Payload::empty(); tasks],
            closed: true,
        };
        change(&mut what);
        self.input(node, Input::Command(Command::Submit(what)));
    }

    fn input(&mut self, node: usize, input: Input) {
        self.feed(node, input);
        self.carry();
    }

    fn say(&mut self, from: usize, to: usize, message: Message) {
        self.wire.push_back((from, to, message));
        self.carry();
    }

    /// Hands one input to one engine and performs what it asks for.
    fn feed(&mut self, node: usize, input: Input) {
        let effects: Vec<_> = self.engines[node].handle(self.now, input).collect();
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.wire.push_back((node, index(to), message)),
                Effect::Publish(gossip) => self.air.push_back((node, gossip)),
                Effect::Execute { run, .. } => self.slots[node].push(run),
                Effect::Abort(_) => self.aborted += 1,
                Effect::Fetch { blob, .. } => self.feed(node, Input::Fetched { blob, found: true }),
                Effect::Stash(_) => {}
                Effect::Notify(event) => self.events[node].push(event),
            }
        }
    }

    fn carry(&mut self) {
        loop {
            if let Some((from, to, message)) = self.wire.pop_front() {
                if self.links[&(from, to)] {
                    self.log.push((from, to, message.clone()));
                    self.feed(to, Input::Received { from: id(from), message });
                }
            } else if let Some((from, gossip)) = self.air.pop_front() {
                for to in self.reachable(from) {
                    self.feed(to, Input::Heard { origin: id(from), gossip: gossip.clone() });
                }
            } else {
                return;
            }
        }
    }

    /// Who hears the gossip of a node: whoever a chain of links leads to.
    fn reachable(&self, from: usize) -> Vec<usize> {
        let mut found = vec![from];
        for next in 0.. {
            let Some(&hop) = found.get(next) else { break };
            let onward = (0..self.engines.len()).filter(|to| self.links.get(&(hop, *to)) == Some(&true));
            let fresh: Vec<_> = onward.filter(|to| !found.contains(to)).collect();
            found.extend(fresh);
        }
        found.split_off(1)
    }

    /// Time passes; every engine is woken whenever it wants to be.
    fn advance_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        loop {
            let due =
                (0..self.engines.len()).filter_map(|n| Some((self.engines[n].next_wakeup()?.0, n))).min();
            match due.filter(|(at, _)| *at <= end) {
                Some((at, node)) => {
                    self.now = self.now.max(at);
                    self.input(node, Input::Wake);
                }
                None => break,
            }
        }
        self.now = end;
    }

    fn cut(&mut self, a: usize, b: usize, closed: bool) {
        self.links.insert((a, b), false);
        self.links.insert((b, a), false);
        self.input(a, Input::PeerDown { peer: id(b), closed });
        self.input(b, Input::PeerDown { peer: id(a), closed });
    }

    fn kill(&mut self, node: usize) {
        self.slots[node].clear();
        for other in (0..self.engines.len()).filter(|other| *other != node) {
            self.links.insert((other, node), false);
            self.links.insert((node, other), false);
            self.input(other, Input::PeerDown { peer: id(node), closed: true });
        }
    }

    /// Ends what runs on a node now.
    fn run_some(&mut self, node: usize) {
        let report = self.report();
        let ran: Vec<_> = self.slots[node].drain(..).map(|run| (run, report.clone())).collect();
        if !ran.is_empty() {
            self.input(node, Input::Ran(ran));
        }
    }

    /// Ends what runs, and what starts then, until nothing does.
    fn run_all(&mut self) {
        while self.slots.iter().any(|runs| !runs.is_empty()) {
            for node in 0..self.slots.len() {
                self.run_some(node);
            }
        }
    }

    fn report(&self) -> Report {
        let usage = Usage { wall_us: 50_000, ..Usage::default() };
        Report { usage, ..Report::bare(self.outcome.clone()) }
    }

    fn running(&self) -> Vec<usize> {
        self.slots.iter().map(Vec::len).collect()
    }

    fn ended(&self, node: usize) -> usize {
        self.events[node].iter().filter(|event| matches!(event, Event::TaskEnded { .. })).count()
    }

    fn assert_quiet(&self) {
        for (node, engine) in self.engines.iter().enumerate() {
            let audit = engine.audit();
            let open =
                (audit.held.len(), audit.reserved, audit.undelivered, audit.calls_open, audit.leases_open);
            if self.links.iter().any(|((from, _), up)| *from == node && *up) || self.engines.len() == 1 {
                assert_eq!(open, (0, 0, 0, 0, 0), "node {node}");
            }
        }
    }
}

fn worker_of(event: &Event) -> Option<PeerId> {
    match event {
        Event::TaskEnded { worker, .. } => *worker,
        Event::JobEnded { .. } | Event::Lost { .. } => None,
    }
}

fn id(index: usize) -> PeerId {
    PeerId([u8::try_from(index + 1).expect("a test has few nodes"); 32])
}

fn index(peer: PeerId) -> usize {
    usize::from(peer.0[0]) - 1
}
