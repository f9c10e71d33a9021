//! What custody and the owner have to do with each other: the owner's records go to custody's logs, and the owner is told which
//! of them are committed, and which jobs it leads.

use alloc::vec::Vec;

use super::Engine;
use crate::ctx::{Ctx, Surroundings};
use crate::custody::news::News;
use crate::custody::trio::Trio;
use crate::custody::{Custody, CustodyMessage, Known, Outline, Wish};
use crate::durable::{LogRecord, Restored};
use crate::effect::{Effect, Event, LogReader, Remains};
use crate::id::{JobId, LeaseId, PeerId};
use crate::input::Gathered;
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Delivery, Message};
use crate::owner::{LogPage, Owner};
use crate::refusal::Refusal;
use crate::submission::{Level, Submission};

impl Engine {
    /// Has custody do something.
    pub(super) fn with_custody(&mut self, act: impl FnOnce(&mut Custody, &mut Ctx<'_>, &Membership)) {
        self.with_keepers(|_, custody, ctx, members| act(custody, ctx, members));
    }

    /// Has the owner and custody do something together.
    fn with_keepers(&mut self, act: impl FnOnce(&mut Owner, &mut Custody, &mut Ctx<'_>, &Membership)) {
        let surroundings = Surroundings {
            counters: &mut self.counters,
            memo: &mut self.memo,
            programs: &mut self.programs,
            out: &mut self.out,
        };
        let mut ctx = Ctx::new(self.now, self.me, &self.mesh, surroundings);
        act(&mut self.owner, &mut self.custody, &mut ctx, &self.members);
    }

    /// Another node says something of jobs that both keep, or are to keep.
    pub(super) fn receive_custody(&mut self, from: PeerId, all: Vec<CustodyMessage>) {
        self.with_keepers(|owner, custody, ctx, _| {
            custody.on_messages(ctx, from, all, &|job| owner.has(job));
        });
    }

    /// Another node wants to know how jobs ended.
    pub(super) fn say_ends(&mut self, to: PeerId, asked: &[JobId]) {
        self.with_custody(|custody, ctx, _| custody.on_ask_ends(ctx, to, asked));
    }

    /// What time and this input meant for the jobs that this node keeps is told to the owner.
    pub(super) fn heed_custody(&mut self) {
        let draining = self.worker.is_draining();
        self.with_custody(|custody, ctx, _| custody.on_time(ctx, draining));
        if self.custody.is_to_look_out(self.now) {
            let (ctx, owner, _, members) = self.parts();
            let eligible = owner.eligible_nodes(&ctx, members).collect();
            let known = Known { eligible, open: owner.open_jobs() };
            self.with_custody(|custody, ctx, members| custody.look_out(ctx, members, &known));
        }
        self.with_custody(Custody::tell_begun);
        while let Some(news) = self.custody.next_news() {
            self.tell_owner(news);
            for job in self.owner.take_watched() {
                self.custody.watch(job);
            }
        }
    }

    fn tell_owner(&mut self, news: News) {
        let (mut ctx, owner, _, members) = self.parts();
        let ctx = &mut ctx;
        match news {
            News::Keeps(job) => owner.on_keeps(job),
            News::Committed { job, upto } => owner.on_committed(ctx, job, upto),
            News::StepDown(job) => owner.on_step_down(ctx, job),
            News::Leads(led) => owner.on_led(ctx, members, *led),
            News::Keepers { job, trio } => owner.on_keepers(ctx, members, job, trio),
            News::Ended(job) => {
                let (name, ended) = (job.job(), job.outline().and_then(Outline::ended));
                let succeeded = owner.on_ended_elsewhere(ctx, *job);
                ended.into_iter().for_each(|seq| self.custody.note_end(name, seq, succeeded));
            }
            News::Unread { job, keepers } => owner.on_unread(ctx, job, &keepers),
            News::Gone(gone) => owner.on_gone(ctx, members, &gone),
            News::Grown(job) => owner.on_grown(job),
        }
    }

    /// The input has been handled: what is to be kept of it is written, and sent to other members.
    pub(super) fn seal(&mut self) {
        self.with_keepers(|owner, custody, ctx, members| {
            owner.seal(ctx, custody);
            custody.flush(ctx, members, &mut || owner.issue_ticket());
        });
    }

    /// A user asks for something: all that came before is written before it, whatever it waits for.
    pub(super) fn seal_now(&mut self) {
        self.owner.hasten();
        self.seal();
    }

    /// A worker brings outcomes.
    pub(super) fn on_outcomes(&mut self, from: PeerId, all: Vec<Delivery>) {
        let leases = all.iter().take(BATCH_MAX).map(|delivery| delivery.lease);
        let kept: Vec<LeaseId> = leases.filter(|lease| lease.epoch > 0).collect();
        let (mut ctx, owner, worker, members) = self.parts();
        owner.on_outcomes(&mut ctx, members, from, all);
        worker.keep_untaken(&mut ctx, owner.take_untaken());
        self.leave_what_is_over(from, kept.into_iter());
    }

    /// A worker says something about these leases, which may be of jobs that this node led before, and that have ended elsewhere:
    /// nothing of them is waited for any more.
    pub(super) fn leave_what_is_over(&mut self, from: PeerId, leases: impl Iterator<Item = LeaseId>) {
        let kept = leases.filter(|lease| lease.epoch > 0);
        let over = kept.filter(|lease| self.custody.is_over_elsewhere(lease.job)).take(BATCH_MAX);
        let over: Vec<LeaseId> = over.collect();
        if !over.is_empty() {
            let (mut ctx, ..) = self.parts();
            ctx.send(from, Message::Cancel(over));
        }
    }

    /// Records of a log were read.
    pub(super) fn on_log_read(
        &mut self,
        reader: LogReader,
        job: JobId,
        from: u32,
        records: Option<Vec<LogRecord>>,
    ) {
        match reader {
            LogReader::Child => self.on_results_read(job, from, records),
            LogReader::Keeper => {
                let records = records.unwrap_or_default();
                self.with_custody(|custody, ctx, _| custody.on_log_read(ctx, job, from, records));
            }
        }
    }

    /// The same for jobs that take results of that one.
    fn on_results_read(&mut self, job: JobId, from: u32, records: Option<Vec<LogRecord>>) {
        let committed = self.custody.committed(job);
        let (mut ctx, owner, _, members) = self.parts();
        let Some(upto) = owner.may_take(job, from, committed) else { return ctx.counters.dropped += 1 };
        let page = LogPage { job, from, records: records.as_deref(), upto };
        owner.on_log_read(&mut ctx, members, &page);
    }

    /// Logs are to be read for jobs that take results: what of them is committed now can't be another record later.
    pub(super) fn note_committed(&mut self) {
        for job in self.owner.take_asked() {
            let committed = self.custody.committed(job);
            self.owner.note_committed(job, committed);
        }
    }

    /// Inputs are to be made of results, behind the records that have these.
    pub(super) fn gather(&mut self) {
        let upto = |job| self.custody.committed(job).map_or(u32::MAX, |(_, upto)| upto);
        for effect in self.owner.take_gathers(upto) {
            self.out.emit(effect);
        }
    }

    /// One of them is made, or could not be.
    pub(super) fn on_gathered(&mut self, job: JobId, epoch: u32, gathered: Gathered) {
        let (mut ctx, owner, _, members) = self.parts();
        owner.on_gathered(&mut ctx, members, job, epoch, gathered);
    }

    /// An ended job at level mesh is to be tried again.
    pub(super) fn retry_kept(&mut self, job: &Restored) {
        let name = job.job();
        if let Some(reason) = self.owner.refuses_to_keep() {
            return self.out.emit(Effect::Notify(Event::RetryRefused { job: name, reason }));
        }
        self.wish(name, Wish::Retry);
    }

    /// A new job. One that takes results is kept where the logs are that have them, whether those jobs have ended or not.
    pub(super) fn submit(&mut self, what: Submission) {
        let kept_by = match what.level {
            Level::Mesh if what.join.takes_results() => self.trio_of_results(&what.after),
            Level::Memory | Level::Disk | Level::Mesh => Ok(None),
        };
        let (mut ctx, owner, _, members) = self.parts();
        owner.on_submit(&mut ctx, members, what, kept_by);
    }

    /// The nodes that keep all of these jobs.
    fn trio_of_results(&self, parents: &[JobId]) -> Result<Option<Trio>, Refusal> {
        let trios = || parents.iter().map(|job| (*job, self.custody.trio(*job)));
        match trios().find(|(_, trio)| trio.is_none()) {
            Some((job, _)) => Err(Refusal::ParentNotKept { job }),
            None => Trio::common(trios()).map_err(|job| Refusal::ParentsKeptApart { job }),
        }
    }

    /// An ended job that no other node keeps is to be forgotten; its copy elsewhere, if it has one, with it.
    pub(super) fn forget_kept(&mut self, job: JobId) {
        let is_copied = self.custody.is_copied(job);
        let remains = if is_copied { Remains::Forgotten } else { Remains::Nothing };
        let (mut ctx, owner, _, members) = self.parts();
        if !owner.on_forget(&mut ctx, job, remains) {
            return;
        }
        owner.lose_results(&mut ctx, members, job);
        if is_copied {
            self.with_custody(|custody, ctx, _| custody.forget_copied(ctx, job));
        }
    }

    /// An ended job at level mesh is to be forgotten everywhere, or tried again.
    pub(super) fn wish(&mut self, job: JobId, wish: Wish) {
        let is_retry = matches!(wish, Wish::Retry);
        self.with_custody(|custody, ctx, members| {
            let granted = custody.wish(ctx, members, job, wish);
            ctx.counters.dropped += u64::from(!granted);
            if is_retry && !granted {
                ctx.notify(Event::RetryRefused { job, reason: Refusal::LogOutdated });
            }
        });
    }
}
