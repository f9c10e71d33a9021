//! What of kept jobs waits for the disk, and of jobs at level mesh for a second node that keeps it (`lines.rs`): records that
//! are to be written, and the words to user and workers which promise that they are. Placing tasks does not wait. Plain
//! bookkeeping, without a decision about any job.
//!
//! Records are gathered while an input is handled and emitted at its end, so that what came in one input is one record a
//! job. Where inputs follow each other closely, ends of tasks wait for those of the next ones (`gathering.rs`): a record
//! costs a node, and the others that keep the job, about the same whether it tells of one task or of a hundred. The words
//! of an input are held, in order, behind the last record before them. Ends of jobs come last: what comes after a job has
//! its end in its own log before that job's log ends.

mod gathering;
mod notes;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use self::gathering::{Granted, Pace};
use super::job::Job;
use super::lines::Lines;
use super::readers::Readers;
use super::words::Word;
use crate::ctx::Ctx;
use crate::custody::log::MeshLog;
use crate::durable::{LogRecord, ParentEnd};
use crate::effect::{Effect, Event, Remains};
use crate::id::{JobId, LeaseId, PeerId};
use crate::refusal::Refusal;
use crate::time::Time;

/// Bytes of held words, of jobs that wait for the disk and of jobs that wait for a second node each, beyond which no outcome of
/// such a job is taken from another node, and no task of one is placed.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Acknowledgements that are held, of either; beyond them none is, and the worker sends its outcome again.
const HELD_ACKS_MAX: usize = 65_536;
/// What a held word counts besides what it carries, in bytes.
const WORD_BYTES: usize = 128;
/// Records and words that are looked through for the last record of a job; beyond them another one is begun, and none waits for later
/// inputs.
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
    /// What is to be written and told at the end of this input, or of a later one.
    gathered: Vec<Gathered>,
    /// By this what may wait for later inputs does.
    pace: Pace,
    /// Until then what workers were given waits.
    grants_until: Time,
    /// Records of these.
    records: u64,
    /// What workers were given meanwhile, for the log of each job.
    granted: Vec<Granted>,
    /// Outcomes of kept jobs that are to be acknowledged.
    acks: Vec<(PeerId, LeaseId)>,
    /// The same; all that they rest on is on the disk.
    safe: Vec<(PeerId, LeaseId)>,
    held: VecDeque<Held>,
    /// What of jobs at level mesh waits until it is committed.
    pub(super) lines: Lines,
    held_bytes: usize,
    /// Acknowledgements of these.
    held_acks: usize,
    /// Jobs that begin when a ticket is on the disk, in the order of these.
    barred: VecDeque<(u64, JobId)>,
    /// Ends of jobs at level mesh that are committed, of which what comes after them was not told yet.
    pub(super) done: VecDeque<ParentEnd>,
    /// Which jobs read the logs of which others.
    pub(super) readers: Readers,
    /// Jobs whose logs were to go, the newest last.
    forgotten: VecDeque<JobId>,
    /// Of what too much was held when kept jobs were last brought in line.
    pub(super) seen: Full,
}

/// Of what too much is held: jobs of that kind stand still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Full {
    /// Of what waits for the disk.
    disk: bool,
    /// Of what waits for a second node.
    mesh: bool,
}

#[derive(Debug)]
struct Gathered {
    job: JobId,
    what: What,
    /// It is of a job at level mesh.
    is_of_mesh: bool,
    /// What its parts count, in bytes.
    cost: usize,
}

/// Where a record or a word belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    job: JobId,
    /// To custody's log of it.
    is_of_mesh: bool,
}

#[derive(Debug)]
enum What {
    Record(LogRecord),
    Event(Box<Event>),
    /// The end of the job, as record and as event.
    End {
        succeeded: bool,
    },
    /// What is told to the jobs that come after it.
    ParentEnded(ParentEnd),
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

    /// Of what too much is held.
    pub(super) fn full(&self) -> Full {
        Full {
            disk: self.failed || self.held_bytes >= HELD_BYTES_MAX,
            mesh: self.failed || self.lines.bytes() >= HELD_BYTES_MAX,
        }
    }

