//! How far a job is, on stderr: a bar on a terminal, a line now and then elsewhere. The code that takes the results reports
//! it; it never waits.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use weft_node::counts::counted;
use weft_node::terminal::stderr_draws;

use super::say;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// After so long without any result the wait is explained.
const EXPLAIN_AFTER: Duration = Duration::from_secs(3);
const REDRAW_HZ: u8 = 10;

/// How many inputs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// Nothing tells yet.
    Unknown,
    /// By the part of the file that was read.
    About(u64),
    /// All are counted.
    Exactly(u64),
}

/// Progress of one job.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    job: String,
    since: Instant,
    told: Instant,
    done: u64,
    failed: u64,
    cancelled: u64,
    /// Of those that are done, how many were known before.
    known: u64,
    explained: bool,
    /// What the first task waits for, if a worker has it.
    stage: Option<String>,
}

impl Progress {
    /// Starts to count; `job` is named where the wait needs explaining.
    pub(crate) fn new(job: &str) -> Self {
        let bar = stderr_draws().then(new_bar);
        let progress = Self { bar, explained: false, ..Self::silent(job) };
        progress.set_message();
        progress
    }

    /// Counts without a bar or a word about it.
    pub(crate) fn silent(job: &str) -> Self {
        let now = Instant::now();
        Self {
            bar: None,
            job: job.into(),
            since: now,
            told: now,
            done: 0,
            failed: 0,
            cancelled: 0,
            known: 0,
            explained: true,
            stage: None,
        }
    }

    /// Counts one ended task; `was_known` if nothing ran for it.
    pub(crate) fn count(&mut self, is_done: bool, was_known: bool) {
        self.known += u64::from(was_known);
        self.done += u64::from(is_done);
        self.failed += u64::from(!is_done);
    }

    /// Counts one task that was cancelled: it did not fail.
    pub(crate) fn count_cancelled(&mut self) {
        self.cancelled += 1;
    }

    /// Tasks that ended as done.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Tasks that neither ended as done nor were cancelled.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Notes what the first task waits for.
    pub(crate) fn at(&mut self, stage: Option<String>) {
        self.stage = stage;
    }

    /// Tasks that were cancelled.
    pub(crate) fn cancelled(&self) -> u64 {
        self.cancelled
    }

    /// The bar, for a writer to its terminal on another thread.
    pub(crate) fn bar(&self) -> Option<ProgressBar> {
        self.bar.clone()
    }

    /// Shows where the job is; called several times a second.
    pub(crate) fn tick(&mut self, total: Total) {
        if self.ended() == 0 && !self.explained && self.since.elapsed() >= EXPLAIN_AFTER {
            self.explained = true;
            self.aside(|| say(&self.explanation()));
        }
        match &self.bar {
            Some(bar) => {
                match total {
                    Total::Unknown => bar.unset_length(),
                    Total::About(tasks) | Total::Exactly(tasks) => bar.set_length(tasks.max(self.ended())),
                }
                bar.set_position(self.ended());
                self.set_message();
                bar.tick();
            }
            None => self.tick_plain(total),
        }
    }

    /// Runs something that writes to the terminal, with the bar out of its way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away, and says how far the job came, if anything of it ended.
    pub(crate) fn interrupt(self, workers: usize) {
        self.clear();
        if let Some(text) = self.how_far(workers) {
            say(&text);
        }
    }

    /// Takes the bar away and says how the job ended.
    pub(crate) fn finish(self, workers: usize) {
        self.clear();
        say(&self.summary(workers));
    }

    /// The same of a job of which some had ended before: what counts is its own time, not that of reading.
    pub(crate) fn finish_attached(self, workers: usize, job_ms: Option<u64>) {
        self.clear();
        say(&self.attached(workers, job_ms));
    }

