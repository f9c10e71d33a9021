//! The worker: considers others' calls, bids, holds what it is awarded, hands it to the slots, delivers what they
//! say. It trusts no owner: what it holds is bounded by what it offered. Driven by the engine.

mod ahead;
mod bids;
mod classes;
mod completion;
mod gone;
mod outbox;
mod receipts;
mod room;
mod runs;
mod staging;
mod stand;
mod stats;
mod views;
mod watch;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::NodeConfig;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BidId, BlobId, CallId, JobId, LeaseId, PeerId, RunId};
use crate::input::Fetched;
use crate::message::{Award, BATCH_MAX, Call, Class, Grant, Message, Reason};
use crate::policy::Owners;
use crate::policy::share::Shares;
use crate::task::{Recall, Report, Stream, TaskKey};
use crate::time::Time;
use ahead::Standings;
use bids::decline;
use classes::PerClass;
use completion::Ended;
use outbox::{Outbox, Sealed};
use runs::RunQueue;
use runs::run::{Offer, Run};
use staging::Staging;
use stats::RuntimeStats;

/// How long no work is taken after a blob found no room, in milliseconds.
const NO_ROOM_MS: u64 = 5000;

/// A call that still stands.
#[derive(Debug)]
struct OpenCall {
    call: Call,
    /// What its tasks' names have in common.
    key: TaskKey,
    /// Tasks that the owner still has for us, by its last word less what we were awarded since.
    wanted: u32,
    /// Tasks for which slots are reserved now.
    reserved: u32,
    expires_at: Time,
    /// Whose turn it is: the least recently served first.
    turn: u64,
    /// When it should be done, by its owner's last word.
    due: Option<Time>,
    /// Since when nobody served it, by its owner's last word, or when we last did.
    waits_since: Time,
}

/// Slots promised by one bid.
#[derive(Debug)]
struct Reservation {
    owner: PeerId,
    call: CallId,
    class: Class,
    /// Tasks that it still takes, and slots that each would have.
    left: u32,
    width: u32,
    expires_at: Time,
    /// It stands at the exchange `owner` for whoever is introduced.
    standing: bool,
}

/// The worker role.
#[derive(Debug)]
pub(crate) struct Worker {
    me: PeerId,
    slots: u32,
    memory_bytes: u64,
    /// Longest module whose tasks it takes.
    module_bytes: u64,
    labels: Vec<(String, String)>,
    class_min: Class,
    /// Whose tasks it takes, beside its own.
    owners: Owners,
    draining: bool,
    /// Until when it takes nothing, because its disk had no room for what a task needs.
    no_room_until: Option<Time>,
    calls: BTreeMap<(PeerId, CallId), OpenCall>,
    /// No call ends earlier.
    call_end: Option<Time>,
    bids: BTreeMap<BidId, Reservation>,
    bid_ends: BTreeSet<(Time, BidId)>,
    reserved: u32,
    reserved_by: PerClass,
    /// A wide call keeps what becomes free, so that nothing is offered to strangers.
    keeps: bool,
    runs: RunQueue,
    staging: Staging,
    standings: Standings,
    /// Time used by each owner.
    shares: Shares,
    stats: RuntimeStats,
    outbox: Outbox,
    next_turn: u64,
    renew_at: Option<Time>,
    /// Owners whose last bid ran out unused, and when; they come last until they use one, or for so long that others
    /// who waited count as more urgent.
    wasteful: BTreeMap<PeerId, Time>,
    stands: stand::Stands,
    gone: gone::Gone,
}

impl Worker {
    pub(crate) fn new(me: PeerId, node: &NodeConfig) -> Self {
        let mut labels = node.labels.clone();
        labels.push((String::from("node"), alloc::format!("{me}")));
        Self {
            me,
            slots: node.slots,
            memory_bytes: node.memory_bytes,
            module_bytes: node.module_bytes,
            labels,
            class_min: node.class_min,
            owners: node.owners.clone(),
            draining: false,
            no_room_until: None,
            calls: BTreeMap::new(),
            call_end: None,
            bids: BTreeMap::new(),
            bid_ends: BTreeSet::new(),
            reserved: 0,
            reserved_by: PerClass::default(),
            keeps: false,
            runs: RunQueue::new(node.slots, node.memory_bytes),
            staging: Staging::default(),
            standings: Standings::default(),
            shares: Shares::default(),
            stats: RuntimeStats::default(),
            outbox: Outbox::default(),
            next_turn: 0,
            renew_at: None,
            wasteful: BTreeMap::new(),
            stands: stand::Stands::default(),
            gone: gone::Gone::default(),
        }
    }

