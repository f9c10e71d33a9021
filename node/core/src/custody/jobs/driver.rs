//! What the driver says: what is on the disk, which blobs are here, what logs say. The rest of `custody/jobs.rs`, in a file of its
//! own for its length.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Answers, Custody, Kept, Led, News, Wish, acts, moment};
use crate::ctx::Ctx;
use crate::custody::farewells::Farewells;
use crate::custody::lookout;
use crate::custody::member::{Member, Role};
use crate::custody::message::CustodyMessage;
use crate::custody::position::Position;
use crate::custody::shares::Shares;
use crate::custody::unwritten::Unwritten;
use crate::custody::writes::{Done, Gone};
use crate::durable::{self, LogRecord};
use crate::effect::Event;
use crate::id::{BlobId, JobId};
use crate::input::Fetched;
use crate::membership::Membership;
use crate::time::Time;

/// A log that was to be read as a whole and was not is asked for again after this time, in milliseconds.
const RECALL_AGAIN_MS: u64 = 5000;
/// A log that was asked for this often in a row and not read is damaged: this node does not lead its job.
const UNREAD_MAX: u32 = 6;
/// A damaged log is asked for again after this time, in milliseconds: it may only have been the disk that was slow.
const RECALL_DAMAGED_MS: u64 = 60_000;

impl Custody {
    pub(crate) fn on_persisted(&mut self, ctx: &mut Ctx<'_>, upto: u64) {
        for done in self.writes.on_persisted(upto) {
            match done {
                Done::Writes { of, count } => {
                    if self.jobs.get(&of.job).is_some_and(|kept| kept.serial == of.serial) {
                        self.with(ctx, of.job, |member, moment| member.on_durable(count, moment));
                    } else if self.copies.is(of) {
                        self.unwritten.end(of.job);
                        self.copied(ctx, |copies, _, means| copies.on_durable(means, of.job, count));
                    }
                }
                Done::Gone(Gone { job, remains, tell }) => {
                    tell.into_iter().for_each(|to| self.post.add(to, CustodyMessage::Forgotten { job }));
                    ctx.notify(Event::Forgotten { job, remains });
                }
            }
        }
    }

    /// This node can't write any more: it keeps and leads nothing.
    pub(crate) fn on_journal_failed(&mut self, ctx: &mut Ctx<'_>) {
        self.failed = true;
        for job in self.led().map(|(job, _)| job).collect::<Vec<_>>() {
            self.news.push_back(News::StepDown(job));
            ctx.notify(Event::Follows { job, leader: None });
        }
        self.jobs.keys().for_each(|job| self.blobs.drop_from(*job, 0));
        self.jobs.clear();
        self.waiting_bytes = 0;
        self.shares = Shares::default();
        self.wakes.clear();
        self.unread.clear();
        self.copies.clear();
        self.senders.clear();
        self.unwritten = Unwritten::default();
        self.farewells = Farewells::default();
        self.writes.on_failed();
    }

    /// The disk has little room, or enough again.
    pub(crate) fn on_disk_low(&mut self, low: bool) {
        self.low = low;
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, fetched: Fetched) {
        for (job, at) in self.blobs.on_fetched(ctx.now, blob, fetched) {
            if self.copies.has(job) {
                self.copied(ctx, |copies, _, means| copies.on_blobs(means, job, at));
            } else if at == Position::NONE {
                self.on_found_again(ctx, job);
            } else {
                self.with(ctx, job, |member, moment| member.on_blobs(at, moment));
            }
        }
    }

    /// Bytes of a record that is being written are gone. They are fetched again, and until they are here this node does not say
    /// that it keeps the record. What a leader lacks is its driver's to tell.
    pub(crate) fn on_blob_lost(&mut self, ctx: &mut Ctx<'_>, job: JobId, blob: BlobId) {
        let kept = self.jobs.get_mut(&job).filter(|kept| kept.member.role() != Role::Leader);
        let Some(kept) = kept else { return };
        kept.lost.insert(blob);
        self.with(ctx, job, |member, moment| member.lack(true, moment));
        self.fetch_lost(ctx, job);
    }

    fn fetch_lost(&mut self, ctx: &mut Ctx<'_>, job: JobId) {
        let me = self.me.peer;
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        if kept.fetched_again.is_empty() && !kept.lost.is_empty() {
            kept.fetched_again = core::mem::take(&mut kept.lost);
            self.blobs.want(ctx, acts::lost(kept, job, me));
        }
    }

    /// Bytes that were gone are here again.
    fn on_found_again(&mut self, ctx: &mut Ctx<'_>, job: JobId) {
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        kept.fetched_again.clear();
        if kept.lost.is_empty() {
            self.with(ctx, job, |member, moment| member.lack(false, moment));
        } else {
            self.fetch_lost(ctx, job);
        }
    }

