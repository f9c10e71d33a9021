//! A naive model of jobs at level `disk`: what was written of each, what of it is safe, and what users and workers were
//! told. It reads the records that engines write, without the engine's fold. The invariants here hold over all lives of
//! an owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_core::durable::LogRecord;
use weft_core::{Event, JobId, LeaseId, Level, Outcome, PeerId, Report, Submission};

use crate::breach::Breach;
use crate::invariants::{Scene, ensure};

const TOLD_EARLY: &str = "nothing_is_told_before_it_is_kept";
const TOLD_ANEW: &str = "a_told_outcome_never_changes";
const COMMITTED_TWICE: &str = "one_committed_outcome_over_all_lives";
const ACKED_EARLY: &str = "an_acknowledged_outcome_is_on_the_disk";
/// Also the world's, where a log can't be read.
pub(crate) const LOST: &str = "an_accepted_job_is_never_lost";

/// How a task ended by a job's records.
#[derive(Clone, Debug)]
pub(crate) struct KeptEnd {
    pub(crate) report: Arc<Report>,
    pub(crate) worker: Option<PeerId>,
    /// Attempts that there were when it ended.
    pub(crate) attempts: u32,
}

/// What the records of a job say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) accepted: bool,
    pub(crate) tasks: usize,
    pub(crate) ends: BTreeMap<u32, KeptEnd>,
    pub(crate) closed: bool,
    pub(crate) cancelled: bool,
    pub(crate) given_up: bool,
    pub(crate) ended: bool,
    pub(crate) epoch: u32,
    /// How often its user had it tried again.
    retries: u32,
}

impl Said {
    /// What these records say.
    pub(crate) fn by<'a>(records: impl IntoIterator<Item = &'a LogRecord>) -> Self {
        let mut said = Self::default();
        records.into_iter().for_each(|record| drop(said.add(record)));
        said
    }

    /// One more record; the tasks that ended before and end with it again.
    pub(crate) fn add(&mut self, record: &LogRecord) -> Vec<u32> {
        let mut twice = Vec::new();
        match record {
            LogRecord::Accepted(accepted) => {
                (self.accepted, self.epoch) = (true, 1);
                (self.tasks, self.closed) = (accepted.spec.inputs.len(), accepted.spec.closed);
            }
            LogRecord::Extended { inputs } => self.tasks += inputs.len(),
            LogRecord::Closed => self.closed = true,
            LogRecord::Outcomes(all) => {
                for kept in all {
                    let (report, worker, attempts) = (kept.report.clone(), kept.worker, kept.attempts);
                    let end = KeptEnd { report, worker, attempts };
                    twice.extend(self.ends.insert(kept.index, end).map(|_| kept.index));
                }
            }
            LogRecord::Rest(rest) => {
                for task in &rest.tasks {
                    let (report, attempts) = (Report::bare(rest.outcome.clone()), task.attempts);
                    let end = KeptEnd { report: report.into(), worker: None, attempts };
                    twice.extend(self.ends.insert(task.index, end).map(|_| task.index));
                }
            }
            LogRecord::ParentEnded(_)
            | LogRecord::Replaced { .. }
            | LogRecord::NotTaken(_)
            | LogRecord::Given { .. }
            | LogRecord::Leased { .. }
            | LogRecord::Resolved { .. } => {}
            LogRecord::Cancelled => (self.cancelled, self.closed) = (true, true),
            LogRecord::GivenUp { .. } => (self.given_up, self.closed) = (true, true),
            LogRecord::Restarted { epoch, .. } | LogRecord::Led { epoch, .. } => self.epoch = *epoch,
            LogRecord::Ended { .. } => self.ended = true,
            LogRecord::Retried { epoch, .. } => {
                (self.epoch, self.retries) = (*epoch, self.retries + 1);
                (self.cancelled, self.given_up, self.ended) = (false, false, false);
                self.ends.retain(|_, end| end.report.outcome == Outcome::Done);
            }
        }
        twice
    }

    /// Whether a task ended otherwise than done.
    pub(crate) fn has_failures(&self) -> bool {
        self.ends.values().any(|end| end.report.outcome != Outcome::Done)
    }
}

