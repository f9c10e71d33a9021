//! One simulated machine: an engine, the fake ports around it, and what survives when its process dies (the name, the
//! blobs). The world drives it; nothing here plans events.

mod clock;
mod spec;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use weft_core::message::Credit;
use weft_core::{
    Audit, BlobId, CallId, Command, Engine, Host, Input, LeaseId, MeshConfig, NodeConfig, Payload, PeerId,
    Retained, RetainedKey, RunId, Time, Work, log::Header,
};

use crate::chance::Chance;
use crate::credit_invariants::CreditModel;
use crate::disk::Disk;
use crate::leases::Owed;
use crate::mesh::Fence;
pub use spec::{Guests, HostSpec};

/// Most inputs that a paused process queues; further messages are dropped.
const PILE_MAX: usize = 20_000;

/// Memory that every machine provides for one task, in bytes.
pub(crate) const MEMORY_BYTES: u64 = 1 << 30;

/// Parts per million: the rate of a clock without error.
const SECOND_PPM: i64 = 1_000_000;

/// A host, by its number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// A bid that was sent and may still be in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) ends: Time,
    pub(crate) slots: u32,
}

/// An execution in the slots.
#[derive(Debug)]
pub(crate) struct SimRun {
    pub(crate) work: Work,
    /// The running time that is left when it next gets a slot; `None` before it first had one.
    pub(crate) left: Option<Duration>,
    /// When it ends, while it has a slot.
    pub(crate) ends: Option<Time>,
    /// Whether it was paused and not resumed.
    pub(crate) paused: bool,
    /// Whether it was told to end.
    pub(crate) aborted: bool,
    /// Counts how often it got a slot.
    pub(crate) turn: u32,
}

/// A simulated machine.
#[derive(Debug)]
pub(crate) struct SimHost {
    pub(crate) id: HostId,
    pub(crate) peer: PeerId,
    pub(crate) spec: HostSpec,
    /// `None` while its process is dead.
    pub(crate) engine: Option<Engine>,
    /// The configuration of its last process, as its log begins.
    pub(crate) header: Option<Header>,
    /// Counts its processes.
    pub(crate) life: u32,
    pub(crate) boot: u64,
    /// Its engine's zero: when its process started, or the world if its jobs outlive it.
    pub(crate) born: Time,
    /// What it wrote of its jobs.
    pub(crate) disk: Disk,
    /// Its engine takes over the jobs of an earlier process.
    pub(crate) restoring: bool,
    /// Its engine knows that the disk has little room for jobs; and that a write failed.
    pub(crate) disk_low: bool,
    pub(crate) journal_failed: bool,
    /// Whether its disk is full.
    pub(crate) is_full: bool,
    /// It is lost with its disk, for ever.
    pub(crate) is_gone: bool,
    pub(crate) paused: bool,
    pub(crate) pile: VecDeque<Input>,
    /// Blobs on its disk.
    pub(crate) blobs: BTreeSet<BlobId>,
    /// Blobs that it must not evict, and how often it asked for that.
    pub(crate) pins: BTreeMap<BlobId, u32>,
    /// Executions that were handed to its slots.
    pub(crate) runs: BTreeMap<RunId, SimRun>,
    /// Executions that wait for a slot, first come first served.
    pub(crate) waiting: VecDeque<RunId>,
    /// When it is woken next.
    pub(crate) wake_at: Option<Time>,
    /// The number of wakes in a row after each of which the engine asked to be woken again at once.
    pub(crate) hasty: u32,
    /// The factor by which executions are slower than usual.
    pub(crate) slowness: u32,
    /// Bids of this process that may be in force.
    pub(crate) promises: Vec<Promise>,
    /// Standing bids of this process that may be in force, by owner.
    pub(crate) standing: BTreeMap<PeerId, Promise>,
    /// Bids since the last award, within one second from `vain_since` on.
    pub(crate) vain: u32,
    pub(crate) vain_since: Time,
    /// Its engine's last audit, and the leases that it had issued by the one before.
    pub(crate) audit: Option<Audit>,
    pub(crate) issued: Vec<(PeerId, LeaseId)>,
    /// As a worker: leases held and outcomes kept by the audit before.
    pub(crate) answerable: Vec<(PeerId, LeaseId)>,
    /// The same: the epochs of jobs at level `mesh` of which it began something.
    pub(crate) fence: Fence,
    /// As an owner: acknowledgements that it owes.
    pub(crate) owed: Owed,
    /// Bids that are advertised to it, and nodes that it named liars.
    pub(crate) credit_model: CreditModel,
    /// The process of each peer that it met last.
    pub(crate) boots: BTreeMap<PeerId, u64>,
    /// Connected peers and their addresses, as its engine was told.
    pub(crate) places: BTreeMap<PeerId, Host>,
    /// Peers whose connections were closed and are not open again, and since when.
    pub(crate) closed: BTreeMap<PeerId, Time>,
    /// When its process was last resumed.
    pub(crate) resumed_at: Time,
    /// Whether its user ended it: it gets no further input, and its process ends soon.
    pub(crate) stopping: bool,
    /// Whether its user told it to take no new work.
    pub(crate) drains: bool,
    /// The last call that it heard, and its owner: a liar's false bids name it.
    pub(crate) last_call: Option<(HostId, CallId)>,
    /// The last standing bid that it was given, and by whom: what a liar in its place would place too much on.
    pub(crate) last_credit: Option<(HostId, Credit)>,
}

