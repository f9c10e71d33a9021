//! One attempt of a task, and what it brings home: plain bookkeeping, driven by the owner.

use alloc::boxed::Box;

use crate::effect::Verified;
use crate::id::PeerId;
use crate::message::{LeaseRange, Progress};
use crate::receipt::Proof;
use crate::task::{Recalled, Report};
use crate::time::Time;

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) worker: PeerId,
    pub(super) since: Time,
    pub(super) expires_at: Time,
    /// Its lease ran out; its outcome still counts if it is the first.
    pub(super) overdue: bool,
    /// Its outcome is here, and so many blobs of it are still on their way.
    pub(super) fetching: Option<Box<(u8, Brought)>>,
    /// This node had no room for one of these blobs: they are fetched when there is.
    pub(super) starved: bool,
    /// The worker holds it back for tasks of a higher class, by its last word.
    pub(super) paused: bool,
    /// What the worker is at with it, by its last word.
    pub(super) progress: Progress,
    renewed_at: Time,
    /// How long it was held back, in microseconds, at most [`PAUSED_MAX_US`].
    paused_us: u64,
    /// What it streamed, in bytes.
    pub(super) printed: u64,
    /// It is the second one of a task that was slow.
    pub(super) copy: bool,
}

/// The number of an attempt that nobody makes: the task's result is known, and what it rests on is on its way here.
pub(super) const RECALLED: u32 = 0;

/// Most of the time for which a worker says that it held a task back that is not held against it, in microseconds: a
/// worker that lies can keep a task no longer than this beyond what any other may.
const PAUSED_MAX_US: u64 = 3_600_000_000;

/// What an attempt brought home.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    pub(super) report: Report,
    /// Who computed it before and whose word that is, if it was only remembered.
    pub(super) memo: Option<(PeerId, Recalled)>,
    /// The worker's signature, which belongs to the report.
    pub(super) proof: Option<Proof>,
    /// Whose it is and who else said so, if several nodes computed it.
    pub(super) verified: Option<(PeerId, Verified)>,
}

impl From<Report> for Brought {
    fn from(report: Report) -> Self {
        Self { report, memo: None, proof: None, verified: None }
    }
}

impl Attempt {
    pub(super) fn new(number: u32, worker: PeerId, since: Time, expires_at: Time) -> Self {
        Self {
            number,
            worker,
            since,
            expires_at,
            overdue: false,
            fetching: None,
            starved: false,
            paused: false,
            progress: Progress::Unknown,
            renewed_at: since,
            paused_us: 0,
            printed: 0,
            copy: false,
        }
    }

    /// The worker still has it.
    pub(super) fn on_renewed(&mut self, now: Time, range: &LeaseRange) {
        if self.paused {
            let more = now.since_us(self.renewed_at);
            self.paused_us = self.paused_us.saturating_add(more).min(PAUSED_MAX_US);
        }
        self.paused = range.paused;
        self.progress = range.progress;
        self.renewed_at = now;
    }

    /// Whether it began, as far as its worker told.
    pub(super) fn has_run(&self) -> bool {
        self.paused || self.printed > 0 || self.progress == Progress::Running
    }

    /// How long the worker has had it, without the time for which it was held back, in microseconds.
    pub(super) fn held_us(&self, now: Time) -> u64 {
        now.since_us(self.since).saturating_sub(self.paused_us)
    }
}
