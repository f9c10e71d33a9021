//! The inputs of an engine. Plain data, so that a log of them can be replayed.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::durable::{Kept, LogRecord, Restored};
use crate::effect::{Left, LogReader};
use crate::host::Host;
use crate::id::{BlobId, JobId, PeerId, RunId};
use crate::message::{Gossip, Message};
use crate::remembered::Remembered;
use crate::retained::Retained;
pub use crate::submission::{Join, Submission};
use crate::task::{Payload, Report, Stream};

/// An event that the driver reports to the engine.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Input {
    /// A command of this node's user.
    Command(Command),
    /// A peer was connected.
    PeerUp {
        /// The peer.
        peer: PeerId,
        /// Its boot nonce. A changed nonce means that the peer restarted and lost its state.
        boot: u64,
        /// The machine that it runs on, by the address of its connection.
        host: Host,
    },
    /// A peer was disconnected.
    PeerDown {
        /// The peer.
        peer: PeerId,
        /// Whether its connection was closed, as when its process died. Otherwise it only fell silent, as in a
        /// network partition, and its leases run to their end.
        closed: bool,
    },
    /// The round trip to a peer was measured.
    Rtt {
        /// The peer.
        peer: PeerId,
        /// The round trip, in microseconds.
        rtt_us: u32,
    },
    /// A message of a peer arrived.
    Received {
        /// The sender.
        from: PeerId,
        /// The message.
        message: Message,
    },
    /// A gossip arrived.
    Heard {
        /// The node that published it, authenticated.
        origin: PeerId,
        /// The gossip.
        gossip: Gossip,
    },
    /// These executions ended.
    Ran(Vec<(RunId, Report)>),
    /// An execution that was asked to stream printed something.
    Printed {
        /// The execution.
        run: RunId,
        /// Standard output or standard error.
        stream: Stream,
        /// Bytes of that stream before these.
        offset: u64,
        /// The bytes, at most [`crate::task::INLINE_BYTES_MAX`].
        bytes: Arc<[u8]>,
    },
    /// A batch of receipts was signed.
    Signed {
        /// The batch.
        batch: u64,
        /// This node's ed25519 signature over the root.
        signature: [u8; 64],
    },
    /// A fetch ended.
    Fetched {
        /// The blob.
        blob: BlobId,
        /// How the fetch ended.
        fetched: Fetched,
    },
    /// Nothing happened but that time passed.
    Wake,
    /// The size of the mesh, needed only where not all nodes are connected. A driver that reports it promises to dial
    /// a node on demand when the engine sends it a message. Only the simulator's drivers do.
    Mesh {
        /// Nodes, connected or not, this one included.
        nodes: u32,
    },
    /// Executions started or stopped waiting for their module to be compiled. For people; no decision depends on it.
    Compiling {
        /// The executions.
        runs: Vec<RunId>,
        /// Whether they wait from now on.
        waits: bool,
    },
    /// All records up to that ticket are on the disk.
    Persisted {
        /// The ticket of the last of them.
        upto: u64,
    },
    /// This node can't keep records, for good: a write or a sync failed, or its driver has no disk. Jobs at level `disk` are
    /// refused from now on, and those that there are wait for a later life: nothing of them is placed, ended, cancelled or
    /// acknowledged. Jobs in memory go on.
    JournalFailed,
    /// The disk has little room left for records (`true`), or enough again. While it has little, jobs at level `disk` are
    /// refused and not extended; those that there are end.
    DiskLow(bool),
    /// A job of an earlier life, before any other input; those that others come after first, as they were accepted. One that has
    /// ended is not run: what comes after it may know how it ended.
    Restore(Box<Restored>),
    /// A job at level `mesh` whose log is on this node's disk, before any other input: this node keeps it, and may have led it.
    RestoreKept {
        /// The greatest epoch that this node promised; 0 if none.
        promised: u32,
        /// What the log says.
        job: Box<Restored>,
    },
    /// Jobs at level `mesh` whose logs went from this node's disk in earlier lives ([`crate::Remains`]); before any other input.
    RestoreGone {
        /// Those that every node which kept them was to forget.
        forgotten: Vec<JobId>,
        /// Those that it left because another node has its seat.
        left: Vec<(JobId, Left)>,
        /// These are all that ever went from this disk. If false, it may have had any job.
        knows_all: bool,
    },
    /// Results that were kept in an earlier life ([`crate::Effect::Remember`]), in the order in which they were; before any job.
    Remembered(Vec<Remembered>),
    /// Answers [`crate::Effect::ReadLog`]: records in their order, from the one that was asked for on.
    LogRead {
        /// Who wanted them.
        reader: LogReader,
        /// The job.
        job: JobId,
        /// The number of the first.
        from: u32,
        /// The records, none if the log has none there; nothing if it could not be read now.
        records: Option<Vec<LogRecord>>,
    },
    /// Answers [`crate::Effect::Recall`]: what the log says, or nothing if it can't be read.
    Recalled {
        /// The job.
        job: JobId,
        /// What it is.
        restored: Option<Box<Restored>>,
    },
    /// Bytes that a record names are gone from this node's store before the record was written, of a job that another node leads:
    /// something else removed them. Told before the record is ([`Self::Persisted`]).
    BlobLost {
        /// The job.
        job: JobId,
        /// The bytes.
        blob: BlobId,
    },
    /// Outcomes that were kept in an earlier life ([`crate::Effect::Retain`]), and that their owners have not acknowledged; before
    /// any job.
    Retained(Vec<Retained>),
    /// Answers [`crate::Effect::Gather`].
    Gathered {
        /// The job that gathers.
        job: JobId,
        /// Its epoch when it was asked for.
        epoch: u32,
        /// The input, or why there is none.
        gathered: Gathered,
    },
}

