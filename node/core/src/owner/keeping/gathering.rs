//! What an input has to write and to tell of kept jobs, gathered while it is handled: as few records as possible. The rest of
//! `owner/keeping.rs`, in a file of its own for its length.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::{GATHERED_MAX, Gathered, Keeping, WORD_BYTES, What};
use crate::ctx::Ctx;
use crate::custody::log::MeshLog;
use crate::durable::{
    Accepted, GIVEN_RANGES_MAX, GivenTasks, Kept, LogRecord, NotTaken, ParentEnd, RECORD_BYTES_SOFT,
    RECORD_TASKS_MAX, Rest, RestTask, TaskRange, input_cost,
};
use crate::effect::Event;
use crate::id::{JobId, PeerId};
use crate::owner::job::Job;
use crate::task::{Outcome, Payload};
use crate::time::Time;

/// How long ends of tasks and further tasks wait for those of later inputs after records were emitted, in milliseconds: as long
/// as the journal waits with what comes after a large group.
const GATHER_MS: u64 = 2;
/// The same of many of them while they keep coming, in milliseconds: each record more is work for three nodes and their disks,
/// and a client with that many tasks does not wait for them one by one.
const GATHER_MANY_MS: u64 = 12;
/// Ends of tasks and further tasks that are many.
const GATHER_MANY: usize = 32;
/// How long after the last of them they no longer keep coming, in milliseconds, where workers have tasks of one of their jobs that
/// take no longer than this: more than a slot takes for a batch of the shortest.
const GATHER_GAP_MS: u64 = 5;
/// The same where no worker has one: what comes next may be what a client hands in once it has these.
const GATHER_IDLE_GAP_MS: u64 = 1;
/// What they may count meanwhile, in bytes: a thousand ends, which is as many as one record has. A worker offers more until two
/// thousand wait for its owner's word.
const GATHER_BYTES_MAX: usize = 512 << 10;
/// Ends of tasks that a record has room for when it is begun, where one had as many the last time.
const EXPECTED_MAX: usize = 1024;
/// How long it waits that workers were given tasks, after that was last written, in milliseconds. Nothing else waits for it; a
/// task whose owner is lost before it was written runs again.
const GIVEN_MS: u64 = 50;

/// How what was gathered came.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When records were emitted last; none if nothing is to wait.
    emitted_at: Option<Time>,
    /// Ends of tasks and further tasks that were gathered since then.
    tasks: usize,
    /// Ends of tasks that the longest record had then.
    longest: usize,
    /// When the last of these came.
    grew_at: Time,
    /// Workers have short tasks of a job that some of these are of.
    is_busy: bool,
}

impl Pace {
    /// There are this many now. Whether workers have short tasks of one of their jobs is asked where it matters.
    fn note(&mut self, now: Time, tasks: usize, is_busy: impl FnOnce() -> bool) {
        if tasks > self.tasks {
            self.grew_at = now;
        }
        self.tasks = tasks;
        self.is_busy = self.is_many() && is_busy();
    }

    fn is_many(&self) -> bool {
        self.tasks >= GATHER_MANY
    }

    /// Until when they may wait.
    fn until(&self) -> Time {
        let Some(emitted_at) = self.emitted_at else { return Time::ZERO };
        let few = emitted_at.plus_ms(GATHER_MS);
        if !self.is_many() {
            return few;
        }
        let gap_ms = if self.is_busy { GATHER_GAP_MS } else { GATHER_IDLE_GAP_MS };
        emitted_at.plus_ms(GATHER_MANY_MS).min(self.grew_at.plus_ms(gap_ms)).max(few)
    }
}

/// What workers were given of a job: one record.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) job: JobId,
    pub(super) is_of_mesh: bool,
    /// Ranges of tasks in it.
    pub(super) ranges: usize,
    pub(super) all: Vec<GivenTasks>,
}

impl Keeping {
    pub(in crate::owner) fn record(&mut self, job: JobId, record: LogRecord) {
        self.push(job, What::Record(record), WORD_BYTES);
    }

