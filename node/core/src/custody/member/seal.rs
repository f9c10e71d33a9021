//! How a member takes over: it promises the next epoch of its own seat, has another member promise it, takes the further of
//! the two logs, and leads.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::lead::page_of;
use super::state::{Answer, Candidacy, First, Following, Reading, Source, State};
use super::{Member, Moment};
use crate::custody::action::Action;
use crate::custody::message::CustodyMessage;
use crate::custody::position::{Position, SPANS_MAX};
use crate::custody::record::Record;
use crate::custody::trio::SEATS;
use crate::custody::trio::{Seat, Trio};
use crate::id::PeerId;

/// After this pause a candidate without enough answers seals a higher epoch, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// A [`CustodyMessage::Have`].
pub(super) struct Have {
    pub(super) epoch: u32,
    pub(super) after: Position,
    pub(super) records: Vec<Arc<[u8]>>,
}

impl<R: Record + Clone> Member<R> {
    // ---- the candidate

    /// Whether this member takes over by itself where it hears no leader: it can lead, and the job has not ended for good. The
    /// leader of an ended one says nothing, so that one has to be away.
    pub(super) fn may_seal(&self, following: &Following) -> bool {
        self.can_lead() && (!self.has_ended() || self.misses_leader(following))
    }

    /// Whether it knows no leader that is connected.
    pub(super) fn misses_leader(&self, following: &Following) -> bool {
        following.leader.is_none_or(|leader| !self.is_up(leader))
    }

    /// Whether its disk has a seat and the job, which can be read, and there is an epoch for it.
    pub(super) fn can_lead(&self) -> bool {
        let has_epoch = self.next_epoch().is_some();
        let has_seat = self.log.trio().has(self.me) && self.has_what_it_left();
        has_seat && self.written > 0 && has_epoch && !self.lacks && !self.unread
    }

    /// Whether its log has room for the record with which an epoch begins.
    fn takes_epoch(&self) -> bool {
        self.log.spans().epochs().len() < SPANS_MAX
    }

    /// The next epoch of its own seat above all that it has seen, if its log takes one more.
    fn next_epoch(&self) -> Option<u32> {
        if !self.takes_epoch() {
            return None;
        }
        let seat = u32::from(self.log.trio().seat_of(self.me.peer)?);
        let round = self.promised.max(self.seen) / SEATS;
        let epochs = [round, round.checked_add(1)?].map(|round| round.checked_mul(SEATS)?.checked_add(seat));
        epochs.into_iter().flatten().find(|epoch| *epoch > self.promised.max(self.seen))
    }

    /// Promises an epoch of its own. The others are asked once that is durable.
    pub(super) fn begin_seal(&mut self, first: First, moment: &Moment) -> bool {
        let Some(epoch) = self.next_epoch() else { return false };
        if matches!(self.state, State::Leader(_)) {
            self.emit(Action::StepDown);
        }
        self.promise(epoch);
        self.state = State::Candidate(Candidacy {
            epoch,
            first,
            asked: Vec::new(),
            answers: Vec::new(),
            source: None,
            retry_at: moment.after_ms(RETRY_MS, RETRY_MS),
        });
        true
    }

    /// It can't lead after all.
    pub(super) fn give_up(&mut self, moment: &Moment) {
        let takes_over_at = self.patience(moment);
        self.follow(Following::of(None, takes_over_at));
    }

    pub(super) fn settle_candidate(&mut self, moment: &Moment) {
        if !self.log.trio().has(self.me) {
            // The further log gave its seat to another member.
            return self.give_up(moment);
        }
        self.ask();
        self.want_more(moment);
        self.decide(moment);
        self.want_more(moment);
    }

    /// Asks the members that were not asked yet: a log that was fetched may name others.
    fn ask(&mut self) {
        let (job, others, durable) = (self.job, self.others(), self.promise_durable);
        let State::Candidate(candidacy) = &mut self.state else { return };
        if durable < candidacy.epoch {
            return;
        }
        let epoch = candidacy.epoch;
        let new: Vec<PeerId> = others.into_iter().filter(|peer| !candidacy.asked.contains(peer)).collect();
        candidacy.asked.extend(&new);
        for peer in new {
            self.send(peer, CustodyMessage::Seal { job, epoch });
        }
    }

    /// A node was connected that was asked: the question may be lost.
    pub(super) fn ask_again(&mut self, peer: PeerId) {
        if let State::Candidate(candidacy) = &mut self.state {
            candidacy.asked.retain(|asked| *asked != peer);
        }
    }

    pub(super) fn on_sealed(&mut self, epoch: u32, answer: Answer) -> bool {
        let others = self.others();
        let State::Candidate(candidacy) = &mut self.state else { return false };
        let is_new = candidacy.answers.iter().all(|known| known.by.peer != answer.by.peer);
        // A member that promises an epoch has no record of it.
        let is_sound = answer.spans.is_sound() && answer.spans.last().epoch < epoch;
        if epoch != candidacy.epoch || !is_sound || !others.contains(&answer.by.peer) {
            return false;
        }
        if is_new {
            candidacy.answers.push(answer);
        }
        true
    }

