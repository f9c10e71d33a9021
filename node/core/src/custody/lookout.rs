//! Seats of nodes that are gone for long, or drain: a leader gives them to others. Which rules that follows is the member's.

use alloc::vec::Vec;

use super::choice::{Eligible, replacement};
use super::member::{Member, Moment};
use super::trio::Trio;
use crate::durable::LogRecord;
use crate::host::Host;
use crate::id::JobId;
use crate::membership::Membership;

/// How often a leader looks for them, in milliseconds.
pub(super) const LOOK_MS: u64 = 60_000;

/// Gives one seat of a job's trio to another node, if one is to be given and there is one.
pub(super) fn replace(member: &mut Member<LogRecord>, job: JobId, nodes: Nodes<'_>, moment: &Moment) {
    let Nodes { members, eligible } = nodes;
    let trio = member.log().trio();
    let Some(seat) = member.vacant(moment.now).or_else(|| draining(&trio, members)) else { return };
    let stay: Vec<Host> = (0..)
        .zip(trio.peers())
        .filter(|(other, _)| *other != seat)
        .map(|(_, peer)| members.host(peer))
        .collect();
    let others = eligible.iter().copied().filter(|other| trio.seat_of(other.seat.peer).is_none()).collect();
    if let Some(by) = replacement(job, &stay, others) {
        // Refused while another replacement is not committed; it is looked for again.
        let _replaced = member.replace(seat, by, moment);
    }
}

/// The nodes that a leader knows.
#[derive(Clone, Copy)]
pub(super) struct Nodes<'a> {
    pub(super) members: &'a Membership,
    pub(super) eligible: &'a [Eligible],
}

/// A seat whose node takes no work any more.
fn draining(trio: &Trio, members: &Membership) -> Option<u8> {
    let drains = |peer| members.told(peer).is_some_and(|capacity| capacity.draining);
    (0..).zip(trio.peers()).find(|(_, peer)| drains(*peer)).map(|(seat, _)| seat)
}
