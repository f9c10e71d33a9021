//! Jobs at level mesh as this node comes to lead them, and leaves them: what custody says that happened to each. The rest of
//! `owner/mod.rs`, in a file of its own for its length.

use alloc::vec::Vec;

use super::Owner;
use super::absent;
use super::agenda::Alarm;
use super::books::{Books, OwnerCtx};
use super::dependencies;
use super::dispatch::calling;
use super::dispatch::credit_book::CreditBook;
use super::ending::clear_alarms;
use super::holding;
use super::record::Record;
use super::task::RECALLED;
use crate::ctx::Ctx;
use crate::custody::news::{Departed, Led};
use crate::custody::trio::Trio;
use crate::durable::{ParentEnd, Restored};
use crate::effect::{Effect, Event};
use crate::id::{JobId, PeerId};
use crate::membership::Membership;

impl Owner {
    /// Another node answers for a job: outcomes of its tasks are not this owner's to take or to acknowledge.
    pub(crate) fn on_keeps(&mut self, job: JobId) {
        self.books.followed.insert(job);
        self.books.unknown.on_known(job);
        if absent::end(&mut self.books, job) {
            self.books.watched.push(job);
        }
    }

    /// A job is led here from now on. What its log says is told once all of it is committed.
    pub(crate) fn on_led(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, led: Led) {
        let Led { job, retried, committed, forgotten } = led;
        let (name, Some(log)) = (job.job(), job.outline()) else { return };
        let (last, trio) = (log.last().seq, log.trio());
        self.history.forget(name);
        self.books.followed.remove(&name);
        self.books.unknown.on_known(name);
        let keeping = &mut self.books.keeping;
        keeping.lines.open(name, trio, last);
        keeping.on_committed(ctx, name, committed);
        keeping.event(name, Event::Leads { job: name });
        keeping.event(name, keepers(name, trio));
        if retried {
            keeping.event(name, Event::Confirmed { job: name });
        }
        if job.ended {
            let record = self.remake(ctx, job);
            let end = ParentEnd { parent: name, succeeded: record.has_succeeded() };
            self.history.add(record.job.number, end.succeeded, record.view());
            if committed < last {
                self.books.keeping.parent_ended(end);
            } else {
                self.books.keeping.done.push_back(end);
            }
        } else {
            self.resume(ctx, members, job, &forgotten);
        }
    }

    /// All records of a job up to that one are committed.
    pub(crate) fn on_committed(&mut self, ctx: &mut Ctx<'_>, job: JobId, upto: u32) {
        let stood_still = !self.books.keeping.takes(job);
        self.books.keeping.on_committed(ctx, job, upto);
        self.books.keeping.readers.on_grown(job);
        if stood_still {
            self.books.dirty.insert(job);
        }
        self.heed_room();
    }

    /// More records are committed of a job that another node leads.
    pub(crate) fn on_grown(&mut self, job: JobId) {
        self.books.keeping.readers.on_grown(job);
    }

    /// A job is led here no more: nothing of it is placed, written or told. Its workers are told nothing, for their outcomes are
    /// the next leader's.
    pub(crate) fn on_step_down(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Self { records, books, credit, history, .. } = self;
        books.followed.insert(name);
        // Its end will come from another node, and is told to those that wait for it here.
        if records.values().any(|record| record.dependencies.awaits(name)) {
            books.watched.push(name);
        }
        books.keeping.leave(name);
        books.completed.retain(|completed| completed.parent != name);
        history.forget(name);
        if let Some(record) = records.remove(&name) {
            dependencies::leave(records, books, &record);
            leave(ctx, books, credit, *record);
        }
    }

    /// A job is kept here no more. Where it is not over, another node leads it, or will: what workers have of it is that one's
    /// (`unknown.rs`). For what comes after it, it is lost if it was forgotten.
    pub(crate) fn on_gone(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, gone: &Departed) {
        let Departed { job, forgotten, keepers } = gone;
        self.on_step_down(ctx, *job);
        self.books.followed.remove(job);
        if *forgotten {
            self.lose_results(ctx, members, *job);
            self.books.keeping.done.push_back(ParentEnd { parent: *job, succeeded: false });
            return;
        }
        self.read_anew(*job);
        if absent::waiting(&self.records, *job).next().is_some() {
            absent::begin(&mut self.books, ctx.now, *job, keepers);
        }
    }

    /// How a job ended that jobs here come after can't be read from this node's disk: the others that keep it are asked.
    pub(crate) fn on_unread(&mut self, ctx: &Ctx<'_>, job: JobId, keepers: &[PeerId]) {
        if absent::waiting(&self.records, job).next().is_some() {
            absent::begin(&mut self.books, ctx.now, job, keepers);
        }
    }

    /// Who keeps a job has changed.
    pub(crate) fn on_keepers(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, job: JobId, trio: Trio) {
        let Self { records, books, .. } = self;
        books.keeping.lines.set_trio(job, trio);
        ctx.notify(keepers(job, trio));
        if let Some(record) = records.get_mut(&job) {
            let before = record.job.trio.replace(trio);
            record.holders.keepers_changed |= before.map(|trio| trio.peers()) != Some(trio.peers());
            holding::name_keepers(&mut OwnerCtx { ctx, members, books }, record);
        }
    }

    /// A job that another node leads has ended for good: what comes after it is told. Whether it succeeded.
    pub(crate) fn on_ended_elsewhere(&mut self, ctx: &mut Ctx<'_>, job: Restored) -> bool {
        let parent = job.job();
        let succeeded = self.remake(ctx, job).has_succeeded();
        self.books.keeping.done.push_back(ParentEnd { parent, succeeded });
        succeeded
    }

    /// Jobs that jobs here come after and that another node leads, as far as it was not asked yet.
    pub(crate) fn take_watched(&mut self) -> Vec<JobId> {
        core::mem::take(&mut self.books.watched)
    }
}

/// Who keeps a job, as its user is told.
fn keepers(job: JobId, trio: Trio) -> Event {
    Event::Keepers { job, keepers: trio.peers().to_vec() }
}

/// Takes a job out of all tables.
fn leave(ctx: &mut Ctx<'_>, books: &mut Books, credit: &mut CreditBook, mut record: Record) {
    let name = record.name();
    if let Some(open) = record.dispatch.call.take() {
        books.calls.close(open.call);
        calling::withdraw(ctx, open);
    }
    credit.remove(&record.job);
    books.keeping.readers.leave(name, record.edge.take());
    for index in 0..record.job.total() {
        if record.job.task(index).is_none_or(|task| task.state().is_end()) {
            continue;
        }
        drop(record.replicas.close_ballot(ctx, index));
        clear_alarms(&mut books.agenda, &record.job, index);
        let task = record.job.live_task_mut(index);
        ctx.unpin(&task.input);
        for attempt in core::mem::take(&mut task.live) {
            if attempt.number() != RECALLED {
                books.leases.end(attempt.lease);
            }
        }
    }
    if record.job.ended {
        return;
    }
    books.agenda.clear(record.job.starts_at, Alarm::Start(name));
    if let Some(at) = record.job.expires_at() {
        books.agenda.clear(at, Alarm::Expire(name));
    }
    ctx.emit(Effect::Unpin(record.job.spec.program.module));
    ctx.unpin(&record.job.spec.program.files);
}
