//! Sparrow: a job places more reservations than it has tasks, and a task binds to the first worker with a free slot. A
//! worker that reaches a reservation asks the owner; its slot is idle meanwhile. With cancellation left-over reservations
//! are withdrawn; with stealing an idle worker gets a busy one's oldest reservation.

use std::collections::VecDeque;

use super::meter::Meter;
use crate::agenda::Agenda;
use crate::trace::{Distinct, Shape, Trace};
use weft_sim::Chance;

/// The variant of Sparrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Reservations per task.
    pub probes: usize,
    /// Whether the remaining reservations are withdrawn when a job's last task is handed out.
    pub cancel: bool,
    /// How many random workers an idle slot asks at most; 0 disables stealing.
    pub steals: u8,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives(u32),
    Reserved {
        job: u32,
        worker: u32,
    },
    /// The owner is asked for a task; the response goes to that worker.
    Asked {
        job: u32,
        worker: u32,
        tries: u8,
    },
    Starts {
        job: u32,
        worker: u32,
    },
    Noop {
        worker: u32,
        tries: u8,
    },
    Ended {
        worker: u32,
    },
    Cancelled(u32),
    StealAt {
        thief: u32,
        tries: u8,
    },
}

#[derive(Clone, Debug, Default)]
struct Worker {
    busy: usize,
    queue: VecDeque<u32>,
}

struct Run<'a> {
    shape: &'a Shape,
    trace: &'a Trace,
    rule: Late,
    meter: Meter,
    agenda: Agenda<Event>,
    chance: Chance,
    workers: Vec<Worker>,
    /// The number of tasks of each job that were not handed out.
    left: Vec<u32>,
    cancelled: Vec<bool>,
    drawn: Vec<u32>,
}

/// Runs a trace.
#[must_use]
pub fn run(shape: &Shape, trace: &Trace, rule: Late, seed: u64) -> Meter {
    let jobs = trace.arrivals.len();
    let mut run = Run {
        shape,
        trace,
        rule,
        meter: Meter::new(shape, trace),
        agenda: Agenda::new(),
        chance: Chance::new(seed, "late"),
        workers: vec![Worker::default(); shape.workers],
        left: vec![shape.tasks as u32; jobs],
        cancelled: vec![false; jobs],
        drawn: Vec::new(),
    };
    let mut distinct = Distinct::new(shape.workers);
    for (job, at) in (0u32..).zip(&trace.arrivals) {
        run.agenda.at(*at, Event::Arrives(job));
    }
    while let Some(event) = run.agenda.pop() {
        run.happen(event, &mut distinct);
    }
    run.meter
}

impl Run<'_> {
    fn happen(&mut self, event: Event, distinct: &mut Distinct) {
        let delay = self.shape.delay_us;
        match event {
            Event::Arrives(job) => {
                let probes = self.rule.probes * self.shape.tasks;
                distinct.draw(&mut self.chance, probes, &mut self.drawn);
                for worker in &self.drawn {
                    self.agenda.after(delay, Event::Reserved { job, worker: *worker });
                }
                self.meter.messages += self.drawn.len() as u64;
            }
            Event::Reserved { job, worker } => {
                self.workers[worker as usize].queue.push_back(job);
                self.fill(worker, self.rule.steals);
            }
            Event::Asked { job, worker, tries } => self.on_asked(job, worker, tries),
            Event::Starts { job, worker } => {
                let ends = self.agenda.now() + self.trace.durations[job as usize];
                self.meter.task_ends(self.trace, job, ends);
                self.agenda.at(ends, Event::Ended { worker });
            }
            Event::Noop { worker, tries } => {
                self.workers[worker as usize].busy -= 1;
                self.fill(worker, tries);
            }
            Event::Ended { worker } => {
                self.workers[worker as usize].busy -= 1;
                self.fill(worker, 0);
            }
            Event::Cancelled(job) => self.cancelled[job as usize] = true,
            Event::StealAt { thief, tries } => self.on_steal(thief, tries),
        }
    }

    fn on_asked(&mut self, job: u32, worker: u32, tries: u8) {
        let delay = self.shape.delay_us;
        self.meter.messages += 1;
        let left = &mut self.left[job as usize];
        if *left == 0 {
            self.meter.noops += 1;
            self.agenda.after(delay, Event::Noop { worker, tries });
            return;
        }
        *left -= 1;
        self.agenda.after(delay, Event::Starts { job, worker });
        if *left == 0 && self.rule.cancel {
            self.agenda.after(2 * delay, Event::Cancelled(job));
        }
    }

    /// A worker's free slots claim reserved tasks, or steal.
    fn fill(&mut self, number: u32, tried: u8) {
        let delay = self.shape.delay_us;
        let worker = &mut self.workers[number as usize];
        while worker.busy < self.shape.slots {
            let Some(job) = worker.queue.pop_front() else {
                if tried < self.rule.steals {
                    worker.busy += 1;
                    self.steal(number, tried + 1);
                }
                return;
            };
            if self.cancelled[job as usize] {
                // A cancellation removed it from the queue.
                self.meter.messages += 1;
                continue;
            }
            worker.busy += 1;
            self.meter.messages += 1;
            self.agenda.after(delay, Event::Asked { job, worker: number, tries: tried });
        }
    }

    /// A free slot asks a random worker.
    fn steal(&mut self, thief: u32, tries: u8) {
        self.meter.messages += 1;
        self.agenda.after(self.shape.delay_us, Event::StealAt { thief, tries });
    }

    fn on_steal(&mut self, thief: u32, tries: u8) {
        let delay = self.shape.delay_us;
        self.meter.messages += 1;
        let victim = self.chance.index(self.workers.len());
        while let Some(job) = self.workers[victim].queue.pop_front() {
            if self.cancelled[job as usize] {
                self.meter.messages += 1;
                continue;
            }
            self.meter.steals += 1;
            self.agenda.after(delay, Event::Asked { job, worker: thief, tries });
            return;
        }
        self.agenda.after(delay, Event::Noop { worker: thief, tries });
    }
}
