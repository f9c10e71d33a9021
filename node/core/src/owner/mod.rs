//! The owner: the single writer of its jobs' state. Queue, call, award, lease, outcome, commit. Correctness rests on
//! numbers, never on timing: a task is forgotten only on a committed outcome, the first outcome of an attempt that
//! this owner issued commits, and every later one is acknowledged, counted and ignored. Driven by the engine.
//!
//! This file puts the features together and is the only one that knows all of them: each `on_*` routes one input to the
//! function that handles it. A feature's functions take one job's [`Record`] and, by [`OwnerCtx`], the tables that span
//! jobs.
//!
//! ```text
//! record.rs          one job: job.rs (task.rs, tasks.rs), dispatch/strategy.rs, replicas.rs, gate.rs
//! books.rs           tables that span jobs: lease_table.rs, agenda.rs, calls.rs, fetches.rs, dispatch/locality.rs, ..
//! intake, ending     tasks come; tasks and jobs end, one `end` for all causes
//! dispatch/          how tasks find their workers: bidding, credit or matchmaking, chosen in strategy.rs
//! completion         outcomes: check, fetching.rs, verification.rs, commit or retry.rs
//! keeping, restoring   kept jobs: what waits for the disk; what comes back from it; holding: what workers still have of them
//! edges, reading     inputs that are results of other jobs: edge.rs, readers.rs; gather: all of them as one
//! speculation, dependencies, lease_upkeep, explain
//! ```

mod absent;
mod agenda;
mod ballot;
mod books;
mod calls;
mod clock;
mod completion;
mod dependencies;
mod dirty;
mod dispatch;
mod edge;
mod edges;
mod ending;
mod explain;
mod fetches;
mod fetching;
mod gate;
mod gather;
mod gathering;
mod history;
mod holders;
mod holding;
mod intake;
mod job;
mod keepers;
mod keeping;
mod leading;
mod lease_table;
mod lease_upkeep;
mod lines;
mod readers;
mod reading;
mod record;
mod replicas;
mod restoring;
mod retry;
mod said;
mod speculation;
mod task;
mod tasks;
mod unknown;
mod verification;
mod views;
mod words;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::custody::log::MeshLog;
use crate::custody::trio::Trio;
use crate::durable::{Accepted, LogRecord};
use crate::effect::{Effect, Event};
use crate::id::{JobId, LeaseId, PeerId};
use crate::local::LocalCapacity;
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Gossip, Message};
use crate::policy::order;
use crate::refusal::Refusal;
use crate::self_fencing::SelfFencing;
use crate::stats::RuntimeStats;
use crate::submission::Submission;
use crate::task::{Outcome, Recall};
use crate::time::Time;
pub(crate) use completion::Printed;
pub(crate) use edges::LogPage;
pub(crate) use explain::Viewpoint;
pub(crate) use intake::Extension;

use agenda::Alarm;
use books::{Books, OwnerCtx, Stopped};
use dispatch::credit_book::CreditBook;
use dispatch::matchmakers::Matchmakers;
use dispatch::{Markets, scan};
use ending::{end_if_over, end_rest};
use history::History;
use job::Job;
use record::{Record, Records, known};

/// The owner role.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    records: Records,
    books: Books,
    credit: CreditBook,
    matchmakers: Matchmakers,
    /// Whether this node distrusts its own view.
    fencing: SelfFencing,
    history: History,
    /// Jobs submitted so far.
    submitted: u64,
    /// The number of this node's disk; 0 if it keeps no jobs of others, and so none of its own at level mesh.
    disk: u64,
}

impl Owner {
    pub(crate) fn new(disk: u64) -> Self {
        Self { disk, ..Self::default() }
    }

    // ---- what our user wants

