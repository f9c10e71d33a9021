//! Routes what workers and matchmakers say to the features. The rest of `owner/mod.rs`, in a file of its own for its
//! length.

use alloc::vec::Vec;

use super::Owner;
use super::books::{Books, OwnerCtx, cancel_at};
use super::completion::{self, Printed};
use super::dispatch::{bidding, credit, matchmaking};
use super::fetching::{self, FetchEnd, Settled};
use super::intake;
use super::lease_upkeep::{self, Renewal};
use super::record::known;
use super::retry::{self, Cause, Return};
use crate::ctx::Ctx;
use crate::custody::trio::FIRST_EPOCH;
use crate::id::{BlobId, CallId, LeaseId, PeerId};
use crate::input::Fetched;
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Bid, Credit, Decline, Delivery, LeaseRange, Message};
use crate::referral::Match;
use crate::time::Time;

impl Owner {
    // ---- what workers say of leases

    pub(crate) fn on_renew(&mut self, ctx: &mut Ctx<'_>, from: PeerId, ranges: &[LeaseRange]) {
        let Self { records, books, .. } = self;
        let mut stale = lease_upkeep::on_renew(ctx, books, records, Renewal { from, ranges });
        stale.retain(|lease| !self.may_be_led_elsewhere(ctx.now, *lease));
        // Committed, cancelled or forgotten meanwhile; the message that said so was lost.
        cancel_at(ctx, from, &stale);
    }

    /// Awards that a worker did not accept: their tasks wait again.
    pub(crate) fn on_refuse(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        leases: &[LeaseId],
    ) {
        let leases = ctx.within_frame(leases);
        self.on_returned(ctx, members, Returned { from, leases, cause: Cause::Refused });
    }

    /// Tasks that a worker stopped where they ran, for others of a higher class: they wait again.
    pub(crate) fn on_stopped(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        leases: &[LeaseId],
    ) {
        let leases = ctx.within_frame(leases);
        self.on_returned(ctx, members, Returned { from, leases, cause: Cause::Stopped });
    }

    /// Tasks that a worker gives back because it takes no work any more: they wait again.
    pub(crate) fn on_given_back(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        leases: &[LeaseId],
    ) {
        let leases = ctx.within_frame(leases);
        self.on_returned(ctx, members, Returned { from, leases, cause: Cause::Drains });
    }

    fn on_returned(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, returned: Returned<'_>) {
        let Returned { from, leases, cause } = returned;
        let Self { records, books, credit, matchmakers, .. } = self;
        // Many leases of a job in one message are one refusal.
        let mut blamed = None;
        for lease in leases {
            let record = records.get_mut(&lease.job);
            let returned = record.and_then(|record| Some((record.take_attempt(*lease, from)?, record)));
            if let Some((attempt, record)) = returned {
                credit.forget(from);
                matchmakers.on_mismatched(ctx, from);
                let how = Return { cause, counted: blamed == Some(lease.job) };
                blamed = if how.is_blamed(*lease) { Some(lease.job) } else { blamed };
                retry::on_returned(&mut OwnerCtx { ctx, members, books }, record, attempt, how);
            }
        }
    }

