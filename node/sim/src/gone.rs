//! Owners that leave while workers run their tasks: the swarm's faults, and the invariants.

use std::time::Duration;

use weft_core::{Policy, Time};

use crate::chance::Chance;
use crate::fault::Fault;
use crate::host::HostId;
use crate::invariants::{Scene, ensure};
use crate::reference::Fact;
use crate::workload::JobSpec;

/// How long work may outlast an owner whose connection was closed, by the world's clock, in microseconds: three lease
/// periods of 4 s by a clock that is a tenth slow, and messages that were in flight when the owner ended.
const OUTLASTS_MAX_US: u64 = 17_000_000;
/// How long an owner is away, in milliseconds: longer than [`OUTLASTS_MAX_US`].
const AWAY_MS: u64 = 18_000;

/// An owner that leaves while its long tasks run.
#[derive(Clone, Debug)]
pub(crate) struct Leaver {
    pub(crate) owner: HostId,
    pub(crate) at_ms: u64,
    pub(crate) spec: JobSpec,
}

impl Leaver {
    /// The leaver of a swarm, if it has one. Its faults are added to `faults`: it is killed, ended by its user, or cut
    /// off from all hosts.
    pub(crate) fn draw(seed: u64, hosts: usize, faults: &mut Vec<(Duration, Fault)>) -> Option<Self> {
        let chance = &mut Chance::new(seed, "leaver");
        if hosts < 2 || !chance.permille(200) {
            return None;
        }
        let (owner, at_ms) = (HostId(chance.index(hosts)), chance.below(2000));
        let service_us = (20_000_000, 40_000_000);
        let policy = Policy { backups: false, ..Policy::DEFAULT };
        let spec = JobSpec { service_us, policy, ..JobSpec::new(chance.small(1, 6), 0) };
        let (at, back) = (at_ms + 1500, at_ms + 1500 + AWAY_MS);
        let (at, back) = (Duration::from_millis(at), Duration::from_millis(back));
        match chance.index(3) {
            kind @ (0 | 1) => {
                let end =
                    if kind == 0 { Fault::Kill { host: owner, told: true } } else { Fault::Stop(owner) };
                faults.extend([(at, end), (back, Fault::Restart(owner))]);
            }
            _ => {
                for other in (0..hosts).map(HostId).filter(|other| *other != owner) {
                    for (from, to) in [(owner, other), (other, owner)] {
                        faults.extend([(at, Fault::Cut { from, to }), (back, Fault::Mend { from, to })]);
                    }
                }
            }
        }
        Some(Self { owner, at_ms, spec })
    }

    /// When the owner is back, in milliseconds.
    pub(crate) fn ends_ms(&self) -> u64 {
        self.at_ms + 1500 + AWAY_MS + 500
    }
}

/// Turns some kills into ends by the user, before which a process tells its peers.
pub(crate) fn end_gently(chance: &mut Chance, faults: &mut [(Duration, Fault)]) {
    for (_, fault) in faults {
        if let Fault::Kill { host, told: true } = *fault
            && chance.permille(300)
        {
            *fault = Fault::Stop(host);
        }
    }
}

/// A worker holds no lease of a dead owner longer than [`OUTLASTS_MAX_US`] after it saw the owner's connection close, or
/// after its own process was last resumed; but those of kept jobs, which the owner's next life asks for.
pub(crate) fn no_work_outlasts_its_owner(scene: &Scene<'_>) -> Result<(), String> {
    let host = scene.host;
    let Some(audit) = host.audit.as_ref().filter(|_| !host.stopping) else { return Ok(()) };
    for (owner, lease) in audit.held.iter().filter(|(_, lease)| lease.epoch == 0) {
        let Some(closed) = host.closed.get(owner) else { continue };
        let since: Time = (*closed).max(host.resumed_at);
        let dead = scene.reference.is_of_the_past(*lease);
        let outlasts_us = scene.world_now.since_us(since);
        ensure(!dead || outlasts_us <= OUTLASTS_MAX_US, || {
            format!("{lease:?} is held {outlasts_us} us after the end of its owner {owner:?}")
        })?;
    }
    Ok(())
}

/// A worker gives up an owner, and stops its leases, only if the process that awarded them has ended.
pub(crate) fn who_is_given_up_is_gone(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for fact in scene.facts {
        let Fact::GaveUp { owner } = fact else { continue };
        for (of, lease) in scene.host.answerable.iter().filter(|(of, _)| of == owner) {
            let in_force = audit.held.binary_search(&(*of, *lease)).is_ok()
                || audit.kept.binary_search(&(*of, *lease)).is_ok();
            let dead = scene.reference.is_of_the_past(*lease);
            ensure(in_force || dead, || format!("{lease:?} is stopped, and its owner {owner:?} lives"))?;
        }
    }
    Ok(())
}
