//! Kept jobs under chance: their owner dies at any moment with any part of what it wrote on its disk. Whatever happens, an
//! accepted job is not lost, and what was told of a task is what the log says, once.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use std::collections::BTreeMap;

use weft_core::durable::LogRecord;
use weft_core::*;
use wire::Mesh;

const SEEDS: u64 = 150;
const STEPS: u64 = 60;

/// Numbers from a seed (PCG's multiplier); no cryptography.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn outcome(&mut self) -> Outcome {
        match self.below(4) {
            0 => Outcome::Failed(Failure::Exit(1)),
            1 => Outcome::Lost("its slot died".into()),
            _ => Outcome::Done,
        }
    }
}

/// What was told of jobs in all lives of the owner.
#[derive(Default)]
struct Told {
    accepted: BTreeMap<JobId, u32>,
    ends: BTreeMap<(JobId, u32), Outcome>,
    ended: Vec<JobId>,
    /// Their user wanted them forgotten.
    leaving: Vec<JobId>,
}

impl Told {
    /// What was told of a job counts no more, but for what is done.
    fn reopen(&mut self, job: JobId) {
        self.ended.retain(|name| *name != job);
        self.ends.retain(|(name, _), outcome| *name != job || *outcome == Outcome::Done);
    }

    fn hear(&mut self, events: Vec<Event>, seed: u64) {
        for event in events {
            if let Event::Accepted { job, tasks } = event {
                self.accepted.insert(job, tasks);
            } else if let Event::TaskEnded { job, index, report, .. } = event {
                assert!(self.accepted.get(&job).is_some_and(|tasks| index < *tasks), "seed {seed}");
                let before = self.ends.insert((job, index), report.outcome.clone());
                assert_eq!(before, None, "seed {seed}: task {index} of {job:?} is told twice");
            } else if let Event::JobEnded { job } = event {
                assert!(!self.ended.contains(&job), "seed {seed}: {job:?} ends twice");
                self.ended.push(job);
            } else if let Event::Confirmed { job } = event
                && self.ended.contains(&job)
            {
                // It is tried again by now: its user wanted that before the end was told.
                self.reopen(job);
            }
        }
    }
}

fn submit(mesh: &mut Mesh, chance: &mut Chance, number: u64, mark: usize) -> JobId {
    let job = JobId(number);
    let tasks = mark + usize::try_from(chance.below(5)).expect("few");
    let closed = chance.below(4) > 0;
    let parents = chance.below(3).min(number - 1);
    let join = if chance.below(2) == 0 { Join::AllEnded } else { Join::AllSucceeded };
    let policy = Policy {
        retries: 1,
        failures_max: (chance.below(4) == 0).then_some(1),
        verify: 1 + u32::from(chance.below(3) == 0),
        give_up_ms: (chance.below(3) == 0).then_some(4000),
        expires_ms: (chance.below(5) == 0).then_some(5000 + chance.below(60_000)),
        not_before_ms: chance.below(2) * 1500,
        ..Policy::DEFAULT
    };
    let receipts = chance.below(2) == 0;
    mesh.submit_with(0, tasks, |what| {
        what.job = job;
        (what.level, what.closed) = (Level::Disk, closed);
        (what.policy, what.terms.receipts) = (policy, receipts);
        (what.after, what.join) = ((1..=parents).map(|back| JobId(number - back)).collect(), join);
    });
    job
}

/// Has a job tried again or forgotten whose log says that it ended; what was told of it counts no more.
fn reopen(mesh: &mut Mesh, chance: &mut Chance, told: &mut Told, job: JobId) {
    let logged = mesh.disks[0].logs.iter().any(|(name, _)| *name == job);
    let log = logged.then(|| mesh.disks[0].try_fold(job)).flatten();
    let Some(log) = log.filter(|log| log.has_ended()) else { return };
    if chance.below(3) == 0 {
        told.leaving.push(job);
        mesh.input(0, Input::Command(Command::ForgetJob { job }));
    } else {
        told.reopen(job);
        mesh.input(0, Input::Command(Command::Retry(log)));
    }
}

/// The owner dies and comes back. Its user knows by the logs what was accepted, told or not.
fn restart(mesh: &mut Mesh, told: &mut Told) {
    mesh.restart(0, 1);
    for (job, _) in &mesh.disks[0].logs {
        if let Some(kept) = mesh.disks[0].try_fold(*job) {
            told.accepted.insert(*job, kept.figures().tasks);
        }
    }
}