    pub(crate) fn on_outcomes(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        all: Vec<Delivery>,
    ) {
        ctx.counters.dropped += all.len().saturating_sub(BATCH_MAX) as u64;
        ctx.examine(all.len().min(BATCH_MAX));
        let Self { records, books, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        let mut others = Vec::new();
        for delivery in all.into_iter().take(BATCH_MAX) {
            match records.get_mut(&delivery.lease.job) {
                Some(record) => completion::on_outcome(&mut cx, record, from, delivery),
                None => others.push(delivery),
            }
        }
        ctx.counters.late += others.len() as u64;
        for delivery in others {
            let lease = delivery.lease;
            if !self.may_be_led_elsewhere(ctx.now, lease) {
                OwnerCtx { ctx, members, books: &mut self.books }.ack(from, lease);
            } else if from == ctx.me {
                self.books.untaken.push(delivery);
            }
            // Any other worker keeps it for the node that leads the job.
        }
    }

    /// Outcomes of this node's own worker that are another node's to take: unlike others it may not keep them otherwise.
    pub(crate) fn take_untaken(&mut self) -> Vec<Delivery> {
        core::mem::take(&mut self.books.untaken)
    }

    /// Whether what a worker has of an attempt may be of use to another node that leads its job.
    fn may_be_led_elsewhere(&mut self, now: Time, lease: LeaseId) -> bool {
        if lease.epoch < FIRST_EPOCH {
            // No job at level mesh has such a one.
            return false;
        }
        let Self { records, books: Books { keeping, followed, unknown, .. }, history, .. } = self;
        let job = lease.job;
        let is_led = || records.contains_key(&job) || keeping.lines.contains(job);
        let is_over = || history.tasks_of(job).is_some() || keeping.has_forgotten(job);
        let is_known = || is_led() || is_over();
        followed.contains(&job) || (!is_known() && unknown.may_be_led_elsewhere(now, job))
    }

    pub(crate) fn on_printed(&mut self, ctx: &mut Ctx<'_>, from: PeerId, printed: Printed) {
        let record = self.records.get_mut(&printed.lease.job);
        if !record.is_some_and(|record| completion::on_printed(ctx, record, from, printed)) {
            ctx.counters.dropped += 1;
        }
    }

    pub(crate) fn on_fetched(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        blob: BlobId,
        fetched: Fetched,
    ) {
        let Self { records, books, .. } = self;
        if fetched == Fetched::NoRoom {
            return fetching::on_no_room(ctx, books, records, blob);
        }
        fetching::on_room_known(ctx, books, blob, fetched == Fetched::Here);
        let leases: Vec<LeaseId> = books.fetches.take(blob).collect();
        let end = FetchEnd { blob, fetched, one_worker: fetching::are_of_one_worker(records, &leases) };
        let mut cx = OwnerCtx { ctx, members, books };
        for lease in leases {
            let Some(record) = records.get_mut(&lease.job) else { continue };
            match fetching::on_fetched(&mut cx, record, lease, end) {
                Settled::Recalled(brought) => intake::commit_recalled(&mut cx, record, lease.index, brought),
                Settled::NotRecalled => intake::on_not_recalled(&mut cx, record, lease.index),
                Settled::Arrived(arrival) => completion::settle(&mut cx, record, arrival),
                Settled::NotYet => {}
            }
        }
    }

    // ---- what workers and matchmakers say of calls

    pub(crate) fn on_bid(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, from: PeerId, bid: &Bid) {
        ctx.counters.bids_received += 1;
        let Self { records, books, .. } = self;
        match books.calls.job_of(bid.call) {
            Some(name) => {
                bidding::on_bid(&mut OwnerCtx { ctx, members, books }, known(records, name), from, bid);
            }
            // Not a release: the worker missed the withdrawal and would bid again at once.
            None => ctx.send(from, Message::Withdraw(bid.call)),
        }
    }

    pub(crate) fn on_decline(&mut self, ctx: &mut Ctx<'_>, from: PeerId, decline: Decline) {
        if !bidding::is_short_reason(&decline.reason) {
            ctx.counters.dropped += 1;
        } else if let Some(name) = self.books.calls.job_of(decline.call) {
            bidding::on_decline(ctx, known(&mut self.records, name), from, decline);
        }
    }

    /// A worker says what it takes of short tasks.
    pub(crate) fn on_grant(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        granted: Credit,
    ) {
        let Self { books, credit, .. } = self;
        credit::on_grant(&mut OwnerCtx { ctx, members, books }, credit, from, granted);
    }

    /// A worker bids by itself.
    pub(crate) fn on_unasked(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, from: PeerId) {
        let Self { records, books, credit, .. } = self;
        credit::on_unasked(&mut OwnerCtx { ctx, members, books }, credit, records, from);
    }

    pub(crate) fn on_matched(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        matched: &Match,
    ) {
        let Self { records, books, matchmakers, .. } = self;
        if let Some(name) = books.calls.job_of(matched.call) {
            let mut cx = OwnerCtx { ctx, members, books };
            matchmaking::on_matched(&mut cx, matchmakers, known(records, name), from, matched);
        } else {
            ctx.send(matched.worker, Message::Release(matched.bid));
            ctx.send(from, Message::Withdraw(matched.call));
        }
    }

    pub(crate) fn on_waits(&mut self, ctx: &mut Ctx<'_>, from: PeerId, call: CallId, request: u32) {
        match self.books.calls.job_of(call) {
            Some(name) => matchmaking::on_waits(known(&mut self.records, name), from, request),
            None => ctx.send(from, Message::Withdraw(call)),
        }
    }
}

/// Leases that a worker returns without an outcome.
struct Returned<'a> {
    from: PeerId,
    leases: &'a [LeaseId],
    cause: Cause,
}
