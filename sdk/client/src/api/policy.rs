//! When, how often and on how many nodes the tasks of a job run. The same in JSON and in frames.

use serde::{Deserialize, Serialize};

/// The policy of a job; what is left out has its default. Times count from the submission, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// No task starts earlier.
    pub not_before_ms: u64,
    /// When all of it should be done: the earliest deadline of a class goes first, and a node that can't make it
    /// declines. A task that misses its deadline still runs.
    pub deadline_ms: Option<u64>,
    /// A task that has not ended by then ends as expired.
    pub expires_ms: Option<u64>,
    /// How long a task that failed waits for its next attempt; at once without one.
    pub backoff: Option<Backoff>,
    /// No attempt begins later than this after the task's first one.
    pub give_up_ms: Option<u64>,
    /// The job is given up when more tasks than this ended otherwise than done.
    pub failures_max: Option<u32>,
    /// On how many nodes of distinct host addresses each task is computed and compared, until more than half of them
    /// agree; 1 believes the worker.
    pub verify: u32,
    /// Whether the last tasks may have a second copy each, when one is expected to end sooner.
    pub backups: bool,
}

/// How the jobs that another one comes after must have ended, and whether their results are its inputs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// With every task done; otherwise the later job is skipped.
    #[default]
    AllSucceeded,
    /// Anyhow.
    AllEnded,
    /// The later job comes after one alone, which is kept, and has one task for each task of that one, with that one's output as
    /// its input; each begins as soon as its own is there. The later job gets no other inputs.
    EachResult,
    /// With every task done, and the later job, which comes after kept ones alone, has one task: its files under `/in` are their
    /// outputs. The later job gets no other inputs.
    Gather,
}

impl Join {
    /// Whether the later job takes the results of the others as its inputs, and gets none of its own.
    #[must_use]
    pub fn takes_results(self) -> bool {
        match self {
            Self::AllSucceeded | Self::AllEnded => false,
            Self::EachResult | Self::Gather => true,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            not_before_ms: 0,
            deadline_ms: None,
            expires_ms: None,
            backoff: None,
            give_up_ms: None,
            failures_max: None,
            verify: 1,
            backups: true,
        }
    }
}

/// A wait that doubles with each failure of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// After the first failure.
    pub first_ms: u32,
    /// The longest.
    pub most_ms: u32,
    /// How much of a wait is chance, in percent; half of it unless said.
    #[serde(default = "half")]
    pub jitter_percent: u8,
}

fn half() -> u8 {
    Backoff::JITTER_PERCENT
}

impl Backoff {
    /// How much of a wait is chance, in percent, unless it is set.
    pub const JITTER_PERCENT: u8 = 50;
}
