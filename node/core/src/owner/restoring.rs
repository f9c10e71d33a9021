//! Kept jobs: how they come back from an earlier life, are tried again and forgotten, and what the disk says. The rest of
//! `owner/mod.rs`, in a file of its own for its length.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Owner;
use super::absent;
use super::books::{OwnerCtx, cancel_at};
use super::dependencies;
use super::edges;
use super::end_job;
use super::ending::{end_if_failed, end_if_over, end_rest};
use super::gate::{Dependencies, Gate};
use super::holders::Holders;
use super::holding;
use super::record::{Record, known};
use crate::ctx::Ctx;
use crate::durable::{Figures, KeptTask, Level, LogRecord, ParentEnd, Restored};
use crate::effect::{Event, Remains};
use crate::id::{JobId, LeaseId};
use crate::membership::Membership;
use crate::refusal::Refusal;
use crate::snapshot::JobView;
use crate::task::Outcome;
use crate::time::Time;

/// By how much an epoch of a job at level `disk` is greater than the one before it, at most.
const EPOCHS_APART_MAX: u32 = 65_536;

impl Owner {
    // ---- what the disk says

    /// Records are on the disk: jobs that waited for it begin, and go on where too much was held.
    pub(crate) fn on_persisted(&mut self, ctx: &mut Ctx<'_>, upto: u64) {
        let Self { books, .. } = self;
        let begin = books.keeping.on_persisted(ctx, upto);
        begin.into_iter().for_each(|name| books.dirty.insert(name));
        self.heed_room();
    }

    /// Where too much is held, kept jobs stand still until there is less.
    pub(super) fn heed_room(&mut self) {
        let Self { records, books, .. } = self;
        let full = books.keeping.full();
        if core::mem::replace(&mut books.keeping.seen, full) == full {
            return;
        }
        let kept = records.values().filter(|record| record.job.is_kept());
        kept.for_each(|record| books.dirty.insert(record.name()));
    }

    pub(crate) fn on_disk_low(&mut self, low: bool) {
        self.books.keeping.on_disk_low(low);
        self.books.keeping.readers.note_room_of_all();
    }

    /// Nothing is kept from now on: kept jobs stand still, so that a later life goes on with them. Their tasks that run here
    /// are stopped, for this node's slots are for what can still end; other workers keep their outcomes for a later life.
    pub(crate) fn on_journal_failed(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership) {
        let Self { records, books, .. } = self;
        books.keeping.on_failed();
        let kept = |job| records.get(&job).is_some_and(|record| record.job.is_kept());
        let here: Vec<LeaseId> = books.leases.of(ctx.me).filter(|lease| kept(lease.job)).collect();
        cancel_at(ctx, ctx.me, &here);
        self.end_what_waits_for_kept(ctx, members);
        self.read_no_more(ctx, members);
    }

    /// Jobs in memory that come after kept ones, which stand still: this life never learns how those end, and a job in memory
    /// has no other. They end as skipped, whatever ends of theirs they would have taken.
    fn end_what_waits_for_kept(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership) {
        let Self { records, books, .. } = self;
        let stands = |parent: &&JobId| {
            let is_kept = |parent: &Record| parent.job.is_kept() && !parent.job.ended;
            books.followed.contains(parent) || records.get(parent).is_some_and(|parent| is_kept(parent))
        };
        let in_memory = records.values().filter(|record| !record.job.is_kept());
        let waiting = in_memory.filter_map(|record| {
            let Gate::Waiting(left) = &record.dependencies.gate else { return None };
            left.iter().find(stands).map(|parent| (record.name(), *parent))
        });
        let waiting: Vec<(JobId, JobId)> = waiting.collect();
        let mut cx = OwnerCtx { ctx, members, books };
        for (name, parent) in waiting {
            end_job(&mut cx, records, name, &Outcome::ParentFailed { job: parent });
        }
    }

    // ---- earlier lives

