//! Large meshes: ten thousand of the very engines that a node drives, under the workload of Sparrow's simulation,
//! beside one omniscient queue that is fed the same jobs. A study of speed and traffic; what must never happen is
//! checked by the swarms.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "figures for people"
)]

mod beside;
mod flags;
mod lean;
mod study;
mod tally;

pub use study::{Figures, Owners, Study, Trouble, Work};
