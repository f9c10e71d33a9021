//! What the job table takes and gives: plain data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_core::message::Class;
use weft_core::{BlobId, JobId, Level, PeerId, Program, Proof, Recalled, Receipt, Report, Stream, Verified};

/// What a job is, from its submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobMeta {
    /// The module.
    pub module: BlobId,
    /// The priority class.
    pub class: Class,
    /// Whether it goes on, and keeps its results, without its submitter.
    pub detached: bool,
    /// What it survives.
    pub level: Level,
    /// What it is called.
    pub title: Arc<Title>,
    /// When it was submitted, in milliseconds since 1970.
    pub submitted_ms: u64,
    /// Whether what its tasks print is kept for its stream.
    pub streamed: bool,
    /// What its tasks run, where their results have receipts.
    pub signed: Option<Arc<Program>>,
}

/// What a job is called, for people and filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Title {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its labels, each name once.
    pub labels: BTreeMap<String, String>,
}

/// One ended task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// Its place in the job.
    pub index: u32,
    /// How it ended, and its outputs.
    pub report: Report,
    /// The node that computed it; `None` when it was not computed.
    pub worker: Option<PeerId>,
    /// How many attempts it took.
    pub attempts: u32,
    /// Where the result was known, if nothing ran.
    pub memo: Option<Recalled>,
    /// What its worker stated and signed, if it did. The signature is not checked here.
    pub receipt: Option<Box<(Receipt, Proof)>>,
    /// The nodes that agreed and those that differed, where several computed it: this node's own finding, unsigned.
    pub verified: Option<Box<Verified>>,
}

/// Something that a running task printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    /// The task's place in the job.
    pub index: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Its standard output or standard error.
    pub stream: Stream,
    /// How many bytes of that stream came before.
    pub offset: u64,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// A job as the table knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// Its name.
    pub job: JobId,
    /// What it is.
    pub meta: JobMeta,
    /// Tasks in all so far.
    pub tasks: u32,
    /// Whether all tasks came.
    pub closed: bool,
    /// Whether every task ended.
    pub ended: bool,
    /// Whether a user cancelled it.
    pub cancelled_by_user: bool,
    /// Tasks that ended as done.
    pub done: u32,
    /// Tasks that ended otherwise.
    pub failed: u32,
    /// Of those, tasks that were skipped because of a job that theirs comes after.
    pub skipped: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
    /// Leases that ended without an outcome.
    pub lost: u32,
    /// More of its tasks failed than it allows, and those left were cancelled.
    pub given_up: bool,
    /// From its submission to its end, or to now.
    pub elapsed: Duration,
}

/// Results of a job, a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// What running tasks printed; never nothing.
    Printed(Vec<Print>),
    /// Some, in order of completion; never none.
    Results(Vec<TaskEnd>),
    /// All were taken before, and the job has ended.
    Ended(JobSummary),
}

/// How much to take at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Most results in it.
    pub results_max: usize,
    /// Bytes after which no further result is added.
    pub bytes: usize,
}
