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
    /// What mesh it belongs to, in words.
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
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
    /// How tasks of own jobs that have not ended find their workers: of the newest jobs, 16 at most.
    #[serde(default)]
    pub binding: Vec<Binding>,
    /// Whether it takes no new work.
    pub draining: bool,
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
    /// Bytes that they may take.
    pub quota_bytes: u64,
    /// Outcomes of own tasks that wait, with their workers, for room on this node.
    pub starved: u32,
    /// Blobs that work rests on and that another program removed from the data directory. Each counts until it is there
    /// again, or no work rests on it.
    #[serde(default)]
    pub vanished: u32,
    /// What the store fails at: a full disk, most often. Absent while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Counters of a node since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Calls for bids sent, one per peer and repetition.
    pub calls: u64,
    /// Bids made as a worker.
    pub bids_made: u64,
    /// Bids received as an owner.
    pub bids_received: u64,
    /// Declines made as a worker.
    pub declines: u64,
    /// Leases awarded as an owner.
    pub awards: u64,
    /// Awards refused, because the bid no longer stood.
    pub refused: u64,
    /// Tasks executed as a worker.
    pub executed: u64,
    /// Tasks committed as an owner.
    pub committed: u64,
    /// Leases that ended without an outcome.
    pub lost: u64,
    /// Outcomes that came for a task already committed or cancelled.
    pub late: u64,
    /// Late outcomes of a pure task whose output differs from the committed one.
    pub differing: u64,
    /// Outcomes that named a lease never issued to their sender.
    pub forged: u64,
    /// Outcomes sent again.
    pub resent: u64,
    /// Outcomes that came home through gossip.
    pub gossiped_home: u64,
    /// Messages, calls or outcomes dropped at a bound.
    pub dropped: u64,
    /// Own tasks that ended at once, because their result was known.
    pub recalled: u64,
    /// Tasks of others answered without running, because their result was known.
    pub answered: u64,
    /// Results told to everybody.
    pub told: u64,
    /// Results worth telling that were not, for want of budget.
    pub untold: u64,
    /// Remembered results that another one contradicted; neither is believed any more.
    pub disagreed: u64,
    /// Proofs that did not belong to what they came with.
    pub unproven: u64,
    /// Running tasks paused for another of a higher class.
    pub preempted: u64,
    /// Backup copies awarded as an owner.
    #[serde(default)]
    pub copies: u64,
    /// Backup copies that ended before what they were copies of.
    #[serde(default)]
    pub copies_won: u64,
    /// Own tasks that several nodes computed alike.
    #[serde(default)]
    pub verified: u64,
    /// Answers that most others contradicted.
    #[serde(default)]
    pub lies: u64,
    /// Leases that ran out and were held, because this node suspected itself.
    #[serde(default)]
    pub held_back: u64,
    /// Bids made to owners that told of a backlog, without having been asked.
    #[serde(default)]
    pub unasked: u64,
    /// Seeks sent to exchanges as an owner in a mesh of cells.
    #[serde(default)]
    pub sought: u64,
    /// Tasks of owners that were gone, stopped as a worker.
    #[serde(default)]
    pub abandoned: u64,
    /// Bids stood at an exchange as a worker.
    #[serde(default)]
    pub stood: u64,
    /// Bids handed to owners as an exchange.
    #[serde(default)]
    pub introduced: u64,
    /// Bids lent to another exchange.
    #[serde(default)]
    pub lent: u64,
    /// Introductions that came to nothing.
    #[serde(default)]
    pub misled: u64,
}

/// How the tasks of a job find their workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The job.
    pub job: String,
    /// `late binding`: a task binds to whoever is free, the rule for long ones; `bidding ahead`: it binds before a slot
    /// is free, to room that workers keep for short ones.
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
    /// How many.
    pub entries: u32,
    /// Tasks answered from them, since the start.
    pub hits: u64,
}
