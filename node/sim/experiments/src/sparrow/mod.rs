//! Sparrow's simulation: 10,000 machines of 4 slots, jobs of 100 tasks of 100 ms, half a millisecond one-way delay. The
//! reference policies next to values that an independent simulator measured, and weft's cells, as a model of the
//! protocol.
//!
//! The rules of the comparison: all policies run the same trace; of 20,000 jobs the middle half is measured; two seeds.
//! Golden values come from an independent simulator with two seeds of its own; they are in [`ROWS`].

pub mod cells;
pub mod central;
pub mod golden;
pub mod late;
pub mod meter;
pub mod push;

use self::cells::Cells;
use self::late::Late;
use self::meter::{Figures, Meter};
use self::push::Choice;
use super::plot::{Axis, Plot};
use super::report::{Report, Table};
use super::trace::{Durations, Shape, Trace};
use crate::cells::Study;

/// The loads of the golden values.
pub const LOADS: [f64; 3] = [0.8, 0.9, 0.95];

/// A policy that can run a trace.
#[derive(Clone, Copy, Debug)]
pub enum Contender {
    /// One scheduler that knows every slot.
    Central,
    /// Each task is bound to a worker at once.
    Push(Choice),
    /// Each task is bound when a worker is ready.
    Late(Late),
    /// Cells with matchmakers.
    Cells(Cells),
    /// Another function that runs a trace with a seed and measures itself, such as engines.
    Other(fn(&Shape, &Trace, u64) -> Meter),
}

impl Contender {
    /// Runs a trace.
    #[must_use]
    pub fn run(self, shape: &Shape, trace: &Trace, seed: u64) -> Meter {
        match self {
            Self::Central => central::run(shape, trace),
            Self::Push(choice) => push::run(shape, trace, choice, seed),
            Self::Late(rule) => late::run(shape, trace, rule, seed),
            Self::Cells(rule) => cells::run(shape, trace, rule, seed),
            Self::Other(run) => run(shape, trace, seed),
        }
    }
}

/// A row of the table: a policy and its golden values, for jobs of exponential length (ratio to the ideal) and of
/// constant length (mean in milliseconds), at each of [`LOADS`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name in the table.
    pub name: &'static str,
    /// The policy.
    pub contender: Contender,
    /// Mean response of exponential jobs, in milliseconds.
    pub exponential: Option<[f64; 3]>,
    /// Mean response of constant jobs, in milliseconds.
    pub constant: Option<[f64; 3]>,
}

const fn late(probes: usize, cancel: bool, steals: u8) -> Contender {
    Contender::Late(Late { probes, cancel, steals })
}

/// Weft's cells: calls are spread evenly, and a call without a bid keeps its place in the queue while its matchmaker
/// asks one other matchmaker for a bid.
pub const WEFT: Cells = Cells {
    cells: 100,
    hops: 0,
    report_us: 0,
    two_choices: false,
    bids_walk: false,
    flocks: 1,
    deposits: false,
};

const MATCHERS: Cells = Cells { flocks: 0, deposits: true, ..WEFT };

/// All rows of the table.
pub const ROWS: [Row; 14] = [
    Row {
        name: "central omniscient",
        contender: Contender::Central,
        exponential: Some([100.8, 100.9, 103.6]),
        constant: Some([100.5, 100.6, 101.8]),
    },
    Row {
        name: "random",
        contender: Contender::Push(Choice::Random),
        exponential: Some([647.0, 866.0, 979.0]),
        constant: Some([374.0, 562.0, 676.0]),
    },
    Row {
        name: "per-task d=2",
        contender: Contender::Push(Choice::PerTask(2)),
        exponential: Some([215.0, 266.0, 310.0]),
        constant: Some([161.0, 171.0, 179.0]),
    },
    Row {
        name: "batch d=2",
        contender: Contender::Push(Choice::Batch(2)),
        exponential: Some([160.0, 227.0, 272.0]),
        constant: Some([143.0, 162.0, 169.0]),
    },
    Row {
        name: "Sparrow d=2",
        contender: late(2, false, 0),
        exponential: Some([105.7, 125.5, 150.1]),
        constant: Some([105.2, 121.2, 141.1]),
    },
    Row {
        name: "+ cancellation",
        contender: late(2, true, 0),
        exponential: Some([104.6, 121.6, 142.3]),
        constant: Some([103.9, 116.9, 131.3]),
    },
    Row {
        name: "+ cancellation, d=3",
        contender: late(3, true, 0),
        exponential: Some([101.9, 107.3, 120.2]),
        constant: Some([101.6, 106.0, 115.3]),
    },
    Row {
        name: "+ cancellation, d=4",
        contender: late(4, true, 0),
        exponential: Some([101.8, 106.1, 113.6]),
        constant: Some([101.5, 103.3, 110.0]),
    },
    Row {
        name: "+ cancellation + steal",
        contender: late(2, true, 2),
        exponential: Some([102.7, 106.8, 116.6]),
        constant: Some([102.3, 106.2, 112.8]),
    },
    Row {
        name: "+ cancellation, d=3 + steal",
        contender: late(3, true, 2),
        exponential: Some([101.9, 103.8, 111.1]),
        constant: Some([101.6, 103.3, 107.9]),
    },
    Row {
        name: "matchers, 100 cells",
        contender: Contender::Cells(MATCHERS),
        exponential: Some([101.3, 101.4, 104.1]),
        constant: Some([101.0, 101.1, 102.3]),
    },
    Row {
        name: "matchers, 300 cells",
        contender: Contender::Cells(Cells { cells: 300, ..MATCHERS }),
        exponential: Some([101.3, 102.8, 114.0]),
        constant: Some([101.0, 102.2, 107.4]),
    },
    Row {
        name: "weft cells (model), calls wait",
        contender: Contender::Cells(Cells { flocks: 0, ..WEFT }),
        exponential: None,
        constant: None,
    },
    Row {
        name: "weft cells (model), flocking",
        contender: Contender::Cells(WEFT),
        exponential: None,
        constant: None,
    },
];

