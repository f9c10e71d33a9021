//! What an owner knows of the room that workers keep for its short tasks, and which of its jobs wait for it. Plain
//! bookkeeping and one choice: who of those with room is thought to begin a task first.
//!
//! What is known of a worker is its last word and what was sent since (LSQ: Vargaftik, Keslassy and Orda, arXiv
//! 2003.02368): a view of one's own, corrected by each outcome, herds less than one that all share. With more than
//! [`SCAN_MAX`] workers two random ones are compared (Mitzenmacher 2000).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::job::Job;
use super::tour::Rank;
use crate::ctx::Ctx;
use crate::id::{BidId, JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{Class, Message};
use crate::policy::rank::wait_us;
use crate::standing::Trust;
use crate::time::{Soonest, Time};

/// Workers up to which all are compared.
const SCAN_MAX: usize = 32;
/// Draws until two workers with room are found, beyond which the better of those found counts.
const DRAWS_MAX: usize = 8;
/// Round trips are compared in steps of so many microseconds, so that the nearest by a hair does not get all.
const STEP_US: u64 = 64;
/// At most how often a worker that bids by itself has the calls looked through for those that did not ask it, in
/// milliseconds: all are repeated each second anyway.
const HEED_MS: u64 = 100;
/// Acknowledgements that wait for the next word to their worker, and how long they do at most, in milliseconds.
const ACKS_MAX: usize = 64;
const ACK_MS: u64 = 20;

/// What one worker takes.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) bid: BidId,
    /// How many tasks may be bound to it over its life.
    pub(super) limit: u64,
    pub(super) placed: u64,
    /// How many of them had come when it spoke last.
    pub(super) taken: u64,
    pub(super) held: u32,
    pub(super) slots: u32,
    pub(super) rtt_us: u32,
    pub(super) memory_bytes: u64,
    pub(super) class_min: Class,
    pub(super) expires_at: Time,
}

impl Row {
    /// Tasks there by its last word and what was sent since.
    fn estimate(&self) -> u64 {
        u64::from(self.held) + (self.placed - self.taken)
    }

    /// When a task sent now would begin, in microseconds from now, but for the way back.
    fn wait_us(&self, service_us: u32) -> u64 {
        wait_us(self.estimate(), self.slots, service_us) + u64::from(self.rtt_us)
    }

    fn is_open(&self, now: Time) -> bool {
        self.placed < self.limit && self.slots > 0 && self.expires_at > now
    }
}

/// Who could take a task.
#[derive(Clone, Copy)]
struct Candidate {
    /// How much it is trusted, then how soon it would begin, then how much it has.
    rank: (Trust, (u64, u64)),
    place: usize,
    wait_us: u64,
}

/// What the owner knows of standing room, and which of its jobs wait for it.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// In the order of their names.
    pub(super) rows: Vec<(PeerId, Row)>,
    /// Short jobs with tasks that wait: most urgent class first, then oldest.
    pub(super) short: BTreeSet<Rank>,
    /// Those of them that are called out like long ones, and since when.
    pub(super) called: BTreeMap<JobId, Time>,
    /// When those that wait are looked through for what is to be called out, and how far that has come.
    pub(super) look_at: Option<Time>,
    pub(super) looked_at: Option<Rank>,
    /// How far the tour has come of those that are tried behind the head.
    pub(super) toured: Option<Rank>,
    /// Before that nobody is asked for room again.
    pub(super) ask_after: Time,
    /// Workers whose bids by themselves had the calls looked through a moment ago, and until when they don't again.
    heeded: BTreeMap<PeerId, Time>,
    pub(super) acks: BTreeMap<PeerId, Vec<LeaseId>>,
    ack_at: Option<Time>,
}

