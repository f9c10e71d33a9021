//! `GET /v1/status`: the node that was asked, as JSON has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /v1/status`: the node that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node's id.
    pub peer: String,
    /// Its name for people.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its data directory.
    pub data_dir: String,
    /// What admits its peers: `key`, `open` or `loopback`.
    pub mesh: String,
    /// Addresses that peers can reach.
    pub listen: Vec<String>,
    /// What is wrong with the network now, in sentences that say what to do.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// Time since it started.
    pub uptime_ms: u64,
    /// Tasks that may run at once.
    pub slots: u32,
    /// Slots without a task.
    pub free: u32,
    /// Tasks handed to the slots.
    pub running: u32,
    /// Tasks held that wait for a slot or a blob.
    pub waiting: u32,
    /// Slots promised to owners.
    pub reserved: u32,
    /// Outcomes that no owner acknowledged yet.
    pub undelivered: u32,
    /// Own tasks that wait for a worker.
    pub backlog: u32,
    /// Memory that one task may have.
    pub memory_bytes: u64,
    /// What the slots are made of, and what they do.
    pub sandbox: Slots,
    /// Results that the node remembers.
    pub memo: Memo,
    /// The node's blobs, and what they lack.
    #[serde(default)]
    pub store: Store,
    /// Where it keeps jobs at level `disk`.
    #[serde(default)]
    pub journal: Journal,
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
    /// How tasks of own jobs that have not ended find their workers: of the newest jobs, 16 at most.
    #[serde(default)]
    pub binding: Vec<Binding>,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Whether it keeps jobs of others, at level `mesh`.
    #[serde(default)]
    pub keeps: bool,
    /// Whether it was told to end. It ends when it runs nothing for others any more.
    #[serde(default)]
    pub stopping: bool,
    /// How long it lets tasks of others run on when it is told to end.
    #[serde(default)]
    pub grace_ms: u64,
    /// Peers that can be spoken to now.
    pub peers_connected: u32,
    /// Own jobs that have not ended.
    pub jobs_unfinished: u32,
    /// Counters since start.
    pub counters: Counters,
}

/// The blobs of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// How many there are.
    pub blobs: u64,
    /// Bytes that they take, in whole disk blocks.
    pub bytes: u64,
    /// Bytes of them that work needs, so that they stay.
    pub pinned_bytes: u64,
    /// Bytes of blobs that stay because the journal was damaged, or could not be opened; they are not in `bytes`.
    #[serde(default)]
    pub aside_bytes: u64,
    /// Whether work needs so much of it that uploads wait for room.
    #[serde(default)]
    pub uploads_wait: bool,
    /// Bytes that they may take.
    pub quota_bytes: u64,
    /// Outcomes of own tasks that wait, with their workers, for room on this node.
    pub starved: u32,
    /// Blobs that work rests on and that are no longer in the data directory: another program removed them, or they were deleted
    /// because their bytes were not what was stored. Each counts until it is there again, or no work rests on it.
    #[serde(default)]
    pub vanished: u32,
    /// What the store fails at: a full disk, most often. Absent while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The journal of a node, which keeps jobs at level `disk`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Bytes of records that wait for the disk, about.
    pub waiting_bytes: u64,
    /// Whether new jobs at level `disk` are refused, because the disk has too little room.
    pub low: bool,
    /// Jobs whose records can't be used: they can only be forgotten.
    pub quarantined: Vec<String>,
    /// Why no job is kept any more. Absent while the journal works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why jobs that this node had may be in no list: the journal could not be opened, or does not have all that was put into it.
    /// Absent if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// Whether it could not be opened: of what is in it nothing is known.
    #[serde(default)]
    pub unopened: bool,
}

/// Counters of a node since its start, by name: one number for each kind of event. docs/operations.md lists them; a
/// node of another version may have others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// The counter of that name; 0 if the node has none.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }
}

impl FromIterator<(String, u64)> for Counters {
    fn from_iter<I: IntoIterator<Item = (String, u64)>>(counters: I) -> Self {
        Self(counters.into_iter().collect())
    }
}

/// How the tasks of a job find their workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The job.
    pub job: String,
    /// `late binding`: a task is given to a node with a free slot, the rule for long ones; `on credit`: it is given
    /// before a slot is free, within what workers grant for short ones.
    pub regime: String,
    /// What one of its tasks takes by what was measured; 0 while unknown.
    pub service_us: u32,
}

/// What runs the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slots {
    /// `process` or `thread`.
    pub kind: String,
    /// Slots that run a task now.
    pub busy: u32,
    /// Tasks that wait for a slot of this node.
    pub queued: u32,
    /// Tasks that are held for one of a higher class.
    pub paused: u32,
    /// Child processes.
    pub children: u32,
    /// Child processes that were replaced since the start: killed on a limit, or dead.
    pub replaced: u64,
    /// What keeps a child from the rest of the machine, in words; what the kernel lacks is said.
    pub confinement: String,
    /// Modules that are compiled and in memory.
    pub compiled: u64,
    /// Modules that are being compiled now.
    pub compiling: u64,
    /// Modules that run on baseline code until they are optimised.
    pub optimising: u64,
}

/// Results that a node remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memo {
    /// Results that it remembers.
    pub entries: u32,
    /// Tasks answered from them, since the start.
    pub hits: u64,
}
