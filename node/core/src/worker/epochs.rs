//! The fence of jobs at level mesh: the greatest epoch of each that this worker has seen, and the nodes that may lead it. What
//! is sent under an older one comes from a node that does not lead the job any more, and is refused. Plain bookkeeping; the
//! worker asks it.
//!
//! The nodes that may lead a job are those that a call for it named, when its sender was one of them and its epoch the sender's.
//! They stay until another call of one of them names others, so that no stranger raises the epoch of a job. The node that leads the
//! job names others, too, when one of them got its seat by a replacement. What a member says of a
//! job that is unknown here counts against no node but those that name it, too: else it could have them refused.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::id::{JobId, LeaseId, PeerId};
use crate::message::{Call, Grant, KEEPERS_MAX};

/// Jobs whose epochs are remembered; beyond it the one that was heard of longest ago is forgotten.
const JOBS_MAX: usize = 4096;

/// Tasks that come, and the nodes that their call names as those which may lead their job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brought<'a> {
    pub(super) grants: &'a [Grant],
    pub(super) keepers: &'a [PeerId],
}

/// The epochs that this worker has seen.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    of: BTreeMap<JobId, Epoch>,
    /// Rises with each word of a job.
    clock: u64,
    /// The jobs by the last word of each.
    heard: BTreeMap<u64, JobId>,
}

#[derive(Debug)]
struct Epoch {
    epoch: u32,
    /// By seat.
    keepers: Vec<PeerId>,
    /// Those of them that named these.
    named_by: Vec<PeerId>,
    heard: u64,
}

impl Epochs {
    /// A node sends tasks of a job in an epoch, and says who may lead it. True if the epoch is newer than all that were seen.
    pub(super) fn on_tasks(&mut self, from: PeerId, lease: LeaseId, keepers: &[PeerId]) -> bool {
        let LeaseId { job, epoch, .. } = lease;
        let is_its_own = leads(keepers, from, epoch);
        let is_known = self.of.get(&job).is_none_or(|known| known.keepers.contains(&from));
        if keepers.len() > KEEPERS_MAX || !is_its_own || !is_known {
            return false;
        }
        let is_new = self.raise(job, epoch);
        if let Some(known) = self.of.get_mut(&job) {
            if known.epoch == epoch {
                known.keepers = keepers.to_vec();
                known.named_by.retain(|node| keepers.contains(node));
            }
            if known.keepers == keepers && !known.named_by.contains(&from) {
                known.named_by.push(from);
            }
        }
        is_new
    }

    /// A node says who may lead a job from here on. It is heard of the node alone that leads the job in the newest epoch that was seen:
    /// neither a stranger gets a seat by it, nor one by the word of a node that led the job before.
    pub(super) fn on_keepers(&mut self, from: PeerId, job: JobId, keepers: &[PeerId]) {
        let known = self.of.get(&job).filter(|known| leads(&known.keepers, from, known.epoch));
        if let Some(epoch) = known.map(|known| known.epoch) {
            self.on_tasks(from, LeaseId { job, epoch, index: 0, attempt: 0 }, keepers);
        }
    }

    /// A node says that it leads a job in an epoch. True if that may be, and is newer than all that were seen.
    pub(super) fn on_lead(&mut self, from: PeerId, job: JobId, epoch: u32) -> bool {
        self.of.get(&job).is_some_and(|known| leads(&known.keepers, from, epoch)) && self.raise(job, epoch)
    }

    /// As an earlier life knew it.
    pub(super) fn restore(&mut self, lease: LeaseId, keepers: &[PeerId]) {
        if !keepers.is_empty() && keepers.len() <= KEEPERS_MAX {
            self.raise(lease.job, lease.epoch);
            if let Some(known) = self.of.get_mut(&lease.job) {
                known.keepers = keepers.to_vec();
            }
        }
    }

