//! From a bid to a lease, and begun tasks that want one more node: those that are computed by several, and slow ones
//! that may have a copy. They go before what has not begun. Used by the award.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::job::{Attempt, Job, State, not_asked};
use super::open::{OpenCall, StandingBid};
use super::produced::Produced;
use super::timing::Alarms;
use super::{cancel_at, drop_lease, verify};
use crate::ctx::Ctx;
use crate::id::{BidId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::{Grant, Message, Reason};
use crate::standing::{Standings, Trust};
use crate::time::Time;

/// Begun tasks that are looked through for one that fits a bid. As many may want more nodes before a job that verifies
/// begins further ones.
pub(super) const WINDOW: usize = 256;
/// A worker is spared a call, and its bids given back, when no more begun tasks than this are left and it fits none of
/// them. Fewer, and it would hold room for others' tasks that it has had its part in.
const SPARED_MAX: usize = WINDOW;

/// What an award writes to.
pub(super) struct Desk<'a> {
    pub(super) leases: &'a mut BTreeSet<(PeerId, LeaseId)>,
    pub(super) expiries: &'a mut BTreeSet<(Time, LeaseId)>,
    pub(super) standings: &'a Standings,
    pub(super) alarms: &'a mut Alarms,
    pub(super) produced: &'a Produced,
    /// By worker and bid, and whether an exchange introduced them.
    pub(super) frames: BTreeMap<(PeerId, BidId, bool), Vec<Grant>>,
}

impl Desk<'_> {
    /// How far a worker is trusted with a job's tasks.
    pub(super) fn trust(&self, job: &Job, worker: PeerId, now: Time) -> Trust {
        self.standings.trust(worker, now).max(job.standings.trust(worker, now))
    }

    /// Whether a bid may be used now: it has room, and its worker may be given something.
    pub(super) fn may_use(&self, job: &Job, bid: &StandingBid, now: Time) -> bool {
        bid.left > 0 && may_give(self.standings, self.leases, job, bid.worker, now).is_some()
    }

    /// Makes a lease of a task and a slot of a bid.
    pub(super) fn bind(&mut self, ctx: &mut Ctx<'_>, job: &mut Job, index: u32, bid: &mut StandingBid) {
        let Some(grant) = self.lease(ctx, job, index, bid.worker) else { return };
        bid.left -= 1;
        self.frames.entry((bid.worker, bid.bid, bid.introduced)).or_default().push(grant);
    }

    /// Makes the next attempt of a task a lease of that worker, which has room for it.
    pub(super) fn lease(
        &mut self,
        ctx: &mut Ctx<'_>,
        job: &mut Job,
        index: u32,
        worker: PeerId,
    ) -> Option<Grant> {
        let (name, policy) = (job.what.job, job.what.policy);
        job.fed_at = ctx.now;
        if job.verifies() {
            self.retire(ctx, job, index, worker);
        }
        let expires_at = ctx.now.plus_ms(ctx.mesh.lease_ms);
        let task = job.task_mut(index)?;
        task.attempts += 1;
        let lease = LeaseId { job: name, index, attempt: task.attempts };
        if task.live.is_empty() {
            // Most tasks have one attempt.
            task.live.reserve_exact(1);
        }
        task.live.push(Attempt::new(task.attempts, worker, ctx.now, expires_at));
        let grant = Grant { lease, input: task.input.clone() };
        if task.first_at.is_none() {
            task.first_at = Some(ctx.now);
            self.alarms.on_first(&policy, (name, index), ctx.now);
        }
        if task.state == State::Queued {
            task.state = State::Leased;
            job.counts.leased += 1;
        }
        self.leases.insert((worker, lease));
        self.expiries.insert((expires_at, lease));
        ctx.counters.awards += 1;
        Some(grant)
    }

    /// A node has one voice: what it may still have of a task is taken back before it gets the task again.
    fn retire(&mut self, ctx: &mut Ctx<'_>, job: &mut Job, index: u32, worker: PeerId) {
        let name = job.what.job;
        let Some(task) = job.task_mut(index) else { return };
        while let Some(place) = task.live.iter().position(|attempt| attempt.worker == worker) {
            let attempt = task.live.swap_remove(place);
            let lease = LeaseId { job: name, index, attempt: attempt.number };
            drop_lease(self.leases, self.expiries, &attempt, lease);
            cancel_at(ctx, worker, &[lease]);
        }
    }

    /// Gives begun tasks that want one more node to the bids that fit.
    pub(super) fn award_extra(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &Membership,
        job: &mut Job,
        call: &mut OpenCall,
    ) {
        if job.extra.is_empty() {
            return;
        }
        let begun: Vec<u32> = job.extra.iter().copied().take(WINDOW).collect();
        for index in begun {
            while job.missing(index) > 0 {
                let fits = |bid: &StandingBid| {
                    self.may_use(job, bid, ctx.now) && self.fits(job, index, bid, ctx, members)
                };
                let Some(place) = call.bids.iter().position(fits) else { break };
                let Some(bid) = call.bids.get_mut(place) else { break };
                self.bind(ctx, job, index, bid);
                if !job.verifies() {
                    job.on_copied(index);
                    ctx.counters.copies += 1;
                }
            }
            if job.missing(index) == 0 {
                job.extra.remove(&index);
            }
        }
    }

    fn fits(&self, job: &Job, index: u32, bid: &StandingBid, ctx: &Ctx<'_>, members: &Membership) -> bool {
        if job.verifies() {
            return !job.is_barred(members, index, bid.worker);
        }
        let start_us = bid.expected_us(ctx.me, members.rtt_us(bid.worker), ctx.now);
        job.fits_copy(index, bid, self.trust(job, bid.worker, ctx.now), start_us, ctx.now)
    }
}

