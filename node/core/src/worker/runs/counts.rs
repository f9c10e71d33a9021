//! Counters of a run queue: what all held tasks take, and what those in the slots take. Plain arithmetic; the queue
//! updates them whenever a task changes its stage.

use super::memory::Memory;
use super::run::{Place, Run};
use crate::message::Class;
use crate::worker::classes::PerClass;

/// Counters of all held tasks, in any stage.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Slots of all tasks.
    pub(super) slots: u32,
    pub(super) by_class: PerClass,
    /// Slots of long tasks.
    pub(super) long: PerClass,
    /// Estimated slot time of all tasks, in microseconds.
    pub(super) work_us: PerClass<u64>,
}

impl Held {
    pub(super) fn add(&mut self, run: &Run) {
        self.slots += run.slots;
        self.add_class(run.class, run);
    }

    pub(super) fn sub(&mut self, run: &Run) {
        self.slots -= run.slots;
        self.sub_class(run.class, run);
    }

    /// A task's class changed.
    pub(super) fn reclass(&mut self, from: Class, run: &Run) {
        self.sub_class(from, run);
        self.add_class(run.class, run);
    }

    fn add_class(&mut self, class: Class, run: &Run) {
        self.by_class.add(class, run.slots);
        self.long.add(class, run.long_slots());
        self.work_us.add(class, run.slot_us());
    }

    fn sub_class(&mut self, class: Class, run: &Run) {
        self.by_class.sub(class, run.slots);
        self.long.sub(class, run.long_slots());
        self.work_us.sub(class, run.slot_us());
    }
}

/// Counters of tasks that were handed to the slots and have not been answered.
#[derive(Debug, Default)]
pub(super) struct InSlots {
    /// Tasks, paused ones included.
    pub(super) tasks: u32,
    /// Tasks that are paused, and slots that they would take.
    pub(super) paused: u32,
    pub(super) paused_slots: u32,
    /// Slots of those that are not paused.
    pub(super) busy: PerClass,
    pub(super) memory: Memory,
}

impl InSlots {
    /// A task moves to another place.
    pub(super) fn relocate(&mut self, run: &Run, from: Place, to: Place) {
        if from == to {
            return;
        }
        self.leave(run, from);
        self.enter(run, to);
    }

    fn enter(&mut self, run: &Run, place: Place) {
        match place {
            Place::Outside => return,
            Place::Busy => {
                self.busy.add(run.class, run.slots);
                self.memory.run(run.memory_bytes());
            }
            Place::Paused => {
                self.paused += 1;
                self.paused_slots += run.slots;
                self.memory.pause(run.memory_bytes());
            }
        }
        self.tasks += 1;
    }

    fn leave(&mut self, run: &Run, place: Place) {
        match place {
            Place::Outside => return,
            Place::Busy => {
                self.busy.sub(run.class, run.slots);
                self.memory.end_run(run.memory_bytes());
            }
            Place::Paused => {
                self.paused -= 1;
                self.paused_slots -= run.slots;
                self.memory.end_pause(run.memory_bytes());
            }
        }
        self.tasks -= 1;
    }

    /// Slots of all that is not paused.
    pub(super) fn active_slots(&self) -> u32 {
        self.busy.total()
    }
}
