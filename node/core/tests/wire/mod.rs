//! Engines in one process, connected by a perfect wire, and tasks that end when the test says so. Shared by the tests
//! of the core; each uses a part of it.
#![allow(dead_code, reason = "each test file uses a part")]
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod disk;
mod gathers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use disk::fold;
pub(crate) use disk::{Disk, Written};
use weft_core::durable::{LogRecord, Restored};
use weft_core::message::{Bid, Class, Message};
use weft_core::*;

pub(crate) const JOB: JobId = JobId(0xa11ce);

/// Engines, a perfect wire, and tasks that end when the test says so.
pub(crate) struct Mesh {
    pub(crate) now: Time,
    pub(crate) engines: Vec<Engine>,
    pub(crate) links: BTreeMap<(usize, usize), bool>,
    pub(crate) wire: VecDeque<(usize, usize, Message)>,
    pub(crate) air: VecDeque<(usize, Gossip)>,
    pub(crate) slots: Vec<Vec<RunId>>,
    pub(crate) paused: Vec<Vec<RunId>>,
    pub(crate) works: BTreeMap<(usize, RunId), Work>,
    pub(crate) events: Vec<Vec<Event>>,
    pub(crate) log: Vec<(usize, usize, Message)>,
    pub(crate) aborted: usize,
    pub(crate) outcome: Outcome,
    /// How long each task says that it ran, in microseconds.
    pub(crate) wall_us: u64,
    /// Tasks put out their input with one more byte, if it is inline; otherwise nothing.
    pub(crate) echo: bool,
    /// Fetches that wait for the test to answer them; `None` answers each at once.
    pub(crate) held_fetches: Option<Vec<(usize, BlobId, Vec<PeerId>)>>,
    /// Messages carried since the test last set it to zero; too many show an endless exchange.
    pub(crate) steps: usize,
    /// A pair (from, to) whose messages are lost.
    pub(crate) deaf: Option<(usize, usize)>,
    /// A node that misses every withdrawal.
    pub(crate) lose_withdraws_to: Option<usize>,
    /// A node whose acknowledgements are lost.
    pub(crate) lose_acks_from: Option<usize>,
    /// A node that bids for all tasks of every call at once. Its engine does not know the bid and refuses the award.
    pub(crate) bid_for_all: Vec<usize>,
    /// Batches that wait for the test to sign them; `None` signs each at once.
    pub(crate) unsigned: Option<Vec<(usize, u64, [u8; 32])>>,
    /// Pins of each blob on each node, unpins subtracted.
    pub(crate) pins: BTreeMap<(usize, BlobId), i32>,
    pub(crate) stashed: usize,
    /// What the stores of nodes keep that join from now on, in bytes.
    pub(crate) store_bytes: u64,
    /// What each node wrote, in order: what is on its disk, and what is not yet.
    pub(crate) disks: Vec<Disk>,
    /// Records reach the disk when the test says so; otherwise at once.
    pub(crate) lazy: bool,
    /// The number of each node's disk; 0 where it keeps no jobs of others.
    pub(crate) disk_numbers: Vec<u64>,
    /// Nodes that join from now on keep jobs of others.
    pub(crate) keep: bool,
    /// Logs that are read as a whole when the test says so; `None` reads each at once.
    pub(crate) held_recalls: Option<Vec<(usize, JobId)>>,
    /// Inputs that drivers were to make of results and that the test answers itself; they do so at once where there is nothing here.
    pub(crate) held_gathers: Option<Vec<gathers::Asked>>,
    /// A node that can't read its logs as a whole.
    pub(crate) unreadable: Option<usize>,
    /// Nodes that are switched off.
    off: BTreeSet<usize>,
    inputs: u64,
    boots: u64,
    boot_of: Vec<u64>,
}

impl Mesh {
    pub(crate) fn of(slots: &[u32]) -> Self {
        Self::at(Time::ZERO, slots)
    }

