//! How an attempt may end: the guest's own fault kept apart from the worker's. Plain data and its words for people.

use alloc::string::String;
use core::fmt;

use crate::id::JobId;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Outcome {
    /// It ran to its end and said that all is well.
    Done,
    /// It ran to its end and said that it failed.
    Failed(Failure),
    /// It did something that WebAssembly forbids.
    Trapped(Trap),
    /// It reached a bound.
    LimitExceeded(Limit),
    /// The module can't be run at all; the text says what was looked for and what was found.
    Invalid(String),
    /// Its owner took it back.
    Cancelled,
    /// The worker could not say how it ended: it died, or lost what the task needed; the text says which.
    Lost(String),
    /// Its owner gave it up, because its time was over.
    Expired(Expiry),
    /// Its owner never let it begin: its job comes after another one, which had to succeed and did not.
    ParentFailed {
        /// Which.
        job: JobId,
    },
}

/// Which time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Expiry {
    /// It had not ended so long after its job was submitted.
    Unfinished {
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// Another attempt would have begun later than so long after the first.
    GivenUp {
        /// How long, in milliseconds.
        after_ms: u64,
    },
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished { after_ms } => write!(f, "it had not ended {after_ms} ms after its submission"),
            Self::GivenUp { after_ms } => {
                write!(f, "no attempt may begin later than {after_ms} ms after the first")
            }
        }
    }
}

/// How a program says that it failed.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Failure {
    /// A command's exit code, never 0.
    Exit(i32),
    /// A function's error text.
    Error(String),
}

