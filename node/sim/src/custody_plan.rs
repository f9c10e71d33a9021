//! Which jobs of a swarm three nodes keep, and what happens to those nodes and their disks. The swarm draws it from its seed,
//! from streams of its own.

use std::time::Duration;

use weft_core::{Command, Level};

use crate::chance::Chance;
use crate::fault::Fault;
use crate::host::{Guests, HostId, HostSpec};
use crate::keeping::is_plain;

/// How long faults go on in such a swarm, in milliseconds: several takeovers.
const PHASE_MS: u64 = 60_000;
/// Longest time for which a node is away, in milliseconds: longer than the witness waits.
const AWAY_MS: u64 = 25_000;

/// What three nodes keep in a swarm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CustodyPlan {
    /// Jobs per thousand at level `mesh`, of those that may be.
    permille: u32,
    /// A machine that is lost for ever.
    lost: Option<HostId>,
}

impl CustodyPlan {
    pub(crate) const NONE: Self = Self { permille: 0, lost: None };

    /// In a third of the swarms of three machines and more, all have disks for jobs and keep those of others.
    pub(crate) fn draw(chance: &mut Chance, hosts: &mut [HostSpec]) -> Self {
        if hosts.len() < 3 || !chance.permille(333) {
            return Self::NONE;
        }
        // The node that leads a job must find a machine for its tasks; each fits the first one, which is never lost.
        for host in hosts.iter_mut() {
            (host.journal, host.guests) = (true, Guests::All);
        }
        let lost = chance.permille(300).then(|| HostId(1 + chance.index(hosts.len() - 1)));
        Self { permille: [300, 1000][chance.index(2)], lost }
    }

    pub(crate) fn is_on(self) -> bool {
        self.permille > 0
    }

    /// How long faults go on, in milliseconds.
    pub(crate) fn phase_ms(self, usual_ms: u64) -> u64 {
        if self.is_on() { usual_ms.max(PHASE_MS) } else { usual_ms }
    }

    /// The faults and their mending; each begins within `phase_ms`.
    pub(crate) fn plan(self, chance: &mut Chance, hosts: usize, phase_ms: u64) -> Vec<(Duration, Fault)> {
        let mut plan = Vec::new();
        if !self.is_on() {
            return plan;
        }
        for _ in 0..chance.below(6) {
            away(chance, hosts, phase_ms, &mut plan);
        }
        for _ in 0..chance.below(3) {
            alone(chance, hosts, phase_ms, &mut plan);
        }
        if let Some(host) = self.lost {
            plan.push((Duration::from_millis(chance.between(1_000, phase_ms)), Fault::Lose(host)));
        }
        // With one lost, another lost disk is beyond what a job outlives: that is tried, too, but rarely.
        let disks = if self.lost.is_some() { 100 } else { 400 };
        if chance.permille(disks) {
            other_disk(chance, hosts, phase_ms, &mut plan);
        }
        if chance.permille(disks / 4) {
            other_disk(chance, hosts, phase_ms, &mut plan);
        }
        plan
    }

    /// Sets the level of the jobs that three nodes keep: closed ones that stand alone, and depend on nothing that a new
    /// leader does not know.
    pub(crate) fn choose(self, chance: &mut Chance, all: &mut [(Duration, HostId, Command)]) {
        let parents: Vec<_> = all.iter().filter_map(|(_, _, command)| parents(command)).flatten().collect();
        for (_, _, command) in all {
            let Command::Submit(what) = command else { continue };
            if self.lost.is_some() {
                // What several nodes compute may need the one that is lost.
                what.policy.verify = 1;
            }
            let alone = what.after.is_empty() && !parents.contains(&what.job);
            let simple = what.closed && what.policy.verify == 1 && what.policy.failures_max.is_none();
            if alone && simple && is_plain(&what.policy) && chance.permille(self.permille) {
                what.level = Level::Mesh;
            }
        }
    }

    pub(crate) fn line(self) -> String {
        let lost = self.lost.map_or("none".into(), |host| format!("host {}", host.0));
        format!("{} permille of jobs at level mesh, lost for ever {lost}", self.permille)
    }
}

fn parents(command: &Command) -> Option<Vec<weft_core::JobId>> {
    if let Command::Submit(what) = command { Some(what.after.clone()) } else { None }
}

fn moment(chance: &mut Chance, phase_ms: u64) -> (Duration, Duration) {
    let at_ms = chance.between(500, phase_ms);
    (Duration::from_millis(at_ms), Duration::from_millis(at_ms + chance.between(1, AWAY_MS)))
}

/// A process is away for a while; sometimes because a write failed.
fn away(chance: &mut Chance, hosts: usize, phase_ms: u64, plan: &mut Vec<(Duration, Fault)>) {
    let host = HostId(chance.index(hosts));
    let (at, back) = moment(chance, phase_ms);
    if chance.permille(200) {
        plan.push((at, Fault::DiskFails(host)));
    }
    plan.extend([(at, Fault::Kill { host, told: chance.permille(500) }), (back, Fault::Restart(host))]);
}

/// A node is cut off from all others for a while.
fn alone(chance: &mut Chance, hosts: usize, phase_ms: u64, plan: &mut Vec<(Duration, Fault)>) {
    let host = HostId(chance.index(hosts));
    let (at, back) = moment(chance, phase_ms);
    for other in (0..hosts).map(HostId).filter(|other| *other != host) {
        for (from, to) in [(host, other), (other, host)] {
            plan.extend([(at, Fault::Cut { from, to }), (back, Fault::Mend { from, to })]);
        }
    }
}

/// A process comes back with an empty disk, or with an older copy of its own.
fn other_disk(chance: &mut Chance, hosts: usize, phase_ms: u64, plan: &mut Vec<(Duration, Fault)>) {
    let host = HostId(chance.index(hosts));
    let (at, back) = moment(chance, phase_ms);
    plan.push((at, Fault::Kill { host, told: chance.permille(500) }));
    if chance.permille(500) {
        plan.push((at / 2, Fault::Copy(host)));
        plan.push((at, Fault::GoBack(host)));
    } else {
        plan.push((at, Fault::Wipe(host)));
    }
    plan.push((back, Fault::Restart(host)));
}
