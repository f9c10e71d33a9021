//! The worker role: bids for calls, holds awarded tasks, hands them to the slots, and delivers outcomes. It trusts no
//! owner: held tasks are bounded by what was promised. The engine drives it.
//!
//! This file alone knows all parts, and routes each input to those that it concerns:
//!
//! ```text
//!   identity    what this node is and accepts        runs      held tasks, in order; what is in the slots
//!   requests    open calls, order of service         staging   blobs that tasks still lack
//!   ledger      every promise of slots               outbox    outcomes until they are acknowledged
//!   bidder      promises slots: offer, credit, advertise; market and room only read
//!   holder      accepts, completes and returns tasks
//!   epochs      who may lead a job at level mesh, and in which epoch; fence refuses what is older
//!   held        kept jobs whose owner restarted, or that another node leads: what has begun goes on
//!   shelf       unacknowledged outcomes over this node's own restart
//! ```

mod absences;
mod advertise;
mod bidder;
mod calls;
mod classes;
mod completion;
mod credit;
mod epochs;
mod fence;
mod held;
mod holder;
mod identity;
mod ledger;
mod local;
mod market;
mod offer;
mod outbox;
mod receipts;
mod requests;
mod retaining;
mod room;
mod runs;
mod runtimes;
mod shelf;
mod staging;
mod views;

use alloc::vec::Vec;

use crate::config::{MeshConfig, NodeConfig};
use crate::ctx::Ctx;
use crate::id::{BlobId, LeaseId, PeerId, RunId};
use crate::input::Fetched;
use crate::local::LocalCapacity;
use crate::membership::Membership;
use crate::message::{Assign, Award, BATCH_MAX, Call, Grant, Message, Reason};
use crate::task::Report;
use crate::time::{Soonest, Time};
use absences::Absences;
use bidder::Bidder;
pub(crate) use completion::Piece;
use epochs::{Brought, Epochs, bound_keepers};
use holder::{DiskSpace, Holder};
use identity::{Identity, Refusal, Returned};
use ledger::Ledger;
use ledger::credits::Spent;
use market::Market;
use outbox::Outbox;
use requests::{CallKey, Requests};
use runs::RunQueue;
use runs::run::Accepted;
use runtimes::Runtimes;
use staging::Staging;

/// How long a worker promises nothing after its disk was full, in milliseconds; bids that are open may still be used.
const NO_ROOM_MS: u64 = 5000;

/// The worker role.
#[derive(Debug)]
pub(crate) struct Worker {
    identity: Identity,
    requests: Requests,
    ledger: Ledger,
    runs: RunQueue,
    staging: Staging,
    outbox: Outbox,
    stats: Runtimes,
    /// Owners of held tasks that are not connected.
    absences: Absences,
    /// In which epochs jobs at level mesh are led.
    epochs: Epochs,
    /// When leases are renewed.
    renew_at: Option<Time>,
}

impl Worker {
    pub(crate) fn new(me: PeerId, node: &NodeConfig) -> Self {
        Self {
            identity: Identity::new(me, node),
            requests: Requests::default(),
            ledger: Ledger::default(),
            runs: RunQueue::new(node.slots, node.memory_bytes),
            staging: Staging::default(),
            outbox: Outbox::default(),
            stats: Runtimes::default(),
            absences: Absences::default(),
            epochs: Epochs::default(),
            renew_at: None,
        }
    }

    // ---- messages of owners

    pub(crate) fn on_award(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, award: Award) {
        let open = self.requests.get(CallKey { owner, call: award.call });
        let keepers = open.map(|open| open.call.keepers.clone()).unwrap_or_default();
        if self.is_fenced(ctx, owner, Brought { grants: &award.grants, keepers: &keepers }) {
            return self.refuse(ctx, owner, &award);
        }
        match self.bidder().accept(ctx, owner, &award) {
            Some(accepted) => self.hold_all(ctx, &accepted, award.grants),
            None => self.refuse(ctx, owner, &award),
        }
    }

    /// An owner that was matched with an advert awards tasks; its call comes along.
    pub(crate) fn on_claim(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, mut call: Call, award: Award) {
        bound_keepers(ctx, &mut call);
        if self.is_fenced(ctx, owner, Brought { grants: &award.grants, keepers: &call.keepers }) {
            return self.refuse(ctx, owner, &award);
        }
        match self.bidder().accept_match(ctx, owner, &call, &award) {
            Ok(accepted) => self.hold_all(ctx, &accepted, award.grants),
            Err(refusal) => {
                refusal.into_iter().for_each(|refusal| refusal.tell(ctx, owner, call.call));
                self.refuse(ctx, owner, &award);
            }
        }
    }

