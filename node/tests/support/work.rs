//! A job of some seconds that has every kind of task, with the results that it must have.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test file uses its part of it, and may panic"
)]

use std::collections::BTreeMap;

use serde_json::Value;

use super::Ended;

/// What spin.wasm computes, without its steps one by one: each is linear over the bits of the state, so that many are the power
/// of a matrix. A test that took them one by one, without optimisation, would take longer than the task.
pub fn spin(steps: u64) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    // What each bit of the state becomes by 1, 2, 4, .. steps.
    let mut images: [u64; 64] = std::array::from_fn(|bit| step(1 << bit));
    let mut left = steps;
    while left > 0 {
        if left & 1 == 1 {
            state = image(&images, state);
        }
        images = images.map(|bits| image(&images, bits));
        left >>= 1;
    }
    format!("{state:016x}")
}

fn step(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

fn image(images: &[u64; 64], state: u64) -> u64 {
    let set = images.iter().enumerate().filter(|(bit, _)| (state >> bit) & 1 == 1);
    set.fold(0, |sum, (_, image)| sum ^ image)
}

/// One job's inputs, and the output that each must have; none for one that must fail.
pub struct Work {
    pub lines: String,
    pub outputs: Vec<Option<String>>,
    /// How a task ends that has none.
    pub otherwise: &'static str,
}

impl Work {
    /// Tasks that take nothing, some milliseconds, a tenth of a second, and some that fail.
    pub fn mixed(tasks: u64) -> Self {
        let (mut lines, mut outputs) = (String::new(), Vec::new());
        for index in 0..tasks {
            let steps =
                [index, 2_000_000 + index, 8_000_000 + index, 30_000_000 + index][(index % 4) as usize];
            let (line, output) = if index % 17 == 3 {
                (format!("no number {index}"), None)
            } else {
                (steps.to_string(), Some(spin(steps)))
            };
            lines.push_str(&line);
            lines.push('\n');
            outputs.push(output);
        }
        Self { lines, outputs, otherwise: "failed" }
    }

    /// The work of a job whose inputs are its results: that job makes this of each, and is skipped where there is none.
    pub fn of_results(&self, made: impl Fn(&str) -> String) -> Self {
        let outputs = self.outputs.iter().map(|output| output.as_deref().map(&made)).collect();
        Self { lines: String::new(), outputs, otherwise: "skipped" }
    }

    /// How many tasks end without an output.
    pub fn failures(&self) -> i32 {
        i32::try_from(self.outputs.iter().filter(|output| output.is_none()).count()).unwrap()
    }
}

/// That the lines of `weft results --json` have every result of a job once, and the right one.
#[track_caller]
pub fn assert_results(job: &str, work: &Work, lines: &Ended) {
    let mut found: BTreeMap<u64, Value> = BTreeMap::new();
    for line in lines.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let index = line["index"].as_u64().unwrap();
        assert!(found.insert(index, line).is_none(), "job {job}: task {index} has two results");
    }
    assert_eq!(found.len(), work.outputs.len(), "job {job}: {}", lines.stderr);
    for ((index, line), output) in found.iter().zip(&work.outputs) {
        match output {
            Some(output) => assert_eq!(&line["output"], output, "job {job}, task {index}: {line}"),
            None => assert_eq!(line["outcome"], work.otherwise, "job {job}, task {index}: {line}"),
        }
    }
}
