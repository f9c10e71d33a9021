//! What of kept jobs waits for the disk: records that are to be written, and the words to user and workers which promise
//! that they are. Placing tasks does not wait. Plain bookkeeping, without a decision about any job.
//!
//! Records are gathered while an input is handled and emitted at its end, so that what came in one input is one record a
//! job. The words of an input are held, in order, behind the last record before them. Ends of jobs come last: what comes
//! after a job has its end in its own log before that job's log ends.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::job::Job;
use super::words::Word;
use crate::ctx::Ctx;
use crate::durable::{
    Accepted, Kept, LogRecord, NotTaken, RECORD_BYTES_SOFT, RECORD_TASKS_MAX, Rest, RestTask, input_cost,
};
use crate::effect::{Effect, Event};
use crate::id::{JobId, LeaseId, PeerId};
use crate::refusal::Refusal;
use crate::snapshot::Note;
use crate::task::{Outcome, Payload};

/// Bytes of held words beyond which no outcome of a kept job is taken from another node, and no task of one is placed.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Acknowledgements that are held; beyond them none is, and the worker sends its outcome again.
const HELD_ACKS_MAX: usize = 65_536;
/// What a held word counts besides what it carries, in bytes.
const WORD_BYTES: usize = 128;
/// Jobs that are looked through for the last record of one, within an input; beyond them another record is begun.
const GATHERED_MAX: usize = 64;

/// Forgotten jobs that are remembered, so that none of them is tried again by a log that was read before.
const FORGOTTEN_MAX: usize = 1000;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    failed: bool,
    low: bool,
    /// The ticket that was emitted last.
    issued: u64,
    /// The last one that is on the disk.
    persisted: u64,
    /// What is to be written and told at the end of this input.
    gathered: Vec<Gathered>,
    /// Records of these.
    records: u64,
    /// Outcomes of kept jobs that are to be acknowledged.
    acks: Vec<(PeerId, LeaseId)>,
    /// The same; all that they rest on is on the disk.
    safe: Vec<(PeerId, LeaseId)>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Acknowledgements of these.
    held_acks: usize,
    /// Jobs that begin when a ticket is on the disk, in the order of these.
    barred: VecDeque<(u64, JobId)>,
    /// Jobs whose logs were to go, the newest last.
    forgotten: VecDeque<JobId>,
    /// Kept jobs were told to stand still because too much is held.
    pub(super) stalls: bool,
}

#[derive(Debug)]
struct Gathered {
    job: JobId,
    what: What,
    /// What its parts count, in bytes.
    cost: usize,
}

#[derive(Debug)]
enum What {
    Record(LogRecord),
    Event(Box<Event>),
    /// The end of the job, as record and as event.
    End,
}

/// A word that waits for a ticket.
#[derive(Debug)]
struct Held {
    ticket: u64,
    word: Word,
    cost: usize,
}

impl Keeping {
    // ---- whether there is a disk

    /// Why no job can be kept now.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if self.failed { Some(Refusal::JournalFailed) } else { self.low.then_some(Refusal::DiskLow) }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether tasks of kept jobs are placed and their outcomes are taken.
    pub(super) fn takes(&self) -> bool {
        !self.failed && self.held_bytes < HELD_BYTES_MAX
    }

    pub(super) fn on_disk_low(&mut self, low: bool) {
        self.low = low;
    }

    /// Nothing is written any more, so nothing that waits is ever told.
    pub(super) fn on_failed(&mut self) {
        *self = Self { failed: true, issued: self.issued, persisted: self.persisted, ..Self::default() };
    }

    // ---- what is to be written

    /// The ticket of the last record that was gathered.
    fn last_ticket(&self) -> u64 {
        self.issued.saturating_add(self.records)
    }

    pub(super) fn is_persisted(&self, ticket: u64) -> bool {
        ticket <= self.persisted
    }

    /// A job begins when the record that was gathered last is on the disk; its ticket.
    pub(super) fn bar(&mut self, job: JobId) -> u64 {
        let ticket = self.last_ticket();
        self.barred.push_back((ticket, job));
        ticket
    }

    pub(super) fn record(&mut self, job: JobId, record: LogRecord) {
        self.push(Gathered { job, what: What::Record(record), cost: WORD_BYTES });
    }

