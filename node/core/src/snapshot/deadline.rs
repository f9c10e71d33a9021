//! How far a job's deadline is, as others may see it. Plain data.

/// The time left until a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// It can still be met, by what is known.
    Left {
        /// The time left, in milliseconds.
        ms: u32,
    },
    /// It has passed, or no worker can meet it: the task is treated as one without a deadline.
    Missed,
}
