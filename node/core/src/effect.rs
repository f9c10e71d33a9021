//! The door out: everything that an engine can ask for. A new effect does not compile until every driver handles it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{BlobId, JobId, PeerId, RunId, TaskId};
use crate::message::{Gossip, Message};
use crate::receipt::Proof;
use crate::refusal::Refusal;
use crate::task::{Payload, Program, Recalled, Report, Stream};

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Effect {
    /// Say this to a peer. May be lost; order between two peers holds while they stay connected.
    Send {
        /// To whom, never to this node itself.
        to: PeerId,
        /// What.
        message: Message,
    },
    /// Tell everybody.
    Publish(Gossip),
    /// Run a task; exactly one [`crate::Input::Ran`] answers, also after an abort.
    Execute {
        /// The execution's name.
        run: RunId,
        /// What to run; all its blobs are here.
        work: Work,
    },
    /// End an execution as soon as possible; it still answers.
    Abort(RunId),
    /// Hold an execution where it is; its time does not count until it is resumed. Another may have its slot.
    Pause(RunId),
    /// Let a paused execution go on.
    Resume(RunId),
    /// Sign the root of a batch of receipts; exactly one [`crate::Input::Signed`] answers, at once.
    Sign {
        /// The batch.
        batch: u64,
        /// What to sign.
        root: [u8; 32],
    },
    /// Bring a blob here; exactly one [`crate::Input::Fetched`] answers, at once if it is here already.
    Fetch {
        /// Which.
        blob: BlobId,
        /// Who should have it, best first.
        from: Vec<PeerId>,
        /// Its length in bytes, where it is known: whoever serves another length does not have it.
        bytes: Option<u64>,
    },
    /// Never evict this blob, whether it is here yet or not, until as many unpins as pins were asked for.
    Pin(BlobId),
    /// Take one pin back.
    Unpin(BlobId),
    /// Keep these bytes in the blob store, so that others can fetch them by name.
    Stash(Arc<[u8]>),
    /// Tell the API and whoever watches.
    Notify(Event),
}

/// One task to run.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Work {
    /// Its name; seeds a pure task's randomness.
    pub task: TaskId,
    /// Whose it is; no task sees it. Where tasks wait for the same thing before they can run, owners take turns.
    pub owner: PeerId,
    /// What to run.
    pub program: Arc<Program>,
    /// On what.
    pub input: Payload,
    /// Whether what it prints is passed on at once, as [`crate::Input::Printed`].
    pub stream: bool,
}

/// Something that a user may want to see.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
#[expect(clippy::large_enum_variant, reason = "most events are ends of tasks")]
pub enum Event {
    /// A task ended for good; told once per task.
    TaskEnded {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// How it ended, and what it brought.
        report: Report,
        /// Who ran it; `None` when nobody did.
        worker: Option<PeerId>,
        /// How many attempts it took.
        attempts: u32,
        /// Whose word it is, if the result was known and nothing ran.
        memo: Option<Recalled>,
        /// The worker's signature, if the job asked for receipts and somebody ran the task.
        proof: Option<Proof>,
        /// Who agreed and who differed, if the job asked for the task to be computed on several nodes.
        verified: Option<Verified>,
    },
    /// A task that runs printed something. It may be told again from offset 0, by another attempt.
    Printed {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// Which attempt.
        attempt: u32,
        /// Where.
        stream: Stream,
        /// How many bytes of that stream came before.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Every task of a closed job ended; told once per job, after its last task.
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
        /// Who held it.
        worker: PeerId,
    },
    /// More tasks of a job ended otherwise than done than it allows: those left are cancelled. Told once, before
    /// their ends.
    JobGivenUp {
        /// The job.
        job: JobId,
        /// How many ended otherwise than done.
        failed: u32,
    },
    /// What a node computed is not what most others did: it lied, or is broken.
    Differed {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// Who.
        worker: PeerId,
    },
    /// A job can't be had as it is, and was not accepted.
    Refused {
        /// The job.
        job: JobId,
        /// Why.
        reason: Refusal,
    },
    /// As a worker: an owner is gone, and what it had awarded is stopped here.
    OwnerGone {
        /// Who.
        owner: PeerId,
        /// How many of its tasks were held.
        tasks: u32,
        /// Whether its connection was closed; otherwise it fell silent.
        closed: bool,
        /// For how long nothing was heard of it, in milliseconds.
        unheard_ms: u64,
    },
    /// All that a job comes after has ended, and its tasks may begin; told once, before anything of them. Never told
    /// of a job without parents.
    Fired {
        /// The job.
        job: JobId,
    },
}

/// Whose word a verified result rests on.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Verified {
    /// Who computed what was committed, in the order in which they answered: more than half of as many nodes as the
    /// job asked for.
    pub agreed: Vec<PeerId>,
    /// Who answered something else.
    pub differed: Vec<PeerId>,
}
