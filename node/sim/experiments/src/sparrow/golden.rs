//! The golden values of jobs of exponential length, under the load that they were measured at.
//!
//! An independent simulator measured them with two seeds of its own, whose actual load was not recorded: with 20,000
//! exponential jobs it varies by a percent or two, and at 95 % one percent more makes waits a fifth longer. Our traces
//! are scaled to exactly the requested load (see [`Trace`](super::super::trace::Trace)), so that the two differ by one
//! unknown number: the excess load of the golden traces. The golden values themselves show it: their ratios put the
//! golden ideal at 100.3 ms, and ours is 99.4 ms.
//!
//! So one number is fitted for each load, within 2 %, on one row and one policy: the factor by which all tasks must be
//! lengthened for the central queue's mean to match the golden one. All other rows then run the lengthened trace without
//! any free parameter. Neither the policies nor the single rows are fitted.

use super::{Contender, LOADS, ROWS, measure_longer, shape};
use crate::report::{Report, Table};
use crate::trace::{Durations, Shape};

/// Largest relative difference of the golden traces' load from the requested one: what chance causes for two seeds of
/// 20,000 jobs.
const WANDERS: f64 = 0.02;
/// How often that range is halved: down to a thousandth of a percent.
const HALVINGS: u32 = 12;
/// Largest accepted difference of a row from its golden value, in percent.
pub const NEAR_PERCENT: f64 = 5.0;

/// The factor by which a trace's tasks must be lengthened for the central queue to reach this mean, within [`WANDERS`];
/// `None` if no such factor exists. The mean grows with the factor, so that bisection finds it.
#[must_use]
pub fn fit(shape: &Shape, mean_ms: f64) -> Option<f64> {
    let at = |times: f64| measure_longer(Contender::Central, shape, Durations::ExpJobs, times).mean_ms;
    let (mut low, mut high) = (1.0 - WANDERS, 1.0 + WANDERS);
    if mean_ms < at(low) || mean_ms > at(high) {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        *(if at(middle) < mean_ms { &mut low } else { &mut high }) = middle;
    }
    Some(f64::midpoint(low, high))
}

/// All rows with golden values, under the loads that were fitted on the first row.
#[must_use]
pub fn experiment(quick: bool) -> Report {
    let mut report = Report::default();
    report.say(
        &"Jobs of exponential length, mean response in ms. The load is fitted on the central queue's row alone, one \
          number for each\ncolumn; the other rows have nothing free. golden: an independent simulator's values, for the full size.",
    );
    let mut table = Table::new(&["policy", "load", "fitted load", "mean ms", "golden", "off"]);
    let (mut rows, mut worst) = (0u32, (0.0_f64, String::new()));
    for (place, load) in LOADS.into_iter().enumerate() {
        let shape = shape(quick, load);
        let central = ROWS[0].exponential.map_or(0.0, |golden| golden[place]);
        let Some(times) = fit(&shape, central) else {
            report.say(&format!("at {load} no load within 2 % gives the central queue {central} ms"));
            continue;
        };
        for row in ROWS {
            let Some(golden) = row.exponential.map(|golden| golden[place]) else { continue };
            let mean_ms = measure_longer(row.contender, &shape, Durations::ExpJobs, times).mean_ms;
            let off = 100.0 * (mean_ms / golden - 1.0);
            let fitted = matches!(row.contender, Contender::Central);
            if !fitted {
                rows += 1;
                worst =
                    if off.abs() > worst.0 { (off.abs(), format!("{} at {load}", row.name)) } else { worst };
            }
            table.row(vec![
                row.name.into(),
                format!("{load}"),
                format!("{:.4}", load * times),
                format!("{mean_ms:.1}"),
                format!("{golden:.1}"),
                if fitted { "fitted".into() } else { format!("{off:+.1} %") },
            ]);
        }
    }
    report.say(&table);
    let verdict = if worst.0 <= NEAR_PERCENT { "all within" } else { "NOT all within" };
    report.say(&format!(
        "{rows} rows besides the fitted ones: {verdict} {NEAR_PERCENT} %; the farthest is {} with {:.1} %",
        worst.1, worst.0
    ));
    report
}
