//! How a job's tasks get to workers: this node first, then by the job's strategy ([`strategy`]), in three files: `bidding`,
//! `credit`, `matchmaking`. [`place`] brings one job in line; it moves a job to the strategy that suits it now, and is the
//! only function that opens and closes calls.

mod announced;
pub(super) mod bidding;
pub(super) mod calling;
mod choice;
pub(super) mod credit;
pub(super) mod credit_book;
mod grants;
pub(super) mod locality;
pub(super) mod matchmakers;
pub(super) mod matchmaking;
pub(super) mod open_call;
pub(super) mod requests;
pub(super) mod responses;
pub(super) mod scan;
pub(super) mod strategy;
pub(super) mod trust;

use super::books::OwnerCtx;
use super::record::Record;
use crate::id::CallId;
use crate::membership::Membership;
use calling::{ask, withdraw};
use credit_book::CreditBook;
use matchmakers::Matchmakers;
use open_call::OpenCall;
use strategy::{Overflow, Strategy, choose};

/// What the strategies keep for all jobs.
pub(super) struct Markets<'a> {
    pub(super) credit: &'a mut CreditBook,
    pub(super) matchmakers: &'a mut Matchmakers,
}

/// Brings one job's queue, calls and bids in line. True when none of its tasks wants a worker.
pub(super) fn place(cx: &mut OwnerCtx<'_, '_>, markets: &mut Markets<'_>, record: &mut Record) -> bool {
    if record.job.queue.is_empty() {
        markets.credit.remove(&record.job);
    }
    if record.wanted() == 0 {
        close_call(cx, record);
        return true;
    }
    if is_barred(cx, record) {
        markets.credit.remove(&record.job);
        close_call(cx, record);
        return false;
    }
    if cx.ctx.now < record.job.starts_at || adopt(markets.credit, cx.members, record) {
        return false;
    }
    if record.dispatch.call.is_none() {
        open_call(cx, record);
        return false;
    }
    bidding::award(cx, record);
    if record.wanted() == 0 {
        close_call(cx, record);
        return true;
    }
    bidding::release_useless(cx, record);
    match record.dispatch.strategy {
        Strategy::Matchmaking => matchmaking::request(cx, markets.matchmakers, record),
        Strategy::Bidding | Strategy::Credit(_) => bidding::ask_around(cx, record),
    }
    false
}

/// Whether tasks of a kept job must wait: for the record of its epoch, for workers that may hold them, or because too much waits
/// for the disk.
fn is_barred(cx: &OwnerCtx<'_, '_>, record: &Record) -> bool {
    let keeping = &cx.books.keeping;
    let may_begin =
        keeping.takes() && keeping.is_persisted(record.job.begins_with) && !record.holders.waits();
    record.job.is_kept() && !may_begin
}

/// Moves a job to the strategy that suits it now. True if its tasks go on credit alone, without a call.
fn adopt(credit: &mut CreditBook, members: &Membership, record: &mut Record) -> bool {
    let Record { job, dispatch, replicas, .. } = record;
    match (dispatch.strategy, choose(job, members)) {
        // How far it overflows is decided when it finds no credit.
        (Strategy::Credit(_), Strategy::Credit(_)) => {}
        (Strategy::Credit(_), Strategy::Bidding) => {
            if credit.remove(job) {
                // Its tasks take longer than was thought: those that were asked for credit are asked for bids.
                dispatch.ask_anew();
            }
            dispatch.strategy = Strategy::Bidding;
        }
        (_, Strategy::Matchmaking) => {
            credit.remove(job);
            dispatch.strategy = Strategy::Matchmaking;
        }
        (_, suits) => dispatch.strategy = suits,
    }
    let Strategy::Credit(overflow) = dispatch.strategy else { return false };
    if !job.queue.is_empty() {
        credit.add(job);
    }
    overflow == Overflow::None && dispatch.call.is_none() && !replicas.any_wanted()
}

/// Opens a call. Our own worker answers within this very input; the others are asked if something is left then.
fn open_call(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let OwnerCtx { ctx, members, books } = cx;
    if !record.job.is_short() {
        record.job.last_award_at = ctx.now;
    }
    let (call, repeat_at) = (CallId(ctx.draw()), ctx.now.plus_ms(ctx.mesh.call_ms));
    books.calls.open(call, record.name());
    books.calls.remind(repeat_at);
    record.dispatch.call = Some(OpenCall::new(call, repeat_at));
    if record.wants_bids() && !record.spares(members, ctx.me) {
        ask(ctx, record, ctx.me);
    }
    cx.touch(record.name());
}

/// Ends the call of a job of which nothing is left to place, if it has one.
fn close_call(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if let Some(open) = record.dispatch.call.take() {
        cx.books.calls.close(open.call);
        withdraw(cx.ctx, open);
    }
}
