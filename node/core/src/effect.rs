//! The effects of an engine: all actions that it asks its driver for. A new effect does not compile until every driver
//! handles it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::custody::position::Position;
use crate::durable::LogRecord;
use crate::id::{BlobId, JobId, PeerId, RunId, TaskId};
use crate::message::{Gossip, Message};
use crate::outcome::Verified;
use crate::receipt::Proof;
use crate::refusal::Refusal;
use crate::remembered::Remembered;
use crate::retained::{Retained, RetainedKey};
use crate::task::{Payload, Program, Recalled, Report, Stream};

/// What a node remembers of a job whose log goes from its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Remains {
    /// Nothing: this node alone kept it, or had nothing of it that others count on.
    Nothing,
    /// That it had a log: another node has its seat.
    Left(Left),
    /// That it had a log, and that every node which keeps the job is to forget it.
    Forgotten,
}

/// What a node knows of a job that it left.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Left {
    /// Where it lost its seat. It may have acknowledged all up to there: it has no vote in a log without that record.
    pub at: Position,
    /// The epoch that it promised last: it takes nothing of a lower one from any leader.
    pub promised: u32,
}

/// Who reads a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum LogReader {
    /// Another node that keeps the job.
    Keeper,
    /// A job whose inputs are results of that one.
    Child,
}

/// An action that the driver performs.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Effect {
    /// Send a message to a peer. May be lost; messages between two peers stay in order while they are connected.
    Send {
        /// The receiver, never this node itself.
        to: PeerId,
        /// The message.
        message: Message,
    },
    /// Publish a gossip to all nodes.
    Publish(Gossip),
    /// Run a task; exactly one [`crate::Input::Ran`] answers, also after an abort.
    Execute {
        /// The execution's id.
        run: RunId,
        /// The task; all its blobs are in this node's store.
        work: Work,
    },
    /// End an execution as soon as possible; it still answers.
    Abort(RunId),
    /// Pause an execution; its running time does not count until it is resumed. Another one may use its slot.
    Pause(RunId),
    /// Resume a paused execution.
    Resume(RunId),
    /// Sign the root of a batch of receipts; exactly one [`crate::Input::Signed`] answers, at once.
    Sign {
        /// The batch's number.
        batch: u64,
        /// The root to sign.
        root: [u8; 32],
    },
    /// Fetch a blob; exactly one [`crate::Input::Fetched`] answers, at once if it is here already.
    Fetch {
        /// The blob.
        blob: BlobId,
        /// Nodes that should have it, best first.
        from: Vec<PeerId>,
        /// Its length in bytes, if it is known: a provider that serves another length does not have it.
        bytes: Option<u64>,
    },
    /// Never evict this blob, whether it is here yet or not, until it was unpinned as often as pinned.
    Pin(BlobId),
    /// Remove one pin.
    Unpin(BlobId),
    /// Put these bytes into the blob store, so that others can fetch them by id.
    Stash(Arc<[u8]>),
    /// Report an event to the API and its clients.
    Notify(Event),
    /// Write the next record of a job's log, so that it survives a power cut; [`crate::Input::Persisted`] answers, or
    /// [`crate::Input::JournalFailed`]. Tickets rise by one, over all jobs and with those of [`Self::Forget`], and records are
    /// on the disk in this order: one is there only if all before it are. The driver keeps the blobs that it names
    /// ([`LogRecord::blobs`]) until the job is forgotten.
    Persist {
        /// Its number.
        ticket: u64,
        /// The job.
        job: JobId,
        /// The record.
        record: LogRecord,
        /// Bytes that [`LogRecord::decode`] makes it of, where there are such: those that another node sent, which may not be the
        /// ones that [`LogRecord::encode`] makes, or those that others are sent.
        bytes: Option<Arc<[u8]>>,
    },
    /// Remove the records behind one of a job's log, which never counted: another member leads. Answered like a record.
    Cut {
        /// Its number.
        ticket: u64,
        /// The job.
        job: JobId,
        /// The number of the last record that stays; 0 if none does.
        after: u32,
    },
    /// Write that this node has promised an epoch of a job, in place of what it promised before; no part of the job's log.
    /// Answered like a record.
    Promise {
        /// Its number.
        ticket: u64,
        /// The job.
        job: JobId,
        /// The epoch.
        epoch: u32,
    },
    /// Read records of a job's log; exactly one [`crate::Input::LogRead`] answers. All that was to be written before is in it.
    ReadLog {
        /// Who wants them.
        reader: LogReader,
        /// The job.
        job: JobId,
        /// The number of the first one, from 1.
        from: u32,
        /// Bytes of records after which no further one is read; at least one is.
        bytes_max: u32,
    },
    /// Read a whole log and say what it says together; exactly one [`crate::Input::Recalled`] answers. All that was to be
    /// written before is in it.
    Recall {
        /// The job.
        job: JobId,
    },
    /// Forget a job's log, if there is one; answered like a record.
    Forget {
        /// Its number.
        ticket: u64,
        /// The job.
        job: JobId,
        /// What later lives are to know of it ([`crate::Input::RestoreGone`]).
        remains: Remains,
    },
    /// Keep these results for a later life ([`crate::Input::Remembered`]), and forget those of these tasks. Nothing waits for it: what is lost is computed again. A driver without a disk does nothing.
    Remember {
        /// Results, each in place of another one of its task.
        known: Vec<Remembered>,
        /// Tasks without a result from now on.
        gone: Vec<TaskId>,
    },
    /// Keep these outcomes, which their owners have not acknowledged, for a later life ([`crate::Input::Retained`]), and forget
    /// those. Nothing waits for it: what is lost runs again. A driver without a disk does nothing.
    Retain {
        /// Outcomes; one of the same key as another one takes its place.
        outcomes: Vec<Retained>,
        /// Outcomes that are not waited for any more.
        gone: Vec<RetainedKey>,
    },
    /// Make one input of all results of these jobs, for a job that gathers them, and put it into the blob store; exactly one
    /// [`crate::Input::Gathered`] answers. All that was to be written before is in the logs. The input is a parcel
    /// ([`crate::Entry::Parcel`]); the same results make the same bytes on every node.
    Gather {
        /// The job that gathers.
        job: JobId,
        /// Its epoch: what was asked for before a new try is no answer after it.
        epoch: u32,
        /// Its parents in their order, each with the last record of its log that counts.
        parents: Vec<(JobId, u32)>,
    },
}