    pub(crate) fn on_log_read(&mut self, ctx: &mut Ctx<'_>, job: JobId, from: u32, records: Vec<LogRecord>) {
        if self.is_orphan(job, |answers| &mut answers.reads) {
            return;
        }
        if self.senders.has(job) {
            return self.copied(ctx, |_, senders, means| senders.on_read(means, job, from, &records));
        }
        if let Some(kept) = self.jobs.get_mut(&job) {
            kept.awaits.reads = kept.awaits.reads.saturating_sub(1);
        }
        self.with(ctx, job, |member, moment| member.on_read(from, records, moment));
    }

    /// A log was read as a whole: of a job that this node is to lead, or of one whose end the owner wants to know.
    pub(crate) fn on_recalled(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        job: JobId,
        restored: Option<Box<durable::Restored>>,
    ) {
        if self.is_orphan(job, |answers| &mut answers.recalls) {
            return;
        }
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        kept.awaits.recalls = kept.awaits.recalls.saturating_sub(1);
        let Some(restored) = restored else {
            ctx.counters.dropped += 1;
            return self.on_unread(ctx, members, job);
        };
        if core::mem::take(&mut kept.unread) >= UNREAD_MAX {
            self.with(ctx, job, Member::read_again);
            // How it ends is this node's to say again.
            self.news.push_back(News::Keeps(job));
        }
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        // It may have left the lead since, and come to lead again.
        let leads = kept.begins.take_if(|epoch| *epoch == restored.epoch).is_some();
        if leads && restored.is_whole() {
            let (retried, committed) = (core::mem::take(&mut kept.retried), kept.member.committed());
            let after = restored.spec.after.iter().copied();
            let forgotten = after.filter(|parent| self.gone.has(*parent)).collect();
            self.news.push_back(News::Leads(Box::new(Led { job: *restored, retried, committed, forgotten })));
        } else if leads {
            // No client was told that it is accepted, and its inputs are nowhere.
            if kept.member.has_ended() {
                kept.grant(Wish::Forget, &moment(ctx, self.draining));
                return self.perform(ctx, job);
            }
            kept.wish = Some(Wish::Forget);
            if restored.has_ended() || kept.member.append(LogRecord::Ended { at: ctx.now }).is_some() {
                self.appended.insert(job);
            }
        } else if kept.is_parent && restored.has_ended() {
            kept.is_parent = false;
            self.news.push_back(News::Ended(restored));
            self.leave_at_last(job);
        } else if kept.is_parent && kept.member.has_ended() {
            // It was read before the end was written.
            self.ask_again(ctx.now, job);
        }
    }

    /// A log was not read. Nothing goes on with the job before it was; one that can't be read is another node's to lead, and to say
    /// how it ended; and one that is to go then goes as it is.
    fn on_unread(&mut self, ctx: &mut Ctx<'_>, members: &Membership, job: JobId) {
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        kept.unread = kept.unread.saturating_add(1);
        if kept.unread >= UNREAD_MAX {
            if kept.is_parent && kept.leaves.is_none() {
                let keepers = kept.member.log().trio().peers();
                self.news.push_back(News::Unread { job, keepers });
            }
            self.leave_at_last(job);
            self.with(ctx, job, |member, moment| lookout::misread(member, members, moment));
        }
        self.ask_again(ctx.now, job);
    }

    fn ask_again(&mut self, now: Time, job: JobId) {
        let Some(kept) = self.jobs.get(&job) else { return };
        let is_damaged = kept.unread >= UNREAD_MAX;
        let at = now.plus_ms(if is_damaged { RECALL_DAMAGED_MS } else { RECALL_AGAIN_MS });
        self.unread.insert(job, at);
        self.asks_at = Some(self.asks_at.map_or(at, |first| first.min(at)));
    }

    /// Asks for the logs again that were not read and are still wanted, when it is time.
    pub(super) fn recall_again(&mut self, now: Time) {
        if self.asks_at.is_none_or(|at| at > now) {
            return;
        }
        let due: Vec<JobId> = self.unread.extract_if(.., |_, at| *at <= now).map(|(job, _)| job).collect();
        self.asks_at = self.unread.values().min().copied();
        for job in due {
            let wanted = |kept: &Kept| {
                let is_damaged = kept.unread >= UNREAD_MAX;
                kept.begins.is_some() || is_damaged || (kept.is_parent && kept.member.has_ended())
            };
            if self.jobs.get(&job).is_some_and(|kept| wanted(kept) && kept.awaits.recalls == 0) {
                self.recall(job);
            }
        }
    }

    /// Whether an answer is for a member that is gone.
    fn is_orphan(&mut self, job: JobId, of: impl Fn(&mut Answers) -> &mut u32) -> bool {
        let Some(answers) = self.orphans.get_mut(&job) else { return false };
        let left = of(answers);
        let is_orphan = *left > 0;
        *left = left.saturating_sub(1);
        if answers.reads + answers.recalls == 0 {
            self.orphans.remove(&job);
        }
        is_orphan
    }
}