    /// Whether tasks of a kept job are placed and their outcomes are taken. What waits for a second node holds up no job on the
    /// disk, and that of one job no other.
    pub(super) fn takes(&self, job: JobId) -> bool {
        let Full { disk, mesh } = self.full();
        if self.lines.contains(job) { !mesh && self.lines.has_room(job) } else { !disk }
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

    /// A worker is told that an outcome is safe once it is. False if too many wait: the worker sends it again.
    pub(super) fn ack(&mut self, worker: PeerId, lease: LeaseId) -> bool {
        let is_of_mesh = self.lines.contains(lease.job);
        let held =
            if is_of_mesh { self.lines.acks() } else { self.held_acks.saturating_add(self.acks.len()) };
        if held >= HELD_ACKS_MAX {
            return false;
        }
        if is_of_mesh {
            self.lines.ack(worker, lease);
        } else {
            self.acks.push((worker, lease));
        }
        true
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
        (self.held.len() + self.lines.len(), self.held_bytes + self.lines.bytes())
    }

    // ---- the end of an input

    /// What was gathered is emitted, and what may be told is told.
    fn emit(&mut self, ctx: &mut Ctx<'_>, log: &mut dyn MeshLog) {
        self.begin_to_gather(ctx.now);
        self.records = 0;
        if self.failed {
            self.gathered.clear();
            self.granted.clear();
            self.acks.clear();
            return;
        }
        let mut ends: Vec<(Place, ParentEnd)> = Vec::new();
        for mut part in core::mem::take(&mut self.gathered) {
            part.trim();
            let Gathered { job, what, is_of_mesh, cost } = part;
            let at = Place { job, is_of_mesh };
            match what {
                What::Record(record) => {
                    let word = Word::of(job, &record);
                    if self.write(ctx, log, at, record) {
                        word.into_iter().for_each(|word| self.hold(ctx.now, at, word, cost));
                    }
                }
                What::Event(event) => self.hold(ctx.now, at, Word::Event(event), cost),
                What::ParentEnded(end) => self.hold(ctx.now, at, Word::ParentEnded(end), cost),
                What::End { succeeded } => ends.push((at, ParentEnd { parent: job, succeeded })),
            }
        }
        ends.iter().for_each(|(at, _)| self.granted.retain(|part| part.job != at.job));
        for Granted { job, is_of_mesh, ranges: _, all } in self.take_granted(ctx.now) {
            self.write(ctx, log, Place { job, is_of_mesh }, LogRecord::Leased { all });
        }
        let now = ctx.now;
        for (at, end) in ends {
            if self.write(ctx, log, at, LogRecord::Ended { at: now }) {
                let event = Event::JobEnded { job: at.job };
                self.hold(ctx.now, at, Word::Event(Box::new(event)), WORD_BYTES);
                if at.is_of_mesh {
                    self.hold(ctx.now, at, Word::ParentEnded(end), WORD_BYTES);
                }
            }
        }
        if !self.acks.is_empty() {
            let acks = core::mem::take(&mut self.acks);
            let cost = acks.len().saturating_mul(WORD_BYTES);
            self.held_acks += acks.len();
            self.wait(Word::Acks(acks), cost);
        }
        for job in self.lines.end_input(ctx.now, WORD_BYTES) {
            self.release_of(ctx, job);
        }
        self.release(ctx);
    }

    /// Writes a record. False if its job is one at level mesh that this node does not lead any more: no further record of it is
    /// written, and nothing is told of it.
    fn write(&mut self, ctx: &mut Ctx<'_>, log: &mut dyn MeshLog, at: Place, record: LogRecord) -> bool {
        let Place { job, is_of_mesh } = at;
        if !is_of_mesh {
            let ticket = self.issue();
            log.on_written(job, &record);
            self.readers.on_written(job, ticket);
            ctx.emit(Effect::Persist { ticket, job, record, bytes: None });
            return true;
        }
        let seq = if self.lines.contains(job) { log.append(ctx, job, record) } else { None };
        match seq {
            Some(seq) => self.lines.on_appended(job, seq),
            None => self.lines.close(job),
        }
        seq.is_some()
    }

    /// A job's log is to go.
    pub(super) fn forget(&mut self, ctx: &mut Ctx<'_>, job: JobId, remains: Remains) {
        if self.forgotten.len() >= FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(job);
        let ticket = self.issue();
        ctx.emit(Effect::Forget { ticket, job, remains });
        self.wait(Word::Event(Box::new(Event::Forgotten { job, remains })), WORD_BYTES);
    }

    /// Whether a job's log has gone, or will.
    pub(super) fn has_forgotten(&self, job: JobId) -> bool {
        self.forgotten.contains(&job)
    }

    /// The next ticket; all that has gathered is emitted before the record that it is for.
    pub(super) fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    fn hold(&mut self, now: Time, at: Place, word: Word, cost: usize) {
        if at.is_of_mesh {
            self.lines.hold(now, at.job, word, cost);
        } else {
            self.wait(word, cost);
        }
    }

    /// A word waits for the ticket that was issued last.
    fn wait(&mut self, word: Word, cost: usize) {
        self.held_bytes += cost;
        self.held.push_back(Held { ticket: self.issued, word, cost });
    }

    // ---- what is on the disk

    /// All up to that ticket is on the disk: what waited for it is told. The jobs that may begin.
    pub(super) fn on_persisted(&mut self, ctx: &mut Ctx<'_>, upto: u64) -> Vec<JobId> {
        self.persisted = self.persisted.max(upto.min(self.issued));
        self.readers.on_persisted(self.persisted);
        self.release(ctx);
        let mut begin = Vec::new();
        while let Some((_, job)) = self.barred.pop_front_if(|(ticket, _)| *ticket <= self.persisted) {
            begin.push(job);
        }
        begin
    }

    /// All records of a job at level mesh up to that one are committed: what waited for them is told.
    pub(super) fn on_committed(&mut self, ctx: &mut Ctx<'_>, job: JobId, upto: u32) {
        self.lines.on_committed(job, upto);
        self.release_of(ctx, job);
    }

    /// Tells what of a job at level mesh waits for nothing any more.
    fn release_of(&mut self, ctx: &mut Ctx<'_>, job: JobId) {
        let mut told = self.lines.release(ctx, job);
        self.safe.append(&mut told.acks);
        self.done.extend(told.ended);
    }

    /// This node does not lead a job at level mesh any more: nothing of it is written or told.
    pub(super) fn leave(&mut self, job: JobId) {
        self.gathered.retain(|part| part.job != job);
        self.granted.retain(|part| part.job != job);
        self.lines.close(job);
    }

    fn release(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(Held { word, cost, .. }) = self.held.pop_front_if(|held| held.ticket <= self.persisted)
        {
            self.held_bytes -= cost;
            let mut told = word.tell(ctx);
            self.held_acks -= told.acks.len();
            self.safe.append(&mut told.acks);
        }
    }
}
