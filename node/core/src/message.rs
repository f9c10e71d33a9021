//! What peers say to one another, as `docs/protocol.md` lists it. Raw words: the receiver must doubt them.

mod gossip;
mod needs;
mod progress;
mod room;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::id::{BidId, CallId, JobId, LeaseId, PeerId, TaskId};
use crate::receipt::Proof;
use crate::referral::CellWord;
use crate::task::{Payload, Program, Report, Stream, Terms};
pub use gossip::{Capacity, Gossip};
pub use needs::{LABEL_BYTES_MAX, LABELS_MAX, Needs, TEXT_BYTES};
pub(crate) use needs::{kept_bytes, label_excess, labels_bytes};
pub use progress::Progress;
pub use room::{Ahead, Place};

/// Name of the market's protocol; a node that speaks another refuses by name.
pub const PROTOCOL: &str = "/weft/market/1";
/// Longest encoded [`Message`], in bytes; a longer frame closes the connection.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest encoded [`Gossip`], in bytes.
pub const GOSSIP_BYTES_MAX: usize = 4096;
/// Most ranges in one gossiped renewal; further leases run out.
pub const GOSSIP_RANGES_MAX: usize = 64;
/// Most that a call's function name, arguments, environment, labels and inline files take together, in bytes, each text
/// counted as its letters and [`TEXT_BYTES`]; what takes more is refused at its submission, and declined.
pub const CALL_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most that one attempt streams while it runs, in bytes; what it prints beyond comes with its outcome alone. A short
/// piece counts as [`PRINTED_BYTES_MIN`].
pub const PRINTED_BYTES_MAX: u64 = 4 << 20;
/// What a piece of streamed output counts at least, in bytes.
pub const PRINTED_BYTES_MIN: u64 = 64;
/// Most leases in one award, acknowledgement, cancellation or outcome frame.
pub const BATCH_MAX: usize = 256;

/// One word from peer to peer, over their framed stream.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Message {
    /// Owner to worker: I have tasks. Repeated while it holds; a repetition renews it.
    Call(Call),
    /// Owner to worker: nothing is left of that call; its bids are released.
    Withdraw(CallId),
    /// Worker to owner: I take some.
    Bid(Bid),
    /// Worker to owner: I take none, and why.
    Decline(Decline),
    /// Owner to worker: these are yours.
    Award(Award),
    /// Owner to worker: I will not use the rest of that bid.
    Release(BidId),
    /// Worker to owner: that award names a bid that no longer stands; its tasks were not started.
    Refuse {
        /// The leases that were not accepted.
        leases: Vec<LeaseId>,
    },
    /// Worker to owner: I still hold these.
    Renew(Vec<LeaseRange>),
    /// Worker to owner: these ended. Sent again until acknowledged.
    Outcome(Vec<Delivery>),
    /// Owner to worker: these outcomes are safe with me (or of no use to me); forget them.
    Ack(Vec<LeaseId>),
    /// Owner to worker: stop these and forget them.
    Cancel(Vec<LeaseId>),
    /// Worker to owner: a running task printed this. Told once and never again: the outcome has all of it.
    Printed {
        /// Which attempt.
        lease: LeaseId,
        /// Where.
        stream: Stream,
        /// How many bytes of that stream came before.
        offset: u64,
        /// What, at most [`crate::task::INLINE_BYTES_MAX`].
        bytes: Arc<[u8]>,
    },
    /// Worker to owner: this is what I take of your short tasks from now on, unasked. Replaces the one before.
    Ahead(Ahead),
    /// Worker to owner: these ended, as in [`Self::Outcome`], and this is what I take now.
    Ended {
        /// What ended.
        all: Vec<Delivery>,
        /// What is taken now.
        ahead: Ahead,
    },
    /// Owner to worker: these are yours, on what you said that you take.
    Place(Box<Place>),
    /// What is said where the mesh is too large for everybody to be called.
    Cell(CellWord),
    /// Worker to owner: I stopped these for tasks of a higher class, because there was no memory to hold them. Nobody
    /// is to blame; what they had done is lost.
    Stopped {
        /// The leases that ended.
        leases: Vec<LeaseId>,
    },
}

/// A call for bids.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Call {
    /// Its name.
    pub call: CallId,
    /// The job.
    pub job: JobId,
    /// What every task of it runs.
    pub program: Arc<Program>,
    /// What a worker must have.
    pub needs: Needs,
    /// How urgent.
    pub class: Class,
    /// What the owner wants beyond the results.
    pub terms: Terms,
    /// How many tasks wait now.
    pub count: u32,
    /// What one task took so far, in microseconds; 0 while unknown.
    pub service_us: u32,
    /// How much time is left to be done in, in milliseconds, if that matters and can still be made.
    pub deadline_ms: Option<u32>,
    /// For how long no task of it was awarded to anybody although some waited, in milliseconds.
    pub waited_ms: u32,
}

/// Priority class, least urgent first. On a full worker a task of a higher class holds back one of a lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Class {
    /// Only what nobody else wants.
    Scavenger,
    /// Throughput counts.
    #[default]
    Batch,
    /// Somebody waits.
    Interactive,
    /// Something waits.
    Realtime,
}

