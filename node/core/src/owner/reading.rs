//! Logs of jobs whose results others take, as they are read, and as they go. The rest of `owner/mod.rs`, in a file of its own for its
//! length; `edges.rs` says when they are read and what is made of them.

use alloc::vec::Vec;

use super::Owner;
use super::books::OwnerCtx;
use super::edge::Edge;
use super::edges::{LogPage, edge_of, end_short, may_go_on, skip, take};
use super::gather;
use super::intake::settle_new;
use super::record::{Record, known};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::JobId;
use crate::input::Gathered;
use crate::membership::Membership;

impl Owner {
    // ---- what is asked for

    /// The jobs of which pages were asked for in this input.
    pub(crate) fn take_asked(&mut self) -> Vec<JobId> {
        self.books.keeping.readers.take_asked()
    }

    /// What of one at level mesh is committed as its page is asked for.
    pub(crate) fn note_committed(&mut self, job: JobId, committed: Option<(u64, u32)>) {
        self.books.keeping.readers.note_committed(job, committed);
    }

    /// The last record that counts of a page, if that was asked for here.
    pub(crate) fn may_take(&mut self, job: JobId, from: u32, committed: Option<(u64, u32)>) -> Option<u32> {
        self.books.keeping.readers.answer(job, from, committed)
    }

    /// The inputs that are to be made of results; `upto` says which records of a log count.
    pub(crate) fn take_gathers(&mut self, upto: impl Fn(JobId) -> u32) -> Vec<Effect> {
        let Self { records, books, .. } = self;
        let effect = |job| {
            let of = &records.get(&job)?.job;
            let parents = of.spec.after.iter().map(|parent| (*parent, upto(*parent))).collect();
            Some(Effect::Gather { job, epoch: of.epoch, parents })
        };
        core::mem::take(&mut books.gathers).into_iter().filter_map(effect).collect()
    }

    // ---- what comes

    /// The driver has made a job's input of the results of its parents, or could not.
    pub(crate) fn on_gathered(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        job: JobId,
        epoch: u32,
        gathered: Gathered,
    ) {
        let Self { records, books, .. } = self;
        let may_come = |parent: &JobId| may_go_on(books, records, *parent);
        let comes = matches!(&gathered, Gathered::Missing(parent) if may_come(parent));
        match records.get_mut(&job).filter(|record| record.job.epoch == epoch) {
            Some(record) => {
                // Its log may not be here yet, or may have no end yet.
                let gathered = if comes { Gathered::NotNow } else { gathered };
                gather::on_gathered(&mut OwnerCtx { ctx, members, books }, record, gathered);
            }
            None => ctx.counters.dropped += 1,
        }
    }

    /// Records of a log were read.
    pub(crate) fn on_log_read(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, page: &LogPage<'_>) {
        let Self { records, books, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        for child in cx.books.keeping.readers.of(page.job) {
            let edge = edge_of(known(records, child), page.job);
            let is_next = edge.is_some_and(|edge| edge.next == page.from && !edge.is_over());
            if is_next && take(&mut cx, records, child, page) {
                lose(&mut cx, known(records, child), page.job);
            }
        }
    }

    /// A job's log is gone, or will be: jobs that read it get no more of it.
    pub(crate) fn lose_results(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, parent: JobId) {
        let Self { records, books, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        for child in cx.books.keeping.readers.of(parent) {
            lose(&mut cx, known(records, child), parent);
        }
    }

    /// A job's log is not on this disk any more, and other nodes keep it. Where it comes back it is read anew.
    pub(super) fn read_anew(&mut self, parent: JobId) {
        for child in self.books.keeping.readers.of(parent) {
            let edge = edge_of(known(&mut self.records, child), parent);
            edge.into_iter().filter(|edge| !edge.is_over()).for_each(Edge::begin_again);
        }
    }

    /// Nothing is kept or read any more: jobs in memory get no more results.
    pub(super) fn read_no_more(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership) {
        let Self { records, books, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        for record in records.values_mut().filter(|record| !record.job.is_kept()) {
            if let Some(parent) = record.edge.as_ref().map(|edge| edge.parent) {
                lose(&mut cx, record, parent);
            }
        }
    }
}

/// No result of a parent will come any more: what waits for one ends without a run, and the rest goes on.
fn lose(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, parent: JobId) {
    let Some(edge) = edge_of(record, parent).filter(|edge| !edge.is_over()) else { return };
    edge.lose();
    let first = record.job.total();
    if record.job.open {
        end_short(cx, record, parent);
    } else {
        skip(cx, record, parent);
    }
    settle_new(cx, record, first);
}
