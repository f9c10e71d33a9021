//! A job's policy: when its tasks run, how often they are retried, whether they are verified. Plain data that the owner
//! follows; a call carries to the workers what they need of it. One pure, table-tested function per file: ordering,
//! eligibility, admission, backoff and others. Owner and worker call them and keep the state.

pub(crate) mod admission;
pub(crate) mod agreed;
pub(crate) mod backoff;
pub(crate) mod bounds;
pub(crate) mod fit;
pub(crate) mod multi_slot;
pub(crate) mod never;
pub(crate) mod order;
pub(crate) mod owners;
pub(crate) mod rank;
pub(crate) mod share;
pub(crate) mod times;
pub(crate) mod window;

pub use owners::{OWNERS_MAX, Owners};

/// The policy of a job. All times count from the submission, by the owner's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Policy {
    /// Earliest start of its tasks, in milliseconds.
    pub not_before_ms: u64,
    /// When all tasks should be done, in milliseconds: among jobs of one class the earliest deadline goes first, and a
    /// worker that can't meet it declines.
    pub deadline_ms: Option<u64>,
    /// When a task that has not ended ends as expired, in milliseconds.
    pub expires_ms: Option<u64>,
    /// How often a task that failed, trapped or reached a limit is retried, on another node if possible.
    pub retries: u32,
    /// How long a retry waits.
    pub backoff: Backoff,
    /// Latest start of an attempt, in milliseconds after the task's first one.
    pub give_up_ms: Option<u64>,
    /// The job is given up when more tasks than this ended otherwise than done.
    pub failures_max: Option<u32>,
    /// On how many nodes of distinct host addresses each task is computed and compared, at most [`crate::VERIFY_MAX`];
    /// 1 (or 0) accepts the first answer. A task ends once more than half of them agree. Impure tasks can't be
    /// compared.
    pub verify: u32,
    /// Whether a slow task near the end of the job may have a backup copy, if the copy is expected to end sooner. Also
    /// for impure jobs, whose tasks may run twice anyway when a node is lost; a job may forbid it.
    pub backups: bool,
}

impl Policy {
    /// At once, without a deadline, no retries, nothing verified, backup copies allowed.
    pub const DEFAULT: Self = Self {
        not_before_ms: 0,
        deadline_ms: None,
        expires_ms: None,
        retries: 0,
        backoff: Backoff::NONE,
        give_up_ms: None,
        failures_max: None,
        verify: 1,
        backups: true,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A wait that doubles with each failure of a task, with jitter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Backoff {
    /// Wait after the first failure, in milliseconds; 0 does not wait.
    pub first_ms: u32,
    /// Longest wait, in milliseconds.
    pub most_ms: u32,
    /// The random part of the wait, in percent: 0 waits exactly, 100 anything between nothing and all of it.
    pub jitter_percent: u8,
}

impl Backoff {
    /// Retries without a wait.
    pub const NONE: Self = Self { first_ms: 0, most_ms: 0, jitter_percent: 0 };
}
