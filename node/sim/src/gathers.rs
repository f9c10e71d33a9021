//! Jobs whose one input is all results of other jobs: how the world's drivers make it, and what it must be, from what users were told.
//! A naive model, without the engine's dependencies; `results.rs` has the jobs that take each result by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_core::durable::{Ends, Fold, LogRecord};
use weft_core::{
    BlobId, Command, Gathered, Input, JobId, Join, Level, Outcome, Payload, Policy, Recall, Submission,
};

use crate::breach::Breach;
use crate::chance::Chance;
use crate::host::HostId;
use crate::invariants::{Scene, Violation};
use crate::keeping::is_plain;
use crate::options::Options;
use crate::queue::Event;
use crate::reference::Reference;
use crate::workload::{Catalog, JobSpec};
use crate::world::World;

/// The invariant of each input.
const OTHER_INPUT: &str = "a_gathered_input_is_all_told_outputs";
/// How often a driver can't make an input at first, in a thousand times.
const NOT_NOW_PERMILLE: u32 = 150;
/// How often it takes long, in a thousand times.
const SLOW_PERMILLE: u32 = 150;
/// Most parents.
const PARENTS_MAX: usize = 3;

/// An input that a driver is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Gather {
    pub(crate) job: JobId,
    pub(crate) epoch: u32,
    pub(crate) parents: Vec<(JobId, u32)>,
}

/// All jobs that gather.
#[derive(Debug, Default)]
pub(crate) struct Gathers {
    parents: BTreeMap<JobId, Vec<JobId>>,
    /// Inputs as the logs of the jobs have them.
    inputs: BTreeMap<JobId, Payload>,
    /// Outputs as the logs of jobs at level disk have them: not all of these are told where a process dies.
    outputs: BTreeMap<(JobId, u32), Payload>,
    /// Jobs whose log was an older one once.
    older: BTreeSet<JobId>,
    pub(crate) breach: Breach,
}

impl Gathers {
    pub(crate) fn on_submit(&mut self, submission: &Submission) {
        if submission.join == Join::Gather {
            self.parents.insert(submission.job, submission.after.clone());
        }
    }

    /// The jobs whose results one gathers, in order; none if it gathers none.
    pub(crate) fn parents(&self, job: JobId) -> &[JobId] {
        self.parents.get(&job).map_or(&[], Vec::as_slice)
    }

    /// All jobs that gather.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.parents.keys().copied()
    }

    /// The log of a job is an older one.
    pub(crate) fn on_older(&mut self, job: JobId) {
        self.inputs.remove(&job);
        self.outputs.retain(|(of, _), _| *of != job);
        self.older.insert(job);
    }

    /// A record of a job is written. `expected` is its input by what users were told and logs say; nothing if a part of that is
    /// not known, which may be only if `may_lack`.
    pub(crate) fn on_written(
        &mut self,
        job: JobId,
        record: &LogRecord,
        expected: Option<&Payload>,
        may_lack: bool,
    ) {
        if let LogRecord::Outcomes(all) = record {
            let done = all.iter().filter(|kept| kept.report.outcome == Outcome::Done);
            self.outputs.extend(done.map(|kept| ((job, kept.index), kept.report.output.clone())));
        }
        let (LogRecord::Resolved { inputs }, true) = (record, self.parents.contains_key(&job)) else {
            return;
        };
        for (index, input) in inputs {
            let before = self.inputs.insert(job, input.clone());
            let others = [before.as_ref(), expected];
            let is_all = expected.is_some() || may_lack;
            let is_same = is_all && *index == 0 && others.into_iter().flatten().all(|other| other == input);
            self.breach.demand(OTHER_INPUT, is_same, || {
                format!(
                    "{job:?} task {index} gets {input:?}: it had {before:?}, what was told makes {expected:?}"
                )
            });
        }
    }
}

impl Reference {
    /// A driver has made the input of a job that gathers: it may begin.
    pub(crate) fn on_gathered(&mut self, job: JobId, input: &Payload, catalog: &Catalog) {
        if !self.gathers.parents(job).is_empty() {
            self.take_result(job, 0, input, catalog);
        }
    }

