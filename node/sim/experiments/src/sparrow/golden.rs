//! The golden values of jobs of exponential length, under the load that they were measured at.
//!
//! Others measured them with two seeds of their own whose load was not written down: with 20,000 exponential jobs it wanders by a percent or two, and at 95 % one percent more makes the
//! waits a fifth longer. Ours are stretched to ask for exactly the load (see [`Trace`](super::super::trace::Trace)),
//! so that the two differ by one number that is unknown: how much more the golden traces asked for. It shows in the golden values themselves: their
//! ratios put the golden ideal at 100.3 ms, where ours is 99.4 ms.
//!
//! So one number is fitted for each load, within 2 %, on one row and by one policy: by how much all tasks have to be
//! lengthened for the central queue's mean to be the golden one. Every other row then runs the lengthened trace, and
//! nothing about it is free any more. What this is not: a fit of the policies, or of each row.

use super::{Contender, LOADS, ROWS, measure_longer, shape};
use crate::report::{Report, Table};
use crate::trace::{Durations, Shape};

/// By how much the golden traces' load may differ from the one that was asked for: as far as chance would lead two
/// seeds of 20,000 jobs.
const WANDERS: f64 = 0.02;
/// Halvings of that range: to a thousandth of a percent.
const HALVINGS: u32 = 12;
/// How near a row must come to its golden value, in percent.
pub const NEAR_PERCENT: f64 = 5.0;

/// By how much a trace's tasks must be lengthened for the central queue to come to this mean, within the range in which
/// loads wander; `None` if no such length does. The mean grows with the length, so that halving the range finds it.
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

/// All rows with golden values under the loads that were fitted on the first of them.
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
        "{rows} rows beside the fitted ones: {verdict} {NEAR_PERCENT} %; the farthest is {} with {:.1} %",
        worst.1, worst.0
    ));
    report
}
