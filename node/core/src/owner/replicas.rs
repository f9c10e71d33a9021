//! Begun tasks that want one more running copy: those that several nodes compute, and stragglers that may have a
//! speculative copy. Both reasons answer one question, [`Replicas::missing`], and share one set. Plain bookkeeping;
//! `dispatch` awards the replicas before what has not begun.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::ballot::{self, Ballot};
use super::job::Job;
use super::task::TaskState;
use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::membership::Membership;
use crate::time::Time;

/// Begun tasks that are looked through for one that fits a bid. As many may want more nodes before a job that verifies
/// begins further ones.
pub(super) const WINDOW: usize = 256;
/// A worker is spared a call, and its bids are released, when no more begun tasks than this are left and it fits none of
/// them. With a smaller bound it would hold slots for tasks that it has had its part in.
const SPARED_MAX: usize = WINDOW;

/// The replicas of one job.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    /// Begun tasks that want one more node.
    wanted: BTreeSet<u32>,
    /// What was answered so far about tasks that several nodes compute.
    ballots: BTreeMap<u32, Ballot>,
    /// Speculative copies that were awarded and accepted.
    pub(super) copies: u32,
    /// When stragglers are looked for.
    pub(super) speculate_at: Option<Time>,
}

impl Replicas {
    pub(super) fn any_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Begun tasks that want one more node.
    pub(super) fn count_wanted(&self) -> u32 {
        u32::try_from(self.wanted.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn wants(&self, index: u32) -> bool {
        self.wanted.contains(&index)
    }

    /// A begun task wants one more node.
    pub(super) fn want(&mut self, index: u32) {
        self.wanted.insert(index);
    }

    /// It does not any more; whether it did.
    pub(super) fn stop_wanting(&mut self, index: u32) -> bool {
        self.wanted.remove(&index)
    }

    /// The first of them, as many as are looked through at once.
    pub(super) fn window(&self) -> Vec<u32> {
        self.wanted.iter().copied().take(WINDOW).collect()
    }

    /// Enough of them want more nodes: a job that verifies begins no further task.
    pub(super) fn is_full(&self) -> bool {
        self.wanted.len() >= WINDOW
    }

    /// Whether some node has computed the task.
    pub(super) fn has_answers(&self, index: u32) -> bool {
        self.ballots.contains_key(&index)
    }

    /// How many have.
    pub(super) fn answers(&self, index: u32) -> u32 {
        self.ballots.get(&index).map_or(0, Ballot::count)
    }

    /// Tasks about which some have answered, and not enough.
    pub(super) fn count_ballots(&self) -> usize {
        self.ballots.len()
    }

    /// Tasks that some node has computed.
    pub(super) fn begun(&self) -> Vec<u32> {
        self.ballots.keys().copied().collect()
    }

    /// The answers to one task; the first makes the ballot.
    pub(super) fn ballot(&mut self, index: u32) -> &mut Ballot {
        self.ballots.entry(index).or_default()
    }

    /// Takes the answers to a task out, and takes back their pins.
    pub(super) fn close_ballot(&mut self, ctx: &mut Ctx<'_>, index: u32) -> Ballot {
        let ballot = self.ballots.remove(&index).unwrap_or_default();
        for payload in ballot.votes.iter().flat_map(|vote| vote.brought.report.payloads()) {
            ctx.unpin(payload);
        }
        ballot
    }

    /// How many more nodes a begun task wants now.
    pub(super) fn missing(&self, job: &Job, index: u32) -> u32 {
        let task = job.live_task(index);
        if task.state() != TaskState::Leased {
            return 0;
        }
        let held = u32::try_from(task.due().count()).unwrap_or(u32::MAX);
        if job.verifies() {
            return ballot::missing(job.spec.policy.verify, self.answers(index), held);
        }
        let runs = task.due().all(|attempt| attempt.fetching.is_none() && !attempt.paused);
        // What failed once waits its time, and its next attempt is no copy.
        u32::from(held == 1 && runs && !task.copied && task.failures == 0)
    }

    /// Whether that worker holds the task, or has answered; of a job that verifies, whether any node of its machine has,
    /// or it has no vote.
    pub(super) fn bars(&self, job: &Job, members: &Membership, index: u32, worker: PeerId) -> bool {
        let task = job.live_task(index);
        if !job.verifies() {
            return task.due().any(|attempt| attempt.worker() == worker);
        }
        let Some(voice) = members.voice(worker) else { return true };
        let same = |other: PeerId| other == worker || members.voice(other) == Some(voice);
        let answered = self.ballots.get(&index).is_some_and(|ballot| ballot.holds(worker, voice));
        answered || task.due().any(|attempt| same(attempt.worker()))
    }

    /// Whether that worker is of no use to what is left: it had its part in all of it.
    pub(super) fn spare(&self, job: &Job, members: &Membership, worker: PeerId) -> bool {
        let few = job.queue.is_empty() && self.wanted.len() <= SPARED_MAX;
        few && self.any_wanted() && self.wanted.iter().all(|index| self.bars(job, members, *index, worker))
    }

    /// A copy of a task was awarded: its last attempt.
    pub(super) fn on_copied(&mut self, job: &mut Job, index: u32) {
        self.copies += 1;
        let task = job.live_task_mut(index);
        task.copied = true;
        task.live.last_mut().expect("an attempt was just awarded").copy = true;
    }

    /// A copy was not accepted: there may be another.
    pub(super) fn on_copy_refused(&mut self, job: &mut Job, index: u32) {
        self.copies = self.copies.saturating_sub(1);
        job.live_task_mut(index).copied = false;
    }

    /// Puts a leased task back at the head of the queue, unless another attempt of it is still due; one that several nodes
    /// compute goes on with those that have it or answered.
    pub(super) fn requeue(&mut self, job: &mut Job, index: u32) {
        let task = job.live_task(index);
        let (due, begun) = (task.is_due(), self.has_answers(index));
        if task.state() != TaskState::Leased || (due && !job.verifies()) {
            return;
        }
        if (due || begun) && self.missing(job, index) > 0 {
            self.want(index);
            return;
        }
        self.stop_wanting(index);
        if !due && !begun {
            job.requeue(index);
        }
    }

    /// The job has ended.
    pub(super) fn forget(&mut self) {
        debug_assert!(self.ballots.is_empty(), "each task's end closes its ballot");
        self.wanted = BTreeSet::new();
    }
}
