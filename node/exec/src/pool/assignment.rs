//! A task in a slot's hands, as its node sees it, and how it ends when the slot does. Plain facts; see [`super::child`].

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use weft_core::{Limits, Outcome, RunId, Work};

use crate::vfs::SPARE_BYTES;

/// Work that one slot has at most beyond its first task, by what its programs took so far.
pub(super) const WORK_MAX: Duration = Duration::from_micros(2000);

/// A task that no slot has.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) run: RunId,
    /// Where it stands in the queue, and comes back to.
    pub(super) place: u64,
    pub(super) work: Work,
    /// Its program's number.
    pub(super) program: u32,
    /// Since when, in microseconds of the monotonic clock.
    pub(super) since_us: u64,
    /// For how long it waited for its program's code.
    pub(super) compile_us: u64,
    /// Slots that died while they had it.
    pub(super) deaths: u32,
    /// Its input, when that is a blob and open.
    pub(super) input: Option<Arc<OwnedFd>>,
}

/// How a run ends when its slot is killed.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The run of this number like this, unless it was reported before.
    Run(u32, Outcome),
    /// The one that the slot is at like this, whichever it is.
    Any(Outcome),
}

/// What is wished of a task that a slot has, if the slot dies before the task is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// That it runs.
    Run,
    /// That it is held.
    Hold,
    /// That it ends as cancelled.
    Abort,
}

/// A task that a slot was given.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) number: u32,
    pub(super) waiting: Box<Waiting>,
    /// What it is expected to take.
    pub(super) expected: Duration,
    pub(super) intent: Intent,
    /// Bytes that it printed and that were passed on.
    pub(super) printed: u64,
}

/// How long an archive of what a task left can be: names and padding included.
pub(super) fn archive_max(limits: &Limits) -> u64 {
    // Two headers, each with what fills its last block, and the end of the archive; paths are part of the rest.
    const EACH: u64 = 2 << 10;
    const END: u64 = 1 << 10;
    let content = limits.files_bytes.saturating_add(SPARE_BYTES);
    u64::from(limits.files).saturating_mul(EACH).saturating_add(content).saturating_add(END)
}
