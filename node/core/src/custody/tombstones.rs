//! The jobs that are gone from this node's disk: those that were forgotten, so that no member keeps one for ever, and those that it
//! left, because another node has its seat. Where these are all that went, it knows of any other job that it never had a log. Pure
//! bookkeeping.

use alloc::collections::{BTreeMap, VecDeque};

use super::member::{Member, Moment};
use super::message::CustodyMessage;
use super::position::{Position, Spans};
use super::record::Record;
use super::trio::Seat;
use crate::effect::{Left, Remains};
use crate::id::{JobId, PeerId};

/// Jobs that are remembered as forgotten, and as left, each; the oldest goes.
pub const TOMBSTONES_MAX: usize = 65_536;

/// The jobs that are gone from a node's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tombstones {
    forgotten: Names<()>,
    left: Names<Left>,
    /// Whether all jobs that ever went from this disk are in one of these.
    knows_all: bool,
}

impl Tombstones {
    /// What an earlier life knew; `knows_all` says that it knew of all jobs that ever went from this disk.
    pub fn restore(&mut self, forgotten: &[JobId], left: &[(JobId, Left)], knows_all: bool) {
        self.knows_all = knows_all;
        let left = left.iter().map(|(job, left)| (*job, Remains::Left(*left)));
        let forgotten = forgotten.iter().map(|job| (*job, Remains::Forgotten));
        for (job, remains) in left.chain(forgotten) {
            self.add(job, remains);
        }
    }

    /// A job's log goes. All that is known of it, with what was known before.
    pub fn add(&mut self, job: JobId, remains: Remains) -> Remains {
        let (had_room, all) = match remains {
            Remains::Nothing => (true, remains),
            Remains::Left(left) => {
                let known = self.left.jobs.get(&job).copied().unwrap_or_default();
                let left = Left { at: left.at.max(known.at), promised: left.promised.max(known.promised) };
                (self.left.add(job, left), Remains::Left(left))
            }
            Remains::Forgotten => (self.forgotten.add(job, ()), remains),
        };
        self.knows_all &= had_room;
        all
    }

    /// Whether a job was forgotten.
    #[must_use]
    pub fn has(&self, job: JobId) -> bool {
        self.forgotten.jobs.contains_key(&job)
    }

    /// Where this node lost its seat in a job that it left; [`Position::NONE`] if it left none of that name.
    #[must_use]
    pub fn left_at(&self, job: JobId) -> Position {
        self.left.jobs.get(&job).map_or(Position::NONE, |left| left.at)
    }

    /// Whether this node left a job.
    fn has_left(&self, job: JobId) -> bool {
        self.left.jobs.contains_key(&job)
    }

    /// Whether this disk is known never to have had a log of a job that is not here now.
    #[must_use]
    pub fn never_had(&self, job: JobId) -> bool {
        self.knows_all && !self.has(job) && !self.has_left(job)
    }

    /// What a node is told that speaks of a job which is not here any more: that it was forgotten, or, to a leader of the past, that
    /// a higher epoch was promised. None if there is nothing to tell: a leader of now may give a job to a node again that left it.
    #[must_use]
    pub fn answer(&self, message: &CustodyMessage) -> Option<CustodyMessage> {
        let job = message.job();
        if self.has(job) {
            return (!message.is_end()).then_some(CustodyMessage::Forgotten { job });
        }
        let promised = self.left.jobs.get(&job)?.promised;
        let CustodyMessage::Keep { epoch, .. } = message else { return None };
        (*epoch < promised).then_some(CustodyMessage::Stale { job, promised })
    }

    /// The member that begins at a node that has no log of a job, by a message about it to which [`Self::answer`] has nothing to
    /// say: a [`CustodyMessage::Keep`] from the first record on, or, where its disk never had the job, a [`CustodyMessage::Have`]
    /// of that record. None by any other.
    #[must_use]
    pub fn begin<R: Record + Clone>(
        &self,
        me: Seat,
        from: PeerId,
        message: &CustodyMessage,
        moment: &Moment,
    ) -> Option<Member<R>> {
        let job = message.job();
        let learnt = Member::learn(me, from, message, self.left_at(job), moment);
        let late = || Member::late(me, from, message, moment);
        learnt.or_else(|| self.never_had(job).then(late).flatten())
    }

    /// What a node with this disk answers that has no log of a job, to a message by which none begins: the leader is to begin at
    /// the first record, and a member that asks is told that nothing is here. A node that left the job does not say so: it may
    /// have acknowledged records of it.
    #[must_use]
    pub fn answer_without_log(&self, message: &CustodyMessage, disk: u64) -> Option<CustodyMessage> {
        let job = message.job();
        if let CustodyMessage::PreSeal { .. } = message {
            return (!self.has_left(job)).then_some(CustodyMessage::Unknown { job, disk });
        }
        let CustodyMessage::Keep { epoch, after, .. } = message else { return None };
        let behind = CustodyMessage::Behind { job, epoch: *epoch, spans: Spans::new(), disk };
        (*after != Position::NONE).then_some(behind)
    }
}

