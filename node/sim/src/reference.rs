//! A naive model of what engines owe their users: it sees commands, awards, executions and what users are told, and
//! nothing of how engines work.

mod facts;
mod figures;
mod lives;

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{
    BlobId, CallId, Command, Event, JobId, Join, LeaseId, Outcome, Payload, PeerId, Policy, Program, Report,
    TaskId, Terms, Time,
};

use crate::copies::Copies;
use crate::gathers::Gathers;
use crate::host::HostId;
use crate::joins::Joins;
use crate::kept::Kept;
use crate::load::Load;
use crate::mesh::Mesh;
use crate::policies::{Ledger, Promised};
use crate::results::Results;
use crate::workload::{Catalog, TaskSpec};
pub(crate) use facts::{End, Fact};

/// A job as its user knows it.
#[derive(Debug)]
pub(crate) struct OwedJob {
    pub(crate) owner: HostId,
    pub(crate) program: Program,
    pub(crate) terms: Terms,
    pub(crate) policy: Policy,
    pub(crate) labels: Vec<(String, String)>,
    /// The number of slots that each of its tasks holds.
    pub(crate) width: u32,
    pub(crate) tasks: Vec<OwedTask>,
    pub(crate) closed: bool,
    pub(crate) cancelled: bool,
    /// When it was.
    cancelled_at: Option<Time>,
    /// The job was lost with its owner's process.
    pub(crate) forgotten: bool,
    /// How often its end was reported.
    pub(crate) ends: u32,
    /// The number of its tasks whose end was reported.
    pub(crate) told: usize,
    /// Its policy, and the counts that it bounds.
    pub(crate) promised: Promised,
}

impl OwedJob {
    /// The number of tasks whose end was not reported.
    pub(crate) fn unended(&self) -> usize {
        self.tasks.len() - self.told
    }

    /// Whether its user cancelled it, or its owner gave it up after too many failures.
    pub(crate) fn is_stopped(&self) -> bool {
        self.cancelled || self.promised.given_up
    }

    fn on_end(&mut self, index: u32, report: &Report, worker: Option<PeerId>, attempts: u32) {
        let task = usize::try_from(index).ok().and_then(|index| self.tasks.get_mut(index));
        let Some(task) = task else { return };
        self.promised.on_end(&report.outcome);
        self.told += usize::from(task.ends == 0);
        task.ends += 1;
        task.outcome.get_or_insert_with(|| report.outcome.clone());
        task.worker = worker;
        task.attempts = attempts;
    }

    fn on_means(&mut self, index: u32, memo: bool, proof: bool) {
        let task = usize::try_from(index).ok().and_then(|index| self.tasks.get_mut(index));
        let Some(task) = task else { return };
        (task.recalled, task.proved) = (memo, proof);
    }
}

/// A task as its user knows it.
#[derive(Debug)]
pub(crate) struct OwedTask {
    pub(crate) input: Payload,
    pub(crate) spec: TaskSpec,
    /// How often its end was reported.
    pub(crate) ends: u32,
    /// The outcome that was reported first.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) worker: Option<PeerId>,
    pub(crate) attempts: u32,
    /// Whether it came with a proof.
    pub(crate) proved: bool,
    /// Whether it ended with a remembered result.
    pub(crate) recalled: bool,
}

