//! Everything about a swarm that its seed decides: how many machines, which network, what breaks, who wants what.

use std::time::Duration;

use weft_core::message::Class;
use weft_core::{Command, JobId, MeshConfig, Terms};

use crate::chance::Chance;
use crate::fault::{Fault, FaultRates};
use crate::host::{HostId, HostSpec};
use crate::link::{Chaos, Weather};
use crate::workload::{Catalog, Fate, JobSpec};

/// A swarm before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) hosts: Vec<HostSpec>,
    pub(crate) weather: Weather,
    /// How long things may break, in milliseconds.
    pub(crate) phase_ms: u64,
    pub(crate) faults: Vec<(Duration, Fault)>,
    jobs: u64,
    /// Batches of receipts that are never signed, per thousand.
    pub(crate) unsigned_permille: u32,
    /// Typical service time, in microseconds.
    service_us: u32,
    /// How large a mesh must be to fall into cells, and into which.
    pub(crate) mesh: MeshConfig,
}

impl Options {
    pub(crate) fn draw(seed: u64) -> Self {
        let chance = &mut Chance::new(seed, "options");
        let count = usize::try_from(chance.between(1, 8)).expect("at most eight");
        let phase_ms = chance.between(3_000, 25_000);
        let rates = rates(chance);
        Self {
            hosts: (0..count).map(|place| machine(chance, place)).collect(),
            weather: weather(chance),
            phase_ms,
            faults: rates.plan(chance, count, phase_ms),
            jobs: chance.between(1, 6),
            unsigned_permille: [0, 0, 100][chance.index(3)],
            service_us: [200, 2_000, 20_000, 200_000, 1_000_000][chance.index(5)],
            mesh: mesh(chance),
        }
    }

    /// What users say when, to whom.
    pub(crate) fn commands(&self, seed: u64, catalog: &mut Catalog) -> Vec<(Duration, HostId, Command)> {
        let chance = &mut Chance::new(seed, "users");
        let mut all = Vec::new();
        for _ in 0..self.jobs {
            self.job(chance, catalog, &mut all);
        }
        all
    }

    fn job(&self, chance: &mut Chance, catalog: &mut Catalog, all: &mut Vec<(Duration, HostId, Command)>) {
        let (owner, job) = (HostId(chance.index(self.hosts.len())), JobId(chance.any()));
        let spec = self.job_spec(chance);
        let mut at_ms = chance.below(self.phase_ms);
        let mut submission = catalog.submission(job, &spec, chance);
        submission.closed = chance.permille(700);
        let closed = submission.closed;
        all.push((Duration::from_millis(at_ms), owner, Command::Submit(submission)));
        if !closed {
            at_ms += chance.below(3000);
            let more = JobSpec { tasks: chance.small(0, 20), ..spec.clone() };
            let inputs = catalog.inputs(job, &more, spec.tasks, chance);
            all.push((Duration::from_millis(at_ms), owner, Command::Extend { job, inputs }));
            at_ms += chance.below(3000);
            all.push((Duration::from_millis(at_ms), owner, Command::Close { job }));
        }
        if chance.permille(150) {
            at_ms += chance.below(3000);
            all.push((Duration::from_millis(at_ms), owner, Command::Cancel { job }));
        }
    }

    fn job_spec(&self, chance: &mut Chance) -> JobSpec {
        let labels = if chance.permille(150) { vec![("zone".into(), "0".into())] } else { Vec::new() };
        let most = if self.service_us < 10_000 { 300 } else { 60 };
        JobSpec {
            tasks: chance.small(1, most),
            service_us: (self.service_us / 2, self.service_us * 2),
            fate: [Fate::Done, Fate::Done, Fate::Bulky, Fate::Fails, Fate::Flaky][chance.index(5)],
            bulky_inputs: chance.permille(250),
            labels,
            class: [Class::Scavenger, Class::Batch, Class::Interactive, Class::Realtime][chance.index(4)],
            retries: chance.small(0, 3),
            terms: Terms {
                memo: chance.permille(700),
                receipts: chance.permille(300),
                stream: chance.permille(300),
            },
            files: chance.permille(200),
            same: chance.permille(400).then(|| chance.below(2)),
        }
    }
}

/// Now and then so small a mesh falls into cells as only a large one does by default.
fn mesh(chance: &mut Chance) -> MeshConfig {
    if chance.permille(600) {
        return MeshConfig::DEFAULT;
    }
    MeshConfig {
        full_mesh: chance.small(0, 3),
        cell_nodes: chance.small(1, 5),
        scouts: [0, 1, 2][chance.index(3)],
        ..MeshConfig::DEFAULT
    }
}

/// The first machine can do everything, so that every job fits somewhere.
fn machine(chance: &mut Chance, place: usize) -> HostSpec {
    if place == 0 {
        return HostSpec::slots(chance.small(1, 4)).label("zone", "0");
    }
    HostSpec::slots(chance.small(0, 4)).label("zone", if chance.permille(500) { "0" } else { "1" })
}

fn weather(chance: &mut Chance) -> Weather {
    let chaos = if chance.permille(250) {
        Chaos {
            drop_permille: chance.small(0, 50),
            twice_permille: chance.small(0, 50),
            late_permille: chance.small(0, 50),
        }
    } else {
        Chaos::NONE
    };
    Weather {
        delay_us: [50, 200, 2_000, 20_000][chance.index(4)],
        jitter_us: [0, 50, 5_000][chance.index(3)],
        loss_permille: [0, 0, 5, 50][chance.index(4)],
        chaos,
    }
}

fn rates(chance: &mut Chance) -> FaultRates {
    let mut weights = [0; 8];
    for weight in &mut weights {
        *weight = if chance.permille(500) { chance.between(1, 10) } else { 0 };
    }
    FaultRates {
        every_ms: [300, 1_000, 5_000][chance.index(3)],
        lasts_ms: [400, 3_000, 15_000][chance.index(3)],
        weights,
    }
}