    /// `kept_by`: the nodes that keep the jobs whose results it takes.
    pub(crate) fn on_submit(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        mut spec: Submission,
        kept_by: Result<Option<Trio>, Refusal>,
    ) {
        let name = spec.job;
        if self.is_known(name) {
            ctx.counters.dropped += 1;
            return;
        }
        let keepers = match self.admit(ctx, members, &spec, kept_by) {
            Ok(keepers) => keepers,
            Err(reason) => {
                ctx.counters.dropped += 1;
                return ctx.notify(Event::Refused { job: name, reason });
            }
        };
        let inputs = core::mem::take(&mut spec.inputs);
        let mut job = self.new_job(ctx, spec, ctx.now);
        job.trio = keepers.trio();
        job.pin_program(ctx);
        self.set_alarms(ctx.now, &job);
        let ended = dependencies::enter(&mut self.records, &self.history, &self.books.keeping.lines, &job);
        if let Some(trio) = keepers.trio() {
            self.books.keeping.lines.open(name, trio, 0);
        }
        if job.is_kept() {
            let accepted =
                Accepted { spec: job.spec.clone(), tasks: 0, at: ctx.now, parents: ended.clone(), keepers };
            self.books.keeping.accept(accepted, &inputs);
        }
        self.records.insert(name, Box::new(Record::new(job, ctx.now)));
        let Self { records, books, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        for end in ended {
            dependencies::on_parent_ended(&mut cx, records, name, end);
        }
        let record = known(records, name);
        intake::take_first(&mut cx, record, inputs);
        edges::begin(cx.books, record);
        intake::settle_new(&mut cx, record, 0);
    }

    /// Whether a job is here, or was and is remembered.
    pub(crate) fn has(&self, name: JobId) -> bool {
        self.records.contains_key(&name) || self.history.tasks_of(name).is_some()
    }

    /// Whether a job is one of this node, or one that it keeps for another.
    fn is_known(&self, name: JobId) -> bool {
        self.has(name) || self.books.followed.contains(&name)
    }

    /// A job without tasks that was submitted then; it holds no pins and has no alarms yet.
    fn new_job(&mut self, ctx: &mut Ctx<'_>, mut spec: Submission, at: Time) -> Job {
        // What a node says that it computed before is no further computation.
        if spec.policy.verify > 1 {
            spec.terms.memo = Recall::Off;
        }
        let (program, key) = ctx.programs.intern(&spec.program);
        spec.program = program;
        self.submitted += 1;
        let stats = RuntimeStats::from(ctx.programs.service_us(key));
        Job { number: self.submitted, last_award_at: ctx.now, ..Job::new(spec, key, stats, at) }
    }

    fn set_alarms(&mut self, now: Time, job: &Job) {
        if job.starts_at > now {
            self.books.agenda.set(job.starts_at, Alarm::Start(job.spec.job));
        }
        if let Some(at) = job.expires_at() {
            self.books.agenda.set(at, Alarm::Expire(job.spec.job));
        }
    }

    pub(crate) fn on_extend(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        name: JobId,
        extension: Extension,
    ) {
        let Self { records, books, history, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        match records.get_mut(&name) {
            Some(record) if record.job.spec.join.takes_results() => cx.ctx.counters.dropped += 1,
            Some(record) if record.job.is_kept() => intake::extend_kept(&mut cx, record, extension),
            Some(record) if record.job.open => intake::extend(&mut cx, record, extension.inputs),
            None if history.was_kept(name) => {
                intake::refuse(&mut cx, name, &extension.inputs, Refusal::JobOver);
            }
            Some(_) | None => {}
        }
    }

    pub(crate) fn on_close(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, name: JobId) {
        let Self { records, books, .. } = self;
        let takes_none = |record: &Record| !record.job.spec.join.takes_results();
        let closes = |record: &Record| !books.keeping.stops(&record.job) && takes_none(record);
        if let Some(record) = records.get_mut(&name).filter(|record| closes(record)) {
            if record.job.is_kept() && record.job.open {
                books.keeping.close(&record.job);
            }
            record.job.open = false;
            end_if_over(&mut OwnerCtx { ctx, members, books }, record);
        }
    }

    pub(crate) fn on_cancel(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, name: JobId) {
        let Self { records, books, .. } = self;
        let goes_on = |record: &Record| !record.job.ended && !books.keeping.stops(&record.job);
        if let Some(record) = records.get_mut(&name).filter(|record| goes_on(record)) {
            (record.job.open, record.job.stopped) = (false, true);
            if record.job.is_kept() {
                books.keeping.record(name, LogRecord::Cancelled);
            }
            end_job(&mut OwnerCtx { ctx, members, books }, records, name, &Outcome::Cancelled);
        }
    }

    /// The end of this owner, whose user stops the node: jobs in its memory end with it, so their workers are told to stop.
    /// Those of kept jobs go on, for the next life or leader. This node's user, who wanted it, is told nothing, and no state changes any more.
    pub(crate) fn on_stop(&mut self, ctx: &mut Ctx<'_>) {
        for open in self.records.values_mut().filter_map(|record| record.dispatch.call.take()) {
            dispatch::calling::withdraw(ctx, open);
        }
        let mut stopped = Stopped::default();
        // Epochs above 0 are those of kept jobs.
        let of_others = self.books.leases.iter().filter(|(worker, _)| *worker != ctx.me);
        for (worker, lease) in of_others.filter(|(_, lease)| lease.epoch == 0) {
            stopped.add(worker, lease);
        }
        stopped.tell(ctx);
    }

    // ---- what follows from an input

    /// Says what the input changed: acknowledgements, awards, calls. Several rounds may follow one another, because
    /// this node's own worker answers at once.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership) {
        self.acknowledge(ctx, members);
        self.heed_room();
        let Self { records, books, credit, .. } = self;
        books.full_disks.drain(..).for_each(|worker| credit.forget(worker));
        dependencies::tell_children(&mut OwnerCtx { ctx, members, books }, records);
        let mut dirty = self.take_dirty(ctx.now);
        for name in dirty.drain(..) {
            self.place(ctx, members, name);
        }
        self.books.dirty.give_back(dirty);
        self.credit.on_placed();
        let Self { records, books, .. } = self;
        edges::read_on(&mut OwnerCtx { ctx, members, books }, records);
    }

    /// Brings one job in line; one that has ended is retired, and only its figures stay.
    fn place(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, name: JobId) {
        let Self { records, books, credit, matchmakers, history, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        // It may have been touched again after it was retired.
        let Some(record) = records.get_mut(&name) else { return };
        gather::ask(&mut cx, record);
        let is_idle = dispatch::place(&mut cx, &mut Markets { credit, matchmakers }, record);
        edges::on_placed(cx.books, record);
        if is_idle && record.job.ended {
            history.add(record.job.number, record.has_succeeded(), record.view());
            let over = records.remove(&name).filter(|over| over.dependencies.is_waiting());
            over.into_iter().for_each(|over| dependencies::leave(records, books, &over));
        } else if is_idle {
            speculation::plan(&mut cx, record);
        }
    }

    /// Acknowledges what came, each worker's in one frame, at once or with the next message to it.
    fn acknowledge(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        let Self { books: Books { acks, keeping, .. }, credit, .. } = self;
        keeping.take_acks(acks);
        acks.sort_by_key(|(worker, _)| *worker);
        for part in acks.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((worker, _)) = part.first() else { continue };
            let leases = part.iter().map(|(_, lease)| *lease);
            let now = if credit.defers_to(*worker, ctx.now) {
                credit.defer(*worker, leases, ctx.now)
            } else {
                Some(leases.collect())
            };
            now.into_iter().for_each(|leases| say_safe(ctx, members, *worker, &leases));
        }
        acks.clear();
    }

    /// The jobs to bring in line: the first one is offered first what this node itself has free.
    fn take_dirty(&mut self, now: Time) -> Vec<JobId> {
        let mut names = self.books.dirty.take();
        if names.len() > 1 {
            let claim = |name: &JobId| Some(order::turn(&self.records.get(name)?.job.candidate(now)));
            names.sort_by_cached_key(claim);
        }
        names
    }

    pub(crate) fn is_dirty(&self) -> bool {
        let Books { dirty, acks, keeping, .. } = &self.books;
        !dirty.is_empty()
            || !acks.is_empty()
            || keeping.has_acks()
            || keeping.readers.has_news()
            || dependencies::has_news(&self.books)
    }

    /// What was gathered is emitted at the end of this input, and waits for no other.
    pub(crate) fn hasten(&mut self) {
        self.books.keeping.hasten();
    }

    /// The input has been handled: its records are emitted, and what need not wait for them is told.
    pub(crate) fn seal(&mut self, ctx: &mut Ctx<'_>, log: &mut dyn MeshLog) {
        let Self { records, books, .. } = self;
        let is_busy = |job, short_us| {
            let is_short = |job: &Job| u64::from(job.service_us()) <= short_us;
            records.get(&job).is_some_and(|it| it.job.counts.leased() > 0 && is_short(&it.job))
        };
        books.keeping.seal(ctx, log, &is_busy);
    }

    /// The next ticket of the journal, for what is emitted behind this owner's records.
    pub(crate) fn issue_ticket(&mut self) -> u64 {
        self.books.keeping.issue()
    }

    /// Why this node keeps no further job now.
    pub(crate) fn refuses_to_keep(&self) -> Option<Refusal> {
        self.books.keeping.refusal()
    }

    /// Whether short tasks wait that this node's own worker may take.
    pub(crate) fn waits_for_credit(&self) -> bool {
        self.credit.any_waiting()
    }

    /// Sends short tasks as far as there is credit; this node's own worker takes what that value says.
    pub(crate) fn place_on_credit(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        mut local: LocalCapacity<'_>,
    ) {
        let Self { records, books, credit, .. } = self;
        scan::place_all(&mut OwnerCtx { ctx, members, books }, credit, records, &mut local);
    }
}

/// All of a job that has not ended ends like this.
fn end_job(cx: &mut OwnerCtx<'_, '_>, records: &mut Records, name: JobId, outcome: &Outcome) {
    dependencies::fail(records, name, outcome.clone());
    let record = known(records, name);
    let all = 0..record.job.total();
    end_rest(cx, record, all, outcome);
    end_if_over(cx, record);
}

/// Tells a worker that these outcomes are safe, over any path that exists.
fn say_safe(ctx: &mut Ctx<'_>, members: &Membership, worker: PeerId, leases: &[LeaseId]) {
    for part in leases.chunks(BATCH_MAX) {
        ctx.send(worker, Message::Ack(part.to_vec()));
        if worker != ctx.me && !members.is_reachable(worker) {
            let leases = part.iter().take(64).copied().collect();
            ctx.emit(Effect::Publish(Gossip::Ack { worker, leases }));
        }
    }
}
