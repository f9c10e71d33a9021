//! Where the owner writes records of jobs that other nodes keep, too. Custody is there, and plain code in tests.

use crate::ctx::Ctx;
use crate::durable::LogRecord;
use crate::id::JobId;

/// Where records of jobs at level mesh go.
pub(crate) trait MeshLog {
    /// Adds a record to a job's log. Its number, or nothing if this node does not lead the job any more.
    fn append(&mut self, ctx: &mut Ctx<'_>, job: JobId, record: LogRecord) -> Option<u32>;

    /// A record of a job at level disk is written: it goes to the node that has a copy of the job, if one has.
    fn on_written(&mut self, job: JobId, record: &LogRecord);
}
