//! Outcomes on their way home. Each is kept until its owner acknowledges it: sent at once, sent again while the owner
//! is silent, and told to everybody when it can't be reached, for a result finds its way over any path that exists.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::codec::encode_gossip;
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BlobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Delivery, Gossip, Message};
use crate::task::{Payload, Report};
use crate::time::Time;

/// Bytes of outcomes in one frame beyond which a second one is begun.
const FRAME_BYTES: u64 = 256 * 1024;
/// Longest wait between two attempts to deliver, in milliseconds.
const RESEND_MAX_MS: u64 = 8000;
/// Outcomes told to everybody in one second; the rest waits its turn.
const GOSSIPED_MAX: u32 = 32;
/// Bytes that a gossiped outcome carries itself; longer ones are named by hash and fetched.
const GOSSIP_INLINE_MAX: usize = 1024;

/// One outcome that nobody acknowledged yet.
#[derive(Debug)]
struct Undelivered {
    report: Report,
    since: Time,
    send_at: Time,
    wait_ms: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    kept: BTreeMap<(PeerId, LeaseId), Undelivered>,
    due: BTreeSet<(Time, PeerId, LeaseId)>,
    fresh: BTreeMap<PeerId, Vec<LeaseId>>,
    /// How many of them wait for each owner.
    by_owner: BTreeMap<PeerId, usize>,
    gossiped: u32,
    gossiped_since: Time,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn len_of(&self, owner: PeerId) -> usize {
        self.by_owner.get(&owner).copied().unwrap_or(0)
    }

    fn drop_entry(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, entry: &Undelivered) {
        ctx.unpin(&entry.report.output);
        ctx.unpin(&entry.report.errors);
        if let Some(count) = self.by_owner.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }

    pub(super) fn contains(&self, key: (PeerId, LeaseId)) -> bool {
        self.kept.contains_key(&key)
    }

    pub(super) fn put(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, lease: LeaseId, report: Report) {
        let wait_ms = ctx.mesh.resend_ms;
        let send_at = ctx.now.plus_ms(wait_ms);
        ctx.pin(&report.output);
        ctx.pin(&report.errors);
        let entry = Undelivered { report, since: ctx.now, send_at, wait_ms };
        match self.kept.insert((owner, lease), entry) {
            None => *self.by_owner.entry(owner).or_default() += 1,
            Some(_) => debug_assert!(false, "a lease that is in the outbox is not held again"),
        }
        self.due.insert((send_at, owner, lease));
        self.fresh.entry(owner).or_default().push(lease);
    }

    pub(super) fn forget(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, lease: LeaseId) {
        if let Some(entry) = self.kept.remove(&(owner, lease)) {
            self.due.remove(&(entry.send_at, owner, lease));
            self.drop_entry(ctx, owner, &entry);
        }
    }

    pub(super) fn forget_owner(&mut self, ctx: &mut Ctx<'_>, owner: PeerId) {
        let range = (owner, LeaseId::FIRST)..=(owner, LeaseId::LAST);
        let leases: Vec<LeaseId> = self.kept.range(range).map(|((_, lease), _)| *lease).collect();
        for lease in leases {
            self.forget(ctx, owner, lease);
        }
        self.fresh.remove(&owner);
    }

    /// The owner is back: whatever it has not acknowledged goes out again with the next look at the time.
    pub(super) fn resend_now(&mut self, owner: PeerId, now: Time) {
        let range = (owner, LeaseId::FIRST)..=(owner, LeaseId::LAST);
        for ((_, lease), entry) in self.kept.range_mut(range) {
            self.due.remove(&(entry.send_at, owner, *lease));
            entry.send_at = now;
            self.due.insert((now, owner, *lease));
        }
    }

    /// Sends what ended since the last flush.
    pub(super) fn flush(&mut self, ctx: &mut Ctx<'_>) {
        for (owner, leases) in core::mem::take(&mut self.fresh) {
            self.send(ctx, owner, &leases);
        }
    }

    pub(super) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        let mut direct: BTreeMap<PeerId, Vec<LeaseId>> = BTreeMap::new();
        while let Some(&(at, owner, lease)) = self.due.first() {
            if at > ctx.now {
                break;
            }
            self.due.pop_first();
            let Some(entry) = self.kept.get_mut(&(owner, lease)) else { continue };
            if ctx.now.since_us(entry.since) > 1000 * ctx.mesh.keep_ms {
                ctx.counters.dropped += 1;
                let entry = self.kept.remove(&(owner, lease));
                entry.iter().for_each(|entry| self.drop_entry(ctx, owner, entry));
                continue;
            }
            entry.send_at = ctx.now.plus_ms(entry.wait_ms);
            entry.wait_ms = (entry.wait_ms * 2).min(RESEND_MAX_MS);
            self.due.insert((entry.send_at, owner, lease));
            ctx.counters.resent += 1;
            if owner == ctx.me || members.is_connected(owner) {
                direct.entry(owner).or_default().push(lease);
            }
            if owner != ctx.me && ctx.now.since_us(entry.since) >= 1000 * ctx.mesh.resend_ms {
                self.gossip(ctx, owner, lease);
            }
        }
        for (owner, leases) in direct {
            self.send(ctx, owner, &leases);
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.due.first().map(|(at, _, _)| *at)
    }

    fn send(&self, ctx: &mut Ctx<'_>, owner: PeerId, leases: &[LeaseId]) {
        let mut frame: Vec<Delivery> = Vec::new();
        let mut bytes = 0;
        for lease in leases {
            let Some(entry) = self.kept.get(&(owner, *lease)) else { continue };
            let report = &entry.report;
            bytes += inline_bytes(&report.output) + inline_bytes(&report.errors);
            frame.push(Delivery { lease: *lease, report: report.clone(), memo: None, proof: None });
            if frame.len() >= BATCH_MAX || bytes >= FRAME_BYTES {
                bytes = 0;
                ctx.send(owner, Message::Outcome(core::mem::take(&mut frame)));
            }
        }
        if !frame.is_empty() {
            ctx.send(owner, Message::Outcome(frame));
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
        let mut report = entry.report.clone();
        for payload in [&mut report.output, &mut report.errors] {
            by_name(ctx, payload);
        }
        let gossip = Gossip::Outcome { owner, delivery: Delivery { lease, report, memo: None, proof: None } };
        if encode_gossip(&gossip).is_err() {
            ctx.counters.dropped += 1;
            return;
        }
        self.gossiped += 1;
        ctx.emit(Effect::Publish(gossip));
    }
}

/// Replaces bytes that are too long for gossip by their name, and keeps them where others can fetch them.
fn by_name(ctx: &mut Ctx<'_>, payload: &mut Payload) {
    let Payload::Inline(bytes) = payload else { return };
    if bytes.len() <= GOSSIP_INLINE_MAX {
        return;
    }
    let named = Payload::Blob { id: BlobId::of(bytes), bytes: bytes.len() as u64 };
    ctx.emit(Effect::Stash(bytes.clone()));
    *payload = named;
}

fn inline_bytes(payload: &Payload) -> u64 {
    match payload {
        Payload::Inline(bytes) => bytes.len() as u64,
        Payload::Blob { .. } => 0,
    }
}