    /// Told when all records before it are on the disk.
    pub(super) fn event(&mut self, job: JobId, event: Event) {
        self.push(Gathered { job, what: What::Event(Box::new(event)), cost: WORD_BYTES });
    }

    /// All of a job ended.
    pub(super) fn end(&mut self, job: JobId) {
        self.push(Gathered { job, what: What::End, cost: WORD_BYTES });
    }

    fn push(&mut self, part: Gathered) {
        self.records += u64::from(!matches!(part.what, What::Event(_)));
        self.gathered.push(part);
    }

    /// A job was accepted, with these inputs.
    pub(super) fn accept(&mut self, mut accepted: Accepted, inputs: &[Payload]) {
        let (first, rest) = inputs.split_at_checked(count_fitting(inputs)).unwrap_or((inputs, &[]));
        let (job, tasks) = (accepted.spec.job, count(inputs));
        (accepted.spec.inputs, accepted.tasks) = (first.to_vec(), tasks);
        self.record(job, LogRecord::Accepted(Box::new(accepted)));
        self.add_inputs(job, rest);
        self.event(job, Event::Accepted { job, tasks });
    }

    /// A job that had `before` tasks has more.
    pub(super) fn extend(&mut self, job: JobId, inputs: &[Payload], before: u32) {
        if !inputs.is_empty() {
            self.add_inputs(job, inputs);
            self.event(job, Event::Accepted { job, tasks: before.saturating_add(count(inputs)) });
        }
    }

    /// A job gets no more tasks. What was not taken of it is said for good.
    pub(super) fn close(&mut self, job: &Job) {
        let name = job.spec.job;
        if let Some(reason) = job.refused.as_ref().filter(|_| job.refused_tasks > 0) {
            let not_taken = NotTaken { tasks: job.refused_tasks, why: reason.to_string() };
            self.record(name, LogRecord::NotTaken(not_taken));
        }
        self.record(name, LogRecord::Closed);
    }