    /// The input of a job that gathers, by what users were told of its parents; nothing if not all of that is known.
    pub(crate) fn expected_input(&self, job: JobId) -> Option<Payload> {
        let parents = self.gathers.parents(job);
        let outputs = parents.iter().map(|parent| {
            let tasks = self.jobs.get(parent)?.tasks.len();
            let output = |index| {
                let told = self.results.told(*parent, index);
                told.or_else(|| self.gathers.outputs.get(&(*parent, index)).cloned())
            };
            (0..u32::try_from(tasks).ok()?).map(output).collect()
        });
        let outputs: Vec<Vec<Payload>> = outputs.collect::<Option<_>>()?;
        (!parents.is_empty()).then(|| Catalog::gathered(&outputs).0)
    }

    /// Whether not all that a job gathers need be known here: other nodes have it, too, or a disk lost it.
    pub(crate) fn may_lack(&self, job: JobId) -> bool {
        self.gathers.parents(job).iter().any(|parent| {
            let is_lost = self.jobs.get(parent).is_none_or(|of| of.forgotten);
            is_lost || self.mesh.has(*parent) || self.gathers.older.contains(parent)
        })
    }

    /// The first job that did not gather though all that it comes after succeeded.
    pub(crate) fn needless_gap(&self) -> Option<String> {
        self.gathers.jobs().find_map(|name| {
            let job = self.jobs.get(&name).filter(|job| !job.forgotten && !job.is_stopped())?;
            let parents = self.gathers.parents(name);
            let has_succeeded = |parent: &JobId| {
                let of = self.jobs.get(parent).filter(|of| !of.forgotten && !of.is_stopped());
                let done =
                    of.is_some_and(|of| of.tasks.iter().all(|task| task.outcome == Some(Outcome::Done)));
                done && !self.results.was_tried_again(*parent) && !self.mesh.is_unwanted(*parent)
            };
            let is_skipped =
                job.tasks.iter().any(|task| matches!(task.outcome, Some(Outcome::ParentFailed { .. })));
            let is_kept = !self.mesh.has(name)
                || self.mesh.is_owed(name) && parents.iter().all(|parent| self.mesh.is_owed(*parent));
            let is_gap = is_kept && is_skipped && parents.iter().all(has_succeeded);
            is_gap.then(|| format!("{name:?} was skipped, and all that it gathers is done: {parents:?}"))
        })
    }
}

impl World {
    /// A driver makes an input of results, after a while.
    pub(crate) fn gather_later(&mut self, host: HostId, what: Gather) {
        let life = self.hosts[host.0].life;
        // Some of them are long.
        let most_us = if self.chance.permille(SLOW_PERMILLE) { 10_000_000 } else { 20_000 };
        let after = Duration::from_micros(self.chance.between(50, most_us));
        self.queue.after(after, Event::Gather { host, life, what });
    }

    pub(crate) fn on_gather(&mut self, (host, life): (HostId, u32), what: Gather) -> Result<(), Violation> {
        if self.hosts[host.0].life != life {
            return Ok(());
        }
        let disk = &self.hosts[host.0].disk;
        let is_behind = |parent: JobId| !self.reference.mesh.has(parent) && disk.is_behind(parent);
        if what.parents.iter().any(|(parent, _)| is_behind(*parent)) {
            // A driver reads what is on the disk, once all that was written before is there.
            self.queue.after(Duration::from_millis(1), Event::Gather { host, life, what });
            return Ok(());
        }
        let Gather { job, epoch, parents } = what;
        let is_late = self.hosts[host.0].disk.failed || self.chance.permille(NOT_NOW_PERMILLE);
        let gathered = if is_late { Gathered::NotNow } else { self.gather(host, &parents) };
        self.coverage.add("results are gathered", u64::from(matches!(gathered, Gathered::Input(_))));
        self.tell(host, Input::Gathered { job, epoch, gathered })
    }

    fn gather(&mut self, host: HostId, parents: &[(JobId, u32)]) -> Gathered {
        let mut outputs = Vec::new();
        for (parent, upto) in parents.iter().copied() {
            let count = usize::try_from(upto).unwrap_or(usize::MAX);
            let rows = self.rows(host, parent).first(count);
            match read(&rows.0.iter().map(|record| LogRecord::clone(record)).collect::<Vec<_>>(), upto) {
                Ok(all) => outputs.push(all),
                Err(true) => return Gathered::NotDone(parent),
                Err(false) => return Gathered::Missing(parent),
            }
        }
        let (input, spec) = Catalog::gathered(&outputs);
        if let Payload::Blob { id, .. } = &input {
            self.hosts[host.0].blobs.insert(*id);
        }
        self.catalog.know(&input, spec);
        Gathered::Input(input)
    }
}

