//! Jobs whose inputs are results of other jobs, as a user understands them: a task's input is the output that was told of its parent's
//! task, and in the end there is one for each. A naive model of what was submitted, written and told, without the engine's edges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_core::durable::LogRecord;
use weft_core::{Command, Event, JobId, Join, Level, Outcome, Payload, Policy, Submission};

use crate::breach::Breach;
use crate::chance::Chance;
use crate::gathers::{gather_results, may_be_taken};
use crate::host::HostId;
use crate::invariants::Scene;
use crate::options::Options;
use crate::reference::{OwedJob, OwedTask, Reference};
use crate::workload::{Catalog, JobSpec};

/// The invariant of each input.
const OTHER_INPUT: &str = "an_input_is_its_parents_told_output";
/// The invariant of whole jobs, at rest.
pub(crate) const NOT_ALL: &str = "a_job_takes_each_result_of_its_parent";

/// All jobs that take results.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// The parent of each.
    parents: BTreeMap<JobId, JobId>,
    /// Those that were stopped, at any time: then what takes their results may end before it has all of its tasks.
    stopped: BTreeSet<JobId>,
    /// Jobs that were tried again, at any time.
    tried_again: BTreeSet<JobId>,
    /// Outputs that users of parents were told, of tasks that were done.
    told: BTreeMap<(JobId, u32), Payload>,
    /// Inputs as the logs of the jobs have them.
    inputs: BTreeMap<(JobId, u32), Payload>,
    pub(crate) breach: Breach,
}

impl Results {
    pub(crate) fn on_submit(&mut self, submission: &Submission) {
        if let (Join::EachResult, [parent]) = (submission.join, submission.after.as_slice()) {
            self.parents.insert(submission.job, *parent);
        }
    }

    /// The job whose results that one takes.
    pub(crate) fn parent(&self, job: JobId) -> Option<JobId> {
        self.parents.get(&job).copied()
    }

    /// The output that was told of a task that was done.
    pub(crate) fn told(&self, job: JobId, index: u32) -> Option<Payload> {
        self.told.get(&(job, index)).cloned()
    }

    pub(crate) fn was_tried_again(&self, job: JobId) -> bool {
        self.tried_again.contains(&job)
    }

    /// The job whose results it takes, the one whose results that one takes, and so on.
    fn ancestors(&self, job: JobId) -> impl Iterator<Item = JobId> + '_ {
        std::iter::successors(self.parent(job), |parent| self.parent(*parent))
    }

    /// The jobs that take results of that one.
    pub(crate) fn children(&self, parent: JobId) -> Vec<JobId> {
        self.parents.iter().filter(|(_, of)| **of == parent).map(|(job, _)| *job).collect()
    }

    /// Whether a job may end while it is open: it gets the rest of its tasks when it is tried again after what was stopped.
    pub(crate) fn may_get_more_later(&self, job: JobId) -> bool {
        self.ancestors(job).any(|above| self.stopped.contains(&above))
    }

    /// The log of a job is an older one.
    pub(crate) fn on_older(&mut self, job: JobId) {
        self.told.retain(|(of, _), _| *of != job);
        self.inputs.retain(|(of, _), _| *of != job);
    }

    pub(crate) fn on_tried_again(&mut self, job: JobId) {
        self.tried_again.insert(job);
    }

    /// A record of a job is written.
    pub(crate) fn on_written(&mut self, job: JobId, record: &LogRecord) {
        if let LogRecord::Cancelled | LogRecord::GivenUp { .. } = record
            && self.parent(job).is_some()
        {
            self.stopped.insert(job);
        }
        if let LogRecord::Retried { .. } = record {
            self.tried_again.insert(job);
        }
        let (LogRecord::Resolved { inputs }, Some(parent)) = (record, self.parent(job)) else { return };
        for (index, input) in inputs {
            let before = self.inputs.insert((job, *index), input.clone());
            let told = self.told.get(&(parent, *index)).cloned();
            let is_same = [&before, &told].into_iter().flatten().all(|other| other == input);
            self.breach.demand(OTHER_INPUT, is_same, || {
                format!(
                    "{job:?} task {index} gets {input:?}: it had {before:?}, its parent's output is {told:?}"
                )
            });
        }
    }

    /// A user is told something.
    pub(crate) fn on_event(&mut self, event: &Event) {
        let Event::TaskEnded { job, index, report, .. } = event else { return };
        if report.outcome != Outcome::Done {
            return;
        }
        self.told.insert((*job, *index), report.output.clone());
        for child in self.children(*job) {
            let input = self.inputs.get(&(child, *index)).cloned();
            let is_same = input.as_ref().is_none_or(|input| *input == report.output);
            self.breach.demand(OTHER_INPUT, is_same, || {
                format!("{child:?} task {index} has {input:?}, its parent's output is {:?}", report.output)
            });
        }
    }
}