    /// Whether what a node sends under that lease comes from one that does not lead the job any more.
    pub(super) fn is_old(&self, from: PeerId, lease: LeaseId) -> bool {
        let known = self.of.get(&lease.job).filter(|known| known.named_by.contains(&from));
        known.is_some_and(|known| lease.epoch < known.epoch)
    }

    /// The nodes that may lead a job, as far as it is known.
    pub(super) fn keepers(&self, job: JobId) -> Vec<PeerId> {
        self.of.get(&job).map(|known| known.keepers.clone()).unwrap_or_default()
    }

    /// Notes an epoch, if it is newer.
    fn raise(&mut self, job: JobId, epoch: u32) -> bool {
        let before = self.of.get(&job).map(|known| known.epoch);
        if before.is_some_and(|before| before > epoch) {
            return false;
        }
        if before.is_none() && self.of.len() >= JOBS_MAX {
            self.forget_oldest();
        }
        self.clock += 1;
        let known = self.of.entry(job).or_insert(Epoch {
            epoch,
            keepers: Vec::new(),
            named_by: Vec::new(),
            heard: self.clock,
        });
        known.epoch = epoch;
        let last = core::mem::replace(&mut known.heard, self.clock);
        self.heard.remove(&last);
        self.heard.insert(self.clock, job);
        before.is_some_and(|before| before < epoch)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, job)) = self.heard.pop_first() {
            self.of.remove(&job);
        }
    }
}

/// Whether an epoch is one of that node's seat.
fn leads(keepers: &[PeerId], node: PeerId, epoch: u32) -> bool {
    let seat = usize::try_from(epoch).unwrap_or(usize::MAX) % KEEPERS_MAX;
    keepers.get(seat) == Some(&node)
}

