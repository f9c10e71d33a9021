//! The worker: considers others' calls, bids, holds what it is awarded, hands it to the slots, delivers what they
//! say. It trusts no owner: what it holds is bounded by what it offered. Driven by the engine.

mod bids;
mod classes;
mod outbox;
mod receipts;
mod slots;
mod watch;
mod window;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::config::NodeConfig;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BidId, BlobId, CallId, JobId, LeaseId, PeerId, RunId, TaskId};
use crate::message::{Award, BATCH_MAX, Call, Class, Grant, Message};
use crate::owner::blobs_with_lengths;
use crate::task::{Outcome, Payload, Program, Report, TaskKey, Terms};
use crate::time::Time;
use classes::PerClass;
use outbox::{Outbox, Sealed};

/// Modules remembered as present; beyond it the memory is cleared, which costs one look into the store each.
const PRESENT_MAX: usize = 1024;

/// A call that still stands.
#[derive(Debug)]
struct OpenCall {
    call: Call,
    /// What its tasks' names have in common.
    key: TaskKey,
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
    class: Class,
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
    /// It is held where it was, for a task of a higher class.
    Paused,
    /// It was handed to the slots, and its owner took it back.
    Aborted {
        /// It was paused then.
        paused: bool,
    },
}

/// A task that is ours for now.
#[derive(Debug)]
struct Held {
    owner: PeerId,
    lease: LeaseId,
    program: Arc<Program>,
    key: TaskKey,
    terms: Terms,
    class: Class,
    /// Its name, once somebody asked.
    task: Option<TaskId>,
    input: Payload,
    /// Its result and who computed it, while what that rests on is on its way.
    known: Option<Box<(Report, PeerId)>>,
    stage: Stage,
    awarded_at: Time,
    /// When it began, later by as much as it was paused.
    handed_at: Time,
    paused_at: Time,
    /// Between award and start, in microseconds.
    queue_us: u64,
    /// What it streamed, in bytes.
    printed: u64,
}

impl Held {
    /// The blobs that must be here before it can run, with their lengths.
    fn needs(&self) -> BTreeMap<BlobId, u64> {
        let Program { module, module_bytes, files, .. } = &*self.program;
        let payloads = [files, &self.input].into_iter();
        let others = payloads.filter_map(|payload| Some((payload.blob()?, payload.bytes_len())));
        core::iter::once((*module, *module_bytes)).chain(others).collect()
    }
}

