//! How a member that hears no leader asks the others, before it seals (the pre-vote of Raft; Ongaro's thesis, 9.6). Where another
//! member has heard the leader lately, only a connection is lost, and the leader is left in peace. Nothing is promised by it, so
//! no rule of safety rests on it: a takeover needs the seal of one of those that are asked in any case. One of them that never had
//! the job is sent its first record, so that it can seal.

use alloc::vec;

use super::state::{First, Following, Reading, State, Unknown};
use super::{Member, Moment, Restored};
use crate::custody::action::Action;
use crate::custody::message::CustodyMessage;
use crate::custody::position::Position;
use crate::custody::record::{Mark, Record};
use crate::custody::trio::{FIRST_EPOCH, SEATS, Seat};
use crate::id::PeerId;

/// How long another member says that it has nothing of a job, and the third one does not say so, too, before it is sent the first
/// record; and before it is sent it again. In milliseconds.
const LATE_MS: u64 = 30_000;
/// The leader counts as there for this long after it was heard, in milliseconds: three heartbeats, and less than the shortest
/// silence after which a member asks, by more than one.
const LATELY_MS: u64 = 6_000;
/// After this pause a member that hears no leader asks again, in milliseconds.
const ASK_MS: u64 = 2_000;
/// The same where a member has nothing of the job, or the job has ended: it can wait.
const ASK_LATER_MS: u64 = 60_000;
/// How long all others say that they have nothing of a job before this member deletes its log, in milliseconds. One that sits on a
/// seat of which this log knows nothing has time to say so.
const UNKNOWN_MS: u64 = 600_000;
/// How long all others say so before a member leaves that has nothing of the job on its disk either: what another one said before it had something
/// is out of date by then, as all are asked again meanwhile.
const NOWHERE_MS: u64 = 2_000;

impl<R: Record + Clone> Member<R> {
    /// Nothing was heard of a leader for long: asks all others. One whose seat another node has learns it so, too.
    pub(super) fn ask_others(&mut self, moment: &Moment) {
        let (has_ended, is_empty) = (self.has_ended(), self.is_empty());
        let State::Follower(following) = &mut self.state else { return };
        let can_wait = has_ended || (!is_empty && !following.unknown.is_empty());
        let pause = if can_wait { ASK_LATER_MS } else { ASK_MS };
        (following.asks, following.takes_over_at) = (true, moment.after_ms(pause, pause));
        if following.leader.take().is_some() {
            self.emit(Action::Follow { leader: None });
        }
        for peer in self.others() {
            self.ask_one(peer);
        }
    }

    fn ask_one(&mut self, peer: PeerId) {
        if self.is_up(peer) {
            self.send(peer, CustodyMessage::PreSeal { job: self.job, epoch: self.asks_in() });
        }
    }

    /// The epoch that it names when it asks: what a member without a log promised does not count.
    pub(super) fn asks_in(&self) -> u32 {
        if self.is_empty() { 0 } else { self.promised }
    }

    /// A node was connected. A member of an ended job asks it, as one that can't lead: the job may have been forgotten while it
    /// was away.
    pub(super) fn ask_connected(&mut self, peer: PeerId) {
        let State::Follower(following) = &self.state else { return };
        let is_idle = self.has_ended() || !self.may_seal(following);
        if (following.asks || is_idle) && self.others().contains(&peer) {
            self.ask_one(peer);
        }
    }

    /// Another member has not heard the leader for long.
    pub(super) fn on_pre_seal(&mut self, from: PeerId, epoch: u32, moment: &Moment) -> bool {
        if self.is_empty() && self.knows_that_its_leader_has_nothing() {
            self.send(from, CustodyMessage::Unknown { job: self.job, disk: self.me.disk });
            return true;
        }
        // What a learner heard does not count, as it can't seal.
        if !self.is_member() || self.written == 0 || self.lacks {
            return false;
        }
        let silent = match &self.state {
            State::Leader(_) => {
                self.send_beat(from);
                return true;
            }
            State::Candidate(_) => true,
            State::Follower(following) if following.leader == Some(from) => true,
            // The leader of an ended job says nothing.
            State::Follower(following) if self.has_ended() => self.misses_leader(following),
            State::Follower(following) => {
                following.heard_at.is_none_or(|at| moment.now >= at.plus_ms(LATELY_MS))
            }
        };
        self.send(from, CustodyMessage::PreSealed { job: self.job, epoch, silent });
        true
    }

