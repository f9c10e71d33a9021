//! How a member begins: as the owner of a new job, from its disk, or by the first message of a leader.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::reach::Reach;
use super::state::{Following, Link, State};
use super::{Member, Moment, Restored};
use crate::custody::message::CustodyMessage;
use crate::custody::outline::Outline;
use crate::custody::position::Position;
use crate::custody::record::Record;
use crate::custody::trio::{FIRST_EPOCH, SEATS, Seat};
use crate::custody::waiting::Waiting;
use crate::id::{JobId, PeerId};

impl<R: Record + Clone> Member<R> {
    /// The owner of a new job, which it leads from its first record on. None if that is not a first record of a job whose
    /// owner it is.
    #[must_use]
    pub fn found(job: JobId, me: Seat, accepted: R, moment: &Moment) -> Option<Self> {
        let log = Outline::new(&accepted)?;
        if log.trio().0.first() != Some(&me) {
            return None;
        }
        let (log, left) = (log.emptied(), Position::NONE);
        let mut member = Self::new(Restored { job, me, log, promised: FIRST_EPOCH, left }, moment);
        member.become_leader(FIRST_EPOCH, moment);
        member.append(accepted)?;
        Some(member)
    }

    /// A member of an earlier life. It is told of the peers that are connected, like any other, and leads nothing before it
    /// has sealed an epoch anew.
    #[must_use]
    pub fn restored(restored: Restored, moment: &Moment) -> Self {
        let own = restored.log.trio().seat_of(restored.me.peer);
        let led = restored.log.last().epoch;
        let mut member = Self::new(restored, moment);
        member.links =
            member.others().into_iter().map(|peer| Link { peer, up: false, since: moment.now }).collect();
        if own.is_some_and(|seat| led % SEATS == u32::from(seat))
            && let State::Follower(following) = &mut member.state
        {
            following.takes_over_at = moment.now;
        }
        member
    }

    /// A node that has no log of a job, and is to keep one, by the first message of its leader. None if the message has no first
    /// record. The trio that this names may be of the past: since then both nodes may have got seats of others. `left` is where
    /// this node lost its seat, if it kept the job before.
    #[must_use]
    pub fn learn(
        me: Seat,
        from: PeerId,
        message: &CustodyMessage,
        left: Position,
        moment: &Moment,
    ) -> Option<Self> {
        let CustodyMessage::Keep { job, after: Position::NONE, records, .. } = message else { return None };
        let log = Self::sent_log(me, from, records)?;
        let mut member = Self::new(Restored { job: *job, me, log, promised: 0, left }, moment);
        member.on_connected(from, moment);
        member.on_message(from, message.clone(), moment).then_some(member)
    }

    /// The outline of a log of which another node sends the first of these records, without any.
    pub(super) fn sent_log(me: Seat, from: PeerId, records: &[Arc<[u8]>]) -> Option<Outline> {
        let log = Outline::new(&R::decode(records.first()?)?)?;
        (from != me.peer).then(|| log.emptied())
    }

    pub(super) fn new(restored: Restored, moment: &Moment) -> Self {
        let Restored { job, me, log, promised, left } = restored;
        let (last, promised) = (log.last(), promised.max(log.last().epoch));
        let mut member = Self {
            job,
            me,
            log,
            written: last.seq,
            durable: last.seq,
            waiting: Waiting::default(),
            writes: VecDeque::new(),
            promised,
            promise_durable: promised,
            seen: promised,
            reach: Reach::new(promised, moment.now),
            committed: 0,
            state: State::Follower(Following::of(None, moment.now)),
            links: Vec::new(),
            reading: None,
            lacks: false,
            unread: false,
            left,
            over: false,
            out: Vec::new(),
        };
        member.state = State::Follower(Following::of(None, member.patience(moment)));
        member
    }
}
