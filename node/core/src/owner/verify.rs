//! Computed by several: a task of a job that verifies runs on nodes of as many machines as the job asks for, and what most
//! of them say counts. As long as no more than a minority of those that are asked lies the same lie, no lie is
//! committed; whoever is contradicted is named, and hardly trusted afterwards.
//!
//! More than half of the asked-for number must agree; that many are enough, so that one slow node holds nothing up.
//! When all have answered and too few agree, one more is asked at a time.
//!
//! Who holds the mesh key makes as many identities as it likes, so it is machines that vote ([`crate::host`]): one
//! has one vote a task, whichever of its nodes answers first. Members that are known longest are asked first. None of
//! this helps against who has many machines, or many addresses of the LAN.

use alloc::string::String;
use alloc::vec::Vec;

use super::Owner;
use super::job::{self, Brought, Job, State};
use super::{cancel_at, drop_lease};
use crate::ctx::Ctx;
use crate::digest::Digest;
use crate::effect::{Event, Verified};
use crate::host::Voice;
use crate::id::{JobId, LeaseId, PeerId};
use crate::message::Delivery;
use crate::task::{Outcome, Report};

/// What the nodes said that computed one task so far.
#[derive(Debug, Default)]
pub(super) struct Ballot {
    votes: Vec<Vote>,
}

#[derive(Debug)]
struct Vote {
    worker: PeerId,
    /// Whose vote it is, by where its worker was when it answered.
    voice: Voice,
    print: Digest,
    brought: Brought,
}

/// What comes of some answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Too few agree yet.
    Open,
    /// This is it.
    Agreed(Digest),
    /// So many answered, and so few alike, that nobody else is asked.
    Hopeless,
}

impl Ballot {
    /// Whether that machine has voted, or that node, wherever it is now.
    pub(super) fn holds(&self, worker: PeerId, voice: Voice) -> bool {
        self.votes.iter().any(|vote| vote.worker == worker || vote.voice == voice)
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.votes.len()).unwrap_or(u32::MAX)
    }

    /// What comes of the answers when so many nodes were asked for.
    fn judge(&self, nodes: u32) -> Verdict {
        let enough = nodes / 2 + 1;
        let of = |print| self.votes.iter().filter(|vote| vote.print == print).count();
        let agreed =
            self.votes.iter().find(|vote| of(vote.print) >= usize::try_from(enough).unwrap_or(usize::MAX));
        match agreed {
            Some(vote) => Verdict::Agreed(vote.print),
            None if self.count() > 2 * nodes => Verdict::Hopeless,
            None => Verdict::Open,
        }
    }
}

/// How many more nodes a task wants now, of which so many answered and so many hold it: all that were asked for at
/// once, then one more at a time.
pub(super) fn missing(nodes: u32, answered: u32, held: u32) -> u32 {
    if answered < nodes { (nodes - answered).saturating_sub(held) } else { u32::from(held == 0) }
}

/// Whether another answer than that of most can only be a lie or a broken machine: how much time a task takes, and the
/// words of a runtime's version, are a node's own.
fn is_damning(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done | Outcome::Failed(_) => true,
        Outcome::Trapped(_)
        | Outcome::LimitExceeded(_)
        | Outcome::Invalid(_)
        | Outcome::Cancelled
        | Outcome::Lost(_)
        | Outcome::Expired(_)
        | Outcome::ParentFailed { job: _ } => false,
    }
}

impl Job {
    /// Whether each task is computed by several nodes.
    pub(super) fn verifies(&self) -> bool {
        self.what.policy.verify > 1
    }

    /// Takes back the pins of what was said about a task; what was said.
    pub(super) fn close_ballot(&mut self, ctx: &mut Ctx<'_>, index: u32) -> Ballot {
        let ballot = self.ballots.remove(&index).unwrap_or_default();
        for payload in ballot.votes.iter().flat_map(|vote| vote.brought.report.payloads()) {
            ctx.unpin(payload);
        }
        ballot
    }

    /// Notes what a node computed, unless its machine has voted.
    fn take_vote(
        &mut self,
        ctx: &mut Ctx<'_>,
        index: u32,
        (worker, voice): (PeerId, Voice),
        brought: Brought,
    ) -> Verdict {
        let nodes = self.what.policy.verify;
        let ballot = self.ballots.entry(index).or_default();
        if !ballot.holds(worker, voice) {
            for payload in brought.report.payloads() {
                ctx.pin(payload);
            }
            let print = brought.report.digest();
            ballot.votes.push(Vote { worker, voice, print, brought });
        }
        ballot.judge(nodes)
    }
}

impl Owner {
    /// One more node computed a task. What most of them brought, once enough agree; until then the task waits for
    /// others.
    pub(super) fn weigh(
        &mut self,
        ctx: &mut Ctx<'_>,
        lease: LeaseId,
        (from, voice): (PeerId, Voice),
        brought: Brought,
    ) -> Option<Brought> {
        let job = self.jobs.get_mut(&lease.job)?;
        if !job.verifies() || !brought.report.outcome.fault().is_answer() {
            return Some(brought);
        }
        let verdict = job.take_vote(ctx, lease.index, (from, voice), brought);
        // Its first answer came after its lease had run out: it is a begun task again.
        job.resume_begun(lease.index);
        match verdict {
            Verdict::Open => {
                job.requeue(lease.index);
                self.dirty.insert(lease.job);
                None
            }
            Verdict::Hopeless => {
                let nodes = job.close_ballot(ctx, lease.index).count();
                let text = alloc::format!("{nodes} nodes computed it, and no majority of them alike");
                let report = Report::bare(Outcome::Lost(text));
                self.commit(ctx, lease.job, lease.index, None, report.into());
                None
            }
            Verdict::Agreed(print) => self.agree(ctx, lease, print),
        }
    }