    /// Told when all records before it are on the disk.
    pub(in crate::owner) fn event(&mut self, job: JobId, event: Event) {
        self.push(job, What::Event(Box::new(event)), WORD_BYTES);
    }

    /// All of a job ended.
    pub(in crate::owner) fn end(&mut self, job: JobId, succeeded: bool) {
        self.push(job, What::End { succeeded }, WORD_BYTES);
    }

    /// What comes after a job at level mesh is told that it ended, once all records before it are committed.
    pub(in crate::owner) fn parent_ended(&mut self, end: ParentEnd) {
        self.push(end.parent, What::ParentEnded(end), WORD_BYTES);
    }

    fn push(&mut self, job: JobId, what: What, cost: usize) {
        let is_of_mesh = self.lines.gather(job);
        self.records += u64::from(!is_of_mesh && matches!(what, What::Record(_) | What::End { .. }));
        self.gathered.push(Gathered { job, what, is_of_mesh, cost });
    }

    /// A job was accepted, with these inputs.
    pub(in crate::owner) fn accept(&mut self, mut accepted: Accepted, inputs: &[Payload]) {
        let (first, rest) = inputs.split_at_checked(count_fitting(inputs)).unwrap_or((inputs, &[]));
        let (job, tasks) = (accepted.spec.job, count(inputs));
        let keepers = accepted.keepers.peers();
        (accepted.spec.inputs, accepted.tasks) = (first.to_vec(), tasks);
        self.record(job, LogRecord::Accepted(Box::new(accepted)));
        self.add_inputs(job, rest);
        if !keepers.is_empty() {
            self.event(job, Event::Keepers { job, keepers });
        }
        self.event(job, Event::Accepted { job, tasks });
    }

    /// A worker was given a task of a job, of which the log does not say so. It is written behind all other records of this input
    /// but the ends of jobs, so that it does not come between outcomes that one record can tell.
    pub(in crate::owner) fn given(&mut self, job: JobId, worker: PeerId, index: u32) {
        let has_room = |part: &&mut Granted| part.job == job && part.ranges < GIVEN_RANGES_MAX;
        let known = self.granted.iter_mut().rev().take(GATHERED_MAX).find(has_room);
        if let Some(part) = known {
            return part.add(worker, index);
        }
        let is_of_mesh = self.lines.contains(job);
        let mut part = Granted { job, is_of_mesh, ranges: 0, all: Vec::new() };
        part.add(worker, index);
        self.granted.push(part);
    }

    /// A job that had `before` tasks has more.
    pub(in crate::owner) fn extend(&mut self, job: JobId, inputs: &[Payload], before: u32) {
        if inputs.is_empty() {
            return;
        }
        self.add_inputs(job, inputs);
        let now = before.saturating_add(count(inputs));
        match self.last_of(job).map(|part| &mut part.what) {
            Some(What::Event(event)) if is_more(event) => **event = Event::Accepted { job, tasks: now },
            _ => self.event(job, Event::Accepted { job, tasks: now }),
        }
    }

