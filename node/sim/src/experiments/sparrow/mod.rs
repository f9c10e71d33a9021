//! Sparrow's simulation (10,000 machines of 4 slots, jobs of 100 tasks): the reference policies, and weft's.

pub mod cells;
pub mod central;
pub mod late;
pub mod meter;
pub mod push;
