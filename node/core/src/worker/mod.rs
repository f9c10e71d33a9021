//! The worker: considers others' calls, bids, holds what it is awarded, hands it to the slots, delivers what they
//! say. It trusts no owner: what it holds is bounded by what it offered. Driven by the engine.

mod ageing;
mod ahead;
mod bids;
mod classes;
mod gone;
mod hold;
mod memory;
mod outbox;
mod overlong;
mod receipts;
mod slots;
mod stand;
mod stats;
mod views;
mod watch;
mod wide;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::config::NodeConfig;
use crate::ctx::Ctx;
use crate::id::{BidId, BlobId, CallId, JobId, LeaseId, PeerId, RunId, TaskId};
use crate::message::{Award, BATCH_MAX, Call, Class, Progress};
use crate::policy::Owners;
use crate::policy::share::Shares;
use crate::task::{Payload, Program, Report, TaskKey, Terms};
use crate::time::Time;
use ahead::Standings;
use classes::PerClass;
use outbox::Outbox;

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
    /// It stood in the slots' own queue, and is taken out of it again for a task of a higher class.
    TakenBack,
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
    /// The class that it counts as: its own, or a higher one for having waited.
    class: Class,
    /// How many slots it takes.
    width: u32,
    /// What it was thought to take when it came, in microseconds; 0 if nobody knew.
    estimate_us: u32,
    /// What it took, once it has ended, in microseconds.
    ran_us: Option<u64>,
    /// When it counts as one class higher, while it waits for a slot.
    ages_at: Option<Time>,
    /// How long it must wait for that, while it does not, in microseconds.
    age_left_us: u64,
    /// Its place among those that are ready.
    ready_turn: u64,
    /// Its name, once somebody asked.
    task: Option<TaskId>,
    input: Payload,
    /// Its result, which this node computed before, while what that rests on is looked for.
    known: Option<Box<Report>>,
    stage: Stage,
    /// The slots say that it waits for its module to be compiled.
    compiling: bool,
    awarded_at: Time,
    /// When it began, later by as much as it was paused.
    handed_at: Time,
    paused_at: Time,
    /// Between award and start, in microseconds.
    queue_us: u64,
    /// What it streamed, in bytes.
    printed: u64,
    /// It came on a standing bid, and takes so long by what was known then, in microseconds.
    ahead: Option<u32>,
    /// It was thought to take longer than is worth waiting for, or nothing was known.
    long: bool,
}

impl Held {
    /// How far it is, for people.
    fn progress(&self) -> Progress {
        match self.stage {
            Stage::Fetching(_) => Progress::Fetching,
            Stage::Handed if self.compiling => Progress::Compiling,
            Stage::Handed | Stage::Paused => Progress::Running,
            Stage::Ready | Stage::TakenBack | Stage::Aborted { .. } => Progress::Waiting,
        }
    }

    /// The blobs that must be here before it can run, with the lengths that its owner claims.
    fn needs(&self) -> BTreeSet<(BlobId, u64)> {
        let Program { module, module_bytes, files, .. } = &*self.program;
        let payloads = [files, &self.input].into_iter();
        let others = payloads.filter_map(|payload| Some((payload.blob()?, payload.bytes_len())));
        core::iter::once((*module, *module_bytes)).chain(others).collect()
    }
}

/// A blob on its way here.
#[derive(Debug)]
struct Fetching {
    /// Who was asked for it.
    from: PeerId,
    /// The length that was claimed; the answer holds for no other.
    bytes: u64,
    /// Which runs wait for it, each with the length that it was told.
    waiting: Vec<(RunId, u64)>,
}

