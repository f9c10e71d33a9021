//! Credit: short tasks are sent before a slot is free, as far as workers granted credit for them. A call and a bid for
//! each would cost more than they do, so they go here first, or to a worker with credit, whichever is thought to begin
//! them sooner. No worker is asked but for credit that is missing, and that seldom.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::bidding::ask_if_silent;
use super::credit_book::{CreditBook, Wanted};
use super::grants::{cut_frame, issue};
use super::trust::may_give;
use crate::id::{BidId, CallId, PeerId};
use crate::local::LocalCapacity;
use crate::message::{Assign, Credit, Grant, Message};
use crate::owner::books::OwnerCtx;
use crate::owner::record::{Record, Records, known};
use crate::owner::speculation;

/// Calls that a worker is asked again which it never answered, when it bids by itself.
const AGAIN_MAX: usize = 64;

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spot {
    Here,
    There(usize),
}

/// Tasks of one job that go to one worker.
struct Prefill {
    spot: Spot,
    grants: Vec<Grant>,
}

/// A worker says what it takes of short tasks.
pub(in crate::owner) fn on_grant(
    cx: &mut OwnerCtx<'_, '_>,
    book: &mut CreditBook,
    from: PeerId,
    granted: Credit,
) {
    match cx.members.means(from) {
        None => cx.ctx.counters.dropped += 1,
        Some(means) => {
            cx.ctx.counters.bids_received += 1;
            book.on_grant(cx.ctx, from, granted, means);
        }
    }
}

/// A worker bids by itself: jobs whose tasks are long may not have asked it.
pub(in crate::owner) fn on_unasked(
    cx: &mut OwnerCtx<'_, '_>,
    book: &mut CreditBook,
    records: &mut Records,
    from: PeerId,
) {
    let OwnerCtx { ctx, books, .. } = cx;
    // What was asked for just now is of use to the next job, if not to the one that asked.
    if !book.any_waiting() && ctx.now >= book.ask_after {
        book.release_unused(ctx, from);
    }
    if books.calls.count() == 0 || !book.heeds(ctx.now, from) {
        return;
    }
    let mut left = AGAIN_MAX;
    for name in books.calls.jobs() {
        ctx.examine(1);
        if left > 0 && ask_if_silent(known(records, name), from) {
            books.dirty.insert(name);
            left -= 1;
        }
    }
}

/// Sends one job's tasks as far as there is credit; true when none is left.
pub(super) fn place_job(
    cx: &mut OwnerCtx<'_, '_>,
    book: &mut CreditBook,
    record: &mut Record,
    local: &mut LocalCapacity<'_>,
) -> bool {
    let mut frames: Vec<(Spot, Vec<Grant>)> = Vec::new();
    let fits_here = local.takes(&record.job.spec);
    while !record.job.queue.is_empty() {
        let (class, service_us) = (record.job.spec.class, record.job.service_us());
        let here_us = if fits_here { local.wait_us(class, service_us) } else { None };
        let Some(spot) = spot(cx, book, record, here_us) else { break };
        let index = record.job.queue.pop_front().expect("the queue is not empty");
        let at = match spot {
            Spot::Here => {
                local.take();
                cx.ctx.me
            }
            Spot::There(place) => {
                let (peer, credit) = book.at(place);
                credit.sent += 1;
                *peer
            }
        };
        let grant = issue(cx, record, index, at);
        match frames.iter_mut().find(|(of, _)| *of == spot) {
            Some((_, grants)) => grants.push(grant),
            None => frames.push((spot, alloc::vec![grant])),
        }
        record.dispatch.prefilled_at = cx.ctx.now;
    }
    frames.sort_unstable_by_key(|(spot, _)| *spot);
    for (spot, grants) in frames {
        send(cx, book, record, Prefill { spot, grants });
    }
    let over = record.job.queue.is_empty();
    if over {
        book.remove(&record.job);
        if record.dispatch.call.is_some() {
            cx.touch(record.name());
        }
        speculation::plan(cx, record);
    }
    over
}

/// Where the first task of the queue is thought to begin first; here, when that makes no difference.
fn spot(cx: &mut OwnerCtx<'_, '_>, book: &CreditBook, record: &Record, here_us: Option<u64>) -> Option<Spot> {
    let OwnerCtx { ctx, members, books } = cx;
    let Record { job, dispatch, .. } = record;
    let task = job.live_task(*job.queue.front()?);
    let (now, me) = (ctx.now, ctx.me);
    let avoided = task.avoids(me) && (task.is_patient(now) || book.count() > 0);
    let trust = |peer: PeerId| may_give(books, dispatch, peer, now);
    let here_us = here_us.filter(|_| !avoided && trust(me).is_some());
    if here_us == Some(0) {
        return Some(Spot::Here);
    }
    let there = book.best(ctx, Wanted { job, task, members }, trust);
    match (here_us, there) {
        (Some(here), Some((_, there))) if here <= there => Some(Spot::Here),
        (_, Some((place, _))) => Some(Spot::There(place)),
        (Some(_), None) => Some(Spot::Here),
        (None, None) => None,
    }
}

/// Sends grants in frames of bounded length, and with the first what can be acknowledged.
fn send(cx: &mut OwnerCtx<'_, '_>, book: &mut CreditBook, record: &Record, prefill: Prefill) {
    let Prefill { spot, mut grants } = prefill;
    let ctx = &mut *cx.ctx;
    let (worker, bid, mut placed) = match spot {
        Spot::Here => (ctx.me, BidId(0), 0),
        Spot::There(place) => {
            let (peer, credit) = book.at(place);
            (*peer, credit.bid, credit.sent - grants.len() as u64)
        }
    };
    let mut acks = book.take_acks(worker);
    let name = record.dispatch.call.as_ref().map_or(CallId(record.name().0), |open| open.call);
    while !grants.is_empty() {
        let part = cut_frame(&mut grants);
        placed += part.len() as u64;
        let (call, acks) = (record.call_message(ctx, name, worker), core::mem::take(&mut acks));
        let assign = Assign { call, bid, placed, acks, grants: part };
        ctx.send(worker, Message::Assign(Box::new(assign)));
    }
}
