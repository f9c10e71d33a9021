//! Short jobs next to long ones: nine of ten jobs have 10 tasks of a second, the tenth has 100 tasks of a hundred seconds
//! and more than nine tenths of all work. Weft's engines, once with all jobs in one class and once with the short ones
//! as interactive, are compared with one central queue and two published schedulers ([`hawk`]).

mod hawk;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use weft_core::message::Class;

use self::hawk::Rule;
use super::lan::mesh::LeanMesh;
use super::plot::{Axis, Plot};
use super::report::{Report, Table};
use super::sparrow::meter::percentile_ms;
use crate::trace::Draw as _;
use weft_sim::Chance;

/// One job: its arrival, owner, kind, and the running times of its tasks; times are in microseconds.
struct Job {
    at_us: u64,
    owner: usize,
    short: bool,
    tasks_us: Vec<u32>,
}

fn draw(nodes: usize, slots: u32, load: f64, jobs: usize, seed: u64) -> Vec<Job> {
    let mut chance = Chance::new(seed, "mixed");
    let work_us = 0.9 * 10.0 * 1e6 + 0.1 * 100.0 * 100e6;
    let gap_us = work_us / (load * nodes as f64 * f64::from(slots));
    let mut now = 1e6;
    let one = |number: usize| {
        now += chance.exponential(gap_us);
        let short = number % 10 != 9;
        let (tasks, mean_us) = if short { (10, 1e6) } else { (100, 100e6) };
        let tasks_us = (0..tasks).map(|_| chance.exponential(mean_us).max(1000.0) as u32).collect();
        Job { at_us: now as u64, owner: chance.index(nodes), short, tasks_us }
    };
    (0..jobs).map(one).collect()
}

/// One queue for all slots, in order of arrival. Returns each job's response time, in microseconds.
fn central(jobs: &[Job], slots: usize) -> Vec<u64> {
    let mut free: BinaryHeap<Reverse<u64>> = (0..slots).map(|_| Reverse(0)).collect();
    let mut one = |job: &Job| {
        let ends = job.tasks_us.iter().map(|us| {
            let Reverse(at) = free.pop().expect("there are slots");
            let ends = at.max(job.at_us) + u64::from(*us);
            free.push(Reverse(ends));
            ends
        });
        ends.max().unwrap_or(job.at_us) - job.at_us
    };
    jobs.iter().map(&mut one).collect()
}

/// Weft's engines. Returns each job's response time in microseconds, `None` if not all jobs ended.
fn weft(jobs: &[Job], nodes: usize, slots: u32, classes: bool, seed: u64) -> Option<Vec<u64>> {
    let mut mesh = LeanMesh::new(nodes, slots, 500, seed);
    let mut names = Vec::new();
    for job in jobs {
        let class = if classes && job.short { Class::Interactive } else { Class::Batch };
        names.push(mesh.submit(job.at_us, job.owner, &job.tasks_us, |submission| submission.class = class));
    }
    let tasks = jobs.iter().map(|job| job.tasks_us.len()).sum();
    let last = jobs.last().map_or(0, |job| job.at_us);
    let ended = mesh.run(tasks, last + 100_000_000_000);
    let took = names.iter().filter_map(|name| mesh.jobs.get(name)).map(|(at, _, last)| last - at);
    ended.then(|| took.collect())
}

/// The number of workers that Hawk keeps for short jobs: two of a hundred, as for the paper's traces with the most long
/// work.
fn spared(workers: usize) -> usize {
    (workers / 50).max(1)
}

/// The experiment `mixed`.
#[must_use]
pub fn experiment(quick: bool) -> Report {
    let mut report = Report::default();
    let (nodes, slots, count) = if quick { (8, 4, 40) } else { (32, 4, 600) };
    let workers = nodes * slots as usize;
    for load in [0.7, 0.9] {
        let jobs = draw(nodes, slots, load, count, 1);
        report.say(&format!("\n{nodes} nodes of {slots} slots, {count} jobs, {} % load", load * 100.0));
        let mut table =
            Table::new(&["policy", "short p50 s", "short p90 s", "long p50 s", "long p90 s", "short mean s"]);
        let mut plot = Plot::new(
            &format!("Short jobs next to long ones, {} % load", load * 100.0),
            Axis::log("response of a short job, s"),
            Axis::linear("jobs, %"),
        );
        let rows = [
            ("one central queue", Some(central(&jobs, workers))),
            ("Sparrow (model)", Some(hawk::run(&jobs, workers, Rule::Sparrow, 1))),
            ("Hawk (model)", Some(hawk::run(&jobs, workers, Rule::Hawk { spared: spared(workers) }, 1))),
            ("weft, one class", weft(&jobs, nodes, slots, false, 1)),
            ("weft, short are interactive", weft(&jobs, nodes, slots, true, 1)),
        ];
        for (name, took) in rows {
            let Some(took) = took else {
                table.row(vec![name.into(), "did not end".into()]);
                continue;
            };
            let of = |short: bool| {
                let all = jobs.iter().zip(&took).filter(|(job, _)| job.short == short);
                let mut all: Vec<u64> = all.map(|(_, took)| *took).collect();
                all.sort_unstable();
                all
            };
            let (short, long) = (of(true), of(false));
            let seconds = |all: &[u64], percent: f64| format!("{:.2}", percentile_ms(all, percent) / 1000.0);
            let mean = short.iter().sum::<u64>() as f64 / short.len().max(1) as f64 / 1e6;
            table.row(vec![
                name.into(),
                seconds(&short, 50.0),
                seconds(&short, 90.0),
                seconds(&long, 50.0),
                seconds(&long, 90.0),
                format!("{mean:.2}"),
            ]);
            plot.cumulative(name, short.iter().map(|us| *us as f64 / 1e6).collect());
        }
        report.say(&table);
        report.plot(&format!("mixed-{}.svg", (load * 100.0) as u32), plot);
    }
    report
}