/// What a guest did that WebAssembly forbids.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Trap {
    /// `unreachable`: what a panic or an abort compiles to.
    Unreachable,
    /// An access outside the memory.
    MemoryOutOfBounds,
    /// An access outside a table, a null or ill-typed call.
    BadTable,
    /// Too deep a recursion.
    StackOverflow,
    /// Division by zero, overflow, or a conversion that has no integer.
    Arithmetic,
    /// A broken promise of the guest ABI; the text says which.
    Abi(String),
    /// Anything else, in the runtime's words.
    Other(String),
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("unreachable executed (a panic or an abort)"),
            Self::MemoryOutOfBounds => f.write_str("access outside the memory"),
            Self::BadTable => f.write_str("access outside a table, or a call of the wrong type"),
            Self::StackOverflow => f.write_str("stack overflow"),
            Self::Arithmetic => f.write_str("division by zero or integer overflow"),
            Self::Abi(text) => write!(f, "guest ABI: {text}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Which bound was reached, with its value.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Limit {
    /// Running time.
    WallTime {
        /// The bound.
        limit_ms: u32,
    },
    /// Linear memory.
    Memory {
        /// What it asked for in all.
        asked_bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
    /// Fuel.
    Fuel {
        /// The bound.
        limit: u64,
    },
    /// Output.
    Output {
        /// The bound.
        limit_bytes: u64,
    },
    /// Standard error.
    Errors {
        /// The bound.
        limit_bytes: u64,
    },
    /// What it keeps under `/tmp` and `/out`.
    FilesBytes {
        /// The bound.
        limit_bytes: u64,
    },
    /// How many files it makes.
    Files {
        /// The bound.
        limit: u32,
    },
    /// Anything else that has a bound: tables, instances, module size, compile time.
    Other(String),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WallTime { limit_ms } => write!(f, "time: ran longer than {limit_ms} ms"),
            Self::Memory { asked_bytes, limit_bytes } if asked_bytes >> 20 == limit_bytes >> 20 => {
                write!(f, "memory: asked for {asked_bytes} bytes, limit {limit_bytes}")
            }
            Self::Memory { asked_bytes, limit_bytes } => {
                write!(f, "memory: asked for {} MiB, limit {} MiB", asked_bytes >> 20, limit_bytes >> 20)
            }
            Self::Fuel { limit } => write!(f, "fuel: used up all {limit}"),
            Self::Output { limit_bytes } => write!(f, "output: more than {limit_bytes} bytes"),
            Self::Errors { limit_bytes } => write!(f, "standard error: more than {limit_bytes} bytes"),
            Self::FilesBytes { limit_bytes } => {
                write!(f, "files: more than {limit_bytes} bytes under /tmp and /out")
            }
            Self::Files { limit } => write!(f, "files: more than {limit} under /tmp and /out"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Longest text of an outcome, in bytes; a worker cuts a longer one off, and an owner does not take it.
pub const OUTCOME_TEXT_BYTES_MAX: usize = 16 * 1024;

/// Whose fault an ending is. What follows from an outcome follows from this: whether the task is tried again, whether it
/// was computed at all, and who is blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ended well.
    None,
    /// The task's: it failed, trapped, or reached a bound. Another attempt may end otherwise.
    Task,
    /// The program's: it can't be run, so that no further attempt can end otherwise.
    Program,
    /// The worker's, or that of the way to it: the task did not run to its end.
    Worker,
    /// The owner's, which took the task back: nothing was found out about it.
    Owner,
}

impl Fault {
    /// Whether the task was computed: what was lost or taken back is no answer.
    #[must_use]
    pub fn is_answer(self) -> bool {
        matches!(self, Self::None | Self::Task | Self::Program)
    }
}

impl Outcome {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Done => Fault::None,
            Self::Failed(_) | Self::Trapped(_) | Self::LimitExceeded(_) => Fault::Task,
            Self::Invalid(_) => Fault::Program,
            Self::Lost(_) => Fault::Worker,
            Self::Cancelled | Self::Expired(_) | Self::ParentFailed { job: _ } => Fault::Owner,
        }
    }

    /// The text that it carries; empty if it carries none.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Failed(Failure::Error(text))
            | Self::Trapped(Trap::Abi(text) | Trap::Other(text))
            | Self::LimitExceeded(Limit::Other(text))
            | Self::Invalid(text)
            | Self::Lost(text) => text,
            Self::Done
            | Self::Failed(Failure::Exit(_))
            | Self::Trapped(_)
            | Self::LimitExceeded(_)
            | Self::Cancelled
            | Self::Expired(_)
            | Self::ParentFailed { job: _ } => "",
        }
    }

    /// Cuts its text off at [`OUTCOME_TEXT_BYTES_MAX`].
    pub(crate) fn cut(&mut self) {
        if self.text().len() <= OUTCOME_TEXT_BYTES_MAX {
            return;
        }
        match self {
            Self::Failed(Failure::Error(text))
            | Self::Trapped(Trap::Abi(text) | Trap::Other(text))
            | Self::LimitExceeded(Limit::Other(text))
            | Self::Invalid(text)
            | Self::Lost(text) => text.truncate(text.floor_char_boundary(OUTCOME_TEXT_BYTES_MAX)),
            Self::Done
            | Self::Failed(Failure::Exit(_))
            | Self::Trapped(_)
            | Self::LimitExceeded(_)
            | Self::Cancelled
            | Self::Expired(_)
            | Self::ParentFailed { job: _ } => {}
        }
    }

    /// The kind in one lower-case word, as in JSON and tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Trapped(_) => "trapped",
            Self::LimitExceeded(_) => "limit",
            Self::Invalid(_) => "invalid",
            Self::Cancelled => "cancelled",
            Self::Lost(_) => "lost",
            Self::Expired(_) => "expired",
            Self::ParentFailed { job: _ } => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed(Failure::Exit(code)) => write!(f, "failed with exit code {code}"),
            Self::Failed(Failure::Error(text)) => write!(f, "failed: {text}"),
            Self::Trapped(trap) => write!(f, "trapped: {trap}"),
            Self::LimitExceeded(limit) => write!(f, "limit exceeded: {limit}"),
            Self::Invalid(text) => write!(f, "invalid module: {text}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Lost(text) => write!(f, "lost: {text}"),
            Self::Expired(expiry) => write!(f, "expired: {expiry}"),
            Self::ParentFailed { job } => {
                write!(f, "skipped: it comes after job {job}, which did not succeed")
            }
        }
    }
}
