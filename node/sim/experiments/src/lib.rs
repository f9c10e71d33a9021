//! Reproducible experiments: `weft-experiments run NAME`. Each prints tables and draws plots, which a seed determines.
//!
//! The reference policies are models of time and messages only. Weft's own rows come from its engines, or are labelled as
//! a model. Floats are allowed here: no decision of a node depends on this crate.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics of small numbers, far from any bound; an experiment with a bug should stop"
)]

mod agenda;
pub mod backup;
pub mod cells;
pub mod faults;
pub mod lan;
pub mod mixed;
pub mod plot;
pub mod report;
pub mod sparrow;
pub mod trace;

use report::Report;

/// An experiment; the argument selects the quick version.
pub type Experiment = fn(bool) -> Report;

/// All experiments: name, subject, function.
pub const ALL: [(&str, &str, Experiment); 9] = [
    (
        "sparrow",
        "10,000 machines: the policies of Sparrow's simulation, and a market of cells",
        sparrow::experiment,
    ),
    ("lan", "tasks of half a millisecond on 3 to 100 nodes, which all submit", lan::experiment),
    ("backup", "copies of the last tasks: MapReduce's sort, a cluster with slow nodes", backup::experiment),
    ("mixed", "short jobs next to long ones", mixed::experiment),
    ("slow", "one node of ten is up to twenty times slower", faults::slow),
    ("churn", "nodes die and come back", faults::churn),
    ("loss", "frames are lost", faults::loss),
    ("cut", "half the mesh is cut off for ten seconds", faults::cut),
    ("lease", "how long until a crash is noticed, by lease and renewal", faults::lease),
];

/// Runs an experiment by its name; `None` if there is none of that name.
#[must_use]
pub fn run(name: &str, quick: bool) -> Option<Report> {
    let (_, _, experiment) = ALL.iter().find(|(known, _, _)| *known == name)?;
    Some(experiment(quick))
}
