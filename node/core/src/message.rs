//! The messages between peers, as `docs/protocol.md` lists them. Unchecked: the receiver must validate them.

mod credit;
mod gossip;
mod needs;
mod progress;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::id::{BidId, CallId, JobId, LeaseId, PeerId, TaskId};
use crate::receipt::Proof;
use crate::referral::CellWord;
use crate::task::{Payload, Program, Report, Stream, Terms};
pub use credit::{Assign, Credit};
pub use gossip::{Capacity, Gossip};
pub use needs::{LABEL_BYTES_MAX, LABELS_MAX, Needs, TEXT_BYTES};
pub(crate) use needs::{kept_bytes, label_excess, labels_bytes};
pub use progress::Progress;

/// Name of the market's protocol; a node that speaks another one refuses it by name.
pub const PROTOCOL: &str = "/weft/market/1";
/// Longest encoded [`Message`], in bytes; a longer frame closes the connection.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest encoded [`Gossip`], in bytes.
pub const GOSSIP_BYTES_MAX: usize = 4096;
/// Most ranges in one gossiped renewal; further leases are not renewed and run out.
pub const GOSSIP_RANGES_MAX: usize = 64;
/// Most that a call's function name, arguments, environment, labels and inline files take together, in bytes, each text
/// counted as its length and [`TEXT_BYTES`]. A longer submission is refused, and a longer call is declined.
pub const CALL_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most that one attempt streams while it runs, in bytes; further output arrives with the outcome only. A short piece
/// counts as [`PRINTED_BYTES_MIN`].
pub const PRINTED_BYTES_MAX: u64 = 4 << 20;
/// Least that a piece of streamed output counts, in bytes.
pub const PRINTED_BYTES_MIN: u64 = 64;
/// Most leases in one award, acknowledgement, cancellation or outcome frame.
pub const BATCH_MAX: usize = 256;

/// One message from peer to peer, over their framed stream.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Message {
    /// Owner to worker: tasks wait here. Repeated while they do; a repetition renews the call.
    Call(Call),
    /// Owner to worker: the call is over; its bids are released.
    Withdraw(CallId),
    /// Worker to owner: an offer to take some tasks of a call.
    Bid(Bid),
    /// Worker to owner: no offer, and why.
    Decline(Decline),
    /// Owner to worker: leases on a bid.
    Award(Award),
    /// Owner to worker: the rest of that bid will not be used.
    Release(BidId),
    /// Worker to owner: these leases are returned without an outcome: their bid has ended, they were taken on a wrong
    /// guess, or their owner counted as gone.
    Refuse {
        /// The leases that were not accepted.
        leases: Vec<LeaseId>,
    },
    /// Worker to owner: these leases are still held.
    Renew(Vec<LeaseRange>),
    /// Worker to owner: these attempts ended. Sent again until acknowledged.
    Outcome(Vec<Delivery>),
    /// Owner to worker: these outcomes are stored (or not wanted); the worker may forget them.
    Ack(Vec<LeaseId>),
    /// Owner to worker: stop these attempts and forget them.
    Cancel(Vec<LeaseId>),
    /// Worker to owner: a running task printed this. Never repeated: the outcome contains all output.
    Printed {
        /// The attempt.
        lease: LeaseId,
        /// Standard output or standard error.
        stream: Stream,
        /// Bytes of that stream before these.
        offset: u64,
        /// The bytes, at most [`crate::task::INLINE_BYTES_MAX`].
        bytes: Arc<[u8]>,
    },
    /// Worker to owner: credit for the owner's short tasks. Replaces the credit before.
    Credit(Credit),
    /// Worker to owner: these attempts ended, as in [`Self::Outcome`], and this is the credit now.
    Ended {
        /// The ended attempts.
        all: Vec<Delivery>,
        /// The credit.
        credit: Credit,
    },
    /// Owner to worker: leases on credit.
    Assign(Box<Assign>),
    /// Messages of a mesh of cells, which is too large to call every node.
    Cell(CellWord),
    /// Worker to owner: these attempts were stopped for tasks of a higher class, because there was not enough memory to
    /// pause them. No node is blamed; their work is lost.
    Stopped {
        /// The leases that ended.
        leases: Vec<LeaseId>,
    },
}

