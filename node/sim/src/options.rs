//! Everything about a swarm that its seed decides: machines, network, faults, and the jobs of users.

use std::time::Duration;

use weft_core::message::Class;
use weft_core::{Backoff, Command, JobId, Join, Level, MeshConfig, Policy, Recall, Terms};

use crate::chance::Chance;
use crate::custody_plan::CustodyPlan;
use crate::fault::{Fault, FaultRates};
use crate::fault_plan::FaultPlan;
use crate::gone::{self, Leaver};
use crate::host::{Guests, HostId, HostSpec};
use crate::keeping::Keeping;
use crate::link::{Chaos, Weather};
use crate::machines;
use crate::memories;
use crate::results;
use crate::workload::{Catalog, Fate, JobSpec};

/// The options of a swarm.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) hosts: Vec<HostSpec>,
    /// The number of hosts that have users: the first ones.
    owners: usize,
    pub(crate) weather: Weather,
    /// How long faults may happen, in milliseconds.
    pub(crate) phase_ms: u64,
    pub(crate) faults: Vec<(Duration, Fault)>,
    rates: FaultRates,
    fault_plan: FaultPlan,
    leaver: Option<Leaver>,
    pub(crate) keeping: Keeping,
    custody: CustodyPlan,
    jobs: u64,
    /// The number of further jobs that depend on others.
    joins: u64,
    /// Jobs per thousand that have a policy of their own.
    picky_permille: u32,
    /// Jobs per thousand whose tasks may hold several slots.
    wide_permille: u32,
    /// Batches of receipts that are never signed, per thousand.
    pub(crate) unsigned_permille: u32,
    /// Typical service time, in microseconds.
    service_us: u32,
    /// The settings of the mesh, among them the size from which it is divided into cells.
    pub(crate) mesh: MeshConfig,
}

impl Options {
    pub(crate) fn draw(seed: u64) -> Self {
        let chance = &mut Chance::new(seed, "options");
        let count = usize::try_from(chance.between(1, 8)).expect("at most eight");
        let phase_ms = chance.between(3_000, 25_000);
        let rates = rates(chance);
        let mut hosts = machines(seed, (0..count).map(|place| machine(chance, place)).collect());
        let (weather, mut faults) = (weather(chance), rates.plan(chance, count, phase_ms));
        // A stream of its own, so that additions here leave the rest of a seed as it was.
        let fault_plan = FaultPlan::draw(&mut Chance::new(seed, "cruelty"), count);
        let picky_permille = [0, 300, 1000][Chance::new(seed, "picky").index(3)];
        // Owners count a policy's times by their own clocks, and the model by the world's.
        let skewed = picky_permille == 0;
        for (spec, ppm) in hosts.iter_mut().zip(&fault_plan.clocks_ppm).filter(|_| skewed) {
            spec.clock_ppm = *ppm;
        }
        gone::end_gently(&mut Chance::new(seed, "gently"), &mut faults);
        faults.extend(fault_plan.plan(&mut Chance::new(seed, "cruelties"), count, phase_ms));
        let leaver = Leaver::draw(seed, count, &mut faults);
        let phase_ms = leaver.as_ref().map_or(phase_ms, |leaver| phase_ms.max(leaver.ends_ms()));
        let mut options = Self {
            hosts,
            owners: count,
            weather,
            phase_ms,
            faults,
            rates,
            fault_plan,
            leaver,
            keeping: Keeping::NONE,
            custody: CustodyPlan::NONE,
            jobs: chance.between(1, 6),
            joins: joins(&mut Chance::new(seed, "joins")),
            picky_permille,
            wide_permille: [0, 0, 400][Chance::new(seed, "wide").index(3)],
            unsigned_permille: [0, 0, 100][chance.index(3)],
            service_us: [200, 2_000, 20_000, 200_000, 1_000_000][chance.index(5)],
            mesh: mesh(&mut Chance::new(seed, "cells")),
        };
        options.draw_trust(seed);
        machines::draw(seed, &mut options.hosts);
        options.draw_disks(seed);
        options
    }

    /// Draws liars and partitions, from streams of their own, so that the rest of a seed stays as it was.
    fn draw_trust(&mut self, seed: u64) {
        let chance = &mut Chance::new(seed, "liars");
        let liars = if chance.permille(400) { chance.index(self.hosts.len().div_ceil(2)) } else { 0 };
        let permille = [50, 300, 1000][chance.index(3)];
        // The first machine fits every job and never lies; less than half of the others do.
        self.hosts.iter_mut().rev().take(liars).for_each(|host| host.lies_permille = permille);
        if chance.permille(250) {
            self.draw_partition(chance);
        }
    }