impl Class {
    /// All of them, least urgent first.
    pub const ALL: [Self; 4] = [Self::Scavenger, Self::Batch, Self::Interactive, Self::Realtime];

    /// The next more urgent one; the most urgent is its own.
    #[must_use]
    pub fn above(self) -> Self {
        match self {
            Self::Scavenger => Self::Batch,
            Self::Batch => Self::Interactive,
            Self::Interactive | Self::Realtime => Self::Realtime,
        }
    }

    /// The class in one lower-case word, as people write it.
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

/// A worker's offer. It reserves its slots until its ttl.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Bid {
    /// The call.
    pub call: CallId,
    /// Its name.
    pub bid: BidId,
    /// How many tasks it takes, each with as many slots as the call wants for one.
    pub slots: u32,
    /// When the first would start, in microseconds from now.
    pub start_in_us: u32,
    /// Whether the module is compiled here.
    pub warm: bool,
    /// How long it stands, in milliseconds.
    pub ttl_ms: u32,
}

/// A worker's no.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Decline {
    /// The call.
    pub call: CallId,
    /// Why.
    pub reason: Reason,
    /// `None` when asking again is useless. Otherwise when to ask again, in milliseconds; owners read only that there is
    /// a number. A worker that declined for want of a slot remembers the call and bids by itself once it has one.
    pub retry_after_ms: Option<u32>,
}

/// Why a worker takes no task of a call.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Reason {
    /// All slots are taken or promised.
    Busy {
        /// Slots it has.
        slots: u32,
        /// Slots' worth of tasks that it holds or has promised to take.
        held: u32,
    },
    /// The node lacks a label.
    Label {
        /// Its name.
        name: String,
        /// The value that the call wants.
        wanted: String,
    },
    /// A task may use more memory than the node gives to one.
    Memory {
        /// What the call wants, in bytes.
        wanted_bytes: u64,
        /// What the node gives, in bytes.
        limit_bytes: u64,
    },
    /// A limit of the task is higher than any node grants.
    Limit {
        /// Its name.
        name: String,
        /// What the call wants.
        wanted: u64,
        /// The highest.
        most: u64,
    },
    /// The call's function name, arguments, environment, labels and inline files take too much to be remembered.
    TooLong {
        /// What they take, as [`CALL_TEXT_BYTES_MAX`] counts.
        bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
    /// The node takes no new work.
    Draining,
    /// The node already keeps as many calls of this owner as it can.
    TooManyCalls,
    /// The node could not get the module or an input.
    Unfetched,
    /// A task would not be done there within the deadline.
    Late {
        /// When it would start, in milliseconds from now.
        start_ms: u32,
        /// What one takes, in milliseconds, as far as that is known.
        service_ms: u32,
        /// What is left, in milliseconds.
        left_ms: u32,
    },
    /// The node takes only more urgent work.
    Class {
        /// The lowest class that it takes.
        least: Class,
    },
    /// The node lost what it had, or lied; said by an owner to itself, never by a worker.
    Mistrusted {
        /// For how much longer it is given nothing, in milliseconds.
        for_ms: u64,
    },
    /// The node takes no tasks of this owner.
    Owner,
    /// A task needs more slots at once than the node has.
    Slots {
        /// What the call wants.
        wanted: u32,
        /// What the node has.
        slots: u32,
    },
    /// The node has no room on its disk for the module, an input or an output.
    NoRoom,
    /// The job verifies, and the node has no vote; said by an owner to itself, never by a worker.
    NoVote,
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
                     (each text counts {TEXT_BYTES} bytes beside its letters)"
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
        }
    }
}

/// An owner binds tasks to a bid.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Award {
    /// The call that the bid answered.
    pub call: CallId,
    /// The bid; the award uses up one of its slots per grant.
    pub bid: BidId,
    /// How long each lease lasts unless renewed, in milliseconds. Workers don't read it.
    pub lease_ms: u32,
    /// How many tasks of the call still wait behind these; the worker bids on for that many.
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

/// Leases of one job and attempt with consecutive indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct LeaseRange {
    /// The first.
    pub first: LeaseId,
    /// How many.
    pub count: u32,
    /// Whether they are held back for tasks of a higher class, so that their time does not count.
    pub paused: bool,
    /// What the worker is at with them: for people. It decides only whether one that is given back counts as begun.
    pub progress: Progress,
}

impl LeaseRange {
    /// Whether that lease comes right behind the last of these.
    #[must_use]
    pub fn continues_with(&self, lease: LeaseId) -> bool {
        let next = self.first.index.checked_add(self.count);
        lease.job == self.first.job && lease.attempt == self.first.attempt && next == Some(lease.index)
    }
}

/// One ended attempt.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Delivery {
    /// Which.
    pub lease: LeaseId,
    /// How, and what it brought.
    pub report: Report,
    /// Who computed it before, if the worker only remembered it.
    pub memo: Option<PeerId>,
    /// The worker's signature, if the job asked for receipts.
    pub proof: Option<Proof>,
}

/// A pure task's result, remembered: the same task has the same answer.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Known {
    /// The task.
    pub task: TaskId,
    /// Its result; `Done`, and nothing else is remembered.
    pub report: Report,
    /// Who computed it.
    pub worker: PeerId,
}
