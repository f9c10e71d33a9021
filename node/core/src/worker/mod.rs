//! The worker: considers others' calls, bids, holds what it is awarded, hands it to the slots, delivers what they
//! say. It trusts no owner: what it holds is bounded by what it offered. Driven by the engine.

mod bids;
mod outbox;
mod watch;

mod window;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::NodeConfig;
use crate::ctx::Ctx;
use crate::effect::{Effect, Work};
use crate::id::{BidId, BlobId, CallId, JobId, LeaseId, PeerId, RunId};
use crate::message::{Award, BATCH_MAX, Call, Grant, Message};
use crate::task::{INLINE_BYTES_MAX, Outcome, Payload, Program, Report};
use crate::time::Time;
use outbox::Outbox;

/// Modules remembered as present; beyond it the memory is cleared, which costs one look into the store each.
const PRESENT_MAX: usize = 1024;

/// A call that still stands.
#[derive(Debug)]
struct OpenCall {
    call: Call,
    /// Tasks that the owner still has for us, by its last word less what we were awarded since.
    wanted: u32,
    /// Slots reserved for it now.
    reserved: u32,
    expires_at: Time,
    /// Whose turn it is: the least recently served first.
    turn: u64,
}

/// Slots promised by one bid.
#[derive(Debug)]
struct Reservation {
    owner: PeerId,
    call: CallId,
    left: u32,
    expires_at: Time,
}

/// Where a held task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It lacks so many blobs.
    Fetching(u8),
    /// It waits for a slot.
    Ready,
    /// It was handed to the slots.
    Handed,
    /// It was handed to the slots, and its owner took it back.
    Aborted,
}

/// A task that is ours for now.
#[derive(Debug)]
struct Held {
    owner: PeerId,
    lease: LeaseId,
    program: Arc<Program>,
    input: Payload,
    stage: Stage,
    awarded_at: Time,
    handed_at: Time,
}

/// The worker role.
#[derive(Debug)]
pub(crate) struct Worker {
    slots: u32,
    memory_bytes: u64,
    labels: Vec<(String, String)>,
    draining: bool,
    calls: BTreeMap<(PeerId, CallId), OpenCall>,
    bids: BTreeMap<BidId, Reservation>,
    bid_ends: BTreeSet<(Time, BidId)>,
    reserved: u32,
    runs: BTreeMap<RunId, Held>,
    leases: BTreeMap<(PeerId, LeaseId), RunId>,
    ready: VecDeque<RunId>,
    handed: u32,
    /// Who was asked for a blob, and which runs wait for it.
    fetching: BTreeMap<BlobId, (PeerId, Vec<RunId>)>,
    present: BTreeSet<BlobId>,
    services: window::Services,
    outbox: Outbox,
    next_run: u64,
    next_turn: u64,
    renew_at: Option<Time>,
    /// Owners whose last bid ran out unused; they come last until they use one.
    wasteful: BTreeSet<PeerId>,
}

impl Worker {
    pub(crate) fn new(me: PeerId, node: &NodeConfig) -> Self {
        let mut labels = node.labels.clone();
        labels.push((String::from("node"), alloc::format!("{me}")));
        Self {
            slots: node.slots,
            memory_bytes: node.memory_bytes,
            labels,
            draining: false,
            calls: BTreeMap::new(),
            bids: BTreeMap::new(),
            bid_ends: BTreeSet::new(),
            reserved: 0,
            runs: BTreeMap::new(),
            leases: BTreeMap::new(),
            ready: VecDeque::new(),
            handed: 0,
            fetching: BTreeMap::new(),
            present: BTreeSet::new(),
            services: window::Services::default(),
            outbox: Outbox::default(),
            next_run: 0,
            next_turn: 0,
            renew_at: None,
            wasteful: BTreeSet::new(),
        }
    }

    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(crate) fn on_drain(&mut self, draining: bool) {
        self.draining = draining;
    }

    // ---- awards and runs

