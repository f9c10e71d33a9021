//! What outlives a node, with real processes that are killed, stopped, told to end and started again: each accepted job ends, and
//! each of its results is there once and is the right one. One program, so that tests which mostly wait do so at one time.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

#[path = "../support/mod.rs"]
mod support;

mod custody;
mod endure;
mod leaving;
mod restarts;