    /// A job of an earlier life goes on, in a new epoch.
    pub(crate) fn on_restore(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, job: Restored) {
        let name = job.job();
        if self.is_known(name) || job.spec.level != Level::Disk {
            ctx.counters.dropped += 1;
        } else if job.ended {
            let figures = job.figures();
            let record = self.remake(ctx, job);
            let Figures { tasks, done, failed, cancelled } = figures;
            let succeeded = done == tasks && record.has_succeeded();
            let view = JobView { tasks, done, failed, cancelled, ..record.view() };
            self.history.add(record.job.number, succeeded, view);
        } else {
            let epoch = later_epoch(ctx, job.epoch);
            self.books.keeping.record(name, LogRecord::Restarted { epoch, at: ctx.now });
            self.resume(ctx, members, Restored { epoch, ..job }, &[]);
        }
    }

    /// Tasks of a job that ended otherwise than done are open again.
    pub(crate) fn on_retry(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, mut job: Restored) {
        let name = job.job();
        if let Some(reason) = self.retry_refusal(&job) {
            ctx.counters.dropped += 1;
            ctx.notify(Event::RetryRefused { job: name, reason });
            return;
        }
        self.history.forget(name);
        job.epoch = later_epoch(ctx, job.epoch);
        job.try_again(ctx.now);
        self.books.keeping.record(name, LogRecord::Retried { epoch: job.epoch, at: ctx.now });
        self.resume(ctx, members, job, &[]);
    }

    /// Why a job is not tried again by a log that was read, if it is not.
    fn retry_refusal(&self, job: &Restored) -> Option<Refusal> {
        let Self { records, books, history, .. } = self;
        let name = job.job();
        // The log may have gone on since it was read, or be gone.
        let is_past = history.epoch_of(name).is_some_and(|epoch| epoch > job.epoch)
            || books.keeping.has_forgotten(name);
        if records.contains_key(&name) || !job.ended {
            Some(Refusal::JobGoesOn)
        } else if is_past || job.figures.is_some() || job.spec.level != Level::Disk {
            Some(Refusal::LogOutdated)
        } else {
            books.keeping.refusal()
        }
    }

    /// An ended job is to be forgotten; `remains` is for later lives. False if it goes on, or nothing is kept.
    pub(crate) fn on_forget(&mut self, ctx: &mut Ctx<'_>, name: JobId, remains: Remains) -> bool {
        if self.records.contains_key(&name) || self.books.keeping.has_failed() {
            ctx.counters.dropped += 1;
            return false;
        }
        self.history.forget(name);
        self.books.keeping.forget(ctx, name, remains);
        true
    }