    fn add_inputs(&mut self, job: JobId, inputs: &[Payload]) {
        let mut rest = inputs;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at_checked(count_fitting(rest)).unwrap_or((rest, &[]));
            self.record(job, LogRecord::Extended { inputs: part.to_vec() });
            rest = behind;
        }
    }

    /// A task ended with an outcome of its own.
    pub(super) fn task_ended(&mut self, job: JobId, kept: Kept) {
        let more = kept.cost();
        if let Some(Gathered { what: What::Record(LogRecord::Outcomes(all)), cost, .. }) = self.last_of(job)
            && *cost < RECORD_BYTES_SOFT
        {
            *cost += more;
            return all.push(kept);
        }
        let what = What::Record(LogRecord::Outcomes(alloc::vec![kept]));
        self.push(Gathered { job, what, cost: more });
    }

    /// A task ended with its job.
    pub(super) fn rest_ended(&mut self, job: JobId, outcome: &Outcome, task: RestTask) {
        if let Some(Gathered { what: What::Record(LogRecord::Rest(rest)), cost, .. }) = self.last_of(job)
            && rest.tasks.len() < RECORD_TASKS_MAX
            && rest.outcome == *outcome
        {
            *cost += size_of::<RestTask>();
            return rest.tasks.push(task);
        }
        let rest = Rest { outcome: outcome.clone(), tasks: alloc::vec![task] };
        self.record(job, LogRecord::Rest(rest));
    }

    fn last_of(&mut self, job: JobId) -> Option<&mut Gathered> {
        self.gathered.iter_mut().rev().take(GATHERED_MAX).find(|part| part.job == job)
    }

    /// A worker is told that an outcome is safe once it is. False if too many wait: the worker sends it again.
    pub(super) fn ack(&mut self, worker: PeerId, lease: LeaseId) -> bool {
        let has_room = self.held_acks.saturating_add(self.acks.len()) < HELD_ACKS_MAX;
        if has_room {
            self.acks.push((worker, lease));
        }
        has_room
    }

    /// Whether a job is a kept one that goes on in a later life alone.
    pub(super) fn stops(&self, job: &Job) -> bool {
        self.failed && job.is_kept()
    }

    /// The acknowledgements that wait for nothing.
    pub(super) fn take_acks(&mut self, out: &mut Vec<(PeerId, LeaseId)>) {
        out.append(&mut self.safe);
        if !self.waits() {
            out.append(&mut self.acks);
        }
    }

    /// Whether acknowledgements can be sent that were not.
    pub(super) fn has_acks(&self) -> bool {
        !self.safe.is_empty() || (!self.waits() && !self.acks.is_empty())
    }

    /// Whether anything is not on the disk that is to be there.
    fn waits(&self) -> bool {
        self.failed || !self.is_persisted(self.last_ticket())
    }

    /// Words that are held, and what they take in bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.held.len(), self.held_bytes)
    }

    /// Why a kept job's task that waits is not placed, if its job is to blame for nothing.
    pub(super) fn note(&self, begins_with: u64) -> Option<Note> {
        if self.failed {
            Some(Note::JournalFailed)
        } else {
            (!self.takes() || !self.is_persisted(begins_with)).then_some(Note::DiskBehind)
        }
    }

    // ---- the end of an input

    /// The input has been handled: what it gathered is emitted, and what may be told is told.
    pub(super) fn seal(&mut self, ctx: &mut Ctx<'_>) {
        if self.gathered.is_empty() && self.acks.is_empty() {
            return;
        }
        self.records = 0;
        if self.failed {
            self.gathered.clear();
            self.acks.clear();
            return;
        }
        let mut ends = Vec::new();
        for part in core::mem::take(&mut self.gathered) {
            let Gathered { job, what, cost } = part;
            match what {
                What::Record(record) => {
                    let word = Word::of(job, &record);
                    self.write(ctx, job, record);
                    word.into_iter().for_each(|word| self.hold(word, cost));
                }
                What::Event(event) => self.hold(Word::Event(event), cost),
                What::End => ends.push(job),
            }
        }
        for job in ends {
            self.write(ctx, job, LogRecord::Ended);
            self.hold(Word::Event(Box::new(Event::JobEnded { job })), WORD_BYTES);
        }
        if !self.acks.is_empty() {
            let acks = core::mem::take(&mut self.acks);
            let cost = acks.len().saturating_mul(WORD_BYTES);
            self.held_acks += acks.len();
            self.hold(Word::Acks(acks), cost);
        }
        self.release(ctx);
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, job: JobId, record: LogRecord) {
        let ticket = self.issue();
        ctx.emit(Effect::Persist { ticket, job, record });
    }

    /// A job's log is to go.
    pub(super) fn forget(&mut self, ctx: &mut Ctx<'_>, job: JobId) {
        if self.forgotten.len() >= FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(job);
        let ticket = self.issue();
        ctx.emit(Effect::Forget { ticket, job, remembered: false });
        self.hold(Word::Event(Box::new(Event::Forgotten { job })), WORD_BYTES);
    }

    /// Whether a job's log has gone, or will.
    pub(super) fn has_forgotten(&self, job: JobId) -> bool {
        self.forgotten.contains(&job)
    }

    fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    fn hold(&mut self, word: Word, cost: usize) {
        self.held_bytes += cost;
        self.held.push_back(Held { ticket: self.issued, word, cost });
    }

    // ---- what is on the disk

    /// All up to that ticket is on the disk: what waited for it is told. The jobs that may begin.
    pub(super) fn on_persisted(&mut self, ctx: &mut Ctx<'_>, upto: u64) -> Vec<JobId> {
        self.persisted = self.persisted.max(upto.min(self.issued));
        self.release(ctx);
        let mut begin = Vec::new();
        while let Some((_, job)) = self.barred.pop_front_if(|(ticket, _)| *ticket <= self.persisted) {
            begin.push(job);
        }
        begin
    }

    fn release(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(Held { word, cost, .. }) = self.held.pop_front_if(|held| held.ticket <= self.persisted)
        {
            self.held_bytes -= cost;
            let mut acks = word.tell(ctx);
            self.held_acks -= acks.len();
            self.safe.append(&mut acks);
        }
    }
}

fn count(inputs: &[Payload]) -> u32 {
    u32::try_from(inputs.len()).unwrap_or(u32::MAX)
}

/// How many of these inputs one record takes; at least one of any.
fn count_fitting(inputs: &[Payload]) -> usize {
    let mut cost = 0;
    let fits = |input: &&Payload| {
        let fits = cost < RECORD_BYTES_SOFT;
        cost += input_cost(input);
        fits
    };
    inputs.iter().take(RECORD_TASKS_MAX).take_while(fits).count()
}
