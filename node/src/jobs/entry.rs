//! One job of the table. Counts, keeps, wakes; knows no other job and no bound but its own.

mod custody;
mod journalled;

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use weft_core::{JobId, Level, Payload, Proof};

use super::feeding::Feeding;
use super::open::Open;
use super::table::Kept;
use super::view::InputName;
use super::{
    Counts, Custody, JobMeta, JobSummary, NoSuchJob, NotAccepted, PRINTED_BYTES_MAX, Portion, Print,
    Restarted, Results, Taken, TaskEnd,
};

const WORD_BITS: u32 = u64::BITS;
/// Wakers kept; more than can wait at once, which is one a connection of the API or a request of a member.
pub(crate) const WAKERS_MAX: usize = 8192;

/// One job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) meta: JobMeta,
    pub(super) created: Instant,
    /// Where its results are, if not here.
    journal: Option<Journalled>,
    /// What its submitter was promised holds from now on.
    accepted: bool,
    /// Tasks that are on the disk.
    accepted_tasks: u32,
    /// How it had ended, while the disk does not know that it is tried again.
    before: Option<Before>,
    /// Why it was not accepted, or not tried again when that was last asked for.
    refused: Option<NotAccepted>,
    /// Why tasks that came later were not taken.
    refused_more: Option<String>,
    /// How many.
    refused_tasks: u32,
    /// The record that closes it is not on the disk.
    closing: bool,
    /// Who hands in its inputs.
    pub(super) feeding: Feeding,
    /// When this node was last started again while it was unfinished.
    restarted: Option<Restarted>,
    /// Who keeps and who leads it, if it is a job at level `mesh`.
    custody: Option<Custody>,
    pub(super) counts: Counts,
    /// Bytes of all its inputs that are not in the blob store.
    pub(super) input_bytes: u64,
    /// What the table has counted of its open tasks.
    pub(super) counted: Open,
    pub(super) closed: bool,
    pub(super) cancelled_by_user: bool,
    /// It had all of its inputs then.
    cancelled_whole: bool,
    pub(super) lost: u32,
    /// More of its tasks failed than it allows.
    pub(super) given_up: bool,
    ended_at: Option<Instant>,
    abandoned: bool,
    /// A client has seen the end.
    told: bool,
    /// Results taken out so far.
    taken: u32,
    /// Results not taken out, in order of completion.
    results: VecDeque<TaskEnd>,
    /// Bytes inside `results`.
    bytes: u64,
    /// One bit per task that has ended.
    ended: Vec<u64>,
    /// The inputs of unended tasks, by name, where results have receipts: a receipt names its task.
    inputs: BTreeMap<u32, InputName>,
    /// What running tasks printed and no client has taken.
    prints: Vec<Print>,
    /// Bytes inside `prints`.
    printed: usize,
    wakers: Vec<Waker>,
}

/// How a job ended that is tried again.
#[derive(Clone, Copy, Debug)]
struct Before {
    counts: Counts,
    ended_at: Option<Instant>,
    cancelled_by_user: bool,
    given_up: bool,
}

/// What the table knows of results that are in the journal.
#[derive(Clone, Copy, Debug, Default)]
struct Journalled {
    /// Ends of tasks in it. A task that was tried again has several.
    told: u64,
    /// When they were last read, in milliseconds since 1970.
    read_ms: Option<u64>,
    /// When the journal was last told so.
    noted_ms: Option<u64>,
}