impl Room {
    pub(super) fn place_of(&self, peer: PeerId) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&peer, |(of, _)| *of)
    }

    /// Nothing came on it yet.
    pub(super) fn is_fresh(&self, place: usize) -> bool {
        self.rows.get(place).is_some_and(|(_, row)| row.placed == 0)
    }

    /// There is no use for what a worker offers.
    pub(super) fn release(&mut self, ctx: &mut Ctx<'_>, worker: PeerId) {
        let Ok(place) = self.place_of(worker) else { return };
        let (_, row) = self.rows.remove(place);
        ctx.send(worker, Message::Release(row.bid));
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        if let Ok(place) = self.place_of(peer) {
            self.rows.remove(place);
        }
    }

    /// Whether the calls are looked through for those that did not ask this worker, which costs as much as there are.
    pub(super) fn heeds(&mut self, now: Time, worker: PeerId) -> bool {
        if self.heeded.get(&worker).is_some_and(|until| *until > now) {
            return false;
        }
        self.heeded.retain(|_, until| *until > now);
        self.heeded.insert(worker, now.plus_ms(HEED_MS));
        true
    }

    /// Whether an acknowledgement to that worker may wait for the next word to it.
    pub(super) fn defers_to(&self, worker: PeerId, now: Time) -> bool {
        self.place_of(worker)
            .is_ok_and(|place| self.rows.get(place).is_some_and(|(_, row)| row.expires_at > now))
    }

    /// Keeps acknowledgements back; what comes back is to be sent now.
    pub(super) fn defer(
        &mut self,
        worker: PeerId,
        leases: impl Iterator<Item = LeaseId>,
        now: Time,
    ) -> Option<Vec<LeaseId>> {
        let kept = self.acks.entry(worker).or_default();
        kept.extend(leases);
        self.ack_at.get_or_insert(now.plus_ms(ACK_MS));
        if kept.len() < ACKS_MAX { None } else { self.acks.remove(&worker) }
    }

    /// Acknowledgements whose time has come.
    pub(super) fn acks_due(&mut self, now: Time) -> BTreeMap<PeerId, Vec<LeaseId>> {
        if self.ack_at.is_some_and(|at| at <= now) {
            self.ack_at = None;
            core::mem::take(&mut self.acks)
        } else {
            BTreeMap::new()
        }
    }

    pub(super) fn add(&mut self, job: &Job) {
        self.short.insert(rank(job));
    }

    pub(super) fn remove(&mut self, job: &Job) {
        self.short.remove(&rank(job));
        self.called.remove(&job.what.job);
    }

    pub(super) fn next_wakeup(&self, next: &mut Soonest) {
        next.at(self.look_at, "a short task is called out");
        next.at(self.ack_at, "outcomes are acknowledged");
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.short.iter().map(|(_, _, name)| *name)
    }

    /// The worker that is thought to begin a task of that job first, and when, of those that are trusted most.
    pub(super) fn best(
        &self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        (job, index): (&Job, u32),
        trust: impl Fn(PeerId) -> Option<Trust>,
    ) -> Option<(usize, u64)> {
        let task = job.task(index)?;
        let now = ctx.now;
        // Trust and fit are looked up only for who could come before the best so far: of 32 that is four or five.
        let usable = |place: usize, best: Option<Candidate>| {
            let (peer, row) = self.rows.get(place).filter(|(_, row)| row.is_open(now))?;
            let wait_us = row.wait_us(job.service_us());
            let start = (wait_us / STEP_US, row.estimate());
            if best.is_some_and(|best| (Trust::Full, start) >= best.rank) {
                return None;
            }
            let rank = (trust(*peer)?, start);
            let fits = job.what.class >= row.class_min
                && row.memory_bytes >= job.what.program.limits.memory_bytes
                && (job.what.needs.labels.is_empty() || members.fits(*peer, &job.what.needs))
                && !task.avoids(*peer);
            fits.then_some(Candidate { rank, place, wait_us })
        };
        let count = self.rows.len();
        if count == 0 {
            return None;
        }
        let first = usize::try_from(ctx.fresh_id() % count as u64).unwrap_or(0);
        let sooner = |best: Option<Candidate>, place| match usable(place, best) {
            Some(next) if best.is_none_or(|best| next.rank < best.rank) => Some(next),
            Some(_) | None => best,
        };
        let best = if count <= SCAN_MAX {
            (first..count).chain(0..first).fold(None, sooner)
        } else {
            let draws = (0..DRAWS_MAX).map(|_| usize::try_from(ctx.fresh_id() % count as u64).unwrap_or(0));
            draws.filter_map(|place| usable(place, None)).take(2).min_by_key(|candidate| candidate.rank)
        };
        best.map(|best| (best.place, best.wait_us))
    }
}

pub(super) fn rank(job: &Job) -> Rank {
    (Reverse(job.what.class), job.number, job.what.job)
}