    pub(super) fn on_pre_sealed(&mut self, from: PeerId, silent: bool, moment: &Moment) -> bool {
        let State::Follower(following) = &mut self.state else { return false };
        following.unknown.retain(|unknown| unknown.by.peer != from);
        let asks = following.asks;
        let State::Follower(following) = &self.state else { return false };
        if asks && silent && self.may_seal(following) {
            self.begin_seal(First::Led, moment);
        }
        asks
    }

    /// A node of the trio has nothing of the job. Once all others say so for long, each with the disk of its seat, the job was
    /// forgotten, or no client was ever told that it is accepted: a record that is committed is on two of these disks until then.
    pub(super) fn on_unknown(&mut self, by: Seat, moment: &Moment) -> bool {
        if self.is_empty() {
            return self.on_nowhere(by, moment);
        }
        let (trio, has_what_it_left) = (self.log.trio(), self.has_what_it_left());
        let State::Follower(following) = &mut self.state else { return false };
        if !trio.has(by) {
            return false;
        }
        if following.unknown.iter().all(|known| known.by != by) {
            following.unknown.push(Unknown { by, since: moment.now, sent: moment.now });
        }
        let may_have_it = |seat: &Seat| {
            let unknown = following.unknown.iter().find(|unknown| unknown.by == *seat);
            unknown.is_none_or(|unknown| moment.now < unknown.since.plus_ms(UNKNOWN_MS))
        };
        let others = || trio.0.iter().filter(|seat| seat.peer != self.me.peer);
        if trio.has(self.me) && has_what_it_left && !others().any(may_have_it) {
            return self.end(Action::Forget { tell: None });
        }
        let all_say_so = others().all(|seat| following.unknown.iter().any(|known| known.by == *seat));
        if !all_say_so {
            self.send_late(by, moment);
        }
        true
    }

    // ---- a member that never had the job

    /// A node of the trio has nothing of the job, and the third one does not say so, too: it is sent the first record. If its
    /// disk never had a log of the job, that is as if the owner's message with it had come late, and it can seal then.
    fn send_late(&mut self, by: Seat, moment: &Moment) {
        let State::Follower(following) = &self.state else { return };
        if !self.may_seal(following) || self.reading.is_some() {
            return;
        }
        let State::Follower(following) = &mut self.state else { return };
        let known = following.unknown.iter_mut().find(|known| known.by == by);
        let Some(known) = known.filter(|known| moment.now >= known.sent.plus_ms(LATE_MS)) else { return };
        known.sent = moment.now;
        self.reading = Some(Reading { to: by.peer, from: 1, is_late: true, stale: false });
        self.emit(Action::Read { from: 1, bytes_max: 1 });
    }

    /// The first record was read for it.
    pub(super) fn send_first(&mut self, to: PeerId, records: &[R]) {
        if let Some(first) = records.first().filter(|first| matches!(first.mark(), Mark::Accepted(_))) {
            let (job, records) = (self.job, vec![first.encode().into()]);
            self.send(to, CustodyMessage::Have { job, epoch: FIRST_EPOCH, after: Position::NONE, records });
        }
    }

    /// A node whose disk never had a log of a job, and has a seat of it, by a member that sends it the first record. None if the
    /// message is not that, or its disk has no seat. A disk that had one may have acknowledged what that member never had, or lost
    /// its seat since: the caller knows that it did not ([`Tombstones::never_had`](crate::custody::Tombstones::never_had)).
    #[must_use]
    pub fn late(me: Seat, from: PeerId, message: &CustodyMessage, moment: &Moment) -> Option<Self> {
        let CustodyMessage::Have { job, epoch: FIRST_EPOCH, after: Position::NONE, records } = message else {
            return None;
        };
        let log = Self::sent_log(me, from, records)?;
        let trio = log.trio();
        if records.len() > 1 || !trio.has(me) || trio.seat_of(from).is_none() {
            return None;
        }
        let left = Position::NONE;
        let mut member = Self::new(Restored { job: *job, me, log, promised: 0, left }, moment);
        member.on_connected(from, moment);
        member.promise(FIRST_EPOCH);
        let agreed = member.take_all(Position::NONE, records, FIRST_EPOCH);
        member.settle(moment);
        (agreed == 1).then_some(member)
    }