    /// Tasks sent without a call, on credit or by this node's own owner. Without any it says who may lead their job.
    pub(crate) fn on_assign(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, mut assign: Assign) {
        self.on_ack(ctx, owner, &assign.acks);
        bound_keepers(ctx, &mut assign.call);
        if assign.grants.is_empty() {
            return self.epochs.on_keepers(owner, assign.call.job, &assign.call.keepers);
        }
        if self.is_fenced(ctx, owner, Brought { grants: &assign.grants, keepers: &assign.call.keepers }) {
            return holder::refuse_prefilled(ctx, owner, &assign, None);
        }
        let whole = assign.grants.len() <= BATCH_MAX;
        self.holder().keep_new(ctx, owner, &mut assign.grants);
        if !assign.grants.is_empty() {
            self.take_prefilled(ctx, owner, assign, whole);
        }
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        self.holder().cancel(ctx, owner, leases);
    }

    pub(crate) fn on_ack(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        for lease in ctx.within_frame(leases) {
            self.outbox.forget(ctx, owner, *lease);
        }
    }

    /// Returns the grants of an award that were not accepted.
    pub(crate) fn refuse(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, award: &Award) {
        let why = if self.identity.draining { Returned::Drains } else { Returned::Refused };
        self.holder().refuse(ctx, owner, award, why);
    }

    // ---- connections of owners

    /// A message or gossip of a peer arrived; if it says so, of the process that was connected here last, or of another one.
    pub(crate) fn on_heard(&mut self, now: Time, from: PeerId, is_same: Option<bool>) {
        is_same.into_iter().for_each(|is_same| self.absences.on_life(now, from, is_same));
        self.absences.on_heard(now, from);
    }

    pub(crate) fn on_peer_up(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId) {
        self.absences.on_up(owner);
        self.runs.renew(ctx, members, Some(owner));
        self.outbox.resend_now(owner, None, ctx.now);
    }

    /// Promises to it end. Its tasks run on for now: it may come back, or be reached another way.
    pub(crate) fn on_peer_down(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        owner: PeerId,
        closed: bool,
    ) {
        if !self.runs.leases_of(owner).is_empty() {
            self.absences.on_down(ctx.now, owner, closed);
        }
        self.runs.renew(ctx, members, Some(owner));
        self.bidder().forget(owner);
    }

    /// The owner lost all its jobs but those that it keeps: this worker drops their tasks.
    pub(crate) fn on_peer_restarted(&mut self, ctx: &mut Ctx<'_>, owner: PeerId) {
        self.bidder().forget(owner);
        self.leave_unkept(ctx, owner);
    }

    // ---- this node's slots, store and user

    /// Takes no new work, or takes it again. What has not begun is given back, in [`Self::dispatch`].
    pub(crate) fn on_drain(&mut self, ctx: &mut Ctx<'_>, draining: bool) {
        self.identity.draining = draining;
        if draining {
            self.bidder().close(ctx);
            self.runs.recall(ctx);
        }
    }

    /// Gives back what runs for others, too.
    pub(crate) fn on_give_back(&mut self, ctx: &mut Ctx<'_>) {
        self.on_drain(ctx, true);
        let of_others: Vec<_> = self.runs.leases().filter(|(owner, _)| *owner != ctx.me).collect();
        self.holder().give_back(ctx, of_others);
    }

    pub(crate) fn on_ran(&mut self, ctx: &mut Ctx<'_>, id: RunId, report: Report) {
        let space = self.holder().on_ran(ctx, id, report);
        self.on_disk(ctx, space);
    }

    pub(crate) fn on_printed(&mut self, ctx: &mut Ctx<'_>, id: RunId, piece: Piece) {
        if let Some(run) = self.runs.get_mut(id) {
            completion::stream(ctx, run, piece);
        }
    }

    /// Runs began or ended to wait for their module to be compiled; the next renewal reports it.
    pub(crate) fn on_compiling(&mut self, runs: &[RunId], waits: bool) {
        for id in runs {
            if let Some(run) = self.runs.get_mut(*id) {
                run.compiling = waits;
            }
        }
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, fetched: Fetched) {
        let space = self.holder().on_fetched(ctx, blob, fetched);
        self.on_disk(ctx, space);
    }

    /// With a full disk no work is taken for a while, and owners whose calls wait here are told.
    fn on_disk(&mut self, ctx: &mut Ctx<'_>, space: DiskSpace) {
        if space == DiskSpace::Enough {
            return;
        }
        let until = ctx.now.plus_ms(NO_ROOM_MS);
        if self.identity.disk_full_until.replace(until).is_none() {
            self.requests
                .keys()
                .for_each(|key| Refusal::for_now(Reason::NoRoom).tell(ctx, key.owner, key.call));
        }
    }

    pub(crate) fn on_signed(&mut self, batch: u64, signature: [u8; 64]) {
        self.outbox.on_signed(batch, signature);
    }

