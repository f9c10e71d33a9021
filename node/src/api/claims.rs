//! What members say together of who leads a job. Each speaks for itself and may be wrong or lie, so a claim to lead counts by who
//! confirms it. Plain bookkeeping; `elsewhere.rs` asks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use weft_core::{JobId, PeerId};

use super::finding::Named;
use super::members::{KNOWN_MAX, Known};

/// What was heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The job that this node keeps itself, and by whom it is kept: no other node can lead it.
    here: Option<(JobId, Vec<PeerId>)>,
    /// The members that say that they lead a job, each with its epoch.
    claims: BTreeMap<JobId, BTreeMap<PeerId, u32>>,
    /// The nodes that keep a job, as each member says.
    keepers: BTreeMap<JobId, BTreeMap<PeerId, BTreeSet<PeerId>>>,
    /// Members that gave no answer.
    pub(super) silent: usize,
}

impl Heard {
    /// With what this node knows by itself.
    pub(super) fn here(here: Option<(JobId, Vec<PeerId>)>) -> Self {
        Self { here, ..Self::default() }
    }

    /// Adds what a member said about a job. What was not asked for is not heard, nor is a claim to lead a job that by its own
    /// words others keep.
    pub(super) fn note(&mut self, named: &Named, from: PeerId, known: Known) {
        let Known { job, leads, epoch, keepers } = known;
        let Some(job) = job.parse().ok().filter(|job| named.may_be(*job)) else { return };
        let keepers = keepers.iter().take(KNOWN_MAX).filter_map(|keeper| keeper.parse::<PeerId>().ok());
        let keepers: BTreeSet<PeerId> = keepers.collect();
        if leads && self.may_lead(job, from) && (keepers.is_empty() || keepers.contains(&from)) {
            self.claims.entry(job).or_default().insert(from, epoch);
        }
        if !keepers.is_empty() {
            self.keepers.entry(job).or_default().insert(from, keepers);
        }
    }

    fn may_lead(&self, job: JobId, peer: PeerId) -> bool {
        self.here.as_ref().is_none_or(|(kept, keepers)| *kept != job || keepers.contains(&peer))
    }

    /// The jobs that members say that they lead.
    pub(super) fn led(&self) -> Vec<JobId> {
        self.claims.keys().copied().collect()
    }

    /// A job that is kept, and by which nodes.
    pub(super) fn kept(&self) -> Option<(JobId, BTreeSet<PeerId>)> {
        if let Some((job, keepers)) = &self.here {
            return Some((*job, keepers.iter().copied().collect()));
        }
        let (job, said) = self.keepers.first_key_value()?;
        Some((*job, said.values().flatten().copied().collect()))
    }

    pub(super) fn is_claimed(&self, job: JobId) -> bool {
        self.claims.contains_key(&job)
    }

    /// Whether another member, or this node's own log, names one of those that say that they lead the job.
    pub(super) fn is_confirmed(&self, job: JobId) -> bool {
        let claims = self.claims.get(&job).into_iter().flatten();
        claims.into_iter().any(|(peer, _)| self.confirmed_by(job, *peer) > 0)
    }

    /// Who leads a job: of those that say so the one that most others name as one that may; of several, that of the greatest
    /// epoch. Those that refused it come last.
    pub(super) fn leader(&self, job: JobId, refused: &BTreeSet<PeerId>) -> Option<PeerId> {
        let claims = self.claims.get(&job)?.iter();
        let best = claims.max_by_key(|(peer, epoch)| {
            (!refused.contains(peer), self.confirmed_by(job, **peer), **epoch, Reverse(**peer))
        });
        best.map(|(peer, _)| *peer)
    }

