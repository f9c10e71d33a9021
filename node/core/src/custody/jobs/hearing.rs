//! What other nodes say of jobs that this node keeps, or is to keep, or has copies of. The rest of `custody/jobs.rs`, in a file of
//! its own for its length.

use alloc::vec::Vec;

use super::{Custody, News, moment};
use crate::ctx::Ctx;
use crate::custody::member::{Member, Moment, Role};
use crate::custody::message::CustodyMessage;
use crate::custody::post::RECORDS_MAX;
use crate::durable::LogRecord;
use crate::id::{JobId, PeerId};
use crate::message::BATCH_MAX;

/// What records that wait for bytes, or behind such a record, take in memory, those of all jobs; beyond it none is taken.
const WAITING_BYTES_MAX: usize = 64 << 20;

impl Custody {
    /// Another node says something. `is_owned` knows the jobs of this node's owner: of those that are not here, no other node
    /// keeps anything, whatever it says.
    pub(crate) fn on_messages(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: PeerId,
        messages: Vec<CustodyMessage>,
        is_owned: &dyn Fn(JobId) -> bool,
    ) {
        ctx.counters.dropped += messages.len().saturating_sub(BATCH_MAX) as u64;
        ctx.examine(messages.len().min(BATCH_MAX));
        let mut room = RECORDS_MAX;
        for mut message in messages.into_iter().take(BATCH_MAX) {
            let job = message.job();
            let records = message.leave_records(room);
            ctx.examine(records);
            room -= records;
            let is_here = self.jobs.contains_key(&job) || self.senders.has(job);
            if !is_here && is_owned(job) {
                ctx.counters.dropped += 1;
            } else {
                self.on_message(ctx, from, message);
            }
        }
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_>, from: PeerId, mut message: CustodyMessage) {
        let job = message.job();
        let waiting = self.waiting_bytes.saturating_add(self.copies.waiting_bytes());
        if !self.blobs.has_room() || waiting >= WAITING_BYTES_MAX {
            // Its sender is heard, and sends them again.
            message.leave_records(0);
        }
        if !self.keeps() {
            ctx.counters.dropped += 1;
            return;
        }
        let moment = moment(ctx, self.draining);
        let has_agreed = matches!(message, CustodyMessage::Forgotten { .. });
        if let Some(answer) = self.gone.answer(&message) {
            self.post.add(from, answer);
        } else if let Some(kept) = self.jobs.get_mut(&job) {
            self.unwritten.hear(&message, ctx.now);
            ctx.counters.dropped += u64::from(!kept.member.on_message(from, message, &moment));
            self.count_for(job, from);
            self.perform(ctx, job);
            // By the first that agrees this node has forgotten it just now, and waits for the others.
            let _waited = has_agreed && self.farewells.agreed(job, from);
        } else if self.hear_of_copy(ctx, from, &message) {
            self.unwritten.hear(&message, ctx.now);
        } else if let Some(member) = self.learn(from, &message, &moment) {
            self.insert(job, member);
            self.count(job, from);
            self.unwritten.begin(job, ctx.now);
            self.news.push_back(News::Keeps(job));
            self.perform(ctx, job);
        } else if let Some(answer) = self.gone.answer_without_log(&message, self.me.disk) {
            self.post.add(from, answer);
        } else if !(has_agreed && self.farewells.agreed(job, from)) {
            ctx.counters.dropped += 1;
        }
    }

    /// Whether one more job of a node is kept, or copied.
    pub(super) fn has_room(&self, from: PeerId) -> bool {
        !self.low && self.shares.has_room(from, self.jobs.len().saturating_add(self.copies.len()))
    }

    fn learn(&self, from: PeerId, message: &CustodyMessage, moment: &Moment) -> Option<Member<LogRecord>> {
        if self.has_room(from) { self.gone.begin(self.me, from, message, moment) } else { None }
    }

    /// A job counts for the node by which it came here, or the first one that is heard as its leader, until it is here no more.
    fn count_for(&mut self, job: JobId, from: PeerId) {
        let role = self.jobs.get(&job).map(|kept| kept.member.role());
        if role == Some(Role::Follower { leader: Some(from) }) {
            self.count(job, from);
        }
    }

    fn count(&mut self, job: JobId, from: PeerId) {
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        if kept.told_by.is_none() {
            kept.told_by = Some(from);
            self.shares.add(from);
        }
    }
}
