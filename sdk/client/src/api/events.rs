//! What became of jobs and nodes, in the order in which a node learnt it: `GET /v1/events`.

use serde::{Deserialize, Serialize};

use super::{JobState, Level};

/// An event with its offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Greater than those of all events before it on this node: the time when the node noted it, in microseconds since 1970, or
    /// one more than the offset before.
    pub offset: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A job was submitted to this node.
    Submitted {
        /// The job.
        job: String,
        /// Its name; empty if it has none.
        name: String,
        /// What it survives.
        level: Level,
    },
    /// A job goes on here: this node was started again, or leads the job now.
    Led {
        /// The job.
        job: String,
        /// Its tasks so far.
        tasks: u32,
        /// Those that are done.
        done: u32,
    },
    /// Another node leads a job that this one keeps.
    Moved {
        /// The job.
        job: String,
        /// The id of the node that leads it, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leader: Option<String>,
    },
    /// What of an ended job is not done runs again.
    Retried {
        /// The job.
        job: String,
    },
    /// A worker has a task.
    Leased {
        /// The job.
        job: String,
        /// The task's place in it, from 0.
        index: u32,
        /// The id of the node.
        worker: String,
        /// The attempt's number, from 1.
        attempt: u32,
    },
    /// The worker is gone or silent, and the task waits again.
    LeaseLost {
        /// The job.
        job: String,
        /// The task's place in it, from 0.
        index: u32,
        /// The id of the node.
        worker: String,
    },
    /// A task ended for good.
    TaskEnded {
        /// The job.
        job: String,
        /// The task's place in it, from 0.
        index: u32,
        /// How, in a word, as of results.
        outcome: String,
        /// The id of the node that computed it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<String>,
        /// How many attempts it took; 0 when the result was known.
        attempts: u32,
    },
    /// All tasks of a job have ended.
    JobEnded {
        /// The job.
        job: String,
        /// How.
        state: JobState,
        /// Tasks that ended as done.
        done: u32,
        /// Tasks that ended otherwise, and were not cancelled.
        failed: u32,
        /// Tasks that were cancelled.
        cancelled: u32,
    },
    /// A job is forgotten, with its results.
    Forgotten {
        /// The job.
        job: String,
    },
    /// A node is connected to this one.
    NodeUp {
        /// Its id.
        peer: String,
    },
    /// A node is connected no more.
    NodeDown {
        /// Its id.
        peer: String,
        /// Why, in words.
        reason: String,
    },
}

impl What {
    /// The job that it is about, if it is about one.
    #[must_use]
    pub fn job(&self) -> Option<&str> {
        match self {
            Self::Submitted { job, .. }
            | Self::Led { job, .. }
            | Self::Moved { job, .. }
            | Self::Retried { job }
            | Self::Leased { job, .. }
            | Self::LeaseLost { job, .. }
            | Self::TaskEnded { job, .. }
            | Self::JobEnded { job, .. }
            | Self::Forgotten { job } => Some(job),
            Self::NodeUp { .. } | Self::NodeDown { .. } => None,
        }
    }
}

/// Events from an offset on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Where the events that were asked for begin earlier than those that the node has: what it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Where to read on.
    pub next: u64,
    /// Whether there were no more then.
    pub is_all: bool,
}

/// Offsets of events that a node does not have any more, or that came before its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The first that may be missing.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// Which events: `GET /v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// With that offset or a later one; 0 for the oldest that the node has.
    pub from: u64,
    /// About that job, by its id, the beginning of it, or its name.
    pub job: Option<String>,
}