    /// Draws what is kept on disks, from streams of its own.
    fn draw_disks(&mut self, seed: u64) {
        self.keeping = Keeping::draw(&mut Chance::new(seed, "keeping"), &mut self.hosts);
        let chance = &mut Chance::new(seed, "disks");
        self.faults.extend(self.keeping.plan(chance, self.owners, self.phase_ms));
        self.custody = CustodyPlan::draw(&mut Chance::new(seed, "custody"), &mut self.hosts);
        if self.custody.is_on() {
            // Tasks that are at work while others take over.
            self.service_us = self.service_us.max(200_000);
        }
        self.phase_ms = self.custody.phase_ms(self.phase_ms);
        let chance = &mut Chance::new(seed, "custody's faults");
        self.faults.extend(self.custody.plan(chance, self.hosts.len(), self.phase_ms));
    }

    /// Cuts the mesh into two parts for some seconds.
    fn draw_partition(&mut self, chance: &mut Chance) {
        let here: Vec<bool> = self.hosts.iter().map(|_| chance.permille(500)).collect();
        let at_ms = chance.below(self.phase_ms);
        let (at, mended) = (at_ms, at_ms + chance.between(1_000, 12_000));
        for (from, to) in (0..here.len()).flat_map(|from| (0..here.len()).map(move |to| (from, to))) {
            if here[from] != here[to] {
                let (from, to) = (HostId(from), HostId(to));
                self.faults.push((Duration::from_millis(at), Fault::Cut { from, to }));
                self.faults.push((Duration::from_millis(mended), Fault::Mend { from, to }));
            }
        }
    }

    /// The number of nodes that verify each task of a job, drawn so that an honest majority of them exists.
    fn verify(&self, chance: &mut Chance, owner: HostId, spec: &JobSpec) -> u32 {
        let fits = |(place, host): &(usize, &HostSpec)| {
            (*place == owner.0 || host.guests.takes(owner))
                && host.slots > 0
                && host.slots >= spec.slots
                && host.lies_permille == 0
                && host.class_min <= spec.class
                && spec.labels.iter().all(|label| host.labels.contains(label))
        };
        let honest = machines::honest(owner.0, self.hosts.iter().enumerate().filter(fits), &self.hosts);
        let most = u32::try_from((2 * honest).saturating_sub(1)).unwrap_or(1).min(5);
        // A task that fails by chance ends differently on two nodes.
        if most < 2 || spec.fate == Fate::Flaky { 1 } else { chance.small(2, most) }
    }

    /// The commands of users, with their times and hosts.
    pub(crate) fn commands(&self, seed: u64, catalog: &mut Catalog) -> Vec<(Duration, HostId, Command)> {
        let chance = &mut Chance::new(seed, "users");
        let wishes = &mut Chance::new(seed, "wishes");
        let trust = &mut Chance::new(seed, "trust");
        let widths = &mut Chance::new(seed, "widths");
        // Every task fits the first machine.
        let most = self.hosts.first().map_or(1, |host| host.slots);
        let mut all = Vec::new();
        for _ in 0..self.jobs {
            let policy = if wishes.permille(self.picky_permille) { policy(wishes) } else { Policy::DEFAULT };
            let width = if widths.permille(self.wide_permille) { widths.small(1, most) } else { 1 };
            self.job((chance, trust), catalog, (policy, width), &mut all);
        }
        let chance = &mut Chance::new(seed, "joining");
        (0..self.joins).for_each(|_| self.join(chance, catalog, &mut all));
        if let Some(Leaver { owner, at_ms, spec }) = &self.leaver {
            let job = JobId(Chance::new(seed, "leaver's job").any());
            let submission = catalog.submission(job, spec, &mut Chance::new(seed, "leaver's tasks"));
            all.push((Duration::from_millis(*at_ms), *owner, Command::Submit(submission)));
        }
        memories::ask_again(&mut Chance::new(seed, "again"), &mut all);
        let any_liar = self.hosts.iter().any(|host| host.lies_permille > 0);
        memories::ask_the_mesh(&mut Chance::new(seed, "memories"), any_liar, &mut all);
        self.keeping.choose(&mut Chance::new(seed, "kept"), &mut all);
        self.custody.choose(&mut Chance::new(seed, "custody's jobs"), &mut all);
        results::take_results(self, seed, catalog, &mut all);
        all
    }

