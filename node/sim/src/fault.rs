//! Faults: processes die, pause and come back, links are cut in one direction or both, machines get slow. A swarm draws
//! a plan of faults from its seed; a scenario injects its own with [`World::fault`].

use std::time::Duration;

use weft_core::{Command, Input, PeerId};

use crate::chance::Chance;
use crate::host::HostId;
use crate::invariants::Violation;
use crate::link::Weather;
use crate::queue::Event;
use crate::world::World;

/// A fault, or its mending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process dies by `kill -9` or by a power cut.
    Kill {
        /// The host whose process dies.
        host: HostId,
        /// True for `kill -9`: its kernel closes its connections. False for a power cut: they become silent.
        told: bool,
    },
    /// A user ends a process, which tells its workers so and exits within a second.
    Stop(HostId),
    /// A dead process is started.
    Restart(HostId),
    /// The disk of a dead process is lost: it keeps its name, and no blob.
    Wipe(HostId),
    /// A person copies what a host keeps of jobs.
    Copy(HostId),
    /// The last copy takes the place of what a dead process kept of jobs.
    GoBack(HostId),
    /// A record on the disk of a dead process is not what was written.
    Tear {
        /// The host whose disk it is.
        host: HostId,
        /// Determines the record's job, among those on the disk.
        place: usize,
    },
    /// A machine is lost with its disk, for ever.
    Lose(HostId),
    /// A process is paused; its inputs are queued.
    Pause(HostId),
    /// A paused process is resumed.
    Resume(HostId),
    /// No frame passes in this direction.
    Cut {
        /// The host whose frames are held.
        from: HostId,
        /// The host that they don't reach.
        to: HostId,
    },
    /// Frames pass in this direction again.
    Mend {
        /// The sending host.
        from: HostId,
        /// The receiving host.
        to: HostId,
    },
    /// Executions and frames of a host become slower.
    Slow {
        /// The host that becomes slower.
        host: HostId,
        /// The factor by which executions take longer; 1 is the usual pace.
        times: u32,
        /// Added to each of its frames, in milliseconds.
        lag_ms: u32,
    },
    /// A host's user switches draining on or off.
    Drain {
        /// The host that drains.
        host: HostId,
        /// Whether it accepts no new work.
        on: bool,
    },
    /// The time is over in which a host that drains may end what it runs for others: it gives that back, too.
    GiveBack(HostId),
    /// A host's disk is full, or has room again.
    Full {
        /// The host whose disk it is.
        host: HostId,
        /// Whether the disk stores no further blob.
        on: bool,
    },
    /// A write of a process's jobs fails, and no later one succeeds.
    DiskFails(HostId),
    /// A host sends a false message in its own name.
    Lie {
        /// The liar.
        from: HostId,
        /// The receiver.
        to: HostId,
        /// Determines the message.
        seed: u64,
    },
}

impl World {
    /// Injects a fault or a mending, now. Engines react with the next event.
    pub fn fault(&mut self, fault: Fault) {
        self.queue.after(Duration::ZERO, Event::Fault(fault));
    }

    /// Kills a process; its kernel closes its connections.
    pub fn kill(&mut self, host: HostId) {
        self.fault(Fault::Kill { host, told: true });
    }

    /// Cuts both directions between two hosts.
    pub fn cut(&mut self, one: HostId, other: HostId) {
        self.fault(Fault::Cut { from: one, to: other });
        self.fault(Fault::Cut { from: other, to: one });
    }

    /// Mends both directions between two hosts.
    pub fn mend(&mut self, one: HostId, other: HostId) {
        self.fault(Fault::Mend { from: one, to: other });
        self.fault(Fault::Mend { from: other, to: one });
    }