fn step(mesh: &mut Mesh, chance: &mut Chance, told: &mut Told, jobs: &mut Vec<JobId>) {
    let any = jobs[usize::try_from(chance.below(jobs.len() as u64)).expect("few")];
    match chance.below(13) {
        0 => jobs.push(submit(mesh, chance, jobs.len() as u64 + 1, 0)),
        1 => {
            let inputs = mesh.fresh_inputs(2);
            mesh.input(0, Input::Command(Command::Extend { job: any, inputs }));
        }
        2 => mesh.input(0, Input::Command(Command::Close { job: any })),
        3 if chance.below(4) == 0 => mesh.input(0, Input::Command(Command::Cancel { job: any })),
        4 => restart(mesh, told),
        5 => {
            let written = mesh.disks[0].written.len() as u64;
            let synced = mesh.disks[0].synced;
            let upto = synced + chance.below(written - synced + 1);
            // The owner may die before it hears of what is on its disk.
            mesh.disks[0].sync(upto);
            if chance.below(4) > 0 {
                mesh.input(0, Input::Persisted { upto });
            }
        }
        12 => reopen(mesh, chance, told, any),
        6 | 7 => mesh.advance_ms(chance.below(3000)),
        _ => {
            mesh.outcome = chance.outcome();
            mesh.run_some(usize::try_from(chance.below(3)).expect("few"));
        }
    }
}

/// What a job's log says of each task that ended.
fn written(mesh: &Mesh, job: JobId) -> BTreeMap<u32, Outcome> {
    let (_, log) = mesh.disks[0].logs.iter().find(|(name, _)| *name == job).expect("it has a log");
    let mut ends = BTreeMap::new();
    for record in log.iter().map(|bytes| LogRecord::decode(bytes).expect("an owner wrote it")) {
        if let LogRecord::Outcomes(all) = record {
            ends.extend(all.into_iter().map(|kept| (kept.index, kept.report.outcome.clone())));
        } else if let LogRecord::Rest(rest) = record {
            ends.extend(rest.tasks.iter().map(|task| (task.index, rest.outcome.clone())));
        }
    }
    ends
}

#[test]
fn whatever_is_lost_with_the_owner_no_accepted_job_is_and_no_told_end_changes() {
    let (mut lives, mut ends) = (0, 0);
    for seed in 0..SEEDS {
        let (mut chance, mut told) = (Chance(seed), Told::default());
        let mut mesh = Mesh::of(&[1, 1, 2]);
        mesh.lazy = true;
        let mut jobs = vec![submit(&mut mesh, &mut chance, 1, 1)];
        for _ in 0..STEPS {
            mesh.steps = 0;
            let events = std::mem::take(&mut mesh.events[0]);
            told.hear(events, seed);
            step(&mut mesh, &mut chance, &mut told, &mut jobs);
            told.hear(std::mem::take(&mut mesh.events[0]), seed);
        }
        mesh.outcome = Outcome::Done;
        for _ in 0..20 {
            mesh.steps = 0;
            for job in jobs.clone() {
                mesh.input(0, Input::Command(Command::Close { job }));
            }
            mesh.run_all();
            mesh.sync(0);
            mesh.advance_ms(20_000);
            told.hear(std::mem::take(&mut mesh.events[0]), seed);
        }
        for (job, tasks) in told.accepted.iter().filter(|(job, _)| !told.leaving.contains(job)) {
            let kept = mesh.disks[0].fold(*job);
            assert!(kept.has_ended(), "seed {seed}: {job:?} has not ended: {:?}", kept.figures());
            assert!(kept.figures().tasks >= *tasks, "seed {seed}: tasks of {job:?} are lost");
            let written = written(&mesh, *job);
            let of_job = told.ends.iter().filter(|((name, _), _)| name == job);
            for ((_, index), outcome) in of_job {
                assert_eq!(written.get(index), Some(outcome), "seed {seed}: task {index} of {job:?}");
            }
        }
        lives += mesh.lives(0);
        ends += told.ends.len();
        mesh.assert_quiet();
    }
    assert!(lives > SEEDS && ends > 500, "{lives} restarts, {ends} ends");
}