/// What the tasks of one call have in common.
struct Offer {
    program: Arc<Program>,
    key: TaskKey,
    terms: Terms,
    class: Class,
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
    reserved_by: PerClass,
    runs: BTreeMap<RunId, Held>,
    leases: BTreeMap<(PeerId, LeaseId), RunId>,
    held_by: PerClass,
    /// By class, then by when it was ready.
    ready: BTreeSet<(Reverse<Class>, u64, RunId)>,
    next_ready: u64,
    /// What the slots were given and have not answered, paused ones included.
    handed: u32,
    /// Those that are paused, or were when they were aborted.
    paused: u32,
    /// Those that are not, by class.
    busy_by: PerClass,
    /// Those that wait to be resumed: highest class first, then oldest.
    resting: BTreeSet<(Reverse<Class>, RunId)>,
    /// When those that run are not short any more, if something waits for that.
    look_at: Option<Time>,
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
            reserved_by: PerClass::default(),
            runs: BTreeMap::new(),
            leases: BTreeMap::new(),
            held_by: PerClass::default(),
            ready: BTreeSet::new(),
            next_ready: 0,
            handed: 0,
            paused: 0,
            busy_by: PerClass::default(),
            resting: BTreeSet::new(),
            look_at: None,
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
        let call = self.calls.get(&(owner, award.call)).map(|open| {
            let Call { job, program, terms, class, .. } = &open.call;
            let (terms, class) = (*terms, *class);
            (*job, Offer { program: Arc::clone(program), key: open.key, terms, class })
        });
        let count = u32::try_from(award.grants.len()).unwrap_or(u32::MAX);
        let stands = self.bids.get(&award.bid).is_some_and(|reservation| {
            reservation.owner == owner && reservation.call == award.call && reservation.left >= count
        });
        let Some((job, offer)) = call.filter(|(job, _)| stands && is_sound(&award, *job)) else {
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
            self.hold(ctx, owner, &offer, grant);
        }
        self.renew_at.get_or_insert(ctx.now.plus_ms(ctx.mesh.renew_ms));
    }

    fn use_bid(&mut self, owner: PeerId, bid: BidId, count: u32, wanted: u32) {
        let Some(reservation) = self.bids.get_mut(&bid) else { return };
        reservation.left -= count;
        let (call, left) = (reservation.call, reservation.left);
        let class = reservation.class;
        self.unreserve((owner, call), class, count);
        if let Some(open) = self.calls.get_mut(&(owner, call)) {
            open.wanted = wanted;
        }
        if left == 0 {
            self.end_bid(bid);
        }
    }

    fn hold(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, offer: &Offer, grant: Grant) {
        let Grant { lease, input } = grant;
        if self.leases.contains_key(&(owner, lease)) || self.outbox.contains((owner, lease)) {
            return;
        }
        let recalls = offer.terms.memo && offer.program.is_pure() && !ctx.memo.is_empty();
        let task = recalls.then(|| offer.key.task_id(&input));
        let known = task.and_then(|task| ctx.memo.recall(task));
        if let Some((report, computer)) = &known
            && report.blobs().next().is_none()
        {
            let sealed = Sealed { report: report.clone(), memo: Some(*computer), leaf: None };
            ctx.counters.answered += 1;
            self.outbox.put(ctx, owner, lease, sealed);
            return;
        }
        let run = RunId(self.next_run);
        self.next_run += 1;
        let held = Held {
            owner,
            lease,
            program: Arc::clone(&offer.program),
            key: offer.key,
            terms: offer.terms,
            class: offer.class,
            task,
            input,
            known: known.map(Box::new),
            stage: Stage::Ready,
            awarded_at: ctx.now,
            handed_at: ctx.now,
            paused_at: ctx.now,
            queue_us: 0,
            printed: 0,
        };
        ctx.emit(Effect::Pin(held.program.module));
        ctx.pin(&held.program.files);
        ctx.pin(&held.input);
        self.held_by.add(held.class, 1);
        self.runs.insert(run, held);
        self.leases.insert((owner, lease), run);
        self.gather(ctx, run);
    }

    /// Has brought here what a task lacks; a task that lacks nothing is ready.
    fn gather(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        let (from, lacking) = match held.known.as_deref() {
            Some((report, computer)) => (*computer, blobs_with_lengths(report)),
            None => {
                let here = |blob: &BlobId| self.present.contains(blob);
                (held.owner, held.needs().into_iter().filter(|(blob, _)| !here(blob)).collect())
            }
        };
        held.stage = Stage::Fetching(u8::try_from(lacking.len()).unwrap_or(u8::MAX));
        if lacking.is_empty() {
            self.make_ready(run);
            return;
        }
        for (blob, bytes) in lacking {
            let (_, waiting) = self.fetching.entry(blob).or_insert_with(|| {
                ctx.emit(Effect::Fetch { blob, from: alloc::vec![from], bytes: Some(bytes) });
                (from, Vec::new())
            });
            waiting.push(run);
        }
    }

    /// Forgets a run, and what it rested on.
    fn drop_run(&mut self, ctx: &mut Ctx<'_>, run: RunId) -> Option<Held> {
        let held = self.runs.remove(&run)?;
        self.held_by.sub(held.class, 1);
        ctx.emit(Effect::Unpin(held.program.module));
        ctx.unpin(&held.program.files);
        ctx.unpin(&held.input);
        Some(held)
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, found: bool) {
        let Some((asked, runs)) = self.fetching.remove(&blob) else { return };
        let mut others: Vec<RunId> = Vec::new();
        for run in runs {
            let Some(held) = self.runs.get_mut(&run) else { continue };
            let Stage::Fetching(missing) = held.stage else { continue };
            if found {
                self.on_here(ctx, run, blob, missing);
            } else if held.known.is_some() {
                self.run_after_all(ctx, run);
            } else if held.owner == asked {
                let text = alloc::format!("the worker could not fetch blob {blob}");
                self.finish(ctx, run, Report::bare(Outcome::Lost(text)).into());
            } else {
                others.push(run);
            }
        }
        // What one owner could not give, another may.
        let next = others.first().and_then(|run| self.runs.get(run));
        if let Some((owner, bytes)) = next.map(|held| (held.owner, held.needs().get(&blob).copied())) {
            // A task that was looked for again meanwhile may wait for it already.
            match self.fetching.get_mut(&blob) {
                Some((_, waiting)) => waiting.extend(others),
                None => {
                    self.fetching.insert(blob, (owner, others));
                    ctx.emit(Effect::Fetch { blob, from: alloc::vec![owner], bytes });
                }
            }
        }
    }

    /// One blob that a task lacked is here.
    fn on_here(&mut self, ctx: &mut Ctx<'_>, run: RunId, blob: BlobId, missing: u8) {
        let Some(held) = self.runs.get_mut(&run) else { return };
        if held.program.module == blob || held.program.files.blob() == Some(blob) {
            if self.present.len() >= PRESENT_MAX {
                self.present.clear();
            }
            self.present.insert(blob);
        }
        if missing > 1 {
            held.stage = Stage::Fetching(missing - 1);
        } else if let Some(known) = held.known.take() {
            let (report, computer) = *known;
            ctx.counters.answered += 1;
            self.finish(ctx, run, Sealed { report, memo: Some(computer), leaf: None });
        } else {
            self.make_ready(run);
        }
    }

    /// What a known result rests on can't be had: it is forgotten, and the task runs like any other.
    fn run_after_all(&mut self, ctx: &mut Ctx<'_>, run: RunId) {
        for (_, waiting) in self.fetching.values_mut() {
            waiting.retain(|waits| *waits != run);
        }
        let Some(held) = self.runs.get_mut(&run) else { return };
        held.known = None;
        held.task.into_iter().for_each(|task| ctx.memo.drop_known(task));
        self.gather(ctx, run);
    }

    fn finish(&mut self, ctx: &mut Ctx<'_>, run: RunId, sealed: Sealed) {
        let Some(held) = self.drop_run(ctx, run) else { return };
        self.leases.remove(&(held.owner, held.lease));
        self.outbox.put(ctx, held.owner, held.lease, sealed);
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        let mut gone = false;
        for lease in leases {
            self.outbox.forget(ctx, owner, *lease);
            let Some(run) = self.leases.remove(&(owner, *lease)) else { continue };
            let Some(held) = self.runs.get_mut(&run) else { continue };
            match held.stage {
                Stage::Handed | Stage::Paused => self.abort(ctx, run),
                Stage::Aborted { .. } => {}
                Stage::Fetching(_) | Stage::Ready => {
                    self.drop_run(ctx, run);
                    gone = true;
                }
            }
        }
        if gone {
            self.forget_dropped();
        }
    }

    /// Takes runs that are gone out of what waits for something.
    fn forget_dropped(&mut self) {
        self.ready.retain(|(_, _, run)| self.runs.contains_key(run));
        for (_, waiting) in self.fetching.values_mut() {
            waiting.retain(|run| self.runs.contains_key(run));
        }
    }

    pub(crate) fn on_ack(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        for lease in leases {
            self.outbox.forget(ctx, owner, *lease);
        }
    }

    pub(crate) fn on_signed(&mut self, batch: u64, signature: [u8; 64]) {
        self.outbox.on_signed(batch, signature);
    }

    // ---- views

    /// Tasks held, whatever their stage, but not those only waiting to be aborted.
    pub(crate) fn held(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn handed(&self) -> u32 {
        self.handed
    }

    pub(crate) fn paused(&self) -> u32 {
        self.paused
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

/// Most that a worker ever holds and has promised together: its window, and for each class that may hold back others
/// as many tasks as it has slots.
pub(crate) fn offered_max(slots: u32) -> u32 {
    window::slots_to_offer(slots, 1, u32::MAX).saturating_add(slots.saturating_mul(3))
}

fn is_sound(award: &Award, job: JobId) -> bool {
    award.grants.iter().all(|grant| grant.lease.job == job && grant.input.is_sound())
}