/// The model of all jobs of a world.
#[derive(Debug, Default)]
pub struct Reference {
    pub(crate) jobs: BTreeMap<JobId, OwedJob>,
    /// Awards to other nodes: how often each lease was issued, and to whom.
    pub(crate) issued: BTreeMap<LeaseId, BTreeMap<PeerId, u32>>,
    /// How often each task ran to its end, by worker.
    pub(crate) executed: BTreeMap<TaskId, BTreeMap<PeerId, u32>>,
    /// The number of lost leases that owners reported to their users, by task.
    pub(crate) lost: BTreeMap<(JobId, u32), u32>,
    pub(crate) ledger: Ledger,
    pub(crate) joins: Joins,
    pub(crate) results: Results,
    pub(crate) gathers: Gathers,
    pub(crate) kept: Kept,
    pub(crate) mesh: Mesh,
    pub(crate) copies: Copies,
    pub(crate) load: Load,
    /// Workers that reported a false result, with the task.
    pub(crate) liars: BTreeSet<(TaskId, PeerId)>,
    /// False outputs.
    pub(crate) lies: BTreeSet<BlobId>,
    /// False outputs that were published for tasks that the liar was never given.
    pub(crate) false_memories: BTreeSet<BlobId>,
    /// Tasks that owners awarded, with the worker, in their current processes, and in earlier ones those of kept jobs that had not
    /// ended.
    pub(crate) awarded: BTreeSet<(HostId, TaskId, PeerId)>,
    /// Workers that were named because their result differed from the majority's, with the task.
    pub(crate) named: BTreeSet<(JobId, u32, PeerId)>,
    /// Peers in whose names false messages were sent.
    pub(crate) forgers: BTreeSet<PeerId>,
    pub(crate) machines: BTreeMap<PeerId, u64>,
    /// The number of slots that one task of a call takes, if more than one.
    pub(crate) widths: BTreeMap<CallId, u32>,
    /// Workers that lost tasks of a job.
    pub(crate) lost_by: BTreeSet<(JobId, PeerId)>,
    /// How often users had an ended job tried again, as far as its log says.
    pub(crate) tried_again: u32,
}

