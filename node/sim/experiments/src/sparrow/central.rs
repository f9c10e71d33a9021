//! One scheduler that knows every slot: a task goes to a free one at once, or waits in one queue for all. It learns of
//! the end of a task after the network's delay. The other policies are compared with it.

use std::collections::VecDeque;

use super::meter::Meter;
use crate::agenda::Agenda;
use crate::trace::{Shape, Trace};

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives(u32),
    Starts(u32),
    Freed,
    Ended,
}

/// Runs a trace.
#[must_use]
pub fn run(shape: &Shape, trace: &Trace) -> Meter {
    let mut meter = Meter::new(shape, trace);
    let mut agenda = Agenda::new();
    let mut free = shape.workers * shape.slots;
    let mut queue: VecDeque<u32> = VecDeque::new();
    for (job, at) in (0u32..).zip(&trace.arrivals) {
        agenda.at(*at, Event::Arrives(job));
    }
    while let Some(event) = agenda.pop() {
        match event {
            Event::Arrives(job) => queue.extend(std::iter::repeat_n(job, shape.tasks)),
            Event::Starts(job) => {
                let ends = agenda.now() + trace.durations[job as usize];
                meter.task_ends(trace, job, ends);
                agenda.at(ends, Event::Ended);
            }
            Event::Ended => {
                agenda.after(shape.delay_us, Event::Freed);
                meter.messages += 1;
            }
            Event::Freed => free += 1,
        }
        while free > 0
            && let Some(job) = queue.pop_front()
        {
            free -= 1;
            meter.messages += 1;
            agenda.after(shape.delay_us, Event::Starts(job));
        }
    }
    meter
}
