//! Outcomes whose bytes are on their way: their blobs are fetched, and what each fetch came to is settled. What the
//! outcome then means is decided in `outcome`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::job::{Brought, RECALLED};
use super::{Owner, attempt_mut, hold_max_us};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BlobId, LeaseId, PeerId};
use crate::input::Fetched;
use crate::membership::Membership;
use crate::task::{Outcome, Report};

impl Owner {
    /// Keeps what an attempt brought until all blobs of it are here.
    pub(super) fn fetch_blobs(
        &mut self,
        ctx: &mut Ctx<'_>,
        lease: LeaseId,
        worker: PeerId,
        brought: Brought,
    ) {
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let Some(attempt) = attempt_mut(job, lease, worker) else { return };
        self.expiries.remove(&(attempt.expires_at, lease));
        let (blobs, carried) = (brought.report.blobs_with_lengths(), brought.report.carried_len());
        attempt.fetching = Some(Box::new((u8::try_from(blobs.len()).unwrap_or(u8::MAX), brought)));
        for (blob, bytes) in blobs {
            if self.fetching.insert(blob, lease, carried) {
                ctx.emit(Effect::Fetch { blob, from: alloc::vec![worker], bytes: Some(bytes) });
            }
        }
    }

    pub(crate) fn on_fetched(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        blob: BlobId,
        fetched: Fetched,
    ) {
        if fetched == Fetched::NoRoom {
            self.on_no_room(ctx, blob);
            return;
        }
        let found = fetched == Fetched::Here;
        self.on_answer(ctx.now, blob, found);
        let leases: Vec<LeaseId> = self.fetching.take(blob).collect();
        let wrong = fetched == Fetched::Wrong && self.are_of_one_worker(&leases);
        for lease in leases {
            let Some(job) = self.jobs.get_mut(&lease.job) else { continue };
            let Some(task) = job.task_mut(lease.index) else { continue };
            let Some(attempt) = task.live.iter_mut().find(|attempt| attempt.number == lease.attempt) else {
                continue;
            };
            let worker = attempt.worker;
            let Some(fetching) = attempt.fetching.take() else { continue };
            let (missing, brought) = *fetching;
            let starved = core::mem::replace(&mut attempt.starved, false);
            if !found && lease.attempt == RECALLED {
                self.on_not_recalled(ctx, lease);
            } else if !found && starved {
                self.retract_starved(ctx, lease, worker);
            } else if wrong && !attempt.overdue {
                let text = alloc::format!("the worker sent something else than blob {blob}");
                self.settle(ctx, members, lease, worker, Report::bare(Outcome::Lost(text)).into());
            } else if !found {
                // The worker keeps the outcome until it is acknowledged and sends it again; the lease runs on so that
                // a worker that died with the bytes is noticed.
                self.run_on(ctx, lease, worker, ctx.mesh.lease_ms);
            } else if missing > 1 {
                attempt.fetching = Some(Box::new((missing - 1, brought)));
            } else if lease.attempt == RECALLED {
                self.commit_recalled(ctx, lease, brought);
            } else {
                self.settle(ctx, members, lease, worker, brought);
            }
        }
    }

    /// Whether what these attempts wait for can only have been sent by the one worker that made them.
    fn are_of_one_worker(&self, leases: &[LeaseId]) -> bool {
        let worker_of = |lease: &LeaseId| {
            let task = self.jobs.get(&lease.job)?.task(lease.index)?;
            let attempt = task.live.iter().find(|attempt| attempt.number == lease.attempt)?;
            Some(attempt.worker)
        };
        let mut workers = leases.iter().map(worker_of);
        let first = workers.next();
        workers.all(|worker| Some(worker) == first)
    }

    /// An attempt's outcome is to come again: its lease runs so much longer, or ends now if the worker has had the task
    /// for as long as it may.
    pub(super) fn run_on(&mut self, ctx: &Ctx<'_>, lease: LeaseId, worker: PeerId, ms: u64) {
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let hold_max_us = hold_max_us(job);
        let Some(attempt) = attempt_mut(job, lease, worker).filter(|attempt| !attempt.overdue) else {
            return;
        };
        let may_go_on = attempt.held_us(ctx.now) <= hold_max_us;
        self.expiries.remove(&(attempt.expires_at, lease));
        attempt.expires_at = if may_go_on { ctx.now.plus_ms(ms) } else { ctx.now };
        self.expiries.insert((attempt.expires_at, lease));
    }
}
