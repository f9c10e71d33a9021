//! Outcomes whose bytes are on their way: their blobs are fetched, and what each fetch came to is settled. What the
//! outcome then means is decided in `completion`.
//!
//! Where this node has no room for an outcome's bytes, it stays unacknowledged, so that its worker keeps it; its lease is
//! suspended, no worker is blamed, and nothing is computed again. The fetches are tried again until there is room.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use super::books::{Books, OwnerCtx};
use super::job::Job;
use super::record::{Record, Records};
use super::retry::again;
use super::task::{Arrival, Attempt, Brought, Fetching, RECALLED};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BlobId, LeaseId, PeerId};
use crate::input::Fetched;
use crate::task::{Outcome, Report};

/// Longest time for which a worker may fetch, compile and queue a task; with twice the task's own wall limit, the
/// bound of what renewals can prolong. In microseconds.
const HOLD_MAX_US: u64 = 600_000_000;
/// Fetches that found no room are tried again this often, in milliseconds.
const RETRY_MS: u64 = 5000;
/// Fetches that are tried at once then; each that succeeds has as many more tried at once.
const PROBES: usize = 2;

/// Keeps what an attempt brought until all blobs of it are here; its lease has no end meanwhile.
pub(super) fn fetch_blobs(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, lease: LeaseId, brought: Brought) {
    let OwnerCtx { ctx, books, .. } = cx;
    let task = record.job.live_task_mut(lease.index);
    let attempt = task.attempt_mut(lease).expect("the caller found the attempt");
    books.leases.suspend(&mut attempt.lease);
    let worker = attempt.worker();
    let (blobs, carried) = (brought.report.blobs_with_lengths(), brought.report.carried_len());
    let missing = u8::try_from(blobs.len()).expect("a report names three blobs at most");
    attempt.fetching = Some(Box::new(Fetching { missing, brought }));
    for (blob, bytes) in blobs {
        if books.fetches.insert(blob, lease, carried) {
            ctx.emit(Effect::Fetch { blob, from: alloc::vec![worker], bytes: Some(bytes) });
        }
    }
}

/// A fetch ended for one of the attempts that wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchEnd {
    pub(super) blob: BlobId,
    pub(super) fetched: Fetched,
    /// All attempts that wait for it are of one worker, which alone can have sent it.
    pub(super) one_worker: bool,
}

/// A blob that an attempt waits for is here, or can't be fetched.
pub(super) fn on_fetched(
    cx: &mut OwnerCtx<'_, '_>,
    record: &mut Record,
    lease: LeaseId,
    end: FetchEnd,
) -> Settled {
    // Cancelled, or ended otherwise meanwhile; or it was taken by another fetch of the same outcome.
    let task = record.job.task_mut(lease.index);
    let Some(attempt) = task.and_then(|task| task.attempt_mut(lease)) else { return Settled::NotYet };
    let Some(fetching) = attempt.fetching.take() else { return Settled::NotYet };
    if !fetching.brought.report.blobs().any(|blob| blob == end.blob) {
        // An earlier outcome of the attempt named it, whose other blobs could not be had.
        attempt.fetching = Some(fetching);
        return Settled::NotYet;
    }
    let Fetching { missing, brought } = *fetching;
    let (from, starved) = (attempt.worker(), core::mem::replace(&mut attempt.starved, false));
    let wrong = end.fetched == Fetched::Wrong && end.one_worker;
    if end.fetched == Fetched::Here {
        if missing > 1 {
            attempt.starved = starved;
            attempt.fetching = Some(Box::new(Fetching { missing: missing - 1, brought }));
            return Settled::NotYet;
        }
        if lease.attempt == RECALLED {
            return Settled::Recalled(brought);
        }
        if starved && brought.report.blobs().count() > 1 {
            // The others came long ago perhaps, and the disk was full since: what is still here is answered at once.
            fetch_blobs(cx, record, lease, brought);
            return Settled::NotYet;
        }
        return Settled::Arrived(Arrival { lease, from, brought });
    }
    if lease.attempt == RECALLED {
        return Settled::NotRecalled;
    }
    if starved {
        return_starved(cx, record, lease, from);
    } else if wrong && !attempt.overdue {
        let text = format!("the worker sent something else than blob {}", end.blob);
        let brought = Report::bare(Outcome::Lost(text)).into();
        return Settled::Arrived(Arrival { lease, from, brought });
    } else {
        // The worker keeps the outcome until it is acknowledged and sends it again; the lease runs on so that
        // a worker that died with the bytes is noticed.
        run_on(cx, record, lease, cx.ctx.mesh.lease_ms);
    }
    Settled::NotYet
}

/// What is to be done about an attempt of which a fetch ended.
#[derive(Debug)]
pub(super) enum Settled {
    /// Nothing: it ended before, waits for other blobs, or is to come again.
    NotYet,
    /// Its outcome is whole.
    Arrived(Arrival),
    /// What a known result names is here.
    Recalled(Brought),
    /// What a known result names can't be fetched.
    NotRecalled,
}

