//! A read-only view of an engine, for the API and for tests. Plain data, made on request.

mod counters;
mod deadline;
mod kept;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::durable::Level;
use crate::id::{JobId, PeerId};
use crate::message::{Capacity, Class, Progress, Reason};
pub use crate::reputation::{ReputationView, Trust};
pub use crate::self_fencing::{Cause, SelfFencingView};
pub use counters::{Counter, Counters};
pub use deadline::Deadline;
pub use kept::{CopyView, KeptView};

/// The state of an engine at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// This node.
    pub me: PeerId,
    /// The capacity that it announces.
    pub capacity: Capacity,
    /// Tasks handed to the slots and not paused.
    pub running: u32,
    /// Tasks paused for others of a higher class.
    pub paused: u32,
    /// Tasks held that wait for a slot or a blob.
    pub waiting: u32,
    /// Slots reserved by open bids.
    pub reserved: u32,
    /// Outcomes that no owner acknowledged yet.
    pub undelivered: u32,
    /// Outcomes of own tasks that wait at their workers, because this node has no room for their blobs.
    pub starved: u32,
    /// Results of pure tasks in the memo table.
    pub known: u32,
    /// Why leases that ran out are kept for now; `None` if they are not.
    pub self_fencing: Option<SelfFencingView>,
    /// Known peers.
    pub peers: Vec<PeerView>,
    /// Own jobs, oldest first; those at level mesh that this node leads among them.
    pub jobs: Vec<JobView>,
    /// Jobs at level mesh that this node keeps, by their ids, also those that other nodes lead.
    pub kept: Vec<KeptView>,
    /// Jobs of other nodes at level disk of which this node has copies, by their ids.
    pub copies: Vec<CopyView>,
    /// Counters since start.
    pub counters: Counters,
}

/// What a node owes to other owners before it may end without a loss of theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Their tasks that it holds.
    pub tasks: u32,
    /// Outcomes that they have not acknowledged. Those of owners that can't be reached now are not counted.
    pub outcomes: u32,
    /// Jobs at level `mesh` that other nodes were asked to lead because this one drains, and do not lead yet.
    pub jobs: u32,
}

/// One peer as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// The peer.
    pub peer: PeerId,
    /// Whether it is connected.
    pub connected: bool,
    /// For how long it has not been connected, in milliseconds, as of the last input; `None` while it is.
    pub gone_ms: Option<u64>,
    /// Round trip, in microseconds; 0 while unknown.
    pub rtt_us: u32,
    /// The capacity that it announced.
    pub capacity: Capacity,
    /// Own tasks leased to it.
    pub leased: u32,
    /// Own tasks that it completed.
    pub done: u64,
    /// Own tasks that it lost.
    pub lost: u64,
    /// Its window: the short tasks of this node that it may hold at once, held ones included; 0 while it bids for each call.
    pub window: u32,
    /// How many more of them it takes now.
    pub room: u32,
    /// How far this node trusts it with more tasks.
    pub reputation: ReputationView,
}

/// One own job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its id.
    pub job: JobId,
    /// Its priority class.
    pub class: Class,
    /// Whether more tasks may come.
    pub open: bool,
    /// All tasks so far.
    pub tasks: u32,
    /// Tasks that wait for a lease.
    pub queued: u32,
    /// Tasks that failed and wait for the time of their next attempt.
    pub delayed: u32,
    /// Tasks that are leased.
    pub leased: u32,
    /// Tasks that ended as done.
    pub done: u32,
    /// Tasks that ended otherwise.
    pub failed: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
    /// Attempts beyond the first, of tasks that ended.
    pub retried: u32,
    /// Tasks that did not run, because their result was known.
    pub recalled: u32,
    /// Measured service time of its tasks, in microseconds; 0 while unknown.
    pub service_us: u32,
    /// How its tasks are dispatched.
    pub regime: Regime,
    /// Whether more of its tasks failed than it allows, so that the rest were cancelled.
    pub given_up: bool,
    /// Tasks that wait for the job's parents to end, or for their results.
    pub held: u32,
    /// What it survives.
    pub level: Level,
    /// 0 in memory. Of a job at level disk: 1, and one more for each restart of its owner and each time it was tried again. Of
    /// one at level mesh: that in which this node leads it.
    pub epoch: u32,
}

