//! Seats of nodes that are gone for long, or drain for long: a leader gives them to others. A leader whose own node drains has
//! another member lead. Which rules that follows is the member's.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::choice::{Eligible, replacement};
use super::member::{Member, Moment};
use super::trio::Trio;
use crate::durable::LogRecord;
use crate::id::{JobId, PeerId};
use crate::membership::Membership;

/// How often a leader looks for them, in milliseconds. A node that drains at two looks in a row drains for long.
pub(super) const LOOK_MS: u64 = 60_000;
/// How often a node that drains tries to have others lead, in milliseconds.
pub(super) const HAND_OVER_MS: u64 = 2_000;

/// Gives one seat of a job's trio to another node, if one is to be given and there is one.
pub(super) fn replace(member: &mut Member<LogRecord>, nodes: Nodes<'_>, moment: &Moment) {
    let Nodes { members, eligible, drained } = nodes;
    let trio = member.log().trio();
    let Some(seat) = member.vacant(moment.now).or_else(|| draining(&trio, members, drained)) else { return };
    let stay: Vec<Eligible> = (0..)
        .zip(trio.0)
        .filter(|(other, _)| *other != seat)
        .map(|(_, member)| Eligible { seat: member, host: members.host(member.peer) })
        .collect();
    let others = eligible.iter().copied().filter(|other| trio.seat_of(other.seat.peer).is_none()).collect();
    if let Some(by) = replacement(&stay, others) {
        // Refused while another replacement is not committed; it is looked for again.
        let _replaced = member.replace(seat, by, moment);
    }
}

/// What the owner knows when seats are looked for.
#[derive(Debug)]
pub(crate) struct Known {
    /// The connected nodes that can keep jobs of others.
    pub(crate) eligible: Vec<Eligible>,
    /// The jobs that are led here and get further tasks: those come over a connection to this node, so no other one leads them.
    pub(crate) open: BTreeSet<JobId>,
}

/// The nodes that a leader knows.
#[derive(Clone, Copy)]
pub(super) struct Nodes<'a> {
    pub(super) members: &'a Membership,
    pub(super) eligible: &'a [Eligible],
    /// Those that drained at the last look, too.
    pub(super) drained: &'a BTreeSet<PeerId>,
}

/// Has another member lead, because this node drains. Whether one is asked to.
pub(super) fn hand_over(member: &mut Member<LogRecord>, members: &Membership) -> bool {
    member.hand_over(|peer| !drains(members, peer))
}

/// A log can't be read: another member leads, one that does not drain at once.
pub(super) fn misread(member: &mut Member<LogRecord>, members: &Membership, moment: &Moment) {
    member.misread(|peer| !drains(members, peer), moment);
}

/// The connected nodes that drain.
pub(super) fn all_draining(members: &Membership) -> BTreeSet<PeerId> {
    members.connected().map(|(peer, _)| peer).filter(|peer| drains(members, *peer)).collect()
}

/// A seat whose node has drained for long.
fn draining(trio: &Trio, members: &Membership, drained: &BTreeSet<PeerId>) -> Option<u8> {
    let leaves = |peer: &PeerId| drained.contains(peer) && drains(members, *peer);
    (0..).zip(trio.peers()).find(|(_, peer)| leaves(peer)).map(|(seat, _)| seat)
}

fn drains(members: &Membership, peer: PeerId) -> bool {
    members.told(peer).is_some_and(|capacity| capacity.draining)
}
