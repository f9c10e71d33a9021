//! Experiments that anyone can run: `weft-experiments run NAME`. Each prints tables and draws plots, from a seed and from
//! nothing else.
//!
//! The reference policies are models, which know time and messages alone. Weft's own rows are its very engines, or say
//! that they are a model. Floats are welcome here: no decision of a node rests on anything in this folder.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics of small numbers, far from any bound; an experiment that is wrong should stop"
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

/// An experiment: quick or in full.
pub type Experiment = fn(bool) -> Report;

/// Every experiment: its name, what it shows, and how it is run.
pub const ALL: [(&str, &str, Experiment); 9] = [
    (
        "sparrow",
        "10,000 machines: the policies of Sparrow's simulation, and a market of cells",
        sparrow::experiment,
    ),
    ("lan", "tasks of half a millisecond on 3 to 100 nodes, which all submit", lan::experiment),
    ("backup", "copies of the last tasks: MapReduce's sort, a cluster with slow nodes", backup::experiment),
    ("mixed", "short jobs beside long ones", mixed::experiment),
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