impl SimHost {
    pub(crate) fn new(id: HostId, peer: PeerId, spec: HostSpec) -> Self {
        Self {
            id,
            peer,
            spec,
            engine: None,
            header: None,
            life: 0,
            boot: 0,
            born: Time::ZERO,
            disk: Disk::default(),
            restoring: false,
            disk_low: false,
            journal_failed: false,
            is_full: false,
            is_gone: false,
            paused: false,
            pile: VecDeque::new(),
            blobs: BTreeSet::new(),
            pins: BTreeMap::new(),
            runs: BTreeMap::new(),
            waiting: VecDeque::new(),
            wake_at: None,
            hasty: 0,
            slowness: 1,
            promises: Vec::new(),
            standing: BTreeMap::new(),
            vain: 0,
            vain_since: Time::ZERO,
            audit: None,
            issued: Vec::new(),
            fence: Fence::default(),
            owed: Owed::default(),
            credit_model: CreditModel::default(),
            answerable: Vec::new(),
            boots: BTreeMap::new(),
            places: BTreeMap::new(),
            closed: BTreeMap::new(),
            resumed_at: Time::ZERO,
            stopping: false,
            drains: false,
            last_call: None,
            last_credit: None,
        }
    }

    /// Starts a new process; only the disk and the name are kept.
    pub(crate) fn start(
        &mut self,
        now: Time,
        mesh: MeshConfig,
        peer: impl Fn(&HostId) -> PeerId,
        chance: &mut Chance,
    ) {
        assert!(self.engine.is_none(), "only a dead process is started");
        self.boot = chance.any();
        if self.spec.journal && self.disk.number == 0 {
            // Derived, so that what is drawn next stays the same.
            self.disk.number = self.boot | 1;
        }
        let node = NodeConfig {
            name: format!("host-{}", self.id.0),
            slots: self.spec.slots,
            memory_bytes: MEMORY_BYTES,
            module_bytes: u64::MAX,
            store_bytes: u64::MAX,
            labels: self.spec.labels.clone(),
            class_min: self.spec.class_min,
            disk: self.disk.number,
            boot: self.boot,
            owners: self.spec.guests.owners(peer),
        };
        let (version, seed) = (env!("CARGO_PKG_VERSION").into(), chance.seed());
        let header = Header { version, me: self.peer, mesh, node, seed };
        self.engine = Some(header.engine());
        self.header = Some(header);
        self.life += 1;
        // The times of jobs that are kept go on in each life.
        self.born = if self.spec.journal { Time::ZERO } else { now };
    }

    /// Ends the process and its executions.
    pub(crate) fn kill(&mut self) {
        self.engine = None;
        (self.restoring, self.disk_low, self.journal_failed) = (false, false, false);
        self.places.clear();
        self.closed.clear();
        self.stopping = false;
        self.drains = false;
        self.paused = false;
        self.pile.clear();
        self.runs.clear();
        self.pins.clear();
        self.waiting.clear();
        self.promises.clear();
        self.standing.clear();
        self.wake_at = None;
        self.audit = None;
        self.issued.clear();
        self.fence = Fence::default();
        self.owed = Owed::default();
        self.credit_model = CreditModel::default();
        self.boots.clear();
        self.answerable.clear();
    }

