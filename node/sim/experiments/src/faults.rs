//! The cost of faults: a slow node, nodes that come and go, lost frames, half the mesh cut off, a crash. Weft's engines
//! run in a [`World`], which checks all invariants after every event; a broken one ends the experiment. Each row is the
//! mean of a few seeds, and each seed is compared with its own undisturbed run.

use std::time::Duration;

use weft_core::{JobId, MeshConfig};

use super::plot::{Axis, Plot};
use super::report::{Report, Table};
use crate::trace::Draw as _;
use weft_sim::Chance;
use weft_sim::Fault;
use weft_sim::HostId;
use weft_sim::JobSpec;
use weft_sim::Weather;
use weft_sim::World;

const OWNER: HostId = HostId(0);
/// Longest time that the jobs may take after all faults have happened.
const LONGEST: Duration = Duration::from_secs(600);

/// The figures of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// From submission to the last end, in seconds.
    pub seconds: f64,
    /// Executions that ran to their end, per task.
    pub executions: f64,
    /// The number of leases that ended without an outcome.
    pub lost: u32,
    /// Progress over time: seconds, and the percentage of tasks that have ended.
    pub progress: Vec<(f64, f64)>,
}

/// Runs a world until all owed tasks have ended, with each of these faults at its time after the submission.
///
/// # Panics
/// When an invariant is broken, when something does not end within ten minutes, or when a task did not end as done.
pub fn finish(world: &mut World, jobs: &[JobId], mut faults: Vec<(Duration, Fault)>) -> Outcome {
    faults.sort_by_key(|(at, _)| *at);
    let start = world.now();
    // The submissions are handled first.
    world.run_for(Duration::ZERO);
    let tasks: usize = jobs.iter().map(|job| world.reference().progress(*job).0).sum();
    let mut faults = faults.into_iter().peekable();
    let mut progress = vec![(0.0, 0.0)];
    for percent in (0..=100).step_by(2) {
        let wanted = tasks * percent / 100;
        loop {
            let now = world.now() - start;
            let wait = faults.peek().map_or(LONGEST, |(at, _)| at.saturating_sub(now));
            let enough = |world: &World| {
                jobs.iter().map(|job| world.reference().progress(*job).1).sum::<usize>() >= wanted
            };
            if world.try_run_until(wait, enough).unwrap_or_else(|violation| panic!("{violation}")) {
                break;
            }
            let Some((_, fault)) = faults.next() else { panic!("tasks did not end within {LONGEST:?}") };
            world.fault(fault);
        }
        progress.push(((world.now() - start).as_secs_f64(), percent as f64));
    }
    let took = world.now() - start;
    let done: usize = jobs.iter().map(|job| world.reference().done(*job)).sum();
    assert_eq!(done, tasks, "every task ends, and ends as done");
    let executions: u32 = jobs.iter().map(|job| world.reference().executions(*job)).sum();
    Outcome {
        seconds: took.as_secs_f64(),
        executions: f64::from(executions) / tasks.max(1) as f64,
        lost: world.reference().losses(),
        progress,
    }
}

fn world(hosts: usize, slots: u32, weather: Weather, seed: u64) -> World {
    let mut world = World::builder(seed).hosts(hosts, slots).weather(weather).build();
    world.run_for(Duration::from_secs(3));
    world
}

/// One run per seed of an experiment.
fn runs(quick: bool, run: impl Fn(u64) -> Outcome) -> Vec<Outcome> {
    (1..=if quick { 2 } else { 5 }).map(run).collect()
}

fn headings() -> Table {
    Table::new(&["run", "s", "/ undisturbed", "least", "most", "executions a task", "leases lost"])
}

/// Adds a row: means over the seeds, and their range. Returns the mean ratio to the undisturbed runs.
fn row(table: &mut Table, name: &str, outcomes: &[Outcome], undisturbed: &[Outcome]) -> f64 {
    let mean = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
    let ratios = outcomes.iter().zip(undisturbed).map(|(run, base)| run.seconds / base.seconds);
    let ratios: Vec<f64> = ratios.collect();
    let ratio = ratios.iter().sum::<f64>() / ratios.len() as f64;
    table.row(vec![
        name.into(),
        format!("{:.3}", mean(|run| run.seconds)),
        format!("{ratio:.2}"),
        format!("{:.2}", ratios.iter().copied().fold(f64::INFINITY, f64::min)),
        format!("{:.2}", ratios.iter().copied().fold(0.0, f64::max)),
        format!("{:.3}", mean(|run| run.executions)),
        format!("{:.1}", mean(|run| f64::from(run.lost))),
    ]);
    ratio
}

