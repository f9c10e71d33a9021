//! One member of one job's trio: a state machine without clock, disk or network. The engine tells it what happened, and does
//! what it wants done ([`Action`]). A model checker drives the same code through all orders of events
//! (`node/core/model`).
//!
//! What it promised and wrote counts only once it is durable, and nothing is told of it before. Whatever comes from a peer may
//! come twice, late, in another order, or from a member that lies: it is checked, and dropped if it does not fit.

mod ask;
mod begin;
mod follow;
mod lead;
mod log;
mod reach;
mod replace;
mod seal;
mod state;
mod view;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::{self, Vec};

use reach::Reach;
use state::{Link, Reading, State, Write};

use super::action::Action;
use super::message::CustodyMessage;
use super::outline::Outline;
use super::position::Position;
use super::record::Record;
use super::trio::{SEATS, Seat};
use super::waiting::Waiting;
use crate::id::{JobId, PeerId};
use crate::time::Time;

/// What each input comes with.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time. Never earlier than that of the input before.
    pub now: Time,
    /// A random number, drawn anew.
    pub draw: u64,
    /// This node takes no work any more: it takes no lead back, either.
    pub draining: bool,
}

impl Moment {
    /// An instant between `ms` and `ms + spread_ms` from now.
    fn after_ms(&self, ms: u64, spread_ms: u64) -> Time {
        self.now.plus_ms(ms.saturating_add(self.draw % spread_ms.max(1)))
    }
}

/// A member of an earlier life, as its disk says.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The job.
    pub job: JobId,
    /// This node, with the disk that it has now.
    pub me: Seat,
    /// Its log.
    pub log: Outline,
    /// The greatest epoch that it promised; 0 if none.
    pub promised: u32,
    /// Where this node lost its seat before it was given the job again, or [`Position::NONE`]: it has no vote before its log has
    /// that record. Until then its log may say that it sits where it sat before, and it may have acknowledged more than it has.
    pub left: Position,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It keeps what the leader writes.
    Follower {
        /// The leader, if it is known.
        leader: Option<PeerId>,
    },
    /// It wants to lead.
    Candidate,
    /// It leads.
    Leader,
}

/// One member of one job's trio.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member<R> {
    job: JobId,
    me: Seat,
    /// Records that wait for blobs included.
    log: Outline,
    /// The last record that was to be written.
    written: u32,
    /// The last one of the log that is on the disk.
    durable: u32,
    /// What follows `written`.
    waiting: Waiting<(R, Arc<[u8]>)>,
    /// What is not durable yet, in order.
    writes: VecDeque<Write>,
    promised: u32,
    /// The greatest promise on the disk.
    promise_durable: u32,
    /// The greatest epoch that a member named.
    seen: u32,
    /// What is named beyond it is not believed.
    reach: Reach,
    committed: u32,
    state: State,
    links: Vec<Link>,
    reading: Option<Reading>,
    /// Bytes that its log names are not on its disk: it does not say that it keeps anything more, and seals nothing.
    lacks: bool,
    /// Its log can't be read from its disk: it leads nothing, and does not say that it keeps anything more.
    unread: bool,
    /// As [`Restored::left`].
    left: Position,
    /// Its job was forgotten, or another member has its seat.
    over: bool,
    out: Vec<Action<R>>,
}

impl<R: Record + Clone> Member<R> {
    // ---- what happened

    /// A message of another member came. False if it was dropped.
    #[must_use]
    pub fn on_message(&mut self, from: PeerId, message: CustodyMessage, moment: &Moment) -> bool {
        let is_far = message.ahead().is_some_and(|epoch| !self.reach.has(epoch, moment.now));
        if self.over || message.job() != self.job || from == self.me.peer || is_far {
            return false;
        }
        let taken = match self.seat_of(from) {
            Some(seat) => self.on_member(from, seat, message, moment),
            None => self.on_outsider(from, message, moment),
        };
        self.settle(moment);
        taken
    }

    /// That many more writes are durable, the oldest first.
    pub fn on_durable(&mut self, writes: usize, moment: &Moment) {
        for _ in 0..writes {
            match self.writes.pop_front() {
                Some(Write::Record(seq)) => self.durable = seq,
                Some(Write::Promise(epoch)) => self.promise_durable = epoch,
                Some(Write::Other) | None => {}
            }
        }
        self.settle(moment);
    }

    /// The blobs of a record are here that were to be fetched.
    pub fn on_blobs(&mut self, at: Position, moment: &Moment) {
        self.note_blobs(at);
        self.settle(moment);
    }

    /// Bytes that records name are gone from its disk, or all are there again. Told before the writes are durable whose records
    /// name them.
    pub fn lack(&mut self, lacks: bool, moment: &Moment) {
        self.lacks = lacks;
        self.settle(moment);
    }

    /// Records were read, from that number on; none if they could not be.
    pub fn on_read(&mut self, from: u32, records: Vec<R>, moment: &Moment) {
        let Some(reading) = self.reading.take() else { return };
        if reading.from == from && !reading.stale && !self.over {
            match self.state {
                _ if reading.is_late => self.send_first(reading.to, &records),
                State::Leader(_) => self.send_read(reading, &records),
                State::Follower(_) => self.send_have(reading, &records),
                State::Candidate(_) => {}
            }
        }
        self.settle(moment);
    }