impl Entry {
    pub(super) fn new(meta: JobMeta) -> Self {
        let journal = (meta.level != Level::Memory).then(Journalled::default);
        let custody = (meta.level == Level::Mesh).then(Custody::new);
        Self {
            meta,
            created: Instant::now(),
            journal,
            accepted: journal.is_none(),
            accepted_tasks: 0,
            before: None,
            refused: None,
            refused_more: None,
            refused_tasks: 0,
            closing: false,
            feeding: Feeding::default(),
            restarted: None,
            custody,
            counts: Counts::default(),
            input_bytes: 0,
            counted: Open::default(),
            closed: false,
            cancelled_by_user: false,
            cancelled_whole: false,
            lost: 0,
            given_up: false,
            ended_at: None,
            abandoned: false,
            told: false,
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
        // Those of a job in the journal are read there.
        if self.meta.signed.is_some() && self.journal.is_none() && !self.meta.takes_results {
            self.inputs.extend((self.counts.tasks..).zip(inputs.iter().map(InputName::of)));
        }
        self.counts.tasks = self.counts.tasks.saturating_add(u32::try_from(inputs.len()).unwrap_or(u32::MAX));
        self.input_bytes += inputs.iter().map(Payload::inline_len).sum::<u64>();
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

    /// Counts and keeps a result of a job that is not in the journal; says what it keeps more than before.
    pub(super) fn task_ended(&mut self, mut end: TaskEnd, proof: Option<Box<Proof>>) -> Kept {
        if !self.mark(end.index) {
            return Kept::default();
        }
        self.counts.end(&end.report.outcome);
        let input = self.inputs.remove(&end.index);
        if self.abandoned {
            return Kept::default();
        }
        if let (Some(program), Some(input)) = (&self.meta.signed, input) {
            end.sign(program, input, proof);
        }
        let bytes = end.carried();
        self.bytes += bytes;
        self.results.push_back(end);
        self.wake();
        Kept { results: 1, bytes }
    }

    /// Notes that its user cancels it: its stream takes no more inputs.
    pub(super) fn cancel(&mut self) {
        if !self.is_ended() {
            self.cancelled_whole = self.closed && !self.cancelled_by_user;
            self.cancelled_by_user = true;
        }
        self.closed = true;
        self.wake();
    }

    pub(super) fn end(&mut self) {
        // Its last task ended before the cancellation came: nothing of it was cancelled.
        let came_late = self.cancelled_whole && self.counts.tasks > 0 && self.counts.cancelled == 0;
        self.cancelled_by_user &= !came_late;
        self.ended_at = Some(Instant::now());
        self.closed = true;
        self.wake();
    }

    /// Its end, for who watches.
    pub(super) fn ended_as(&self, job: JobId) -> super::Happened {
        super::Happened::JobEnded { job, counts: self.counts, cancelled: self.cancelled_by_user }
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

    /// Whether the end of this node would cost a client something.
    pub(super) fn is_awaited(&self) -> bool {
        let flows = !self.meta.detached && self.is_wanted() && self.has_results();
        self.journal.is_none() && (!self.is_ended() || flows)
    }

    /// Takes results out; `None` if there are none.
    pub(super) fn take(&mut self, portion: Portion) -> Option<Vec<TaskEnd>> {
        let count = portion_of(self.results.iter(), portion);
        if count == 0 {
            return None;
        }
        let taken: Vec<TaskEnd> = self.results.drain(..count).collect();
        self.bytes -= taken.iter().map(TaskEnd::carried).sum::<u64>();
        self.taken = self.taken.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        Some(taken)
    }

    /// Copies results; `None` if there are none from there on.
    pub(super) fn read(&self, cursor: usize, portion: Portion) -> Option<Vec<TaskEnd>> {
        let count = portion_of(self.results.iter().skip(cursor), portion);
        (count > 0).then(|| self.results.iter().skip(cursor).take(count).cloned().collect())
    }

    /// Results from the `cursor`-th on of a job that is not in the journal; none if some of them were taken out.
    pub(super) fn results(&self, job: JobId, cursor: u64, portion: Portion) -> Option<Results> {
        if self.taken > 0 || self.abandoned {
            return None;
        }
        let mut ends = self.read(usize::try_from(cursor).ok()?, portion).unwrap_or_default();
        ends.iter_mut().zip(cursor..).for_each(|(end, number)| end.number = Some(number));
        let next = cursor + ends.len() as u64;
        let end = (self.is_ended() && next >= self.results.len() as u64).then(|| self.summary(job));
        Some(Results { ends, next, end })
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
        self.wait(cx);
        Poll::Pending
    }

    /// Has `cx` woken by the next change.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if self.wakers.len() >= WAKERS_MAX {
            // Some are of waits that were given up, since there are more than can wait; a task that still waits registers again.
            self.wake();
        }
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }

    pub(super) fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    pub(super) fn outstanding(&self) -> u32 {
        let over = if self.meta.detached { self.counts.ended() } else { self.taken };
        self.counts.tasks.saturating_sub(over)
    }

    pub(super) fn first_unended(&self) -> Option<u32> {
        let full = self.ended.iter().take_while(|word| **word == u64::MAX).count();
        let ones = self.ended.get(full).map_or(0, |word| word.trailing_ones());
        let index = u32::try_from(full).ok()?.checked_mul(WORD_BITS)?.checked_add(ones)?;
        (index < self.counts.tasks).then_some(index)
    }

    pub(super) fn summary(&self, job: JobId) -> JobSummary {
        JobSummary {
            job,
            meta: self.meta.clone(),
            journalled: self.is_journalled(),
            tasks: self.counts.tasks,
            closed: self.closed,
            ended: self.is_ended(),
            cancelled_by_user: self.cancelled_by_user,
            done: self.counts.done,
            failed: self.counts.failed,
            skipped: self.counts.skipped,
            cancelled: self.counts.cancelled,
            lost: self.lost,
            given_up: self.given_up,
            ended_ms: self.ended_ms(),
            restarted: self.restarted,
            custody: self.custody.clone(),
            refused_more: self.refused_more.clone(),
            told: self.told(),
            elapsed: self.ended_at.unwrap_or_else(Instant::now).duration_since(self.created),
        }
    }

    /// Notes that a task ended; false if it is not a task of this job, or had ended before.
    fn mark(&mut self, index: u32) -> bool {
        if index >= self.counts.tasks {
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
pub(super) fn portion_of<'a>(results: impl Iterator<Item = &'a TaskEnd>, portion: Portion) -> usize {
    let mut bytes = 0u64;
    let mut count = 0;
    for end in results.take(portion.results_max) {
        count += 1;
        bytes += end.carried();
        if bytes >= portion.bytes as u64 {
            break;
        }
    }
    count
}
