//! The weft engine under virtual time and injected faults.
//!
//! A [`World`] drives the same engines as a node, through the same two doors, with fake ports around them: links that
//! lose, delay and cut frames, processes that die, stop and come back, slots whose tasks carry their own running time
//! and outcome. No code here reads a clock or depends on hash order: a seed determines every event of a world.
//!
//! ```text
//!   swarm       options and faults drawn from a seed: safety under faults, then heal and require progress
//!   world       virtual time: one event at a time, every invariant after each
//!   host        engine + slots + blobs          fabric, link   the network
//!   ports       performs effects                reference      what is owed, by a naive model
//!   fault_plan  partitions, lost disks, clocks  liveness       no idle slot next to a waiting task
//!   delivery    what the model notes of inputs  coverage       what happened, counted by name
//!   disk        logs, and what a crash loses    kept, mesh     what users were told, and on which disks it is
//! ```
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a simulator with a bug should stop with a message"
)]

mod breach;
mod builder;
mod chance;
mod copies;
mod coverage;
mod credit_invariants;
mod custody;
mod custody_plan;
mod damage;
mod delivery;
mod disk;
mod drain;
mod fabric;
mod fault;
mod fault_plan;
mod fetches;
mod gathers;
mod gone;
mod holders;
mod host;
mod invariants;
mod joins;
mod journal;
mod keeping;
mod kept;
mod leases;
mod lies;
mod link;
mod liveness;
mod load;
mod machines;
mod memories;
mod memory;
mod mesh;
mod options;
mod policies;
mod ports;
pub mod program;
mod queue;
mod record;
mod reference;
mod replay;
mod results;
mod scenarios;
mod settings;
mod swarm;
mod trace;
mod trust;
mod workload;
mod world;

pub use builder::Builder;
pub use chance::Chance;
pub use coverage::{Coverage, SOMETIMES};
pub use fault::Fault;
pub use host::{Guests, HostId, HostSpec};
pub use invariants::Violation;
pub use lies::idle_call;
pub use link::{Chaos, Weather};
pub use record::HostLog;
pub use reference::Reference;
pub use replay::{Difference, LogEnd, ReplayError, Replayed, kind, replay};
pub use scenarios::{SCENARIOS, Scenario, Watch, scenario};
pub use settings::Settings;
pub use swarm::{Failure, Summary, simulate, simulate_recorded, simulate_with};
pub use trace::Trace;
pub use workload::{Fate, JobSpec};
pub use world::World;
