//! Outcomes that are not acknowledged yet. Each is sent at once, sent again while its owner is silent, and gossiped
//! when the owner can't be reached, so that it arrives over any path that exists. The worker puts them in;
//! acknowledgements and age take them out.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::receipts::{Batches, Unsigned};
use super::retaining::Retaining;
use crate::codec::encode_gossip;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Credit, Delivery, Gossip, Message};
use crate::policy::agreed::{RESEND_MAX_MS, UNDELIVERED_PER_OWNER_MAX};
use crate::receipt::Proof;
use crate::retained::RetainedKey;
use crate::task::{Payload, Report};
use crate::time::Time;

/// Bytes of outcomes in one frame beyond which a second one is begun.
const FRAME_BYTES: u64 = 256 * 1024;
/// Outcomes gossiped in one second; the rest waits its turn.
const GOSSIPED_MAX: u32 = 32;
/// Undelivered outcomes beyond which the worker takes no new work.
const UNDELIVERED_MAX: usize = 32_768;
const _: () = assert!(
    UNDELIVERED_MAX >= 16 * UNDELIVERED_PER_OWNER_MAX,
    "a few silent owners must not stop the work for all"
);
/// Bytes that undelivered outcomes carry themselves, beyond which the worker takes no new work.
const UNDELIVERED_BYTES_MAX: u64 = 256 << 20;
/// The same of one owner.
const UNDELIVERED_BYTES_PER_OWNER_MAX: u64 = 16 << 20;
/// Bytes that a gossiped outcome carries itself; longer ones are named by hash and fetched.
const GOSSIP_INLINE_MAX: usize = 1024;

/// An outcome in its final form.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) report: Arc<Report>,
    /// The node that computed it before, if nothing ran here.
    pub(super) memo: Option<PeerId>,
    /// The leaf to sign, if its owner wants a receipt of a task that ran here.
    pub(super) leaf: Option<[u8; 32]>,
}

impl Sealed {
    /// Whether it needs no signature and names no blob.
    pub(super) fn is_plain(&self) -> bool {
        self.leaf.is_none() && self.report.blobs().next().is_none()
    }
}

impl From<Report> for Sealed {
    fn from(report: Report) -> Self {
        Self { report: Arc::new(report), memo: None, leaf: None }
    }
}

/// One outcome that its owner has not acknowledged.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) sealed: Sealed,
    pub(super) proof: Option<Box<Proof>>,
    pub(super) since: Time,
    send_at: Time,
    wait_ms: u64,
    /// It is on the disk, too.
    pub(super) is_written: bool,
}

impl Undelivered {
    pub(super) fn delivery(&self, lease: LeaseId) -> Delivery {
        let Sealed { report, memo, leaf: _ } = &self.sealed;
        Delivery { lease, report: report.clone(), memo: *memo, proof: self.proof.clone() }
    }
}

/// How many outcomes wait, and what they carry themselves, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    outcomes: usize,
    bytes: u64,
}

impl Load {
    fn add(&mut self, report: &Report) {
        self.outcomes += 1;
        self.bytes += report.carried_len();
    }

    fn sub(&mut self, report: &Report) {
        self.outcomes -= 1;
        self.bytes -= report.carried_len();
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Boxed: a map moves its values about.
    pub(super) kept: BTreeMap<(PeerId, LeaseId), Box<Undelivered>>,
    due: BTreeSet<(Time, PeerId, LeaseId)>,
    /// What ended and was not sent yet.
    fresh: Vec<(PeerId, LeaseId)>,
    /// Outcomes for this node's own owner, which gets them before the input is done with: none of them can be lost.
    own: Vec<Delivery>,
    /// How many of them wait for each owner, and what these carry.
    by_owner: BTreeMap<PeerId, Load>,
    all: Load,
    /// Fresh ones that are to be signed first.
    unsigned: Vec<Unsigned>,
    batches: Batches,
    pub(super) retaining: Retaining,
    gossiped: u32,
    gossiped_since: Time,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.kept.keys().copied()
    }

