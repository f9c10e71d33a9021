//! What the demo says at its end: figures of one job, all of them from its receipts and the clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weft_client::TaskResult;

use crate::counts::counted;

/// Letters of a line; a screen has as many at least.
const COLUMNS: usize = 80;

/// Gathers one job's results.
pub(super) struct Tally {
    title: String,
    began: Instant,
    ended: Option<Duration>,
    waits: Vec<Duration>,
    outputs: BTreeMap<u32, weft_client::Output>,
    doubled: u32,
    failed: Vec<String>,
    retried: u32,
    task_time_us: u64,
    busy_us: u64,
    by_worker: BTreeMap<String, u32>,
}

impl Tally {
    pub(super) fn begin(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            began: Instant::now(),
            ended: None,
            waits: Vec::new(),
            outputs: BTreeMap::new(),
            doubled: 0,
            failed: Vec::new(),
            retried: 0,
            task_time_us: 0,
            busy_us: 0,
            by_worker: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, result: TaskResult) {
        self.waits.push(self.began.elapsed());
        self.retried += result.attempts.saturating_sub(1);
        self.task_time_us += result.usage.cpu_us;
        self.busy_us += result.usage.wall_us;
        if let Some(worker) = &result.worker {
            *self.by_worker.entry(worker.clone()).or_insert(0) += 1;
        }
        if !result.is_done() {
            self.failed.push(format!("task {}: {:?}", result.index, result.outcome));
        }
        if self.outputs.insert(result.index, result.output).is_some() {
            self.doubled += 1;
        }
    }

    pub(super) fn end(&mut self) {
        self.ended = Some(self.began.elapsed());
    }

    pub(super) fn wall(&self) -> Duration {
        self.ended.unwrap_or_else(|| self.began.elapsed())
    }

    pub(super) fn outputs(&self) -> &BTreeMap<u32, weft_client::Output> {
        &self.outputs
    }

    /// Why the job is not whole: a task that is missing, came twice, or failed.
    pub(super) fn fault(&self, tasks: usize) -> Option<String> {
        if let Some(first) = self.failed.first() {
            return Some(format!("{} of {tasks} tasks of {} failed; {first}", self.failed.len(), self.title));
        }
        if self.doubled > 0 {
            return Some(format!("{} results of {} came twice", self.doubled, self.title));
        }
        let missing = tasks - self.outputs.len().min(tasks);
        (missing > 0).then(|| format!("{missing} of {tasks} results of {} are missing", self.title))
    }

    /// The figures as lines. `slot_time` is what the slots had to give while the job ran.
    pub(super) fn lines(&self, slot_time: Duration, names: &BTreeMap<String, String>) -> Vec<String> {
        let wall = self.wall().as_secs_f64();
        let task_time = seconds(self.task_time_us);
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        let mut per_node: Vec<String> = self
            .by_worker
            .iter()
            .map(|(worker, tasks)| format!("{} {tasks}", names.get(worker).unwrap_or(worker)))
            .collect();
        per_node.sort();
        let used = 100.0 * seconds(self.busy_us) / slot_time.as_secs_f64().max(1e-9);
        let mut lines = vec![
            format!(
                "{}: {}, {} retried, {} failed",
                self.title,
                counted(self.waits.len() as u64, "task"),
                self.retried,
                self.failed.len()
            ),
            format!(
                "  wall {wall:.2} s, processor time {task_time:.2} s, speed-up {:.2}, slots used {used:.0} %",
                task_time / wall.max(1e-9)
            ),
            format!(
                "  submit to result: p50 {:.0} ms, p99 {:.0} ms",
                quantile_ms(&waits, 50),
                quantile_ms(&waits, 99)
            ),
        ];
        lines.extend(wrapped("  tasks per node: ", &per_node));
        lines
    }
}

/// Items behind a heading, in lines that end before the edge of a narrow screen.
fn wrapped(heading: &str, items: &[String]) -> Vec<String> {
    let mut lines = vec![heading.to_owned()];
    for (at, item) in items.iter().enumerate() {
        let item = if at + 1 < items.len() { format!("{item}, ") } else { item.clone() };
        match lines.last_mut() {
            Some(line) if line.len() + item.trim_end().len() <= COLUMNS => line.push_str(&item),
            Some(_) | None => lines.push(format!("{:width$}{item}", "", width = heading.len())),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

fn quantile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).map_or(0.0, |wait| wait.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_nodes_take_more_lines_not_longer_ones() {
        let nodes: Vec<String> = (0..32).map(|node| format!("node-{node} 2048")).collect();
        let lines = wrapped("  tasks per node: ", &nodes);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= COLUMNS), "{lines:#?}");
        let words = lines.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ");
        assert_eq!(words, format!("tasks per node: {}", nodes.join(", ")));
        assert_eq!(wrapped("  tasks per node: ", &nodes[..1]), ["  tasks per node: node-0 2048"]);
    }

    #[test]
    fn quantiles_are_of_the_sorted_waits() {
        let waits: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert!((quantile_ms(&waits, 50) - 50.0).abs() < 1e-9);
        assert!((quantile_ms(&waits, 99) - 99.0).abs() < 1e-9);
        assert!(quantile_ms(&[], 50).abs() < 1e-9);
    }
}
