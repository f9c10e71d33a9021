//! The run queue: every task that a worker holds, from its award until it has left the slots. It orders ready tasks,
//! hands them to the slots, pauses and stops tasks for more urgent ones, and keeps the counters. It knows nothing of
//! bids, connections or delivery. The worker drives it, and settles the tasks that it returns.
//!
//! [`RunQueue::set_stage`] is the only writer of a task's stage; with [`RunQueue::remove`], of the lists by stage and of
//! the counters of slots.

mod counts;
mod dispatch;
mod lists;
mod memory;
mod preempt;
mod renewal;
mod retract;
pub(super) mod run;
mod watchdog;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{JobId, LeaseId, PeerId, RunId};
use crate::message::Class;
use crate::time::Time;
use counts::{Held, InSlots};
use lists::Lists;
use run::{Place, Run, Stage};
use watchdog::Watchdog;

/// Why a look-up of a run can't fail.
const HELD: &str = "a run is held until the slots have answered, and named by nothing longer";

/// All held tasks.
#[derive(Debug)]
pub(super) struct RunQueue {
    slots: u32,
    /// Memory that one task may have, in bytes.
    memory_bytes: u64,
    /// Boxed: a map moves its values about.
    runs: BTreeMap<RunId, Box<Run>>,
    /// Leases of tasks that are not aborted.
    leases: BTreeMap<(PeerId, LeaseId), RunId>,
    next_run: u64,
    lists: Lists,
    held: Held,
    in_slots: InSlots,
    /// Tasks that are being stopped because there was no memory to pause one.
    stopping: BTreeSet<RunId>,
    watchdog: Watchdog,
    /// When a task that waits may preempt running ones that were thought to be short.
    preempt_at: Option<Time>,
}

impl RunQueue {
    /// An empty queue of a node with that many slots, where one task may use that much memory.
    pub(super) fn new(slots: u32, memory_bytes: u64) -> Self {
        Self {
            slots,
            memory_bytes,
            runs: BTreeMap::new(),
            leases: BTreeMap::new(),
            next_run: 0,
            lists: Lists::default(),
            held: Held::default(),
            in_slots: InSlots::default(),
            stopping: BTreeSet::new(),
            watchdog: Watchdog::default(),
            preempt_at: None,
        }
    }

    // ---- tasks

    /// Adds a task that was just accepted.
    pub(super) fn insert(&mut self, run: Box<Run>) -> RunId {
        let id = RunId(self.next_run);
        self.next_run += 1;
        self.held.add(&run);
        let before = self.leases.insert((run.owner, run.lease), id);
        debug_assert!(before.is_none(), "a lease that is held is not taken again");
        self.runs.insert(id, run);
        id
    }

    /// Removes a task that is not in the slots, or that the slots have answered.
    pub(super) fn remove(&mut self, now: Time, id: RunId) -> Box<Run> {
        let mut run = self.runs.remove(&id).expect(HELD);
        self.in_slots.relocate(&run, run.stage.place(), Place::Outside);
        self.lists.leave(now, id, &mut run);
        self.held.sub(&run);
        self.stopping.remove(&id);
        if run.long {
            self.watchdog.on_long_ended(now);
        }
        if !matches!(run.stage, Stage::Aborted { .. }) {
            self.leases.remove(&(run.owner, run.lease));
        }
        run
    }

