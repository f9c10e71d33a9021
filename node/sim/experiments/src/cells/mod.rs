//! Large meshes: ten thousand engines of a node under the workload of Sparrow's simulation, compared with one omniscient
//! queue that gets the same jobs. A study of speed and traffic; invariants are checked by the swarms of `weft-sim`.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "figures for people"
)]

mod contender;
mod flags;
mod lean;
mod study;
mod tally;

pub use study::{Figures, Owners, Study, Trouble, Work};
