//! One simulated machine: an engine, the fake ports around it, and what survives when its process dies (the name, the
//! blobs). The world drives it; nothing here plans events.

mod clock;
mod spec;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use weft_core::message::Ahead;
use weft_core::{
    Audit, BlobId, CallId, Command, Engine, Host, Input, LeaseId, MeshConfig, NodeConfig, Payload, PeerId,
    RunId, Time, Work, log::Header,
};

use crate::chance::Chance;
use crate::credits::Credits;
use crate::leases::Owed;
pub use spec::{Guests, HostSpec};

/// Inputs that a stopped process lets pile up; further messages are dropped.
const PILE_MAX: usize = 20_000;

/// Memory that every machine gives to one task, in bytes.
pub(crate) const MEMORY_BYTES: u64 = 1 << 30;

/// A clock that runs as the world's does.
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

/// What was handed to the slots, and how far it came.
#[derive(Debug)]
pub(crate) struct SimRun {
    pub(crate) work: Work,
    /// What it has left to run when it has a slot next; `None` before it first had one.
    pub(crate) left: Option<Duration>,
    /// When it ends, while it has a slot.
    pub(crate) ends: Option<Time>,
    /// It waits to be resumed.
    pub(crate) paused: bool,
    /// It was told to end.
    pub(crate) aborted: bool,
    /// Counts how often it got a slot.
    pub(crate) turn: u32,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct SimHost {
    pub(crate) id: HostId,
    pub(crate) peer: PeerId,
    pub(crate) spec: HostSpec,
    /// `None` while its process is dead.
    pub(crate) engine: Option<Engine>,
    /// What its last process began with.
    pub(crate) header: Option<Header>,
    /// Counts its processes.
    pub(crate) life: u32,
    pub(crate) boot: u64,
    /// When its process started: its engine's zero.
    pub(crate) born: Time,
    /// Its disk takes nothing more.
    pub(crate) is_full: bool,
    pub(crate) paused: bool,
    pub(crate) pile: VecDeque<Input>,
    /// Its disk.
    pub(crate) blobs: BTreeSet<BlobId>,
    /// Blobs that it must not evict, and how often it asked for that.
    pub(crate) pins: BTreeMap<BlobId, u32>,
    /// What was handed to its slots.
    pub(crate) runs: BTreeMap<RunId, SimRun>,
    /// What of it waits for a slot, first come first served.
    pub(crate) waiting: VecDeque<RunId>,
    /// When it is to be woken.
    pub(crate) wake_at: Option<Time>,
    /// Wakes in a row that asked for another one at once.
    pub(crate) hasty: u32,
    /// Executions take so many times as long.
    pub(crate) slowness: u32,
    /// Bids of this life that may be in force.
    pub(crate) promises: Vec<Promise>,
    /// Standing bids of this life that may be in force, by owner.
    pub(crate) standing: BTreeMap<PeerId, Promise>,
    /// Bids since the last award, within one second from `vain_since` on.
    pub(crate) vain: u32,
    pub(crate) vain_since: Time,
    /// Its engine's last audit, and the leases that it had issued by the one before.
    pub(crate) audit: Option<Audit>,
    pub(crate) issued: Vec<(PeerId, LeaseId)>,
    /// What it had to answer for then, as a worker: leases held, and outcomes kept.
    pub(crate) answerable: Vec<(PeerId, LeaseId)>,
    /// Acknowledgements that it owes as an owner.
    pub(crate) owed: Owed,
    /// What stands with it, and whom it named.
    pub(crate) credits: Credits,
    /// Which process of each peer it met last.
    pub(crate) boots: BTreeMap<PeerId, u64>,
    /// Who is connected, and where: as its engine was told.
    pub(crate) places: BTreeMap<PeerId, Host>,
    /// Whose connections were closed and have not come back, and since when.
    pub(crate) closed: BTreeMap<PeerId, Time>,
    /// When its process was stopped last and went on.
    pub(crate) resumed_at: Time,
    /// Its user ended it: it hears nothing more, and its process ends soon.
    pub(crate) stopping: bool,
    /// The last call that it heard, and from whom: what a liar in its place would bid for.
    pub(crate) last_call: Option<(HostId, CallId)>,
    /// The last standing bid that it was given, and by whom: what a liar in its place would place too much on.
    pub(crate) last_ahead: Option<(HostId, Ahead)>,
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
            is_full: false,
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
            owed: Owed::default(),
            credits: Credits::default(),
            answerable: Vec::new(),
            boots: BTreeMap::new(),
            places: BTreeMap::new(),
            closed: BTreeMap::new(),
            resumed_at: Time::ZERO,
            stopping: false,
            last_call: None,
            last_ahead: None,
        }
    }

    /// A new process: nothing but the disk is remembered.
    pub(crate) fn start(
        &mut self,
        now: Time,
        mesh: MeshConfig,
        peer: impl Fn(&HostId) -> PeerId,
        chance: &mut Chance,
    ) {
        assert!(self.engine.is_none(), "only a dead process is started");
        self.boot = chance.any();
        let node = NodeConfig {
            name: format!("host-{}", self.id.0),
            slots: self.spec.slots,
            memory_bytes: MEMORY_BYTES,
            module_bytes: u64::MAX,
            labels: self.spec.labels.clone(),
            class_min: self.spec.class_min,
            boot: self.boot,
            owners: self.spec.guests.owners(peer),
        };
        let (version, seed) = (env!("CARGO_PKG_VERSION").into(), chance.seed());
        let header = Header { version, me: self.peer, mesh, node, seed };
        self.engine = Some(header.engine());
        self.header = Some(header);
        self.life += 1;
        self.born = now;
    }

    /// The process and its slots are gone.
    pub(crate) fn kill(&mut self) {
        self.engine = None;
        self.places.clear();
        self.closed.clear();
        self.stopping = false;
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
        self.owed = Owed::default();
        self.credits = Credits::default();
        self.boots.clear();
        self.answerable.clear();
    }

    /// It bids.
    pub(crate) fn on_bid(&mut self, now: Time, ttl_ms: u32, slots: u32) {
        self.promises.push(Promise { ends: now.plus_ms(u64::from(ttl_ms)), slots });
        if now.since_us(self.vain_since) > 1_000_000 {
            self.vain_since = now;
            self.vain = 0;
        }
        self.vain += 1;
    }

    /// It says what it takes of an owner's short tasks: that replaces what it said before.
    pub(crate) fn on_ahead(&mut self, now: Time, owner: PeerId, ahead: &Ahead, alone: bool) {
        let promise = Promise { ends: now.plus_ms(u64::from(ahead.ttl_ms)), slots: ahead.room };
        self.standing.insert(owner, promise);
        if alone {
            self.on_bid(now, 0, 0);
        }
    }

    /// A stopped process's sockets keep an input for later, as far as they go.
    pub(crate) fn pile_up(&mut self, input: Input) {
        let droppable = matches!(input, Input::Received { .. } | Input::Heard { .. });
        if !droppable || self.pile.len() < PILE_MAX {
            self.pile.push_back(input);
        }
    }

    /// What a user hands over lies in the blob store before the engine hears of it.
    pub(crate) fn keep_blobs(&mut self, command: &Command) {
        match command {
            Command::Submit(submission) => {
                self.blobs.insert(submission.program.module);
                self.blobs.extend(submission.program.files.blob());
                self.blobs.extend(submission.inputs.iter().filter_map(Payload::blob));
            }
            Command::Extend { inputs, .. } => self.blobs.extend(inputs.iter().filter_map(Payload::blob)),
            Command::Close { .. }
            | Command::Cancel { .. }
            | Command::Drain(_)
            | Command::Forget(_)
            | Command::Stop => {}
        }
    }

    /// What waits first for a slot, if any waits and any slot is free.
    pub(crate) fn next_run(&mut self) -> Option<RunId> {
        let busy = self.runs.values().filter(|run| run.ends.is_some()).count();
        if busy >= self.spec.slots as usize { None } else { self.waiting.pop_front() }
    }

    /// An execution gives its slot away and its time stands still.
    pub(crate) fn pause_run(&mut self, run: RunId, now: Time) {
        self.waiting.retain(|waiting| *waiting != run);
        if let Some(held) = self.runs.get_mut(&run) {
            assert!(!held.paused, "only what runs is paused");
            held.paused = true;
            held.left = held.ends.take().map(|ends| ends - now).or(held.left);
        }
    }

    /// A paused execution goes on, before anything else that waits for a slot.
    pub(crate) fn resume_run(&mut self, run: RunId) {
        if let Some(held) = self.runs.get_mut(&run) {
            assert!(held.paused, "only what is paused is resumed");
            held.paused = false;
            self.waiting.push_front(run);
        }
    }

    /// Takes an execution out of the slots, whether it began or not.
    pub(crate) fn take_run(&mut self, run: RunId) -> Option<SimRun> {
        self.waiting.retain(|waiting| *waiting != run);
        self.runs.remove(&run)
    }

    /// Whether its user lets it have nothing to do with that node.
    pub(crate) fn refuses(&self, peer: PeerId) -> bool {
        self.header.as_ref().is_some_and(|header| !header.node.owners.takes(peer))
    }

    /// Slots that bids still promise at most.
    pub(crate) fn promised(&mut self, now: Time) -> u32 {
        self.promises.retain(|promise| promise.ends >= now);
        self.standing.retain(|_, promise| promise.ends >= now);
        self.promises.iter().chain(self.standing.values()).map(|promise| promise.slots).sum()
    }
}