impl Reference {
    /// A live process gets a command of its user.
    pub(crate) fn on_command(&mut self, owner: HostId, now: Time, command: &Command, catalog: &Catalog) {
        match command {
            Command::Submit(submission) => {
                self.load.on_job(now, submission.class);
                let gathers = submission.join == Join::Gather;
                if !gathers {
                    self.load.on_inputs(&submission.inputs, catalog);
                }
                let job = OwedJob {
                    owner,
                    program: Program::clone(&submission.program),
                    terms: submission.terms,
                    policy: submission.policy,
                    labels: submission.needs.labels.clone(),
                    width: submission.needs.slots.max(1),
                    tasks: if gathers {
                        vec![OwedTask::unknown()]
                    } else {
                        owed_tasks(&submission.inputs, catalog)
                    },
                    closed: submission.closed,
                    cancelled: false,
                    cancelled_at: None,
                    forgotten: false,
                    ends: 0,
                    told: 0,
                    promised: Promised::new(submission, now),
                };
                let known = |job| self.jobs.get(job).is_some_and(|job| job.owner == owner && !job.forgotten);
                self.kept.on_submit(submission);
                self.mesh.on_submit(owner, submission);
                self.results.on_submit(submission);
                self.gathers.on_submit(submission);
                self.joins.on_submit(owner, submission, submission.after.iter().all(known));
                let job = self.jobs.entry(submission.job).or_insert(job);
                self.ledger.on_tasks(job, 0);
                self.joins.on_tasks(submission.job, job, 0);
            }
            Command::Extend { job: name, inputs } => {
                self.load.on_inputs(inputs, catalog);
                let job =
                    self.jobs.get_mut(name).filter(|job| !job.closed && !job.cancelled && !job.forgotten);
                if let Some(job) = job.filter(|job| !job.promised.given_up) {
                    let first = job.tasks.len();
                    job.tasks.extend(owed_tasks(inputs, catalog));
                    self.ledger.on_tasks(job, first);
                    self.joins.on_tasks(*name, job, first);
                }
            }
            Command::Close { job } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.closed = true;
                }
            }
            // Whether one at level `mesh` is cancelled its log says: another may lead it soon.
            Command::Cancel { job: name } => {
                let job = self.jobs.get_mut(name).filter(|job| !job.forgotten);
                if let Some(job) = job.filter(|_| !self.mesh.has(*name)) {
                    // It gets no more tasks, also when it is tried again.
                    (job.cancelled, job.closed, job.cancelled_at) = (true, true, Some(now));
                }
            }
            // No plan has one: what it says ended in a job that no engine here knows.
            Command::ExtendEnded { .. }
            | Command::Drain(_)
            | Command::GiveBack
            | Command::Forget(_)
            | Command::Stop
            | Command::Retry(_)
            | Command::ForgetJob { .. } => {}
        }
    }

    /// An owner awards an attempt to another node.
    pub(crate) fn on_award(&mut self, owner: HostId, worker: PeerId, lease: LeaseId) {
        let task = self.task_id(lease.job, lease.index);
        self.awarded.extend(task.map(|task| (owner, task, worker)));
        *self.issued.entry(lease).or_default().entry(worker).or_default() += 1;
        self.joins.on_award(lease);
    }

    /// The leases of a job that its leaders awarded to a node, over all epochs.
    pub(crate) fn leases_given(&self, job: JobId, worker: PeerId) -> impl Iterator<Item = LeaseId> {
        let (first, last) = (LeaseId { job, ..LeaseId::FIRST }, LeaseId { job, ..LeaseId::LAST });
        let issued =
            self.issued.range(first..=last).filter(move |(_, workers)| workers.contains_key(&worker));
        issued.map(|(lease, _)| *lease)
    }

    /// The number of slots that a lease takes at its worker.
    pub(crate) fn width_of(&self, lease: LeaseId) -> u32 {
        self.jobs.get(&lease.job).map_or(1, |job| job.width)
    }

    /// A task ran to its end.
    pub(crate) fn on_ran(&mut self, worker: PeerId, task: TaskId) {
        *self.executed.entry(task).or_default().entry(worker).or_default() += 1;
    }

    /// A task ran to its end, and its host reports a false result.
    pub(crate) fn on_lie(&mut self, worker: PeerId, task: TaskId, lie: &Report) {
        self.liars.insert((task, worker));
        self.lies.insert(lie.output.id());
    }

    /// How often nodes were named because their results of a job's tasks differed from the majority's, and which nodes.
    #[must_use]
    pub fn named(&self, job: JobId) -> (usize, BTreeSet<PeerId>) {
        let of_job = || self.named.iter().filter(|(of, _, _)| *of == job);
        (of_job().count(), of_job().map(|(_, _, worker)| *worker).collect())
    }

    /// An engine reports an event to its user.
    pub(crate) fn on_event(&mut self, now: Time, event: Event) -> Option<Fact> {
        match event {
            Event::TaskEnded { job, index, report, worker, attempts, memo, proof, verified } => {
                if let Some(owed) = self.jobs.get_mut(&job) {
                    owed.on_end(index, &report, worker, attempts);
                    owed.on_means(index, memo.is_some(), proof.is_some());
                }
                let parents = self.parents_taken(job);
                self.joins.on_end(job, &report.outcome, &parents);
                let is_after_cancel = self.is_after_cancel(now, job);
                Some(Fact::Ended(End { job, index, report, worker, memo, proof, verified, is_after_cancel }))
            }
            Event::Printed { job, index, attempt: _, stream: _, offset: _, bytes } => {
                Some(Fact::Printed { job, index, bytes })
            }
            Event::JobEnded { job } => {
                if let Some(owed) = self.jobs.get_mut(&job) {
                    owed.ends += 1;
                    self.joins.on_job_ended(job, owed, now);
                }
                Some(Fact::JobEnded(job))
            }
            Event::JobGivenUp { job, failed: _ } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.promised.given_up = true;
                }
                Some(Fact::GivenUp(job))
            }
            Event::Differed { job, index, worker } => {
                self.named.insert((job, index, worker));
                Some(Fact::Named { job, index, worker })
            }
            Event::Refused { job, reason } => {
                let is_new =
                    if self.mesh.has(job) { self.mesh.on_refused(job) } else { self.kept.on_refused(job) };
                if is_new {
                    self.jobs.remove(&job);
                    let takes = self.takes_results(job);
                    self.joins.on_refused(job, reason, takes);
                }
                None
            }
            Event::DependenciesSatisfied { job } => {
                if let Some(owed) = self.jobs.get(&job).filter(|_| !self.takes_results(job)) {
                    self.joins.on_fired(job, owed);
                }
                None
            }
            Event::OwnerGone { owner, .. } => Some(Fact::GaveUp { owner }),
            Event::Accepted { .. }
            | Event::ExtensionRefused { .. }
            | Event::Grown { .. }
            | Event::RetryRefused { .. }
            | Event::Confirmed { .. }
            | Event::Forgotten { .. }
            | Event::Leads { .. }
            | Event::Follows { .. }
            | Event::Keepers { .. }
            | Event::Leased { .. } => None,
            Event::Lost { job, index, worker } => {
                self.lost_by.insert((job, worker));
                *self.lost.entry((job, index)).or_default() += 1;
                Some(Fact::Lost { job, index, worker })
            }
        }
    }

    /// Whether what ends of a job now ends after its user cancelled it. What had ended before is written before the cancel, in the
    /// same step.
    fn is_after_cancel(&self, now: Time, job: JobId) -> bool {
        let cancelled = self.jobs.get(&job).filter(|job| job.cancelled);
        let is_written_first = |owed: &OwedJob| {
            owed.cancelled_at == Some(now) && self.kept.is_kept(job) && !self.kept.is_cancelled(job)
        };
        cancelled.is_some_and(|owed| !is_written_first(owed))
    }

    /// Tasks whose end is owed and was not reported.
    #[must_use]
    pub fn owed(&self) -> BTreeSet<(JobId, u32)> {
        let live = self.jobs.iter().filter(|(_, job)| !job.cancelled && !job.forgotten);
        live.filter(|(name, _)| !self.waits_for_lost(**name))
            .flat_map(|(name, job)| {
                let indexes = (0u32..).zip(&job.tasks).filter(|(_, task)| task.ends == 0);
                indexes.map(|(index, _)| (*name, index))
            })
            .collect()
    }

    /// Whether no end of a job's tasks is owed: the job ended, was stopped, or was lost with its owner's process.
    #[must_use]
    pub fn settled(&self, job: JobId) -> bool {
        self.jobs
            .get(&job)
            .is_some_and(|job| job.is_stopped() || job.forgotten || (job.closed && job.unended() == 0))
    }

    /// The number of a job's tasks that ended as done.
    #[must_use]
    pub fn done(&self, job: JobId) -> usize {
        let tasks = self.jobs.get(&job).map(|job| job.tasks.as_slice()).unwrap_or_default();
        tasks.iter().filter(|task| task.outcome == Some(Outcome::Done)).count()
    }

    /// How often tasks of a job ran to their end, on all hosts together.
    #[must_use]
    pub fn executions(&self, job: JobId) -> u32 {
        let Some(job) = self.jobs.get(&job) else { return 0 };
        let runs = job.tasks.iter().filter_map(|task| self.executed.get(&job.program.task_id(&task.input)));
        runs.flat_map(BTreeMap::values).sum()
    }

    /// How many tasks of a job ended with a proof, and how many with a remembered result.
    #[must_use]
    pub fn proved_and_recalled(&self, job: JobId) -> (usize, usize) {
        let tasks = self.jobs.get(&job).map(|job| job.tasks.as_slice()).unwrap_or_default();
        let count = |holds: fn(&OwedTask) -> bool| tasks.iter().filter(|task| holds(task)).count();
        (count(|task| task.proved), count(|task| task.recalled))
    }

    /// The number of a job's tasks that ended with this node's outcome.
    #[must_use]
    pub fn brought(&self, job: JobId, worker: PeerId) -> usize {
        let tasks = self.jobs.get(&job).map(|job| job.tasks.as_slice()).unwrap_or_default();
        tasks.iter().filter(|task| task.ends > 0 && task.worker == Some(worker)).count()
    }

    /// Whether that task ran to its end on that worker.
    pub(crate) fn executed_by(&self, job: JobId, index: u32, worker: PeerId) -> bool {
        self.task_id(job, index)
            .and_then(|name| self.executed.get(&name))
            .is_some_and(|workers| workers.contains_key(&worker))
    }

    pub(crate) fn task_id(&self, job: JobId, index: u32) -> Option<TaskId> {
        let program = self.jobs.get(&job).map(|job| &job.program)?;
        self.task(job, index).map(|task| program.task_id(&task.input))
    }

    pub(crate) fn task(&self, job: JobId, index: u32) -> Option<&OwedTask> {
        self.jobs.get(&job)?.tasks.get(usize::try_from(index).ok()?)
    }
}

fn owed_tasks(inputs: &[Payload], catalog: &Catalog) -> Vec<OwedTask> {
    let read = |input| catalog.read(input).expect("only inputs of the catalog are submitted");
    inputs.iter().map(|input| OwedTask::new(input.clone(), read(input))).collect()
}
