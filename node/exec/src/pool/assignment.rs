//! A task that was assigned to a slot, as the node sees it, and how it ends if the slot does. Plain data; see
//! [`super::child`].

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use weft_core::{Limits, Outcome, RunId, Work};

use crate::vfs::SPARE_BYTES;

/// Most tasks that are assigned to one slot, the running one included.
pub(super) const TASKS_MAX: usize = 512;
/// Tasks of one slot from which on it gets no further one that brings files: its input, or code and files of its program. A slot may
/// have some hundred files open.
pub(super) const FILE_TASKS_MAX: usize = 128;
/// Most expected running time of the tasks that are assigned to one slot, if it has more than one.
pub(super) const WORK_MAX: Duration = Duration::from_micros(4000);

/// Most tasks of a slot, of those that bring files or of those that don't.
pub(super) fn tasks_max(bring_files: bool) -> usize {
    if bring_files { FILE_TASKS_MAX } else { TASKS_MAX }
}

/// A task that is not assigned to a slot.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) run: RunId,
    /// Its position in the queue, which it keeps when it is queued again.
    pub(super) place: u64,
    pub(super) work: Work,
    /// Number of its program.
    pub(super) program: u32,
    /// When it was submitted, in microseconds of the monotonic clock.
    pub(super) since_us: u64,
    /// How long it waited for its program's code, in microseconds.
    pub(super) compile_us: u64,
    /// Number of slots that died while it was assigned to them.
    pub(super) deaths: u32,
    /// Its input, if that is a blob and was opened.
    pub(super) input: Option<Arc<OwnedFd>>,
}

/// How a run ends when its slot is killed.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The run of this number ends like this, unless it was reported before.
    Run(u32, Outcome),
    /// The run that is under way in the slot ends like this.
    Any(Outcome),
}

/// What the node last asked of a task that a slot has; it is honoured if the slot dies before reporting the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// It is to run.
    Run,
    /// It is to be paused.
    Hold,
    /// It is to end as cancelled.
    Abort,
}

/// A task that was assigned to a slot.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) number: u32,
    pub(super) waiting: Box<Waiting>,
    /// Its expected running time.
    pub(super) expected: Duration,
    pub(super) intent: Intent,
    /// Bytes of its output that were passed on.
    pub(super) printed: u64,
}

/// Longest archive of a task's `/out`, in bytes: names and padding included.
pub(super) fn archive_max(limits: &Limits) -> u64 {
    // Two headers with padding for each file, and the end of the archive; paths are part of the rest.
    const EACH: u64 = 2 << 10;
    const END: u64 = 1 << 10;
    let content = limits.files_bytes.saturating_add(SPARE_BYTES);
    u64::from(limits.files).saturating_mul(EACH).saturating_add(content).saturating_add(END)
}
