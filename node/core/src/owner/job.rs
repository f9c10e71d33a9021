//! One job's state: its tasks, which of them wait, and what is known of all of them together. Plain bookkeeping without
//! a message to any peer; it knows nothing of the features that use it (`record.rs` puts them together).

use alloc::collections::VecDeque;

use super::task::{Counts, Task, TaskState};
use super::tasks::Tasks;
use crate::ctx::Ctx;
use crate::custody::trio::{self, Trio};
use crate::durable::{FIRST_EPOCH, KeptEnd, Level};
use crate::effect::Effect;
use crate::policy::order::Candidate;
use crate::policy::times;
use crate::policy::window::is_short;
use crate::refusal::Refusal;
use crate::stats::RuntimeStats;
use crate::submission::Submission;
use crate::task::{Payload, TaskKey};
use crate::time::Time;

/// A job and its tasks.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) spec: Submission,
    /// What its tasks' names have in common.
    pub(super) key: TaskKey,
    /// Its place in the order of submissions.
    pub(super) number: u64,
    pub(super) tasks: Tasks,
    /// Tasks that wait for a worker, in order.
    pub(super) queue: VecDeque<u32>,
    pub(super) counts: Counts,
    /// Attempts beyond the first, of all tasks that ended.
    pub(super) retried: u32,
    /// Tasks for which nothing ran, because their result was known.
    pub(super) recalled: u32,
    pub(super) stats: RuntimeStats,
    /// More tasks may come.
    pub(super) open: bool,
    /// What its leases carry: 0 in memory; of a kept job, which life this is.
    pub(super) epoch: u32,
    /// The nodes that keep a job at level mesh.
    pub(super) trio: Option<Trio>,
    /// Why tasks of a kept job were refused, and all further ones are.
    pub(super) refused: Option<Refusal>,
    /// How many, for its log.
    pub(super) refused_tasks: u32,
    /// No task of it is placed before this record is on the disk.
    pub(super) begins_with: u64,
    pub(super) ended: bool,
    /// More of its tasks failed than it allows.
    pub(super) given_up: bool,
    /// Its user cancelled it.
    pub(super) stopped: bool,
    pub(super) submitted_at: Time,
    /// When its first task may start.
    pub(super) starts_at: Time,
    /// When a task of it was awarded last, or none waited.
    pub(super) last_award_at: Time,
    /// No worker can make its deadline, by their own word.
    pub(super) deadline_infeasible: bool,
}

impl Job {
    /// A job whose program is known to have this key and these run times.
    pub(super) fn new(spec: Submission, key: TaskKey, stats: RuntimeStats, now: Time) -> Self {
        Self {
            open: !spec.closed,
            epoch: match spec.level {
                Level::Memory => 0,
                Level::Disk => FIRST_EPOCH,
                Level::Mesh => trio::FIRST_EPOCH,
            },
            trio: None,
            begins_with: 0,
            refused: None,
            refused_tasks: 0,
            submitted_at: now,
            starts_at: times::starts_at(&spec.policy, now),
            last_award_at: now,
            spec,
            key,
            number: 0,
            tasks: Tasks::default(),
            queue: VecDeque::new(),
            counts: Counts::default(),
            retried: 0,
            recalled: 0,
            stats,
            ended: false,
            given_up: false,
            stopped: false,
            deadline_infeasible: false,
        }
    }

    /// One more task, which is not in the queue yet; its index.
    pub(super) fn add(&mut self, input: Payload) -> u32 {
        self.tasks.push(Task::new(input))
    }

    /// One more task, whose input is a result of another job that is not known here yet.
    pub(super) fn add_awaiting(&mut self) {
        self.tasks.push(Task::awaiting(&mut self.counts));
    }

    /// The input of a task that waited for it is known; it is not in the queue yet. False if it did not, or is not there.
    pub(super) fn resolve(&mut self, index: u32, input: Payload) -> bool {
        let awaits = |task: &&mut Task| task.state() == TaskState::Awaiting;
        let Some(task) = self.tasks.get_mut(index).filter(awaits) else { return false };
        task.input = input;
        task.transition(TaskState::Queued, &mut self.counts);
        true
    }

    /// One more task, which has ended in an earlier life.
    pub(super) fn add_ended(&mut self, end: KeptEnd) {
        let mut task = Task::new(Payload::empty());
        task.attempts = end.attempts;
        task.transition(end.fate.into(), &mut self.counts);
        let index = self.tasks.push(task);
        self.tasks.on_ended(index);
        self.retried = self.retried.saturating_add(end.attempts.saturating_sub(1));
        self.recalled += u32::from(end.recalled);
    }

    /// Pins what all of its tasks need.
    pub(super) fn pin_program(&self, ctx: &mut Ctx<'_>) {
        ctx.emit(Effect::Pin(self.spec.program.module));
        ctx.pin(&self.spec.program.files);
    }