/// One node of ten is twenty times slower.
#[must_use]
pub fn slow(quick: bool) -> Report {
    let mut report = Report::default();
    let per_slot = if quick { 5 } else { 25 };
    let mut plot = Plot::new(
        "One node of ten is slower",
        Axis::log("times slower"),
        Axis::linear("time of the job, times undisturbed"),
    );
    for service_ms in [5, 100] {
        let tasks = 40 * per_slot;
        report.say(&format!("\n10 nodes of 4 slots, {tasks} tasks of {service_ms} ms, one node slower"));
        let mut table = headings();
        let slower = |times| {
            runs(quick, |seed| {
                let mut world = world(10, 4, Weather::LAN, seed);
                world.fault(Fault::Slow { host: HostId(9), times, lag_ms: 0 });
                let job = world.submit(OWNER, &JobSpec::new(tasks, service_ms));
                finish(&mut world, &[job], Vec::new())
            })
        };
        let (base, mut points) = (slower(1), vec![(1.0, 1.0)]);
        row(&mut table, "as fast", &base, &base);
        for times in [2, 5, 20] {
            let ratio = row(&mut table, &format!("{times} times slower"), &slower(times), &base);
            points.push((f64::from(times), ratio));
        }
        report.say(&table);
        plot.line(&format!("tasks of {service_ms} ms"), points);
    }
    report.plot("slow.svg", plot);
    report
}

/// Each second a percentage of the nodes dies; each comes back five seconds later.
#[must_use]
pub fn churn(quick: bool) -> Report {
    let mut report = Report::default();
    let (hosts, tasks) = if quick { (10, 200) } else { (50, 3000) };
    report.say(&format!(
        "{hosts} nodes of 2 slots, {tasks} tasks of 500 ms; nodes die and come back after 5 s"
    ));
    let mut table = headings();
    let mut plot = Plot::new(
        "Churn",
        Axis::linear("nodes that die, %/s"),
        Axis::linear("time of the job, times undisturbed"),
    );
    let dying = |percent| {
        runs(quick, |seed| {
            let mut world = world(hosts, 2, Weather::LAN, seed);
            let job = world.submit(OWNER, &JobSpec::new(tasks, 500));
            finish(&mut world, &[job], deaths(hosts, percent, seed))
        })
    };
    let (base, mut points) = (dying(0), vec![(0.0, 1.0)]);
    row(&mut table, "nobody", &base, &base);
    for percent in [1, 5] {
        let ratio = row(&mut table, &format!("{percent} %/s"), &dying(percent), &base);
        points.push((f64::from(percent), ratio));
    }
    report.say(&table);
    plot.line("500 ms tasks", points);
    report.plot("churn.svg", plot);
    report
}

/// Kills and restarts within two minutes; the owner, which keeps its job in memory, is left out.
fn deaths(hosts: usize, percent: u32, seed: u64) -> Vec<(Duration, Fault)> {
    let mut chance = Chance::new(100 * seed + u64::from(percent), "churn");
    let mut plan = Vec::new();
    let mut at = 0.0;
    while percent > 0 && at < 120.0 {
        at += chance.exponential(100.0 / (f64::from(percent) * hosts as f64));
        let host = HostId(1 + chance.index(hosts - 1));
        // Half of them are power cuts, of which peers are not told.
        plan.push((Duration::from_secs_f64(at), Fault::Kill { host, told: chance.permille(500) }));
        plan.push((Duration::from_secs_f64(at + 5.0), Fault::Restart(host)));
    }
    plan
}

/// A percentage of all frames is lost, and retransmitted as by TCP.
#[must_use]
pub fn loss(quick: bool) -> Report {
    let mut report = Report::default();
    let tasks = if quick { 160 } else { 1600 };
    report.say(&format!(
        "8 nodes of 4 slots, {tasks} tasks of 50 ms; a lost frame comes 50 ms late, 150 ms if lost again, and so on"
    ));
    let mut table = headings();
    let mut plot =
        Plot::new("Loss", Axis::linear("frames lost, %"), Axis::linear("time of the job, times undisturbed"));
    let losing = |percent: u32| {
        runs(quick, |seed| {
            let mut world = world(8, 4, Weather::LAN, seed);
            world.set_weather(Weather { loss_permille: 10 * percent, ..Weather::LAN });
            let job = world.submit(OWNER, &JobSpec::new(tasks, 50));
            finish(&mut world, &[job], Vec::new())
        })
    };
    let (base, mut points) = (losing(0), vec![(0.0, 1.0)]);
    row(&mut table, "none", &base, &base);
    for percent in [1, 5, 30] {
        let ratio = row(&mut table, &format!("{percent} %"), &losing(percent), &base);
        points.push((f64::from(percent), ratio));
    }
    report.say(&table);
    plot.line("50 ms tasks", points);
    report.plot("loss.svg", plot);
    report
}