    pub(crate) fn on_drain(&mut self, draining: bool) {
        self.draining = draining;
    }

    // ---- awards and runs

    pub(crate) fn on_award(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, award: Award) {
        let call = self.calls.get(&(owner, award.call)).map(|open| {
            let Call { job, program, terms, class, needs, .. } = &open.call;
            // What the bid counted as: a call that aged is served as what it has become.
            let class = self.bids.get(&award.bid).map_or(*class, |reservation| reservation.class);
            let (terms, width, program) = (*terms, needs.width(), Arc::clone(program));
            (*job, Offer { program, key: open.key, terms, class, slots: width, prefilled: None })
        });
        let count = u32::try_from(award.grants.len()).unwrap_or(u32::MAX);
        let stands = self.bids.get(&award.bid).is_some_and(|reservation| {
            let same = reservation.owner == owner && reservation.call == award.call;
            // What stands at an exchange is for whoever is introduced, and no call is behind it.
            same && !reservation.standing && reservation.left >= count
        });
        let Some((job, offer)) = call.filter(|(job, _)| stands && is_sound(&award, *job)) else {
            self.refuse(ctx, owner, &award);
            return;
        };
        self.use_bid(ctx.now, owner, award.bid, (count, award.left));
        if count > 0 {
            self.wasteful.remove(&owner);
        }
        debug_assert!(award.grants.iter().all(|grant| grant.lease.job == job), "checked by is_sound");
        for grant in award.grants {
            self.hold(ctx, owner, &offer, grant);
        }
        self.renew_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.renew_ms));
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        let mut ended = false;
        for lease in ctx.within_frame(leases) {
            self.outbox.forget(ctx, owner, *lease);
            if let Some(run) = self.runs.cancel(ctx, owner, *lease) {
                self.settle(ctx, &run);
                ended = true;
            }
        }
        if ended {
            self.staging.forget_ended(&self.runs);
        }
    }

    pub(crate) fn on_ack(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        for lease in ctx.within_frame(leases) {
            self.outbox.forget(ctx, owner, *lease);
        }
    }

    pub(crate) fn on_signed(&mut self, batch: u64, signature: [u8; 64]) {
        self.outbox.on_signed(batch, signature);
    }

    pub(crate) fn on_ran(&mut self, ctx: &mut Ctx<'_>, id: RunId, report: Report) {
        match completion::leave_slots(&mut self.runs, ctx.now, id, &report.outcome) {
            Ended::Done => self.complete(ctx, id, report),
            Ended::Dropped(run) => self.settle(ctx, &run),
            Ended::Requeued | Ended::Unknown => {}
        }
    }

    pub(crate) fn on_printed(
        &mut self,
        ctx: &mut Ctx<'_>,
        id: RunId,
        stream: Stream,
        at: u64,
        bytes: Arc<[u8]>,
    ) {
        if let Some(run) = self.runs.get_mut(id) {
            completion::stream(ctx, run, stream, at, bytes);
        }
    }

    /// Some runs wait for their module to be compiled, or wait no longer: the next renewal says so.
    pub(crate) fn on_compiling(&mut self, runs: &[RunId], waits: bool) {
        for id in runs {
            if let Some(run) = self.runs.get_mut(*id) {
                run.compiling = waits;
            }
        }
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, fetched: Fetched) {
        let mut arrival = self.staging.on_fetched(ctx, &mut self.runs, blob, fetched);
        for (run, sealed) in arrival.finished.drain(..) {
            self.deliver(ctx, &run, sealed);
        }
        if !arrival.no_room.is_empty() {
            self.refuse_for_room(ctx, &arrival.no_room);
        }
        self.staging.ask_again(ctx, &self.runs, blob, &arrival);
    }

    pub(crate) fn dispatch(&mut self, ctx: &mut Ctx<'_>) {
        self.runs.dispatch(ctx, &self.stats);
    }

    // ---- what becomes of a task

    /// Takes a task; one whose result is known here is answered.
    fn hold(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, offer: &Offer, grant: Grant) {
        let Grant { lease, input } = grant;
        let prefilled = offer.prefilled.is_some();
        if self.has(owner, lease) {
            self.return_credit(ctx.now, owner, prefilled);
            return;
        }
        let recalls = offer.terms.memo != Recall::Off && offer.program.is_pure() && !ctx.memo.is_empty();
        let task = recalls.then(|| offer.key.task_id(&input));
        let known = task.and_then(|task| ctx.memo.recall_own(task));
        if let Some(report) = known.as_ref().filter(|report| report.blobs().next().is_none()) {
            let sealed = Sealed { report: report.clone(), memo: Some(ctx.me), leaf: None };
            ctx.counters.answered += 1;
            self.outbox.put(ctx, owner, lease, sealed);
            self.return_credit(ctx.now, owner, prefilled);
            return;
        }
        let estimate_us = offer.prefilled.unwrap_or_else(|| self.stats.estimate_us(owner, lease.job));
        let mut run = Run::new(ctx.now, owner, lease, input, offer, estimate_us);
        (run.task, run.known) = (task, known.map(Box::new));
        ctx.emit(Effect::Pin(run.program.module));
        ctx.pin(&run.program.files);
        ctx.pin(&run.input);
        self.shares.charge(owner, run.slot_us());
        let id = self.runs.insert(run);
        self.staging.gather(ctx, &mut self.runs, id);
    }

    fn return_credit(&mut self, now: Time, owner: PeerId, prefilled: bool) {
        if prefilled {
            self.standings.leave(owner, now);
        }
    }

    /// A task ran to its end: it is measured, sealed, and on its way.
    fn complete(&mut self, ctx: &mut Ctx<'_>, id: RunId, report: Report) {
        ctx.counters.executed += 1;
        let run = self.runs.run_mut(id);
        let wall_us = report.usage.wall_us;
        run.ran_us = Some(wall_us);
        if completion::is_lost(&report) {
            self.staging.forget(run);
        } else {
            ctx.programs.measure(run.key, wall_us);
            match run.prefilled {
                Some(_) => self.standings.measure(run.owner, wall_us),
                None => self.stats.measure(run.owner, run.lease.job, wall_us),
            }
        }
        let run = self.runs.remove(ctx.now, id);
        let sealed = completion::seal(ctx, &run, report);
        self.deliver(ctx, &run, sealed);
    }

    /// A task has ended here, and this is its outcome.
    fn deliver(&mut self, ctx: &mut Ctx<'_>, run: &Run, sealed: Sealed) {
        self.settle(ctx, run);
        if run.owner == ctx.me && sealed.is_plain() {
            self.outbox.put_own(run.lease, sealed);
        } else {
            self.outbox.put(ctx, run.owner, run.lease, sealed);
        }
    }

    /// A task has left: its owner is charged for what it really took, and what it rested on is released.
    fn settle(&mut self, ctx: &mut Ctx<'_>, run: &Run) {
        self.return_credit(ctx.now, run.owner, run.prefilled.is_some());
        // What it kept others from counts, and not only what it used.
        self.shares.settle(run.owner, run.slot_us(), run.took_us(ctx.now));
        ctx.emit(Effect::Unpin(run.program.module));
        ctx.unpin(&run.program.files);
        ctx.unpin(&run.input);
    }

    /// This node has no room for what tasks need: they are returned to their owners at once, each owner's together, and
    /// no work is taken for a while. A full disk is no fault of a task or a node, so that it is no lost attempt.
    fn refuse_for_room(&mut self, ctx: &mut Ctx<'_>, runs: &[Box<Run>]) {
        let mut leases: BTreeMap<PeerId, Vec<LeaseId>> = BTreeMap::new();
        for run in runs {
            self.settle(ctx, run);
            leases.entry(run.owner).or_default().push(run.lease);
        }
        self.no_room_until = Some(ctx.now.plus_ms(NO_ROOM_MS));
        for (owner, leases) in leases {
            let of_owner = (owner, CallId(0))..=(owner, CallId(u64::MAX));
            for ((_, call), _) in self.calls.range(of_owner) {
                decline(ctx, owner, *call, Reason::NoRoom, Some(1000));
            }
            refuse(ctx, owner, &leases);
        }
    }
}

/// Returns leases to their owner.
fn refuse(ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
    for part in leases.chunks(BATCH_MAX) {
        ctx.send(owner, Message::Refuse { leases: part.to_vec() });
    }
}

fn is_sound(award: &Award, job: JobId) -> bool {
    award.grants.len() <= BATCH_MAX
        && award.grants.iter().all(|grant| grant.lease.job == job && grant.input.is_sound())
}