    // ---- time, and the end of each input

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.runs.age(ctx.now);
        self.bidder().end_promises(ctx.now);
        self.identity.disk_full_until = self.identity.disk_full_until.filter(|at| *at > ctx.now);
        self.requests.expire(ctx.now);
        self.renew(ctx, members);
        self.leave_absent(ctx);
        self.outbox.on_time(ctx, members);
    }

    pub(crate) fn next_wakeup(&self, mesh: &MeshConfig) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.absences.next_wakeup(mesh), "an owner counts as gone");
        next.or(self.ledger.next_end());
        next.at(self.requests.next_end(), "a call ends");
        next.at(self.renew_at, "leases are renewed");
        next.at(self.identity.disk_full_until, "its disk may have room again");
        next.at(self.ledger.adverts.repeat_at, "what is advertised is repeated");
        next.at(self.runs.preempt_at(), "what runs is not short any more");
        next.at(self.runs.next_ageing(), "what waits counts as more urgent");
        next.at(self.outbox.next_wakeup(), "an outcome is sent again");
        next.get()
    }

    /// Hands ready tasks to the slots; a node that drains gives them back.
    pub(crate) fn dispatch(&mut self, ctx: &mut Ctx<'_>) {
        if self.identity.draining {
            let waiting = self.runs.outside_slots();
            self.holder().give_back(ctx, waiting);
        }
        self.runs.dispatch(ctx, &self.stats);
    }

    /// Sends the outcomes of this input.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.runs.notice_overlong(ctx.now, &self.stats);
        for part in self.outbox.take_own() {
            ctx.send(ctx.me, Message::Outcome(part));
        }
        let fresh = self.outbox.take_fresh(ctx);
        for part in fresh.chunk_by(|(one, _), (other, _)| one == other) {
            let owner = part.first().expect("a chunk has an element").0;
            let credit = self.bidder().renew_credit(ctx, members, owner);
            self.outbox.send(ctx, owner, part.iter().map(|(_, lease)| *lease), credit);
        }
        self.outbox.reuse(fresh);
    }

    /// Promises free slots.
    pub(crate) fn offer(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.bidder().offer(ctx, members);
    }

    // ---- questions of this node's own owner

    /// What this worker takes of its own owner's short tasks now.
    pub(crate) fn local_capacity(&self, now: Time) -> LocalCapacity<'_> {
        self.market().local_capacity(now)
    }

    fn hold_all(&mut self, ctx: &mut Ctx<'_>, accepted: &Accepted, grants: Vec<Grant>) {
        self.holder().hold_all(ctx, accepted, grants);
        self.renew_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.renew_ms));
    }

    /// Accepts tasks sent without a call, if the owner has credit for them and sent a `whole` frame, within its bound.
    fn take_prefilled(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, assign: Assign, whole: bool) {
        let spent = Spent::of(&assign).filter(|_| whole);
        match self.bidder().accept_prefilled(ctx, owner, &assign.call, spent) {
            Ok(accepted) => self.hold_all(ctx, &accepted, assign.grants),
            Err(refusal) => holder::refuse_prefilled(ctx, owner, &assign, refusal),
        }
    }

    /// Renews all leases, if it is time, and first retracts tasks that were accepted on a wrong estimate.
    fn renew(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if self.renew_at.is_none_or(|at| at > ctx.now) {
            return;
        }
        self.holder().retract(ctx);
        self.runs.renew(ctx, members, None);
        self.renew_at = Some(ctx.now.plus_ms(ctx.mesh.renew_ms)).filter(|_| self.runs.is_leased());
    }

    /// Stops the tasks of owners that count as gone. One whose process ended may come back with the jobs that it keeps, or
    /// another node leads them soon: these wait for as long as an outcome does.
    fn leave_absent(&mut self, ctx: &mut Ctx<'_>) {
        for gone in self.absences.take_gone(ctx.now, ctx.mesh) {
            self.holder().abandon(ctx, &gone);
            if !self.runs.leases_of(gone.owner).is_empty() {
                self.absences.wait_on(&gone);
            }
        }
    }

    // ---- parts

    fn bidder(&mut self) -> Bidder<'_> {
        Bidder {
            identity: &self.identity,
            runs: &self.runs,
            staging: &self.staging,
            outbox: &self.outbox,
            stats: &mut self.stats,
            requests: &mut self.requests,
            ledger: &mut self.ledger,
        }
    }

    fn holder(&mut self) -> Holder<'_> {
        Holder {
            store_bytes: self.identity.bounds.store_bytes,
            runs: &mut self.runs,
            staging: &mut self.staging,
            outbox: &mut self.outbox,
            ledger: &mut self.ledger,
            requests: &mut self.requests,
            stats: &mut self.stats,
        }
    }

    fn market(&self) -> Market<'_> {
        Market {
            identity: &self.identity,
            requests: &self.requests,
            ledger: &self.ledger,
            runs: &self.runs,
            stats: &self.stats,
            outbox: &self.outbox,
        }
    }
}
