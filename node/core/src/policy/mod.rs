//! What a job asks of the market beyond a place to run: when, how often, how surely. Plain data that the owner obeys;
//! a call carries to the workers what they need of it. Each decision that rests on it is a pure function in a file of
//! its own, with a table of tests; owner and worker call them and keep the state.

pub(crate) mod admission;
pub(crate) mod agreed;
pub(crate) mod backoff;
pub(crate) mod fit;
pub(crate) mod never;
pub(crate) mod order;
pub(crate) mod owners;
pub(crate) mod rank;
pub(crate) mod share;
pub(crate) mod times;
pub(crate) mod wide;
pub(crate) mod window;

pub use owners::{OWNERS_MAX, Owners};

/// How a job wants its tasks to be treated. All times count from the submission, by the owner's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Policy {
    /// No task starts earlier, in milliseconds.
    pub not_before_ms: u64,
    /// When all of it should be done, in milliseconds: among jobs of one class the earliest deadline goes first, and
    /// a worker that can't make it declines.
    pub deadline_ms: Option<u64>,
    /// A task that has not ended by then ends as expired, in milliseconds.
    pub expires_ms: Option<u64>,
    /// How often a task that failed, trapped or reached a limit is tried again, elsewhere if possible.
    pub retries: u32,
    /// How long the next attempt waits after such an end.
    pub backoff: Backoff,
    /// No attempt begins later than this after the task's first one, in milliseconds.
    pub give_up_ms: Option<u64>,
    /// The whole job is given up when more tasks than this ended otherwise than done.
    pub failures_max: Option<u32>,
    /// On how many nodes of distinct host addresses each task is computed and compared, at most [`crate::VERIFY_MAX`]; 1
    /// (or 0) believes whoever answers. It ends once more than half of them agree. Impure tasks can't be compared.
    pub verify: u32,
    /// Whether the last tasks may have a second copy each, when one is expected to end sooner. Also of an impure job,
    /// whose tasks may run twice anyway when a node is lost; a job that minds forbids it.
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

/// A wait that doubles with each failure of a task, with chance in it so that many do not come back at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Backoff {
    /// After the first failure, in milliseconds; 0 does not wait.
    pub first_ms: u32,
    /// The longest, in milliseconds.
    pub most_ms: u32,
    /// How much of the wait is chance, in percent: 0 waits exactly, 100 anything between nothing and all of it.
    pub jitter_percent: u8,
}

impl Backoff {
    /// The next attempt follows at once.
    pub const NONE: Self = Self { first_ms: 0, most_ms: 0, jitter_percent: 0 };
}