    /// A job goes on as its log says. No attempt is issued before the disk knows its new epoch: the life after this one
    /// must not give it to other attempts.
    /// One at level mesh comes when it does. Of the jobs that it comes after, these are known to be forgotten.
    pub(super) fn resume(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        job: Restored,
        forgotten: &[JobId],
    ) {
        let name = job.job();
        let ends = self.parent_ends(ctx.now, &job, forgotten);
        let stopped = job.cancelled || job.given_up;
        let begins_with = if job.mesh.is_some() { 0 } else { self.books.keeping.bar(name) };
        let mut record = self.remake(ctx, job);
        record.job.begins_with = begins_with;
        record.job.pin_all(ctx);
        self.set_alarms(ctx.now, &record.job);
        dependencies::follow(&mut self.records, &record);
        edges::begin(&mut self.books, &record);
        self.records.insert(name, Box::new(record));
        let Self { records, books, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        for end in ends {
            cx.books.keeping.record(name, LogRecord::ParentEnded(end));
            dependencies::on_parent_ended(&mut cx, records, name, end);
        }
        if stopped {
            dependencies::fail(records, name, Outcome::Cancelled);
        }
        let record = known(records, name);
        if stopped {
            let all = 0..record.job.total();
            end_rest(&mut cx, record, all, &Outcome::Cancelled);
        }
        end_if_failed(&mut cx, record, 0);
        holding::begin(&mut cx, record);
        cx.touch(name);
        end_if_over(&mut cx, record);
    }

    /// How those ended that the job comes after and its log does not know to have ended. One that is not here was lost, and
    /// did not succeed; but of a job at level mesh, unless it was forgotten, it is only not kept here.
    fn parent_ends(&mut self, now: Time, job: &Restored, forgotten: &[JobId]) -> Vec<ParentEnd> {
        let Self { records, history, books, .. } = self;
        let is_lost = |parent: &JobId| job.spec.level != Level::Mesh || forgotten.contains(parent);
        let told = |parent: &JobId| job.parents.iter().any(|end| end.parent == *parent);
        let after = job.spec.after.iter().copied().filter(|parent| !job.retried && !told(parent));
        let after: Vec<JobId> = after.filter(|parent| !books.keeping.lines.end_waits(*parent)).collect();
        let (elsewhere, here): (Vec<JobId>, _) =
            after.into_iter().partition(|parent| books.followed.contains(parent));
        books.watched.extend(elsewhere);
        let mut ends = Vec::new();
        for parent in here {
            let succeeded = match records.get(&parent) {
                Some(live) if !live.job.ended => continue,
                Some(ended) => ended.has_succeeded(),
                None if history.tasks_of(parent).is_some() || is_lost(&parent) => {
                    history.has_succeeded(parent)
                }
                None => {
                    // It is here after all where it ended so long ago that its figures are gone.
                    books.watched.push(parent);
                    absent::begin(books, now, parent, &[]);
                    continue;
                }
            };
            ends.push(ParentEnd { parent, succeeded });
        }
        ends
    }

    /// The jobs that it comes after: one that was tried again does not wait for what had ended by then.
    fn waits_for(&self, job: &Restored) -> BTreeSet<JobId> {
        let live = |parent: &JobId| self.records.get(parent).is_some_and(|live| !live.job.ended);
        let told = |parent: &JobId| job.parents.iter().any(|end| end.parent == *parent);
        let after = job.spec.after.iter().copied();
        after.filter(|parent| !job.retried || live(parent) || told(parent)).collect()
    }

    /// The record of a job as its log says, which is in no table yet and holds no pins.
    pub(super) fn remake(&mut self, ctx: &mut Ctx<'_>, kept: Restored) -> Record {
        let (after, trio) = (self.waits_for(&kept), kept.trio());
        let holders = Holders::by_log(&kept);
        let Restored { spec, at, epoch, open, cancelled, given_up, ended, parents, tasks, .. } = kept;
        let mut job = self.new_job(ctx, spec, at);
        (job.epoch, job.open, job.stopped, job.given_up) = (epoch, open, cancelled, given_up);
        job.trio = trio;
        let mut record = Record::new(job, ctx.now);
        record.dependencies = Dependencies::after(record.job.spec.join, after, &parents);
        for KeptTask { input, end } in tasks {
            match end {
                Some(end) => record.job.add_ended(end),
                None => record.take_back(input),
            }
        }
        record.job.ended = ended;
        record.holders = holders;
        record
    }
}

/// The epoch of a job's attempts in its next life, or when it is tried again: one of the next [`EPOCHS_APART_MAX`], by chance. Where
/// the disk is an older copy of itself, epochs began of which the log says nothing, and workers may still bring outcomes of theirs;
/// the next number might be one of them. As many are left for later lives as there can be in any time.
fn later_epoch(ctx: &mut Ctx<'_>, epoch: u32) -> u32 {
    let left = (u32::MAX - 1).saturating_sub(epoch);
    let most = (left / EPOCHS_APART_MAX).clamp(1, EPOCHS_APART_MAX);
    let apart = u32::try_from(ctx.draw() % u64::from(most)).unwrap_or(0);
    epoch.saturating_add(1).saturating_add(apart)
}
