//! The parts of a member's state. Plain data.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::custody::position::{Position, Spans};
use crate::custody::trio::Seat;
use crate::id::PeerId;
use crate::time::Time;

/// What a member is at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Follower(Following),
    Candidate(Candidacy),
    Leader(Leading),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Following {
    /// Of the promised epoch; none until it was heard.
    pub(super) leader: Option<PeerId>,
    /// The candidate to which the epoch was promised.
    pub(super) sealed_for: Option<PeerId>,
    /// It is to be answered.
    pub(super) owes_sealed: bool,
    /// The candidate wants the records behind this one.
    pub(super) wanted: Option<Position>,
    /// The log equals the leader's up to here.
    pub(super) agreed: u32,
    /// What the leader was told last.
    pub(super) acked: u32,
    /// The leader is to be told at once.
    pub(super) owes_kept: bool,
    /// When this member asks the others whether it is to take over.
    pub(super) takes_over_at: Time,
    /// It has asked them since it heard the leader last.
    pub(super) asks: bool,
    /// When the leader was heard last, if it was.
    pub(super) heard_at: Option<Time>,
    /// Since when it has been close behind the leader.
    pub(super) close_since: Option<Time>,
    /// Members that have nothing of the job.
    pub(super) unknown: Vec<Unknown>,
}

/// A member that has nothing of the job, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unknown {
    pub(super) by: Seat,
    /// Since when it says so.
    pub(super) since: Time,
    /// When it was sent the first record last, or since when it could have been.
    pub(super) sent: Time,
}

/// With which record an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum First {
    Led,
    Retried,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidacy {
    pub(super) epoch: u32,
    pub(super) first: First,
    /// Nodes that were asked. None before the own promise is durable.
    pub(super) asked: Vec<PeerId>,
    pub(super) answers: Vec<Answer>,
    /// The log that is being fetched.
    pub(super) source: Option<Source>,
    pub(super) retry_at: Time,
}

/// A member that sealed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) by: Seat,
    pub(super) spans: Spans,
    pub(super) committed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) peer: PeerId,
    /// The last record to fetch.
    pub(super) target: Position,
    /// The last one that was there when the next page was asked for.
    pub(super) asked_after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    pub(super) epoch: u32,
    /// The number of its first record.
    pub(super) first: u32,
    /// That record is durable, and the engine was told.
    pub(super) led: bool,
    pub(super) followers: Vec<Follower>,
    /// The last records, up to the end of the log, as bytes.
    pub(super) tail: VecDeque<Arc<[u8]>>,
    pub(super) tail_bytes: usize,
    pub(super) beat_at: Time,
    /// Its user wants the job forgotten.
    pub(super) forgets: bool,
}

/// Another member, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    pub(super) peer: PeerId,
    /// The number of its disk, as it says; 0 before it said anything.
    pub(super) disk: u64,
    /// It keeps all up to here.
    pub(super) matched: u32,
    /// Its log equals the leader's up to here.
    pub(super) common: u32,
    /// Where its log ended, as it said after the last guess.
    pub(super) behind: Option<u32>,
    /// How often it was sent its log again because it said so, since the last heartbeat.
    pub(super) restarts: u32,
    /// The next record that it is sent.
    pub(super) next: u32,
    /// The numbers of the last records of pages on the way, with the pages' bytes.
    pub(super) in_flight: VecDeque<Page>,
    /// One page at a time, until it answers: where its log ends is a guess.
    pub(super) probes: bool,
    /// The log could not be read: tried again at the next heartbeat.
    pub(super) blocked: bool,
    /// What it was told to be committed.
    pub(super) told: u32,
    /// The same, as of its last answer.
    pub(super) knows: u32,
    /// What it kept at the last heartbeat.
    pub(super) matched_before: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Page {
    pub(super) last: u32,
    pub(super) bytes: usize,
}

impl Follower {
    pub(super) fn new(peer: PeerId, next: u32) -> Self {
        Self {
            peer,
            disk: 0,
            matched: 0,
            common: 0,
            behind: None,
            restarts: 0,
            next,
            in_flight: VecDeque::new(),
            probes: true,
            blocked: false,
            told: 0,
            knows: 0,
            matched_before: 0,
        }
    }

    pub(super) fn begin_again(&mut self, next: u32) {
        (self.next, self.behind) = (next, None);
        self.in_flight.clear();
        (self.probes, self.blocked) = (true, false);
    }
}

/// Something that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Write {
    Record(u32),
    Promise(u32),
    /// A cut, or a record that was cut.
    Other,
}

/// A connection to another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) peer: PeerId,
    pub(super) up: bool,
    /// Since when.
    pub(super) since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    pub(super) to: PeerId,
    pub(super) from: u32,
    /// For a member that never had the job.
    pub(super) is_late: bool,
    /// Records were cut since.
    pub(super) stale: bool,
}
