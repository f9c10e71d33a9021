//! Policies that bind a task to a worker before the worker is ready: at random, the better of two for each task, the
//! best of a batch of samples.

use std::collections::VecDeque;

use super::meter::Meter;
use crate::agenda::Agenda;
use crate::trace::{Distinct, Shape, Trace};
use weft_sim::Chance;

/// How the worker of a task is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A random worker.
    Random,
    /// The one of this many random workers with the shortest queue, for each task separately.
    PerTask(usize),
    /// The workers with the shortest queues, of this many random ones per task, for all tasks of a job together.
    Batch(usize),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives(u32),
    /// The probes of a job reach their workers.
    Probed(u32),
    TaskAt {
        job: u32,
        worker: u32,
    },
    Ended(u32),
}

#[derive(Clone, Debug, Default)]
struct Worker {
    busy: usize,
    queue: VecDeque<u32>,
}

/// Runs a trace.
#[must_use]
pub fn run(shape: &Shape, trace: &Trace, choice: Choice, seed: u64) -> Meter {
    let mut meter = Meter::new(shape, trace);
    let mut agenda = Agenda::new();
    let mut chance = Chance::new(seed, "push");
    let mut distinct = Distinct::new(shape.workers);
    let mut drawn: Vec<u32> = Vec::new();
    let mut workers = vec![Worker::default(); shape.workers];
    for (job, at) in (0u32..).zip(&trace.arrivals) {
        agenda.at(*at, Event::Arrives(job));
    }
    while let Some(event) = agenda.pop() {
        match event {
            Event::Arrives(job) if choice == Choice::Random => {
                distinct.draw(&mut chance, shape.tasks, &mut drawn);
                for worker in spread(&drawn, shape.tasks) {
                    agenda.after(shape.delay_us, Event::TaskAt { job, worker });
                }
                meter.messages += shape.tasks as u64;
            }
            Event::Arrives(job) => agenda.after(shape.delay_us, Event::Probed(job)),
            Event::Probed(job) => {
                let probes = match choice {
                    Choice::Random => 1,
                    Choice::PerTask(d) | Choice::Batch(d) => d,
                };
                distinct.draw(&mut chance, probes * shape.tasks, &mut drawn);
                meter.messages += (2 * drawn.len() + shape.tasks) as u64;
                choose(shape, choice, &workers, &mut drawn);
                for worker in spread(&drawn, shape.tasks) {
                    agenda.after(2 * shape.delay_us, Event::TaskAt { job, worker });
                }
            }
            Event::TaskAt { job, worker } => {
                workers[worker as usize].queue.push_back(job);
                start(shape, trace, &mut meter, &mut agenda, &mut workers, worker);
            }
            Event::Ended(worker) => {
                workers[worker as usize].busy -= 1;
                start(shape, trace, &mut meter, &mut agenda, &mut workers, worker);
            }
        }
    }
    meter
}

/// The drawn workers, again from the first where a job has more tasks than there are workers.
fn spread(drawn: &[u32], tasks: usize) -> impl Iterator<Item = u32> {
    drawn.iter().copied().cycle().take(tasks)
}

/// Keeps those of the drawn workers that get a task each.
fn choose(shape: &Shape, choice: Choice, workers: &[Worker], drawn: &mut Vec<u32>) {
    let length = |worker: &u32| {
        let Worker { busy, queue } = &workers[*worker as usize];
        (queue.len() + busy) as i64 - shape.slots as i64
    };
    match choice {
        Choice::Random => {}
        Choice::PerTask(d) => {
            let best = drawn.chunks(d).filter_map(|few| few.iter().copied().min_by_key(length));
            *drawn = best.collect();
        }
        Choice::Batch(_) => {
            drawn.sort_by_key(length);
            drawn.truncate(shape.tasks);
        }
    }
}

fn start(
    shape: &Shape,
    trace: &Trace,
    meter: &mut Meter,
    agenda: &mut Agenda<Event>,
    workers: &mut [Worker],
    number: u32,
) {
    let worker = &mut workers[number as usize];
    while worker.busy < shape.slots
        && let Some(job) = worker.queue.pop_front()
    {
        worker.busy += 1;
        let ends = agenda.now() + trace.durations[job as usize];
        meter.task_ends(trace, job, ends);
        agenda.at(ends, Event::Ended(number));
    }
}
