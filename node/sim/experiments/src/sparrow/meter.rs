//! The figures of a policy's run.

use crate::trace::{Shape, Trace};

/// Measures a run: when each job's last task ended, and how many messages that took.
#[derive(Debug)]
pub struct Meter {
    left: Vec<u32>,
    /// From each job's arrival to the end of its last task, in microseconds; 0 while it runs.
    pub response_us: Vec<u64>,
    /// The number of messages to place tasks, without outcomes, which every policy sends.
    pub messages: u64,
    /// The number of claims for which no task was left.
    pub noops: u64,
    /// The number of tasks that a worker stole from another one's queue.
    pub steals: u64,
    /// The number of tasks that began; each runs to its end.
    pub ended: u64,
}

impl Meter {
    /// A meter before the run.
    #[must_use]
    pub fn new(shape: &Shape, trace: &Trace) -> Self {
        let jobs = trace.arrivals.len();
        Self {
            left: vec![shape.tasks as u32; jobs],
            response_us: vec![0; jobs],
            messages: 0,
            noops: 0,
            steals: 0,
            ended: 0,
        }
    }

    /// A task of that job begins now and ends at `ends_us`: no model stops tasks.
    pub fn task_ends(&mut self, trace: &Trace, job: u32, ends_us: u64) {
        let job = job as usize;
        self.ended += 1;
        self.left[job] -= 1;
        self.response_us[job] = self.response_us[job].max(ends_us - trace.arrivals[job]);
    }

    /// The figures of the middle half of all jobs.
    ///
    /// # Panics
    /// When a task did not end: a policy that loses tasks has no figures.
    #[must_use]
    pub fn figures(&self, trace: &Trace) -> Figures {
        assert!(self.left.iter().all(|left| *left == 0), "a policy lost tasks");
        let jobs = self.response_us.len();
        let middle = jobs / 4..jobs - jobs / 4;
        let mut response: Vec<u64> = self.response_us[middle.clone()].to_vec();
        response.sort_unstable();
        let ideal = mean_ms(&trace.durations[middle]);
        let tasks = self.ended as f64;
        Figures {
            mean_ms: mean_ms(&response),
            p50_ms: percentile_ms(&response, 50.0),
            p95_ms: percentile_ms(&response, 95.0),
            p99_ms: percentile_ms(&response, 99.0),
            ratio: mean_ms(&response) / ideal,
            messages: self.messages as f64 / tasks,
            noops: self.noops as f64 / tasks,
            steals: self.steals as f64 / tasks,
        }
    }
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Mean response of a job, in milliseconds.
    pub mean_ms: f64,
    /// Median response of a job, in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile, in milliseconds.
    pub p95_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Mean response divided by the mean of the jobs' longest tasks: 1 is ideal.
    pub ratio: f64,
    /// Messages per task.
    pub messages: f64,
    /// Claims per task for which no task was left.
    pub noops: f64,
    /// Steals per task.
    pub steals: f64,
}

impl Figures {
    /// The mean of several runs.
    #[must_use]
    pub fn mean(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| all.iter().map(figure).sum::<f64>() / all.len().max(1) as f64;
        Self {
            mean_ms: of(|f| f.mean_ms),
            p50_ms: of(|f| f.p50_ms),
            p95_ms: of(|f| f.p95_ms),
            p99_ms: of(|f| f.p99_ms),
            ratio: of(|f| f.ratio),
            messages: of(|f| f.messages),
            noops: of(|f| f.noops),
            steals: of(|f| f.steals),
        }
    }
}

/// The mean of microseconds, in milliseconds.
pub(crate) fn mean_ms(us: &[u64]) -> f64 {
    us.iter().sum::<u64>() as f64 / us.len().max(1) as f64 / 1000.0
}

/// A percentile of sorted microseconds, in milliseconds.
pub(crate) fn percentile_ms(sorted_us: &[u64], percent: f64) -> f64 {
    let place = (sorted_us.len() as f64 * percent / 100.0) as usize;
    let value = sorted_us.get(place.min(sorted_us.len().saturating_sub(1)));
    value.copied().unwrap_or(0) as f64 / 1000.0
}
