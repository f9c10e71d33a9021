//! Short jobs that wait for credit are tried from the head, most urgent first. What is there may fit no worker, for want of a
//! label perhaps, and must not hide those behind it: a few further ones are tried each time, by a cursor that goes round
//! through all of them. Where credit is missing it is asked for on behalf of a job that a node may have some for, and what
//! waits for too long calls for bids like a long task.

use super::announced::unfit;
use super::credit::place_job;
use super::credit_book::CreditBook;
use super::strategy::{Overflow, Strategy};
use crate::ctx::Ctx;
use crate::id::JobId;
use crate::local::LocalCapacity;
use crate::membership::Membership;
use crate::owner::books::OwnerCtx;
use crate::owner::record::{Record, Records, known};

/// Jobs at the head that are tried within one input: one that finds no credit must not hide one that does.
const TRIED_MAX: usize = 4;
/// Jobs behind those at the head that are tried within one input.
const FURTHER: usize = 2;
/// Jobs that are looked through for one that credit may be asked for.
const ASKERS_MAX: usize = 256;
/// A short task that waits longer than this calls for bids like a long one, in milliseconds.
const PATIENCE_MS: u64 = 20;
/// Short jobs that may call for bids like long ones within a second.
const CALLED_MAX: usize = 4;

/// Gives what waits of short jobs to the worker that begins it first.
pub(in crate::owner) fn place_all(
    cx: &mut OwnerCtx<'_, '_>,
    book: &mut CreditBook,
    records: &mut Records,
    local: &mut LocalCapacity<'_>,
) {
    head(cx, book, records, local);
    further(cx, book, records, local);
    if book.any_waiting() {
        ask_for_credit(cx, book, records);
        overflow(cx, book, records);
    }
    book.on_placed();
}

/// Tries the jobs at the head.
fn head(
    cx: &mut OwnerCtx<'_, '_>,
    book: &mut CreditBook,
    records: &mut Records,
    local: &mut LocalCapacity<'_>,
) {
    let mut skipped = 0;
    while skipped < TRIED_MAX {
        let Some(name) = book.waiting_at(skipped) else { break };
        if !place_job(cx, book, known(records, name), local) {
            skipped += 1;
        }
    }
}

/// Tries a few jobs behind the head, each time further on.
fn further(
    cx: &mut OwnerCtx<'_, '_>,
    book: &mut CreditBook,
    records: &mut Records,
    local: &mut LocalCapacity<'_>,
) {
    if book.count_waiting() <= TRIED_MAX {
        return;
    }
    for rank in book.jobs_after(book.scan_cursor, FURTHER) {
        book.scan_cursor = Some(rank);
        let (_, _, name) = rank;
        place_job(cx, book, known(records, name), local);
    }
}

/// The first job that a connected node may run which did not say what it takes; if there is none, the first of all.
fn asker(ctx: &Ctx<'_>, members: &Membership, book: &CreditBook, records: &Records) -> Option<JobId> {
    let may_run = |name: &JobId| {
        let record = records.get(name).expect("a job that waits is not retired");
        members.connected().any(|(peer, known)| {
            let silent = !book.has_granted(peer);
            silent && unfit(ctx, peer, known, &record.job.spec).is_none()
        })
    };
    let first = book.jobs().next();
    book.jobs().take(ASKERS_MAX).find(may_run).or(first)
}

/// A connected node that might take short tasks never said so: the first job that waits is called, once in a while.
fn ask_for_credit(cx: &mut OwnerCtx<'_, '_>, book: &mut CreditBook, records: &mut Records) {
    let OwnerCtx { ctx, members, .. } = cx;
    if ctx.now < book.ask_after {
        return;
    }
    book.drop_expired(ctx.now);
    if members.count_connected() <= book.count() {
        return;
    }
    book.ask_after = ctx.now.plus_ms(ctx.mesh.call_ms);
    if let Some(name) = asker(ctx, members, book, records) {
        let record = known(records, name);
        // Its tasks may have proved short after it was called: what was asked for then was something else.
        overflow_to(record, Overflow::AskForCredit);
        cx.touch(name);
    }
}

/// A short task that found no credit for a while calls for bids like a long one.
fn overflow(cx: &mut OwnerCtx<'_, '_>, book: &mut CreditBook, records: &mut Records) {
    let now = cx.ctx.now;
    if book.overflow_at.is_some_and(|at| at > now) {
        return;
    }
    let due = book.overflow_at.replace(now.plus_ms(PATIENCE_MS)).is_some();
    if !due {
        return;
    }
    let patient_us = 1000 * PATIENCE_MS;
    let mut lately = book.called_lately(now);
    let mut ranks = book.jobs_after(None, 2 * CALLED_MAX);
    ranks.extend(book.jobs_after(book.overflow_cursor, 2 * CALLED_MAX));
    book.overflow_cursor = ranks.last().copied();
    for (_, _, name) in ranks {
        let record = known(records, name);
        let calls = record.dispatch.overflow() == Overflow::CallForBids;
        if calls || now.since_us(record.dispatch.prefilled_at) < patient_us {
            continue;
        }
        if lately >= CALLED_MAX {
            break;
        }
        lately += 1;
        book.on_called(name, now);
        overflow_to(record, Overflow::CallForBids);
        cx.touch(name);
    }
}

/// A job that waits for credit calls for something; all are asked for it.
fn overflow_to(record: &mut Record, overflow: Overflow) {
    record.dispatch.strategy = Strategy::Credit(overflow);
    record.dispatch.ask_anew();
}
