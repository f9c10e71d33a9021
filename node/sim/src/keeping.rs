//! Which jobs of a swarm are kept on disk, how slow the disks are, and what happens to them. The swarm draws it from its
//! seed, from a stream of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use weft_core::{Command, JobId, Level, Policy};

use crate::chance::Chance;
use crate::damage;
use crate::fault::Fault;
use crate::host::{HostId, HostSpec};

/// What a swarm keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Jobs per thousand that are kept, of those that may be.
    permille: u32,
    /// Mean time until a record is safe, in microseconds.
    pub(crate) sync_us: u64,
}

impl Keeping {
    pub(crate) const NONE: Self = Self { permille: 0, sync_us: 0 };

    /// In a third of the swarms the machines have disks for jobs.
    pub(crate) fn draw(chance: &mut Chance, hosts: &mut [HostSpec]) -> Self {
        let permille = [0, 0, 800][chance.index(3)];
        let sync_us = [500, 5_000, 100_000, 2_000_000][chance.index(4)];
        hosts.iter_mut().for_each(|host| host.journal = permille > 0);
        Self { permille, sync_us }
    }

    /// The faults of owners and their disks, and their mending; each begins within `phase_ms`.
    pub(crate) fn plan(self, chance: &mut Chance, owners: usize, phase_ms: u64) -> Vec<(Duration, Fault)> {
        let mut plan = Vec::new();
        if self.permille == 0 {
            return plan;
        }
        let mut one = |chance: &mut Chance, kind: usize| {
            let host = HostId(chance.index(owners));
            let at_ms = chance.between(500, phase_ms);
            let dies_ms = at_ms + chance.between(1, 2_000);
            let back_ms = dies_ms + chance.between(1, 4_000);
            let [at, dies, back] = [at_ms, dies_ms, back_ms].map(Duration::from_millis);
            let kill = Fault::Kill { host, told: chance.permille(500) };
            match kind {
                0 => plan.extend([(dies, kill), (back, Fault::Restart(host))]),
                1 => plan.extend([(at, Fault::DiskFails(host)), (dies, kill), (back, Fault::Restart(host))]),
                _ => plan
                    .extend([(at, Fault::Full { host, on: true }), (back, Fault::Full { host, on: false })]),
            }
        };
        for (kind, most) in [5, 2, 2].into_iter().enumerate() {
            (0..chance.below(most + 1)).for_each(|_| one(chance, kind));
        }
        plan.extend(damage::plan(chance, owners, phase_ms));
        plan
    }

    /// Sets the level of the jobs that are kept: none that is part of a join, and none whose times count from something
    /// that a restart forgets.
    pub(crate) fn choose(self, chance: &mut Chance, all: &mut [(Duration, HostId, Command)]) {
        let submissions = || all.iter().filter_map(|(_, _, command)| submission(command));
        let parents: BTreeSet<JobId> = submissions().flat_map(|what| what.after.iter().copied()).collect();
        for (_, _, command) in all {
            let Command::Submit(what) = command else { continue };
            let alone = what.after.is_empty() && !parents.contains(&what.job);
            if alone && is_plain(&what.policy) && chance.permille(self.permille) {
                what.level = Level::Disk;
            }
        }
    }

    pub(crate) fn line(self) -> String {
        format!("{} permille of jobs kept in {} us", self.permille, self.sync_us)
    }
}

fn submission(command: &Command) -> Option<&weft_core::Submission> {
    if let Command::Submit(what) = command { Some(what) } else { None }
}

/// Whether none of its times counts from something that a restart forgets.
pub(crate) fn is_plain(policy: &Policy) -> bool {
    let Policy { retries, verify, backups, failures_max, .. } = *policy;
    *policy == Policy { retries, verify, backups, failures_max, ..Policy::DEFAULT }
}
