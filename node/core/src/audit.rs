//! The state of an engine that invariants need beyond its snapshot: plain data, for tests and simulators. Filled by the
//! engine and its roles; no decision depends on it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::{JobId, LeaseId, PeerId};
use crate::time::Time;

/// State for tests beyond the [`Snapshot`](crate::snapshot::Snapshot).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Leases held as a worker, with their owners.
    pub held: Vec<(PeerId, LeaseId)>,
    /// Tasks handed to the executor. For short tasks more than `slots`: the rest waits in the executor's queue.
    pub handed: u32,
    /// Of these, paused ones; never more than slots.
    pub paused: u32,
    /// Slots of the node.
    pub slots: u32,
    /// Slots of all held tasks, by the slots that each needs.
    pub held_slots: u32,
    /// Slots of tasks handed over and not paused; more than `slots` only if short tasks wait in the executor's queue.
    pub busy_slots: u32,
    /// Slots reserved by bids, credit included.
    pub reserved: u32,
    /// Slots of these that bids on calls reserve.
    pub bid: u32,
    /// Most that may ever be held and reserved together, tasks of this node's own owner left out.
    pub reserved_max: u32,
    /// The same with these.
    pub held_max: u32,
    /// Outcomes not acknowledged yet.
    pub undelivered: usize,
    /// Their leases, with their owners.
    pub kept: Vec<(PeerId, LeaseId)>,
    /// Open bids made as a worker.
    pub reservations_open: usize,
    /// Calls remembered as a worker.
    pub calls_heard: usize,
    /// Open calls as an owner.
    pub calls_open: usize,
    /// Open leases as an owner.
    pub leases_open: usize,
    /// The same, with their workers.
    pub issued: Vec<(PeerId, LeaseId)>,
    /// Words about kept jobs, to this node's user and to workers, that wait for the disk.
    pub held_words: usize,
    /// What they take, in bytes.
    pub held_words_bytes: usize,
    /// When the first and the last of the valid leases end.
    pub lease_ends: Option<(Time, Time)>,
    /// What this node blames its peers for, over all jobs together: blame now, and awards that they refused in a row.
    pub blamed: BTreeMap<PeerId, u64>,
    /// Own jobs that have not ended.
    pub jobs: Vec<JobAudit>,
    /// State of a mesh of cells.
    pub cells: CellsAudit,
    /// Entries examined one by one because of peers' messages, since the node's start: the work that messages cost.
    pub examined: u64,
    /// Most memory that running and paused tasks may take together now, in bytes.
    pub memory: u64,
    /// The bound of it, in bytes.
    pub memory_max: u64,
}

/// States of the tasks of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobAudit {
    /// The job.
    pub job: JobId,
    /// The epoch of its leases.
    pub epoch: u32,
    /// Tasks in all.
    pub total: u32,
    /// Tasks whose state is queued.
    pub queued: u32,
    /// Entries of the queue; must equal `queued`.
    pub in_queue: u32,
    /// Tasks that wait for the job's parents to end.
    pub held: u32,
    /// Tasks kept to be queued then; must equal `held`.
    pub in_held: u32,
    /// Tasks whose inputs are results of other jobs that are not known yet.
    pub awaiting: u32,
    /// Tasks whose state is leased.
    pub leased: u32,
    /// Tasks that failed and wait for the time of their next attempt.
    pub delayed: u32,
    /// Tasks that were committed.
    pub ended: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
    /// Of those that were committed or cancelled: their ends wait for later inputs before they are written.
    pub unwritten: u32,
    /// Backup copies that were awarded and accepted.
    pub copies: u32,
    /// Most attempts of one task with open leases.
    pub most_due: u32,
    /// Most attempts of one task, beyond the first, with open leases at one worker.
    pub most_doubled: u32,
    /// Verified tasks with some answers, but not enough.
    pub ballots: usize,
}

/// State of a mesh of cells, for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellsAudit {
    /// Slots reserved by bids that are advertised at matchmakers; part of all reserved slots.
    pub advertised: u32,
    /// Number of these bids; part of the open reservations.
    pub advertised_bids: usize,
    /// Slots of those that are advertised at this node's own matchmaker.
    pub advertised_here: u32,
    /// Requests that wait at this node's matchmaker.
    pub waiting: usize,
    /// Bids advertised at it.
    pub bids: usize,
}
