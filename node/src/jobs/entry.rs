//! One job of the table. Counts, keeps, wakes; knows no other job and no bound but its own.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use weft_core::{BlobId, JobId, Outcome, Payload, Proof, Receipt, Report};

use super::{JobMeta, JobSummary, Kept, NoSuchJob, PRINTED_BYTES_MAX, Portion, Print, Taken, TaskEnd};

const WORD_BITS: u32 = u64::BITS;
/// Wakers kept; more than can wait at once, which is one a connection of the API.
const WAKERS_MAX: usize = 1024;

/// What a receipt and its proof take besides the statement's texts, in bytes.
const RECEIPT_BYTES: u64 = 1024;
/// What one node's id takes, written as digits, in bytes.
const NAME_BYTES: u64 = 66;

/// One job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) meta: JobMeta,
    pub(super) created: Instant,
    pub(super) tasks: u32,
    pub(super) closed: bool,
    pub(super) cancelled_by_user: bool,
    pub(super) lost: u32,
    /// More of its tasks failed than it allows.
    pub(super) given_up: bool,
    ended_at: Option<Instant>,
    abandoned: bool,
    /// A client has seen the end.
    told: bool,
    done: u32,
    failed: u32,
    /// Of those that failed, how many never began because of a job that theirs comes after.
    skipped: u32,
    cancelled: u32,
    /// Results taken out so far.
    taken: u32,
    /// Results not taken out, in order of completion.
    results: VecDeque<TaskEnd>,
    /// Bytes inside `results`.
    bytes: u64,
    /// One bit per task that has ended.
    ended: Vec<u64>,
    /// The inputs of unended tasks, by name, where results have receipts: a receipt names its task.
    inputs: BTreeMap<u32, (BlobId, u64)>,
    /// What running tasks printed and no client has taken.
    prints: Vec<Print>,
    /// Bytes inside `prints`.
    printed: usize,
    wakers: Vec<Waker>,
}

impl Entry {
    pub(super) fn new(meta: JobMeta) -> Self {
        Self {
            meta,
            created: Instant::now(),
            tasks: 0,
            closed: false,
            cancelled_by_user: false,
            lost: 0,
            given_up: false,
            ended_at: None,
            abandoned: false,
            told: false,
            done: 0,
            failed: 0,
            skipped: 0,
            cancelled: 0,
            taken: 0,
            results: VecDeque::new(),
            bytes: 0,
            ended: Vec::new(),
            inputs: BTreeMap::new(),
            prints: Vec::new(),
            printed: 0,
            wakers: Vec::new(),
        }
    }

    /// Notes further tasks.
    pub(super) fn submitted(&mut self, inputs: &[Payload]) {
        if self.meta.signed.is_some() {
            let names = inputs.iter().map(|input| (input.id(), input.bytes_len()));
            self.inputs.extend((self.tasks..).zip(names));
        }
        self.tasks = self.tasks.saturating_add(u32::try_from(inputs.len()).unwrap_or(u32::MAX));
    }

    /// Keeps what a task printed, as long as there is room.
    pub(super) fn printed(&mut self, print: Print) {
        let bytes = self.printed + print.bytes.len();
        if !self.meta.streamed || self.abandoned || bytes > PRINTED_BYTES_MAX || print.bytes.is_empty() {
            return;
        }
        self.printed = bytes;
        self.prints.push(print);
        self.wake();
    }

    /// Takes what was printed; `None` if there is nothing.
    pub(super) fn take_printed(&mut self) -> Option<Vec<Print>> {
        self.printed = 0;
        (!self.prints.is_empty()).then(|| std::mem::take(&mut self.prints))
    }

    /// What the worker signed, put together again: the proof came without it.
    fn receipt(&mut self, end: &TaskEnd, proof: Option<Proof>) -> Option<Box<(Receipt, Proof)>> {
        let input = self.inputs.remove(&end.index);
        let (program, worker) = self.meta.signed.as_ref().zip(end.worker)?;
        let (id, bytes) = input?;
        let task = program.task_id(&Payload::Blob { id, bytes });
        Some(Box::new((Receipt::new(task, program, &end.report, worker), proof?)))
    }

