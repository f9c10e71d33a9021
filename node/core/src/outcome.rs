//! How an attempt may end; faults of the guest are distinguished from faults of the worker. Plain data and its texts.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::id::{JobId, PeerId};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Outcome {
    /// It ran to its end and reported success.
    Done,
    /// It ran to its end and reported a failure.
    Failed(Failure),
    /// It did something that WebAssembly forbids.
    Trapped(Trap),
    /// It reached a limit.
    LimitExceeded(Limit),
    /// The module can't be run at all; the text says what was expected and what was found.
    Invalid(String),
    /// Its owner cancelled it.
    Cancelled,
    /// The worker does not know its outcome: it died, or lost what the task needed; the text says which.
    Lost(String),
    /// Its owner gave it up, because a time limit of the job passed.
    Expired(Expiry),
    /// It never started: a parent of its job had to succeed and did not.
    ParentFailed {
        /// The parent.
        job: JobId,
    },
    /// The worker's disk had no room for its input or its output; the text says which. Neither the task nor the worker
    /// is at fault: the task waits again, and no user sees this.
    NoRoom(String),
}

/// The time limit that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Expiry {
    /// The task had not ended when the job's tasks expire.
    Unfinished {
        /// The limit, in milliseconds after the submission.
        after_ms: u64,
    },
    /// A further attempt would start too late after the first one.
    GivenUp {
        /// The limit, in milliseconds after the first attempt's start.
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

/// How a program reports a failure.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Failure {
    /// A command's exit code, never 0.
    Exit(i32),
    /// A function's error text.
    Error(String),
}

/// An action of a guest that WebAssembly forbids.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Trap {
    /// `unreachable`: a panic or an abort is compiled to it.
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
    /// Any other trap; the text is the runtime's.
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

/// The limit that was reached, with its value.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Limit {
    /// Running time.
    WallTime {
        /// The limit.
        limit_ms: u32,
    },
    /// Linear memory.
    Memory {
        /// The total that it asked for, in bytes.
        asked_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// Fuel.
    Fuel {
        /// The limit.
        limit: u64,
    },
    /// Output.
    Output {
        /// The limit.
        limit_bytes: u64,
    },
    /// Standard error.
    Errors {
        /// The limit.
        limit_bytes: u64,
    },
    /// Bytes of its files under `/tmp` and `/out`.
    FilesBytes {
        /// The limit.
        limit_bytes: u64,
    },
    /// Number of its files under `/tmp` and `/out`.
    Files {
        /// The limit.
        limit: u32,
    },
    /// Any other limit: tables, instances, module size, compile time.
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

/// Longest text of an outcome, in bytes; a worker truncates a longer one, and an owner drops a report with one.
pub const OUTCOME_TEXT_BYTES_MAX: usize = 16 * 1024;

/// Whose fault an outcome is. It decides whether the task is retried, whether it was computed at all, and which node is
/// blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It succeeded.
    None,
    /// The task's: it failed, trapped, or reached a limit. Another attempt may succeed.
    Task,
    /// The program's: it can't be run, so another attempt can't succeed either.
    Program,
    /// The worker's or the network's: the task did not run to its end.
    Worker,
    /// Neither the task's nor the worker's: the worker's disk was full. The task waits for another worker; not a loss.
    Disk,
    /// The owner's, which withdrew the task: its result is unknown.
    Owner,
}

impl Fault {
    /// Whether the task was computed: a lost or withdrawn task has no answer.
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
            Self::NoRoom(_) => Fault::Disk,
            Self::Cancelled | Self::Expired(_) | Self::ParentFailed { job: _ } => Fault::Owner,
        }
    }

    /// Its text; empty if it has none.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Failed(Failure::Error(text))
            | Self::Trapped(Trap::Abi(text) | Trap::Other(text))
            | Self::LimitExceeded(Limit::Other(text))
            | Self::Invalid(text)
            | Self::Lost(text)
            | Self::NoRoom(text) => text,
            Self::Done
            | Self::Failed(Failure::Exit(_))
            | Self::Trapped(_)
            | Self::LimitExceeded(_)
            | Self::Cancelled
            | Self::Expired(_)
            | Self::ParentFailed { job: _ } => "",
        }
    }

    /// Truncates its text to [`OUTCOME_TEXT_BYTES_MAX`].
    pub(crate) fn cut(&mut self) {
        if self.text().len() <= OUTCOME_TEXT_BYTES_MAX {
            return;
        }
        match self {
            Self::Failed(Failure::Error(text))
            | Self::Trapped(Trap::Abi(text) | Trap::Other(text))
            | Self::LimitExceeded(Limit::Other(text))
            | Self::Invalid(text)
            | Self::Lost(text)
            | Self::NoRoom(text) => text.truncate(text.floor_char_boundary(OUTCOME_TEXT_BYTES_MAX)),
            Self::Done
            | Self::Failed(Failure::Exit(_))
            | Self::Trapped(_)
            | Self::LimitExceeded(_)
            | Self::Cancelled
            | Self::Expired(_)
            | Self::ParentFailed { job: _ } => {}
        }
    }

    /// The kind as one lower-case word, as in JSON and tables.
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
            Self::NoRoom(_) => "no-room",
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
            Self::NoRoom(text) => write!(f, "no room: {text}"),
        }
    }
}

/// The nodes behind a verified result.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Verified {
    /// Nodes that computed the committed result, in the order of their answers: more than half of the number that the
    /// job asked for.
    pub agreed: Vec<PeerId>,
    /// Nodes with another result.
    pub differed: Vec<PeerId>,
}