    fn attached(&self, workers: usize, job_ms: Option<u64>) -> String {
        let took = job_ms.map(|ms| format!("; the job took {}", super::millis(ms))).unwrap_or_default();
        format!("{}, on {}{took}", self.counts(), nodes(workers))
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn how_far(&self, workers: usize) -> Option<String> {
        (self.ended() > 0).then(|| self.summary(workers))
    }

    fn summary(&self, workers: usize) -> String {
        let (in_time, rate) = (super::micros(self.elapsed_us()), rate(self.ended(), self.elapsed_us()));
        format!("{}, in {in_time} ({rate}) on {}", self.counts(), nodes(workers))
    }

    fn counts(&self) -> String {
        let tasks = counted(self.ended(), "task");
        let known = if self.known == 0 { String::new() } else { format!(", {} from memory", self.known) };
        let cancelled =
            if self.cancelled == 0 { String::new() } else { format!(", {} cancelled", self.cancelled) };
        format!("{tasks}: {} done, {} failed{cancelled}{known}", self.done, self.failed)
    }

    fn ended(&self) -> u64 {
        self.done + self.failed + self.cancelled
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn set_message(&self) {
        let Some(bar) = &self.bar else {
            return;
        };
        bar.set_message(match (self.ended(), self.failed) {
            (0, _) => match &self.stage {
                Some(stage) => format!("waiting for the first result: {stage}"),
                None => String::from("waiting for the first result"),
            },
            (_, 0) => String::from("tasks done"),
            (_, failed) => format!("tasks ended, {failed} failed"),
        });
    }

    fn explanation(&self) -> String {
        let stage = self.stage.as_ref().map(|stage| format!(": {stage}")).unwrap_or_default();
        format!("no result yet{stage}; `weft why {}` says what they wait for", super::short(&self.job))
    }

    fn tick_plain(&mut self, total: Total) {
        if self.ended() == 0 || self.told.elapsed() < LINE_EVERY {
            return;
        }
        self.told = Instant::now();
        say(&line(self.ended(), self.failed, self.elapsed_us(), total));
    }
}

fn line(ended: u64, failed: u64, elapsed_us: u64, total: Total) -> String {
    let (of, all) = match total {
        Total::Unknown => (String::new(), None),
        Total::About(all) => (format!(" of about {}", all.max(ended)), Some(all)),
        Total::Exactly(all) => (format!(" of {all}"), Some(all)),
    };
    let left = all.map(|all| all.saturating_sub(ended)).filter(|left| *left > 0).and_then(|left| {
        let left_s = left.checked_mul(elapsed_us)?.checked_div(ended)? / 1_000_000;
        // Whole seconds; what takes less than one is not over yet.
        Some(format!(", {} left", super::millis(left_s.max(1) * 1000)))
    });
    let left = left.unwrap_or_default();
    format!("{ended}{of} tasks ended, {failed} failed, {}{left}", rate(ended, elapsed_us))
}

/// Tasks a second, with one decimal where it says something; below one a second, how long one takes.
fn rate(tasks: u64, elapsed_us: u64) -> String {
    if tasks > 0 && elapsed_us > tasks.saturating_mul(1_000_000) {
        return format!("one every {}", super::micros(elapsed_us / tasks));
    }
    let per_10_s = tasks.saturating_mul(10_000_000) / elapsed_us.max(1);
    format!("{}/s", super::tenths(per_10_s, 10))
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAW_HZ));
    let style = ProgressStyle::with_template("{bar:20} {count}, {rate}{left} {wide_msg}");
    let style = style.expect("the template is well formed").progress_chars("=> ");
    bar.set_style(
        style.with_key("count", write_count).with_key("rate", write_rate).with_key("left", write_left),
    );
    bar
}

// A bar that can't be written does not stop the job: these three drop the writer's errors.

fn write_count(state: &ProgressState, bar: &mut dyn fmt::Write) {
    let _unwritten = match state.len() {
        Some(all) => write!(bar, "{} of {all}", state.pos()),
        None => write!(bar, "{}", state.pos()),
    };
}

fn write_rate(state: &ProgressState, bar: &mut dyn fmt::Write) {
    let elapsed_us = u64::try_from(state.elapsed().as_micros()).unwrap_or(u64::MAX);
    let _unwritten = write!(bar, "{}", rate(state.pos(), elapsed_us));
}

fn write_left(state: &ProgressState, bar: &mut dyn fmt::Write) {
    if state.pos() > 0 && state.len().is_some() {
        let _unwritten = write!(bar, ", {} left", super::millis(state.eta().as_secs().max(1) * 1000));
    }
}

fn nodes(workers: usize) -> String {
    counted(u64::try_from(workers).unwrap_or(u64::MAX), "node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_how_far_how_fast_and_how_long() {
        let text = line(250, 3, 1_000_000, Total::Exactly(1000));
        assert_eq!(text, "250 of 1000 tasks ended, 3 failed, 250/s, 3 s left");
        assert_eq!(line(5, 0, 2_000_000, Total::Unknown), "5 tasks ended, 0 failed, 2.5/s");
        assert!(line(9, 0, 1, Total::About(5)).starts_with("9 of about 9 tasks"));
    }

    #[test]
    fn what_is_not_over_has_at_least_a_second_left() {
        let text = line(999, 0, 1_000_000, Total::Exactly(1000));
        assert_eq!(text, "999 of 1000 tasks ended, 0 failed, 999/s, 1 s left");
        let text = line(1000, 0, 1_000_000, Total::Exactly(1000));
        assert_eq!(text, "1000 of 1000 tasks ended, 0 failed, 1000/s");
    }

    #[test]
    fn an_interrupt_before_the_first_result_has_nothing_to_say() {
        let mut progress = Progress::silent("a7");
        assert_eq!(progress.how_far(0), None);
        progress.count(true, false);
        assert!(progress.how_far(1).is_some_and(|text| text.starts_with("1 task: 1 done, 0 failed")));
    }

    #[test]
    fn an_attached_job_has_its_own_time_and_no_rate_of_reading() {
        let mut progress = Progress::silent("a7");
        progress.count(true, false);
        progress.count(false, false);
        let said = [progress.attached(1, Some(64_000)), progress.attached(1, None)];
        let counts = "2 tasks: 1 done, 1 failed, on 1 node";
        assert_eq!(said, [format!("{counts}; the job took 64 s"), counts.into()]);
    }

    #[test]
    fn the_rate_of_less_than_a_millisecond_is_not_made_up() {
        assert_eq!(rate(1, 400), "2500/s");
        assert_eq!(rate(0, 0), "0/s");
    }

    #[test]
    fn a_slow_rate_says_how_long_one_takes() {
        assert_eq!(rate(3, 36_000_000), "one every 12 s");
        assert_eq!(rate(1, 3_600_000_000), "one every 60 min");
        assert_eq!(rate(2, 2_000_000), "1/s");
    }
}
