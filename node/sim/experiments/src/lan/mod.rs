//! Tasks of half a millisecond on meshes of 3 to 100 nodes, all of which submit: the reference policies as models, and
//! weft's own engines with a node's gossip.

pub mod mesh;
pub mod model;
mod slots;

use self::mesh::{KINDS, LeanMesh};
use self::model::{LanFigures, Policy};
use super::plot::{Axis, Plot};
use super::report::{Report, Table};
use super::trace::{Distinct, Durations, Shape, Trace};
use weft_sim::Chance;

/// A drawn trace of single tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct LanTrace {
    /// The machines and the load.
    pub shape: Shape,
    /// For each task: its submission in microseconds, its node, and its running time in microseconds.
    pub tasks: Vec<(u64, u32, u32)>,
}

impl LanTrace {
    /// Exponential tasks of half a millisecond, a tenth of a millisecond one way through the network, four slots a node.
    #[must_use]
    pub fn draw(nodes: usize, load: f64, tasks: usize, seed: u64) -> Self {
        let shape =
            Shape { workers: nodes, slots: 4, tasks: 1, jobs: tasks, mean_us: 500, delay_us: 100, load };
        let drawn = Trace::draw(&shape, Durations::ExpJobs, seed);
        let mut who = Chance::new(seed, "submitters");
        let tasks = drawn.arrivals.iter().zip(&drawn.durations);
        let tasks = tasks.map(|(at, us)| (*at, who.index(nodes) as u32, *us as u32)).collect();
        Self { shape, tasks }
    }

    /// A heavy tail: one task of 200 runs for 50 ms, all others for a quarter of a millisecond.
    #[must_use]
    pub fn tailed(nodes: usize, load: f64, tasks: usize, seed: u64) -> Self {
        const SHORT_US: u32 = 250;
        const LONG_US: u32 = 50_000;
        const ONE_IN: usize = 200;
        let mut trace = Self::draw(nodes, load, tasks, seed);
        let mut long = Vec::new();
        Distinct::new(tasks).draw(&mut Chance::new(seed, "long"), tasks.div_ceil(ONE_IN), &mut long);
        trace.tasks.iter_mut().for_each(|(_, _, us)| *us = SHORT_US);
        for place in &long {
            trace.tasks[*place as usize].2 = LONG_US;
        }
        // The arrivals were drawn for half a millisecond.
        let work_us: u64 = trace.tasks.iter().map(|(_, _, us)| u64::from(*us)).sum();
        let times = work_us as f64 / (tasks as f64 * trace.shape.mean_us as f64);
        trace.tasks.iter_mut().for_each(|(at, _, _)| *at = (*at as f64 * times) as u64);
        trace
    }
}

/// The reference policies, and what an independent simulator measured for them at 70 % and 90 % load on 32 nodes (mean
/// response in milliseconds).
pub const REFERENCES: [(&str, Policy, Option<[f64; 2]>); 6] = [
    ("random", Policy::Random, Some([0.87, 1.61])),
    ("gossip 5 ms, two choices", Policy::Gossip(5_000), Some([1.13, 1.76])),
    ("fresh two-choice probe", Policy::Probe, Some([0.95, 1.10])),
    ("table + answers", Policy::Table { local_first: false, two_rows: false }, Some([0.68, 0.84])),
    ("local first + table", Policy::Table { local_first: true, two_rows: false }, Some([0.605, 0.80])),
    ("local first + two rows", Policy::Table { local_first: true, two_rows: true }, None),
];

/// The same at 90 % with a heavy tail.
const TAILED: [(Policy, f64); 4] = [
    (Policy::Random, 15.2),
    (Policy::Probe, 1.27),
    (Policy::Table { local_first: false, two_rows: false }, 0.78),
    (Policy::Table { local_first: true, two_rows: false }, 0.76),
];

/// The best mean response of any reference policy at 70 % and 90 % load, in milliseconds, by the number of nodes. Weft is
/// compared with it.
const BEST: [(usize, [f64; 2]); 4] =
    [(3, [0.605, 0.92]), (10, [0.596, 0.81]), (32, [0.605, 0.80]), (100, [0.593, 0.89])];

/// Runs a trace with weft's engines. Returns the figures, the mesh, and whether every task ended.
#[must_use]
pub fn run_weft(trace: &LanTrace, seed: u64) -> (LanFigures, LeanMesh, bool) {
    /// Time of the first task: capacities have been published by then.
    const START_US: u64 = 500_000;
    let Shape { workers, slots, delay_us, .. } = trace.shape;
    let mut mesh = LeanMesh::new(workers, slots as u32, delay_us, seed);
    for (at, host, us) in &trace.tasks {
        mesh.want(START_US + at, *host as usize, *us);
    }
    let last = trace.tasks.last().map_or(0, |(at, _, _)| *at);
    let ended = mesh.run(trace.tasks.len(), START_US + 20 * (last + 100_000));
    (LanFigures::new(mesh.responses.clone(), mesh.messages), mesh, ended)
}