    /// Counts and keeps a result; says what it keeps more than before.
    pub(super) fn task_ended(&mut self, mut end: TaskEnd, proof: Option<Proof>) -> Kept {
        if !self.mark(end.index) {
            return Kept::default();
        }
        end.receipt = self.receipt(&end, proof);
        match &end.report.outcome {
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
        if self.abandoned {
            return Kept::default();
        }
        let bytes = inline_bytes(&end);
        self.bytes += bytes;
        self.results.push_back(end);
        self.wake();
        Kept { results: 1, bytes }
    }

    pub(super) fn end(&mut self) {
        self.ended_at = Some(Instant::now());
        self.closed = true;
        self.wake();
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Drops all results, now and in future; says what was kept.
    pub(super) fn abandon(&mut self) -> Kept {
        self.abandoned = true;
        let freed = Kept { results: self.results.len() as u64, bytes: self.bytes };
        self.results = VecDeque::new();
        self.bytes = 0;
        self.prints = Vec::new();
        self.printed = 0;
        freed
    }

    /// Whether a client still takes its results, or waits for its end.
    pub(super) fn is_wanted(&self) -> bool {
        !self.abandoned && !self.told
    }

    /// Takes results out; `None` if there are none.
    pub(super) fn take(&mut self, portion: Portion) -> Option<Vec<TaskEnd>> {
        let count = portion_of(self.results.iter(), portion);
        if count == 0 {
            return None;
        }
        let taken: Vec<TaskEnd> = self.results.drain(..count).collect();
        self.bytes -= taken.iter().map(inline_bytes).sum::<u64>();
        self.taken = self.taken.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        Some(taken)
    }

    /// Copies results; `None` if there are none from there on.
    pub(super) fn read(&self, cursor: usize, portion: Portion) -> Option<Vec<TaskEnd>> {
        let count = portion_of(self.results.iter().skip(cursor), portion);
        (count > 0).then(|| self.results.iter().skip(cursor).take(count).cloned().collect())
    }

    pub(super) fn has_results(&self) -> bool {
        !self.results.is_empty()
    }

    /// The end, if it came; from now on it counts as seen.
    pub(super) fn told_end(&mut self, job: JobId) -> Option<JobSummary> {
        self.told |= self.is_ended();
        self.is_ended().then(|| self.summary(job))
    }

    /// The end, if it came; if not, `cx` is woken by the next change.
    pub(super) fn ended_or_wait(&mut self, cx: &Context<'_>, job: JobId) -> Poll<Result<Taken, NoSuchJob>> {
        if let Some(summary) = self.told_end(job) {
            return Poll::Ready(Ok(Taken::Ended(summary)));
        }
        if self.wakers.len() >= WAKERS_MAX {
            // Most are of waits that were given up; a task that still waits registers again.
            self.wake();
        }
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    pub(super) fn outstanding(&self) -> u32 {
        let over = if self.meta.detached { self.ended_tasks() } else { self.taken };
        self.tasks.saturating_sub(over)
    }

    pub(super) fn first_unended(&self) -> Option<u32> {
        let full = self.ended.iter().take_while(|word| **word == u64::MAX).count();
        let ones = self.ended.get(full).map_or(0, |word| word.trailing_ones());
        let index = u32::try_from(full).ok()?.checked_mul(WORD_BITS)?.checked_add(ones)?;
        (index < self.tasks).then_some(index)
    }

    pub(super) fn summary(&self, job: JobId) -> JobSummary {
        JobSummary {
            job,
            meta: self.meta.clone(),
            tasks: self.tasks,
            closed: self.closed,
            ended: self.is_ended(),
            cancelled_by_user: self.cancelled_by_user,
            done: self.done,
            failed: self.failed,
            skipped: self.skipped,
            cancelled: self.cancelled,
            lost: self.lost,
            given_up: self.given_up,
            elapsed: self.ended_at.unwrap_or_else(Instant::now).duration_since(self.created),
        }
    }

    fn ended_tasks(&self) -> u32 {
        self.done.saturating_add(self.failed).saturating_add(self.cancelled)
    }

    /// Notes that a task ended; false if it is not a task of this job, or had ended before.
    fn mark(&mut self, index: u32) -> bool {
        if index >= self.tasks {
            return false;
        }
        let place = usize::try_from(index / WORD_BITS).expect("an index fits the memory");
        if self.ended.len() <= place {
            self.ended.resize(place + 1, 0);
        }
        let Some(word) = self.ended.get_mut(place) else { return false };
        let bit = 1 << (index % WORD_BITS);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }
}

/// How many of these results make the portion; at least one, if there is one.
fn portion_of<'a>(results: impl Iterator<Item = &'a TaskEnd>, portion: Portion) -> usize {
    let mut bytes = 0u64;
    let mut count = 0;
    for end in results.take(portion.results_max) {
        count += 1;
        bytes += inline_bytes(end);
        if bytes >= portion.bytes as u64 {
            break;
        }
    }
    count
}

/// Bytes that a result carries itself, beyond its fixed size.
fn inline_bytes(end: &TaskEnd) -> u64 {
    let Report { outcome, output, errors, files, usage: _ } = &end.report;
    let payloads = [output, errors, files].map(Payload::inline_len).iter().sum::<u64>();
    // On the wire a receipt's texts are written twice over, as digits.
    let receipt = end.receipt.as_ref().map_or(0, |signed| RECEIPT_BYTES + 2 * text_bytes(&signed.0.outcome));
    let named = end.verified.as_ref().map_or(0, |all| all.agreed.len() + all.differed.len());
    payloads + text_bytes(outcome) + receipt + NAME_BYTES * named as u64
}

fn text_bytes(outcome: &Outcome) -> u64 {
    outcome.text().len() as u64
}
