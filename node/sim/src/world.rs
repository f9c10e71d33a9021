//! A world: hosts, their network, their users, and virtual time. One event happens at a time; after each, every
//! invariant is checked on the host that it concerned. Driven by the swarm, by scenarios, and by `weft-sim`.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_core::snapshot::{Snapshot, Why};
use weft_core::{
    Command, Engine, Gathered, Input, JobId, LogReader, MeshConfig, Message, PeerId, TaskId, Time,
};

use crate::chance::Chance;
use crate::coverage::Coverage;
use crate::fabric::Fabric;
use crate::host::{HostId, HostSpec, SimHost};
use crate::invariants::{INVARIANTS, Scene, Violation};
use crate::link::LinkId;
use crate::link::Weather;
use crate::machines;
use crate::queue::{Event, Queue, Wish};
use crate::record::Logs;
use crate::reference::{Fact, Reference};
use crate::trace::Trace;
use crate::workload::{Catalog, JobSpec};

/// Most events of one world; a world that needs more does not end.
const EVENTS_MAX: u64 = 20_000_000;

/// Hosts under virtual time.
#[derive(Debug)]
pub struct World {
    pub(crate) seed: u64,
    pub(crate) mesh: MeshConfig,
    pub(crate) queue: Queue,
    pub(crate) fabric: Fabric,
    pub(crate) hosts: Vec<SimHost>,
    pub(crate) peers: BTreeMap<PeerId, HostId>,
    pub(crate) reference: Reference,
    pub(crate) catalog: Catalog,
    pub(crate) chance: Chance,
    pub(crate) facts: Vec<Fact>,
    pub(crate) trace: Trace,
    pub(crate) events: u64,
    /// Gets every event as one line.
    pub(crate) watch: Option<fn(&str)>,
    /// The source of peer ids, if not the seed.
    pub(crate) ids: Option<Chance>,
    /// Batches of receipts that are never signed, per thousand.
    pub(crate) unsigned_permille: u32,
    /// Mean time until a record is safe on a disk, in microseconds.
    pub(crate) sync_us: u64,
    /// What happened so far, without the counters of live engines.
    pub(crate) coverage: Coverage,
    /// Tasks that users will submit.
    pub(crate) coming: Vec<TaskId>,
    /// The logs of all processes, if the world records them.
    pub(crate) logs: Option<Logs>,
}

impl World {
    /// A new machine joins and starts.
    pub fn add_host(&mut self, spec: HostSpec) -> HostId {
        let id = self.fabric.add_host();
        let own = self.chance.seed();
        let peer = PeerId(self.ids.as_mut().map_or(own, Chance::seed));
        self.reference.machines.insert(peer, machines::key((id.0, &spec)));
        self.hosts.push(SimHost::new(id, peer, spec));
        self.peers.insert(peer, id);
        self.restart(id).expect("a new machine has no jobs");
        id
    }

    // ---- what a test does to a world

    /// A user of that host submits a closed job, now.
    pub fn submit(&mut self, owner: HostId, spec: &JobSpec) -> JobId {
        let job = JobId(self.chance.any());
        let submission = self.catalog.submission(job, spec, &mut self.chance);
        self.command(owner, Command::Submit(submission));
        job
    }

    /// A user of that host gives a command, now.
    pub fn command(&mut self, host: HostId, command: Command) {
        self.queue.after(Duration::ZERO, Event::User { host, command });
    }

    /// Sends a message in a host's name, now, without its engine.
    pub fn lie(&mut self, from: HostId, to: HostId, message: Message) {
        self.reference.forgers.insert(self.hosts[from.0].peer);
        self.fabric.send(&mut self.queue, from, to, message);
    }

    /// Runs the world for that time.
    ///
    /// # Errors
    /// When an invariant is broken; the world must not be used any more.
    pub fn try_run_for(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.queue.now() + time;
        while self.step(until)? {}
        Ok(())
    }

