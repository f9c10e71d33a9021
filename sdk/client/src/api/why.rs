//! Why a task is where it is: the answers to its job's call for bids.

use serde::{Deserialize, Serialize};

/// `GET /v1/jobs/{id}/why`: where a task is, and what each node answered about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The job.
    pub job: String,
    /// The task's place in it.
    pub index: u32,
    /// Where the task is.
    pub task: TaskState,
    /// How it ended, where it has and its result is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<TaskEnded>,
    /// What is left of its job's deadline, if it has one that can still be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_left_ms: Option<u32>,
    /// Its job has a deadline that no node can make any more.
    #[serde(default)]
    pub deadline_missed: bool,
    /// What else holds it up, or is done about it: nodes that must compute it too, copies, this node's own doubts.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Per known node, its last answer to the job's call for bids.
    pub responses: Vec<PeerResponse>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnded {
    /// [`super::Outcome::word`].
    pub outcome: String,
    /// The program's exit code, if it ran to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What more is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the node that computed it; `None` when it was not computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// That node's name for people, where it is known.
    #[serde(default)]
    pub name: String,
    /// How many attempts it took; 0 when the result was known.
    pub attempts: u32,
    /// Whether the result was known and nothing ran.
    #[serde(default)]
    pub memo: bool,
    /// How long the attempt that counted ran, in microseconds.
    pub wall_us: u64,
}

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for a worker.
    Queued {
        /// Tasks of its job that wait before it.
        before: u32,
    },
    /// A worker holds it.
    Leased {
        /// The worker.
        worker: String,
        /// Its name for people, where that is known.
        #[serde(default)]
        name: String,
        /// The attempt, from 1.
        attempt: u32,
        /// For how long.
        since_ms: u64,
        /// Whether it is held back for a task of a higher class, by the worker's last word.
        #[serde(default)]
        paused: bool,
        /// What the worker is at with it, by its last word: `fetching` the module or the input, `waiting` for a slot,
        /// `compiling`, or `running`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<String>,
    },
    /// It ended and its output is on its way here.
    Fetching {
        /// From where.
        worker: String,
        /// Its name for people, where that is known.
        #[serde(default)]
        name: String,
    },
    /// It ended.
    Ended,
    /// It was cancelled.
    Cancelled,
    /// Its job may not start yet.
    NotBefore {
        /// Until it may, in milliseconds.
        in_ms: u64,
    },
    /// It failed and waits for the time of its next attempt.
    Delayed {
        /// How often it failed.
        failures: u32,
        /// Until it is tried again, in milliseconds.
        in_ms: u64,
    },
    /// Its time was over before it ended.
    Expired,
    /// Its job comes after others that have not all ended.
    After {
        /// The first few of them, and how far each is.
        parents: Vec<String>,
        /// How many there are in all.
        left: u32,
    },
    /// Its input is made of the results that its job gathers.
    Gathering,
    /// Its input is a result of a job that is not known yet.
    AwaitsResult {
        /// The job.
        of: String,
    },
}

/// A node's last response to a job's call for bids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerResponse {
    /// The peer.
    pub peer: String,
    /// Its name for people; empty while unknown.
    pub name: String,
    /// Its response.
    #[serde(flatten)]
    pub response: Response,
    /// How long ago.
    pub ago_ms: u64,
}

/// A node's response to a call for bids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// It was asked and has not answered yet.
    Nothing,
    /// It offered slots.
    Bid {
        /// Slots offered.
        slots: u32,
    },
    /// It declined.
    Declined {
        /// The reason.
        reason: String,
    },
    /// It was not asked, because of what it tells about itself.
    NotAsked {
        /// The reason.
        reason: String,
    },
    /// It can't be spoken to now.
    Unreachable,
}
