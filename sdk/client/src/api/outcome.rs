//! How a task ended, the same in JSON and in frames.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran to its end and said that all is well.
    Done,
    /// It ran to its end and said that it failed.
    Failed(Failure),
    /// It did something that WebAssembly forbids.
    Trapped {
        /// The violation.
        trap: String,
    },
    /// It reached a bound.
    Limit {
        /// The bound.
        which: LimitKind,
        /// The bound and its value, in words.
        limit: String,
    },
    /// The module can't be run at all.
    Invalid {
        /// What was looked for and what was found.
        reason: String,
    },
    /// It was cancelled.
    Cancelled,
    /// No attempt came to an end that its worker could report.
    Lost {
        /// The reason.
        reason: String,
    },
    /// Its time was over, by its job's policy.
    Expired {
        /// Which time.
        reason: String,
    },
    /// It never began: its job comes after another one, which had to succeed and did not.
    Skipped {
        /// Which job.
        reason: String,
    },
}

/// Whose fault an ending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ended well.
    None,
    /// The task's: it failed, trapped, or reached a bound. Another attempt may end otherwise.
    Task,
    /// The program's: it can't be run, so no further attempt can end otherwise.
    Program,
    /// The worker's, or that of the way to it: the task did not run to its end.
    Worker,
    /// The job's: it was cancelled, its time was over, or a job before it did not succeed.
    Job,
}

impl Outcome {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Done => Fault::None,
            Self::Failed(_) | Self::Trapped { .. } | Self::Limit { .. } => Fault::Task,
            Self::Invalid { .. } => Fault::Program,
            Self::Lost { .. } => Fault::Worker,
            Self::Cancelled | Self::Expired { .. } | Self::Skipped { .. } => Fault::Job,
        }
    }

    /// The program's exit code, if it ran to its end: 0 when done, 1 for the error of a function.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Done => Some(0),
            Self::Failed(Failure::Exit { exit_code }) => Some(*exit_code),
            Self::Failed(Failure::Error { .. }) => Some(1),
            Self::Trapped { .. }
            | Self::Limit { .. }
            | Self::Invalid { .. }
            | Self::Cancelled
            | Self::Lost { .. }
            | Self::Expired { .. }
            | Self::Skipped { .. } => None,
        }
    }

    /// The kind in one lower-case word: `done`, `failed`, `trapped`, `limit`, `invalid`, `cancelled`, `lost`,
    /// `expired`, `skipped`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Trapped { .. } => "trapped",
            Self::Limit { .. } => "limit",
            Self::Invalid { .. } => "invalid",
            Self::Cancelled => "cancelled",
            Self::Lost { .. } => "lost",
            Self::Expired { .. } => "expired",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// Why it is not done, where there is more to say than [`Outcome::word`] and the exit code do.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Done | Self::Cancelled | Self::Failed(Failure::Exit { .. }) => None,
            Self::Failed(Failure::Error { error: reason })
            | Self::Trapped { trap: reason }
            | Self::Limit { which: _, limit: reason }
            | Self::Invalid { reason }
            | Self::Lost { reason }
            | Self::Expired { reason }
            | Self::Skipped { reason } => Some(reason),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed(Failure::Exit { exit_code }) => write!(f, "failed with exit code {exit_code}"),
            Self::Failed(Failure::Error { error }) => write!(f, "failed: {error}"),
            Self::Trapped { trap } => write!(f, "trapped: {trap}"),
            Self::Limit { which: _, limit } => write!(f, "limit exceeded: {limit}"),
            Self::Invalid { reason } => write!(f, "invalid module: {reason}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Lost { reason } => write!(f, "lost: {reason}"),
            Self::Expired { reason } => write!(f, "expired: {reason}"),
            Self::Skipped { reason } => write!(f, "skipped: {reason}"),
        }
    }
}

/// How a program says that it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(untagged)]
pub enum Failure {
    /// A command's exit code.
    Exit {
        /// The code, never 0.
        exit_code: i32,
    },
    /// A function's error.
    Error {
        /// Its text.
        error: String,
    },
}

/// Which bound a task reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Running time.
    Time,
    /// Linear memory.
    Memory,
    /// Fuel.
    Fuel,
    /// Standard output, or the function's result.
    Output,
    /// Standard error.
    Errors,
    /// What it keeps in files, in bytes.
    Files,
    /// Anything else: tables, instances, module size, compile time.
    Other,
    /// How many files and directories it makes.
    FilesCount,
}

impl LimitKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Time,
        Self::Memory,
        Self::Fuel,
        Self::Output,
        Self::Errors,
        Self::Files,
        Self::Other,
        Self::FilesCount,
    ];

    /// The bound in one lower-case word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Fuel => "fuel",
            Self::Output => "output",
            Self::Errors => "errors",
            Self::Files => "files",
            Self::Other => "other",
            Self::FilesCount => "files_count",
        }
    }
}