    fn job(
        &self,
        (chance, trust): (&mut Chance, &mut Chance),
        catalog: &mut Catalog,
        (policy, slots): (Policy, u32),
        all: &mut Vec<(Duration, HostId, Command)>,
    ) {
        let (owner, job) = (HostId(chance.index(self.owners)), JobId(chance.any()));
        let mut spec = JobSpec { policy, slots, ..self.job_spec(chance) };
        spec.policy.verify = if trust.permille(300) { self.verify(trust, owner, &spec) } else { 1 };
        spec.policy.backups = trust.permille(800);
        let at_ms = chance.below(self.phase_ms);
        say(chance, catalog, (at_ms, owner, job), &spec, all);
    }

    /// A job that depends on some of its owner's earlier jobs: chains, fans and diamonds by chance. Some are submitted
    /// long after their parents ended, some name a parent that their owner does not know.
    fn join(&self, chance: &mut Chance, catalog: &mut Catalog, all: &mut Vec<(Duration, HostId, Command)>) {
        let before: Vec<(Duration, HostId, JobId)> = all.iter().filter_map(submitted).collect();
        let Some((_, last, _)) = before.last().copied() else { return };
        let owner = if chance.permille(600) { last } else { before[chance.index(before.len())].1 };
        let mates: Vec<_> = before.iter().filter(|(_, of, _)| *of == owner).collect();
        let mut parents: Vec<_> = mates.iter().filter(|_| chance.permille(500)).copied().collect();
        if parents.is_empty() {
            parents.push(mates[chance.index(mates.len())]);
        }
        let latest = parents.iter().map(|(at, _, _)| *at).max().unwrap_or_default();
        let mut after: Vec<JobId> = parents.iter().map(|(_, _, job)| *job).collect();
        if chance.permille(50) {
            after.push(JobId(chance.any()));
        }
        let (job, join) = (JobId(chance.any()), [Join::AllSucceeded, Join::AllEnded][chance.index(2)]);
        let mut spec = JobSpec { after, join, ..self.job_spec(chance) };
        spec.tasks = if chance.permille(150) { 0 } else { spec.tasks };
        if self.picky_permille > 0 && chance.permille(500) {
            spec.policy = policy(chance);
        }
        spec.policy.verify = if chance.permille(200) { self.verify(chance, owner, &spec) } else { 1 };
        let wait_ms = if chance.permille(300) { self.phase_ms } else { 1 + chance.below(3000) };
        let latest_ms = u64::try_from(latest.as_millis()).unwrap_or(self.phase_ms);
        let at_ms = (latest_ms + chance.below(wait_ms)).min(self.phase_ms);
        say(chance, catalog, (at_ms, owner, job), &spec, all);
    }

    /// All options in one line, to compare failing seeds.
    pub(crate) fn line(&self) -> String {
        let slots: Vec<u32> = self.hosts.iter().map(|host| host.slots).collect();
        let Weather { delay_us, jitter_us, loss_permille, chaos } = self.weather;
        let Chaos { drop_permille, twice_permille, late_permille } = chaos;
        let FaultRates { every_ms, lasts_ms, weights } = self.rates;
        format!(
            "slots {slots:?}, one way {delay_us}+{jitter_us} us, loss {loss_permille}, chaos \
             {drop_permille}/{twice_permille}/{late_permille} permille, {} ms of faults every {every_ms} ms for \
             {lasts_ms} ms by weights {weights:?}, {}, {}, {}, {} jobs of {} us, {} joins, unsigned {} permille",
            self.phase_ms,
            self.fault_plan.line(),
            self.keeping.line(),
            self.custody.line(),
            self.jobs,
            self.service_us,
            self.joins,
            self.unsigned_permille,
        )
    }

    pub(crate) fn job_spec(&self, chance: &mut Chance) -> JobSpec {
        let labels = if chance.permille(150) { vec![("zone".into(), "0".into())] } else { Vec::new() };
        let most = if self.service_us < 10_000 { 300 } else { 60 };
        JobSpec {
            tasks: chance.small(1, most),
            service_us: (self.service_us / 2, self.service_us * 2),
            fate: [Fate::Done, Fate::Done, Fate::Bulky, Fate::Fails, Fate::Flaky][chance.index(5)],
            bulky_inputs: chance.permille(250),
            labels,
            slots: 1,
            class: [Class::Scavenger, Class::Batch, Class::Interactive, Class::Realtime][chance.index(4)],
            retries: chance.small(0, 3),
            policy: Policy::DEFAULT,
            after: Vec::new(),
            join: Join::AllSucceeded,
            terms: Terms {
                memo: if chance.permille(700) { Recall::Own } else { Recall::Off },
                receipts: chance.permille(300),
                stream: chance.permille(300),
            },
            files: chance.permille(200),
            same: chance.permille(400).then(|| chance.below(2)),
            level: Level::Memory,
        }
    }
}