/// What the tasks of one call have in common.
struct Offer {
    program: Arc<Program>,
    key: TaskKey,
    terms: Terms,
    class: Class,
    /// How many slots one takes.
    width: u32,
    /// What one takes, in microseconds, if it comes on a standing bid.
    ahead: Option<u32>,
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
    /// Slots of all that is held.
    held_slots: u32,
    /// A wide call keeps what becomes free, so that nothing is offered to strangers.
    keeps: bool,
    /// Boxed: a map moves its values about.
    runs: BTreeMap<RunId, Box<Held>>,
    leases: BTreeMap<(PeerId, LeaseId), RunId>,
    /// Slots of what is held, by class.
    held_by: PerClass,
    /// Those of long tasks.
    long_by: PerClass,
    given: overlong::Given,
    standings: Standings,
    /// What is held is thought to take so long together, in microseconds.
    work_by: PerClass<u64>,
    /// Time used by each owner.
    shares: Shares,
    /// What waits for a slot, by when it counts as one class higher.
    ageing: BTreeSet<(Time, RunId)>,
    /// By class, then by when it was ready.
    ready: BTreeSet<(Reverse<Class>, u64, RunId)>,
    next_ready: u64,
    /// What the slots were given and have not answered, paused ones included.
    handed: u32,
    /// Those that are paused, or were when they were aborted.
    paused: u32,
    /// Slots that they would take.
    paused_slots: u32,
    /// Slots of those that are not, by class.
    busy_by: PerClass,
    /// Those that wait to be resumed: highest class first, then oldest.
    resting: BTreeSet<(Reverse<Class>, RunId)>,
    /// When those that run are not short any more, if something waits for that.
    look_at: Option<Time>,
    fetching: BTreeMap<BlobId, Fetching>,
    /// Blobs that are here and have that length: who claims another has not said the truth about them.
    present: BTreeSet<(BlobId, u64)>,
    services: stats::Services,
    outbox: Outbox,
    next_run: u64,
    next_turn: u64,
    renew_at: Option<Time>,
    /// Owners whose last bid ran out unused, and when; they come last until they use one, or for so long that others
    /// who waited count as more urgent.
    wasteful: BTreeMap<PeerId, Time>,
    stands: stand::Stands,
    gone: gone::Gone,
    memory: memory::Memory,
    /// What leaves the slots for good because there was no memory to hold it.
    stopping: BTreeSet<RunId>,
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
            held_slots: 0,
            keeps: false,
            runs: BTreeMap::new(),
            leases: BTreeMap::new(),
            held_by: PerClass::default(),
            long_by: PerClass::default(),
            given: overlong::Given::default(),
            standings: Standings::default(),
            work_by: PerClass::default(),
            shares: Shares::default(),
            ageing: BTreeSet::new(),
            ready: BTreeSet::new(),
            next_ready: 0,
            handed: 0,
            paused: 0,
            paused_slots: 0,
            busy_by: PerClass::default(),
            resting: BTreeSet::new(),
            look_at: None,
            fetching: BTreeMap::new(),
            present: BTreeSet::new(),
            services: stats::Services::default(),
            outbox: Outbox::default(),
            next_run: 0,
            next_turn: 0,
            renew_at: None,
            wasteful: BTreeMap::new(),
            stands: stand::Stands::default(),
            gone: gone::Gone::default(),
            memory: memory::Memory::default(),
            stopping: BTreeSet::new(),
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
            (*job, Offer { program, key: open.key, terms, class, width, ahead: None })
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
        let mut gone = false;
        for lease in ctx.within_frame(leases) {
            self.outbox.forget(ctx, owner, *lease);
            let Some(run) = self.leases.remove(&(owner, *lease)) else { continue };
            let Some(held) = self.runs.get_mut(&run) else { continue };
            match held.stage {
                Stage::Handed | Stage::Paused => self.abort(ctx, run),
                Stage::TakenBack => held.stage = Stage::Aborted { paused: false },
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
        for fetching in self.fetching.values_mut() {
            fetching.waiting.retain(|(run, _)| self.runs.contains_key(run));
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
}

fn is_sound(award: &Award, job: JobId) -> bool {
    award.grants.len() <= BATCH_MAX
        && award.grants.iter().all(|grant| grant.lease.job == job && grant.input.is_sound())
}