/// One kept job.
#[derive(Debug, Default)]
struct KeptJob {
    /// Several nodes compute each task: what one of them says is a vote. Votes are in no record, and are taken again after a
    /// restart, so one may be acknowledged before what most of them say is on the disk.
    verified: bool,
    /// What all records say that were written, of which a crash may lose some.
    written: Said,
    safe: Said,
    /// What its user was told: the number of accepted tasks, the ends of tasks, and the job's end.
    accepted: Option<usize>,
    told: BTreeMap<u32, Arc<Report>>,
    told_end: bool,
    /// Its owner's process is dead, or the job has ended.
    down: bool,
    /// Its disk was lost: nothing is promised any more.
    gone: bool,
}

impl KeptJob {
    fn set_safe(&mut self, said: Said) {
        if said.retries > self.safe.retries {
            // Its user wanted other ends.
            self.told.retain(|_, report| report.outcome == Outcome::Done);
            self.told_end = false;
        }
        self.safe = said;
    }
}

/// All kept jobs.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    jobs: BTreeMap<JobId, KeptJob>,
    pub(crate) breach: Breach,
}

impl Kept {
    pub(crate) fn is_kept(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    pub(crate) fn on_submit(&mut self, submission: &Submission) {
        if submission.level == Level::Disk {
            self.jobs.entry(submission.job).or_default().verified = submission.policy.verify > 1;
        }
    }

    /// A submission was refused. False if the job is one that was accepted, and was not tried again.
    pub(crate) fn on_refused(&mut self, job: JobId) -> bool {
        let is_new = self.jobs.get(&job).is_none_or(|job| !job.written.accepted);
        if is_new {
            self.jobs.remove(&job);
        }
        is_new
    }

    /// Tasks of a job by all records that were written.
    pub(crate) fn tasks_written(&self, job: JobId) -> usize {
        self.jobs.get(&job).map_or(0, |job| job.written.tasks)
    }

    /// The epoch of a job's attempts; 0 for one in memory.
    pub(crate) fn epoch(&self, job: JobId) -> u32 {
        self.jobs.get(&job).map_or(0, |job| job.written.epoch)
    }

    /// Whether a job's log says that it was cancelled, on the disk or not.
    pub(crate) fn is_cancelled(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.written.cancelled)
    }

    /// Whether all of a job ended, some of it otherwise than done, and it was not tried again yet.
    pub(crate) fn may_be_tried_again(&self, job: JobId) -> bool {
        let Some(job) = self.jobs.get(&job) else { return false };
        job.safe.ended && job.safe.has_failures() && job.safe.retries == 0
    }

    /// Whether an event tells what a record has committed before.
    pub(crate) fn is_committed(&self, event: &Event) -> bool {
        matches!(event, Event::TaskEnded { job, .. } | Event::JobEnded { job } | Event::JobGivenUp { job, .. }
            if self.is_kept(*job))
    }