/// Adds the commands of one job: its submission, and by chance its extension, close and cancellation within nine seconds.
fn say(
    chance: &mut Chance,
    catalog: &mut Catalog,
    (mut at_ms, owner, job): (u64, HostId, JobId),
    spec: &JobSpec,
    all: &mut Vec<(Duration, HostId, Command)>,
) {
    let mut submission = catalog.submission(job, spec, chance);
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

/// The time, owner and id of a submitted job; `None` for other commands.
fn submitted((at, owner, command): &(Duration, HostId, Command)) -> Option<(Duration, HostId, JobId)> {
    if let Command::Submit(what) = command { Some((*at, *owner, what.job)) } else { None }
}

/// The number of jobs that depend on others; not 0 in a third of the swarms.
fn joins(chance: &mut Chance) -> u64 {
    let most = [0, 0, 7][chance.index(3)];
    if most > 0 { chance.between(1, most) } else { 0 }
}

/// In some swarms even a small mesh is divided into cells; by default only a large one is.
fn mesh(chance: &mut Chance) -> MeshConfig {
    if chance.permille(600) {
        return MeshConfig::DEFAULT;
    }
    MeshConfig {
        full_mesh: chance.small(0, 3),
        cell_nodes: chance.small(1, 5),
        flocks: [0, 1, 2][chance.index(3)],
        ..MeshConfig::DEFAULT
    }
}

/// A machine with drawn slots and label; the first one fits every job.
fn machine(chance: &mut Chance, place: usize) -> HostSpec {
    if place == 0 {
        return HostSpec::slots(chance.small(1, 4)).label("zone", "0");
    }
    HostSpec::slots(chance.small(0, 4)).label("zone", if chance.permille(500) { "0" } else { "1" })
}

/// In some swarms some machines, never the first, accept only higher classes, or only some owners.
fn machines(seed: u64, hosts: Vec<HostSpec>) -> Vec<HostSpec> {
    let chance = &mut Chance::new(seed, "takes");
    let picky_permille = [0, 0, 400][chance.index(3)];
    let takes = |(place, host): (usize, HostSpec)| {
        let picky = chance.permille(picky_permille) && place > 0;
        if picky { host.takes(Class::ALL[chance.index(4)]) } else { host }
    };
    let hosts: Vec<HostSpec> = hosts.into_iter().enumerate().map(takes).collect();
    let chance = &mut Chance::new(seed, "guests");
    let choosy_permille = [0, 0, 0, 400][chance.index(4)];
    let takes = |(place, host): (usize, HostSpec)| {
        if place > 0 && chance.permille(choosy_permille) { host.guests(guests(chance, place)) } else { host }
    };
    hosts.into_iter().enumerate().map(takes).collect()
}

/// A machine accepts tasks of only some of the hosts before it, or of all hosts but some of those.
fn guests(chance: &mut Chance, place: usize) -> Guests {
    let only = chance.permille(500);
    let named = (0..place).filter(|_| chance.permille(500)).map(HostId).collect();
    if only { Guests::Only(named) } else { Guests::AllBut(named) }
}

/// A drawn policy; each optional part is set in a third of the jobs.
fn policy(chance: &mut Chance) -> Policy {
    let wish = |chance: &mut Chance, most_ms: u64| chance.permille(333).then(|| chance.below(most_ms));
    let first_ms = chance.small(0, 3) * 300;
    Policy {
        not_before_ms: wish(chance, 4_000).unwrap_or(0),
        deadline_ms: wish(chance, 10_000),
        expires_ms: wish(chance, 12_000),
        backoff: Backoff { first_ms, most_ms: 2_000, jitter_percent: [0, 50, 100][chance.index(3)] },
        give_up_ms: wish(chance, 5_000),
        failures_max: chance.permille(333).then(|| chance.small(0, 10)),
        ..Policy::DEFAULT
    }
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
