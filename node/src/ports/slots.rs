//! The slots as the node's loop uses them. A seam: what the sandbox's pool does not offer yet is said here.

use std::sync::Arc;

use weft_core::{Report, RunId, Work};
use weft_exec::{BlobAccess, Pool, Sandbox, SandboxError};

/// What the slots report.
#[derive(Debug)]
pub(crate) enum PoolEvent {
    Ran(RunId, Report),
}

/// The slots as they are.
#[derive(Clone, Debug, Default)]
pub struct PoolStatus {
    /// `thread` or `process`.
    pub kind: &'static str,
    /// Slots that run a task.
    pub busy: u32,
    /// Tasks that wait for a slot.
    pub queued: u32,
    /// Tasks that are held.
    pub paused: u32,
    /// Child processes.
    pub children: u32,
    /// Child processes replaced so far.
    pub replaced: u64,
    /// What keeps a slot from the rest of the machine.
    pub confinement: String,
    /// Modules compiled and in memory.
    pub compiled: u32,
    /// Modules being compiled.
    pub compiling: u32,
}

#[derive(Debug)]
pub(crate) struct Slots(Pool);

impl Slots {
    pub(crate) fn start(
        sandbox: Sandbox,
        slots: u32,
        blobs: Arc<dyn BlobAccess>,
        on_ready: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, SandboxError> {
        Pool::start(sandbox, slots, blobs, on_ready).map(Self)
    }

    pub(crate) fn submit(&self, work: Vec<(RunId, Work)>) {
        self.0.submit(work);
    }

    pub(crate) fn abort(&self, run: RunId) {
        self.0.abort(run);
    }

    pub(crate) fn pause(&self, _run: RunId) {}

    pub(crate) fn resume(&self, _run: RunId) {}

    pub(crate) fn take_events(&self) -> Vec<PoolEvent> {
        self.0.take_finished().into_iter().map(|(run, report)| PoolEvent::Ran(run, report)).collect()
    }

    pub(crate) fn status(&self) -> PoolStatus {
        PoolStatus {
            kind: "thread",
            busy: self.0.busy(),
            queued: u32::try_from(self.0.queued()).unwrap_or(u32::MAX),
            confinement: String::from("none: slots are threads"),
            ..PoolStatus::default()
        }
    }
}
