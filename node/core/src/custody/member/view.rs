//! What a member says of itself, and the small parts that the others use.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::lead::BEAT_MS;
use super::state::{Follower, Following, Leading, Link, State};
use super::{Member, Moment, Role};
use crate::custody::action::Action;
use crate::custody::message::CustodyMessage;
use crate::custody::outline::Outline;
use crate::custody::position::Position;
use crate::custody::record::Record;
use crate::custody::trio::FIRST_EPOCH;
use crate::custody::trio::Trio;
use crate::id::PeerId;
use crate::time::Time;

/// Silence of the leader after which the custodian asks whether it is to take over, or the owner; in milliseconds.
const SILENCE_MS: u64 = 8_000;
/// The same for the witness.
const WITNESS_SILENCE_MS: u64 = 16_000;
/// Most that chance adds to a silence, in milliseconds.
const JITTER_MS: u64 = 2_000;

impl<R: Record + Clone> Member<R> {
    // ---- what others may know

    /// When it needs [`Self::on_time`] at the latest.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.over {
            return None;
        }
        match &self.state {
            State::Follower(_) | State::Candidate(_) if self.is_alone() => None,
            State::Follower(following) => self.follower_wakeup(following),
            State::Candidate(candidacy) => Some(candidacy.retry_at),
            State::Leader(leading) => self.needs_beat(leading).then_some(leading.beat_at),
        }
    }

    /// What it is at the moment.
    #[must_use]
    pub fn role(&self) -> Role {
        match &self.state {
            State::Follower(following) => Role::Follower { leader: following.leader },
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// The epoch that it promised last; as a leader, its own.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.promised
    }

    /// Its log, in outline.
    #[must_use]
    pub fn log(&self) -> &Outline {
        &self.log
    }

    /// All records up to this number are committed, as far as it knows.
    #[must_use]
    pub fn committed(&self) -> u32 {
        self.committed
    }

    /// Whether all of the job ended, for good unless it is tried again: the record that says so is committed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.log.ended().is_some_and(|seq| seq <= self.committed)
    }

    /// Whether its own disk has a seat, and a vote. Otherwise it learns: what it keeps does not count.
    #[must_use]
    pub fn is_member(&self) -> bool {
        let (trio, before) = self.trios();
        let has_seat = trio.has(self.me) || before.is_some_and(|before| before.has(self.me));
        has_seat && self.has_what_it_left()
    }

    /// Whether its log has the record with which this node lost its seat, if it did.
    pub(super) fn has_what_it_left(&self) -> bool {
        self.left == Position::NONE || self.log.spans().has(self.left)
    }

    /// The trio, and the one before it if a replacement is not known to be committed.
    pub(super) fn trios(&self) -> (Trio, Option<Trio>) {
        let is_pending = self.log.last_replaced().is_some_and(|seq| seq > self.committed);
        let pending = if is_pending { self.log.replacement() } else { None };
        (self.log.trio(), pending.map(|last| last.before))
    }

    /// Whether nothing of the job is on its disk, or on its way there.
    pub(crate) fn is_empty(&self) -> bool {
        self.written == 0
    }

    // ---- parts

    pub(super) fn emit(&mut self, action: Action<R>) {
        self.out.push(action);
    }

    pub(super) fn send(&mut self, to: PeerId, message: CustodyMessage) {
        self.out.push(Action::Send { to, message });
    }

    /// The seat of another node that keeps the job, or did until the last replacement.
    pub(super) fn seat_of(&self, peer: PeerId) -> Option<u8> {
        let (trio, before) = self.trios();
        trio.seat_of(peer).or_else(|| before?.seat_of(peer))
    }

    /// The other nodes that keep the job, those of a trio that is being left included.
    pub(super) fn others(&self) -> Vec<PeerId> {
        let (trio, before) = self.trios();
        let mut others: Vec<PeerId> = Vec::new();
        for seat in trio.0.iter().chain(before.iter().flat_map(|before| &before.0)) {
            if seat.peer != self.me.peer && !others.contains(&seat.peer) {
                others.push(seat.peer);
            }
        }
        others
    }

    /// When it asks the others if it hears no leader from now on.
    pub(super) fn patience(&self, moment: &Moment) -> Time {
        moment.after_ms(if self.is_witness() { WITNESS_SILENCE_MS } else { SILENCE_MS }, JITTER_MS)
    }

    /// Whether it leaves the lead to owner and custodian first.
    pub(super) fn is_witness(&self) -> bool {
        self.log.trio().seat_of(self.me.peer).is_none_or(|seat| seat == 2)
    }

    pub(super) fn note_link(&mut self, peer: PeerId, up: bool, moment: &Moment) {
        let others = self.others();
        if !others.contains(&peer) {
            return;
        }
        self.links.retain(|link| others.contains(&link.peer));
        let link = Link { peer, up, since: moment.now };
        match self.links.iter_mut().find(|link| link.peer == peer) {
            Some(known) => *known = if known.up == up { *known } else { link },
            None => self.links.push(link),
        }
    }

    /// The connected nodes that follow this leader and have said so; none if it does not lead.
    #[must_use]
    pub fn followers_here(&self) -> Vec<PeerId> {
        let State::Leader(leading) = &self.state else { return Vec::new() };
        let here = |follower: &&Follower| follower.disk != 0 && self.is_up(follower.peer);
        leading.followers.iter().filter(here).map(|follower| follower.peer).collect()
    }

    /// Whether a node is connected. One that came with a replacement is until it is told otherwise.
    pub(super) fn is_up(&self, peer: PeerId) -> bool {
        self.links.iter().find(|link| link.peer == peer).is_none_or(|link| link.up)
    }

    /// Whether no other node of the trio is connected: then it waits, and promises nothing.
    pub(super) fn is_alone(&self) -> bool {
        !self.others().iter().any(|peer| self.is_up(*peer))
    }

    pub(super) fn become_leader(&mut self, epoch: u32, moment: &Moment) {
        let next = self.log.last().seq.saturating_add(1);
        let followers = self.others().into_iter().map(|peer| Follower::new(peer, next)).collect();
        self.state = State::Leader(Leading {
            epoch,
            first: next,
            led: epoch == FIRST_EPOCH,
            followers,
            tail: VecDeque::new(),
            tail_bytes: 0,
            beat_at: moment.now.plus_ms(BEAT_MS),
            forgets: false,
        });
    }

    pub(super) fn follow(&mut self, following: Following) {
        if matches!(self.state, State::Leader(_)) {
            self.emit(Action::StepDown);
        }
        let leader = following.leader;
        if self.role() != (Role::Follower { leader }) {
            self.emit(Action::Follow { leader });
        }
        self.state = State::Follower(following);
    }
}
