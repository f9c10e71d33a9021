//! The holder: it accepts granted tasks, delivers or returns them, and settles each one that ends. It promises nothing;
//! [`super::bidder`] does. The worker creates one for each input.

use alloc::vec::Vec;

use super::absences::Gone;
use super::completion::{self, Ended, Taken};
use super::identity::{Refusal, Returned};
use super::ledger::Ledger;
use super::outbox::{Outbox, Sealed};
use super::requests::Requests;
use super::runs::RunQueue;
use super::runs::run::{Accepted, Run};
use super::runtimes::Runtimes;
use super::staging::Staging;
use crate::ctx::Ctx;
use crate::effect::{Effect, Event};
use crate::id::{BlobId, LeaseId, PeerId, RunId};
use crate::input::Fetched;
use crate::message::{Assign, Award, BATCH_MAX, Grant, Message};
use crate::retained::RetainedKey;
use crate::task::{Outcome, Report};
use crate::time::Time;

/// Whether this node's disk has room for the blobs that tasks need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskSpace {
    Enough,
    Full,
}

/// The parts of a worker that a held task touches.
#[derive(Debug)]
pub(super) struct Holder<'a> {
    /// What this node's store keeps at most, in bytes.
    pub(super) store_bytes: u64,
    pub(super) runs: &'a mut RunQueue,
    pub(super) staging: &'a mut Staging,
    pub(super) outbox: &'a mut Outbox,
    /// Only credit is returned to it.
    pub(super) ledger: &'a mut Ledger,
    /// Only the owners' fair shares are charged.
    pub(super) requests: &'a mut Requests,
    pub(super) stats: &'a mut Runtimes,
}

