//! Every decision of a weft node, as a pure state machine.
//!
//! The crate is `no_std`: it uses no clock, socket, file, thread or hash map. An [`Engine`] takes events ([`Input`])
//! and returns actions ([`Effect`]); a driver (the node, or the simulator) passes in the time, performs the effects,
//! and wakes the engine at [`Engine::next_wakeup`]. The same inputs give the same effects.
//!
//! ```text
//!   user, peers, slots, blobs --Input--> Engine --Effect--> peers, slots, blobs, user
//!                                        | owner       our jobs: queue, call, award, lease, commit
//!                                        | worker      others' tasks: bid, hold, run, deliver
//!                                        | matchmaker    others' bids and requests, in a mesh of cells
//!                                        ' membership  which nodes are here, what they announced
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod audit;
mod cells;
mod claim;
pub mod codec;
pub mod config;
mod ctx;
pub mod custody;
mod digest;
pub mod durable;
pub mod effect;
pub mod engine;
mod host;
pub mod id;
pub mod input;
mod local;
pub mod log;
mod matchmaker;
mod membership;
mod memo;
pub mod message;
mod outcome;
mod owner;
mod payload;
pub mod policy;
mod programs;
pub mod receipt;
pub mod referral;
mod refusal;
mod remembered;
pub mod reputation;
mod retained;
mod self_fencing;
pub mod snapshot;
mod stats;
mod submission;
pub mod task;
pub mod time;
mod worker;

pub use audit::{Audit, CellsAudit, JobAudit};
pub use cells::{cell_of, cells_for};
pub use config::{MeshConfig, NodeConfig};
pub use effect::{Effect, Event, Left, LogReader, Remains, Work};
pub use engine::Engine;
pub use host::Host;
pub use id::{BidId, BlobId, CallId, JobId, LeaseId, PeerId, RunId, TaskId};
pub use input::{Command, Fetched, Gathered, Input};
pub use message::{Gossip, Known, Message};
pub use outcome::Verified;
pub use policy::{Backoff, OWNERS_MAX, Owners, Policy};
pub use receipt::{Proof, Receipt};
pub use referral::{BidRequest, CellMessage, Match, Scope};
pub use refusal::{AFTER_MAX, Refusal, TASK_SLOTS_MAX, VERIFY_MAX};
pub use remembered::Remembered;
pub use retained::{Retained, RetainedKey};
pub use submission::{About, Join, Level, Submission};
pub use task::{
    Entry, Expiry, Failure, Fault, Limit, Limits, Outcome, Payload, Profile, Program, Recall, Recalled,
    Report, Stream, TaskKey, Terms, Trap, Usage,
};
pub use time::Time;