    /// A job gets no more tasks. What was not taken of it is said for good.
    pub(in crate::owner) fn close(&mut self, job: &Job) {
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
            let more: usize = part.iter().map(input_cost).sum();
            match self.inputs_of(job, part.len(), more) {
                Some(inputs) => inputs.extend_from_slice(part),
                None => self.push(job, What::Record(LogRecord::Extended { inputs: part.to_vec() }), more),
            }
            rest = behind;
        }
    }

    /// The record of a job's further inputs that this many more fit into, of which `more` is the cost. Ends of tasks before them do
    /// not part them: inputs may be written earlier than they came.
    fn inputs_of(&mut self, job: JobId, tasks: usize, more: usize) -> Option<&mut Vec<Payload>> {
        let own = self.gathered.iter_mut().rev().take(GATHERED_MAX).filter(|part| part.job == job);
        let mut own = own.skip_while(|part| part.may_wait() && !part.has_inputs());
        let Gathered { what: What::Record(LogRecord::Extended { inputs }), cost, .. } = own.next()? else {
            return None;
        };
        if *cost + more > RECORD_BYTES_SOFT || inputs.len() + tasks > RECORD_TASKS_MAX {
            return None;
        }
        *cost += more;
        Some(inputs)
    }

    /// Inputs of a job that takes results of others are known.
    pub(in crate::owner) fn resolve(&mut self, job: JobId, inputs: &[(u32, Payload)]) {
        let mut rest = inputs;
        while !rest.is_empty() {
            let sizes = rest.iter().map(|(_, input)| input);
            let (part, behind) = rest.split_at_checked(count_fitting(sizes)).unwrap_or((rest, &[]));
            let cost = part.iter().map(|(_, input)| input_cost(input)).sum();
            self.push(job, What::Record(LogRecord::Resolved { inputs: part.to_vec() }), cost);
            rest = behind;
        }
    }

    /// A task ended with an outcome of its own.
    pub(in crate::owner) fn task_ended(&mut self, job: JobId, kept: Kept) {
        let more = kept.cost();
        // What is told of more inputs between them may as well be told after all of them.
        let own = self.gathered.iter_mut().rev().take(GATHERED_MAX).filter(|part| part.job == job);
        let mut own = own.skip_while(|part| matches!(&part.what, What::Event(event) if is_more(event)));
        if let Some(Gathered { what: What::Record(LogRecord::Outcomes(all)), cost, .. }) = own.next()
            && *cost < RECORD_BYTES_SOFT
        {
            *cost += more;
            return all.push(kept);
        }
        // Most often about as many come together as the last time.
        let mut all = Vec::with_capacity(self.pace.longest.clamp(1, EXPECTED_MAX));
        all.push(kept);
        self.push(job, What::Record(LogRecord::Outcomes(all)), more);
    }

    /// A task ended with its job.
    pub(in crate::owner) fn rest_ended(&mut self, job: JobId, outcome: &Outcome, task: RestTask) {
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

    // ---- at the end of an input

    /// The input has been handled: what was gathered is emitted, unless it waits for more, and what may be told is told.
    /// `is_busy` says whether workers have tasks of a job that take no longer than the time given, in microseconds.
    pub(in crate::owner) fn seal(
        &mut self,
        ctx: &mut Ctx<'_>,
        log: &mut dyn MeshLog,
        is_busy: &dyn Fn(JobId, u64) -> bool,
    ) {
        let has_words = !self.gathered.is_empty() || !self.acks.is_empty() || self.lines.is_touched();
        // So it is after most inputs of a node that keeps no job.
        if !has_words && self.granted.is_empty() {
            return;
        }
        let tasks = self.gathered.iter().map(Gathered::count_tasks).sum();
        self.pace.note(ctx.now, tasks, || {
            self.gathered.iter().any(|part| is_busy(part.job, 1000 * GATHER_GAP_MS))
        });
        let waits = !self.gathered.is_empty() && self.waits_for_more(ctx.now);
        let due = !self.granted.is_empty() && !self.grants_wait(ctx.now);
        if (has_words && !waits) || due {
            self.emit(ctx, log);
        }
    }

    /// What was gathered is emitted. From now on what may wait for later inputs does.
    pub(super) fn begin_to_gather(&mut self, now: Time) {
        if !self.gathered.is_empty() {
            let longest = self.gathered.iter().map(Gathered::count_ends).max().unwrap_or(0);
            self.pace = Pace { emitted_at: Some(now), tasks: 0, longest, grew_at: now, is_busy: false };
        }
    }

    /// Nothing that was gathered waits for later inputs.
    pub(in crate::owner) fn hasten(&mut self) {
        (self.pace, self.grants_until) = (Pace::default(), Time::ZERO);
    }

    /// When what was gathered is emitted at the latest, if it waits.
    pub(in crate::owner) fn next_wakeup(&self) -> Option<Time> {
        let gathered = (!self.gathered.is_empty()).then(|| self.pace.until());
        let granted = (!self.granted.is_empty()).then_some(self.grants_until);
        [gathered, granted].into_iter().flatten().min()
    }

    /// Ends of a job's tasks that were gathered.
    pub(in crate::owner) fn count_gathered(&self, job: JobId) -> u32 {
        let own = self.gathered.iter().filter(|part| part.job == job);
        let ends = own.map(|part| match &part.what {
            What::Record(record) => record.ends().count(),
            What::Event(_) | What::End { .. } | What::ParentEnded(_) => 0,
        });
        u32::try_from(ends.sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Whether what was gathered may wait for later inputs, and more of it may come soon.
    pub(super) fn waits_for_more(&self, now: Time) -> bool {
        let cost = || self.gathered.iter().map(|part| part.cost).sum::<usize>();
        let has_room = || self.gathered.len() < GATHERED_MAX && cost() < GATHER_BYTES_MAX;
        now < self.pace.until() && !self.failed && has_room() && self.gathered.iter().all(Gathered::may_wait)
    }

    /// What workers were given, unless it waits for more.
    pub(super) fn take_granted(&mut self, now: Time) -> Vec<Granted> {
        if self.granted.is_empty() || self.grants_wait(now) {
            return Vec::new();
        }
        self.grants_until = now.plus_ms(GIVEN_MS);
        core::mem::take(&mut self.granted)
    }

    fn grants_wait(&self, now: Time) -> bool {
        let ranges = || self.granted.iter().map(|part| part.ranges).sum::<usize>();
        let has_room = || self.granted.len() < GATHERED_MAX && ranges() < GIVEN_RANGES_MAX;
        now < self.grants_until && !self.failed && has_room()
    }
}

impl Gathered {
    /// Whether it may wait for later inputs.
    fn may_wait(&self) -> bool {
        match &self.what {
            What::Record(
                LogRecord::Outcomes(_) | LogRecord::Extended { .. } | LogRecord::Resolved { .. },
            ) => true,
            What::Event(event) => is_more(event) || matches!(**event, Event::Grown { closed: false, .. }),
            What::Record(_) | What::End { .. } | What::ParentEnded(_) => false,
        }
    }

    /// Ends of tasks and further tasks that may wait for those of later inputs.
    fn count_tasks(&self) -> usize {
        match &self.what {
            What::Record(LogRecord::Outcomes(all)) => all.len(),
            What::Record(LogRecord::Extended { inputs }) => inputs.len(),
            What::Record(LogRecord::Resolved { inputs }) => inputs.len(),
            What::Record(_) | What::Event(_) | What::End { .. } | What::ParentEnded(_) => 0,
        }
    }

    /// Ends of tasks that one record tells.
    fn count_ends(&self) -> usize {
        if let What::Record(LogRecord::Outcomes(all)) = &self.what { all.len() } else { 0 }
    }

    /// Gives back the room that was made for ends which did not come.
    pub(super) fn trim(&mut self) {
        if let What::Record(LogRecord::Outcomes(all)) = &mut self.what
            && all.capacity() > all.len().saturating_mul(2)
        {
            all.shrink_to_fit();
        }
    }

    fn has_inputs(&self) -> bool {
        matches!(self.what, What::Record(LogRecord::Extended { .. }))
    }
}

/// Whether an event is that a job has more tasks.
fn is_more(event: &Event) -> bool {
    matches!(event, Event::Accepted { .. })
}

impl Granted {
    fn add(&mut self, worker: PeerId, index: u32) {
        let known = self.all.iter_mut().rev().find(|of| of.worker == worker);
        let is_new = match known {
            Some(of) => of.add(index),
            None => {
                self.all
                    .push(GivenTasks { worker, ranges: alloc::vec![TaskRange { first: index, more: 0 }] });
                true
            }
        };
        self.ranges += usize::from(is_new);
    }
}

fn count(inputs: &[Payload]) -> u32 {
    u32::try_from(inputs.len()).unwrap_or(u32::MAX)
}

/// How many of these inputs one record takes; at least one of any.
fn count_fitting<'a>(inputs: impl IntoIterator<Item = &'a Payload>) -> usize {
    let mut cost = 0;
    let fits = |input: &&Payload| {
        let fits = cost < RECORD_BYTES_SOFT;
        cost += input_cost(input);
        fits
    };
    inputs.into_iter().take(RECORD_TASKS_MAX).take_while(fits).count()
}
