//! The API over real loopback HTTP, spoken by the real client, before a node that echoes every input as its output.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bench;
mod flow;
mod jobs;
mod places;
mod requests;
mod tasks;
