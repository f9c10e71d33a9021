//! Jobs that this node led and has forgotten, of which another node that keeps them has not said yet that it forgot them,
//! too. One agrees before the leader forgets; the word to the other may be lost without a break of the connection, and it
//! would keep an ended job until it is connected anew. Plain bookkeeping.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::message::CustodyMessage;
use crate::id::{JobId, PeerId};
use crate::time::Time;

/// How often such a node is told again, in milliseconds.
const AGAIN_MS: u64 = 2_000;
/// How many times it is. One that does not answer by then has a disk that failed, or never had the job.
const TIMES_MAX: u8 = 5;
/// Jobs of which that is known. Of others a node is not told again.
const JOBS_MAX: usize = 4_096;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    of: BTreeMap<JobId, Farewell>,
    /// When the first of them is looked at.
    due_at: Option<Time>,
}

#[derive(Debug)]
struct Farewell {
    /// In which this node led the job.
    epoch: u32,
    /// Nodes that have not said so yet.
    to: Vec<PeerId>,
    again_at: Time,
    times: u8,
}

impl Farewells {
    /// This node has forgotten a job that it led, and told these nodes.
    pub(super) fn begin(&mut self, job: JobId, epoch: u32, to: Vec<PeerId>, now: Time) {
        if !to.is_empty() && self.of.len() < JOBS_MAX {
            let again_at = now.plus_ms(AGAIN_MS);
            self.of.insert(job, Farewell { epoch, to, again_at, times: 0 });
            self.due_at.get_or_insert(again_at);
        }
    }

    /// A node says that it has forgotten a job. Whether this node waited for it.
    pub(super) fn agreed(&mut self, job: JobId, peer: PeerId) -> bool {
        let Some(farewell) = self.of.get_mut(&job) else { return false };
        let before = farewell.to.len();
        farewell.to.retain(|other| *other != peer);
        let waited = farewell.to.len() < before;
        if farewell.to.is_empty() {
            self.of.remove(&job);
        }
        if self.of.is_empty() {
            self.due_at = None;
        }
        waited
    }

    /// A node is not connected any more. It asks when it is back.
    pub(super) fn on_peer_down(&mut self, peer: PeerId) {
        let jobs: Vec<JobId> = self.of.keys().copied().collect();
        for job in jobs {
            self.agreed(job, peer);
        }
    }

    /// What is to be said again now.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<(PeerId, CustodyMessage)> {
        let mut due = Vec::new();
        if self.due_at.is_none_or(|at| at > now) {
            return due;
        }
        for (job, farewell) in self.of.iter_mut().filter(|(_, farewell)| farewell.again_at <= now) {
            let message = CustodyMessage::Forget { job: *job, epoch: farewell.epoch };
            due.extend(farewell.to.iter().map(|peer| (*peer, message.clone())));
            farewell.times += 1;
            farewell.again_at = now.plus_ms(AGAIN_MS);
        }
        self.of.retain(|_, farewell| farewell.times < TIMES_MAX);
        self.due_at = self.of.values().map(|farewell| farewell.again_at).min();
        due
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.due_at
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const JOB: JobId = JobId(7);
    const MESSAGE: CustodyMessage = CustodyMessage::Forget { job: JOB, epoch: 3 };

    fn at(ms: u64) -> Time {
        Time::ZERO.plus_ms(ms)
    }

    fn peer(number: u8) -> PeerId {
        PeerId([number; 32])
    }

    #[test]
    fn who_has_not_agreed_is_told_again_and_not_for_ever() {
        let mut farewells = Farewells::default();
        farewells.begin(JOB, 3, vec![peer(1), peer(2)], at(0));
        assert!(farewells.agreed(JOB, peer(1)) && !farewells.agreed(JOB, peer(1)));
        assert_eq!(farewells.take_due(at(AGAIN_MS - 1)), []);
        for time in 1..=u64::from(TIMES_MAX) {
            assert_eq!(farewells.next_wakeup(), Some(at(time * AGAIN_MS)));
            assert_eq!(farewells.take_due(at(time * AGAIN_MS)), [(peer(2), MESSAGE)]);
        }
        assert_eq!(farewells.next_wakeup(), None);
        assert!(farewells.of.is_empty());
    }

    #[test]
    fn who_agrees_or_goes_is_not_waited_for() {
        let mut farewells = Farewells::default();
        farewells.begin(JOB, 3, vec![peer(1), peer(2)], at(0));
        farewells.on_peer_down(peer(2));
        assert!(farewells.next_wakeup().is_some() && farewells.agreed(JOB, peer(1)));
        assert_eq!((farewells.next_wakeup(), farewells.take_due(at(AGAIN_MS))), (None, vec![]));
    }

    #[test]
    fn beyond_the_bound_nothing_is_said_again() {
        let mut farewells = Farewells::default();
        for job in 0..=JOBS_MAX as u64 {
            farewells.begin(JobId(job), 3, vec![peer(1)], at(0));
        }
        assert_eq!(farewells.take_due(at(AGAIN_MS)).len(), JOBS_MAX);
    }
}
