//! The verbs of `weft-sim`, one file each, and the table row that `run` and `seeds` print.

pub(crate) mod compare;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod scenarios;
pub(crate) mod seeds;

use weft_sim::Summary;
pub(crate) use weft_sim::program::{Problem, Verb, Words};

/// The columns of [`row`].
pub(crate) const HEADER: &str =
    "    seed  hosts  faults   tasks   ended  forgotten  executions   events  idle ms         time  trace";

/// A summary as a line under [`HEADER`].
pub(crate) fn row(summary: &Summary) -> String {
    let Summary {
        seed,
        hosts,
        faults,
        tasks,
        ended,
        forgotten,
        executions,
        events,
        time,
        trace,
        idle_us,
        ..
    } = summary;
    let (time, idle_ms) = (format!("{time:?}"), idle_us / 1000);
    format!(
        "{seed:>8} {hosts:>6} {faults:>7} {tasks:>7} {ended:>7} {forgotten:>10} {executions:>11} {events:>8} \
         {idle_ms:>8} {time:>12}  {trace:016x}"
    )
}