    /// Enough nodes said the same: who did not is named, and who was still to answer is stopped.
    fn agree(&mut self, ctx: &mut Ctx<'_>, lease: LeaseId, print: Digest) -> Option<Brought> {
        let LeaseId { job: name, index, .. } = lease;
        let job = self.jobs.get_mut(&name)?;
        let ballot = job.close_ballot(ctx, index);
        let others = job.task_mut(index).map(|task| core::mem::take(&mut task.live)).unwrap_or_default();
        let (agreed, differed): (Vec<Vote>, Vec<Vote>) =
            ballot.votes.into_iter().partition(|vote| vote.print == print);
        let verified = Verified {
            agreed: agreed.iter().map(|vote| vote.worker).collect(),
            differed: differed.iter().map(|vote| vote.worker).collect(),
        };
        for vote in &differed {
            self.blame_answer(ctx, name, index, vote.worker, &vote.brought.report.outcome);
        }
        for worker in &verified.agreed {
            self.standings.on_done(*worker, ctx.now);
        }
        self.stop_others(ctx, name, index, others);
        ctx.counters.verified += 1;
        let winner = agreed.into_iter().next()?;
        Some(Brought { verified: Some((winner.worker, verified)), ..winner.brought })
    }

    /// A node computed something else than most did.
    fn blame_answer(&mut self, ctx: &mut Ctx<'_>, job: JobId, index: u32, worker: PeerId, outcome: &Outcome) {
        let standing = self.standings.blamed(worker, ctx.now);
        if is_damning(outcome) {
            standing.on_lie(ctx.now);
            ctx.memo.distrust(worker);
            ctx.counters.lies += 1;
            ctx.notify(Event::Differed { job, index, worker });
        } else {
            standing.on_slow(ctx.now);
        }
    }

    /// An outcome came when enough others had agreed: it may still show who lies.
    pub(super) fn weigh_late(&mut self, ctx: &mut Ctx<'_>, from: PeerId, delivery: &Delivery) {
        let Delivery { lease, report, .. } = delivery;
        let Some(job) = self.jobs.get(&lease.job).filter(|job| job.verifies()) else { return };
        let fate = job.tasks.fate(lease.index).filter(|(_, issued)| lease.attempt <= *issued);
        let Some((State::Ended(print), _)) = fate else { return };
        let undecided = Report::bare(Outcome::Lost(String::new())).digest().short();
        let differs = report.is_sound() && report.digest().short() != print && print != undecided;
        if differs && is_damning(&report.outcome) {
            self.blame_answer(ctx, lease.job, lease.index, from, &report.outcome);
        }
    }

    /// A task's leases that are of no use any more end, here and at their workers.
    pub(super) fn stop_others(
        &mut self,
        ctx: &mut Ctx<'_>,
        name: JobId,
        index: u32,
        others: Vec<job::Attempt>,
    ) {
        for attempt in others {
            let lease = LeaseId { job: name, index, attempt: attempt.number };
            drop_lease(&mut self.leases, &mut self.expiries, &attempt, lease);
            cancel_at(ctx, attempt.worker, &[lease]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Payload;

    /// Answers as letters, each by a node of its own.
    fn ballot(answers: &str) -> Ballot {
        let votes = (0u8..).zip(answers.bytes()).map(|(number, letter)| {
            let report = Report { output: Payload::inline(&[letter]), ..Report::bare(Outcome::Done) };
            let worker = PeerId([number; 32]);
            Vote { worker, voice: Voice::Node(worker), print: report.digest(), brought: report.into() }
        });
        Ballot { votes: votes.collect() }
    }

    #[test]
    fn what_most_of_the_asked_for_say_counts() {
        // nodes asked for, answers -> what counts
        let table = [
            (2, "a", None),
            (2, "aa", Some('a')),
            (2, "ab", None),
            (2, "abb", Some('b')),
            (3, "a", None),
            (3, "aa", Some('a')),
            (3, "ab", None),
            (3, "abc", None),
            (3, "abcb", Some('b')),
            (5, "aabb", None),
            (5, "aabba", Some('a')),
        ];
        for (nodes, answers, counts) in table {
            let expected = counts.map(|letter: char| {
                let report =
                    Report { output: Payload::inline(&[letter as u8]), ..Report::bare(Outcome::Done) };
                Verdict::Agreed(report.digest())
            });
            assert_eq!(ballot(answers).judge(nodes), expected.unwrap_or(Verdict::Open), "{nodes} {answers}");
        }
        assert_eq!(ballot("abcdef").judge(3), Verdict::Open);
        assert_eq!(ballot("abcdefg").judge(3), Verdict::Hopeless);
    }

    #[test]
    fn all_are_asked_at_once_then_one_at_a_time() {
        // asked for, answered, held -> more
        let table = [
            (3, 0, 0, 3),
            (3, 0, 3, 0),
            (3, 1, 1, 1),
            (3, 2, 1, 0),
            (3, 3, 0, 1),
            (3, 4, 0, 1),
            (3, 4, 1, 0),
            (2, 1, 2, 0),
        ];
        for (nodes, answered, held, more) in table {
            assert_eq!(missing(nodes, answered, held), more, "{nodes} {answered} {held}");
        }
    }
}