/// How far a worker is trusted with a job's task that it may be given now; `None` if it may be given none.
pub(super) fn may_give(
    standings: &Standings,
    leases: &BTreeSet<(PeerId, LeaseId)>,
    job: &Job,
    worker: PeerId,
    now: Time,
) -> Option<Trust> {
    if standings.is_empty() && job.standings.is_empty() {
        return Some(Trust::Full);
    }
    let trust = standings.trust(worker, now).max(job.standings.trust(worker, now));
    let may = match trust {
        Trust::Full | Trust::Last => true,
        Trust::Probe => {
            let range = (worker, LeaseId::FIRST)..=(worker, LeaseId::LAST);
            leases.range(range).next().is_none()
        }
        Trust::Shut => false,
    };
    may.then_some(trust)
}

impl Job {
    /// Tasks that want a node, begun ones included.
    pub(super) fn wanted(&self) -> u32 {
        self.waiting().saturating_add(u32::try_from(self.extra.len()).unwrap_or(u32::MAX))
    }

    /// How many more nodes a begun task wants now.
    pub(super) fn missing(&self, index: u32) -> u32 {
        let Some(task) = self.task(index).filter(|task| task.state == State::Leased) else { return 0 };
        let held = u32::try_from(task.due().count()).unwrap_or(u32::MAX);
        if self.verifies() {
            let answered = self.ballots.get(&index).map_or(0, verify::Ballot::count);
            return verify::missing(self.what.policy.verify, answered, held);
        }
        let runs = task.due().all(|attempt| attempt.fetching.is_none() && !attempt.paused);
        // What failed once waits its time, and its next attempt is no copy.
        u32::from(held == 1 && runs && !task.copied && task.failures == 0)
    }

    /// Whether that worker holds the task, or has answered; of a job that verifies, whether any node of its machine has,
    /// or it has no vote.
    pub(super) fn is_barred(&self, members: &Membership, index: u32, worker: PeerId) -> bool {
        let holds = |same: &dyn Fn(PeerId) -> bool| {
            self.task(index).is_some_and(|task| task.due().any(|attempt| same(attempt.worker)))
        };
        if !self.verifies() {
            return holds(&|other| other == worker);
        }
        let Some(voice) = members.voice(worker) else { return true };
        let answered = self.ballots.get(&index).is_some_and(|ballot| ballot.holds(worker, voice));
        answered || holds(&|other| other == worker || members.voice(other) == Some(voice))
    }

    /// Whether that worker may compute its tasks: of a job that verifies, only if it has a vote.
    pub(super) fn may_compute(&self, members: &Membership, worker: PeerId) -> bool {
        !self.verifies() || members.voice(worker).is_some()
    }