    // ---- nothing of the job is on this disk

    /// The same to a member that has nothing of the job on its disk either, because it waits for bytes that the first record names.
    /// Once all others say so, whatever their disks, no node can send it those bytes: it leaves. Nothing of the job is on its disk,
    /// so that is as if it had never heard of it; a leader that has it after all begins anew.
    fn on_nowhere(&mut self, by: Seat, moment: &Moment) -> bool {
        let others = self.others();
        let State::Follower(following) = &mut self.state else { return false };
        if following.unknown.iter().all(|known| known.by.peer != by.peer) {
            following.unknown.push(Unknown { by, since: moment.now, sent: moment.now });
        }
        let says_so = |peer: &PeerId| {
            let unknown = following.unknown.iter().find(|unknown| unknown.by.peer == *peer);
            unknown.is_some_and(|unknown| moment.now >= unknown.since.plus_ms(NOWHERE_MS))
        };
        if others.iter().all(says_so) {
            return self.end(Action::Leave { at: Position::NONE });
        }
        true
    }

    /// Whether the member whose records it took last says that it has nothing of the job.
    fn knows_that_its_leader_has_nothing(&self) -> bool {
        let leads =
            |peer| self.log.trio().seat_of(peer).is_some_and(|seat| self.promised % SEATS == u32::from(seat));
        let State::Follower(following) = &self.state else { return false };
        following.unknown.iter().any(|unknown| leads(unknown.by.peer))
    }

    /// A node is not connected any more. What it said may be out of date when it is back, and a member without anything on its disk
    /// does not wait for long before it goes by it.
    pub(super) fn distrust_answer(&mut self, peer: PeerId) {
        if self.is_empty()
            && let State::Follower(following) = &mut self.state
        {
            following.unknown.retain(|unknown| unknown.by.peer != peer);
        }
    }

    // ---- a leader that drains, or can't read its log

    /// Has another member take over at once, because this node drains. False if this member does not lead, or none is there that
    /// keeps what is committed and is fit.
    pub fn hand_over(&mut self, is_fit: impl Fn(PeerId) -> bool) -> bool {
        let State::Leader(leading) = &self.state else { return false };
        if self.over || !leading.led {
            return false;
        }
        let (epoch, trio) = (leading.epoch, self.log.trio());
        let keeps = |seat: &&Seat| {
            let follower = leading.followers.iter().find(|follower| follower.peer == seat.peer);
            follower.is_some_and(|follower| self.is_caught_up(follower, seat.disk))
        };
        let others = trio.0.iter().filter(|seat| seat.peer != self.me.peer && self.is_up(seat.peer));
        let to = others.filter(keeps).map(|seat| seat.peer).find(|peer| is_fit(*peer));
        if let Some(to) = to {
            self.send(to, CustodyMessage::HandOver { job: self.job, epoch });
        }
        to.is_some()
    }

    /// Its log can't be read from its disk. Until [`Self::read_again`] it leads nothing, and does not say that it keeps anything
    /// more. It still seals: what it knows of its log is right, and a candidate that needs records of it waits for them. A leader
    /// steps down, and has a member that is fit lead at once, if one keeps what is committed; else another takes over once it has
    /// heard no leader for long.
    pub fn misread(&mut self, is_fit: impl Fn(PeerId) -> bool, moment: &Moment) {
        self.unread = true;
        if !self.over && !matches!(self.state, State::Follower(_)) {
            // Where none is asked, the silence has another one take over.
            let _asked = self.hand_over(is_fit);
            let takes_over_at = self.patience(moment);
            self.follow(Following::of(None, takes_over_at));
        }
        self.settle(moment);
    }

    /// Its log could be read again, all of it.
    pub fn read_again(&mut self, moment: &Moment) {
        self.unread = false;
        self.settle(moment);
    }

    /// The leader's node drains, or can't read its log: this member takes over, unless its own node does, too.
    pub(super) fn on_hand_over(&mut self, from: PeerId, epoch: u32, moment: &Moment) -> bool {
        let State::Follower(following) = &self.state else { return false };
        let is_led = following.leader == Some(from) && epoch == self.promised;
        is_led && !moment.draining && self.can_lead() && self.begin_seal(First::Led, moment)
    }
}
