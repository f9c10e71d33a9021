//! The flags of `weft run` and `weft map` for when, how often and on how many nodes a task runs.

use std::time::Duration;

use weft_core::VERIFY_MAX;
use weft_node::api::TIME_MS_MAX;
use weft_node::settings::{parse_duration, parse_whole, time_up_to};

/// The longest wait of a backoff if only the first one is given: ten minutes.
const BACKOFF_MOST: Duration = Duration::from_secs(600);

/// The heading of these flags in the help. It is given at each of them: a heading of the struct would also hold for the flags
/// that come after.
pub(super) const HEADING: &str = "When and how often";

/// When, how often and on how many nodes a task runs. Times count from the submission.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Start no task before this time from now, such as 10s.
    #[arg(long, help_heading = HEADING, value_name = "TIME", value_parser = time_up_to::<TIME_MS_MAX>)]
    pub(crate) not_before: Option<Duration>,
    /// All tasks should be done in this time: within a class the earliest deadline goes first, and nodes that can't meet
    /// it decline. A task that misses its deadline still runs.
    #[arg(long, help_heading = HEADING, value_name = "TIME", value_parser = time_up_to::<TIME_MS_MAX>)]
    pub(crate) deadline: Option<Duration>,
    /// End tasks that have not ended after this time as expired.
    #[arg(long, help_heading = HEADING, value_name = "TIME", value_parser = time_up_to::<TIME_MS_MAX>)]
    pub(crate) expires: Option<Duration>,
    /// Wait before each retry: FIRST, then twice as long each time, at most MOST [default: 10m]. Up to half of each wait is
    /// random. 1s..600s waits 1 s, 2 s, 4 s and so on.
    #[arg(long, help_heading = HEADING, value_name = "FIRST[..MOST]", value_parser = parse_backoff, requires = "retries")]
    pub(crate) backoff: Option<(Duration, Duration)>,
    /// Begin no attempt of a task later than this time after its first one.
    #[arg(long, help_heading = HEADING, value_name = "TIME", value_parser = time_up_to::<TIME_MS_MAX>)]
    pub(crate) give_up: Option<Duration>,
    /// Cancel the remaining tasks once more than N tasks have not succeeded.
    #[arg(long, help_heading = HEADING, value_name = "N", value_parser = parse_whole::<u32, 0, { u32::MAX as u64 }>)]
    pub(crate) max_failures: Option<u32>,
    /// Compute each task on up to K nodes and compare the results: it ends once more than half of K agree. Nodes of one
    /// host address have one vote. Protects against a few false results, not against one party with many machines.
    #[arg(long, help_heading = HEADING, value_name = "K", value_parser = parse_whole::<u32, 1, { VERIFY_MAX as u64 }>)]
    pub(crate) verify: Option<u32>,
    /// Begin once job JOB of this node has succeeded, by its id from `weft jobs`, or the first digits. If one of its tasks
    /// did not, this job is skipped. May be repeated, or separated by commas.
    #[arg(long, help_heading = HEADING, value_name = "JOB", value_delimiter = ',')]
    pub(crate) after: Vec<String>,
    /// Begin even if a job of --after failed or was cancelled.
    #[arg(long, help_heading = HEADING, requires = "after")]
    pub(crate) even_if_failed: bool,
    /// Start no second copies of slow last tasks.
    #[arg(long, help_heading = HEADING)]
    pub(crate) no_backup: bool,
}

/// `FIRST` or `FIRST..MOST`.
fn parse_backoff(text: &str) -> Result<(Duration, Duration), String> {
    let expected = || String::from("a first wait and the longest, such as 1s..600s, or the first alone");
    let (first, most) = match text.split_once("..") {
        Some((first, most)) => (first, Some(most)),
        None => (text, None),
    };
    let time = |text: &str| parse_duration(text).map_err(|_other| expected());
    let first = time(first)?;
    let most = most.map_or(Ok(BACKOFF_MOST.max(first)), time)?;
    if first > most {
        return Err(String::from("a first wait no longer than the longest"));
    }
    Ok((first, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_is_two_times_or_one() {
        let seconds = |first, most| Ok((Duration::from_secs(first), Duration::from_secs(most)));
        assert_eq!(parse_backoff("1s..600s"), seconds(1, 600));
        assert_eq!(parse_backoff("2"), seconds(2, 600));
        assert_eq!(parse_backoff("1h"), seconds(3600, 3600));
        for wrong in ["", "..", "1s..", "..1s", "2s..1s", "1s...2s", "0..1s", "soon"] {
            assert!(parse_backoff(wrong).is_err(), "{wrong}");
        }
    }
}
