//! The door in: everything that can happen to an engine. Plain data, so that a log of it can be replayed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::host::Host;
use crate::id::{BlobId, JobId, PeerId, RunId};
use crate::message::{Class, Gossip, Message, Needs};
use crate::policy::Policy;
use crate::task::{Payload, Program, Report, Stream, Terms};

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
#[expect(clippy::large_enum_variant, reason = "an input is handed over once, and lives no longer")]
pub enum Input {
    /// Our user wants something.
    Command(Command),
    /// A peer can be spoken to.
    PeerUp {
        /// Who.
        peer: PeerId,
        /// Its boot nonce: another one than before says that it forgot everything.
        boot: u64,
        /// On which machine it is, by the address of its connection.
        host: Host,
    },
    /// A peer can't be spoken to any more.
    PeerDown {
        /// Who.
        peer: PeerId,
        /// Whether its connection was closed, which is how a dead process looks; if not, it just fell silent, which
        /// is how a cut looks, and its leases run their time.
        closed: bool,
    },
    /// The round trip to a peer was measured.
    Rtt {
        /// Which peer.
        peer: PeerId,
        /// Microseconds.
        rtt_us: u32,
    },
    /// A peer said something to us.
    Received {
        /// Who.
        from: PeerId,
        /// What.
        message: Message,
    },
    /// A node told everybody something.
    Heard {
        /// Who first said it, authenticated.
        origin: PeerId,
        /// What.
        gossip: Gossip,
    },
    /// Executions ended.
    Ran(Vec<(RunId, Report)>),
    /// An execution that was asked to stream printed something.
    Printed {
        /// Which.
        run: RunId,
        /// Where.
        stream: Stream,
        /// How many bytes of that stream came before.
        offset: u64,
        /// What, at most [`crate::task::INLINE_BYTES_MAX`].
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
        /// What was fetched.
        blob: BlobId,
        /// What became of it.
        fetched: Fetched,
    },
    /// Time alone moved on.
    Wake,
    /// How many nodes the mesh has, connected or not; needed only where not all are. A driver that gives it promises to
    /// dial a node on demand when the engine sends it a message. Only the simulator's drivers do.
    Mesh {
        /// Nodes, this one included.
        nodes: u32,
    },
    /// Executions wait for their module to be compiled, or wait no longer; nothing is decided by it.
    Compiling {
        /// Which.
        runs: Vec<RunId>,
        /// Whether they do.
        waits: bool,
    },
}

/// How a fetch ended, and with whom the fault lies where it ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Fetched {
    /// The blob is here.
    Here,
    /// None of those asked delivered it: they can't be reached, don't have it, or were too slow.
    Missing,
    /// What was delivered is not the blob, or has another length.
    Wrong,
    /// This node could not keep it: no room on its disk or in its store, a failing disk, or more fetches than it allows.
    /// No other node is to blame.
    NoRoom,
}

/// What our user can want.
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
    /// No more tasks will come; the job ends when all of its tasks have.
    Close {
        /// The job.
        job: JobId,
    },
    /// Stop a job: what waits or runs is cancelled.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Take no new work (or take it again).
    Drain(bool),
    /// Forget a peer that is not connected. It is known again when it comes back.
    Forget(PeerId),
    /// End: workers are told to stop what they run for this node, and the engine says and does nothing more.
    Stop,
}

/// A new job.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Submission {
    /// Its name, random; a name in use is ignored.
    pub job: JobId,
    /// What every task runs.
    pub program: Arc<Program>,
    /// What a worker must have.
    pub needs: Needs,
    /// How urgent.
    pub class: Class,
    /// What it wants beyond the results.
    pub terms: Terms,
    /// How it wants to be treated.
    pub policy: Policy,
    /// The first tasks' inputs.
    pub inputs: Vec<Payload>,
    /// Whether that is all.
    pub closed: bool,
    /// The jobs that must have ended before any of its tasks begins: distinct ones of the same owner, submitted before
    /// it and not forgotten, at most [`crate::AFTER_MAX`]. Its own times count from its submission all the same.
    pub after: Vec<JobId>,
    /// How those must have ended.
    pub join: Join,
}

impl Submission {
    /// A job of these tasks and no more, which wants nothing in particular.
    #[must_use]
    pub fn new(job: JobId, program: Arc<Program>, inputs: Vec<Payload>) -> Self {
        Self {
            job,
            program,
            needs: Needs::default(),
            class: Class::Batch,
            terms: Terms::default(),
            policy: Policy::DEFAULT,
            inputs,
            closed: true,
            after: Vec::new(),
            join: Join::AllSucceeded,
        }
    }
}

/// How the parents of a job must have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Join {
    /// With every task done. When one of them ends otherwise, was cancelled, or fell for a parent of its own, the job
    /// never begins: its tasks end as [`crate::Outcome::ParentFailed`].
    #[default]
    AllSucceeded,
    /// Anyhow.
    AllEnded,
}