    /// Mends all faults: links, weather, processes, pace, draining, disks.
    ///
    /// # Errors
    /// When the queued inputs of a paused process break an invariant.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.fabric.heal(&mut self.queue, Weather::LAN);
        for host in (0..self.hosts.len()).map(HostId) {
            self.suffer(Fault::Resume(host))?;
            self.end_failed(host)?;
            self.suffer(Fault::Restart(host))?;
            self.suffer(Fault::Slow { host, times: 1, lag_ms: 0 })?;
            self.suffer(Fault::Drain { host, on: false })?;
            self.suffer(Fault::Full { host, on: false })?;
        }
        Ok(())
    }

    pub(crate) fn suffer(&mut self, fault: Fault) -> Result<(), Violation> {
        self.coverage.on_fault(&fault);
        match fault {
            Fault::Kill { host, told } => self.on_kill(host, told),
            Fault::Stop(host) => return self.on_stop(host),
            Fault::Restart(host) => return self.restart(host),
            Fault::DiskFails(host) => return self.on_disk_fails(host),
            Fault::Wipe(host) => self.on_wipe(host),
            Fault::Copy(host) => self.hosts[host.0].disk.copy(),
            Fault::GoBack(host) => self.on_go_back(host),
            Fault::Tear { host, place } => self.on_tear(host, place),
            Fault::Lose(host) => {
                self.on_kill(host, false);
                self.hosts[host.0].is_gone = true;
                self.reference.on_wiped(host);
                self.note_lost();
            }
            Fault::Lie { from, to, seed } => self.on_lie(from, to, seed),
            Fault::Pause(host) => self.on_pause(host),
            Fault::Resume(host) => return self.on_resume(host),
            Fault::Cut { from, to } => self.fabric.set_cut(&mut self.queue, from, to, true),
            Fault::Mend { from, to } => self.fabric.set_cut(&mut self.queue, from, to, false),
            Fault::Slow { host, times, lag_ms } => {
                self.hosts[host.0].slowness = times;
                self.fabric.set_lag(host, 1000 * u64::from(lag_ms));
            }
            Fault::Full { host, on } => return self.on_full(host, on),
            Fault::Drain { host, on } => return self.tell(host, Input::Command(Command::Drain(on))),
            Fault::GiveBack(host) => {
                self.tell(host, Input::Command(Command::GiveBack))?;
                return self.tell(host, Input::Command(Command::Drain(false)));
            }
        }
        Ok(())
    }

    fn on_kill(&mut self, id: HostId, told: bool) {
        let host = &mut self.hosts[id.0];
        if let Some(engine) = &host.engine {
            self.coverage.on_life_ended(&engine.snapshot().counters);
            host.kill();
            self.crash_disk(id);
            self.reference.on_killed(&self.hosts[id.0]);
            self.fabric.on_killed(&mut self.queue, id, told);
        }
    }

    /// A user ends a process, which exits within a second. A paused process ignores that.
    fn on_stop(&mut self, id: HostId) -> Result<(), Violation> {
        let host = &self.hosts[id.0];
        if host.engine.is_none() || host.paused || host.stopping {
            return Ok(());
        }
        let (life, takes) = (host.life, Duration::from_millis(self.chance.between(1, 1000)));
        self.tell(id, Input::Command(Command::Stop))?;
        self.hosts[id.0].stopping = true;
        self.queue.after(takes, Event::Ends { host: id, life });
        Ok(())
    }

    /// A process that was told to end exits.
    pub(crate) fn on_end(&mut self, id: HostId, life: u32) {
        let host = &self.hosts[id.0];
        if host.stopping && host.life == life {
            self.on_kill(id, true);
        }
    }

    /// Starts a dead process; only its name, its blobs and its jobs on disk are kept.
    pub(crate) fn restart(&mut self, id: HostId) -> Result<(), Violation> {
        let now = self.now();
        let peers: Vec<PeerId> = self.hosts.iter().map(|host| host.peer).collect();
        if self.hosts[id.0].stopping {
            self.on_kill(id, true);
        }
        let host = &mut self.hosts[id.0];
        if host.engine.is_none() && !host.is_gone {
            host.start(now, self.mesh, |host| peers[host.0], &mut self.chance);
            self.fabric.on_started(&mut self.queue, id);
            self.restore(id)?;
            self.plan_wake(id);
        }
        Ok(())
    }

    fn on_pause(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        if host.engine.is_some() && !host.paused && !host.stopping {
            host.paused = true;
            self.fabric.on_paused(&mut self.queue, id, true);
        }
    }

    /// Resumes a process: its timer is late and its inputs are queued, and by chance either is handled first.
    fn on_resume(&mut self, id: HostId) -> Result<(), Violation> {
        let host = &mut self.hosts[id.0];
        if !host.paused {
            return Ok(());
        }
        host.paused = false;
        host.wake_at = None;
        host.resumed_at = self.queue.now();
        self.fabric.on_paused(&mut self.queue, id, false);
        if self.chance.permille(500) {
            self.tell(id, Input::Wake)?;
        }
        while let Some(input) = self.hosts[id.0].pile.pop_front() {
            self.tell(id, input)?;
        }
        self.plan_wake(id);
        Ok(())
    }
}

