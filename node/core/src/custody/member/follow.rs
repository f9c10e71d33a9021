//! A member that follows: it takes what the leader of its promised epoch writes, and says how much of it is on the disk.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::state::{Following, State};
use super::{Member, Moment};
use crate::custody::message::CustodyMessage;
use crate::custody::position::Position;
use crate::custody::record::Record;
use crate::custody::trio::SEATS;
use crate::id::PeerId;
use crate::time::Time;

/// How long the owner has to be close behind another leader before it leads again, in milliseconds.
const RETURN_MS: u64 = 1_000;
/// How long a member that was connected waits for a leader at least before it asks the others, in milliseconds.
const GREETING_MS: u64 = 1_000;
/// The same for the witness: the custodian goes before it.
const WITNESS_GREETING_MS: u64 = 3_000;
/// Records that it may lack then: they are on their way.
const CLOSE_RECORDS: u32 = 64;

/// A [`CustodyMessage::Keep`].
pub(super) struct Keep {
    pub(super) epoch: u32,
    pub(super) after: Position,
    pub(super) records: Vec<Arc<[u8]>>,
    pub(super) committed: u32,
    pub(super) last: u32,
}

impl Following {
    /// Of a leader, if one is known.
    pub(super) fn of(leader: Option<PeerId>, takes_over_at: Time) -> Self {
        Self {
            leader,
            sealed_for: None,
            owes_sealed: false,
            wanted: None,
            agreed: 0,
            acked: 0,
            owes_kept: false,
            takes_over_at,
            asks: false,
            heard_at: None,
            close_since: None,
            unknown: Vec::new(),
        }
    }
}

impl<R: Record + Clone> Member<R> {
    pub(super) fn on_keep(&mut self, from: PeerId, keep: Keep, moment: &Moment) -> bool {
        let Keep { epoch, after, records, committed, last } = keep;
        if epoch < self.promised {
            self.send(from, CustodyMessage::Stale { job: self.job, promised: self.promised });
            return true;
        }
        if epoch > self.promised {
            self.promise(epoch);
            self.follow(Following::of(Some(from), moment.now));
        }
        let takes_over_at = self.patience(moment);
        let State::Follower(following) = &mut self.state else { return false };
        if following.leader != Some(from) {
            let agreed = Following::of(Some(from), takes_over_at);
            self.follow(agreed);
        }
        if !self.log.spans().has(after) {
            self.note_heard(false, moment);
            let (spans, disk) = (self.log.spans().clone(), self.me.disk);
            self.send(from, CustodyMessage::Behind { job: self.job, epoch, spans, disk });
            return true;
        }
        let agreed = self.take_all(after, &records, epoch);
        self.commit(committed.min(agreed).min(self.written));
        let is_close = last.saturating_sub(self.durable) <= CLOSE_RECORDS;
        self.note_heard(is_close, moment);
        if let State::Follower(following) = &mut self.state {
            following.agreed = following.agreed.max(agreed);
            // What is not on the disk yet is answered when it is.
            following.owes_kept |= records.is_empty() || following.agreed <= self.durable;
        }
        true
    }

    /// The leader was heard.
    fn note_heard(&mut self, is_close: bool, moment: &Moment) {
        let takes_over_at = self.patience(moment);
        if let State::Follower(following) = &mut self.state {
            (following.takes_over_at, following.heard_at) = (takes_over_at, Some(moment.now));
            following.asks = false;
            following.unknown.clear();
            following.close_since = is_close.then(|| following.close_since.unwrap_or(moment.now));
        }
    }

    /// A member that was alone gives the leader time to say that it is there; one that led last has no other to wait for.
    pub(super) fn give_time(&mut self, moment: &Moment) {
        let led = self
            .log
            .trio()
            .seat_of(self.me.peer)
            .is_some_and(|seat| self.promised % SEATS == u32::from(seat));
        let pause = if self.is_witness() { WITNESS_GREETING_MS } else { GREETING_MS };
        let soonest = moment.after_ms(pause, GREETING_MS);
        if let State::Follower(following) = &mut self.state
            && !led
        {
            following.takes_over_at = following.takes_over_at.max(soonest);
        }
    }

    /// The leader of an ended job is not connected any more: as if it had been heard until now.
    pub(super) fn wait_anew(&mut self, peer: PeerId, moment: &Moment) {
        let takes_over_at = self.patience(moment);
        if let State::Follower(following) = &mut self.state
            && following.leader == Some(peer)
        {
            following.takes_over_at = takes_over_at;
        }
    }

    /// A draining node takes no lead back: it looks again later.
    pub(super) fn put_off_return(&mut self, now: Time) {
        if let State::Follower(following) = &mut self.state {
            following.close_since = following.close_since.map(|_| now);
        }
    }

    /// Whether the owner has been close behind another leader for long enough to lead again.
    pub(super) fn returns(&self, following: &Following, now: Time) -> bool {
        self.returns_at(following).is_some_and(|at| now >= at)
    }

    fn returns_at(&self, following: &Following) -> Option<Time> {
        let is_owner = self.log.trio().seat_of(self.me.peer) == Some(0);
        let since = following.close_since.filter(|_| is_owner && following.leader.is_some())?;
        Some(since.plus_ms(RETURN_MS))
    }

    /// Whether a silence of the leader means anything to it: it may take over, another node has its seat, or is to get it, or
    /// the job may have been forgotten, or it waits for bytes that may be nowhere.
    pub(super) fn waits(&self, following: &Following) -> bool {
        let has_seat = self.log.trio().seat_of(self.me.peer).is_some() && self.has_what_it_left();
        self.may_seal(following) || !has_seat || !following.unknown.is_empty() || self.is_empty()
    }

    pub(super) fn follower_wakeup(&self, following: &Following) -> Option<Time> {
        if !self.may_seal(following) {
            return self.waits(following).then_some(following.takes_over_at);
        }
        let silent = following.takes_over_at;
        Some(self.returns_at(following).map_or(silent, |at| at.min(silent)))
    }

    /// Tells the leader, or a candidate, what is on the disk now, the promise included.
    pub(super) fn settle_follower(&mut self) {
        let State::Follower(following) = &mut self.state else { return };
        if self.lacks || self.promise_durable != self.promised {
            return;
        }
        let upto = self.durable.min(following.agreed);
        let says = !self.unread && (following.owes_kept || upto > following.acked);
        let kept = following.leader.filter(|_| says);
        if kept.is_some() {
            (following.owes_kept, following.acked) = (false, upto);
        }
        let sealed = following.sealed_for.filter(|_| following.owes_sealed);
        following.owes_sealed = false;
        let (job, epoch, disk) = (self.job, self.promised, self.me.disk);
        if let Some(leader) = kept {
            self.send(leader, CustodyMessage::Kept { job, epoch, upto, disk });
        }
        if let Some(candidate) = sealed {
            let (spans, committed) = (self.log.spans().clone(), self.committed);
            self.send(candidate, CustodyMessage::Sealed { job, epoch, spans, committed, disk });
        }
        self.read_wanted();
    }
}
