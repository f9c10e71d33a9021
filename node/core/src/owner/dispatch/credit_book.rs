//! What an owner knows of the credit that workers grant for its short tasks, and which of its jobs wait for credit.
//! Plain bookkeeping and one choice: which worker with credit is thought to begin a task first.
//!
//! What is known of a worker is its last word and what was sent since (LSQ: Vargaftik, Keslassy and Orda, arXiv
//! 2003.02368): a view of one's own, corrected by each outcome, herds less than one that all share. With more than
//! [`SCAN_MAX`] workers two random ones are compared (Mitzenmacher 2000).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use super::open_call::SLOTS_MAX;
use super::strategy::{Rank, rank};
use crate::ctx::Ctx;
use crate::id::{BidId, JobId, LeaseId, PeerId};
use crate::membership::{Means, Membership};
use crate::message::{Class, Credit, Message};
use crate::owner::job::Job;
use crate::owner::task::Task;
use crate::policy::rank::wait_us;
use crate::reputation::Trust;
use crate::time::{Soonest, Time};

/// Workers up to which all are compared.
const SCAN_MAX: usize = 32;
/// Draws until two workers with credit are found, beyond which the better of those found counts.
const DRAWS_MAX: usize = 8;
/// Round trips are compared in steps of this many microseconds, so that the nearest by a hair does not get all.
const STEP_US: u64 = 64;
/// At most how often a worker that bids by itself has the calls looked through for those that did not ask it, in
/// milliseconds: all are repeated each second anyway.
const HEED_MS: u64 = 100;
/// Acknowledgements that wait for the next message to their worker, and how long they do at most, in milliseconds.
const ACKS_MAX: usize = 64;
const ACK_MS: u64 = 20;
/// For how long a job that is called out like a long one keeps others from that, in milliseconds: what found no worker
/// by then waits like a long one, however long.
const CALLED_MS: u64 = 1000;

/// The credit of one worker.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) bid: BidId,
    /// How many tasks may be sent on it over its life.
    limit: u64,
    pub(super) sent: u64,
    /// How many of them had come when the worker spoke last.
    taken: u64,
    held: u32,
    slots: u32,
    rtt_us: u32,
    memory_bytes: u64,
    class_min: Class,
    expires_at: Time,
}

impl Account {
    /// Tasks there by its last word and what was sent since.
    fn estimate(&self) -> u64 {
        u64::from(self.held) + (self.sent - self.taken)
    }

    /// When a task sent now would begin, in microseconds from now, but for the way back.
    fn wait_us(&self, service_us: u32) -> u64 {
        wait_us(self.estimate(), self.slots, service_us).saturating_add(u64::from(self.rtt_us))
    }

    fn is_open(&self, now: Time) -> bool {
        self.sent < self.limit && self.slots > 0 && self.expires_at > now
    }
}

/// A worker that could take a task.
#[derive(Clone, Copy)]
struct Candidate {
    /// How much it is trusted, then how soon it would begin, then how much it has.
    rank: (Trust, (u64, u64)),
    place: usize,
    wait_us: u64,
}

/// A task that wants a worker with credit.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) job: &'a Job,
    pub(super) task: &'a Task,
    pub(super) members: &'a Membership,
}

/// What the owner knows of credit, and which of its jobs wait for some.
#[derive(Debug, Default)]
pub(in crate::owner) struct CreditBook {
    /// In the order of their names.
    rows: Vec<(PeerId, Account)>,
    /// Short jobs with tasks that wait: most urgent class first, then oldest.
    waiting: BTreeSet<Rank>,
    /// Those of them that call for bids like long ones, and since when.
    called: BTreeMap<JobId, Time>,
    /// When those that wait are looked through for what is to call for bids, and how far that has come.
    pub(super) overflow_at: Option<Time>,
    pub(super) overflow_cursor: Option<Rank>,
    /// How far the scan has come of those that are tried behind the head.
    pub(super) scan_cursor: Option<Rank>,
    /// No worker is asked for credit sooner.
    pub(super) ask_after: Time,
    /// Workers whose bids by themselves had the calls looked through a moment ago, and until when they don't again.
    heeded: BTreeMap<PeerId, Time>,
    acks: BTreeMap<PeerId, Vec<LeaseId>>,
    ack_at: Option<Time>,
}