    /// Pins that, and what each task needs that has not ended.
    pub(super) fn pin_all(&self, ctx: &mut Ctx<'_>) {
        self.pin_program(ctx);
        for task in self.tasks.live().filter(|task| !task.state().is_end()) {
            ctx.pin(&task.input);
        }
    }

    /// Whether a client may bring it more tasks: not where these come of results of another job.
    pub(super) fn awaits_client(&self) -> bool {
        self.open && !self.spec.join.takes_results()
    }

    /// Whether it survives a restart.
    pub(super) fn is_kept(&self) -> bool {
        self.spec.level >= Level::Disk
    }

    /// Whether it survives the loss of this node.
    pub(super) fn is_of_mesh(&self) -> bool {
        self.spec.level == Level::Mesh
    }

    /// Tasks in all so far.
    pub(super) fn total(&self) -> u32 {
        self.tasks.total()
    }

    /// A task by an index that a peer or a user named: it may never have been, or be forgotten.
    pub(super) fn task(&self, index: u32) -> Option<&Task> {
        self.tasks.get(index)
    }

    /// The same.
    pub(super) fn task_mut(&mut self, index: u32) -> Option<&mut Task> {
        self.tasks.get_mut(index)
    }

    /// A task that has not ended, and so is not forgotten.
    pub(super) fn live_task(&self, index: u32) -> &Task {
        self.tasks.get(index).expect("a task that has not ended is kept")
    }

    /// The same.
    pub(super) fn live_task_mut(&mut self, index: u32) -> &mut Task {
        self.tasks.get_mut(index).expect("a task that has not ended is kept")
    }

    /// Changes where a task is that has not ended.
    pub(super) fn transition(&mut self, index: u32, to: TaskState) {
        let task = self.tasks.get_mut(index).expect("a task that has not ended is kept");
        task.transition(to, &mut self.counts);
    }

    /// A task's state was set to an end, and nothing more is to be done about it.
    pub(super) fn on_task_ended(&mut self, index: u32) {
        self.tasks.on_ended(index);
        if self.queue.capacity() > 4096 && self.queue.len() < self.queue.capacity() / 4 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
    }

    /// Puts a task at the head of the queue that was leased or delayed.
    pub(super) fn requeue(&mut self, index: u32) {
        self.transition(index, TaskState::Queued);
        self.queue.push_front(index);
    }

    /// Takes a task out of the queue. Where it is in order it is found at once, and what was requeued is near the head.
    pub(super) fn unqueue(&mut self, index: u32) {
        let place = self.queue.binary_search(&index).ok();
        if let Some(place) = place.or_else(|| self.queue.iter().position(|queued| *queued == index)) {
            self.queue.remove(place);
        }
    }

    /// Tasks in the queue.
    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn unfinished(&self) -> u32 {
        self.total() - self.counts.ended()
    }

    /// What one of its tasks takes by what was measured, in microseconds; 0 before the first outcome.
    pub(super) fn service_us(&self) -> u32 {
        self.stats.service.us()
    }

    /// Whether each task is computed by several nodes.
    pub(super) fn verifies(&self) -> bool {
        self.spec.policy.verify > 1
    }

    /// Whether its tasks are so short that they are bound ahead of need. What has a deadline, or is computed by
    /// several, or needs several slots is chosen a worker with care all the same.
    pub(super) fn is_short(&self) -> bool {
        let plain =
            self.spec.policy.deadline_ms.is_none() && !self.verifies() && self.spec.needs.task_slots() == 1;
        plain && is_short(self.service_us(), 0)
    }

    /// When what of it has not ended expires, if ever.
    pub(super) fn expires_at(&self) -> Option<Time> {
        times::expires_at(&self.spec.policy, self.submitted_at)
    }

    /// How much time its deadline leaves, in milliseconds, if it has one that can still be made.
    pub(super) fn deadline_left_ms(&self, now: Time) -> Option<u32> {
        let left = || times::deadline_left_ms(&self.spec.policy, self.submitted_at, now, self.service_us());
        if self.deadline_infeasible { None } else { left() }
    }

    /// What the job says for itself among others of this owner.
    pub(super) fn candidate(&self, now: Time) -> Candidate {
        let left = self.deadline_left_ms(now);
        Candidate {
            unused_bids: false,
            class: self.spec.class,
            waited_us: if self.queue.is_empty() { 0 } else { now.since_us(self.last_award_at) },
            due: left.map(|left| now.plus_ms(u64::from(left))),
            used_us: 0,
            turn: self.submitted_at.0,
        }
    }

    /// It has ended: forgets everything but the figures.
    pub(super) fn forget_tasks(&mut self) {
        self.ended = true;
        self.tasks.forget();
        self.queue = VecDeque::new();
    }
}
