//! Logs of jobs whose results others take, as they are read, and as they go. The rest of `owner/mod.rs`, in a file of its own for its
//! length; `edges.rs` says when they are read and what is made of them.

use alloc::vec::Vec;

use super::books::OwnerCtx;
use super::edges::{LogPage, edge_of, skip, take};
use super::record::{Records, known};
use super::{Owner, end_job};
use crate::ctx::Ctx;
use crate::durable::LogRecord;
use crate::id::JobId;
use crate::membership::Membership;
use crate::task::Outcome;

impl Owner {
    /// Records of a log were read; those from `committed` on, if it is given, may still be lost. False if it was not asked for here.
    pub(crate) fn on_log_read(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        page: &LogPage<'_>,
    ) -> bool {
        let Self { records, books, .. } = self;
        if !books.keeping.readers.answer(page.job, page.from) {
            return false;
        }
        let mut cx = OwnerCtx { ctx, members, books };
        for child in cx.books.keeping.readers.of(page.job) {
            let edge = edge_of(known(records, child), page.job);
            let is_next = edge.is_some_and(|edge| edge.next == page.from && !edge.is_over());
            if is_next && take(&mut cx, records, child, page) {
                lose(&mut cx, records, child, page.job);
            }
        }
        true
    }

    /// A job's log is gone, or will be: jobs that read it get no more of it.
    pub(crate) fn lose_results(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, parent: JobId) {
        let Self { records, books, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        for child in cx.books.keeping.readers.of(parent) {
            lose(&mut cx, records, child, parent);
        }
    }
}

/// The parent's log is gone: what waits for a result of it ends without a run. Where the parent may have had more tasks than are
/// known, half a job must not pass for a whole one.
fn lose(cx: &mut OwnerCtx<'_, '_>, records: &mut Records, child: JobId, parent: JobId) {
    let record = known(records, child);
    let Some(edge) = edge_of(record, parent).filter(|edge| !edge.is_over()) else { return };
    edge.lose();
    let all: Vec<u32> = (0..record.job.total()).collect();
    skip(cx, record, parent, &all);
    if record.job.open {
        (record.job.open, record.job.stopped) = (false, true);
        if record.job.is_kept() {
            cx.books.keeping.record(child, LogRecord::Cancelled);
        }
        end_job(cx, records, child, &Outcome::Cancelled);
    }
}