    /// How many others say that a node may lead a job.
    fn confirmed_by(&self, job: JobId, peer: PeerId) -> usize {
        let here = self.here.iter().filter(|(kept, keepers)| *kept == job && keepers.contains(&peer)).count();
        let said = self.keepers.get(&job).into_iter().flatten();
        here + said.filter(|(by, keepers)| **by != peer && keepers.contains(&peer)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId(0xa7c3_72ed_eab4_6585);
    const ID: &str = "a7c372edeab46585";

    fn peer(seed: u8) -> PeerId {
        PeerId([seed; 32])
    }

    fn known(job: &str, epoch: Option<u32>, keepers: &[u8]) -> Known {
        let mut names: Vec<String> = keepers.iter().map(|seed| peer(*seed).to_string()).collect();
        names.push(String::from("no id"));
        Known { job: job.to_owned(), leads: epoch.is_some(), epoch: epoch.unwrap_or(0), keepers: names }
    }

    fn leader(heard: &Heard, refused: &[u8]) -> Option<PeerId> {
        heard.leader(JOB, &refused.iter().map(|seed| peer(*seed)).collect())
    }

    #[test]
    fn the_leader_of_the_greater_epoch_counts_and_what_was_not_asked_is_not_heard() {
        let mut heard = Heard::default();
        let named = Named::of("A7C3");
        heard.note(&named, peer(1), known(ID, Some(3), &[1, 2, 3]));
        heard.note(&named, peer(2), known(ID, Some(7), &[1, 2, 3]));
        heard.note(&named, peer(3), known(ID, Some(5), &[1, 2, 3]));
        heard.note(&named, peer(4), known("b7c372edeab46585", Some(9), &[4]));
        heard.note(&named, peer(4), known("a7c3", Some(9), &[4]));
        assert_eq!((leader(&heard, &[]), heard.led()), (Some(peer(2)), vec![JOB]));
        assert_eq!(leader(&heard, &[2]), Some(peer(3)), "where it does not lead, another is asked");
        assert_eq!(leader(&heard, &[1, 2, 3]), Some(peer(2)), "it may lead again by now");
        assert_eq!(heard.kept(), Some((JOB, BTreeSet::from([peer(1), peer(2), peer(3)]))));
    }

    #[test]
    fn a_member_that_no_other_one_names_leads_no_job_that_others_lead() {
        let named = Named::Id(JOB);
        let mut heard = Heard::default();
        heard.note(&named, peer(9), known(ID, Some(u32::MAX), &[9, 1, 2]));
        assert!(heard.is_claimed(JOB) && !heard.is_confirmed(JOB), "others may know better");
        heard.note(&named, peer(1), known(ID, Some(4), &[1, 2, 3]));
        assert_eq!(leader(&heard, &[]), Some(peer(1)), "by the words of the false one, too");
        heard.note(&named, peer(2), known(ID, None, &[1, 2, 3]));
        assert!(heard.is_confirmed(JOB) && leader(&heard, &[]) == Some(peer(1)));
        heard.note(&named, peer(8), known(ID, Some(u32::MAX), &[1, 2, 3]));
        assert_eq!(leader(&heard, &[1]), Some(peer(9)), "the one that names others does not even claim it");
    }

    #[test]
    fn a_job_of_one_node_has_the_leader_that_says_so() {
        let mut heard = Heard::default();
        heard.note(&Named::Id(JOB), peer(5), known(ID, Some(0), &[]));
        assert_eq!((leader(&heard, &[]), heard.kept()), (Some(peer(5)), None));
        assert!(!heard.is_confirmed(JOB));
    }

    #[test]
    fn a_job_that_this_node_keeps_is_led_by_no_node_that_does_not() {
        let mut heard = Heard::here(Some((JOB, vec![peer(1), peer(2), peer(3)])));
        heard.note(&Named::Id(JOB), peer(9), known(ID, Some(u32::MAX), &[9, 2, 3]));
        assert_eq!((leader(&heard, &[]), heard.led()), (None, Vec::new()));
        heard.note(&Named::Id(JOB), peer(2), known(ID, Some(4), &[1, 2, 3]));
        assert!(heard.is_confirmed(JOB) && leader(&heard, &[]) == Some(peer(2)));
        assert_eq!(heard.kept(), Some((JOB, BTreeSet::from([peer(1), peer(2), peer(3)]))));
    }
}