/// How tasks are dispatched. It follows from their service time and the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// A task is bound to a worker when a slot is free: the rule for long tasks.
    LateBinding,
    /// Short tasks are bound before a slot is free, on credit that workers grant.
    OnCredit,
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LateBinding => "late binding",
            Self::OnCredit => "on credit",
        })
    }
}

/// State of one task, and why it does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The state of the task.
    pub state: TaskView,
    /// The time left until its job's deadline, if it has one and has not ended.
    pub deadline: Option<Deadline>,
    /// For each known peer (this node included), its last answer to the job's call.
    pub responses: Vec<PeerResponse>,
    /// Everything else that delays it or is done about it.
    pub notes: Vec<Note>,
}

/// Something that delays a task, or that is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It must be computed on several distinct nodes.
    Verifying {
        /// Nodes that must compute it.
        nodes: u32,
        /// Nodes that answered.
        answered: u32,
        /// Nodes that hold it now.
        held: u32,
        /// Further nodes that it waits for. None may be on a machine that computed it already.
        wanted: u32,
        /// Connected machines with slots, by address, this one included. Each has one vote.
        machines: u32,
    },
    /// It was stopped for tasks of a higher class, because there was not enough memory to pause it, and restarted.
    Stopped {
        /// How often it was stopped.
        times: u32,
    },
    /// It is slow, and a second worker is wanted for a copy of it.
    CopySought,
    /// Other nodes run copies of it.
    Copied {
        /// Running copies, the first attempt not counted.
        copies: u32,
    },
    /// It needs several slots of one node at once.
    MultiSlot {
        /// Slots that it needs.
        slots: u32,
        /// Slots of the largest known node.
        largest: u32,
    },
    /// Leases that run out are kept for now, because this node may be cut off or may have slept.
    SelfFencing(SelfFencingView),
    /// It ended, and this node has no room for its output.
    NoRoom,
    /// Its job is kept, and what was written of it, or of others, is not on the disk yet.
    DiskBehind,
    /// Its job goes on after a restart or a takeover, and workers are asked whether they hold it.
    AskingHolders,
    /// Its job is to be kept, and this node can't write any more.
    JournalFailed,
    /// Its job is kept by three nodes, and what there is to tell of it waits until a second one has it.
    KeeperBehind {
        /// For how long, in milliseconds.
        waited_ms: u64,
    },
    /// Its job waits for the end of one that other nodes keep, and this one does not, or can't read.
    ParentElsewhere {
        /// The other job.
        job: JobId,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verifying { nodes, answered, held, wanted, machines } => {
                write!(f, "computed on {nodes} nodes: {answered} answered, {held} hold it")?;
                if *wanted > 0 {
                    write!(f, ", waits for {wanted} more on machines that did not compute it yet")?;
                }
                if machines < nodes {
                    let plural = if *machines == 1 { "" } else { "es" };
                    write!(
                        f,
                        "; nodes of one host address have one vote, and {machines} address{plural} can be asked"
                    )?;
                }
                Ok(())
            }
            Self::MultiSlot { slots, largest } if largest < slots => {
                write!(f, "needs {slots} slots of one node, the largest known has {largest}")
            }
            Self::MultiSlot { slots, .. } => write!(f, "needs {slots} slots of one node, free together"),
            Self::Stopped { times } => {
                let often = if *times == 1 { String::from("once") } else { alloc::format!("{times} times") };
                write!(
                    f,
                    "stopped {often} for tasks of a higher class: the node that ran it had no memory to hold it \
                     meanwhile (--memory, once for each slot)"
                )
            }
            Self::CopySought => f.write_str("takes long: a second node is requested for it"),
            Self::Copied { copies } => write!(f, "takes long: {copies} more run a copy of it"),
            Self::SelfFencing(view) => view.fmt(f),
            Self::NoRoom => f.write_str(
                "this node has no room for its output: its disk or its store is full; the worker keeps the output \
                 meanwhile, and `weft status` says what failed",
            ),
            Self::DiskBehind => f.write_str("waits until this node's disk has written what jobs ended with"),
            Self::AskingHolders => f.write_str("waits until workers have said what they still run of the job"),
            Self::KeeperBehind { waited_ms } => write!(
                f,
                "what there is to tell of the job waits for a second node to keep it, for {} s now",
                waited_ms / 1000
            ),
            Self::ParentElsewhere { job } => write!(
                f,
                "job {job} is kept by other nodes, or its log can't be read here: those that are known to have kept it, and those that \
                 keep this job, are asked how it ends; where none answers, it waits until it is cancelled"
            ),
            Self::JournalFailed => f.write_str(
                "this node can't write its jobs down any more, and `weft status` says why; the job goes on when the node is \
                 started again",
            ),
        }
    }
}