/// How often each kind of fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FaultRates {
    /// Mean time between two faults, in milliseconds.
    pub(crate) every_ms: u64,
    /// Longest time until a fault is mended, in milliseconds.
    pub(crate) lasts_ms: u64,
    /// Relative frequencies: kill, power cut, pause, cut of one direction, cut of both, isolation of a host, slow, drain.
    pub(crate) weights: [u64; 8],
}

impl FaultRates {
    /// The faults and their times; each begins within `phase_ms`.
    pub(crate) fn plan(&self, chance: &mut Chance, hosts: usize, phase_ms: u64) -> Vec<(Duration, Fault)> {
        let total: u64 = self.weights.iter().sum();
        if total == 0 {
            return Vec::new();
        }
        let mut plan = Vec::new();
        let mut at_ms = chance.between(1, 2 * self.every_ms);
        while at_ms < phase_ms {
            let mended_ms = at_ms + chance.between(1, self.lasts_ms);
            let (at, mended) = (Duration::from_millis(at_ms), Duration::from_millis(mended_ms));
            for (breaks, mends) in self.draw(chance, hosts, total) {
                plan.push((at, breaks));
                plan.push((mended, mends));
            }
            at_ms += chance.between(1, 2 * self.every_ms);
        }
        plan
    }

    /// One drawn event: faults, each with its mending.
    fn draw(&self, chance: &mut Chance, hosts: usize, total: u64) -> Vec<(Fault, Fault)> {
        let host = HostId(chance.index(hosts));
        let other = HostId((host.0 + 1 + chance.index(hosts.max(2) - 1)) % hosts);
        let cut = |from, to| (Fault::Cut { from, to }, Fault::Mend { from, to });
        let mut ticket = chance.below(total);
        let kind = self.weights.iter().position(|weight| {
            let drawn = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            drawn
        });
        match kind {
            Some(kind @ (0 | 1)) => vec![(Fault::Kill { host, told: kind == 0 }, Fault::Restart(host))],
            Some(2) => vec![(Fault::Pause(host), Fault::Resume(host))],
            Some(3) if host != other => vec![cut(host, other)],
            Some(4) if host != other => vec![cut(host, other), cut(other, host)],
            Some(5) => {
                let others = (0..hosts).map(HostId).filter(|other| *other != host);
                others.flat_map(|other| [cut(host, other), cut(other, host)]).collect()
            }
            Some(6) => {
                let (times, lag_ms) = (chance.small(2, 10), chance.small(0, 100));
                let usual = Fault::Slow { host, times: 1, lag_ms: 0 };
                vec![(Fault::Slow { host, times, lag_ms }, usual)]
            }
            // No draw of its own: what is drawn next would be another.
            Some(7) if other.0.is_multiple_of(2) => {
                vec![(Fault::Drain { host, on: true }, Fault::GiveBack(host))]
            }
            Some(7) => vec![(Fault::Drain { host, on: true }, Fault::Drain { host, on: false })],
            _ => Vec::new(),
        }
    }
}