/// What a node is to remember of a job whose member leaves it, at that place. Without anything on its disk it acknowledged nothing.
#[must_use]
pub fn remains_of<R: Record + Clone>(member: &Member<R>, at: Position) -> Remains {
    let left = Left { at, promised: member.epoch() };
    if member.is_empty() { Remains::Nothing } else { Remains::Left(left) }
}

/// Jobs, at most [`TOMBSTONES_MAX`], with what is known of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Names<T> {
    jobs: BTreeMap<JobId, T>,
    /// The same, the newest last.
    order: VecDeque<JobId>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { jobs: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Names<T> {
    /// False if the oldest had to go for it.
    fn add(&mut self, job: JobId, what: T) -> bool {
        if self.jobs.insert(job, what).is_some() {
            return true;
        }
        self.order.push_back(job);
        let oldest = self.order.pop_front_if(|_| self.jobs.len() > TOMBSTONES_MAX);
        oldest.is_none_or(|oldest| self.jobs.remove(&oldest).is_none())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn left(promised: u32) -> Left {
        Left { at: Position { epoch: 3, seq: 2 }, promised }
    }

    #[test]
    fn a_member_that_asks_about_a_forgotten_job_is_told() {
        let mut gone = Tombstones::default();
        let [job, other, never] = [1, 2, 3].map(JobId);
        gone.add(job, Remains::Forgotten);
        gone.add(other, Remains::Left(left(4)));
        let told = Some(CustodyMessage::Forgotten { job });
        assert_eq!(gone.answer(&CustodyMessage::Seal { job, epoch: 4 }), told);
        let want = CustodyMessage::Want { job, epoch: 4, after: Position::NONE };
        assert_eq!(gone.answer(&want), told);
        assert_eq!(gone.answer(&CustodyMessage::Forget { job, epoch: 3 }), told);
        let forgotten = CustodyMessage::Forgotten { job };
        assert_eq!(gone.answer(&forgotten), None, "two would tell each other for ever");
        for job in [other, never] {
            assert_eq!(gone.answer(&CustodyMessage::Seal { job, epoch: 4 }), None, "{job}");
        }
    }

    #[test]
    fn a_leader_of_the_past_is_told_so_by_a_node_that_left() {
        let mut gone = Tombstones::default();
        let job = JobId(2);
        gone.restore(&[], &[(job, left(4))], true);
        let keep = |epoch| CustodyMessage::Keep {
            job,
            epoch,
            after: Position::NONE,
            records: Vec::new(),
            committed: 0,
            last: 1,
        };
        assert_eq!(gone.answer(&keep(3)), Some(CustodyMessage::Stale { job, promised: 4 }));
        assert_eq!(gone.answer(&keep(4)), None, "it may have given the seat back");
        gone.add(job, Remains::Left(left(8)));
        let later = Position { epoch: 6, seq: 9 };
        let all = Remains::Left(Left { at: later, promised: 8 });
        assert_eq!(gone.add(job, Remains::Left(Left { at: later, promised: 7 })), all);
        assert_eq!(
            gone.add(job, Remains::Left(left(3))),
            all,
            "what is known less well does not take its place"
        );
        assert_eq!(gone.answer(&keep(7)), Some(CustodyMessage::Stale { job, promised: 8 }));
        assert_eq!(gone.left_at(job), later);
    }

    #[test]
    fn a_disk_never_had_what_is_not_gone_from_it() {
        let mut gone = Tombstones::default();
        assert!(!gone.never_had(JobId(9)), "it does not know what earlier lives had");
        gone.restore(&[JobId(1)], &[(JobId(2), left(3))], true);
        gone.add(JobId(3), Remains::Left(left(3)));
        gone.add(JobId(4), Remains::Forgotten);
        gone.add(JobId(5), Remains::Nothing);
        let never: [bool; 5] = core::array::from_fn(|job| gone.never_had(JobId(job as u64 + 1)));
        assert_eq!(never, [false, false, false, false, true]);
        assert_eq!([2, 5].map(|job| gone.left_at(JobId(job))), [left(3).at, Position::NONE]);
        gone.restore(&[], &[], false);
        assert!(!gone.never_had(JobId(5)), "an older program did not remember what was left");
    }

    #[test]
    fn the_oldest_goes_at_the_bound_and_then_no_disk_is_known_not_to_have_had_a_job() {
        let mut gone = Tombstones::default();
        gone.restore(&[], &[], true);
        for job in 0..TOMBSTONES_MAX as u64 {
            gone.add(JobId(job), Remains::Forgotten);
        }
        gone.add(JobId(1), Remains::Forgotten);
        let newest = JobId(TOMBSTONES_MAX as u64);
        assert!(gone.has(JobId(0)) && gone.never_had(newest));
        gone.add(newest, Remains::Forgotten);
        assert!(!gone.has(JobId(0)) && gone.has(JobId(1)) && gone.has(newest));
        assert!(!gone.never_had(JobId(u64::MAX)));
        gone.add(JobId(9), Remains::Left(left(3)));
        assert_eq!(gone.left_at(JobId(9)), left(3).at, "what was left has places of its own");
    }
}
