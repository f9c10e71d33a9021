//! Arrivals and running times, drawn before any policy sees them: every policy of an experiment runs the same trace, so
//! that a difference between two of them is not chance.

use weft_sim::Chance;

/// The machines, slots and jobs of an experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The number of machines.
    pub workers: usize,
    /// The number of slots of a machine.
    pub slots: usize,
    /// The number of tasks of a job.
    pub tasks: usize,
    /// The number of jobs.
    pub jobs: usize,
    /// Mean running time of a task, in microseconds.
    pub mean_us: u64,
    /// One-way delay of the network, in microseconds.
    pub delay_us: u64,
    /// Load: the share of all slots' time that the jobs take, from 0 to 1.
    pub load: f64,
}

/// The distribution of running times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durations {
    /// One exponential draw a job, which all of its tasks share.
    ExpJobs,
    /// All tasks run equally long.
    Constant,
}

/// A drawn trace: when each job arrives, and how long its tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When each job arrives, in microseconds, in order.
    pub arrivals: Vec<u64>,
    /// How long each task of a job runs, in microseconds.
    pub durations: Vec<u64>,
}

impl Trace {
    /// The trace of this seed. Two loads of one seed have the same durations, and arrivals in proportion.
    #[must_use]
    pub fn draw(shape: &Shape, durations: Durations, seed: u64) -> Self {
        let (mut when, mut what) = (Chance::new(seed, "arrivals"), Chance::new(seed, "durations"));
        let slots = (shape.workers * shape.slots) as f64;
        let gap_us = shape.mean_us as f64 * shape.tasks as f64 / (shape.load * slots);
        let mut now = 0.0;
        let mut trace = Self { arrivals: Vec::new(), durations: Vec::new() };
        for _ in 0..shape.jobs {
            now += when.exponential(gap_us);
            trace.arrivals.push(now as u64);
            trace.durations.push(match durations {
                Durations::ExpJobs => what.exponential(shape.mean_us as f64).max(1.0) as u64,
                Durations::Constant => shape.mean_us,
            });
        }
        trace.settle(shape, gap_us);
        trace
    }

    /// The same trace with all running times multiplied by `times`, and so the load.
    #[must_use]
    pub fn lengthened(mut self, times: f64) -> Self {
        for duration in &mut self.durations {
            *duration = (*duration as f64 * times).max(1.0) as u64;
        }
        self
    }

    /// Scales the drawn times to the requested means: at 95 % load a trace with one percent more load by chance waits a
    /// fifth longer, and seeds could not be compared.
    fn settle(&mut self, shape: &Shape, gap_us: f64) {
        let jobs = self.arrivals.len() as f64;
        let last = self.arrivals.last().copied().unwrap_or(0).max(1) as f64;
        let mean = self.durations.iter().sum::<u64>() as f64 / jobs.max(1.0);
        for at in &mut self.arrivals {
            *at = (*at as f64 * gap_us * jobs / last) as u64;
        }
        for duration in &mut self.durations {
            *duration = (*duration as f64 * shape.mean_us as f64 / mean).max(1.0) as u64;
        }
    }
}

/// Floats from a stream of whole random numbers.
pub(crate) trait Draw {
    /// A number from 0 to below 1.
    fn unit(&mut self) -> f64;
    /// An exponentially distributed number.
    fn exponential(&mut self, mean: f64) -> f64;
    /// A normally distributed number: mean 0, variance 1.
    fn normal(&mut self) -> f64;
}

impl Draw for Chance {
    fn unit(&mut self) -> f64 {
        (self.any() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Draws distinct numbers below a bound, and reuses its memory.
#[derive(Debug)]
pub(crate) struct Distinct {
    stamps: Vec<u32>,
    round: u32,
}

impl Distinct {
    pub(crate) fn new(bound: usize) -> Self {
        Self { stamps: vec![0; bound], round: 0 }
    }

    /// `count` distinct numbers in random order, or all numbers below the bound if there are fewer.
    pub(crate) fn draw(&mut self, chance: &mut Chance, count: usize, into: &mut Vec<u32>) {
        into.clear();
        self.round += 1;
        let count = count.min(self.stamps.len());
        while into.len() < count {
            let number = chance.index(self.stamps.len());
            if self.stamps[number] != self.round {
                self.stamps[number] = self.round;
                into.push(number as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape =
        Shape { workers: 100, slots: 4, tasks: 10, jobs: 4000, mean_us: 1000, delay_us: 5, load: 0.8 };

    #[test]
    fn a_trace_asks_for_its_load() {
        for durations in [Durations::ExpJobs, Durations::Constant] {
            let trace = Trace::draw(&SHAPE, durations, 1);
            let work: u64 = trace.durations.iter().map(|us| us * 10).sum();
            let load = work as f64 / (trace.arrivals.last().copied().unwrap() as f64 * 400.0);
            assert!((0.76..0.84).contains(&load), "{durations:?}: {load}");
            assert_eq!(trace, Trace::draw(&SHAPE, durations, 1));
        }
    }

    #[test]
    fn distinct_numbers_are_distinct() {
        let (mut distinct, mut chance, mut drawn) = (Distinct::new(20), Chance::new(1, "d"), Vec::new());
        for count in [0, 7, 20, 99] {
            distinct.draw(&mut chance, count, &mut drawn);
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), count.min(20));
        }
    }
}