    /// Its worker keeps outcomes for a later process, and others no longer.
    pub(crate) fn retain(&mut self, outcomes: Vec<Retained>, gone: &[RetainedKey]) {
        if self.spec.journal && !self.disk.failed {
            self.disk.retain(outcomes, gone);
        }
    }

    /// It sends a bid for `slots` slots.
    pub(crate) fn on_bid(&mut self, now: Time, ttl_ms: u32, slots: u32) {
        self.promises.push(Promise { ends: now.plus_ms(u64::from(ttl_ms)), slots });
        if now.since_us(self.vain_since) > 1_000_000 {
            self.vain_since = now;
            self.vain = 0;
        }
        self.vain += 1;
    }

    /// It sends a standing bid for an owner's short tasks, which replaces the one before.
    pub(crate) fn on_ahead(&mut self, now: Time, owner: PeerId, ahead: &Credit, alone: bool) {
        let promise = Promise { ends: now.plus_ms(u64::from(ahead.ttl_ms)), slots: ahead.room };
        self.standing.insert(owner, promise);
        if alone {
            self.on_bid(now, 0, 0);
        }
    }

    /// The sockets of a paused process queue an input, up to [`PILE_MAX`].
    pub(crate) fn pile_up(&mut self, input: Input) {
        let droppable = matches!(input, Input::Received { .. } | Input::Heard { .. });
        if !droppable || self.pile.len() < PILE_MAX {
            self.pile.push_back(input);
        }
    }

    /// Puts a command's blobs into the blob store, before the engine handles the command.
    pub(crate) fn keep_blobs(&mut self, command: &Command) {
        match command {
            Command::Submit(submission) => {
                self.blobs.insert(submission.program.module);
                self.blobs.extend(submission.program.files.blob());
                self.blobs.extend(submission.inputs.iter().filter_map(Payload::blob));
            }
            Command::Extend { inputs, .. } | Command::ExtendEnded { inputs, .. } => {
                self.blobs.extend(inputs.iter().filter_map(Payload::blob));
            }
            Command::Close { .. }
            | Command::Cancel { .. }
            | Command::Drain(_)
            | Command::GiveBack
            | Command::Forget(_)
            | Command::Stop
            | Command::Retry(_)
            | Command::ForgetJob { .. } => {}
        }
    }

    /// The first execution that waits for a slot, if a slot is free.
    pub(crate) fn next_run(&mut self) -> Option<RunId> {
        let busy = self.runs.values().filter(|run| run.ends.is_some()).count();
        if busy >= self.spec.slots as usize { None } else { self.waiting.pop_front() }
    }

    /// Pauses an execution: it loses its slot, and its running time stops.
    pub(crate) fn pause_run(&mut self, run: RunId, now: Time) {
        self.waiting.retain(|waiting| *waiting != run);
        if let Some(held) = self.runs.get_mut(&run) {
            assert!(!held.paused, "only what runs is paused");
            held.paused = true;
            held.left = held.ends.take().map(|ends| ends - now).or(held.left);
        }
    }

    /// Resumes an execution, which gets a slot before all others that wait.
    pub(crate) fn resume_run(&mut self, run: RunId) {
        if let Some(held) = self.runs.get_mut(&run) {
            assert!(held.paused, "only what is paused is resumed");
            held.paused = false;
            self.waiting.push_front(run);
        }
    }

    /// Notes whether it takes new work.
    pub(crate) fn on_drain(&mut self, command: &Command) {
        if let Command::Drain(on) = command {
            self.drains = *on;
        }
        self.drains |= *command == Command::GiveBack;
    }

    /// Removes an execution, whether it began or not.
    pub(crate) fn take_run(&mut self, run: RunId) -> Option<SimRun> {
        self.waiting.retain(|waiting| *waiting != run);
        self.runs.remove(&run)
    }

    /// Whether its configuration refuses that node's tasks.
    pub(crate) fn refuses(&self, peer: PeerId) -> bool {
        self.header.as_ref().is_some_and(|header| !header.node.owners.takes(peer))
    }

    /// Most slots that its bids still promise.
    pub(crate) fn promised(&mut self, now: Time) -> u32 {
        self.promises.retain(|promise| promise.ends >= now);
        self.standing.retain(|_, promise| promise.ends >= now);
        self.promises.iter().chain(self.standing.values()).map(|promise| promise.slots).sum()
    }
}