/// The state of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskView {
    /// Its input is a result of a job that is not known yet.
    AwaitsResult {
        /// The job.
        of: JobId,
    },
    /// The results of its job's parents are made into its input.
    Gathering,
    /// It waits for a lease.
    Queued {
        /// Tasks of its job that wait before it.
        before: u32,
    },
    /// A worker holds it.
    Leased {
        /// The worker.
        worker: PeerId,
        /// The attempt's number, from 1.
        attempt: u32,
        /// How long ago the lease was awarded, in milliseconds.
        since_ms: u64,
        /// Whether it is paused for a task of a higher class, by the worker's last renewal.
        paused: bool,
        /// What the worker does with it, by the worker's last renewal.
        progress: Progress,
    },
    /// It ended, and its output is being fetched.
    Fetching {
        /// The worker that ran it.
        worker: PeerId,
    },
    /// It ended.
    Ended,
    /// It was cancelled.
    Cancelled,
    /// Its job may not start yet.
    NotBefore {
        /// Time until it may, in milliseconds.
        in_ms: u64,
    },
    /// It failed and waits for the time of its next attempt.
    Delayed {
        /// How often it failed.
        failures: u32,
        /// Time until the next attempt, in milliseconds.
        in_ms: u64,
    },
    /// Its time limit passed before it ended.
    Expired,
    /// Its job waits for parents that have not ended.
    After {
        /// The first eight of them at most, in the job's order.
        parents: Vec<ParentView>,
        /// All parents that have not ended.
        left: u32,
    },
}

/// A job that another one waits for, and its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentView {
    /// Its id.
    pub job: JobId,
    /// Its tasks that have ended.
    pub ended: u32,
    /// Its tasks so far.
    pub tasks: u32,
    /// Whether it may get more tasks, so that it can't end yet.
    pub open: bool,
    /// Whether it waits for parents of its own.
    pub waits: bool,
}

impl fmt::Display for ParentView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, ended, tasks, open, waits } = self;
        write!(f, "job {job}: {ended} of {tasks} tasks have ended")?;
        if *open {
            f.write_str(", more may come")?;
        }
        if *waits {
            f.write_str(", it waits for others itself")?;
        }
        Ok(())
    }
}

/// A peer's last response to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerResponse {
    /// The peer.
    pub peer: PeerId,
    /// The response.
    pub response: Response,
    /// Time since it responded, in milliseconds.
    pub ago_ms: u64,
}

/// A peer's response to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// It was asked and has not answered yet.
    Nothing,
    /// It offered this many slots.
    Bid(u32),
    /// It declined.
    Declined(Reason),
    /// It was not asked, because of the capacity that it announced.
    NotAsked(Reason),
    /// It is not connected.
    Unreachable,
}