    /// The task of a run that may have ended, such as one that the driver names.
    pub(super) fn get_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&id).map(|run| &mut **run)
    }

    pub(super) fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id).map(|run| &**run)
    }

    /// The task of a run that is held.
    pub(super) fn run(&self, id: RunId) -> &Run {
        self.runs.get(&id).expect(HELD)
    }

    pub(super) fn run_mut(&mut self, id: RunId) -> &mut Run {
        self.runs.get_mut(&id).expect(HELD)
    }

    // ---- stages

    /// Moves a task to another stage, and with it the lists and counters.
    fn set_stage(&mut self, now: Time, id: RunId, to: Stage) {
        let run = self.runs.get_mut(&id).expect(HELD);
        debug_assert!(run.stage.leads_to(to), "{id:?} can't go from {:?} to {to:?}", run.stage);
        self.in_slots.relocate(run, run.stage.place(), to.place());
        self.lists.leave(now, id, run);
        run.stage = to;
        self.lists.enter(now, id, run);
        if matches!(to, Stage::Aborted { .. }) {
            self.leases.remove(&(run.owner, run.lease));
        }
    }

    /// A task lacks this many blobs.
    pub(super) fn set_missing(&mut self, now: Time, id: RunId, missing: u8) {
        self.set_stage(now, id, Stage::Staging(missing));
    }

    /// A task has everything that it needs.
    pub(super) fn make_ready(&mut self, now: Time, id: RunId) {
        self.set_stage(now, id, Stage::Ready);
    }

    /// Aborts a task in the slots; the slots' answer will be dropped.
    fn abort(&mut self, ctx: &mut Ctx<'_>, id: RunId) {
        let paused = self.run(id).stage == Stage::Paused;
        self.set_stage(ctx.now, id, Stage::Aborted { paused });
        ctx.emit(Effect::Abort(id));
    }

    /// Cancels a task. One in the slots is aborted, and is removed when they answer; any other is removed and returned.
    pub(super) fn cancel(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, lease: LeaseId) -> Option<Box<Run>> {
        let id = *self.leases.get(&(owner, lease))?;
        match self.run(id).stage {
            Stage::Handed | Stage::Paused => self.abort(ctx, id),
            // The slots were told already.
            Stage::Requeuing => self.set_stage(ctx.now, id, Stage::Aborted { paused: false }),
            Stage::Staging(_) | Stage::Ready => return Some(self.remove(ctx.now, id)),
            Stage::Aborted { .. } => debug_assert!(false, "what is aborted has no lease"),
        }
        None
    }

    /// A task is another node's from now on.
    pub(super) fn hand_over(&mut self, owner: PeerId, lease: LeaseId, to: PeerId) -> Option<&mut Run> {
        let id = self.leases.remove(&(owner, lease))?;
        self.leases.insert((to, lease), id);
        let run = self.run_mut(id);
        run.owner = to;
        Some(run)
    }

    /// The account is gone on whose credit a task came.
    pub(super) fn forget_credit(&mut self, owner: PeerId, lease: LeaseId) {
        let id = *self.leases.get(&(owner, lease)).expect(HELD);
        self.run_mut(id).prefilled = None;
    }

    /// Raises the tasks that waited for a class's time.
    pub(super) fn age(&mut self, now: Time) {
        while let Some(id) = self.lists.next_aged(now) {
            let run = self.runs.get_mut(&id).expect(HELD);
            let before = run.class;
            self.lists.raise(now, id, run);
            self.held.reclass(before, run);
        }
    }

    /// Counts a task as long from now on: its slots are not available to short ones.
    fn mark_long(&mut self, id: RunId) {
        let run = self.runs.get_mut(&id).expect(HELD);
        if !core::mem::replace(&mut run.long, true) {
            self.held.long.add(run.class, run.slots);
        }
    }

    // ---- queries

    pub(super) fn contains(&self, owner: PeerId, lease: LeaseId) -> bool {
        self.leases.contains_key(&(owner, lease))
    }

    /// Whether a held task is in the slots, and stays there.
    pub(super) fn has_begun(&self, owner: PeerId, lease: LeaseId) -> bool {
        let id = self.leases.get(&(owner, lease));
        id.is_some_and(|id| matches!(self.run(*id).stage, Stage::Handed | Stage::Paused))
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.leases.keys().copied()
    }

    /// The leases held from an owner.
    pub(super) fn leases_of(&self, owner: PeerId) -> Vec<LeaseId> {
        let range = (owner, LeaseId::FIRST)..=(owner, LeaseId::LAST);
        self.leases.range(range).map(|((_, lease), _)| *lease).collect()
    }

    /// Those of a job.
    pub(super) fn leases_of_job(&self, owner: PeerId, job: JobId) -> impl Iterator<Item = LeaseId> + '_ {
        let range = (owner, LeaseId { job, ..LeaseId::FIRST })..=(owner, LeaseId { job, ..LeaseId::LAST });
        self.leases.range(range).map(|((_, lease), _)| *lease)
    }

    /// The leases of tasks that have not begun and are not in the slots.
    pub(super) fn outside_slots(&self) -> Vec<(PeerId, LeaseId)> {
        if self.len() == self.handed() {
            return Vec::new();
        }
        let outside = |id: &RunId| self.run(*id).stage.place() == Place::Outside;
        self.leases.iter().filter(|(_, id)| outside(id)).map(|(key, _)| *key).collect()
    }

    pub(super) fn is_leased(&self) -> bool {
        !self.leases.is_empty()
    }

    /// Tasks held, those that are being aborted included.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// Tasks that the slots were given and have not answered, and how many of them are paused.
    pub(super) fn handed(&self) -> u32 {
        self.in_slots.tasks
    }

    pub(super) fn paused(&self) -> u32 {
        self.in_slots.paused
    }

    /// Slots of all held tasks.
    pub(super) fn held_slots(&self) -> u32 {
        self.held.slots
    }

    /// Slots of held tasks of that class and above.
    pub(super) fn held_at_least(&self, class: Class) -> u32 {
        self.held.by_class.at_least(class)
    }

    /// Slots of long tasks of that class and above.
    pub(super) fn long_at_least(&self, class: Class) -> u32 {
        self.held.long.at_least(class)
    }

    /// Estimated slot time of held tasks of that class and above, in microseconds.
    pub(super) fn work_us_at_least(&self, class: Class) -> u64 {
        self.held.work_us.at_least(class)
    }

    /// Slots of tasks that were handed to the slots and are not paused.
    pub(super) fn active_slots(&self) -> u32 {
        self.in_slots.active_slots()
    }

    /// The same, of classes below that one.
    pub(super) fn active_below(&self, class: Class) -> u32 {
        self.in_slots.busy.below(class)
    }

    /// Slots of held tasks that are not paused.
    pub(super) fn unpaused_slots(&self) -> u32 {
        self.held.slots - self.in_slots.paused_slots
    }

    /// The class of the paused task that resumes next.
    pub(super) fn paused_class(&self) -> Option<Class> {
        self.lists.first_paused().map(|(class, _)| class)
    }

    /// Memory that running and paused tasks may use at most, in bytes.
    pub(super) fn memory_in_use(&self) -> u64 {
        self.in_slots.memory.in_use(self.slots, None, None)
    }

    /// The bound of it, in bytes.
    pub(super) fn memory_max(&self) -> u64 {
        self.memory_bytes.saturating_mul(u64::from(self.slots))
    }

    /// When the next task gains a class.
    pub(super) fn next_ageing(&self) -> Option<Time> {
        self.lists.next_ageing()
    }

    pub(super) fn preempt_at(&self) -> Option<Time> {
        self.preempt_at
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use super::run::Accepted;
    use super::*;
    use crate::id::{BlobId, JobId};
    use crate::message::Grant;
    use crate::task::{Entry, Limits, Payload, Profile, Program, Terms};

    /// An arbitrary number below that one, from a state that each draw changes.
    fn below(state: &mut u64, most: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % most
    }

    fn run(state: &mut u64, now: Time, index: u32) -> Box<Run> {
        let bytes = |number: u8| BlobId([number; 32]);
        let memory_bytes = 1 + below(state, 5);
        let program = Arc::new(Program {
            module: bytes(1),
            module_bytes: 1,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits { memory_bytes, ..Limits::DEFAULT },
        });
        let (key, terms) = (program.task_key(), Terms::default());
        let class = Class::ALL[usize::try_from(below(state, 4)).unwrap()];
        let slots = u32::try_from(1 + below(state, 3)).unwrap();
        let owner = PeerId([2; 32]);
        let accepted = Accepted { owner, program, key, terms, class, slots, prefilled: None };
        let lease = LeaseId { job: JobId(1), epoch: 0, index, attempt: 1 };
        let estimate_us = u32::try_from(below(state, 10_000)).unwrap();
        Box::new(Run::new(now, &accepted, Grant { lease, input: Payload::empty() }, estimate_us))
    }

    /// Every number of the queue, counted anew from its tasks.
    fn check(queue: &RunQueue) {
        let all: Vec<&Run> = queue.runs.values().map(|run| &**run).collect();
        let slots = |holds: &dyn Fn(&Run) -> bool| -> u32 {
            all.iter().filter(|run| holds(run)).map(|run| run.slots).sum()
        };
        let tasks = |holds: &dyn Fn(&Run) -> bool| all.iter().filter(|run| holds(run)).count();
        let is_paused = |run: &Run| run.stage.place() == Place::Paused;
        let is_busy = |run: &Run| run.stage.place() == Place::Busy;
        assert_eq!(queue.held_slots(), slots(&|_| true));
        assert_eq!(queue.unpaused_slots(), slots(&|run| !is_paused(run)));
        assert_eq!(queue.active_slots(), slots(&is_busy));
        assert_eq!(queue.handed() as usize, tasks(&|run| run.stage.place() != Place::Outside));
        assert_eq!(queue.paused() as usize, tasks(&is_paused));
        for class in Class::ALL {
            assert_eq!(queue.held_at_least(class), slots(&|run| run.class >= class));
            assert_eq!(queue.long_at_least(class), slots(&|run| run.long && run.class >= class));
            assert_eq!(queue.active_below(class), slots(&|run| is_busy(run) && run.class < class));
        }
        assert_eq!(queue.leases.len(), tasks(&|run| !matches!(run.stage, Stage::Aborted { .. })));
        let waiting = |stage| all.iter().filter(move |run| run.stage == stage).map(|run| run.class).max();
        assert_eq!(queue.lists.first_ready().map(|(class, _)| class), waiting(Stage::Ready));
        assert_eq!(queue.paused_class(), waiting(Stage::Paused));
        let ages_at = all.iter().filter_map(|run| run.ages_at).min();
        assert_eq!(queue.next_ageing(), ages_at);
        let paused_bytes: u64 = all.iter().filter(|run| is_paused(run)).map(|run| run.memory_bytes()).sum();
        assert!(queue.memory_in_use() >= paused_bytes);
    }

    #[test]
    fn the_numbers_are_what_the_stages_say() {
        const STAGES: [Stage; 7] = [
            Stage::Staging(2),
            Stage::Ready,
            Stage::Handed,
            Stage::Paused,
            Stage::Requeuing,
            Stage::Aborted { paused: false },
            Stage::Aborted { paused: true },
        ];
        let (mut queue, mut state) = (RunQueue::new(4, 10), 7);
        for step in 0..4000 {
            let now = Time(u64::from(step) * 100_000);
            if below(&mut state, 4) == 0 {
                queue.insert(run(&mut state, now, step));
            }
            let ids: Vec<RunId> = queue.runs.keys().copied().collect();
            let id = ids.get(usize::try_from(below(&mut state, 1 + ids.len() as u64)).unwrap());
            let to = STAGES[usize::try_from(below(&mut state, 7)).unwrap()];
            match id.copied() {
                Some(id) if queue.run(id).stage.leads_to(to) => queue.set_stage(now, id, to),
                Some(id) if below(&mut state, 20) == 0 => drop(queue.remove(now, id)),
                Some(id) if below(&mut state, 20) == 0 => queue.mark_long(id),
                _ => queue.age(now),
            }
            check(&queue);
        }
        let ids: Vec<RunId> = queue.runs.keys().copied().collect();
        assert!(ids.len() > 10, "there was something to count");
        for id in ids {
            queue.remove(Time(u64::MAX), id);
            check(&queue);
        }
        assert_eq!((queue.len(), queue.memory_in_use(), queue.next_ageing()), (0, 0, None));
    }
}
