//! The words of the HTTP API, version 1, as JSON has them. Plain data with public fields; the node converts them from
//! and to its own types, so that those may change. Ids are lower-case hexadecimal text. Units come last in a name.
//!
//! The streamed words (jobs, inputs, results) are in [`crate::frames`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A refusal, as every route answers one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct ErrorBody {
    /// What was refused, and why.
    pub error: String,
    /// What would have been taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Priority class, least urgent first.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    bincode::Encode,
    bincode::Decode,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Only slots that no other class wants.
    Scavenger,
    /// Throughput counts; the default.
    #[default]
    Batch,
    /// A user waits for it.
    Interactive,
    /// Something waits.
    Realtime,
}

impl Class {
    /// The class in one lower-case word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scavenger => "scavenger",
            Self::Batch => "batch",
            Self::Interactive => "interactive",
            Self::Realtime => "realtime",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Scavenger, Self::Batch, Self::Interactive, Self::Realtime]
            .into_iter()
            .find(|class| class.word() == text)
            .ok_or_else(|| String::from("expected scavenger, batch, interactive or realtime"))
    }
}

/// What a task may see of the real world.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Virtual clock, seeded randomness: the same bytes on every node, but for the bits of a NaN.
    #[default]
    Pure,
    /// Pure, and NaN bits are made canonical, at a cost to float-heavy code.
    Portable,
    /// Real clock and randomness. Never memoised.
    Impure,
}

/// One of a task's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// What the attempt that counted used.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode,
)]
pub struct Usage {
    /// Running time.
    pub wall_us: u64,
    /// Processor time.
    pub cpu_us: u64,
    /// Time spent compiling for this attempt; 0 when the module was warm.
    pub compile_us: u64,
    /// Time between award and start.
    pub queue_us: u64,
    /// Peak of linear memory.
    pub memory_bytes: u64,
    /// Fuel used, when metered.
    pub fuel: Option<u64>,
    /// Bytes it was given: its input and what lay under `/in`.
    pub in_bytes: u64,
    /// Bytes it brought: output, standard error, and what it left in `/out`.
    pub out_bytes: u64,
}

/// A blob that the node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// Its name: the BLAKE3 hash of its bytes.
    pub id: String,
    /// Its length.
    pub bytes: u64,
}

/// One of `GET /v1/peers`: a node of the mesh as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its id.
    pub peer: String,
    /// Its name for people, as it tells it.
    pub name: String,
    /// Whether it can be spoken to now.
    pub connected: bool,
    /// For how long it has been gone, in milliseconds; absent while it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_ms: Option<u64>,
    /// Round trip; 0 while unknown.
    pub rtt_us: u32,
    /// Tasks that it may run at once.
    pub slots: u32,
    /// Slots without a task.
    pub free: u32,
    /// Memory that one task may have there.
    pub memory_bytes: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Tasks that it owns and that wait.
    pub backlog: u32,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Whether it keeps jobs of others, at level `mesh`.
    #[serde(default)]
    pub keeps: bool,
    /// Our tasks that it holds.
    pub leased: u32,
    /// Our tasks that it brought home.
    pub done: u64,
    /// Our tasks that were lost with it.
    pub lost: u64,
    /// The state of its circuit breaker: which tasks it gets now.
    #[serde(default)]
    pub trust: Trust,
    /// For how much longer it gets no tasks, in milliseconds.
    #[serde(default)]
    pub open_ms: u64,
    /// Answers of it that a majority of others contradicted.
    #[serde(default)]
    pub lies: u32,
}

/// Which tasks a node gets, by the outcomes of this node's tasks there: the state of a circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// All tasks that it bids for.
    #[default]
    Closed,
    /// All tasks that it bids for, after all other nodes.
    Deprioritised,
    /// One task at a time, after all other nodes.
    HalfOpen,
    /// No tasks now.
    Open,
}

/// `<data_dir>/api.json`: where the node of a data directory listens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// The bearer token. A secret: its holders can run programs on the mesh.
    pub token: String,
    /// The node's process id.
    pub pid: u32,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, token: _, pid } = self;
        f.debug_struct("Endpoint").field("address", address).field("pid", pid).finish_non_exhaustive()
    }
}

mod adopted;
mod events;
mod job;
mod jobs;
mod level;
mod outcome;
mod policy;
mod recall;
mod receipt;
mod status;
mod submit;
mod verified;
mod why;
pub use adopted::Adopted;
pub use events::{Event, EventFilter, Events, Missed, What};
pub use job::{Job, Node, Restarted};
pub use jobs::{JobFilter, JobState, MeshJobs, Position};
pub use level::Level;
pub use outcome::{Failure, Fault, LimitKind, Outcome};
pub use policy::{Backoff, Join, Policy};
pub use recall::{Recall, Recalled};
pub use receipt::{Proof, Receipt};
pub use status::{Binding, Counters, Journal, Memo, Slots, Status, Store};
pub use submit::{FileJson, FilesJson, JobSubmission, LimitsJson, ResultLine, Value};
pub use verified::Verified;
pub use why::{PeerResponse, Response, TaskEnded, TaskState, Why};