    /// Time has passed.
    pub fn on_time(&mut self, moment: &Moment) {
        if self.over {
            return;
        }
        match &self.state {
            State::Follower(following) => {
                let silent = moment.now >= following.takes_over_at && !self.is_alone();
                let returns = self.returns(following, moment.now);
                if returns && !moment.draining && self.may_seal(following) {
                    self.begin_seal(state::First::Led, moment);
                } else if silent && self.waits(following) {
                    self.ask_others(moment);
                } else if returns {
                    self.put_off_return(moment.now);
                }
            }
            State::Candidate(candidacy) => {
                let first = candidacy.first;
                let is_due = moment.now >= candidacy.retry_at && !self.is_alone();
                if is_due && !self.begin_seal(first, moment) {
                    self.give_up(moment);
                }
            }
            State::Leader(_) => self.beat(moment),
        }
        self.settle(moment);
    }

    /// A peer is connected; those that do not sit in the trio are ignored.
    pub fn on_connected(&mut self, peer: PeerId, moment: &Moment) {
        self.note_link(peer, true, moment);
        self.give_time(moment);
        self.greet(peer);
        self.settle(moment);
    }

    /// A peer is not connected any more.
    pub fn on_disconnected(&mut self, peer: PeerId, moment: &Moment) {
        let was_up = self.is_up(peer);
        self.note_link(peer, false, moment);
        self.distrust_answer(peer);
        if was_up && self.has_ended() {
            self.wait_anew(peer, moment);
        }
    }

    // ---- what its node wants

    /// Appends a record to the log; its number. None if this member does not lead, or the record can't follow. The record
    /// counts once [`Action::Committed`] names its number. It is sent to the others by [`Self::flush`].
    pub fn append(&mut self, record: R) -> Option<u32> {
        let leads = !self.over && matches!(self.state, State::Leader(_));
        leads.then(|| self.append_own(record)).flatten()
    }

    /// Sends what was appended, several records in one message. Due at the end of an input in which something was.
    pub fn flush(&mut self, moment: &Moment) {
        self.settle(moment);
    }

    /// Seals the next epoch of its own at once, if it can lead. It does so by itself when the leader is silent, or is not
    /// connected once the job has ended for good, and another member says so, too.
    pub fn take_over(&mut self, moment: &Moment) {
        if !self.over && self.can_lead() && matches!(self.state, State::Follower(_)) {
            self.begin_seal(state::First::Led, moment);
            self.settle(moment);
        }
    }

    /// Seals the next epoch of its own, whose first record says that the ended job is tried again. False if it does not lead,
    /// its end is not committed, or its log has as many epochs as it may.
    pub fn retry(&mut self, moment: &Moment) -> bool {
        let can = !self.over && matches!(self.state, State::Leader(_)) && self.has_ended();
        if can && self.begin_seal(state::First::Retried, moment) {
            self.settle(moment);
            return true;
        }
        false
    }

    /// Forgets the ended job, once another member agrees ([`Action::Forget`]). False if it does not lead, or its end is not
    /// committed.
    pub fn forget(&mut self, moment: &Moment) -> bool {
        let ended = self.has_ended();
        let State::Leader(leading) = &mut self.state else { return false };
        if self.over || !ended {
            return false;
        }
        (leading.forgets, leading.beat_at) = (true, moment.now);
        self.beat(moment);
        true
    }

    /// What it wants done, in order. The caller does it before the next input.
    pub fn actions(&mut self) -> vec::Drain<'_, Action<R>> {
        self.out.drain(..)
    }

    // ---- parts

    fn on_member(&mut self, from: PeerId, seat: u8, message: CustodyMessage, moment: &Moment) -> bool {
        use CustodyMessage as M;
        let own = |epoch: u32| epoch % SEATS == u32::from(seat);
        match message {
            M::Keep { epoch, .. } | M::Seal { epoch, .. } | M::Forget { epoch, .. } if !own(epoch) => false,
            M::Keep { epoch, after, records, committed, last, job: _ } => {
                self.on_keep(from, follow::Keep { epoch, after, records, committed, last }, moment)
            }
            M::Kept { epoch, upto, disk, job: _ } => self.on_kept(Seat { peer: from, disk }, epoch, upto),
            M::Behind { epoch, spans, disk, job: _ } => {
                self.on_behind(Seat { peer: from, disk }, epoch, &spans)
            }
            M::Stale { promised, job: _ } => self.on_stale(promised, moment),
            M::Seal { epoch, job: _ } => self.on_seal(from, epoch, moment),
            M::Sealed { epoch, spans, committed, disk, job: _ } => {
                let by = Seat { peer: from, disk };
                self.on_sealed(epoch, state::Answer { by, spans, committed })
            }
            M::Want { epoch, after, job: _ } => self.on_want(from, epoch, after),
            M::Have { epoch, after, records, job: _ } => {
                self.on_have(from, seal::Have { epoch, after, records })
            }
            M::Forget { epoch, job: _ } => self.on_forget(from, epoch),
            M::Forgotten { job: _ } => self.on_forgotten(),
            M::Dismissed { at, job: _ } => self.on_dismissed(at),
            M::PreSeal { epoch, job: _ } => self.on_pre_seal(from, epoch, moment),
            M::PreSealed { epoch, silent, job: _ } => {
                epoch == self.asks_in() && self.on_pre_sealed(from, silent, moment)
            }
            M::Unknown { disk, job: _ } => self.on_unknown(Seat { peer: from, disk }, moment),
            M::HandOver { epoch, job: _ } => self.on_hand_over(from, epoch, moment),
        }
    }

    /// Does what follows from all that happened.
    fn settle(&mut self, moment: &Moment) {
        if self.over {
            return;
        }
        match self.state {
            State::Follower(_) => self.settle_follower(),
            State::Candidate(_) => self.settle_candidate(moment),
            State::Leader(_) => self.settle_leader(),
        }
    }
}
