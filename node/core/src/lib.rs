//! Every decision of a weft node, as a pure state machine.
//!
//! The crate is `no_std`: a clock, a socket, a file, a thread or a hash map has no name here. An [`Engine`] takes
//! what happened ([`Input`]) and says what to do ([`Effect`]); a driver (the node, or the simulator) hands in the
//! time, performs the effects, and wakes the engine at [`Engine::next_wakeup`]. Same inputs, same effects.
//!
//! ```text
//!   user, peers, slots, blobs --Input--> Engine --Effect--> peers, slots, blobs, user
//!                                        | owner       our jobs: queue, call, award, lease, commit
//!                                        | worker      others' tasks: bid, hold, run, deliver
//!                                        | exchange    others' bids and seeks, in a mesh of cells
//!                                        ' membership  who is here, what they told
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod audit;
mod cells;
pub mod codec;
pub mod config;
mod ctx;
mod digest;
pub mod effect;
pub mod engine;
mod exchange;
mod host;
pub mod id;
pub mod input;
pub mod log;
mod membership;
mod memo;
pub mod message;
mod outcome;
mod owner;
pub mod policy;
mod programs;
pub mod receipt;
pub mod referral;
mod refusal;
pub mod snapshot;
pub mod standing;
mod stats;
mod suspicion;
pub mod task;
pub mod time;
mod worker;

pub use audit::{Audit, JobAudit};
pub use cells::{cell_of, cells_for};
pub use config::{MeshConfig, NodeConfig};
pub use effect::{Effect, Event, Verified, Work};
pub use engine::{CellsAudit, Engine};
pub use host::Host;
pub use id::{BidId, BlobId, CallId, JobId, LeaseId, PeerId, RunId, TaskId};
pub use input::{Command, Fetched, Input, Join, Submission};
pub use message::{Gossip, Known, Message};
pub use policy::{Backoff, OWNERS_MAX, Owners, Policy};
pub use receipt::{Proof, Receipt};
pub use referral::{CellWord, Introduction, Scope, Seek};
pub use refusal::{AFTER_MAX, Refusal, TASK_SLOTS_MAX, VERIFY_MAX};
pub use task::{
    Entry, Expiry, Failure, Fault, Limit, Limits, Outcome, Payload, Profile, Program, Recall, Recalled, Report,
    Stream, TaskKey, Terms, Trap, Usage,
};
pub use time::Time;
