//! What several nodes said about one task, and what comes of it. Pure, with a table of tests; `verification.rs` collects the
//! answers and does what follows.

use alloc::vec::Vec;

use super::task::Brought;
use crate::digest::Digest;
use crate::host::{Host, Reach, Voice};
use crate::id::PeerId;

/// What the nodes said that computed one task so far.
#[derive(Debug, Default)]
pub(super) struct Ballot {
    pub(super) votes: Vec<Vote>,
}

/// One answer.
#[derive(Debug)]
pub(super) struct Vote {
    pub(super) worker: PeerId,
    /// Where its worker was when it answered.
    pub(super) host: Host,
    /// Whose vote it is by that, among those that have votes now.
    pub(super) voice: Voice,
    pub(super) digest: Digest,
    pub(super) brought: Brought,
}

/// What comes of some answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too few agree yet.
    Open,
    /// This is it.
    Agreed(Digest),
    /// Enough answered, and too few alike: no other node is asked.
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

    /// Keeps of the answers what counts when others have votes, one a machine; the answers that do not count any more.
    pub(super) fn recount(&mut self, voters: Reach) -> Vec<Vote> {
        let mut dropped = Vec::new();
        for vote in core::mem::take(&mut self.votes) {
            let voice = voters.voice(vote.worker, vote.host);
            match voice.filter(|voice| !self.holds(vote.worker, *voice)) {
                Some(voice) => self.votes.push(Vote { voice, ..vote }),
                None => dropped.push(vote),
            }
        }
        dropped
    }

    /// What comes of the answers when that number of nodes was asked for.
    pub(super) fn judge(&self, nodes: u32) -> Verdict {
        let enough = nodes / 2 + 1;
        let of = |digest| self.votes.iter().filter(|vote| vote.digest == digest).count();
        let agreed =
            self.votes.iter().find(|vote| of(vote.digest) >= usize::try_from(enough).unwrap_or(usize::MAX));
        match agreed {
            Some(vote) => Verdict::Agreed(vote.digest),
            None if self.count() > 2 * nodes => Verdict::Hopeless,
            None => Verdict::Open,
        }
    }
}

/// How many more nodes a task wants now, by how many answered and how many hold it: all that were asked for at
/// once, then one more at a time.
pub(super) fn missing(nodes: u32, answered: u32, held: u32) -> u32 {
    if answered < nodes { (nodes - answered).saturating_sub(held) } else { u32::from(held == 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Outcome, Payload, Report};

    /// Answers as letters, each by a node of its own.
    fn ballot(answers: &str) -> Ballot {
        let votes = (0u8..).zip(answers.bytes()).map(|(number, letter)| {
            let report = Report { output: Payload::inline(&[letter]), ..Report::bare(Outcome::Done) };
            let worker = PeerId([number; 32]);
            Vote {
                worker,
                host: Host::Here,
                voice: Voice::Node(worker),
                digest: report.digest(),
                brought: report.into(),
            }
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