impl OwedJob {
    /// It has at least that many tasks, whose inputs may not be known yet.
    fn expect_tasks(&mut self, tasks: usize) {
        while self.tasks.len() < tasks {
            self.tasks.push(OwedTask::unknown());
        }
    }
}

impl Reference {
    /// A node reads a log: jobs that take its results may begin with what it says.
    pub(crate) fn on_results_read(&mut self, parent: JobId, records: &[LogRecord], catalog: &Catalog) {
        for child in self.results.children(parent) {
            for record in records {
                let LogRecord::Outcomes(all) = record else { continue };
                let done = all.iter().filter(|kept| kept.report.outcome == Outcome::Done);
                done.for_each(|kept| self.take_result(child, kept.index, &kept.report.output, catalog));
            }
        }
    }

    pub(crate) fn take_result(&mut self, child: JobId, index: u32, output: &Payload, catalog: &Catalog) {
        let Some(spec) = catalog.read(output) else { return };
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(job) = self.jobs.get_mut(&child).filter(|job| !job.is_stopped()) else { return };
        job.expect_tasks(place + 1);
        // Where it is tried again, that is so before any user is told.
        let is_again = self.results.tried_again.contains(&child);
        let is_open =
            |task: &&mut OwedTask| task.ends == 0 || is_again && task.outcome != Some(Outcome::Done);
        if let Some(task) = job.tasks.get_mut(place).filter(is_open) {
            (task.input, task.spec) = (output.clone(), spec);
        }
        self.load.on_inputs(std::slice::from_ref(output), catalog);
        self.ledger.on_tasks(job, place);
        self.joins.on_tasks(child, job, place);
    }

    /// A record of a job that takes results is written; `tasks` are those that its log has then.
    pub(crate) fn on_results_written(
        &mut self,
        name: JobId,
        record: &LogRecord,
        tasks: usize,
        catalog: &Catalog,
    ) {
        self.results.on_written(name, record);
        let (expected, may_lack) = (self.expected_input(name), self.may_lack(name));
        self.gathers.on_written(name, record, expected.as_ref(), may_lack);
        let takes = self.takes_results(name);
        let Some(job) = self.jobs.get_mut(&name).filter(|_| takes) else { return };
        job.expect_tasks(tasks);
        if let LogRecord::Resolved { inputs } = record {
            inputs.iter().for_each(|(index, input)| self.take_result(name, *index, input, catalog));
        }
        let Some(job) = self.jobs.get_mut(&name) else { return };
        if let LogRecord::Closed = record {
            job.closed = true;
        }
        if let LogRecord::Cancelled = record {
            (job.cancelled, job.closed) = (true, true);
        }
    }

    /// The jobs whose results are the inputs of a job.
    pub(crate) fn parents_taken(&self, job: JobId) -> Vec<JobId> {
        self.results.parent(job).into_iter().chain(self.gathers.parents(job).iter().copied()).collect()
    }

    /// Whether the inputs of a job are results of others.
    pub(crate) fn takes_results(&self, job: JobId) -> bool {
        self.results.parent(job).is_some() || !self.gathers.parents(job).is_empty()
    }