/// A call for bids.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Call {
    /// Its id.
    pub call: CallId,
    /// The job.
    pub job: JobId,
    /// The program that every task of it runs.
    pub program: Arc<Program>,
    /// What a worker must offer.
    pub needs: Needs,
    /// Its priority class.
    pub class: Class,
    /// Options about results: memo, receipts, streaming.
    pub terms: Terms,
    /// Tasks that wait now.
    pub count: u32,
    /// Measured service time of its tasks, in microseconds; 0 while unknown.
    pub service_us: u32,
    /// Time left until the deadline, in milliseconds; `None` without a deadline, or if it can't be met any more.
    pub deadline_ms: Option<u32>,
    /// For how long no task of it was awarded although some waited, in milliseconds.
    pub waited_ms: u32,
}

/// Priority class, least urgent first. On a full worker a task of a higher class pauses one of a lower class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Class {
    /// Only slots that no other class wants.
    Scavenger,
    /// Throughput matters, latency does not.
    #[default]
    Batch,
    /// A person waits for the result.
    Interactive,
    /// A machine or a process waits for the result.
    Realtime,
}

impl Class {
    /// All classes, least urgent first.
    pub const ALL: [Self; 4] = [Self::Scavenger, Self::Batch, Self::Interactive, Self::Realtime];

    /// The next more urgent class; for the most urgent class itself.
    #[must_use]
    pub fn above(self) -> Self {
        match self {
            Self::Scavenger => Self::Batch,
            Self::Batch => Self::Interactive,
            Self::Interactive | Self::Realtime => Self::Realtime,
        }
    }

    /// The name of the class, in lower case.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scavenger => "scavenger",
            Self::Batch => "batch",
            Self::Interactive => "interactive",
            Self::Realtime => "realtime",
        }
    }
}

/// A worker's offer. It reserves its slots until its TTL ends.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Bid {
    /// The call.
    pub call: CallId,
    /// Its id.
    pub bid: BidId,
    /// Tasks that it takes, each with as many slots as the call wants for one.
    pub slots: u32,
    /// When the first task would start, in microseconds from now.
    pub start_in_us: u32,
    /// Whether the worker has the module's bytes.
    pub warm: bool,
    /// How long it is valid, in milliseconds.
    pub ttl_ms: u32,
}

/// A worker's refusal of a call.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Decline {
    /// The call.
    pub call: CallId,
    /// Why it declines.
    pub reason: Reason,
    /// Whether the reason lasts while node and task stay as they are, so that asking again is useless. A worker that
    /// declined because no slot was free keeps the call and bids once it has one.
    pub is_permanent: bool,
}

