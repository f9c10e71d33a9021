//! Which jobs of `GET /v1/jobs` are meant: filters and pages, as its query says them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Job, Node};

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Nothing of it can run now: what is left waits for other jobs, or for their results.
    Waiting,
    /// It has not ended, and some of it runs or can run.
    Running,
    /// Each of its tasks is done.
    Done,
    /// It ended, and tasks of it ended otherwise than done.
    Failed,
    /// It ended because it was cancelled.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// Whether every task of the job has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Waiting | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }

    /// The state in one lower-case word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The states that a word of a filter means: one, or `unfinished` or `ended` for several.
    ///
    /// # Errors
    /// With what was expected.
    pub fn of_word(word: &str) -> Result<Vec<Self>, String> {
        let expected =
            || String::from("expected waiting, running, done, failed, cancelled, unfinished or ended");
        match word {
            "unfinished" => Ok(vec![Self::Waiting, Self::Running]),
            "ended" => Ok(vec![Self::Done, Self::Failed, Self::Cancelled]),
            _ => Self::ALL
                .into_iter()
                .find(|state| state.word() == word)
                .map(|state| vec![state])
                .ok_or_else(expected),
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The place of a job in the order of submission: written `SUBMITTED_MS-JOB`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When it was submitted, in milliseconds since 1970.
    pub submitted_ms: u64,
    /// Its id; 16 digits, so that ids compare as numbers.
    pub job: String,
}

impl Position {
    /// That of a job.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self { submitted_ms: job.submitted_ms, job: job.job.clone() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.submitted_ms, self.job)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(submitted_ms, job)| {
            let is_id =
                job.len() == 16 && job.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            Some(Self { submitted_ms: submitted_ms.parse().ok()?, job: is_id.then(|| job.to_owned())? })
        });
        parsed.ok_or_else(|| {
            String::from("expected SUBMITTED_MS-JOB of a job, as 1700000000000-a7c372edeab46585")
        })
    }
}

/// Which jobs; what is not given does not matter. The answer holds the newest that pass, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In one of these states; empty for all.
    pub states: Vec<JobState>,
    /// With all of these labels.
    pub labels: Vec<(String, String)>,
    /// With that name.
    pub name: Option<String>,
    /// Submitted on that node: its name, its id, or the first eight digits of that or more.
    pub owner: Option<String>,
    /// Submitted at that time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Submitted before that one.
    pub before: Option<Position>,
    /// At most this many, 1 to 1000; 1000 without it.
    pub limit: Option<u32>,
    /// Also those that the other nodes lead which are connected and answer in time.
    pub mesh: bool,
}

/// Jobs of all nodes, with those that did not say what they lead: `GET /v1/jobs?mesh=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshJobs {
    /// The jobs, oldest first.
    pub jobs: Vec<Job>,
    /// Connected nodes that gave no answer in time: what they lead may be missing.
    pub silent: Vec<Node>,
}

impl JobFilter {
    /// Whether a job passes; of the page, no more than the time of [`JobFilter::before`] is looked at, and the owner is compared by
    /// its whole id.
    #[must_use]
    pub fn passes(&self, job: &Job) -> bool {
        let is_there = self.states.is_empty() || self.states.contains(&job.state);
        let is_theirs = self.owner.as_ref().is_none_or(|owner| job.owner.peer == *owner);
        is_there && is_theirs && self.is_called(&job.name, &job.labels) && self.is_in_time(job.submitted_ms)
    }

    /// Whether a job of that name and with these labels passes as far as these go.
    #[must_use]
    pub fn is_called(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(label, value)| labels.get(label) == Some(value))
            && self.name.as_ref().is_none_or(|wanted| wanted == name)
    }

    /// Whether a job that was submitted then passes as far as this goes, the page included.
    #[must_use]
    pub fn is_in_time(&self, submitted_ms: u64) -> bool {
        self.since_ms.is_none_or(|since_ms| submitted_ms >= since_ms)
            && self.before.as_ref().is_none_or(|before| submitted_ms <= before.submitted_ms)
    }

    /// The pairs of its query.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let Self { states, labels, name, owner, since_ms, before, limit, mesh } = self;
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        if !states.is_empty() {
            let words: Vec<&str> = states.iter().map(|state| state.word()).collect();
            pairs.push(("state", words.join(",")));
        }
        pairs.extend(labels.iter().map(|(label, value)| ("label", format!("{label}={value}"))));
        pairs.extend(name.iter().map(|name| ("name", name.clone())));
        pairs.extend(owner.iter().map(|owner| ("owner", owner.clone())));
        pairs.extend(since_ms.iter().map(|since_ms| ("since_ms", since_ms.to_string())));
        pairs.extend(before.iter().map(|before| ("before", before.to_string())));
        pairs.extend(limit.iter().map(|limit| ("limit", limit.to_string())));
        pairs.extend(mesh.then(|| ("mesh", String::from("true"))));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_filter_are_states() {
        for state in JobState::ALL {
            assert_eq!(JobState::of_word(state.word()), Ok(vec![state]));
        }
        let all = [JobState::of_word("unfinished").unwrap(), JobState::of_word("ended").unwrap()].concat();
        assert_eq!(all, JobState::ALL);
        assert!(JobState::of_word("lost").is_err());
    }

    #[test]
    fn a_position_survives_text_and_is_in_the_order_of_submission() {
        let position = |text: &str| text.parse::<Position>();
        let known = position("1700000000000-a7c372edeab46585").unwrap();
        assert_eq!(known.to_string(), "1700000000000-a7c372edeab46585");
        assert!(position("999-a7c372edeab46585").unwrap() < known);
        assert!(known < position("1700000000000-b7c372edeab46585").unwrap());
        for wrong in
            ["", "1", "1-", "-a7c372edeab46585", "1-a7c3", "x-a7c372edeab46585", "1-A7C372EDEAB46585"]
        {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}
