//! How far a worker is trusted with a job's tasks, by what it did to this owner's jobs and to this one.

use super::strategy::Dispatch;
use crate::id::PeerId;
use crate::owner::books::Books;
use crate::standing::Trust;
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
pub(super) fn may_give(books: &Books, dispatch: &Dispatch, worker: PeerId, now: Time) -> Option<Trust> {
    if trusts_all(books, dispatch) {
        return Some(Trust::Full);
    }
    let trust = trust(books, dispatch, worker, now);
    let may = match trust {
        Trust::Full | Trust::Last => true,
        Trust::Probe => books.leases.of(worker).next().is_none(),
        Trust::Shut => false,
    };
    may.then_some(trust)
}

/// For how long a worker is given none of a job's tasks, in milliseconds.
pub(super) fn shut_ms(books: &Books, dispatch: &Dispatch, worker: PeerId, now: Time) -> u64 {
    books.reputation.shut_ms(worker, now).max(dispatch.reputation.shut_ms(worker, now))
}