/// Leaves out the nodes of a call that names more than may lead a job.
pub(super) fn bound_keepers(ctx: &mut Ctx<'_>, call: &mut Call) {
    if call.keepers.len() > KEEPERS_MAX {
        ctx.counters.dropped += 1;
        call.keepers = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId(7);

    fn peer(number: u8) -> PeerId {
        PeerId([number; 32])
    }

    fn lease(epoch: u32) -> LeaseId {
        LeaseId { job: JOB, epoch, index: 0, attempt: 1 }
    }

    fn trio() -> [PeerId; 3] {
        [peer(0), peer(1), peer(2)]
    }

    #[test]
    fn a_newer_epoch_of_a_keeper_makes_the_others_old() {
        let mut epochs = Epochs::default();
        assert!(!epochs.on_tasks(peer(0), lease(3), &trio()), "nothing older can be held");
        assert!(!epochs.is_old(peer(0), lease(3)));
        assert!(epochs.on_lead(peer(1), JOB, 4));
        assert!(epochs.is_old(peer(0), lease(3)) && !epochs.is_old(peer(0), lease(4)));
        assert!(!epochs.on_lead(peer(1), JOB, 4), "it is known");
        assert!(!epochs.on_lead(peer(0), JOB, 3), "it is older");
        assert!(epochs.on_tasks(peer(0), lease(6), &trio()), "tasks say so, too");
        assert!(epochs.is_old(peer(0), lease(4)));
    }

    #[test]
    fn no_stranger_and_no_keeper_on_another_seat_raises_an_epoch() {
        let mut epochs = Epochs::default();
        assert!(!epochs.on_lead(peer(1), JOB, 4), "no task of the job came here");
        epochs.on_tasks(peer(0), lease(3), &trio());
        assert!(!epochs.on_lead(peer(9), JOB, 9));
        assert!(!epochs.on_lead(peer(1), JOB, 5), "that is the witness's");
        assert!(!epochs.on_tasks(peer(9), lease(9), &[peer(9), peer(1), peer(2)]), "it names itself");
        assert!(!epochs.on_tasks(peer(1), lease(6), &trio()), "that is the owner's");
        assert!(!epochs.is_old(peer(0), lease(3)));
        let more = [peer(3), peer(4), peer(5), peer(0)];
        assert!(!epochs.on_tasks(peer(3), LeaseId { job: JobId(8), ..lease(3) }, &more));
        assert!(!epochs.on_lead(peer(4), JobId(8), 4), "more than three can't be");
    }

    #[test]
    fn the_nodes_that_may_lead_change_by_a_word_of_one_of_them() {
        let mut epochs = Epochs::default();
        epochs.on_tasks(peer(0), lease(3), &trio());
        epochs.on_tasks(peer(0), lease(3), &[peer(0), peer(4), peer(2)]);
        assert!(!epochs.on_lead(peer(1), JOB, 4) && epochs.on_lead(peer(4), JOB, 4));
        epochs.on_tasks(peer(0), lease(3), &trio());
        assert!(epochs.on_lead(peer(4), JOB, 7), "what is old changes nothing");
    }

    #[test]
    fn the_node_that_leads_names_one_that_got_a_seat_and_no_other_node_does() {
        let mut epochs = Epochs::default();
        let replaced = [peer(0), peer(4), peer(2)];
        epochs.on_keepers(peer(0), JOB, &replaced);
        assert!(epochs.of.is_empty(), "no task of the job came here");
        epochs.on_tasks(peer(0), lease(3), &trio());
        for (from, keepers) in [
            (peer(9), [peer(0), peer(9), peer(2)]),
            (peer(9), [peer(9), peer(1), peer(2)]),
            (peer(1), [peer(0), peer(1), peer(9)]),
            (peer(1), [peer(1), peer(9), peer(2)]),
            (peer(0), [peer(9), peer(0), peer(2)]),
        ] {
            epochs.on_keepers(from, JOB, &keepers);
            assert_eq!(epochs.keepers(JOB), trio(), "{from:?} names {keepers:?}");
        }
        epochs.on_keepers(peer(0), JOB, &replaced);
        assert!(!epochs.on_lead(peer(1), JOB, 4) && epochs.on_lead(peer(4), JOB, 4));
        assert!(epochs.is_old(peer(0), lease(3)), "it named these");
        epochs.on_keepers(peer(0), JOB, &trio());
        assert_eq!(epochs.keepers(JOB), replaced, "it leads no more");
    }

    #[test]
    fn a_claim_about_an_unknown_job_makes_no_other_node_old() {
        let mut epochs = Epochs::default();
        // A stranger names itself, and nodes that may lead the job.
        let claimed = [peer(0), peer(1), peer(9)];
        epochs.on_tasks(peer(9), lease(3002), &claimed);
        epochs.on_tasks(peer(9), lease(3005), &claimed);
        assert!(!epochs.is_old(peer(0), lease(3)), "before the owner says anything");
        epochs.on_tasks(peer(0), lease(3), &trio());
        assert!(!epochs.is_old(peer(0), lease(3)));
        assert!(!epochs.is_old(peer(1), lease(4)), "a fence is not there, but no task is refused");
        // A node that names the stranger itself is fenced by it.
        epochs.on_tasks(peer(1), lease(4), &claimed);
        assert!(epochs.is_old(peer(1), lease(4)));
    }

    #[test]
    fn the_jobs_are_bounded_and_the_oldest_goes() {
        let mut epochs = Epochs::default();
        let of = |job: usize| LeaseId { job: JobId(job as u64), ..lease(6) };
        for job in 0..JOBS_MAX {
            epochs.on_tasks(peer(0), of(job), &trio());
        }
        epochs.on_tasks(peer(0), of(0), &trio());
        epochs.on_tasks(peer(0), of(JOBS_MAX), &trio());
        let is_known = |job| epochs.is_old(peer(0), LeaseId { epoch: 3, ..of(job) });
        assert_eq!((is_known(0), is_known(1), is_known(JOBS_MAX)), (true, false, true));
        assert_eq!((epochs.of.len(), epochs.heard.len()), (JOBS_MAX, JOBS_MAX));
    }
}
