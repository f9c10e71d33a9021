//! The messages between peers, as `docs/protocol.md` lists them. Unchecked: the receiver must validate them.

pub(crate) mod call;
pub(crate) mod class;
mod credit;
mod delivery;
mod gossip;
mod holding;
pub(crate) mod needs;
mod progress;
pub(crate) mod reason;
mod since;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::custody::message::CustodyMessage;
use crate::id::{BidId, CallId, JobId, LeaseId};
use crate::referral::CellMessage;
use crate::task::Stream;
pub use call::{Award, Bid, Call, Decline, Grant};
pub use class::Class;
pub use credit::{Assign, Credit};
pub use delivery::{Delivery, Known, LeaseRange};
pub use gossip::{Capacity, Gossip};
pub use holding::{HeldLease, HeldState, Holding};
pub(crate) use needs::kept_bytes;
pub use needs::{LABEL_BYTES_MAX, LABELS_MAX, NODE_LABEL, Needs, TEXT_BYTES};
pub use progress::Progress;
pub use reason::Reason;
pub(crate) use reason::label_excess;

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
/// Nodes that may lead a job at level `mesh`.
pub const KEEPERS_MAX: usize = 3;
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
    Cell(CellMessage),
    /// Worker to owner: these attempts were stopped for tasks of a higher class, because there was not enough memory to
    /// pause them. No node is blamed; their work is lost.
    Stopped {
        /// The leases that ended.
        leases: Vec<LeaseId>,
    },
    /// Between the nodes that keep a job at level `mesh`.
    Custody(Vec<CustodyMessage>),
    /// Owner to worker: the sender leads these jobs, each in its epoch. A worker refuses leases of an older one from then on.
    Lead(Vec<(JobId, u32)>),
    /// Worker to owner: this node takes no work any more, and gives these back. No node is blamed. What had begun was
    /// stopped, and its work is lost.
    GivenBack {
        /// The leases that ended.
        leases: Vec<LeaseId>,
    },
    /// Owner to worker: the sender leads these jobs, each in its epoch, and wants to know what is held of them from earlier ones.
    AskHolding(Vec<(JobId, u32)>),
    /// Worker to owner: the answer for one job.
    Holding(Holding),
    /// To nodes that keep these jobs, or may: the sender leads jobs that come after them. How did they end?
    AskEnds(Vec<JobId>),
    /// The answer for those that have ended for good: whether each succeeded. One that was forgotten did not.
    JobEnds(Vec<(JobId, bool)>),
}
