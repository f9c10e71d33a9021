//! Experiments that anyone can run: `weft-sim experiment NAME`. Each prints tables and draws plots, from a seed and from
//! nothing else.
//!
//! The reference policies are models, which know time and messages alone. Weft's own rows are its very engines, or say
//! that they are a model. Floats are welcome here: no decision of a node rests on anything in this folder.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics of small numbers, far from any bound"
)]

mod agenda;
pub mod lan;
pub mod plot;
pub mod report;
pub mod sparrow;
pub mod trace;

use report::Report;

/// Every experiment: its name, what it shows, and how it is run, quickly or in full.
pub const ALL: [(&str, &str, fn(bool) -> Report); 1] =
    [("lan", "tasks of half a millisecond on 3 to 100 nodes, which all submit", lan::experiment)];

/// Runs an experiment by its name; `None` if there is none of that name.
#[must_use]
pub fn run(name: &str, quick: bool) -> Option<Report> {
    let (_, _, experiment) = ALL.iter().find(|(known, _, _)| *known == name)?;
    Some(experiment(quick))
}