/// One task to run.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Work {
    /// Its id; seeds a pure task's randomness.
    pub task: TaskId,
    /// Its owner; no task sees it. Where tasks wait for the same resource before they can run, owners take turns.
    pub owner: PeerId,
    /// The program.
    pub program: Arc<Program>,
    /// The input.
    pub input: Payload,
    /// Whether its output is reported while it runs, as [`crate::Input::Printed`].
    pub stream: bool,
}

/// An event for this node's user.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Event {
    /// A task ended for good; reported once per task.
    TaskEnded {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// Its outcome and output.
        report: Arc<Report>,
        /// The node that ran it; `None` if no node did.
        worker: Option<PeerId>,
        /// Number of attempts.
        attempts: u32,
        /// The source of the result, if it was known and nothing ran.
        memo: Option<Recalled>,
        /// The worker's signature, if the job asked for receipts and the task ran.
        proof: Option<Box<Proof>>,
        /// Nodes that agreed and differed, if the job asked for the task to be computed on several nodes.
        verified: Option<Verified>,
    },
    /// A running task printed something. Another attempt may report it again from offset 0.
    Printed {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// The attempt's number, from 1.
        attempt: u32,
        /// Standard output or standard error.
        stream: Stream,
        /// Bytes of that stream before these.
        offset: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// Every task of a closed job ended; reported once per job, after its last task.
    JobEnded {
        /// The job.
        job: JobId,
    },
    /// A lease ended without an outcome and its task waits again.
    Lost {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// The worker that held it.
        worker: PeerId,
    },
    /// More tasks of a job failed than it allows: the rest is cancelled. Reported once, before their ends.
    JobGivenUp {
        /// The job.
        job: JobId,
        /// Tasks that ended otherwise than done.
        failed: u32,
    },
    /// A node's result is not that of the majority: it lied, or its machine is broken.
    Differed {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// The node.
        worker: PeerId,
    },
    /// A submission was refused.
    Refused {
        /// The job.
        job: JobId,
        /// The reason.
        reason: Refusal,
    },
    /// The tasks of a kept job that ended otherwise than done are not tried again: it has ended as it had before.
    RetryRefused {
        /// The job.
        job: JobId,
        /// The reason.
        reason: Refusal,
    },
    /// As a worker: an owner is gone, and its tasks are stopped here.
    OwnerGone {
        /// The owner.
        owner: PeerId,
        /// Its tasks that this node held.
        tasks: u32,
        /// Whether its process has ended: its connection was closed, or the next process of its node was heard. Otherwise it
        /// fell silent.
        closed: bool,
        /// Time since it was last heard, in milliseconds.
        unheard_ms: u64,
    },
    /// All parents of a job have ended, and its tasks may start; reported once, before any event of them. Never
    /// reported for a job without parents.
    DependenciesSatisfied {
        /// The job.
        job: JobId,
    },
    /// A job at level `disk` is kept: it will survive a restart of this node. Reported once the disk has it, before any end
    /// of its tasks, and again when it was extended; not for a job of an earlier life, which the driver knows by its log.
    Accepted {
        /// The job.
        job: JobId,
        /// How many of its tasks are kept, from the first on.
        tasks: u32,
    },
    /// A job that takes results of others has more tasks, or all that it will have. Of a kept one once that is as safe as its level
    /// promises.
    Grown {
        /// The job.
        job: JobId,
        /// Tasks that it has.
        tasks: u32,
        /// Whether it gets no more.
        closed: bool,
    },
    /// More tasks for a job at level `disk` were refused; the job goes on without them.
    ExtensionRefused {
        /// The job.
        job: JobId,
        /// How many tasks were refused.
        tasks: u32,
        /// The reason.
        reason: Refusal,
    },
    /// What was said last of a whole kept job is as safe as its level promises: that all of its tasks came, or that it is tried
    /// again.
    Confirmed {
        /// The job.
        job: JobId,
    },
    /// A job's log is gone from the disk: its user wanted it, or another node has this one's seat.
    Forgotten {
        /// The job.
        job: JobId,
        /// What the disk remembers of it.
        remains: Remains,
    },
    /// This node leads a job at level `mesh` from now on that another one led before, or itself in an earlier life. The driver
    /// has its log ([`crate::Input::Recalled`]) and shows what it says, so this is told once all of that is committed.
    Leads {
        /// The job.
        job: JobId,
    },
    /// Another node leads a job at level `mesh`, or will: this one tells nothing of it any more. Also for a job that this node
    /// keeps for others and has never led.
    Follows {
        /// The job.
        job: JobId,
        /// The node that leads it, if it is known.
        leader: Option<PeerId>,
    },
    /// Who keeps a job at level `mesh` from now on.
    Keepers {
        /// The job.
        job: JobId,
        /// The nodes, its owner first.
        keepers: Vec<PeerId>,
    },
    /// A worker was given a task.
    Leased {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// The worker.
        worker: PeerId,
        /// The attempt's number, from 1.
        attempt: u32,
    },
}
