//! The messages of a call, whatever the strategy: it is sent to peers and withdrawn from them; and what the responses to it
//! say about the job's deadline.

use alloc::vec::Vec;

use super::open_call::OpenCall;
use super::strategy::Dispatch;
use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::message::{Message, Reason};
use crate::owner::job::Job;
use crate::owner::record::Record;
use crate::snapshot::Response;

/// Sends the open call of a job to a peer.
pub(super) fn ask(ctx: &mut Ctx<'_>, record: &mut Record, peer: PeerId) {
    let call = record.dispatch.open_call().call;
    let message = Message::Call(record.call_message(ctx, call, peer));
    ctx.counters.calls += 1;
    ctx.send(peer, message);
    record.dispatch.open_call().asked.push(peer);
    record.dispatch.responses.ask(peer, ctx.now);
}

/// Tells all that have to do with a call that nothing is left of it.
pub(in crate::owner) fn withdraw(ctx: &mut Ctx<'_>, open: OpenCall) {
    let mut told: Vec<PeerId> = open.asked;
    told.extend(open.bids.iter().filter(|bid| !bid.matched).map(|bid| bid.worker));
    told.extend(open.requests.open_at());
    for bid in open.bids.iter().filter(|bid| bid.matched && bid.left > 0) {
        ctx.send(bid.worker, Message::Release(bid.bid));
    }
    told.sort_unstable();
    told.dedup();
    for peer in told {
        ctx.send(peer, Message::Withdraw(open.call));
    }
}

/// The call is to be repeated: notes what the responses to the last one say about the job's deadline. It can't be made when
/// all that were asked declined, at least one because it would be too late there, and none for want of a slot alone; what
/// waits had better be done without it.
pub(super) fn learn_deadline(job: &mut Job, dispatch: &Dispatch, open: &OpenCall) {
    let declined = |peer: &PeerId| match dispatch.responses.get(*peer) {
        Some(Response::Declined(reason)) => Some(reason),
        Some(Response::Nothing | Response::Bid(_) | Response::NotAsked(_) | Response::Unreachable) | None => {
            None
        }
    };
    // A node without slots is never busy.
    let busy = |reason: Option<&Reason>| matches!(reason, None | Some(Reason::Busy { slots: 1.., .. }));
    let late = |peer: &PeerId| matches!(declined(peer), Some(Reason::Late { .. }));
    job.deadline_infeasible |= open.bids.is_empty()
        && open.asked.iter().any(late)
        && !open.asked.iter().any(|peer| busy(declined(peer)));
}