    pub(crate) fn on_award(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, award: Award) {
        let call =
            self.calls.get(&(owner, award.call)).map(|open| (open.call.job, open.call.program.clone()));
        let count = u32::try_from(award.grants.len()).unwrap_or(u32::MAX);
        let stands = self.bids.get(&award.bid).is_some_and(|reservation| {
            reservation.owner == owner && reservation.call == award.call && reservation.left >= count
        });
        let Some((job, program)) = call.filter(|(job, _)| stands && is_sound(&award, *job)) else {
            let leases = award.grants.iter().take(BATCH_MAX).map(|grant| grant.lease).collect();
            ctx.send(owner, Message::Refuse { leases });
            return;
        };
        self.use_bid(owner, award.bid, count, award.left);
        if count > 0 {
            self.wasteful.remove(&owner);
        }
        debug_assert!(award.grants.iter().all(|grant| grant.lease.job == job), "checked by is_sound");
        for grant in award.grants {
            self.hold(ctx, owner, &program, grant);
        }
        self.renew_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.renew_ms));
    }

    fn use_bid(&mut self, owner: PeerId, bid: BidId, count: u32, wanted: u32) {
        let Some(reservation) = self.bids.get_mut(&bid) else { return };
        reservation.left -= count;
        let (call, left) = (reservation.call, reservation.left);
        self.unreserve(owner, call, count);
        if let Some(open) = self.calls.get_mut(&(owner, call)) {
            open.wanted = wanted;
        }
        if left == 0 {
            self.end_bid(bid);
        }
    }

    fn hold(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, program: &Arc<Program>, grant: Grant) {
        let key = (owner, grant.lease);
        if self.leases.contains_key(&key) || self.outbox.contains(key) {
            return;
        }
        let run = RunId(self.next_run);
        self.next_run += 1;
        let mut missing = 0;
        let module = Some(program.module).filter(|module| !self.present.contains(module));
        let module = module.map(|module| (module, program.module_bytes));
        let input = grant.input.blob().map(|blob| (blob, grant.input.bytes_len()));
        for (blob, bytes) in module.into_iter().chain(input) {
            missing += 1;
            let (_, waiting) = self.fetching.entry(blob).or_insert_with(|| {
                ctx.emit(Effect::Fetch { blob, from: alloc::vec![owner], bytes: Some(bytes) });
                (owner, Vec::new())
            });
            waiting.push(run);
        }
        let stage = if missing == 0 { Stage::Ready } else { Stage::Fetching(missing) };
        if stage == Stage::Ready {
            self.ready.push_back(run);
        }
        let held = Held {
            owner,
            lease: grant.lease,
            program: program.clone(),
            input: grant.input,
            stage,
            awarded_at: ctx.now,
            handed_at: ctx.now,
        };
        ctx.emit(Effect::Pin(program.module));
        ctx.pin(&held.input);
        self.runs.insert(run, held);
        self.leases.insert(key, run);
    }

    /// Forgets a run, and what it rested on.
    fn drop_run(&mut self, ctx: &mut Ctx<'_>, run: RunId) -> Option<Held> {
        let held = self.runs.remove(&run)?;
        ctx.emit(Effect::Unpin(held.program.module));
        ctx.unpin(&held.input);
        Some(held)
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, found: bool) {
        let Some((asked, runs)) = self.fetching.remove(&blob) else { return };
        let mut others: Vec<RunId> = Vec::new();
        for run in runs {
            let Some(held) = self.runs.get_mut(&run) else { continue };
            let Stage::Fetching(missing) = held.stage else { continue };
            if !found && held.owner != asked {
                others.push(run);
                continue;
            }
            if !found {
                let text = alloc::format!("the worker could not fetch blob {blob}");
                self.finish(ctx, run, Report::bare(Outcome::Lost(text)));
                continue;
            }
            if held.program.module == blob {
                if self.present.len() >= PRESENT_MAX {
                    self.present.clear();
                }
                self.present.insert(blob);
            }
            held.stage = if missing > 1 { Stage::Fetching(missing - 1) } else { Stage::Ready };
            if held.stage == Stage::Ready {
                self.ready.push_back(run);
            }
        }
        // What one owner could not give, another may.
        let next = others.first().and_then(|run| self.runs.get(run)).map(|held| held.owner);
        if let Some(owner) = next {
            self.fetching.insert(blob, (owner, others));
            ctx.emit(Effect::Fetch { blob, from: alloc::vec![owner], bytes: None });
        }
    }

    /// Hands ready tasks to the slots: one a slot, and for short tasks some ahead, since handing over costs more than
    /// they do.
    pub(crate) fn dispatch(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(&run) = self.ready.front() {
            let Some(held) = self.runs.get_mut(&run).filter(|held| held.stage == Stage::Ready) else {
                self.ready.pop_front();
                continue;
            };
            let service_us = self.services.estimate_us(held.owner, held.lease.job);
            if self.handed >= window::slots_to_hand(self.slots, service_us) {
                break;
            }
            self.ready.pop_front();
            held.stage = Stage::Handed;
            held.handed_at = ctx.now;
            self.handed += 1;
            let task = held.program.task_id(&held.input);
            let work = Work { task, program: held.program.clone(), input: held.input.clone(), stream: false };
            ctx.emit(Effect::Execute { run, work });
        }
    }

    pub(crate) fn on_ran(&mut self, ctx: &mut Ctx<'_>, run: RunId, mut report: Report) {
        let Some(held) = self.runs.get(&run) else { return };
        match held.stage {
            Stage::Handed => {
                self.handed -= 1;
                ctx.counters.executed += 1;
                report.usage.queue_us =
                    report.usage.queue_us.saturating_add(held.handed_at.since_us(held.awarded_at));
                if matches!(report.outcome, Outcome::Lost(_)) {
                    // The module may be what was lost: the next task looks for it again.
                    self.present.remove(&held.program.module);
                } else {
                    self.services.measure(held.owner, held.lease.job, report.usage.wall_us);
                }
                self.finish(ctx, run, report);
            }
            Stage::Aborted => {
                self.handed -= 1;
                self.drop_run(ctx, run);
            }
            Stage::Fetching(_) | Stage::Ready => {}
        }
    }

    fn finish(&mut self, ctx: &mut Ctx<'_>, run: RunId, report: Report) {
        let Some(held) = self.drop_run(ctx, run) else { return };
        self.leases.remove(&(held.owner, held.lease));
        self.outbox.put(ctx, held.owner, held.lease, report);
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        let mut gone = false;
        for lease in leases {
            self.outbox.forget(ctx, owner, *lease);
            let Some(run) = self.leases.remove(&(owner, *lease)) else { continue };
            let Some(held) = self.runs.get_mut(&run) else { continue };
            if held.stage == Stage::Handed {
                held.stage = Stage::Aborted;
                ctx.emit(Effect::Abort(run));
            } else {
                self.drop_run(ctx, run);
                gone = true;
            }
        }
        if gone {
            self.ready.retain(|run| self.runs.contains_key(run));
            for (_, waiting) in self.fetching.values_mut() {
                waiting.retain(|run| self.runs.contains_key(run));
            }
        }
    }

    pub(crate) fn on_ack(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        for lease in leases {
            self.outbox.forget(ctx, owner, *lease);
        }
    }

    // ---- views

    /// Tasks held, whatever their stage, but not those only waiting to be aborted.
    pub(crate) fn held(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn handed(&self) -> u32 {
        self.handed
    }

    pub(crate) fn reserved(&self) -> u32 {
        self.reserved
    }

    pub(crate) fn undelivered(&self) -> usize {
        self.outbox.len()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn reservations(&self) -> usize {
        self.bids.len()
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.leases.keys().copied()
    }
}

/// Most that a worker ever holds and has promised together.
pub(crate) fn offered_max(slots: u32) -> u32 {
    window::slots_to_offer(slots, 1, u32::MAX)
}

fn is_sound(award: &Award, job: JobId) -> bool {
    let fits = |grant: &Grant| match &grant.input {
        Payload::Inline(bytes) => bytes.len() <= INLINE_BYTES_MAX,
        Payload::Blob { .. } => true,
    };
    award.grants.iter().all(|grant| grant.lease.job == job && fits(grant))
}
