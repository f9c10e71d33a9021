//! What the job table takes and gives: plain data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_core::message::Class;
use weft_core::{
    BlobId, JobId, Level, Outcome, Payload, PeerId, Program, Proof, Recalled, Receipt, Report, Stream,
    Verified,
};

use super::custody::{Custody, Led, Moved};

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
    /// The node that it was submitted to.
    pub owner: PeerId,
    /// Whether every member of the mesh may cancel, retry and forget it.
    pub shared: bool,
    /// What it is called.
    pub title: Arc<Title>,
    /// When it was submitted, in milliseconds since 1970.
    pub submitted_ms: u64,
    /// Whether what its tasks print is kept for its stream.
    pub streamed: bool,
    /// What its tasks run, where their results have receipts.
    pub signed: Option<Arc<Program>>,
    /// The jobs that it comes after.
    pub after: Arc<[JobId]>,
    /// Whether its inputs are their results, and come from no client.
    pub takes_results: bool,
}

/// What a job is called, for people and filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Title {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its labels, each name once.
    pub labels: BTreeMap<String, String>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// Further tasks may come.
    Open,
    /// All tasks came, and not all have ended.
    Running,
    /// Every task has a result.
    Done,
    /// It ended, and tasks failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// That a node was started again while a job of its journal was unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarted {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Outcomes that the journal had.
    pub kept: u32,
    /// Tasks that had none, and run now.
    pub open: u32,
}

/// How many tasks a job has, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In all.
    pub tasks: u32,
    /// As done.
    pub done: u32,
    /// Otherwise, and not cancelled.
    pub failed: u32,
    /// Of those that failed, never begun because of another job.
    pub skipped: u32,
    /// Cancelled.
    pub cancelled: u32,
}

impl Counts {
    /// Counts one more task that ended.
    pub(crate) fn end(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Failed(_)
            | Outcome::Trapped(_)
            | Outcome::LimitExceeded(_)
            | Outcome::Invalid(_)
            | Outcome::Lost(_)
            | Outcome::NoRoom(_)
            | Outcome::Expired(_) => self.failed += 1,
            Outcome::ParentFailed { .. } => {
                self.failed += 1;
                self.skipped += 1;
            }
        }
    }

    /// Tasks that ended.
    pub(crate) fn ended(&self) -> u32 {
        self.done.saturating_add(self.failed).saturating_add(self.cancelled)
    }
}

/// A job as the journal brought it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredJob {
    /// What it is.
    pub meta: JobMeta,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// When its results were last read.
    pub read_ms: Option<u64>,
    /// Whether all tasks came.
    pub closed: bool,
    /// Whether a user cancelled it.
    pub cancelled: bool,
    /// Whether more of its tasks failed than it allows.
    pub given_up: bool,
    /// Its tasks.
    pub counts: Counts,
    /// Bytes of its inputs that are not in the blob store.
    pub input_bytes: u64,
    /// Ends of tasks in the journal.
    pub told: u64,
    /// One bit for each task that has ended; empty once the job has.
    pub ended: Vec<u64>,
    /// Whether the disk has all of it: not while it is not known there that it is tried again.
    pub accepted: bool,
    /// If it goes on now.
    pub restarted: Option<Restarted>,
    /// Why tasks that came later were not taken, if some were not.
    pub refused_more: Option<String>,
    /// Who keeps and who leads it, of a job at level `mesh`.
    pub custody: Option<Custody>,
}

/// What changes of a job that another node leads, as its log on this node's disk says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its tasks.
    pub counts: Counts,
    /// Ends of tasks in its log.
    pub told: u64,
    /// Whether all tasks came.
    pub closed: bool,
    /// Whether a user cancelled it.
    pub cancelled: bool,
    /// Whether more of its tasks failed than it allows.
    pub given_up: bool,
    /// Whether it has ended.
    pub has_ended: bool,
    /// When, in milliseconds since 1970, if its log says so.
    pub ended_ms: Option<u64>,
}

/// That tasks of a job were not taken, for people.
pub(crate) fn not_taken(tasks: u32, why: &str) -> String {
    format!("{tasks} tasks were not taken: {why}")
}

