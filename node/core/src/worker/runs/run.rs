//! One task that a worker holds: what it is, how far it is, and what it takes. Plain data; the run queue is the only
//! writer of its stage, its class and what is counted by them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use crate::id::{BlobId, LeaseId, PeerId, TaskId};
use crate::message::{Class, Grant, Progress};
use crate::policy::agreed::STOPPED_ATTEMPTS_MAX;
use crate::policy::order::AGE_US;
use crate::policy::window;
use crate::task::{Payload, Program, Report, TaskKey, Terms};
use crate::time::Time;
use crate::worker::runtimes::Runtimes;

/// Where a held task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Stage {
    /// It lacks this many blobs.
    Staging(u8),
    /// It waits for a slot.
    Ready,
    /// It was handed to the slots: it runs, or waits in their own queue.
    Handed,
    /// It is suspended in its slot, for a task of a higher class.
    Paused,
    /// It waited in the slots' own queue and is taken out of it again, for a task of a higher class.
    Requeuing,
    /// It was handed to the slots and is stopped; its lease is gone.
    Aborted {
        /// It was paused then.
        paused: bool,
    },
}

/// What a task takes of the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing: it is not in them.
    Outside,
    /// It runs, or waits in the slots' own queue.
    Busy,
    /// It is suspended: it takes memory, and no slot.
    Paused,
}

impl Stage {
    /// What it takes of the slots in this stage.
    pub(super) fn place(self) -> Place {
        match self {
            Self::Staging(_) | Self::Ready => Place::Outside,
            Self::Handed | Self::Requeuing | Self::Aborted { paused: false } => Place::Busy,
            Self::Paused | Self::Aborted { paused: true } => Place::Paused,
        }
    }

    /// Whether it waits for a slot, and ages while it does.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Ready | Self::Paused)
    }

    /// Whether a task in this stage may come to that one.
    pub(super) fn leads_to(self, next: Self) -> bool {
        match next {
            Self::Staging(_) => matches!(self, Self::Staging(_)),
            Self::Ready => matches!(self, Self::Staging(_) | Self::Requeuing),
            Self::Handed => matches!(self, Self::Ready | Self::Paused),
            Self::Paused | Self::Requeuing => self == Self::Handed,
            Self::Aborted { paused } => match self {
                Self::Handed | Self::Requeuing => !paused,
                Self::Paused => paused,
                Self::Staging(_) | Self::Ready | Self::Aborted { .. } => false,
            },
        }
    }
}

/// What the accepted tasks of one award, or of one assignment on credit, have in common.
#[derive(Clone, Debug)]
pub(in crate::worker) struct Accepted {
    pub(in crate::worker) owner: PeerId,
    pub(in crate::worker) program: Arc<Program>,
    pub(in crate::worker) key: TaskKey,
    pub(in crate::worker) terms: Terms,
    pub(in crate::worker) class: Class,
    /// How many slots one takes.
    pub(in crate::worker) slots: u32,
    /// What one takes, in microseconds, if it comes on credit.
    pub(in crate::worker) prefilled: Option<u32>,
}

/// A task that is ours for now.
#[derive(Debug)]
pub(in crate::worker) struct Run {
    pub(in crate::worker) owner: PeerId,
    pub(in crate::worker) lease: LeaseId,
    pub(in crate::worker) program: Arc<Program>,
    pub(in crate::worker) key: TaskKey,
    pub(in crate::worker) terms: Terms,
    pub(in crate::worker) input: Payload,
    /// Its name, once it was asked for.
    pub(in crate::worker) task: Option<TaskId>,
    /// Its result, which this node computed before, while what that rests on is looked for.
    pub(in crate::worker) known: Option<Arc<Report>>,
    /// It came on credit, and takes this long by what was known then, in microseconds.
    pub(in crate::worker) prefilled: Option<u32>,
    /// What it took, once it has ended, in microseconds.
    pub(in crate::worker) ran_us: Option<u64>,
    /// The slots say that it waits for its module to be compiled.
    pub(in crate::worker) compiling: bool,
    /// What it streamed, in bytes.
    pub(in crate::worker) streamed_bytes: u64,
    /// Between award and start, in microseconds.
    pub(in crate::worker) queue_us: u64,
    /// The class that it counts as: its own, or a higher one for having waited.
    pub(super) class: Class,
    /// How many slots it takes.
    pub(super) slots: u32,
    /// What it was thought to take when it came, in microseconds; 0 if that was unknown.
    pub(super) estimate_us: u32,
    /// It takes, or is thought to take, longer than is worth waiting for.
    pub(super) long: bool,
    pub(super) stage: Stage,
    /// When it counts as one class higher, while it waits for a slot.
    pub(super) ages_at: Option<Time>,
    /// How long it must wait for that, while it does not, in microseconds.
    pub(super) age_left_us: u64,
    /// Its place among those that are ready.
    pub(super) ready_turn: u64,
    pub(super) awarded_at: Time,
    /// When it began, later by as much as it was paused.
    pub(super) handed_at: Time,
    pub(super) paused_at: Time,
}

