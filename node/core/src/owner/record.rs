//! All that an owner knows of one job: the job itself and each feature's state of it, in one allocation. The features'
//! functions take it; only `owner/mod.rs` knows all of them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::dispatch::strategy::Dispatch;
use super::edge::Edge;
use super::gate::Dependencies;
use super::gathering::Gathering;
use super::holders::Holders;
use super::job::Job;
use super::replicas::Replicas;
use super::task::{Attempt, RECALLED};
use crate::ctx::Ctx;
use crate::id::{CallId, JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::Call;
use crate::policy::window::is_short;
use crate::snapshot::JobView;
use crate::task::{Payload, Recall, Terms};
use crate::time::Time;

/// One job.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) job: Job,
    pub(super) dispatch: Dispatch,
    pub(super) replicas: Replicas,
    pub(super) dependencies: Dependencies,
    pub(super) holders: Holders,
    /// How far the log of the job was read whose results are its inputs; none for most jobs.
    pub(super) edge: Option<Box<Edge>>,
    pub(super) gathering: Gathering,
}

/// All jobs that have not been retired. Boxed: a map moves its values about.
pub(super) type Records = BTreeMap<JobId, Box<Record>>;

/// The record of a job that is known to be there: a table of this owner names it, not a peer.
pub(super) fn known(records: &mut Records, job: JobId) -> &mut Record {
    records.get_mut(&job).expect("a job that this owner's tables name is not retired")
}

/// The attempt that a lease of the table is for.
pub(super) fn leased(records: &mut Records, lease: LeaseId) -> &mut Attempt {
    let task = known(records, lease.job).job.live_task_mut(lease.index);
    task.attempt_mut(lease).expect("a lease belongs to a live attempt")
}

impl Record {
    pub(super) fn new(job: Job, now: Time) -> Self {
        let dependencies = Dependencies::new(&job.spec);
        let dispatch = Dispatch::new(job.spec.job, now);
        let edge = Edge::of(&job.spec).map(Box::new);
        let (replicas, holders) = (Replicas::default(), Holders::default());
        Self { job, dispatch, replicas, dependencies, holders, edge, gathering: Gathering::default() }
    }

    pub(super) fn name(&self) -> JobId {
        self.job.spec.job
    }

    /// Whether that parent's end matters to it, and is to be kept.
    pub(super) fn awaits(&self, parent: JobId) -> bool {
        self.job.is_kept() && self.dependencies.awaits(parent)
    }

    /// A task that was just added waits for a worker, or for the job's parents.
    pub(super) fn enqueue(&mut self, index: u32) {
        if self.dependencies.lets_begin() {
            self.job.queue.push_back(index);
        } else {
            self.dependencies.held.push_back(index);
        }
    }

    /// A task comes back from the log; without its input, if that is a result which was not known.
    pub(super) fn take_back(&mut self, input: Option<Payload>) {
        match input {
            None if self.job.spec.join.takes_results() => self.job.add_awaiting(),
            input => {
                let index = self.job.add(input.unwrap_or_default());
                self.enqueue(index);
            }
        }
    }

    /// Tasks that want a node, begun ones included.
    pub(super) fn wanted(&self) -> u32 {
        self.job.waiting().saturating_add(self.replicas.count_wanted())
    }

    /// Whether all of its tasks, now that it has ended, were done, and it was not stopped: by its user, or by a parent of
    /// its own.
    pub(super) fn has_succeeded(&self) -> bool {
        let Self { job, dependencies, .. } = self;
        job.counts.failed() + job.counts.cancelled() == 0 && !job.stopped && dependencies.is_satisfied()
    }

    /// The attempt of a lease that a worker named, if it has it.
    pub(super) fn attempt_mut(&mut self, lease: LeaseId, worker: PeerId) -> Option<&mut Attempt> {
        let task = self.job.task_mut(lease.index).filter(|_| lease.attempt != RECALLED)?;
        task.live.iter_mut().find(|attempt| attempt.lease.id() == lease && attempt.worker() == worker)
    }