    /// Those of an owner's job.
    pub(super) fn leases_of_job(&self, owner: PeerId, job: JobId) -> impl Iterator<Item = LeaseId> + '_ {
        let range = (owner, LeaseId { job, ..LeaseId::FIRST })..=(owner, LeaseId { job, ..LeaseId::LAST });
        self.kept.range(range).map(|((_, lease), _)| *lease)
    }

    fn drop_entry(&mut self, ctx: &mut Ctx<'_>, of: RetainedKey, entry: &Undelivered) {
        let RetainedKey { owner, lease } = of;
        entry.sealed.report.payloads().into_iter().for_each(|payload| ctx.unpin(payload));
        self.uncount(owner, entry);
        if entry.is_written {
            self.retaining.remove(owner, lease, &entry.sealed.report);
        }
        let Self { retaining, kept, .. } = self;
        retaining.prune(|owner, lease| !kept.contains_key(&(owner, lease)));
    }

    fn uncount(&mut self, owner: PeerId, entry: &Undelivered) {
        self.all.sub(&entry.sealed.report);
        if let Some(load) = self.by_owner.get_mut(&owner) {
            load.sub(&entry.sealed.report);
            if load.outcomes == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }

    pub(super) fn contains(&self, owner: PeerId, lease: LeaseId) -> bool {
        self.kept.contains_key(&(owner, lease))
    }

    pub(super) fn put(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, lease: LeaseId, sealed: Sealed) {
        let wait_ms = ctx.mesh.resend_ms;
        let send_at = ctx.now.plus_ms(wait_ms);
        sealed.report.payloads().into_iter().for_each(|payload| ctx.pin(payload));
        let leaf = sealed.leaf;
        self.all.add(&sealed.report);
        self.by_owner.entry(owner).or_default().add(&sealed.report);
        let entry = Undelivered { sealed, proof: None, since: ctx.now, send_at, wait_ms, is_written: false };
        self.retaining.on_ended(ctx.now, owner, lease);
        if let Some(before) = self.kept.insert((owner, lease), Box::new(entry)) {
            debug_assert!(false, "a lease that is in the outbox is not held again");
            self.due.remove(&(before.send_at, owner, lease));
            self.drop_entry(ctx, RetainedKey { owner, lease }, &before);
        }
        self.due.insert((send_at, owner, lease));
        match leaf {
            Some(leaf) => self.unsigned.push((owner, lease, leaf)),
            None => self.fresh.push((owner, lease)),
        }
    }

    pub(super) fn forget(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, lease: LeaseId) {
        if let Some(entry) = self.kept.remove(&(owner, lease)) {
            self.due.remove(&(entry.send_at, owner, lease));
            self.drop_entry(ctx, RetainedKey { owner, lease }, &entry);
        }
    }

    /// An owner restarted: outcomes of jobs that it does not keep are of no use.
    pub(super) fn forget_unkept(&mut self, ctx: &mut Ctx<'_>, owner: PeerId) {
        let range = (owner, LeaseId::FIRST)..=(owner, LeaseId::LAST);
        let leases = self.kept.range(range).map(|((_, lease), _)| *lease);
        for lease in leases.filter(|lease| lease.epoch == 0).collect::<Vec<_>>() {
            self.forget(ctx, owner, lease);
        }
        self.fresh.retain(|(to, lease)| *to != owner || lease.epoch > 0);
        self.unsigned.retain(|(to, lease, _)| *to != owner || lease.epoch > 0);
    }

    /// An outcome is another node's from now on, and sent to it at once.
    pub(super) fn hand_over(&mut self, ctx: &mut Ctx<'_>, of: RetainedKey, to: PeerId) {
        let RetainedKey { owner, lease } = of;
        let Some(mut entry) = self.kept.remove(&(owner, lease)) else { return };
        self.due.remove(&(entry.send_at, owner, lease));
        self.uncount(owner, &entry);
        if core::mem::take(&mut entry.is_written) {
            self.retaining.remove(owner, lease, &entry.sealed.report);
        }
        self.retaining.on_ended(ctx.now, to, lease);
        self.all.add(&entry.sealed.report);
        self.by_owner.entry(to).or_default().add(&entry.sealed.report);
        entry.send_at = ctx.now;
        self.due.insert((ctx.now, to, lease));
        if let Some(leaf) = entry.sealed.leaf.filter(|_| entry.proof.is_none()) {
            self.unsigned.retain(|(of, name, _)| (*of, *name) != (owner, lease));
            self.unsigned.push((to, lease, leaf));
        }
        self.kept.insert((to, lease), entry);
    }

    /// The owner is connected again, or wants to know what there is of a job: all that it has not acknowledged is sent again at
    /// once.
    pub(super) fn resend_now(&mut self, owner: PeerId, job: Option<JobId>, now: Time) {
        let first = job.map_or(LeaseId::FIRST, |job| LeaseId { job, ..LeaseId::FIRST });
        let last = job.map_or(LeaseId::LAST, |job| LeaseId { job, ..LeaseId::LAST });
        for ((_, lease), entry) in self.kept.range_mut((owner, first)..=(owner, last)) {
            self.due.remove(&(entry.send_at, owner, *lease));
            entry.send_at = now;
            self.due.insert((now, owner, *lease));
        }
    }

    /// Hands an outcome to this node's own owner.
    pub(super) fn put_own(&mut self, lease: LeaseId, sealed: Sealed) {
        let Sealed { report, memo, leaf: _ } = sealed;
        if self.own.is_empty() {
            // Most come one at a time, and are large.
            self.own.reserve_exact(1);
        }
        self.own.push(Delivery { lease, report, memo, proof: None });
    }

    /// What this node's own owner is to be handed, in frames.
    pub(super) fn take_own(&mut self) -> impl Iterator<Item = Vec<Delivery>> + use<> {
        let mut rest = core::mem::take(&mut self.own);
        core::iter::from_fn(move || {
            let behind = rest.split_off(rest.len().min(BATCH_MAX));
            let part = core::mem::replace(&mut rest, behind);
            (!part.is_empty()).then_some(part)
        })
    }

    /// What ended since it was last asked for, and is to be sent, by owner; what is to be signed comes once it is, or
    /// with the first repetition.
    pub(super) fn take_fresh(&mut self, ctx: &mut Ctx<'_>) -> Vec<(PeerId, LeaseId)> {
        if !self.unsigned.is_empty() {
            let unsigned = core::mem::take(&mut self.unsigned);
            self.fresh.extend(self.batches.open(ctx, &unsigned));
        }
        self.fresh.sort_by_key(|(owner, _)| *owner);
        core::mem::take(&mut self.fresh)
    }

    /// The list is kept: every input fills and empties it.
    pub(super) fn reuse(&mut self, mut sent: Vec<(PeerId, LeaseId)>) {
        sent.clear();
        sent.append(&mut self.fresh);
        self.fresh = sent;
    }

    /// Whether a bound of unacknowledged outcomes is reached, so that no new work is accepted.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= UNDELIVERED_MAX || self.all.bytes >= UNDELIVERED_BYTES_MAX
    }

    /// Whether an owner has acknowledged enough to be promised more.
    pub(super) fn takes(&self, owner: PeerId) -> bool {
        let Load { outcomes, bytes } = self.by_owner.get(&owner).copied().unwrap_or_default();
        !self.is_full() && outcomes < UNDELIVERED_PER_OWNER_MAX && bytes < UNDELIVERED_BYTES_PER_OWNER_MAX
    }

    pub(super) fn on_signed(&mut self, batch: u64, signature: [u8; 64]) {
        for (owner, lease, proof) in self.batches.close(batch, signature) {
            let Some(entry) = self.kept.get_mut(&(owner, lease)) else { continue };
            entry.proof = Some(Box::new(proof));
            self.fresh.push((owner, lease));
        }
    }

    pub(super) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        self.batches.expire(ctx.now, ctx.mesh.resend_ms);
        if self.due.first().is_none_or(|(at, ..)| *at > ctx.now) {
            return;
        }
        let mut direct: BTreeMap<PeerId, Vec<LeaseId>> = BTreeMap::new();
        while let Some(&(at, owner, lease)) = self.due.first() {
            if at > ctx.now {
                break;
            }
            self.due.pop_first();
            let entry = self.kept.get_mut(&(owner, lease)).expect("what is due is kept");
            if ctx.now.since_us(entry.since) > 1000 * ctx.mesh.keep_ms {
                ctx.counters.dropped += 1;
                let entry = self.kept.remove(&(owner, lease));
                entry.iter().for_each(|entry| self.drop_entry(ctx, RetainedKey { owner, lease }, entry));
                continue;
            }
            entry.send_at = ctx.now.plus_ms(entry.wait_ms);
            entry.wait_ms = (entry.wait_ms * 2).min(RESEND_MAX_MS);
            self.due.insert((entry.send_at, owner, lease));
            ctx.counters.resent += 1;
            if owner == ctx.me || members.is_reachable(owner) {
                direct.entry(owner).or_default().push(lease);
            }
            if owner != ctx.me && ctx.now.since_us(entry.since) >= 1000 * ctx.mesh.resend_ms {
                self.gossip(ctx, owner, lease);
            }
        }
        for (owner, leases) in direct {
            self.send(ctx, owner, leases.into_iter(), None);
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        let due = self.due.first().map(|(at, _, _)| *at);
        due.into_iter().chain(self.retaining.next_wakeup()).min()
    }

    /// Sends outcomes, and with the last of them the owner's new credit.
    pub(super) fn send(
        &self,
        ctx: &mut Ctx<'_>,
        owner: PeerId,
        leases: impl ExactSizeIterator<Item = LeaseId>,
        credit: Option<Credit>,
    ) {
        let mut frame: Vec<Delivery> = Vec::with_capacity(leases.len().min(BATCH_MAX));
        let mut bytes = 0;
        for lease in leases {
            let Some(entry) = self.kept.get(&(owner, lease)) else { continue };
            let delivery = entry.delivery(lease);
            bytes += delivery.report.payloads().into_iter().map(Payload::inline_len).sum::<u64>();
            frame.push(delivery);
            if frame.len() >= BATCH_MAX || bytes >= FRAME_BYTES {
                bytes = 0;
                ctx.send(owner, Message::Outcome(core::mem::take(&mut frame)));
            }
        }
        match credit {
            Some(credit) => ctx.send(owner, Message::Ended { all: frame, credit }),
            None if frame.is_empty() => {}
            None => ctx.send(owner, Message::Outcome(frame)),
        }
    }

    fn gossip(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, lease: LeaseId) {
        if ctx.now.since_us(self.gossiped_since) >= 1_000_000 {
            self.gossiped_since = ctx.now;
            self.gossiped = 0;
        }
        let Some(entry) = self.kept.get(&(owner, lease)).filter(|_| self.gossiped < GOSSIPED_MAX) else {
            return;
        };
        let mut delivery = entry.delivery(lease);
        let Report { output, errors, files, .. } = Arc::make_mut(&mut delivery.report);
        for payload in [output, errors, files] {
            ctx.by_name(payload, GOSSIP_INLINE_MAX);
        }
        let gossip = Gossip::Outcome { owner, delivery };
        if encode_gossip(&gossip).is_err() {
            ctx.counters.dropped += 1;
            return;
        }
        self.gossiped += 1;
        ctx.emit(Effect::Publish(gossip));
    }
}
