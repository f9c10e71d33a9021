//! What a job's node tells while it goes on: results, and what running tasks print.

use bytes::Bytes;

use crate::api;
use crate::result::TaskResult;

/// Something that a job's node told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A task printed something and runs on; see [`crate::Task::streamed`].
    Printed(Printed),
    /// A task ended.
    Ended(Box<TaskResult>),
}

/// What a running task printed. Some of it may never be told: the result has all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The task's place in the job.
    pub index: u32,
    /// Which attempt; a later one begins from offset 0 again.
    pub attempt: u32,
    /// Where.
    pub stream: api::Stream,
    /// How many bytes of that stream came before.
    pub offset: u64,
    /// What.
    pub bytes: Bytes,
}