    /// The jobs whose results a job takes, those whose results these take, and so on.
    pub(crate) fn all_before(&self, job: JobId) -> BTreeSet<JobId> {
        let mut all = BTreeSet::new();
        let mut next = vec![job];
        while let Some(job) = next.pop() {
            next.extend(self.parents_taken(job).into_iter().filter(|parent| all.insert(*parent)));
        }
        all
    }

    /// Whether a job takes results of one of which two of the three disks are lost: it waits for a person, as that one does.
    pub(crate) fn waits_for_lost(&self, job: JobId) -> bool {
        self.all_before(job).into_iter().any(|before| self.mesh.is_gone(before))
    }

    /// The first job that lacks a task, or has one too many, or ended one without need.
    pub(crate) fn lacking_results(&self) -> Option<String> {
        self.results.parents.iter().find_map(|(child, parent)| {
            let (job, of) = (self.jobs.get(child)?, self.jobs.get(parent)?);
            let is_owed =
                !job.forgotten && !job.is_stopped() && !of.forgotten && !self.mesh.is_unwanted(*parent);
            let is_kept = !self.mesh.has(*parent) || self.mesh.is_owed(*parent) && self.mesh.is_owed(*child);
            if !is_owed || !is_kept {
                return None;
            }
            let (found, expected) = (job.tasks.len(), of.tasks.len());
            // It ended, and gets the rest when it is tried again.
            let rests = job.ends > 0 && !job.closed;
            if found > expected || found < expected && !rests {
                return Some(format!("{child:?} has {found} tasks, its parent {parent:?} has {expected}"));
            }
            // What was tried again may be done now, after what waited for it was skipped.
            let is_tried_once = !self.results.tried_again.contains(parent);
            let index = is_tried_once.then(|| needless_skip(job, of))??;
            Some(format!("{child:?} task {index} was skipped, that of its parent {parent:?} is done"))
        })
    }
}

/// The first task of a job that was skipped although that of its parent is done.
fn needless_skip(job: &OwedJob, of: &OwedJob) -> Option<usize> {
    let is_skipped = |task: &OwedTask| matches!(task.outcome, Some(Outcome::ParentFailed { .. }));
    let mut tasks = job.tasks.iter().zip(&of.tasks);
    tasks.position(|(task, of)| is_skipped(task) && of.outcome == Some(Outcome::Done))
}

/// Each input is its parent's told output.
pub(crate) fn an_input_is_its_parents_told_output(scene: &Scene<'_>) -> Result<(), String> {
    scene.reference.results.breach.check(OTHER_INPUT)
}

/// In swarms that keep jobs, further jobs take the results of some of these, and others of theirs.
pub(crate) fn take_results(
    options: &Options,
    seed: u64,
    catalog: &mut Catalog,
    all: &mut Vec<(Duration, HostId, Command)>,
) {
    gather_results(options, &mut Chance::new(seed, "gathers"), catalog, all);
    let chance = &mut Chance::new(seed, "results");
    let mut parents: Vec<(Duration, HostId, JobId, Level)> = all.iter().filter_map(may_be_taken).collect();
    let mut next = 0;
    while let Some((at, owner, parent, level)) = parents.get(next).copied() {
        next += 1;
        if !chance.permille(400) {
            continue;
        }
        let job = JobId(chance.any());
        let spec = JobSpec {
            tasks: 0,
            after: vec![parent],
            join: Join::EachResult,
            level,
            policy: Policy::DEFAULT,
            ..options.job_spec(chance)
        };
        let at = at + Duration::from_millis(chance.below(8000));
        let submission = Submission { closed: false, ..catalog.submission(job, &spec, chance) };
        all.push((at, owner, Command::Submit(submission)));
        if chance.permille(100) {
            let at = at + Duration::from_millis(chance.below(5000));
            all.push((at, owner, Command::Cancel { job }));
        }
        parents.push((at, owner, job, level));
    }
}
