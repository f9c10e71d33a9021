//! What invariants need to know of an engine beyond its snapshot: plain data, for tests and simulators. Filled by the
//! engine and its roles; nobody decides anything by it.

use alloc::vec::Vec;

use crate::id::{JobId, LeaseId, PeerId};
use crate::time::Time;

/// What a test may look at beyond the [`Snapshot`](crate::snapshot::Snapshot).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Leases held as a worker, with their owners.
    pub held: Vec<(PeerId, LeaseId)>,
    /// Tasks handed to the slots. For short tasks more than `slots`: the rest waits in the slots' own queue.
    pub handed: u32,
    /// Of these, paused ones; never more than slots.
    pub paused: u32,
    /// Slots.
    pub slots: u32,
    /// Slots of everything that is held, by the width of each task.
    pub held_slots: u32,
    /// Slots of what was handed over and is not paused; more than `slots` only where short tasks wait in their queue.
    pub busy_slots: u32,
    /// Slots reserved by bids and standing bids.
    pub reserved: u32,
    /// Of these, reserved by bids to callers.
    pub bid: u32,
    /// Most that may ever be held and reserved together.
    pub reserved_max: u32,
    /// Outcomes not acknowledged yet.
    pub undelivered: usize,
    /// Their leases, with their owners.
    pub kept: Vec<(PeerId, LeaseId)>,
    /// Standing bids made as a worker.
    pub reservations_open: usize,
    /// Calls remembered as a worker.
    pub calls_heard: usize,
    /// Calls that stand as an owner.
    pub calls_open: usize,
    /// Leases that stand as an owner.
    pub leases_open: usize,
    /// The same, with their workers.
    pub issued: Vec<(PeerId, LeaseId)>,
    /// When the first and the last of the leases end that have not run out.
    pub lease_ends: Option<(Time, Time)>,
    /// Own jobs that have not ended.
    pub jobs: Vec<JobAudit>,
    /// What it does in a mesh of cells.
    pub cells: CellsAudit,
    /// What was looked at one by one because peers said so, since the node's start: the work that words of others cost.
    pub looked: u64,
    /// Most memory that what runs and what is held may take together, in bytes.
    pub memory: u64,
    /// Most that it may ever be, in bytes.
    pub memory_max: u64,
}

/// Where the tasks of one job are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobAudit {
    /// The job.
    pub job: JobId,
    /// Tasks in all.
    pub total: u32,
    /// Tasks whose state is queued.
    pub queued: u32,
    /// Entries of the queue; the same number, or something is lost.
    pub in_queue: u32,
    /// Tasks that wait for the job's parents to end.
    pub held: u32,
    /// Those that are kept to be queued then; the same number, or something is lost.
    pub in_held: u32,
    /// Tasks whose state is leased.
    pub leased: u32,
    /// Tasks that failed and wait for the time of their next attempt.
    pub delayed: u32,
    /// Tasks that were committed.
    pub ended: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
    /// Backup copies that were awarded and accepted.
    pub copies: u32,
    /// Most attempts of one task whose leases stand.
    pub most_due: u32,
    /// Most attempts of one task, beyond the first, whose leases stand at one worker.
    pub most_doubled: u32,
    /// Tasks about which some nodes have answered, and not enough.
    pub ballots: usize,
}

/// What a test may look at of a mesh of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellsAudit {
    /// Slots reserved by bids that stand at exchanges; part of what is reserved.
    pub standing: u32,
    /// Those bids; part of the open reservations.
    pub standing_bids: usize,
    /// Slots of them that stand at this node's own exchange.
    pub standing_here: u32,
    /// Seeks that wait at this node's exchange.
    pub waiting: usize,
    /// Bids that stand at it.
    pub bids: usize,
}
