//! How one member of the trio is replaced by another, and how a job ends for its members. One seat at a time: a replacement is
//! committed once both members that stay have it, and only then the new one counts.

use super::follow::Keep;
use super::state::{Follower, Leading, Link, State};
use super::{Member, Moment};
use crate::custody::action::Action;
use crate::custody::message::CustodyMessage;
use crate::custody::position::Position;
use crate::custody::record::Record;
use crate::custody::trio::Seat;
use crate::id::PeerId;
use crate::time::Time;

/// How long a node is not connected before another one gets its seat, in milliseconds.
const AWAY_MS: u64 = 600_000;

impl<R: Record + Clone> Member<R> {
    // ---- replacements

    /// The seat of a node that has been away for long, if this member leads and may give it to another one
    /// ([`Self::replace`]). The node's own disk keeps the job until then.
    #[must_use]
    pub fn vacant(&self, now: Time) -> Option<u8> {
        let away = |link: &&Link| !link.up && now >= link.since.plus_ms(AWAY_MS);
        let seats = self.links.iter().filter(away).filter_map(|link| self.log.trio().seat_of(link.peer));
        seats.into_iter().find(|seat| self.can_replace(*seat))
    }

    /// Gives a seat to another member. False if this member does not lead, or can't do it now: another replacement is not
    /// committed, it has committed nothing in its epoch, or the member that stays is not there.
    pub fn replace(&mut self, seat: u8, by: Seat, moment: &Moment) -> bool {
        if self.log.trio().has(by) || !self.can_replace(seat) || !self.log.trio().with(seat, by).is_sound() {
            return false;
        }
        let replaced = self.append_own(R::replaced(seat, by)).is_some();
        self.settle(moment);
        replaced
    }

    fn can_replace(&self, seat: u8) -> bool {
        let State::Leader(leading) = &self.state else { return false };
        let is_settled = leading.led && self.committed >= leading.first && self.trios().1.is_none();
        let is_other = self.log.trio().0.get(usize::from(seat)).is_some_and(|of| of.peer != self.me.peer);
        !self.over && is_settled && is_other && self.has_stayer(leading, seat)
    }

    /// Whether the member that would stay next to the leader keeps what is committed, and is there.
    fn has_stayer(&self, leading: &Leading, leaves: u8) -> bool {
        let trio = self.log.trio();
        let stays = |seat: u8, of: &Seat| seat != leaves && of.peer != self.me.peer;
        (0..).zip(&trio.0).filter(|(seat, of)| stays(*seat, of)).all(|(_, of)| {
            let follower = leading.followers.iter().find(|follower| follower.peer == of.peer);
            self.is_up(of.peer) && follower.is_some_and(|follower| self.is_caught_up(follower, of.disk))
        })
    }

    pub(super) fn is_caught_up(&self, follower: &Follower, disk: u64) -> bool {
        follower.disk == disk && follower.matched >= self.committed
    }

    /// A node is back with another disk, and keeps by now what is committed: that disk gets the node's seat.
    pub(super) fn replace_disk(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        let new = (0..).zip(&self.log.trio().0).find_map(|(seat, of)| {
            let follower = leading.followers.iter().find(|follower| follower.peer == of.peer)?;
            let is_new = follower.disk != 0 && follower.disk != of.disk;
            let keeps = is_new && self.is_caught_up(follower, follower.disk);
            (keeps && self.can_replace(seat)).then_some((seat, Seat { peer: of.peer, disk: follower.disk }))
        });
        if let Some((seat, by)) = new {
            self.append_own(R::replaced(seat, by));
        }
    }

    // ---- nodes without a seat

    /// A message of a node that has no seat, as far as this log says.
    pub(super) fn on_outsider(&mut self, from: PeerId, message: CustodyMessage, moment: &Moment) -> bool {
        let is_member = self.is_member() && self.log.last().seq > 0;
        if is_member && self.log.knew(from) && !message.is_end() {
            self.dismiss(from);
            return true;
        }
        // A later record of the log that this node learns may give it one.
        if !is_member && let CustodyMessage::Keep { epoch, after, records, committed, last, job: _ } = message
        {
            return self.on_keep(from, Keep { epoch, after, records, committed, last }, moment);
        }
        false
    }

    /// Tells a node that another has its seat.
    pub(super) fn dismiss(&mut self, peer: PeerId) {
        let at = self.log.left_at(peer).map(|seq| self.log.spans().at(seq));
        if let Some(at) = at {
            self.send(peer, CustodyMessage::Dismissed { job: self.job, at });
        }
    }

    /// Another member has this node's seat since that record, unless this node got one again.
    pub(super) fn on_dismissed(&mut self, at: Position) -> bool {
        let sits_again = self.log.spans().has(at) && self.log.trio().seat_of(self.me.peer).is_some();
        !sits_again && at != Position::NONE && self.end(Action::Leave { at })
    }

    // ---- the end

    /// The leader wants the job forgotten.
    pub(super) fn on_forget(&mut self, from: PeerId, epoch: u32) -> bool {
        if epoch < self.promised {
            self.send(from, CustodyMessage::Stale { job: self.job, promised: self.promised });
            return true;
        }
        self.end(Action::Forget { tell: Some(from) })
    }

    /// Another member has forgotten the job.
    pub(super) fn on_forgotten(&mut self) -> bool {
        self.end(Action::Forget { tell: None })
    }

    pub(super) fn end(&mut self, how: Action<R>) -> bool {
        self.over = true;
        self.emit(how);
        true
    }
}