    /// Runs the world until a condition holds; false if it does not hold within `most`.
    ///
    /// # Errors
    /// When an invariant is broken; the world must not be used any more.
    pub fn try_run_until(
        &mut self,
        most: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<bool, Violation> {
        let until = self.queue.now() + most;
        while !holds(self) {
            if !self.step(until)? {
                return Ok(holds(self));
            }
        }
        Ok(true)
    }

    /// [`Self::try_run_for`] for tests: panics when an invariant is broken.
    #[track_caller]
    pub fn run_for(&mut self, time: Duration) {
        if let Err(violation) = self.try_run_for(time) {
            panic!("world of seed {}: {violation}", self.seed);
        }
    }

    /// [`Self::try_run_until`] for tests: panics when an invariant is broken or the condition does not hold within
    /// `most`. Returns how long it took.
    #[track_caller]
    pub fn run_until(&mut self, what: &str, most: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        let start = self.queue.now();
        match self.try_run_until(most, holds) {
            Ok(true) => self.queue.now() - start,
            Ok(false) => panic!("world of seed {}: not within {most:?}: {what}", self.seed),
            Err(violation) => panic!("world of seed {}: {violation}", self.seed),
        }
    }

    /// Runs the world until every live host is connected with every other, for 5 s at most.
    #[track_caller]
    pub fn connect(&mut self) {
        self.run_until("all hosts are connected", Duration::from_secs(5), |world| {
            let live: Vec<HostId> = world.hosts.iter().filter(|h| h.engine.is_some()).map(|h| h.id).collect();
            live.iter().all(|a| live.iter().all(|b| a == b || world.fabric.connected(*a, *b)))
        });
        self.run_for(Duration::from_millis(300));
    }

    // ---- what a test may read

    /// The time since the world began.
    #[must_use]
    pub fn now(&self) -> Time {
        self.queue.now()
    }

    /// Changes how links delay and lose frames from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.fabric.weather = weather;
    }

    /// The model of what users asked for and were told.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The peer id of a host, the same for all of its processes.
    #[must_use]
    pub fn peer(&self, host: HostId) -> PeerId {
        self.hosts[host.0].peer
    }

    /// The number of executions that a host's slots have now.
    #[must_use]
    pub fn running(&self, host: HostId) -> usize {
        self.hosts[host.0].runs.len()
    }

    /// The engine of a host; `None` while its process is dead.
    #[must_use]
    pub fn engine(&self, host: HostId) -> Option<&Engine> {
        self.hosts[host.0].engine.as_ref()
    }

    /// The snapshot of a host's engine; `None` while its process is dead.
    #[must_use]
    pub fn snapshot(&self, host: HostId) -> Option<Snapshot> {
        self.engine(host).map(Engine::snapshot)
    }

    /// Why a task of a host's job is where it is; `None` if its process is dead or does not know the task.
    #[must_use]
    pub fn why(&self, host: HostId, job: JobId, index: u32) -> Option<Why> {
        let now = self.hosts[host.0].local(self.now());
        self.engine(host)?.why(now, job, index)
    }

    /// The running hash of all inputs of engines.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// The number of inputs that engines handled.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// A violation at this event.
    pub(crate) fn violation(&self, name: &'static str, text: String) -> Violation {
        Violation { name, text, event: self.events, at: self.now() }
    }

    // ---- one step