    /// An engine writes a record.
    pub(crate) fn on_written(&mut self, name: JobId, record: &LogRecord) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        job.down = false;
        let twice = job.written.add(record);
        self.demand(COMMITTED_TWICE, twice.is_empty(), || {
            format!("tasks {twice:?} of {name:?} have ended, and end again by {record:?}")
        });
    }

    /// The log of a job, all of which is safe, is longer.
    pub(crate) fn on_safe(&mut self, name: JobId, records: &[LogRecord]) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        job.set_safe(Said::by(records));
    }

    /// A user is told something.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match event {
            Event::Accepted { job, tasks } => self.on_accepted(*job, *tasks as usize),
            Event::TaskEnded { job, index, report, .. } => self.on_told(*job, *index, report),
            Event::JobEnded { job: name } => {
                let Some(job) = self.jobs.get_mut(name) else { return };
                job.told_end = true;
                let safe = job.safe.ended;
                self.demand(TOLD_EARLY, safe, || {
                    format!("{name:?} is said to have ended, its log does not say so")
                });
            }
            Event::JobGivenUp { job: name, .. } => {
                let safe = self.jobs.get(name).is_none_or(|job| job.safe.given_up);
                self.demand(TOLD_EARLY, safe, || {
                    format!("{name:?} is said to be given up, its log does not say so")
                });
            }
            Event::Printed { .. }
            | Event::Lost { .. }
            | Event::Differed { .. }
            | Event::Refused { .. }
            | Event::OwnerGone { .. }
            | Event::DependenciesSatisfied { .. }
            | Event::ExtensionRefused { .. }
            | Event::Grown { .. }
            | Event::RetryRefused { .. }
            | Event::Confirmed { .. }
            | Event::Forgotten { .. }
            | Event::Leads { .. }
            | Event::Follows { .. }
            | Event::Keepers { .. }
            | Event::Leased { .. } => {}
        }
    }

    fn on_accepted(&mut self, name: JobId, tasks: usize) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        job.accepted = job.accepted.max(Some(tasks));
        let safe = job.safe.accepted && job.safe.tasks >= tasks;
        self.demand(TOLD_EARLY, safe, || {
            format!("{tasks} tasks of {name:?} are said to be kept, and are not")
        });
    }

    fn on_told(&mut self, name: JobId, index: u32, report: &Arc<Report>) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let safe = job.safe.ends.get(&index).map(|end| end.report.clone());
        let before = job.told.insert(index, report.clone());
        let accepted = job.accepted.is_some();
        self.demand(TOLD_EARLY, safe.is_some() && accepted, || {
            format!("task {index} of {name:?} is said to have ended, its log does not say so")
        });
        let same =
            safe.is_none_or(|safe| safe == *report) && before.as_ref().is_none_or(|told| told == report);
        self.demand(TOLD_ANEW, same, || {
            format!("task {index} of {name:?} ended as {before:?}, and as {report:?}")
        });
    }

    /// An owner acknowledges outcomes to a worker: they may be forgotten there. The outcome of an earlier attempt, which failed
    /// and was made again, is in no record; that of the last one is, if the task ended with it.
    pub(crate) fn on_acknowledged(&mut self, worker: PeerId, leases: &[LeaseId]) {
        for LeaseId { job: name, index, epoch, attempt } in leases {
            let Some(job) = self.jobs.get(name).filter(|job| !job.verified) else { continue };
            let of_last = |end: &&KeptEnd| (end.worker, end.attempts) == (Some(worker), *attempt);
            let written = job.written.ends.get(index).filter(of_last).filter(|_| *epoch == job.written.epoch);
            let safe = job.safe.ends.contains_key(index) || written.is_none();
            self.demand(ACKED_EARLY, safe, || {
                format!("task {index} of {name:?} is acknowledged, a crash would lose its outcome")
            });
        }
    }

    // ---- lives

    /// The process of these jobs' owner is dead.
    pub(crate) fn on_killed(&mut self, jobs: impl Iterator<Item = JobId>) {
        for name in jobs {
            self.jobs.get_mut(&name).into_iter().for_each(|job| job.down = true);
        }
    }

    /// The disk of these jobs' owner is lost.
    pub(crate) fn on_wiped(&mut self, jobs: impl Iterator<Item = JobId>) {
        for name in jobs {
            if let Some(job) = self.jobs.get_mut(&name) {
                (job.gone, job.written, job.safe) = (true, Said::default(), Said::default());
            }
        }
    }

    /// The disk of a job's owner is an older one, with this log: what is in it is owed, what was told since is not, and a job that was
    /// lost since is back.
    pub(crate) fn on_older(&mut self, name: JobId, records: &[LogRecord]) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let said = Said::by(records);
        (job.accepted, job.told_end, job.gone) = (said.accepted.then_some(said.tasks), said.ended, false);
        job.told = said.ends.into_iter().map(|(index, end)| (index, end.report)).collect();
    }

    /// A job's owner starts again, with this log; what it says.
    pub(crate) fn on_restarted(&mut self, name: JobId, records: &[LogRecord]) -> Said {
        let said = Said::by(records);
        let Some(job) = self.jobs.get_mut(&name) else { return said };
        job.written = said.clone();
        job.set_safe(said.clone());
        if job.gone {
            return said;
        }
        let most = job.accepted.unwrap_or(0);
        let whole = (job.accepted.is_none() || said.accepted) && said.tasks >= most;
        let (told, told_end) = (job.told.clone(), job.told_end);
        // Its driver tells its user what the log says.
        job.accepted = job.accepted.max(said.accepted.then_some(said.tasks));
        job.told.extend(said.ends.iter().map(|(index, end)| (*index, end.report.clone())));
        job.told_end |= said.ended;
        self.demand(LOST, whole, || {
            format!("{most} tasks of {name:?} were accepted, {} are kept", said.tasks)
        });
        for (index, report) in &told {
            let kept = said.ends.get(index).map(|end| &end.report);
            self.demand(TOLD_ANEW, kept == Some(report), || {
                format!(
                    "task {index} of {name:?} was said to have ended as {report:?}, its log says {kept:?}"
                )
            });
        }
        self.demand(TOLD_ANEW, said.ended || !told_end, || {
            format!("{name:?} was said to have ended, its log says that it has not")
        });
        said
    }

    /// Whether a lease of a kept job is of an earlier life of its owner, or of one that is over.
    pub(crate) fn is_of_the_past(&self, lease: LeaseId) -> bool {
        self.jobs.get(&lease.job).is_some_and(|job| job.down || job.gone || lease.epoch < job.written.epoch)
    }

    fn demand(&mut self, name: &'static str, holds: bool, text: impl FnOnce() -> String) {
        self.breach.demand(name, holds, text);
    }
}