/// All results of several jobs as one input, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Gathered {
    /// They are this input.
    Input(Payload),
    /// By the log of a parent that job has ended, and not every task of it is done.
    NotDone(JobId),
    /// There is no log of a parent, as far as could be read, or its end is not in it: it is asked for again.
    Missing(JobId),
    /// They could not be read or written now: it is asked for again.
    NotNow,
    /// They can't be one input; the text says why, for people.
    Unfit(String),
}

/// How a fetch ended, and whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Fetched {
    /// The blob is in this node's store.
    Here,
    /// No provider delivered it: they can't be reached, don't have it, or were too slow.
    Missing,
    /// The delivered bytes are not the blob, or have another length.
    Wrong,
    /// This node could not store it: its disk or its store is full, its disk fails, or it runs as many fetches as it
    /// allows. No other node is to blame.
    NoRoom,
}

/// A command of this node's user.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Command {
    /// A new job.
    Submit(Submission),
    /// More tasks for a job that is still open.
    Extend {
        /// The job.
        job: JobId,
        /// Their inputs.
        inputs: Vec<Payload>,
    },
    /// The job gets no more tasks, and ends when all of its tasks have ended.
    Close {
        /// The job.
        job: JobId,
    },
    /// Stop a job: its waiting and running tasks are cancelled.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Take no new work (`true`), or take it again (`false`). Tasks that are held and have not begun are given back to their
    /// owners at once, which place them elsewhere and blame no node; what has begun runs to its end.
    Drain(bool),
    /// Forget a peer that is not connected, until it connects again.
    Forget(PeerId),
    /// Stop the engine: workers are told to stop this node's tasks, and no further input has an effect. Jobs at level `disk`
    /// go on in a later life.
    Stop,
    /// Try the tasks of a kept job again that ended otherwise than done. The driver made it from the job's log. Of the jobs
    /// that it comes after it waits for those that still run. Where it has not ended, went on since its log was read, or can't
    /// be kept now, that is said ([`crate::Event::RetryRefused`]).
    Retry(Box<Restored>),
    /// Forget a kept job that has ended, and its log. Ignored if it has not.
    ForgetJob {
        /// The job.
        job: JobId,
    },
    /// Stop what runs here for others and give it back, as [`Self::Drain`] does with what has not begun: they have waited
    /// long enough. Takes no new work from then on. This node's own tasks run on.
    GiveBack,
    /// More tasks for a kept job that is still open, some of which ended in another job that it goes on for: these count with
    /// their outcomes there and are never run.
    ExtendEnded {
        /// The job.
        job: JobId,
        /// Their inputs.
        inputs: Vec<Payload>,
        /// What is known of some of them, by their places in the job; of no task twice. Others are ignored.
        ends: Vec<Kept>,
    },
}