    /// Runs the next event no later than `until`; false when there is none.
    fn step(&mut self, until: Time) -> Result<bool, Violation> {
        let Some(event) = self.queue.pop(until) else { return Ok(false) };
        self.happen(event)?;
        if self.events > EVENTS_MAX {
            return Err(self.violation("a_world_ends", format!("{EVENTS_MAX} events were not enough")));
        }
        Ok(true)
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            // Its user finds the node that leads it.
            Event::User { command: Command::Cancel { job }, .. } if self.reference.mesh.has(job) => {
                self.on_wish(job, Wish::Cancel, 0)
            }
            Event::User { host, command: Command::Retry(restored) } => self.on_retry(host, restored.job()),
            Event::User { host, command } => self.tell(host, Input::Command(command)),
            Event::Wish { job, wish, tries } => self.on_wish(job, wish, tries),
            Event::Read { host, life, read, rows } => self.on_read((host, life), read, rows),
            Event::Gather { host, life, what } => self.on_gather((host, life), what),
            Event::Ran { host, life, run, how } => self.on_ran((host, life), run, how),
            Event::Prints { host, life, run } => self.on_prints((host, life), run),
            Event::Signed { host, life, batch, root } => self.on_signed((host, life), batch, root),
            Event::Persisted { host, life, ticket } => self.on_persisted((host, life), ticket),
            Event::Fetched { host, life, blob, from } => self.on_fetched((host, life), blob, &from),
            Event::Arrive { from, to, epoch, seq, message } => {
                match self.fabric.on_arrive(&mut self.queue, (from, to), (epoch, seq), message) {
                    Some(message) => self.tell(to, Input::Received { from: self.peer(from), message }),
                    None => Ok(()),
                }
            }
            Event::Heard { host, origin, gossip } => self.tell(host, Input::Heard { origin, gossip }),
            Event::SideUp { link, side, epoch } => self.on_side_up(link, side, epoch),
            Event::SideDown { link, side, epoch, closed } => {
                let peer = self.peer(link.host(1 - side));
                if !self.fabric.on_side_down(link, side, epoch) {
                    return Ok(());
                }
                self.tell(link.host(side), Input::PeerDown { peer, closed })
            }
            Event::Silent { link, since } => {
                self.fabric.on_silent(&mut self.queue, link, since);
                Ok(())
            }
            Event::Redial { link } => {
                self.fabric.on_redial(&mut self.queue, link);
                Ok(())
            }
            Event::Wake { host, life } => self.on_wake(host, life),
            Event::Fault(fault) => self.suffer(fault),
            Event::Ends { host, life } => {
                self.on_end(host, life);
                Ok(())
            }
        }
    }

    fn on_side_up(&mut self, link: LinkId, side: usize, epoch: u64) -> Result<(), Violation> {
        if !self.fabric.on_side_up(link, side, epoch) {
            return Ok(());
        }
        let (host, other) = (link.host(side), link.host(1 - side));
        let (peer, boot) = (self.peer(other), self.hosts[other.0].boot);
        let rtt_us = self.fabric.rtt_us(host, other);
        self.reference.load.on_rtt(rtt_us);
        let at = self.place_of(host, other);
        self.tell(host, Input::PeerUp { peer, boot, host: at })?;
        self.tell(host, Input::Rtt { peer, rtt_us })
    }

    fn on_wake(&mut self, id: HostId, life: u32) -> Result<(), Violation> {
        let now = self.now();
        let host = &mut self.hosts[id.0];
        if host.life != life || host.wake_at != Some(now) || host.paused {
            return Ok(());
        }
        host.wake_at = None;
        self.tell(id, Input::Wake)
    }

    /// Hands an input to a host's engine, performs its effects, plans its next wake, and checks the invariants.
    pub(crate) fn tell(&mut self, id: HostId, input: Input) -> Result<(), Violation> {
        let now = self.now();
        let host = &mut self.hosts[id.0];
        let local = host.local(now);
        if host.stopping {
            return Ok(());
        }
        if host.paused {
            host.pile_up(input);
            return Ok(());
        }
        if host.engine.is_none() {
            return Ok(());
        }
        self.note_input(id, &input);
        if let Input::LogRead { reader: LogReader::Child, job, records: Some(records), .. } = &input {
            self.reference.on_results_read(*job, records, &self.catalog);
        }
        if let Input::Gathered { job, gathered: Gathered::Input(input), .. } = &input {
            self.reference.on_gathered(*job, input, &self.catalog);
        }
        let host = &mut self.hosts[id.0];
        self.events += 1;
        if let Some(watch) = self.watch {
            watch(&format!("{:>8} {now:?} host {} {input:?}", self.events, id.0));
        }
        let Some(engine) = &mut host.engine else { return Ok(()) };
        let wake = engine.next_wakeup().map(|(_, reason)| reason);
        self.coverage.on_input(now, &input, wake);
        let effects: Vec<_> = engine.handle(local, input.clone()).collect();
        if let (Some(logs), Some(header)) = (&mut self.logs, &host.header) {
            logs.add((id, host.life), header, (local, &input), &effects);
        }
        self.trace.input(now, id, &input, effects.len());
        for effect in effects {
            self.coverage.on_effect(now, &effect);
            if let Some(watch) = self.watch {
                watch(&format!("         -> {effect:?}"));
            }
            self.perform(id, effect);
        }
        self.plan_wake(id);
        self.check(id)
    }

    /// Plans the wake that the engine asks for.
    pub(crate) fn plan_wake(&mut self, id: HostId) {
        let now = self.now();
        let host = &mut self.hosts[id.0];
        let Some(asked) = host.next_wakeup() else {
            host.wake_at = None;
            return;
        };
        let at = asked.max(now + Duration::from_micros(1));
        host.hasty = if asked <= now { host.hasty + 1 } else { 0 };
        if host.wake_at != Some(at) {
            host.wake_at = Some(at);
            self.queue.at(at, Event::Wake { host: id, life: host.life });
        }
    }

    fn check(&mut self, id: HostId) -> Result<(), Violation> {
        let now = self.now();
        let host = &mut self.hosts[id.0];
        if let Some(before) = host.audit.take() {
            host.answerable = [before.held, before.kept].concat();
            host.issued = before.issued;
        }
        host.audit = host.engine.as_ref().map(Engine::audit);
        let world_now = now;
        let now = host.local(now);
        if let Some(audit) = &host.audit {
            host.owed.on_step(now, &host.issued, audit, &self.facts);
            host.fence.on_step(&host.answerable, audit);
            let waits = host.disk.count_pending() > 0 || host.journal_failed;
            host.owed.on_disk(now, waits);
        }
        let promised = host.promised(now);
        let scene = Scene {
            world_now,
            now,
            mesh: &self.mesh,
            host: &self.hosts[id.0],
            promised,
            facts: &self.facts,
            reference: &self.reference,
            peers: &self.peers,
        };
        for (name, holds) in INVARIANTS {
            if let Err(text) = holds(&scene) {
                return Err(self.violation(name, format!("host {}: {text}", id.0)));
            }
        }
        Ok(())
    }
}