impl Holder<'_> {
    // ---- tasks that come

    pub(super) fn hold_all(&mut self, ctx: &mut Ctx<'_>, accepted: &Accepted, grants: Vec<Grant>) {
        for grant in grants {
            self.hold(ctx, accepted, grant);
        }
    }

    /// Accepts a granted task, or answers it if its result is known.
    fn hold(&mut self, ctx: &mut Ctx<'_>, accepted: &Accepted, grant: Grant) {
        let (owner, lease) = (accepted.owner, grant.lease);
        if self.has(owner, lease) {
            self.return_credit(ctx.now, owner, accepted.prefilled);
            return;
        }
        match completion::take(ctx, self.stats, accepted, grant) {
            Taken::Answered(sealed) => {
                self.outbox.put(ctx, owner, lease, sealed);
                self.return_credit(ctx.now, owner, accepted.prefilled);
            }
            Taken::Run(run) => {
                self.requests.shares.charge(owner, run.slot_us());
                if let Some(no_room) = self.beyond_store(&run) {
                    return self.deliver(ctx, &run, Report::bare(no_room).into());
                }
                let id = self.runs.insert(run);
                self.staging.gather(ctx, self.runs, id);
            }
        }
    }

    /// How a task ends that needs more than the whole store keeps. Nothing was fetched, and there is room for others.
    fn beyond_store(&self, run: &Run) -> Option<Outcome> {
        // What is known needs no input.
        let needed = run.known.is_none().then(|| run.needs());
        let bytes = needed?.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        let most = self.store_bytes;
        (bytes > most).then(|| {
            let text =
                alloc::format!("the task needs {bytes} bytes of blobs, the worker's store keeps {most}");
            Outcome::NoRoom(text)
        })
    }

    // ---- tasks that end

    /// The slots have answered.
    pub(super) fn on_ran(&mut self, ctx: &mut Ctx<'_>, id: RunId, report: Report) -> DiskSpace {
        match completion::leave_slots(self.runs, ctx.now, id, &report.outcome) {
            Ended::Done => return self.complete(ctx, id, report),
            Ended::Dropped(run) => self.settle(ctx, &run),
            Ended::Requeued | Ended::Unknown => {}
        }
        DiskSpace::Enough
    }

    /// A blob is here, or can't be fetched.
    pub(super) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, fetched: Fetched) -> DiskSpace {
        let mut arrival = self.staging.on_fetched(ctx, self.runs, blob, fetched);
        for (run, sealed) in arrival.finished.drain(..) {
            self.deliver(ctx, &run, sealed);
        }
        self.staging.ask_again(ctx, self.runs, &arrival);
        if arrival.disk_full { DiskSpace::Full } else { DiskSpace::Enough }
    }

    /// Cancels tasks for their owner.
    pub(super) fn cancel(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        let mut ended = false;
        for lease in ctx.within_frame(leases) {
            self.outbox.forget(ctx, owner, *lease);
            let run = self.runs.cancel(ctx, owner, *lease);
            ended |= run.is_some();
            run.iter().for_each(|run| self.settle(ctx, run));
        }
        if ended {
            self.staging.forget_ended(self.runs);
        }
    }

    /// A task ran to its end: measures it, and delivers its outcome. A disk without room for its output is no fault of
    /// the task, and no lost attempt.
    fn complete(&mut self, ctx: &mut Ctx<'_>, id: RunId, mut report: Report) -> DiskSpace {
        ctx.counters.executed += 1;
        let wall_us = report.usage.wall_us;
        let mut run = self.runs.remove(ctx.now, id);
        run.ran_us = Some(wall_us);
        if completion::has_no_room(&report) {
            report.outcome.cut();
            self.deliver(ctx, &run, Report::bare(report.outcome).into());
            return DiskSpace::Full;
        }
        if completion::is_lost(&report) {
            self.staging.forget(&run);
        } else {
            ctx.programs.measure(run.key, wall_us);
            match run.prefilled {
                Some(_) => self.ledger.credits.measure(run.owner, wall_us),
                None => self.stats.measure(run.owner, run.lease.job, wall_us),
            }
        }
        let sealed = completion::seal(ctx, &run, report);
        self.deliver(ctx, &run, sealed);
        DiskSpace::Enough
    }

    /// Settles a task, and delivers its outcome.
    fn deliver(&mut self, ctx: &mut Ctx<'_>, run: &Run, sealed: Sealed) {
        self.settle(ctx, run);
        if run.owner == ctx.me && sealed.is_plain() {
            self.outbox.put_own(run.lease, sealed);
        } else {
            self.outbox.put(ctx, run.owner, run.lease, sealed);
        }
    }

    /// A task ended: charges its owner for the slot time that it really took, and unpins its blobs.
    fn settle(&mut self, ctx: &mut Ctx<'_>, run: &Run) {
        self.return_credit(ctx.now, run.owner, run.prefilled);
        // Slot time in which it kept others waiting counts, not only what it used.
        self.requests.shares.settle(run.owner, run.slot_us(), run.took_us(ctx.now));
        ctx.emit(Effect::Unpin(run.program.module));
        ctx.unpin(&run.program.files);
        ctx.unpin(&run.input);
    }

    /// Returns a task's place in its owner's credit, if it was sent on credit.
    fn return_credit(&mut self, now: Time, owner: PeerId, prefilled: Option<u32>) {
        if prefilled.is_some() && self.ledger.on_prefilled_left(owner, now) {
            self.requests.on_credit_ended(owner);
        }
    }

    // ---- tasks that are returned

    /// Returns the grants of an award. Those of a repeated award are held, or have ended here, and are left out.
    pub(super) fn refuse(&self, ctx: &mut Ctx<'_>, owner: PeerId, award: &Award, why: Returned) {
        let leases = ctx.within_frame(&award.grants).iter().map(|grant| grant.lease);
        let leases: Vec<LeaseId> = leases.filter(|lease| !self.has(owner, *lease)).collect();
        give_back(ctx, owner, &leases, why);
    }

    /// Gives held tasks back to their owners, because this node takes no work any more. What runs is stopped.
    pub(super) fn give_back(&mut self, ctx: &mut Ctx<'_>, tasks: Vec<(PeerId, LeaseId)>) {
        if tasks.is_empty() {
            return;
        }
        for (owner, lease) in &tasks {
            let run = self.runs.cancel(ctx, *owner, *lease);
            run.iter().for_each(|run| self.settle(ctx, run));
        }
        self.staging.forget_ended(self.runs);
        for part in tasks.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((owner, _)) = part.first() else { continue };
            let leases: Vec<LeaseId> = part.iter().map(|(_, lease)| *lease).collect();
            give_back(ctx, *owner, &leases, Returned::Drains);
        }
    }

    /// Retracts tasks that were accepted on a wrong estimate.
    pub(super) fn retract(&mut self, ctx: &mut Ctx<'_>) {
        let retracted = self.runs.retract(ctx, self.stats);
        retracted.ended.iter().for_each(|run| self.settle(ctx, run));
        for (owner, leases) in retracted.leases {
            give_back(ctx, owner, &leases, Returned::Refused);
        }
    }

    /// Stops the tasks of an owner that counts as gone: those in memory, if its process ended, and all if it was silent for long.
    /// Notifies the user, and the owner in case it lives.
    pub(super) fn abandon(&mut self, ctx: &mut Ctx<'_>, gone: &Gone) {
        let Gone { owner, closed, unheard_ms, .. } = *gone;
        let mut leases = self.runs.leases_of(owner);
        // Leases of kept jobs have epochs above 0.
        leases.retain(|lease| !closed || lease.epoch == 0);
        if leases.is_empty() {
            return;
        }
        for part in leases.chunks(BATCH_MAX) {
            self.cancel(ctx, owner, part);
        }
        give_back(ctx, owner, &leases, Returned::Refused);
        let tasks = u32::try_from(leases.len()).unwrap_or(u32::MAX);
        ctx.counters.abandoned += u64::from(tasks);
        ctx.notify(Event::OwnerGone { owner, tasks, closed, unheard_ms });
    }

    /// A held task, or the outcome of one, is another node's from now on, which leads its job.
    pub(super) fn hand_over(&mut self, ctx: &mut Ctx<'_>, of: RetainedKey, to: PeerId) {
        let RetainedKey { owner, lease } = of;
        if self.has(to, lease) {
            return self.cancel(ctx, owner, &[lease]);
        }
        if let Some(run) = self.runs.hand_over(owner, lease, to) {
            let (slot_us, prefilled) = (run.slot_us(), run.prefilled.take());
            self.return_credit(ctx.now, owner, prefilled);
            self.requests.shares.settle(owner, slot_us, 0);
            self.requests.shares.charge(to, slot_us);
        }
        self.outbox.hand_over(ctx, of, to);
    }

    /// Drops grants beyond a frame's bound, and repeated ones, which are held or have ended here.
    pub(super) fn keep_new(&self, ctx: &mut Ctx<'_>, owner: PeerId, grants: &mut Vec<Grant>) {
        ctx.counters.dropped += grants.len().saturating_sub(BATCH_MAX) as u64;
        grants.truncate(BATCH_MAX);
        ctx.examine(grants.len());
        grants.retain(|grant| !self.has(owner, grant.lease));
    }

    /// Whether a lease is held, or has ended here.
    fn has(&self, owner: PeerId, lease: LeaseId) -> bool {
        self.runs.contains(owner, lease) || self.outbox.contains(owner, lease)
    }
}

/// Returns leases to their owner.
fn give_back(ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId], why: Returned) {
    for part in leases.chunks(BATCH_MAX) {
        let leases = part.to_vec();
        match why {
            Returned::Refused => ctx.send(owner, Message::Refuse { leases }),
            Returned::Drains => {
                ctx.counters.given_back += leases.len() as u64;
                ctx.send(owner, Message::GivenBack { leases });
            }
        }
    }
}

/// Returns tasks sent without a call, and declines the call if there is a reason.
pub(super) fn refuse_prefilled(ctx: &mut Ctx<'_>, owner: PeerId, assign: &Assign, refusal: Option<Refusal>) {
    let leases: Vec<LeaseId> = assign.grants.iter().map(|grant| grant.lease).collect();
    let why = refusal.as_ref().map_or(Returned::Refused, Refusal::returns);
    give_back(ctx, owner, &leases, why);
    refusal.into_iter().for_each(|refusal| refusal.tell(ctx, owner, assign.call.call));
}