impl CreditBook {
    // ---- the workers

    fn place_of(&self, peer: PeerId) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&peer, |(of, _)| *of)
    }

    fn of(&self, peer: PeerId) -> Option<&Account> {
        self.rows.get(self.place_of(peer).ok()?).map(|(_, credit)| credit)
    }

    /// A connected worker says what credit it grants.
    pub(super) fn on_grant(&mut self, ctx: &Ctx<'_>, from: PeerId, granted: Credit, means: Means) {
        let Means { rtt_us, memory_bytes } = means;
        let Credit { bid, taken, room, held, slots, ttl_ms, class_min } = granted;
        let fresh = Account {
            bid,
            limit: taken.saturating_add(u64::from(room.min(SLOTS_MAX))),
            sent: taken,
            taken,
            held,
            slots: slots.min(SLOTS_MAX),
            rtt_us,
            memory_bytes,
            class_min,
            expires_at: ctx.now.plus_ms(u64::from(ttl_ms).min(ctx.mesh.bid_ms)),
        };
        let place = self.place_of(from);
        match place.map(|place| self.rows.get_mut(place)) {
            Err(place) => self.rows.insert(place, (from, fresh)),
            Ok(None) => debug_assert!(false, "a place that was found is one of them"),
            Ok(Some((_, credit))) => {
                let same = credit.bid == bid && credit.expires_at > ctx.now;
                if same && taken < credit.taken {
                    return;
                }
                let sent = if same { credit.sent.max(taken) } else { taken };
                *credit = Account { sent, ..fresh };
            }
        }
    }

    /// How many more short tasks a worker takes now, if it granted credit that has not ended.
    pub(in crate::owner) fn room(&self, peer: PeerId, now: Time) -> Option<u32> {
        let credit = self.of(peer).filter(|credit| credit.expires_at > now)?;
        Some(u32::try_from(credit.limit.saturating_sub(credit.sent)).unwrap_or(u32::MAX))
    }

    /// Workers that granted credit.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn has_granted(&self, peer: PeerId) -> bool {
        self.place_of(peer).is_ok()
    }

    /// A worker by its place, to which tasks are sent.
    pub(super) fn at(&mut self, place: usize) -> &mut (PeerId, Account) {
        self.rows.get_mut(place).expect("a place that was chosen is one of them")
    }

    pub(super) fn drop_expired(&mut self, now: Time) {
        self.rows.retain(|(_, credit)| credit.expires_at > now);
    }

    /// There is no use for credit that a worker grants while nothing came on it.
    pub(super) fn release_unused(&mut self, ctx: &mut Ctx<'_>, worker: PeerId) {
        let Ok(place) = self.place_of(worker) else { return };
        if let Some((_, credit)) = self.rows.get(place).filter(|(_, credit)| credit.sent == 0) {
            ctx.send(worker, Message::Release(credit.bid));
            self.rows.remove(place);
        }
    }

    pub(in crate::owner) fn forget(&mut self, peer: PeerId) {
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

    /// The worker that is thought to begin a task first, and when, of those that are trusted most.
    pub(super) fn best(
        &self,
        ctx: &mut Ctx<'_>,
        wanted: Wanted<'_>,
        trust: impl Fn(PeerId) -> Option<Trust>,
    ) -> Option<(usize, u64)> {
        let Wanted { job, task, members } = wanted;
        let now = ctx.now;
        // Trust and fit are looked up only for those that could come before the best so far: of 32 that is four or
        // five.
        let usable = |place: usize, best: Option<Candidate>| {
            let (peer, credit) = self.rows.get(place).filter(|(_, credit)| credit.is_open(now))?;
            let wait_us = credit.wait_us(job.service_us());
            let start = (wait_us / STEP_US, credit.estimate());
            if best.is_some_and(|best| (Trust::Closed, start) >= best.rank) {
                return None;
            }
            let rank = (trust(*peer)?, start);
            let fits = job.spec.class >= credit.class_min
                && credit.memory_bytes >= job.spec.program.limits.memory_bytes
                && (job.spec.needs.labels.is_empty() || members.fits(*peer, &job.spec.needs))
                && !task.avoids(*peer);
            fits.then_some(Candidate { rank, place, wait_us })
        };
        let count = self.rows.len();
        if count == 0 {
            return None;
        }
        let first = usize::try_from(ctx.draw() % count as u64).unwrap_or(0);
        let sooner = |best: Option<Candidate>, place| match usable(place, best) {
            Some(next) if best.is_none_or(|best| next.rank < best.rank) => Some(next),
            Some(_) | None => best,
        };
        let best = if count <= SCAN_MAX {
            (first..count).chain(0..first).fold(None, sooner)
        } else {
            let draws = (0..DRAWS_MAX).map(|_| usize::try_from(ctx.draw() % count as u64).unwrap_or(0));
            draws.filter_map(|place| usable(place, None)).take(2).min_by_key(|candidate| candidate.rank)
        };
        best.map(|best| (best.place, best.wait_us))
    }

    // ---- the jobs

    pub(super) fn add(&mut self, job: &Job) {
        self.waiting.insert(rank(job));
    }

    /// A job does not wait for credit any more; whether it did.
    pub(in crate::owner) fn remove(&mut self, job: &Job) -> bool {
        self.called.remove(&job.spec.job);
        self.waiting.remove(&rank(job))
    }

    /// Jobs that wait for credit.
    pub(super) fn count_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The job with `place` others before it.
    pub(super) fn waiting_at(&self, place: usize) -> Option<JobId> {
        self.waiting.iter().nth(place).map(|(_, _, name)| *name)
    }

    /// Jobs that wait for credit, in order.
    pub(in crate::owner) fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.waiting.iter().map(|(_, _, name)| *name)
    }

    /// Whether any job waits for credit, for which this node's own worker is looked at first.
    pub(in crate::owner) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The jobs were brought in line: where none waits, none has to call.
    pub(in crate::owner) fn on_placed(&mut self) {
        if self.waiting.is_empty() {
            self.overflow_at = None;
        }
    }

    /// `count` jobs behind that one, and then those before it.
    pub(super) fn jobs_after(&self, last: Option<Rank>, count: usize) -> Vec<Rank> {
        let Some(last) = last else { return self.waiting.iter().take(count).copied().collect() };
        let behind = self.waiting.range((Bound::Excluded(last), Bound::Unbounded));
        behind.chain(self.waiting.range(..=last)).take(count).copied().collect()
    }

    /// A job calls for bids like a long one from now on.
    pub(super) fn on_called(&mut self, job: JobId, now: Time) {
        self.called.insert(job, now);
    }

    /// Jobs that were called out so lately that they keep others from it.
    pub(super) fn called_lately(&self, now: Time) -> usize {
        self.called.values().filter(|since| since.plus_ms(CALLED_MS) > now).count()
    }

    // ---- acknowledgements, which travel with tasks

    /// Whether an acknowledgement to that worker may wait for the next message to it.
    pub(in crate::owner) fn defers_to(&self, worker: PeerId, now: Time) -> bool {
        self.of(worker).is_some_and(|credit| credit.expires_at > now)
    }

    /// Keeps acknowledgements back; what comes back is to be sent now.
    pub(in crate::owner) fn defer(
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

    /// What is to be acknowledged to a worker with the next message to it.
    pub(super) fn take_acks(&mut self, worker: PeerId) -> Vec<LeaseId> {
        self.acks.remove(&worker).unwrap_or_default()
    }

    /// Acknowledgements whose time has come.
    pub(in crate::owner) fn acks_due(&mut self, now: Time) -> BTreeMap<PeerId, Vec<LeaseId>> {
        if self.ack_at.is_some_and(|at| at <= now) {
            self.ack_at = None;
            core::mem::take(&mut self.acks)
        } else {
            BTreeMap::new()
        }
    }

    pub(in crate::owner) fn next_wakeup(&self, next: &mut Soonest) {
        next.at(self.overflow_at, "a short task is called out");
        next.at(self.ack_at, "outcomes are acknowledged");
    }
}