    /// The same, taken from its task; its lease is to be ended.
    pub(super) fn take_attempt(&mut self, lease: LeaseId, worker: PeerId) -> Option<Attempt> {
        let task = self.job.task_mut(lease.index).filter(|_| lease.attempt != RECALLED)?;
        let place = task.live.iter().position(|a| a.lease.id() == lease && a.worker() == worker)?;
        Some(task.live.swap_remove(place))
    }

    pub(super) fn wants_bids(&self) -> bool {
        self.dispatch.wants_bids(&self.job, &self.replicas)
    }

    /// Whether a worker is of no use to what is left.
    pub(super) fn spares(&self, members: &Membership, worker: PeerId) -> bool {
        self.replicas.spare(&self.job, members, worker)
    }

    /// Whether that worker may compute its tasks: of a job that verifies, only if it has a vote.
    pub(super) fn may_compute(&self, members: &Membership, worker: PeerId) -> bool {
        !self.job.verifies() || members.voice(worker).is_some()
    }

    /// Puts a leased task back, as [`Replicas::requeue`] says.
    pub(super) fn requeue(&mut self, index: u32) {
        self.replicas.requeue(&mut self.job, index);
    }

    /// The job's call, as it is sent to that node.
    pub(super) fn call_message(&self, ctx: &Ctx<'_>, call: CallId, to: PeerId) -> Call {
        let Self { job, .. } = self;
        let (now, deadline_ms) = (ctx.now, job.deadline_left_ms(ctx.now));
        // Workers answer a call for short tasks with credit, unless there is a deadline.
        let hides = deadline_ms.is_none() && is_short(job.service_us(), 0) && self.wants_bids();
        Call {
            call,
            job: job.spec.job,
            program: job.spec.program.clone(),
            needs: job.spec.needs.clone(),
            class: job.spec.class,
            terms: Terms { memo: self.recall_of(ctx, to), ..job.spec.terms },
            count: self.wanted(),
            service_us: if hides { 0 } else { job.service_us() },
            deadline_ms,
            waited_ms: u32::try_from(now.since_us(job.last_award_at) / 1000).unwrap_or(u32::MAX),
            keepers: job.trio.map(|trio| trio.peers().to_vec()).unwrap_or_default(),
        }
    }

    /// The same for a worker that is claimed: it makes no bid any more.
    pub(super) fn claim_message(&self, ctx: &Ctx<'_>, call: CallId, to: PeerId) -> Call {
        Call { service_us: self.job.service_us(), ..self.call_message(ctx, call, to) }
    }

    /// What a worker may remember instead of computing it. What others told is for this node to believe or not: a worker answers
    /// with what it computed; and of one that was caught lying no remembered result is taken, so it computes each anew.
    fn recall_of(&self, ctx: &Ctx<'_>, worker: PeerId) -> Recall {
        let most = if worker != ctx.me && ctx.memo.is_liar(worker) { Recall::Off } else { Recall::Own };
        self.job.spec.terms.memo.min(most)
    }

    pub(super) fn view(&self) -> JobView {
        let Self { job, dispatch, dependencies, .. } = self;
        JobView {
            job: job.spec.job,
            class: job.spec.class,
            open: job.open,
            tasks: job.total(),
            queued: job.waiting(),
            delayed: job.counts.delayed(),
            leased: job.counts.leased(),
            done: job.counts.done(),
            failed: job.counts.failed(),
            cancelled: job.counts.cancelled(),
            retried: job.retried,
            recalled: job.recalled,
            service_us: job.service_us(),
            regime: dispatch.regime(job),
            given_up: job.given_up,
            held: u32::try_from(dependencies.held.len())
                .unwrap_or(u32::MAX)
                .saturating_add(job.counts.awaiting()),
            level: job.spec.level,
            epoch: job.epoch,
        }
    }

    /// The job has ended: forgets everything but the figures.
    pub(super) fn forget(&mut self) {
        self.job.forget_tasks();
        self.dependencies.held.clear();
        self.dispatch.forget();
        self.replicas.forget();
    }
}