/// Why a worker takes no task of a call.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Reason {
    /// All slots are taken or promised.
    Busy {
        /// Slots of the node.
        slots: u32,
        /// Slots of the tasks that it holds or has promised to take.
        held: u32,
    },
    /// The node lacks a label.
    Label {
        /// The label's name.
        name: String,
        /// The value that the call wants.
        wanted: String,
    },
    /// A task may use more memory than the node gives to one.
    Memory {
        /// Memory that the call wants, in bytes.
        wanted_bytes: u64,
        /// Memory that the node gives to a task, in bytes.
        limit_bytes: u64,
    },
    /// A limit of the task is higher than any node grants.
    Limit {
        /// The limit's name, with its unit.
        name: String,
        /// The value that the call wants.
        wanted: u64,
        /// The highest value that a node grants.
        most: u64,
    },
    /// The call's function name, arguments, environment, labels and inline files are too long to be kept.
    TooLong {
        /// Their length in bytes, as [`CALL_TEXT_BYTES_MAX`] counts.
        bytes: u64,
        /// The bound, in bytes.
        limit_bytes: u64,
    },
    /// The node takes no new work.
    Draining,
    /// The node already keeps as many calls of this owner as it can.
    TooManyCalls,
    /// The node could not get the module or an input.
    Unfetched,
    /// A task would not end there before the deadline.
    Late {
        /// When it would start, in milliseconds from now.
        start_ms: u32,
        /// Known service time of a task, in milliseconds; 0 while unknown.
        service_ms: u32,
        /// Time left until the deadline, in milliseconds.
        left_ms: u32,
    },
    /// The node takes only more urgent work.
    Class {
        /// The lowest class that it takes.
        least: Class,
    },
    /// The node lost tasks or gave a false result. An owner's own note; no honest worker sends it.
    Mistrusted {
        /// For how much longer it gets no tasks, in milliseconds.
        for_ms: u64,
    },
    /// The node takes no tasks of this owner.
    Owner,
    /// A task needs more slots at once than the node has.
    Slots {
        /// Slots that the call wants for a task.
        wanted: u32,
        /// Slots of the node.
        slots: u32,
    },
    /// The node has no room on its disk for the module, an input or an output.
    NoRoom,
    /// The job verifies its tasks, and the node has no vote. An owner's own note; no honest worker sends it.
    NoVote,
    /// The node lost tasks or gave a false result, and has the one task that it may have until it has done well. An owner's
    /// own note; no honest worker sends it.
    Probation,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { slots, held } => write!(f, "busy: {held} tasks held for {slots} slots"),
            Self::Label { name, wanted } => write!(f, "label {name}={wanted} is not there"),
            Self::Memory { wanted_bytes, limit_bytes } => {
                write!(f, "memory: {} MiB wanted, {} MiB given", wanted_bytes >> 20, limit_bytes >> 20)
            }
            Self::Limit { name, wanted, most } => {
                write!(f, "limit {name}: {wanted} wanted, at most {most} granted")
            }
            Self::TooLong { bytes, limit_bytes } => {
                write!(
                    f,
                    "arguments, environment, labels and inline files take {bytes} bytes, at most {limit_bytes} are kept \
                     (each text counts {TEXT_BYTES} bytes more than its length)"
                )
            }
            Self::Draining => f.write_str("draining: takes no new work"),
            Self::TooManyCalls => f.write_str("it keeps as many calls of this owner as it can"),
            Self::Mistrusted { for_ms } => {
                write!(f, "it lost tasks or lied: it is given none for {for_ms} ms")
            }
            Self::Unfetched => f.write_str("it could not fetch the module or an input"),
            Self::Late { start_ms, service_ms, left_ms } => write!(
                f,
                "late: would start in {start_ms} ms and take {service_ms} ms, {left_ms} ms are left"
            ),
            Self::Class { least } => write!(f, "class: it takes {} and above", least.word()),
            Self::Slots { wanted, slots } => write!(f, "slots: {wanted} wanted together, it has {slots}"),
            Self::Owner => f.write_str("owner: it refuses tasks of this owner"),
            Self::NoRoom => f.write_str("its disk is full: no room for the module, an input or an output"),
            Self::NoVote => f.write_str(
                "it has no vote (--verify): it is reached in another way than those that have one, and may be one of \
                 their machines",
            ),
            Self::Probation => f.write_str("it lost tasks or lied: it is given one task at a time"),
        }
    }
}

/// An owner's award of tasks to a bid.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Award {
    /// The call that the bid answered.
    pub call: CallId,
    /// The bid; each grant uses one of the tasks that it offered.
    pub bid: BidId,
    /// Tasks of the call that still wait after these; the worker continues to bid for that many.
    pub left: u32,
    /// The tasks.
    pub grants: Vec<Grant>,
}

/// One task of an award.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Grant {
    /// The lease.
    pub lease: LeaseId,
    /// The task's input.
    pub input: Payload,
}

/// Leases of one job, epoch and attempt with consecutive indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct LeaseRange {
    /// The first.
    pub first: LeaseId,
    /// Number of leases.
    pub count: u32,
    /// Whether they are paused for tasks of a higher class, so that their running time does not count.
    pub paused: bool,
    /// What the worker does with them: for people. It decides only whether a retracted task counts as begun.
    pub progress: Progress,
}

impl LeaseRange {
    /// Whether that lease follows the last one of this range.
    #[must_use]
    pub fn continues_with(&self, lease: LeaseId) -> bool {
        let next = self.first.index.checked_add(self.count);
        let (one, other) = (&self.first, &lease);
        (one.job, one.epoch, one.attempt) == (other.job, other.epoch, other.attempt)
            && next == Some(lease.index)
    }
}

/// One ended attempt.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Delivery {
    /// The attempt.
    pub lease: LeaseId,
    /// Its outcome and output.
    pub report: Report,
    /// The node that computed it before, if the worker had the result in its memo table.
    pub memo: Option<PeerId>,
    /// The worker's signature, if the job asked for receipts.
    pub proof: Option<Proof>,
}

/// A known result of a pure task: the same task always has the same result.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Known {
    /// The task.
    pub task: TaskId,
    /// Its result; only results with the outcome `Done` are kept.
    pub report: Report,
    /// The node that computed it.
    pub worker: PeerId,
}
