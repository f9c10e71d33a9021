//! Which nodes keep a new job at level `mesh`, and which one gets a seat that another one loses. Pure functions: a choice is written
//! into the job's log, and never made again to find them.

use alloc::vec::Vec;

use super::trio::{Seat, Trio};
use crate::host::Host;
use crate::id::{JobId, PeerId};

/// A node that can keep a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Eligible {
    pub(crate) seat: Seat,
    /// Its machine.
    pub(crate) host: Host,
}

/// The trio of a job: its owner and the two that the job's id ranks first (rendezvous hashing), on machines of their own as far
/// as there are enough.
///
/// # Errors
/// The number of nodes that can keep it, the owner included, if they are fewer than three.
pub(crate) fn choose(job: JobId, owner: Eligible, others: Vec<Eligible>) -> Result<Trio, u32> {
    let mut others = others;
    others.sort_by_cached_key(|candidate| rank(job, candidate.seat.peer));
    let custodian = take_apart(&mut others, &[owner.host]);
    let hosts = [Some(owner.host), custodian.map(|custodian| custodian.host)];
    let hosts: Vec<Host> = hosts.into_iter().flatten().collect();
    let witness = take_apart(&mut others, &hosts);
    match (custodian, witness) {
        (Some(custodian), Some(witness)) => Ok(Trio([owner.seat, custodian.seat, witness.seat])),
        (Some(_), None) => Err(2),
        (None, _) => Err(1),
    }
}

/// The node that replaces another one in a trio, next to the two that stay: the first that these rank (rendezvous hashing), on a
/// machine of its own if there is one. All jobs of one trio get the same one, so that a job stays where those are that it comes
/// after.
pub(crate) fn replacement(stay: &[Eligible], others: Vec<Eligible>) -> Option<Seat> {
    let mut others = others;
    others.sort_by_cached_key(|candidate| rank_next_to(stay, candidate.seat.peer));
    let hosts: Vec<Host> = stay.iter().map(|member| member.host).collect();
    take_apart(&mut others, &hosts).map(|candidate| candidate.seat)
}

/// Takes the first that is on none of these machines, or else the first.
fn take_apart(ranked: &mut Vec<Eligible>, hosts: &[Host]) -> Option<Eligible> {
    let apart = ranked.iter().position(|candidate| !hosts.contains(&candidate.host));
    let place = apart.unwrap_or(0);
    (place < ranked.len()).then(|| ranked.remove(place))
}

/// Lower is better; each job ranks the nodes in an order of its own, so that all keep about as many. Jobs whose ids end alike
/// ([`JobId::grouped_with`]) rank them alike, and so have the same trio while the same nodes can keep them.
fn rank(job: JobId, peer: PeerId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&job.group().to_le_bytes());
    hasher.update(&peer.0);
    *hasher.finalize().as_bytes()
}

/// The same for a seat next to these members, whatever their order.
fn rank_next_to(stay: &[Eligible], peer: PeerId) -> [u8; 32] {
    let mut members: Vec<PeerId> = stay.iter().map(|member| member.seat.peer).collect();
    members.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    members.iter().for_each(|member| {
        hasher.update(&member.0);
    });
    hasher.update(&peer.0);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    fn node(number: u8, host: Host) -> Eligible {
        Eligible { seat: Seat { peer: PeerId([number; 32]), disk: u64::from(number) }, host }
    }

    fn at(number: u8) -> Host {
        Host::At([number; 16])
    }

    fn owner() -> Eligible {
        node(1, Host::Here)
    }

    #[test]
    fn jobs_are_spread_over_the_nodes_and_each_choice_is_the_same_again() {
        let others: Vec<Eligible> = (2..12).map(|number| node(number, at(number))).collect();
        let mut kept: BTreeMap<PeerId, u32> = BTreeMap::new();
        for job in 0..1000 {
            let trio = choose(JobId(job), owner(), others.clone()).expect("there are enough");
            assert!(trio.is_sound() && trio.0[0] == owner().seat);
            let backwards = others.iter().rev().copied().collect();
            assert_eq!(choose(JobId(job), owner(), backwards), Ok(trio));
            trio.0.iter().for_each(|seat| *kept.entry(seat.peer).or_default() += 1);
        }
        kept.remove(&owner().seat.peer);
        assert!(kept.len() == 10 && kept.values().all(|jobs| (140..260).contains(jobs)), "{kept:?}");
    }

    #[test]
    fn jobs_of_one_group_are_kept_by_the_same_nodes() {
        let others: Vec<Eligible> = (2..12).map(|number| node(number, at(number))).collect();
        let of = |job: JobId| choose(job, owner(), others.clone()).expect("there are enough");
        for number in 0..50u64 {
            let first = JobId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let other = JobId(number ^ 0x1234_5678_0000_0000).grouped_with(first);
            assert!(other != first && of(other) == of(first), "{first:?} {other:?}");
        }
    }

    #[test]
    fn machines_differ_where_they_can() {
        for job in 0..50 {
            let others = alloc::vec![
                node(2, Host::Here),
                node(3, at(7)),
                node(4, at(7)),
                node(5, Host::Here),
                node(6, at(8))
            ];
            let trio = choose(JobId(job), owner(), others).expect("there are enough");
            let numbers: Vec<u8> = trio.0.iter().map(|seat| seat.peer.0[0]).collect();
            assert!(numbers.contains(&6) && (numbers.contains(&3) || numbers.contains(&4)), "{numbers:?}");
        }
        let here = alloc::vec![node(2, Host::Here), node(3, Host::Here)];
        assert!(choose(JobId(1), owner(), here).is_ok(), "one machine is better than none");
        let stay = [owner(), node(5, at(7))];
        let replaced = replacement(&stay, alloc::vec![node(2, at(7)), node(3, at(8))]);
        assert_eq!(replaced.map(|seat| seat.disk), Some(3));
        assert_eq!(replacement(&stay, Vec::new()), None);
    }

    #[test]
    fn two_that_stay_choose_one_whatever_the_job_and_other_two_another() {
        let others: Vec<Eligible> = (20..30).map(|number| node(number, at(number))).collect();
        let mut chosen: BTreeMap<PeerId, u32> = BTreeMap::new();
        for number in 2..20 {
            let stay = [owner(), node(number, at(number))];
            let seat = replacement(&stay, others.clone()).expect("there are some");
            let [one, other] = stay;
            let backwards = others.iter().rev().copied().collect();
            assert_eq!(replacement(&[other, one], backwards), Some(seat));
            *chosen.entry(seat.peer).or_default() += 1;
        }
        assert!(chosen.len() >= 6, "they are spread: {chosen:?}");
    }

    #[test]
    fn fewer_than_three_are_counted() {
        assert_eq!(choose(JobId(1), owner(), Vec::new()), Err(1));
        assert_eq!(choose(JobId(1), owner(), alloc::vec![node(2, at(2))]), Err(2));
    }
}