/// Whether what these attempts wait for can only have been sent by the one worker that made them.
pub(super) fn are_of_one_worker(records: &Records, leases: &[LeaseId]) -> bool {
    let mut workers = leases.iter().map(|lease| attempt_of(records, *lease).map(Attempt::worker));
    let first = workers.next();
    workers.all(|worker| Some(worker) == first)
}

/// The attempt of a lease that waits for a blob, unless it has ended meanwhile.
fn attempt_of(records: &Records, lease: LeaseId) -> Option<&Attempt> {
    records.get(&lease.job)?.job.task(lease.index)?.attempt(lease)
}

/// Longest time for which a worker's word prolongs an attempt, in microseconds.
pub(super) fn hold_max_us(job: &Job) -> u64 {
    HOLD_MAX_US + 2000 * u64::from(job.spec.program.limits.wall_ms)
}

/// An attempt's outcome is to come again: its lease runs so much longer, or ends now if the worker has had the task
/// for as long as it may. One whose time is over stays so.
pub(super) fn run_on(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, lease: LeaseId, ms: u64) {
    let now = cx.ctx.now;
    let hold_max_us = hold_max_us(&record.job);
    let task = record.job.live_task_mut(lease.index);
    let attempt = task.attempt_mut(lease).expect("the caller found the attempt");
    if !attempt.overdue {
        let may_go_on = attempt.held_us(now) <= hold_max_us;
        let ends_at = if may_go_on { now.plus_ms(ms) } else { now };
        cx.books.leases.extend(&mut attempt.lease, ends_at);
    }
}

// ---- no room

/// A blob found no room here: the leases that want it wait.
pub(super) fn on_no_room(ctx: &Ctx<'_>, books: &mut Books, records: &mut Records, blob: BlobId) {
    let mut wanted = false;
    for lease in books.fetches.of(blob) {
        wanted = true;
        let task = records.get_mut(&lease.job).and_then(|record| record.job.task_mut(lease.index));
        if let Some(attempt) = task.and_then(|task| task.attempt_mut(lease)) {
            attempt.starved = true;
        }
    }
    if wanted {
        let shortage = &mut books.fetches.shortage;
        shortage.blobs.insert(blob, false);
        shortage.retry_at.get_or_insert(ctx.now.plus_ms(RETRY_MS));
    }
}

/// A fetch ended otherwise than for want of room. Where it found some, what waits may have some, too.
pub(super) fn on_room_known(ctx: &Ctx<'_>, books: &mut Books, blob: BlobId, is_here: bool) {
    let shortage = &mut books.fetches.shortage;
    shortage.blobs.remove(&blob);
    if is_here && !shortage.blobs.is_empty() {
        shortage.retry_at = Some(ctx.now);
    }
}

/// Tries some of the fetches that found no room again, when it is time.
pub(super) fn try_again(ctx: &mut Ctx<'_>, books: &mut Books, records: &Records) {
    if books.fetches.shortage.retry_at.is_none_or(|at| at > ctx.now) {
        return;
    }
    let mut tried = 0;
    while tried < PROBES
        && let Some(blob) = books.fetches.shortage.next()
    {
        let wanted = wanted(books, records, blob);
        if let Some((_, bytes)) = wanted.first().copied() {
            books.fetches.shortage.blobs.insert(blob, true);
            let from = wanted.into_iter().map(|(worker, _)| worker).collect();
            ctx.emit(Effect::Fetch { blob, from, bytes: Some(bytes) });
            tried += 1;
        } else {
            // Cancelled, or expired meanwhile.
            drop(books.fetches.take(blob));
            books.fetches.shortage.blobs.remove(&blob);
        }
    }
    let shortage = &mut books.fetches.shortage;
    shortage.retry_at = (!shortage.blobs.is_empty()).then(|| ctx.now.plus_ms(RETRY_MS));
}

/// The workers that have a blob that is still wanted, each with its length.
fn wanted(books: &Books, records: &Records, blob: BlobId) -> Vec<(PeerId, u64)> {
    let attempts = books.fetches.of(blob).filter_map(|lease| attempt_of(records, lease));
    let lengths = attempts.filter_map(|attempt| {
        let fetching = attempt.fetching.as_deref()?;
        let bytes = fetching.brought.report.blobs_with_lengths().get(&blob).copied()?;
        Some((attempt.worker(), bytes))
    });
    lengths.collect()
}

/// An outcome that waited for room can't be fetched any more: the worker was not asked to keep it for so long. Its task
/// waits again, and no worker is to blame. The worker is told to let go of an outcome that is of no use any more.
fn return_starved(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, lease: LeaseId, worker: PeerId) {
    cx.ack(worker, lease);
    let attempt = record.take_attempt(lease, worker).expect("the caller found the attempt");
    cx.books.leases.end(attempt.lease);
    if attempt.copy {
        record.replicas.on_copy_refused(&mut record.job, lease.index);
    }
    again(cx, record, lease.index);
}

/// Attempts whose outcomes wait for room.
pub(super) fn starved(books: &Books) -> u32 {
    let wanted = books.fetches.shortage.blobs.keys().flat_map(|blob| books.fetches.of(*blob));
    let leases: BTreeSet<LeaseId> = wanted.collect();
    u32::try_from(leases.len()).unwrap_or(u32::MAX)
}