impl Run {
    /// A task that has just come, thought to take this long.
    pub(in crate::worker) fn new(now: Time, accepted: &Accepted, grant: Grant, estimate_us: u32) -> Self {
        let Grant { lease, input } = grant;
        Self {
            owner: accepted.owner,
            lease,
            program: Arc::clone(&accepted.program),
            key: accepted.key,
            terms: accepted.terms,
            input,
            task: None,
            known: None,
            prefilled: accepted.prefilled,
            ran_us: None,
            compiling: false,
            streamed_bytes: 0,
            queue_us: 0,
            class: accepted.class,
            slots: accepted.slots,
            estimate_us,
            long: accepted.slots > 1 || !window::is_short(estimate_us, 0),
            stage: Stage::Staging(0),
            ages_at: None,
            age_left_us: AGE_US,
            ready_turn: 0,
            awarded_at: now,
            handed_at: now,
            paused_at: now,
        }
    }

    pub(in crate::worker) fn stage(&self) -> Stage {
        self.stage
    }

    /// How far it is, for people.
    pub(super) fn progress(&self) -> Progress {
        match self.stage {
            Stage::Staging(_) => Progress::Fetching,
            Stage::Handed if self.compiling => Progress::Compiling,
            Stage::Handed | Stage::Paused => Progress::Running,
            Stage::Ready | Stage::Requeuing | Stage::Aborted { .. } => Progress::Waiting,
        }
    }

    /// The blobs that must be here before it can run, with the lengths that its owner claims.
    pub(in crate::worker) fn needs(&self) -> BTreeSet<(BlobId, u64)> {
        self.all_needs().collect()
    }

    /// The same, where one may come twice.
    pub(in crate::worker) fn all_needs(&self) -> impl Iterator<Item = (BlobId, u64)> + '_ {
        let Program { module, module_bytes, files, .. } = &*self.program;
        let payloads = [files, &self.input].into_iter();
        let others = payloads.filter_map(|payload| Some((payload.blob()?, payload.bytes_len())));
        core::iter::once((*module, *module_bytes)).chain(others)
    }

    /// What one like it takes by what is known now, in microseconds; 0 while unknown.
    pub(super) fn service_us(&self, stats: &Runtimes) -> u32 {
        self.prefilled.unwrap_or_else(|| stats.estimate_us(self.owner, self.lease.job))
    }

    /// What it was thought to take of one slot's time, in microseconds.
    pub(in crate::worker) fn slot_us(&self) -> u64 {
        u64::from(self.estimate_us) * u64::from(self.slots)
    }

    /// Its slots, if it is a long one.
    pub(super) fn long_slots(&self) -> u32 {
        if self.long { self.slots } else { 0 }
    }

    /// How much time of its slots it has had together, in microseconds.
    pub(in crate::worker) fn took_us(&self, now: Time) -> u64 {
        let had = match self.stage {
            Stage::Staging(_) | Stage::Ready => 0,
            Stage::Handed | Stage::Requeuing | Stage::Aborted { paused: false } => {
                now.since_us(self.handed_at)
            }
            Stage::Paused | Stage::Aborted { paused: true } => self.paused_at.since_us(self.handed_at),
        };
        self.ran_us.unwrap_or(had).saturating_mul(u64::from(self.slots))
    }

    /// What it may use at most, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.program.limits.memory_bytes
    }

    /// Whether it may be stopped for good to make memory free.
    pub(super) fn may_be_stopped(&self) -> bool {
        self.lease.attempt <= STOPPED_ATTEMPTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 7] = [
        Stage::Staging(1),
        Stage::Ready,
        Stage::Handed,
        Stage::Paused,
        Stage::Requeuing,
        Stage::Aborted { paused: false },
        Stage::Aborted { paused: true },
    ];

    #[test]
    fn a_task_goes_from_stage_to_stage_along_these_edges_alone() {
        let edges = |from: Stage| STAGES.map(|to| u32::from(from.leads_to(to)));
        let table = [
            [1, 1, 0, 0, 0, 0, 0], // staging
            [0, 0, 1, 0, 0, 0, 0], // ready
            [0, 0, 0, 1, 1, 1, 0], // handed
            [0, 0, 1, 0, 0, 0, 1], // paused
            [0, 1, 0, 0, 0, 1, 0], // requeuing
            [0; 7],
            [0; 7],
        ];
        assert_eq!(STAGES.map(edges), table);
    }

    #[test]
    fn what_is_aborted_takes_its_slots_until_it_has_left_them() {
        let places = STAGES.map(Stage::place);
        let (out, busy, paused) = (Place::Outside, Place::Busy, Place::Paused);
        assert_eq!(places, [out, out, busy, paused, busy, busy, paused]);
    }
}
