//! Copies of jobs at level `disk`, here and elsewhere (`custody/copies/`), as custody drives them. The rest of `custody/jobs.rs`,
//! in a file of its own for its length.

use alloc::vec::Vec;

use super::{Custody, Departed, News};
use crate::ctx::Ctx;
use crate::custody::copies::{self, Copies, Means, Senders, Sending};
use crate::custody::message::CustodyMessage;
use crate::custody::trio::Pair;
use crate::custody::writes::{Gone, Of, Order};
use crate::durable::{self, LogRecord};
use crate::effect::{Event, Remains};
use crate::id::{JobId, PeerId};

impl Custody {
    pub(super) fn copied(
        &mut self,
        ctx: &mut Ctx<'_>,
        act: impl FnOnce(&mut Copies, &mut Senders, &mut Means<'_, '_>),
    ) {
        let Self { copies, senders, writes, blobs, post, .. } = self;
        act(copies, senders, &mut Means { ctx, writes, blobs, post });
    }

    fn next_of(&mut self, job: JobId) -> Of {
        self.serial += 1;
        Of { job, serial: self.serial }
    }

    // ---- the owner's side

    /// Whether another node has, or had, a copy of one of this node's jobs.
    pub(crate) fn is_copied(&self, job: JobId) -> bool {
        self.senders.has(job)
    }

    /// A record of one of this node's jobs at level disk is written.
    pub(super) fn note_written(&mut self, job: JobId, record: &LogRecord) {
        if let LogRecord::Accepted(accepted) = record
            && let Some(pair) = accepted.keepers.pair()
        {
            let of = self.next_of(job);
            self.senders.begin(of, pair.copy, Sending::New);
        }
        self.senders.on_written(job);
    }

    /// One of this node's jobs has a copy elsewhere, and is of an earlier life.
    pub(crate) fn on_restore_copied(&mut self, job: JobId, pair: Pair) {
        if !self.keeps() {
            return;
        }
        // A journal that may lack what was sent goes on with other records under the same numbers.
        let sending = if pair.owner == self.me { Sending::Rest } else { Sending::Nothing };
        let of = self.next_of(job);
        self.senders.begin(of, pair.copy, sending);
    }

    /// One of this node's jobs was forgotten: so is its copy.
    pub(crate) fn forget_copied(&mut self, ctx: &mut Ctx<'_>, job: JobId) {
        self.gone.add(job, Remains::Forgotten);
        self.copied(ctx, |_, senders, means| senders.forget(means, job));
    }

    /// A job of an earlier life that has a copy, here or elsewhere.
    pub(super) fn restore_copied(&mut self, ctx: &mut Ctx<'_>, pair: Pair, restored: &durable::Restored) {
        if pair.is_copied_by(self.me.peer) {
            self.restore_copy(ctx, pair, restored);
        } else {
            // An own one that has ended so long ago that its owner is not told of it.
            self.on_restore_copied(restored.job(), pair);
        }
    }

    // ---- the copy's side

    /// A copy of an earlier life. Its owner is asked when it is connected.
    fn restore_copy(&mut self, ctx: &mut Ctx<'_>, pair: Pair, restored: &durable::Restored) {
        let job = restored.job();
        if !self.keeps() || self.jobs.contains_key(&job) || self.copies.has(job) {
            ctx.counters.dropped += 1;
            return;
        }
        self.add_copy(job, pair, restored.records, false);
    }

    fn add_copy(&mut self, job: JobId, pair: Pair, records: u32, is_up: bool) {
        let of = self.next_of(job);
        self.shares.add(pair.owner.peer);
        self.copies.insert(of, pair, records, is_up);
        self.news.push_back(News::Keeps(job));
    }

    /// What a node says of a job that no trio keeps. False if it is about no copy.
    pub(super) fn hear_of_copy(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &CustodyMessage) -> bool {
        let job = message.job();
        if self.senders.has(job) {
            let mut taken = false;
            self.copied(ctx, |_, senders, means| taken = senders.on_message(means, from, message));
            ctx.counters.dropped += u64::from(!taken);
            return true;
        }
        if !self.copies.has(job) && !self.learn_copy(ctx, from, message) {
            return self.has_no_copy(from, message);
        }
        if self.copies.is_owner(job, from) {
            self.hear_owner(ctx, from, message);
        } else {
            ctx.counters.dropped += 1;
        }
        true
    }

    /// The first word of an owner about a job.
    fn learn_copy(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &CustodyMessage) -> bool {
        let pair = copies::pair_of(self.me.peer, from, message).filter(|_| self.has_room(from));
        if let Some(pair) = pair {
            let job = message.job();
            self.add_copy(job, pair, 0, true);
            self.unwritten.begin(job, ctx.now);
            ctx.notify(Event::Follows { job, leader: Some(from) });
        }
        pair.is_some()
    }

    /// Of a job that is to be forgotten nothing came here.
    fn has_no_copy(&mut self, from: PeerId, message: &CustodyMessage) -> bool {
        let CustodyMessage::Forget { job, epoch: copies::EPOCH } = message else { return false };
        self.post.add(from, CustodyMessage::Forgotten { job: *job });
        true
    }

    fn hear_owner(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &CustodyMessage) {
        let job = message.job();
        self.copies.hear(job);
        if let CustodyMessage::Keep { epoch: copies::EPOCH, after, records, .. } = message {
            self.copied(ctx, |copies, _, means| copies.on_keep(means, job, *after, records));
        } else if let CustodyMessage::Forget { epoch: copies::EPOCH, .. } = message {
            self.remove_copy(Gone { job, remains: Remains::Nothing, tell: Some(from) });
        } else if let CustodyMessage::Forgotten { .. } = message {
            self.remove_copy(Gone { job, remains: Remains::Nothing, tell: None });
        } else {
            // An owner that does not know its job has lost its disk: then the copy is all that there is.
            let is_lost = matches!(message, CustodyMessage::Unknown { .. });
            ctx.counters.dropped += u64::from(!is_lost);
        }
    }

    pub(super) fn remove_copy(&mut self, gone: Gone) {
        let job = gone.job;
        let Some((of, owner)) = self.copies.remove(job) else { return };
        self.shares.remove(owner);
        self.blobs.drop_from(job, 0);
        self.unwritten.end(job);
        self.writes.add(of, Order::Forget(gone));
        self.news.push_back(News::Gone(Departed { job, forgotten: true, keepers: Vec::new() }));
    }
}