/// The outputs of all tasks of a job that has ended, by its log; otherwise whether it has ended.
fn read(records: &[LogRecord], upto: u32) -> Result<Vec<Payload>, bool> {
    let mut fold = Fold::new();
    let mut outputs = BTreeMap::new();
    for record in records {
        if let LogRecord::Accepted(accepted) = record
            && accepted.spec.level == Level::Mesh
            && upto == u32::MAX
        {
            return Err(false);
        }
        if let Ends::Outcomes(all) = record.ends() {
            let done = all.iter().filter(|kept| kept.report.outcome == Outcome::Done);
            outputs.extend(done.map(|kept| (kept.index, kept.report.output.clone())));
        }
        if fold.apply(record.clone()).is_err() {
            return Err(false);
        }
    }
    let Ok(job) = fold.into_restored() else { return Err(false) };
    if !job.has_ended() {
        return Err(false);
    }
    let all = (0..job.figures().tasks).map(|index| outputs.remove(&index)).collect::<Option<_>>();
    all.filter(|_| !job.is_cancelled()).ok_or(true)
}

/// A kept job whose results another may take. What other nodes tell of its tasks has no input that the simulator can read.
pub(crate) fn may_be_taken(
    (at, owner, command): &(Duration, HostId, Command),
) -> Option<(Duration, HostId, JobId, Level)> {
    let Command::Submit(what) = command else { return None };
    let is_kept = what.level != Level::Memory && is_plain(&what.policy);
    let is_read = what.terms.memo != Recall::Mesh && what.policy.verify <= 1;
    (is_kept && is_read).then_some((*at, *owner, what.job, what.level))
}

/// In swarms that keep jobs, further jobs gather the results of some of these.
pub(crate) fn gather_results(
    options: &Options,
    chance: &mut Chance,
    catalog: &mut Catalog,
    all: &mut Vec<(Duration, HostId, Command)>,
) {
    let candidates: Vec<(Duration, HostId, JobId, Level)> = all.iter().filter_map(may_be_taken).collect();
    for (first, (at, owner, parent, level)) in candidates.iter().copied().enumerate() {
        if !chance.permille(300) {
            continue;
        }
        let mut parents = vec![(at, parent)];
        // Those at level mesh are kept by different nodes, unless one comes after the other.
        let mates = candidates.iter().skip(first + 1).filter(|(_, of, _, at)| *of == owner && *at == level);
        for (at, _, mate, _) in mates.filter(|_| level == Level::Disk) {
            if parents.len() < PARENTS_MAX && chance.permille(400) {
                parents.push((*at, *mate));
            }
        }
        let latest = parents.iter().map(|(at, _)| *at).max().unwrap_or(at);
        let job = JobId(chance.any());
        let level = if chance.permille(200) { Level::Memory } else { level };
        let spec = JobSpec {
            tasks: 0,
            after: parents.iter().map(|(_, parent)| *parent).collect(),
            join: Join::Gather,
            level,
            policy: Policy::DEFAULT,
            ..options.job_spec(chance)
        };
        let at = latest + Duration::from_millis(chance.below(8000));
        let submission = catalog.submission(job, &spec, chance);
        let submission = Submission { inputs: vec![Payload::empty()], ..submission };
        all.push((at, owner, Command::Submit(submission)));
        if chance.permille(100) {
            let at = at + Duration::from_millis(chance.below(5000));
            all.push((at, owner, Command::Cancel { job }));
        }
    }
}

/// Each gathered input is made of all told outputs of its parents.
pub(crate) fn a_gathered_input_is_all_told_outputs(scene: &Scene<'_>) -> Result<(), String> {
    scene.reference.gathers.breach.check(OTHER_INPUT)
}

impl Catalog {
    /// What a driver makes of these outputs, and what a task with that input does.
    fn gathered(outputs: &[Vec<Payload>]) -> (Payload, crate::workload::TaskSpec) {
        let names: Vec<u8> = outputs
            .iter()
            .flat_map(|of| of.iter().map(Payload::id).chain([BlobId([0; 32])]))
            .flat_map(|id| id.0)
            .collect();
        Self::made_of(&names)
    }
}