    /// Nodes with these slots that keep jobs, and know each other.
    pub(crate) fn keeping(slots: &[u32]) -> Self {
        let mut mesh = Self::of(&[]);
        mesh.keep = true;
        slots.iter().for_each(|slots| mesh.join(*slots, Vec::new()));
        mesh.advance_ms(1000);
        mesh
    }

    /// The same as [`Mesh::of`]; all begin then.
    pub(crate) fn at(now: Time, slots: &[u32]) -> Self {
        let mut mesh = Self {
            now,
            engines: Vec::new(),
            links: BTreeMap::new(),
            wire: VecDeque::new(),
            air: VecDeque::new(),
            slots: Vec::new(),
            paused: Vec::new(),
            works: BTreeMap::new(),
            events: Vec::new(),
            log: Vec::new(),
            aborted: 0,
            outcome: Outcome::Done,
            wall_us: 50_000,
            echo: false,
            held_fetches: None,
            steps: 0,
            deaf: None,
            lose_withdraws_to: None,
            lose_acks_from: None,
            bid_for_all: Vec::new(),
            unsigned: None,
            pins: BTreeMap::new(),
            stashed: 0,
            store_bytes: u64::MAX,
            disks: Vec::new(),
            lazy: false,
            disk_numbers: Vec::new(),
            keep: false,
            held_recalls: None,
            held_gathers: None,
            unreadable: None,
            off: BTreeSet::new(),
            inputs: 0,
            boots: 100,
            boot_of: Vec::new(),
        };
        for slots in slots {
            mesh.join(*slots, Vec::new());
        }
        mesh
    }

    pub(crate) fn join(&mut self, slots: u32, labels: Vec<(String, String)>) {
        let index = self.engines.len();
        let boot = index as u64 + 1;
        let disk = if self.keep { 1000 + boot } else { 0 };
        let node = NodeConfig { labels, store_bytes: self.store_bytes, disk, ..config(index, slots, boot) };
        self.disk_numbers.push(disk);
        self.boot_of.push(boot);
        self.engines.push(Engine::new(id(index), MeshConfig::DEFAULT, node, id(index).0));
        self.slots.push(Vec::new());
        self.paused.push(Vec::new());
        self.events.push(Vec::new());
        self.disks.push(Disk::default());
        for other in 0..index {
            self.links.insert((other, index), true);
            self.links.insert((index, other), true);
            self.input(other, Input::PeerUp { peer: id(index), boot, host: host(index) });
            self.input(
                index,
                Input::PeerUp { peer: id(other), boot: self.boot_of[other], host: host(other) },
            );
        }
    }

    pub(crate) fn submit(&mut self, node: usize, tasks: usize) {
        self.submit_with(node, tasks, |_| ());
    }

    /// This many inputs that no task had before.
    pub(crate) fn fresh_inputs(&mut self, tasks: usize) -> Vec<Payload> {
        let first = self.inputs;
        self.inputs += tasks as u64;
        (first..self.inputs).map(|number| Payload::inline(&number.to_le_bytes())).collect()
    }

    pub(crate) fn submit_with(&mut self, node: usize, tasks: usize, change: impl FnOnce(&mut Submission)) {
        let program = Program {
            module: BlobId::of(b"module"),
            module_bytes: 6,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        };
        let mut what = Submission::new(JOB, Arc::new(program), self.fresh_inputs(tasks));
        change(&mut what);
        self.input(node, Input::Command(Command::Submit(what)));
    }

    /// Passes one input to an engine, and what it says to the others.
    pub(crate) fn input(&mut self, node: usize, input: Input) {
        self.feed(node, input);
        self.settle();
    }

    /// Passes on what is said. What waits for further inputs before it is written does not wait: they are far apart here.
    fn settle(&mut self) {
        self.carry();
        while let Some((at, node)) = self.gathering() {
            self.now = self.now.max(at);
            self.feed(node, Input::Wake);
            self.carry();
        }
    }

