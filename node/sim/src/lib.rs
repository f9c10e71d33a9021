//! The weft engine under virtual time, in a cruel world.
//!
//! A [`World`] drives the very engines that a node drives, through the same two doors, with fake ports around them:
//! links that lose, delay and cut, processes that die, stop and come back, slots whose tasks say themselves how they
//! end. Nothing here reads a clock or depends on hash order: a world follows from its seed, event by event.
//!
//! ```text
//!   swarm    options and faults drawn from a seed: safety under fire, then heal and demand progress
//!   world    virtual time: one event at a time, every invariant after each
//!   host     engine + slots + blobs        fabric, link   the network
//!   ports    performs effects              reference      what is owed, by a naive model
//!   cells    ten thousand engines, without invariants, beside one omniscient queue
//! ```
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a simulator that is wrong should stop, loudly"
)]

mod builder;
pub mod cells;
mod chance;
mod fabric;
mod fault;
mod host;
mod invariants;
mod link;
mod options;
mod ports;
mod queue;
mod reference;
mod swarm;
mod trace;
mod workload;
mod world;

pub use builder::Builder;
pub use fault::Fault;
pub use host::{HostId, HostSpec};
pub use invariants::Violation;
pub use link::{Chaos, Weather};
pub use reference::Reference;
pub use swarm::{Failure, Summary, simulate};
pub use trace::Trace;
pub use workload::{Fate, JobSpec};
pub use world::World;