/// Half the mesh is cut off from the other half for ten seconds; both halves have work.
#[must_use]
pub fn cut(quick: bool) -> Report {
    let mut report = Report::default();
    let (hosts, tasks) = if quick { (6, 300) } else { (16, 2000) };
    report.say(&format!(
        "{hosts} nodes of 4 slots, two jobs of {tasks} tasks of 100 ms, one in each half; cut after 0.5 s for 10 s"
    ));
    let mut table = headings();
    let mut plot =
        Plot::new("Half the mesh cut off for 10 s", Axis::linear("s"), Axis::linear("tasks ended, %"));
    let parted = |faults: &[(Duration, Fault)]| {
        runs(quick, |seed| {
            let mut world = world(hosts, 4, Weather::LAN, seed);
            let other = HostId(hosts / 2);
            let jobs = [OWNER, other].map(|owner| world.submit(owner, &JobSpec::new(tasks, 100)));
            finish(&mut world, &jobs, faults.to_vec())
        })
    };
    let base = parted(&[]);
    for (name, outcomes) in [("undisturbed", &base), ("cut", &parted(&partition(hosts)))] {
        row(&mut table, name, outcomes, &base);
        let first = outcomes.first().map(|outcome| outcome.progress.clone());
        plot.line(name, first.unwrap_or_default());
    }
    report.say(&table);
    report.plot("cut.svg", plot);
    report
}

fn partition(hosts: usize) -> Vec<(Duration, Fault)> {
    let half = hosts / 2;
    let mut plan = Vec::new();
    for one in 0..half {
        for other in half..hosts {
            for (from, to) in [(one, other), (other, one)] {
                let (from, to) = (HostId(from), HostId(to));
                plan.push((Duration::from_millis(500), Fault::Cut { from, to }));
                plan.push((Duration::from_millis(10_500), Fault::Mend { from, to }));
            }
        }
    }
    plan
}

/// How long until a crash is noticed and its tasks run elsewhere, by the lease period and the interval of renewals.
#[must_use]
pub fn lease(quick: bool) -> Report {
    let mut report = Report::default();
    let trials = if quick { 3 } else { 20 };
    report.say(&format!(
        "A worker dies at a random moment while it runs tasks of 20 s; {trials} trials each. From its death to the \
         first lease given up, and to the first of its tasks awarded again, in seconds"
    ));
    let mut table = Table::new(&[
        "lease s",
        "renewed every s",
        "death",
        "noticed mean",
        "most",
        "leased again mean",
        "most",
    ]);
    let mut plot = Plot::new(
        "A crash is noticed",
        Axis::linear("lease, s"),
        Axis::linear("from death to the lease given up, mean, s"),
    );
    for told in [true, false] {
        let name = if told { "process" } else { "power cut" };
        for share in [2u64, 3, 6] {
            let mut points = Vec::new();
            for lease_ms in [1000u64, 2000, 4000, 8000] {
                let runs: Vec<(f64, f64)> =
                    (0..trials).map(|seed| crash((lease_ms, lease_ms / share), told, seed)).collect();
                let mean = |of: fn(&(f64, f64)) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
                let most = |of: fn(&(f64, f64)) -> f64| runs.iter().map(of).fold(0.0, f64::max);
                points.push((lease_ms as f64 / 1000.0, mean(|run| run.0)));
                table.row(vec![
                    format!("{}", lease_ms as f64 / 1000.0),
                    format!("{:.2}", lease_ms as f64 / share as f64 / 1000.0),
                    name.into(),
                    format!("{:.2}", mean(|run| run.0)),
                    format!("{:.2}", most(|run| run.0)),
                    format!("{:.2}", mean(|run| run.1)),
                    format!("{:.2}", most(|run| run.1)),
                ]);
            }
            plot.line(&format!("{name}, renewed {share} times a lease"), points);
        }
    }
    report.say(&table);
    report.plot("lease.svg", plot);
    report
}

/// One crash. Returns the seconds until it is noticed, and until its first task is awarded again.
fn crash((lease_ms, renew_ms): (u64, u64), told: bool, seed: u64) -> (f64, f64) {
    let mesh = MeshConfig { lease_ms, renew_ms, grace_ms: 500.min(lease_ms / 2), ..MeshConfig::DEFAULT };
    let mut world = World::builder(seed).mesh(mesh).hosts(3, 4).build();
    world.run_for(Duration::from_secs(2));
    // The other hosts have slots for the dead worker's tasks.
    let job = world.submit(OWNER, &JobSpec::new(8, 20_000));
    let moment = Chance::new(seed, "crash").between(1_000_000, 8_000_000);
    world.run_for(Duration::from_micros(moment));
    let victim = [HostId(1), HostId(2)].into_iter().find(|host| world.running(*host) > 0);
    let host = victim.expect("eight tasks need a second host of four slots");
    let died = world.now();
    world.fault(Fault::Kill { host, told });
    let most = Duration::from_secs(60);
    world.run_until("the death is noticed", most, |world| world.reference().losses() > 0);
    let noticed = (world.now() - died).as_secs_f64();
    world.run_until("its tasks are leased again", most, |world| {
        world.reference().leased_again(job) || local_again(world, job)
    });
    (noticed, (world.now() - died).as_secs_f64())
}

/// Whether the owner's own worker has a second attempt of a task.
fn local_again(world: &World, job: JobId) -> bool {
    let audit = world.engine(OWNER).map(weft_core::Engine::audit);
    audit.is_some_and(|audit| audit.held.iter().any(|(_, lease)| lease.job == job && lease.attempt > 1))
}
