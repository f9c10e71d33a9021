//! How far a worker is trusted with a job's tasks, by what it did to this owner's jobs and to this one.

use super::strategy::Dispatch;
use crate::id::PeerId;
use crate::message::Reason;
use crate::owner::books::{Books, OwnerCtx};
use crate::owner::record::Record;
use crate::reputation::Trust;
use crate::time::Time;

/// How far a worker is trusted with a job's tasks.
pub(super) fn trust(books: &Books, dispatch: &Dispatch, worker: PeerId, now: Time) -> Trust {
    books.reputation.trust(worker, now).max(dispatch.reputation.trust(worker, now))
}

/// Whether all workers are trusted with a job's tasks.
pub(super) fn trusts_all(books: &Books, dispatch: &Dispatch) -> bool {
    books.reputation.is_empty() && dispatch.reputation.is_empty()
}

/// How far a worker is trusted with a job's task that it may be given now; `None` if it may be given none.
pub(in crate::owner) fn may_give(
    books: &Books,
    dispatch: &Dispatch,
    worker: PeerId,
    now: Time,
) -> Option<Trust> {
    if trusts_all(books, dispatch) {
        return Some(Trust::Closed);
    }
    let trust = trust(books, dispatch, worker, now);
    let may = match trust {
        Trust::Closed | Trust::Deprioritised => true,
        Trust::HalfOpen => !is_tried(books, dispatch, worker, now),
        Trust::Open => false,
    };
    may.then_some(trust)
}

/// Whether a worker is given one task of a job at a time.
pub(in crate::owner) fn is_on_probation(
    books: &Books,
    dispatch: &Dispatch,
    worker: PeerId,
    now: Time,
) -> bool {
    !trusts_all(books, dispatch) && trust(books, dispatch, worker, now) == Trust::HalfOpen
}

/// Whether a worker on probation has the one task that it may have: one of this owner's, or, if it is on probation for this
/// job alone, one of the job's.
fn is_tried(books: &Books, dispatch: &Dispatch, worker: PeerId, now: Time) -> bool {
    if books.reputation.trust(worker, now) == Trust::HalfOpen {
        books.leases.of(worker).next().is_some()
    } else {
        books.leases.of_job_at(dispatch.job, worker).next().is_some()
    }
}

/// Why a worker is given none of a job's tasks now; `None` if it may be given some.
pub(super) fn barred(books: &Books, dispatch: &Dispatch, worker: PeerId, now: Time) -> Option<Reason> {
    match (books.reputation.barred(worker, now), dispatch.reputation.barred(worker, now)) {
        (Some(Reason::Mistrusted { for_ms: one }), Some(Reason::Mistrusted { for_ms: other })) => {
            Some(Reason::Mistrusted { for_ms: one.max(other) })
        }
        (one, other) => one.or(other).or_else(|| {
            let tried = may_give(books, dispatch, worker, now).is_none();
            tried.then_some(Reason::Probation)
        }),
    }
}

/// Why a worker is given none of a job's tasks now, for want of a vote or of trust; `None` if it may be given some.
pub(super) fn bars(cx: &OwnerCtx<'_, '_>, record: &Record, worker: PeerId) -> Option<Reason> {
    if record.may_compute(cx.members, worker) {
        barred(cx.books, &record.dispatch, worker, cx.ctx.now)
    } else {
        Some(Reason::NoVote)
    }
}