fn unbroken(scene: &Scene<'_>, name: &str) -> Result<(), String> {
    scene.reference.kept.breach.check(name)
}

pub(crate) fn nothing_is_told_before_it_is_kept(scene: &Scene<'_>) -> Result<(), String> {
    unbroken(scene, TOLD_EARLY)
}

pub(crate) fn a_told_outcome_never_changes(scene: &Scene<'_>) -> Result<(), String> {
    unbroken(scene, TOLD_ANEW)
}

pub(crate) fn one_committed_outcome_over_all_lives(scene: &Scene<'_>) -> Result<(), String> {
    unbroken(scene, COMMITTED_TWICE)
}

pub(crate) fn an_acknowledged_outcome_is_on_the_disk(scene: &Scene<'_>) -> Result<(), String> {
    unbroken(scene, ACKED_EARLY)
}

/// A job that was accepted and has not ended is one of its owner's, in each of its lives.
pub(crate) fn an_accepted_job_is_never_lost(scene: &Scene<'_>) -> Result<(), String> {
    unbroken(scene, LOST)?;
    let host = scene.host;
    let Some(audit) = host.audit.as_ref().filter(|_| !host.restoring && !host.journal_failed) else {
        return Ok(());
    };
    let own = scene.reference.jobs.iter().filter(|(_, owed)| owed.owner == host.id && !owed.forgotten);
    for (name, _) in own {
        let Some(job) = scene.reference.kept.jobs.get(name) else { continue };
        let here = audit.jobs.iter().any(|known| known.job == *name);
        ensure(here || job.written.ended || job.accepted.is_none(), || {
            format!("{name:?} was accepted, and is none of its owner's jobs")
        })?;
    }
    Ok(())
}