    /// With enough answers it takes the furthest log, and leads once that is its own and durable.
    fn decide(&mut self, moment: &Moment) {
        self.learn_committed();
        let State::Candidate(candidacy) = &self.state else { return };
        if candidacy.source.is_some() || self.promise_durable < candidacy.epoch || !self.is_sealed(candidacy)
        {
            return;
        }
        let furthest = candidacy.answers.iter().max_by_key(|answer| answer.spans.last());
        let own = self.log.last();
        let further = furthest.filter(|answer| answer.spans.last() > own);
        if let Some(Answer { by, spans, committed: _ }) = further {
            let (peer, target, common) = (by.peer, spans.last(), self.log.spans().common(spans));
            return self.fetch_from(Source { peer, target, asked_after: u32::MAX }, common);
        }
        if own.seq == 0 || self.durable < own.seq {
            return;
        }
        if self.takes_epoch() {
            self.lead(moment);
        } else {
            // The further log is full.
            self.give_up(moment);
        }
    }

    /// What another member knows to be committed is so here, too, where this log has it.
    fn learn_committed(&mut self) {
        let State::Candidate(candidacy) = &self.state else { return };
        let known = candidacy.answers.iter().filter_map(|answer| {
            let upto = answer.spans.at(answer.committed);
            self.log.spans().has(upto).then_some(upto.seq)
        });
        let upto = known.max().unwrap_or(0).min(self.written);
        self.commit(upto);
    }

    /// Whether a majority of each trio that may count sealed the epoch, this member included.
    fn is_sealed(&self, candidacy: &Candidacy) -> bool {
        let (trio, before) = self.trios();
        let sealed = |trio: &Trio| {
            let answered = |seat: &Seat| candidacy.answers.iter().any(|answer| answer.by == *seat);
            trio.0.iter().filter(|seat| **seat == self.me || answered(seat)).count() >= 2
        };
        sealed(&trio) && before.as_ref().is_none_or(sealed)
    }

    fn fetch_from(&mut self, source: Source, common: u32) {
        if !self.cut(common) {
            return;
        }
        if let State::Candidate(candidacy) = &mut self.state {
            candidacy.source = Some(source);
        }
    }

    /// Asks for the next page once the one before is written, or counts the log as fetched.
    fn want_more(&mut self, moment: &Moment) {
        let (job, after, is_written) = (self.job, self.log.last(), self.waiting.is_empty());
        let State::Candidate(candidacy) = &mut self.state else { return };
        let Some(source) = &mut candidacy.source else { return };
        if after >= source.target {
            candidacy.source = None;
        } else if is_written && source.asked_after != after.seq {
            source.asked_after = after.seq;
            let (peer, epoch) = (source.peer, candidacy.epoch);
            candidacy.retry_at = moment.after_ms(RETRY_MS, RETRY_MS);
            self.send(peer, CustodyMessage::Want { job, epoch, after });
        }
    }

    pub(super) fn on_have(&mut self, from: PeerId, have: Have) -> bool {
        let own = self.log.last();
        let State::Candidate(candidacy) = &self.state else { return false };
        let Some(source) = candidacy.source else { return false };
        if have.epoch != candidacy.epoch || source.peer != from || have.after != own {
            return false;
        }
        self.take_all(have.after, &have.records, source.target.epoch);
        true
    }

    fn lead(&mut self, moment: &Moment) {
        let State::Candidate(Candidacy { epoch, first, .. }) = self.state else { return };
        self.become_leader(epoch, moment);
        let record = match first {
            First::Retried if self.log.ended().is_some() => R::retried(epoch, moment.now),
            First::Led | First::Retried => R::led(epoch, moment.now),
        };
        self.append_own(record);
        self.settle_leader();
    }

    // ---- the member that seals

    pub(super) fn on_seal(&mut self, from: PeerId, epoch: u32, moment: &Moment) -> bool {
        // Without a record there would be no log with which the promise survives a restart.
        if !self.is_member() || self.written == 0 {
            return false;
        }
        if let State::Follower(following) = &mut self.state
            && following.sealed_for == Some(from)
            && epoch == self.promised
        {
            following.owes_sealed = true;
            return true;
        }
        if epoch <= self.promised {
            self.send(from, CustodyMessage::Stale { job: self.job, promised: self.promised });
            return true;
        }
        self.promise(epoch);
        let takes_over_at = self.patience(moment);
        let none = Following::of(None, takes_over_at);
        self.follow(Following { sealed_for: Some(from), owes_sealed: true, ..none });
        true
    }

    pub(super) fn on_want(&mut self, from: PeerId, epoch: u32, after: Position) -> bool {
        let has = self.log.spans().has(after);
        let State::Follower(following) = &mut self.state else { return false };
        if epoch != self.promised || following.sealed_for != Some(from) || !has {
            return false;
        }
        following.wanted = Some(after);
        true
    }

    pub(super) fn read_wanted(&mut self) {
        let State::Follower(following) = &self.state else { return };
        if let (Some(after), Some(to), None) = (following.wanted, following.sealed_for, self.reading) {
            self.read(to, after.seq.saturating_add(1));
        }
    }

    /// Records that were read for a candidate.
    pub(super) fn send_have(&mut self, reading: Reading, records: &[R]) {
        let State::Follower(following) = &mut self.state else { return };
        let Some(after) = following.wanted.filter(|after| after.seq.saturating_add(1) == reading.from) else {
            return;
        };
        if following.sealed_for != Some(reading.to) {
            return;
        }
        following.wanted = None;
        let room = usize::try_from(self.written.saturating_sub(after.seq)).unwrap_or(0);
        let records = page_of(records.iter().take(room).map(|record| record.encode().into()));
        let (job, epoch) = (self.job, self.promised);
        self.send(reading.to, CustodyMessage::Have { job, epoch, after, records });
    }
}
