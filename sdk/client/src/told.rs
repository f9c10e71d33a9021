//! What a node reports of a running job: results, and what running tasks print.

use bytes::Bytes;

use crate::api;
use crate::result::TaskResult;

/// One report of a job's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A task printed something and runs on; see [`crate::Task::streamed`].
    Printed(Printed),
    /// A task ended.
    Ended(Box<TaskResult>),
}

/// What a running task printed. Some of it may never be reported: the result has all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The task's place in the job.
    pub index: u32,
    /// Which attempt; a later one begins from offset 0 again.
    pub attempt: u32,
    /// Its standard output or standard error.
    pub stream: api::Stream,
    /// How many bytes of that stream came before.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}