/// The experiment `lan`.
#[must_use]
pub fn experiment(quick: bool) -> Report {
    let mut report = Report::default();
    let (models, engines) = if quick { (20_000, 2_000) } else { (300_000, 60_000) };
    let meshes: &[usize] = if quick { &[3, 10] } else { &[3, 10, 32, 100] };
    for nodes in meshes {
        for (place, load) in [0.7, 0.9].into_iter().enumerate() {
            let percent = (load * 100.0) as u32;
            let best = BEST.iter().find(|(count, _)| count == nodes).map(|(_, means)| means[place]);
            let setting = Setting {
                what: format!("{nodes} nodes of 4 slots, tasks of 0.5 ms, 0.1 ms one way, {percent} % load"),
                file: format!("lan-{nodes}-{percent}.svg"),
                traces: [models, engines].map(|tasks| LanTrace::draw(*nodes, load, tasks, 1)),
                rows: REFERENCES.map(|(name, policy, anchors)| {
                    (name, policy, anchors.filter(|_| *nodes == 32).map(|anchors| anchors[place]))
                }),
                best,
            };
            setting.measure(&mut report);
        }
    }
    tailed(if quick { 10 } else { 32 }, (models, engines)).measure(&mut report);
    report
}

/// One task of 200 runs two hundred times as long as the others, at 90 % load.
fn tailed(nodes: usize, (models, engines): (usize, usize)) -> Setting {
    let anchor = |policy: Policy| TAILED.iter().find(|(other, _)| *other == policy).map(|(_, mean)| *mean);
    Setting {
        what: format!("{nodes} nodes of 4 slots, tasks of 0.25 ms but one of 200 of 50 ms, 90 % load"),
        file: format!("lan-tailed-{nodes}.svg"),
        traces: [models, engines].map(|tasks| LanTrace::tailed(nodes, 0.9, tasks, 1)),
        rows: REFERENCES.map(|(name, policy, _)| (name, policy, anchor(policy).filter(|_| nodes == 32))),
        best: Some(0.76).filter(|_| nodes == 32),
    }
}

/// One table of the experiment.
struct Setting {
    what: String,
    file: String,
    /// The traces of the models and of weft.
    traces: [LanTrace; 2],
    rows: [(&'static str, Policy, Option<f64>); 6],
    /// The best mean of a reference policy, in milliseconds.
    best: Option<f64>,
}

impl Setting {
    fn measure(self, report: &mut Report) {
        let Self { what, file, traces: [models, engines], rows, best } = self;
        report.say(&format!("\n{what}"));
        let mut table = Table::new(&["policy", "mean ms", "p99 ms", "messages", "anchor", "ratio"]);
        let mut plot =
            Plot::new(&what, Axis::log("response, ms").within(0.05, 20.0), Axis::linear("tasks, %"));
        let cell = |value: f64| format!("{value:.3}");
        let compared = |mean: f64, anchor: Option<f64>| match anchor {
            Some(anchor) => [cell(anchor), format!("{:.2}", mean / anchor)],
            None => ["-".to_string(), "-".to_string()],
        };
        let mut add = |name: &str, figures: &LanFigures, anchor: Option<f64>| {
            let [anchor, ratio] = compared(figures.mean_ms, anchor);
            let messages = format!("{:.2}", figures.messages);
            table.row(vec![
                name.into(),
                cell(figures.mean_ms),
                cell(figures.p99_ms),
                messages,
                anchor,
                ratio,
            ]);
            plot.cumulative(name, figures.responses_us.iter().map(|us| *us as f64 / 1000.0).collect());
        };
        for (name, policy, anchor) in rows {
            add(name, &model::run(&models, policy, 1), anchor);
        }
        let (figures, mesh, ended) = run_weft(&engines, 1);
        add("weft", &figures, best);
        report.say(&table);
        let kinds = KINDS.iter().zip(mesh.kinds).filter(|(_, count)| *count > 0);
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{kind} {:.2}", count as f64 / engines.tasks.len() as f64))
            .collect();
        let tasks = figures.responses_us.len();
        report.say(&format!("weft's messages a task, of {tasks} tasks measured: {}", kinds.join(", ")));
        if !ended {
            report.say(&"weft did not end all tasks in time: its figures are of those that ended");
        }
        report.plot(&file, plot);
    }
}
