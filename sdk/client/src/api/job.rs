//! A job as `GET /v1/jobs` tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, JobState, Level};

/// One of `GET /v1/jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub job: String,
    /// How far it is.
    pub state: JobState,
    /// Whether more tasks may come.
    #[serde(default)]
    pub open: bool,
    /// Its name; empty if it has none.
    #[serde(default)]
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it survives.
    #[serde(default)]
    pub level: Level,
    /// The node that it was submitted to.
    #[serde(default)]
    pub owner: Node,
    /// The node that leads it now: places its tasks, has its results and can change it. Its id is empty where none does that can be
    /// reached.
    #[serde(default)]
    pub leader: Node,
    /// The nodes that keep it, at level `mesh`: owner, custodian and witness. At level `disk`, where another node has a copy: its
    /// owner and that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keepers: Vec<Node>,
    /// Whether every member of the mesh may cancel, retry and forget it, not only its submitter.
    #[serde(default)]
    pub shared: bool,
    /// When it was submitted, in milliseconds since 1970.
    #[serde(default)]
    pub submitted_ms: u64,
    /// Whether it goes on, and keeps its results, without its submitter.
    pub detached: bool,
    /// Whether it was cancelled.
    pub cancelled_by_user: bool,
    /// How urgent it is.
    pub class: Class,
    /// The module that it runs; empty when this node no longer knows.
    pub module: String,
    /// Tasks in all so far.
    pub tasks: u32,
    /// Tasks that wait for a worker.
    pub queued: u32,
    /// Tasks that failed and wait for the time of their next attempt.
    #[serde(default)]
    pub delayed: u32,
    /// Tasks that wait for the jobs to end that theirs comes after.
    #[serde(default)]
    pub held: u32,
    /// Tasks that a worker holds.
    pub leased: u32,
    /// Whether this is what a node tells that keeps the job and does not lead it, of one that has not ended. It knows the ends in
    /// its log alone: `queued` has all other tasks, and `delayed`, `held`, `leased` and `retried` are 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_log: bool,
    /// Tasks that ended as done.
    pub done: u32,
    /// Tasks that ended otherwise.
    pub failed: u32,
    /// Of those, tasks that were skipped because of a job that theirs comes after.
    #[serde(default)]
    pub skipped: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
    /// Attempts beyond the first, of all tasks.
    pub retried: u32,
    /// Whether more tasks ended otherwise than done than it allows, so that the rest was cancelled.
    #[serde(default)]
    pub given_up: bool,
    /// Time from submission to the end, or to now.
    pub elapsed_ms: u64,
    /// When it ended, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// That its node was started again while it had not ended; the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted: Option<Restarted>,
    /// Why inputs that came later were not taken, if some were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_more: Option<String>,
}

/// A node, as another one names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub peer: String,
    /// Its name; empty if it is not known.
    pub name: String,
}

impl Job {
    /// Whether this is what a copy has of it, whose owner the node that answered is not connected to. Results that the owner told
    /// last may not be among it.
    #[must_use]
    pub fn is_left_copy(&self) -> bool {
        self.level == Level::Disk && self.keepers.len() == 2 && self.leader.peer.is_empty()
    }
}

impl Node {
    /// Its name, or the first digits of its id.
    #[must_use]
    pub fn called(&self) -> &str {
        if self.name.is_empty() { self.peer.get(..8).unwrap_or(&self.peer) } else { &self.name }
    }
}

/// What a restart of its node did to a job of level `disk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Outcomes that the disk had.
    pub kept: u32,
    /// Tasks that had none, and run again.
    pub open: u32,
}
