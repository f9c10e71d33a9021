//! Who may hold attempts of a job from before its epoch, and who has said so. Plain bookkeeping of `holding.rs`.

use alloc::collections::BTreeSet;

use super::job::Job;
use super::task::RECALLED;
use crate::durable::{Given, Restored};
use crate::id::{LeaseId, PeerId};
use crate::time::Time;

/// Who may hold attempts of a job from before its epoch.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Workers that were given tasks of it, and which, as its log says.
    pub(super) given: Given,
    /// The same of when this life took it up. An older disk lacks inputs that came later: what was given under their numbers since may
    /// be something else, so that a worker is believed about these alone.
    given_before: Given,
    /// Attempts of epochs before this one are of no use: the job was tried again since.
    pub(super) first_epoch: u32,
    /// Those of the workers that have not answered.
    pub(super) unanswered: BTreeSet<PeerId>,
    /// Until when none of its tasks is placed, unless all answer sooner.
    pub(super) waits_until: Option<Time>,
    /// Other nodes keep the job than when it was accepted: its workers are to know who may lead it.
    pub(super) keepers_changed: bool,
}

impl Holders {
    /// As a job's log says.
    pub(super) fn by_log(kept: &Restored) -> Self {
        let accepted = kept.keepers.trio().map(|trio| trio.peers());
        let keepers_changed = accepted != kept.trio().map(|trio| trio.peers());
        let (given, given_before) = (kept.given.clone(), kept.given.clone());
        Self { given, given_before, first_epoch: kept.first_epoch, keepers_changed, ..Self::default() }
    }

    /// Whether tasks wait for answers.
    pub(super) fn waits(&self) -> bool {
        self.waits_until.is_some()
    }

    /// Whether a worker has still to say what it holds.
    pub(super) fn awaits(&self, worker: PeerId) -> bool {
        self.unanswered.contains(&worker)
    }

    /// Whether a worker may hold that attempt: the log said that it was given that task, and the attempt is of an earlier epoch of
    /// what is tried now.
    pub(super) fn is_believed(&self, job: &Job, worker: PeerId, lease: LeaseId) -> bool {
        self.given_before.has(worker, lease.index)
            && lease.job == job.spec.job
            && (self.first_epoch..job.epoch).contains(&lease.epoch)
            && lease.attempt != RECALLED
            && !job.verifies()
    }
}