    /// Why that worker is given none of its tasks now, if it is not.
    pub(super) fn shut(&self, standings: &Standings, worker: PeerId, now: Time) -> Option<Reason> {
        let (by_all, by_job) = (standings.shut(worker, now), self.standings.shut(worker, now));
        match (by_all, by_job) {
            (Some(Reason::Mistrusted { for_ms: one }), Some(Reason::Mistrusted { for_ms: other })) => {
                Some(Reason::Mistrusted { for_ms: one.max(other) })
            }
            (one, other) => one.or(other),
        }
    }

    /// Why that worker is given none of its tasks now, for want of a vote or of trust, if it is not.
    pub(super) fn bars(
        &self,
        members: &Membership,
        standings: &Standings,
        worker: PeerId,
        now: Time,
    ) -> Option<Reason> {
        let may = self.may_compute(members, worker);
        if may { self.shut(standings, worker, now) } else { Some(Reason::NoVote) }
    }

    /// Whether that worker is of no use to what is left: it had its part in all of it.
    pub(super) fn spares(&self, members: &Membership, worker: PeerId) -> bool {
        let few = self.queue.is_empty() && self.extra.len() <= SPARED_MAX;
        few && !self.extra.is_empty()
            && self.extra.iter().all(|index| self.is_barred(members, *index, worker))
    }

    /// Puts a task back at the head of the queue, unless another attempt of it is still due; one that several nodes
    /// compute goes on with those that have it or answered.
    pub(super) fn requeue(&mut self, index: u32) {
        let begun = self.ballots.contains_key(&index);
        let verifies = self.verifies();
        let Some(task) = self.task_mut(index) else { return };
        let due = task.due().next().is_some();
        if task.state != State::Leased || (due && !verifies) {
            return;
        }
        if (due || begun) && self.missing(index) > 0 {
            self.extra.insert(index);
            return;
        }
        self.extra.remove(&index);
        if due || begun {
            return;
        }
        let Some(task) = self.task_mut(index) else { return };
        task.state = State::Queued;
        self.counts.leased -= 1;
        self.queue.push_front(index);
    }

    /// Takes a task out of the queue; what was requeued stands near the head.
    pub(super) fn unqueue(&mut self, index: u32) {
        if let Some(place) = self.queue.iter().position(|queued| *queued == index) {
            self.queue.remove(place);
        }
    }

    /// A copy of a task was awarded.
    fn on_copied(&mut self, index: u32) {
        self.counts.copies += 1;
        if let Some(task) = self.task_mut(index) {
            task.copied = true;
        }
        if let Some(attempt) = self.task_mut(index).and_then(|task| task.live.last_mut()) {
            attempt.copy = true;
        }
    }

    /// A copy was not accepted: there may be another.
    pub(super) fn on_copy_refused(&mut self, index: u32) {
        self.counts.copies = self.counts.copies.saturating_sub(1);
        if let Some(task) = self.task_mut(index) {
            task.copied = false;
        }
    }

    /// A task that waited though somebody has computed it is a begun one.
    pub(super) fn resume_begun(&mut self, index: u32) {
        let Some(task) = self.task_mut(index).filter(|task| task.state == State::Queued) else { return };
        task.state = State::Leased;
        self.counts.leased += 1;
        self.unqueue(index);
    }
}

/// Gives back what is of no use: bids of workers that had their part in all that is left, or are given nothing now.
pub(super) fn release_useless(ctx: &mut Ctx<'_>, members: &Membership, job: &mut Job, standings: &Standings) {
    let trusts_all = standings.is_empty() && job.standings.is_empty();
    if trusts_all && job.extra.is_empty() && !job.verifies() {
        return;
    }
    let Some(mut call) = job.call.take() else { return };
    let OpenCall { bids, seeking, .. } = &mut call;
    let mut unused: Vec<(PeerId, Reason)> = Vec::new();
    bids.retain(|bid| {
        let barred = job.bars(members, standings, bid.worker, ctx.now);
        let useless = barred.is_some() || job.spares(members, bid.worker);
        unused.extend(barred.map(|reason| (bid.worker, reason)));
        if useless && bid.left > 0 {
            ctx.send(bid.worker, Message::Release(bid.bid));
            if bid.introduced {
                seeking.spare(bid.worker);
            }
        }
        !useless
    });
    job.call = Some(call);
    // It bid, and `why` is to say why it is given nothing all the same.
    for (worker, reason) in unused {
        job.said.insert(worker, (ctx.now, not_asked(reason)));
    }
}
