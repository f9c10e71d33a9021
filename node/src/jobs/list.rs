//! The list of jobs in pages, newest first.

use std::fmt;
use std::str::FromStr;

use weft_core::JobId;

use super::table::Table;
use super::{JobState, JobSummary};

/// Jobs of one page.
pub const LIST_MAX: usize = 1000;

/// Which jobs; what is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In one of these states; empty for all.
    pub states: Vec<JobState>,
    /// With all of these labels.
    pub labels: Vec<(String, String)>,
    /// Submitted at that time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// With that name.
    pub name: Option<String>,
}

/// Where a list goes on: behind a job that was shown. As text, `TIME-JOB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobPlace {
    since_ms: u64,
    job: JobId,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPage {
    /// Jobs, newest first.
    pub jobs: Vec<JobSummary>,
    /// Where the next page begins; none if this is the last one.
    pub next: Option<JobPlace>,
}

impl fmt::Display for JobPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.since_ms, self.job)
    }
}

/// The text is no place of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the `next` of a page of jobs")]
pub struct NotAPlace;

impl FromStr for JobPlace {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (since_ms, job) = text.split_once('-').ok_or(NotAPlace)?;
        let since_ms = since_ms.parse().map_err(|_digits| NotAPlace)?;
        let job = job.parse().map_err(|_digits| NotAPlace)?;
        Ok(Self { since_ms, job })
    }
}

impl JobFilter {
    fn passes(&self, summary: &JobSummary) -> bool {
        let meta = &summary.meta;
        (self.states.is_empty() || self.states.contains(&summary.state()))
            && self.labels.iter().all(|label| meta.labels.contains(label))
            && self.since_ms.is_none_or(|since_ms| summary.since_ms >= since_ms)
            && self.name.as_ref().is_none_or(|name| *name == meta.name)
    }
}

pub(super) fn list(table: &Table, filter: &JobFilter, after: Option<JobPlace>, most: usize) -> JobPage {
    let end = after.map_or((u64::MAX, JobId(u64::MAX)), |place| (place.since_ms, place.job));
    let before = table.by_time.range(..end).rev();
    let summaries = before.filter_map(|(_, job)| table.jobs.get(job).map(|entry| entry.summary(*job)));
    let mut passing = summaries.filter(|summary| filter.passes(summary));
    let jobs: Vec<JobSummary> = passing.by_ref().take(most).collect();
    let last = jobs.last().map(|summary| JobPlace { since_ms: summary.since_ms, job: summary.job });
    let next = last.filter(|_| passing.next().is_some());
    JobPage { jobs, next }
}