    /// A node that waits for more ends of kept tasks before it has them written, and until when.
    fn gathering(&self) -> Option<(Time, usize)> {
        let on = (0..self.engines.len()).filter(|node| !self.off.contains(node));
        let due = on.filter_map(|node| Some((self.engines[node].next_wakeup()?, node)));
        due.filter(|((_, why), _)| *why == "what was gathered of kept jobs is written")
            .map(|((at, _), node)| (at, node))
            .min()
    }

    pub(crate) fn say(&mut self, from: usize, to: usize, message: Message) {
        self.wire.push_back((from, to, message));
        self.settle();
    }

    /// Passes one input to one engine and performs its effects.
    pub(crate) fn feed(&mut self, node: usize, input: Input) {
        if self.off.contains(&node) {
            return;
        }
        let effects: Vec<_> = self.engines[node].handle(self.now, input).collect();
        let mut answers = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.wire.push_back((node, index(to), message)),
                Effect::Publish(gossip) => self.air.push_back((node, gossip)),
                Effect::Execute { run, work } => {
                    self.slots[node].push(run);
                    self.works.insert((node, run), work);
                }
                Effect::Abort(run) => {
                    self.aborted += 1;
                    self.unpause(node, run);
                }
                Effect::Pause(run) => {
                    let before = self.slots[node].len();
                    self.slots[node].retain(|other| *other != run);
                    assert_eq!(self.slots[node].len() + 1, before, "only what runs is paused");
                    self.paused[node].push(run);
                }
                Effect::Resume(run) => assert!(self.unpause(node, run), "only what is paused is resumed"),
                Effect::Sign { batch, root } => {
                    if let Some(all) = &mut self.unsigned {
                        all.push((node, batch, root));
                    } else {
                        self.feed(node, Input::Signed { batch, signature: signature(root) });
                    }
                }
                Effect::Fetch { blob, from, bytes: _ } => {
                    if let Some(all) = &mut self.held_fetches {
                        all.push((node, blob, from));
                    } else if self.keep {
                        answers.push(Input::Fetched { blob, fetched: Fetched::Here });
                    } else {
                        self.feed(node, Input::Fetched { blob, fetched: Fetched::Here });
                    }
                }
                Effect::Pin(blob) => *self.pins.entry((node, blob)).or_default() += 1,
                Effect::Unpin(blob) => *self.pins.entry((node, blob)).or_default() -= 1,
                Effect::Stash(_) => self.stashed += 1,
                Effect::Notify(event) => self.events[node].push(event),
                Effect::Remember { known, gone } => self.disks[node].remember(known, &gone),
                Effect::Retain { outcomes, gone } => self.disks[node].retain(outcomes, &gone),
                Effect::Persist { ticket, job, record, bytes } => {
                    self.write(node, ticket, job, Written::Record(encoded(&record, bytes.as_deref())));
                }
                Effect::Forget { ticket, job, remains } => {
                    self.write(node, ticket, job, Written::Forget(remains));
                }
                Effect::Cut { ticket, job, after } => self.write(node, ticket, job, Written::Cut(after)),
                Effect::Promise { ticket, job, epoch } => {
                    self.write(node, ticket, job, Written::Promise(epoch));
                }
                Effect::ReadLog { reader, job, from, bytes_max: _ } => {
                    let records =
                        self.disks[node].log(job).into_iter().skip(from as usize - 1).take(2).collect();
                    answers.push(Input::LogRead { reader, job, from, records: Some(records) });
                }
                asked @ Effect::Gather { .. } => answers.extend(self.gather(node, asked)),
                Effect::Recall { job } => match &mut self.held_recalls {
                    Some(all) => all.push((node, job)),
                    None => answers.push(self.recalled(node, job)),
                },
            }
        }
        let synced = self.sync_at_once(node);
        synced.into_iter().chain(answers).for_each(|answer| self.feed(node, answer));
    }

    /// What a node's log says now.
    fn recalled(&self, node: usize, job: JobId) -> Input {
        let restored = fold(self.disks[node].log(job)).into_restored().ok();
        Input::Recalled { job, restored: restored.filter(|_| self.unreadable != Some(node)) }
    }

    /// Reads the logs that were to be read, as they are now, and all further ones at once.
    pub(crate) fn read_logs(&mut self) {
        for (node, job) in self.held_recalls.take().unwrap_or_default() {
            let recalled = self.recalled(node, job);
            self.input(node, recalled);
        }
    }

    /// Unless the test says when, what was written is on the disk at once.
    fn sync_at_once(&mut self, node: usize) -> Option<Input> {
        let disk = &mut self.disks[node];
        let upto = disk.written.last().map_or(0, |(ticket, ..)| *ticket);
        let is_new = !self.lazy && upto > disk.synced;
        is_new.then(|| {
            disk.sync(upto);
            Input::Persisted { upto }
        })
    }

    fn write(&mut self, node: usize, ticket: u64, job: JobId, what: Written) {
        let disk = &mut self.disks[node];
        assert_eq!(ticket, disk.written.last().map_or(0, |(last, ..)| *last) + 1, "tickets rise by one");
        disk.written.push((ticket, job, what));
    }

    /// All that a node wrote reaches its disk.
    pub(crate) fn sync(&mut self, node: usize) {
        if let Some((upto, ..)) = self.disks[node].written.last().cloned() {
            self.sync_upto(node, upto);
        }
    }

    pub(crate) fn sync_upto(&mut self, node: usize, upto: u64) {
        self.disks[node].sync(upto);
        self.input(node, Input::Persisted { upto });
    }

    /// The records that a node wrote in this life.
    pub(crate) fn records(&self, node: usize) -> Vec<LogRecord> {
        let bytes = self.disks[node].written.iter().filter_map(|(.., what)| what.record());
        bytes.map(|bytes| LogRecord::decode(bytes).expect("an owner wrote it")).collect()
    }

    /// How often a node started again.
    pub(crate) fn lives(&self, node: usize) -> u64 {
        self.disks[node].lives
    }

    /// A node dies and starts again, with what is on its disk; its peers see it go and come.
    pub(crate) fn restart(&mut self, node: usize, slots: u32) {
        self.kill(node);
        self.paused[node].clear();
        self.works.retain(|(of, _), _| *of != node);
        self.wire.retain(|(from, to, _)| *from != node && *to != node);
        self.off.remove(&node);
        self.boots += 1;
        let boot = self.boots;
        self.boot_of[node] = boot;
        let me = id(node);
        let config = NodeConfig { disk: self.disk_numbers[node], ..config(node, slots, boot) };
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&boot.to_le_bytes());
        self.engines[node] = Engine::new(me, MeshConfig::DEFAULT, config, seed);
        let disk = &mut self.disks[node];
        (disk.written, disk.synced, disk.lives) = (Vec::new(), 0, disk.lives + 1);
        let remembered = self.disks[node].remembered.clone();
        if !remembered.is_empty() {
            self.input(node, Input::Remembered(remembered));
        }
        let retained: Vec<Retained> = self.disks[node].retained.values().cloned().collect();
        if !retained.is_empty() {
            self.input(node, Input::Retained(retained));
        }
        let (forgotten, left) = (self.disks[node].tombstones.clone(), self.disks[node].left.clone());
        self.input(node, Input::RestoreGone { forgotten, left, knows_all: true });
        for job in self.disks[node].logs.iter().map(|(job, _)| *job).collect::<Vec<_>>() {
            // What was never told to be accepted is of no use.
            let restored = self.disks[node].try_fold_of(me, job);
            let promised = self.disks[node].promises.get(&job).copied().unwrap_or(0);
            let is_shared =
                |job: &Restored| job.trio().is_some() || job.pair().is_some_and(|pair| pair.is_copied_by(me));
            let input = restored.map(|job| match is_shared(&job) {
                true => Input::RestoreKept { promised, job },
                false => Input::Restore(job),
            });
            input.into_iter().for_each(|input| self.input(node, input));
        }
        for other in (0..self.engines.len()).filter(|other| *other != node) {
            self.links.insert((other, node), true);
            self.links.insert((node, other), true);
            self.input(other, Input::PeerUp { peer: me, boot, host: host(node) });
            if !self.off.contains(&other) {
                self.input(
                    node,
                    Input::PeerUp { peer: id(other), boot: self.boot_of[other], host: host(other) },
                );
            }
        }
    }

    /// A node is switched off, and does nothing until it is started again.
    pub(crate) fn switch_off(&mut self, node: usize) {
        self.kill(node);
        self.paused[node].clear();
        self.works.retain(|(of, _), _| *of != node);
        self.off.insert(node);
    }

    /// All that was on a node's disk is lost: it starts with another one.
    pub(crate) fn wipe(&mut self, node: usize) {
        self.disks[node] = Disk { lives: self.disks[node].lives, ..Disk::default() };
        self.disk_numbers[node] += 1000;
    }

    /// Two nodes are connected again.
    pub(crate) fn join_again(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            self.links.insert((one, other), true);
        }
        for (one, other) in [(a, b), (b, a)] {
            self.input(one, Input::PeerUp { peer: id(other), boot: self.boot_of[other], host: host(other) });
        }
    }

    /// Puts a paused execution back into its slot; false if it is not paused.
    fn unpause(&mut self, node: usize, run: RunId) -> bool {
        let place = self.paused[node].iter().position(|paused| *paused == run);
        if let Some(place) = place {
            let run = self.paused[node].remove(place);
            self.slots[node].push(run);
        }
        place.is_some()
    }

    pub(crate) fn carry(&mut self) {
        loop {
            self.steps += 1;
            if self.steps > 20_000 {
                panic!("the wire is never quiet; last: {:?}", self.log.last());
            }
            if let Some((from, to, message)) = self.wire.pop_front() {
                if self.deaf == Some((from, to)) {
                    continue;
                }
                if self.lose_acks_from == Some(from) && matches!(message, Message::Ack(_)) {
                    continue;
                }
                if self.lose_withdraws_to == Some(to) && matches!(message, Message::Withdraw(_)) {
                    continue;
                }
                if let Message::Call(call) = &message
                    && self.bid_for_all.contains(&to)
                {
                    self.wire.push_back((to, from, bid_for_all(call.call)));
                }
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

    /// Nodes that get the gossip of a node: all that are connected to it, directly or through others.
    pub(crate) fn reachable(&self, from: usize) -> Vec<usize> {
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
    pub(crate) fn advance_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        loop {
            let on = (0..self.engines.len()).filter(|node| !self.off.contains(node));
            let due = on.filter_map(|n| Some((self.engines[n].next_wakeup()?.0, n))).min();
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

    pub(crate) fn cut(&mut self, a: usize, b: usize, closed: bool) {
        self.links.insert((a, b), false);
        self.links.insert((b, a), false);
        self.input(a, Input::PeerDown { peer: id(b), closed });
        self.input(b, Input::PeerDown { peer: id(a), closed });
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.slots[node].clear();
        for other in (0..self.engines.len()).filter(|other| *other != node) {
            self.links.insert((other, node), false);
            self.links.insert((node, other), false);
            self.input(other, Input::PeerDown { peer: id(node), closed: true });
        }
    }

    /// Blobs that are pinned on a node now.
    pub(crate) fn pinned(&self, node: usize) -> Vec<BlobId> {
        let pins = self.pins.iter().filter(|((of, _), count)| *of == node && **count != 0);
        pins.map(|((_, blob), _)| *blob).collect()
    }

    /// Ends one execution with this report.
    pub(crate) fn end(&mut self, node: usize, run: RunId, report: Report) {
        self.slots[node].retain(|other| *other != run);
        self.input(node, Input::Ran(vec![(run, report)]));
    }

    /// The last end of a task that a node reported; there must be one.
    pub(crate) fn last_end(&self, node: usize) -> &Event {
        let ends = self.events[node].iter().rev();
        ends.clone().find(|event| matches!(event, Event::TaskEnded { .. })).expect("a task ended")
    }

    /// Ends what runs on a node now.
    pub(crate) fn run_some(&mut self, node: usize) {
        let runs = std::mem::take(&mut self.slots[node]);
        let ran: Vec<_> = runs.into_iter().map(|run| (run, self.report_of(node, run))).collect();
        if !ran.is_empty() {
            self.input(node, Input::Ran(ran));
        }
    }

    /// Ends what runs, and what starts then, until nothing runs.
    pub(crate) fn run_all(&mut self) {
        while self.slots.iter().any(|runs| !runs.is_empty()) {
            for node in 0..self.slots.len() {
                self.run_some(node);
            }
        }
    }

    /// What an execution ends with.
    pub(crate) fn report_of(&self, node: usize, run: RunId) -> Report {
        let mut report = self.report();
        if let Some(Payload::Inline(input)) = self.works.get(&(node, run)).map(|work| &work.input)
            && self.echo
        {
            report.output = Payload::inline(&[input, [1].as_slice()].concat());
        }
        report
    }

    pub(crate) fn report(&self) -> Report {
        let usage = Usage { wall_us: self.wall_us, ..Usage::default() };
        Report { usage, ..Report::bare(self.outcome.clone()) }
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        self.slots.iter().map(Vec::len).collect()
    }

    pub(crate) fn ended(&self, node: usize) -> usize {
        self.events[node].iter().filter(|event| matches!(event, Event::TaskEnded { .. })).count()
    }

    pub(crate) fn assert_quiet(&self) {
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

fn config(index: usize, slots: u32, boot: u64) -> NodeConfig {
    NodeConfig {
        name: format!("n{index}"),
        slots,
        memory_bytes: 1 << 30,
        module_bytes: u64::MAX,
        store_bytes: u64::MAX,
        labels: Vec::new(),
        class_min: Class::Scavenger,
        disk: 0,
        boot,
        owners: Owners::All,
    }
}

/// A bid for more slots than any node has.
pub(crate) fn bid_for_all(call: CallId) -> Message {
    let (bid, ttl_ms) = (BidId(7), u32::MAX);
    Message::Bid(Bid { call, bid, slots: u32::MAX, start_in_us: 0, warm: true, ttl_ms })
}

pub(crate) fn worker_of(event: &Event) -> Option<PeerId> {
    match event {
        Event::TaskEnded { worker, .. } => *worker,
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
        | Event::Leased { .. } => None,
    }
}

/// A placeholder for a signature of this root.
pub(crate) fn signature(root: [u8; 32]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&root);
    signature
}

pub(crate) fn id(index: usize) -> PeerId {
    PeerId([u8::try_from(index + 1).expect("a test has few nodes"); 32])
}

/// Each node is a machine of its own.
pub(crate) fn host(index: usize) -> Host {
    Host::At([u8::try_from(index + 1).expect("a test has few nodes"); 16])
}

pub(crate) fn index(peer: PeerId) -> usize {
    usize::from(peer.0[0]) - 1
}

/// The bytes of a record, which are those that came with it, if any did.
fn encoded(record: &LogRecord, bytes: Option<&[u8]>) -> Vec<u8> {
    let encoded = record.encode();
    assert!(bytes.is_none_or(|bytes| *bytes == encoded), "other bytes than the record's");
    encoded
}