/// The shape of the experiment; `quick` has a tenth of the machines and fewer jobs.
#[must_use]
pub fn shape(quick: bool, load: f64) -> Shape {
    let full =
        Shape { workers: 10_000, slots: 4, tasks: 100, jobs: 20_000, mean_us: 100_000, delay_us: 500, load };
    if quick { Shape { workers: 1000, tasks: 10, jobs: 1500, ..full } } else { full }
}

/// The mean figures of a policy over seeds 1 and 2.
#[must_use]
pub fn measure(contender: Contender, shape: &Shape, durations: Durations) -> Figures {
    measure_longer(contender, shape, durations, 1.0)
}

/// The same with all running times multiplied by `times`.
fn measure_longer(contender: Contender, shape: &Shape, durations: Durations, times: f64) -> Figures {
    let runs = [1, 2].map(|seed| {
        let trace = Trace::draw(shape, durations, seed).lengthened(times);
        contender.run(shape, &trace, seed).figures(&trace)
    });
    Figures::mean(&runs)
}

/// The engines that a node runs. This row takes minutes.
const ENGINES: Row = Row {
    name: "weft (engines)",
    contender: Contender::Other(Study::contend),
    exponential: None,
    constant: None,
};

/// The experiment `sparrow`.
#[must_use]
pub fn experiment(quick: bool) -> Report {
    tables(quick, &ROWS)
}

/// The experiment with weft's own engines next to the models, under the same traces. It takes a quarter of an hour of
/// processor time for each load.
#[must_use]
pub fn with_engines(quick: bool) -> Report {
    let rows: Vec<Row> = ROWS.into_iter().chain([ENGINES]).collect();
    tables(quick, &rows)
}

fn tables(quick: bool, rows: &[Row]) -> Report {
    let mut report = Report::default();
    let Shape { workers, slots, tasks, jobs, .. } = shape(quick, 0.8);
    report.say(&format!(
        "{workers} machines of {slots} slots, {jobs} jobs of {tasks} tasks of 100 ms, 0.5 ms one way, two seeds.\n\
         ideal: the mean of the jobs' longest tasks. golden: an independent simulator's values, for the full size."
    ));
    for (durations, name) in [(Durations::ExpJobs, "exponential"), (Durations::Constant, "constant")] {
        kind(&mut report, quick, rows, (durations, name));
    }
    if !quick {
        odd_jobs(&mut report);
    }
    report
}

fn kind(report: &mut Report, quick: bool, rows: &[Row], (durations, name): (Durations, &str)) {
    report.say(&format!("\nJobs of {name} length"));
    let mut table = Table::new(&[
        "policy", "load", "mean ms", "x ideal", "p50", "p95", "p99", "messages", "no-ops", "steals",
        "golden", "off",
    ]);
    let mut plot = Plot::new(
        &format!("Jobs of {name} length: mean response"),
        Axis::linear("load"),
        Axis::log("times ideal").within(0.999, 4.0),
    );
    for row in rows {
        let mut points = Vec::new();
        for (place, load) in LOADS.into_iter().enumerate() {
            let figures = measure(row.contender, &shape(quick, load), durations);
            points.push((load, figures.ratio));
            let golden = match durations {
                Durations::ExpJobs => row.exponential,
                Durations::Constant => row.constant,
            };
            let golden = golden.filter(|_| !quick).map(|golden| golden[place]);
            table.row(cells_of(row.name, load, &figures, golden));
        }
        plot.line(row.name, points);
    }
    report.say(&table);
    report.plot(&format!("sparrow-{name}.svg"), plot);
}

fn cells_of(name: &str, load: f64, figures: &Figures, golden: Option<f64>) -> Vec<String> {
    let Figures { mean_ms, p50_ms, p95_ms, p99_ms, ratio, messages, noops, steals } = *figures;
    let off = golden.map(|golden| format!("{:+.1} %", 100.0 * (mean_ms / golden - 1.0)));
    let one = |value: f64| format!("{value:.1}");
    let two = |value: f64| format!("{value:.2}");
    vec![
        name.into(),
        format!("{load}"),
        one(mean_ms),
        format!("{ratio:.3}"),
        one(p50_ms),
        one(p95_ms),
        one(p99_ms),
        two(messages),
        two(noops),
        two(steals),
        golden.map_or_else(|| "-".into(), one),
        off.unwrap_or_else(|| "-".into()),
    ]
}

/// Jobs whose tasks do not spread evenly over the cells.
fn odd_jobs(report: &mut Report) {
    report.say(&"\nJobs of other sizes at 95 % load, exponential length: times ideal (messages a task)");
    let names = ["tasks a job", "central", "matchers", "weft, calls wait", "weft, flocking"];
    let contenders = [
        Contender::Central,
        Contender::Cells(MATCHERS),
        Contender::Cells(Cells { flocks: 0, ..WEFT }),
        Contender::Cells(WEFT),
    ];
    let mut table = Table::new(&names);
    for tasks in [1, 10, 30, 37, 250] {
        let shape = Shape { tasks, jobs: 1_000_000 / tasks, ..shape(false, 0.95) };
        let figures = contenders.map(|contender| measure(contender, &shape, Durations::ExpJobs));
        let cells = figures.iter().map(|figures| format!("{:.3} ({:.1})", figures.ratio, figures.messages));
        table.row(std::iter::once(tasks.to_string()).chain(cells).collect());
    }
    report.say(&table);
}