/// One ended task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// Its place among all ends that were told of a job whose results are kept, from 0: results can be read from there on.
    /// `None` where they flow to their submitter.
    pub number: Option<u64>,
    /// Its place in the job.
    pub index: u32,
    /// How it ended, and its outputs.
    pub report: Arc<Report>,
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

/// What a receipt and its proof take besides the statement's texts, in bytes.
const RECEIPT_BYTES: u64 = 1024;
/// What one node's id takes, written as digits, in bytes.
const NAME_BYTES: u64 = 66;

impl TaskEnd {
    /// Bytes that it carries itself, beyond its fixed size.
    pub(crate) fn carried(&self) -> u64 {
        let Report { outcome, output, errors, files, usage: _ } = &*self.report;
        let payloads = [output, errors, files].map(Payload::inline_len).iter().sum::<u64>();
        // On the wire a receipt's texts are written twice over, as digits.
        let receipt =
            self.receipt.as_ref().map_or(0, |signed| RECEIPT_BYTES + 2 * text_bytes(&signed.0.outcome));
        let named = self.verified.as_ref().map_or(0, |all| all.agreed.len() + all.differed.len());
        payloads + text_bytes(outcome) + receipt + NAME_BYTES * named as u64
    }

    /// Puts together again what its worker signed, for the task of this program with this input: a proof comes without it.
    pub(crate) fn sign(&mut self, program: &Program, input: InputName, proof: Option<Box<Proof>>) {
        let (Some(worker), Some(proof)) = (self.worker, proof) else { return };
        let task = program.task_id(&Payload::Blob { id: input.id, bytes: input.bytes });
        self.receipt = Some(Box::new((Receipt::new(task, program, &self.report, worker), *proof)));
    }
}

/// What a receipt knows of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputName {
    id: BlobId,
    bytes: u64,
}

impl InputName {
    pub(crate) fn of(input: &Payload) -> Self {
        Self { id: input.id(), bytes: input.bytes_len() }
    }
}

fn text_bytes(outcome: &Outcome) -> u64 {
    outcome.text().len() as u64
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
    /// Whether its results are in the journal.
    pub journalled: bool,
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
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// When its node was last started again while it was unfinished.
    pub restarted: Option<Restarted>,
    /// Who keeps and who leads it, of a job at level `mesh`.
    pub custody: Option<Custody>,
    /// Why tasks that came later were not taken, if some were not.
    pub refused_more: Option<String>,
    /// Ends of tasks that were told: results can be read from each of these numbers on.
    pub told: u64,
    /// From its submission to its end, or to now.
    pub elapsed: Duration,
}

impl JobSummary {
    /// Who leads it, if another node does.
    ///
    /// # Errors
    /// [`Moved`] then.
    pub fn here(&self) -> Result<(), Moved> {
        match &self.custody {
            Some(Custody { led: Led::Elsewhere { leader }, .. }) => {
                Err(Moved { job: self.job, leader: *leader })
            }
            Some(Custody { led: Led::Here, .. }) | None => Ok(()),
        }
    }

    /// Whether this node has a copy of it whose owner is not connected: it shows what the copy has. A person may make another job
    /// of it.
    #[must_use]
    pub fn is_left_copy(&self) -> bool {
        self.meta.level == Level::Disk && matches!(self.here(), Err(Moved { leader: None, .. }))
    }

    /// The node that it was submitted to, also where another one has its seat by now.
    #[must_use]
    pub fn owner(&self) -> PeerId {
        self.meta.owner
    }

    /// Whether every member of the mesh may cancel, retry and forget it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.meta.shared || self.custody.as_ref().is_some_and(|custody| custody.shared)
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> JobState {
        match (self.closed, self.ended) {
            (false, false) => JobState::Open,
            (true, false) => JobState::Running,
            (_, true) if self.cancelled_by_user => JobState::Cancelled,
            (_, true) if self.done < self.tasks => JobState::Failed,
            (_, true) => JobState::Done,
        }
    }
}

/// A part of a job's results, in order of completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// The results. A task that was tried again after its end is in it once, as it ended last.
    pub ends: Vec<TaskEnd>,
    /// Where the next part begins.
    pub next: u64,
    /// The job's summary if it has ended and this was all.
    pub end: Option<JobSummary>,
}

/// Results of a job, a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the end is handed over once a stream")]
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
