//! What users and workers are told of a job at level `mesh`, by any node: it must be on two disks, and stays so.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_core::durable::LogRecord;
use weft_core::{Event, JobId, LeaseId, Outcome, PeerId, Report};

use super::rows::Rows;
use super::{CANCELLED, COMMITTED_TWICE, LOST, Mesh, MeshJob, OLD_EPOCH, TOLD_ANEW, TOLD_EARLY};
use crate::host::{HostId, SimHost};

/// What a user learns by an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The job, if the event is about one at level `mesh`.
    pub(crate) job: Option<JobId>,
    /// The job is cancelled.
    pub(crate) cancelled: bool,
    /// What failed of it is tried again.
    pub(crate) again_tried: bool,
    /// It was told the same before, by this node or another.
    pub(crate) again: bool,
    /// Tasks that it now knows to have ended, with their outcomes: a new leader's log says so.
    pub(crate) ends: Vec<(u32, Arc<Report>)>,
    /// It learns that the job ended.
    pub(crate) ended: bool,
}

impl Mesh {
    /// A node tells its user something of a job.
    pub(crate) fn on_event(&mut self, hosts: &[SimHost], by: HostId, event: &Event) -> Told {
        let job = job_in(event).filter(|job| self.has(*job));
        if job.is_none() { Told::default() } else { Told { job, ..self.learn(hosts, by, event) } }
    }

    fn learn(&mut self, hosts: &[SimHost], by: HostId, event: &Event) -> Told {
        let rows = |job: &JobId| Rows(hosts[by.0].disk.records(*job).to_vec());
        match event {
            Event::Accepted { job, tasks } => {
                let rows = rows(job);
                self.follow(*job, by);
                self.on_accepted(hosts, (*job, by), &rows, *tasks as usize)
            }
            Event::TaskEnded { job, index, report, .. } => {
                self.on_task_ended(hosts, (*job, by), &rows(job), (*index, report))
            }
            Event::JobEnded { job } => self.on_job_ended(hosts, (*job, by), &rows(job)),
            Event::JobGivenUp { job, .. } => {
                let rows = rows(job);
                let place = rows.last(|record| matches!(record, LogRecord::GivenUp { .. }));
                self.commit(hosts, (*job, by), &rows, place)
            }
            Event::Leads { job } => self.on_leads(hosts, (*job, by), &rows(job)),
            Event::Follows { job, .. } => {
                let job = self.jobs.get_mut(job).filter(|job| job.leader == Some(by));
                job.into_iter().for_each(|job| job.leader = None);
                Told::default()
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
            | Event::Keepers { .. }
            | Event::Leased { .. } => Told::default(),
        }
    }

    fn follow(&mut self, name: JobId, by: HostId) {
        self.jobs.get_mut(&name).into_iter().for_each(|job| job.leader = Some(by));
    }

    fn on_accepted(
        &mut self,
        hosts: &[SimHost],
        (name, by): (JobId, HostId),
        rows: &Rows,
        tasks: usize,
    ) -> Told {
        let news = self.commit(hosts, (name, by), rows, rows.accepting(tasks));
        self.jobs.get_mut(&name).into_iter().for_each(|job| job.accepted = job.accepted.max(Some(tasks)));
        news
    }

    fn on_task_ended(
        &mut self,
        hosts: &[SimHost],
        (name, by): (JobId, HostId),
        rows: &Rows,
        (index, report): (u32, &Arc<Report>),
    ) -> Told {
        let end = rows.ending(index);
        let news = self.commit(hosts, (name, by), rows, end.as_ref().map(|(place, _)| *place));
        let Some(job) = self.jobs.get_mut(&name) else { return Told::default() };
        let before = job.told.insert(index, report.clone());
        let written = end.map(|(_, written)| written.report);
        let same = before.as_ref().is_none_or(|told| told == report)
            && written.as_ref().is_none_or(|written| written == report);
        let over = job.is_over();
        self.demand(TOLD_ANEW, same || over, || {
            format!("task {index} of {name:?} ended as {before:?}, by host {} as {report:?}", by.0)
        });
        Told { again: before.is_some(), ..news }
    }

    fn on_job_ended(&mut self, hosts: &[SimHost], (name, by): (JobId, HostId), rows: &Rows) -> Told {
        let place = rows.last(|record| matches!(record, LogRecord::Ended { .. }));
        let news = self.commit(hosts, (name, by), rows, place);
        let Some(job) = self.jobs.get_mut(&name) else { return Told::default() };
        Told { again: std::mem::replace(&mut job.told_end, true), ..news }
    }

    /// A node begins to lead: its driver tells users what its log says up to its own epoch.
    fn on_leads(&mut self, hosts: &[SimHost], (name, by): (JobId, HostId), rows: &Rows) -> Told {
        let place = rows.last(|record| matches!(record, LogRecord::Led { .. } | LogRecord::Retried { .. }));
        let news = self.commit(hosts, (name, by), rows, place);
        self.follow(name, by);
        let Some(job) = self.jobs.get_mut(&name) else { return Told::default() };
        let short = rows.len() < job.committed.len() && !job.is_over();
        let mut told = news;
        job.accepted = job.accepted.max(job.said.accepted.then_some(job.said.tasks));
        for (index, end) in &job.said.ends {
            if job.told.insert(*index, end.report.clone()).is_none() {
                told.ends.push((*index, end.report.clone()));
            }
        }
        told.ended = job.said.ended && !std::mem::replace(&mut job.told_end, job.said.ended);
        self.demand(LOST, !short, || format!("host {} leads {name:?} with a shorter log", by.0));
        told
    }

    /// A user is told what the first `place` of these records say: they count as committed.
    pub(super) fn commit(
        &mut self,
        hosts: &[SimHost],
        (name, by): (JobId, HostId),
        rows: &Rows,
        place: Option<usize>,
    ) -> Told {
        let Some(job) = self.jobs.get_mut(&name) else { return Told::default() };
        if job.is_over() {
            return Told::default();
        }
        let Some(place) = place else {
            self.demand(TOLD_EARLY, false, || {
                format!("host {} tells of {name:?} what its log does not say", by.0)
            });
            return Told::default();
        };
        let rows = rows.first(place);
        if rows.begin_with_all(&job.committed) {
            return Told::default();
        }
        let copies = job.copies(hosts, name, &rows);
        let common = rows.count_common(&job.committed);
        let epoch = rows.epoch_at(common + 1);
        let committed_in = Rows(job.committed.clone()).epoch_at(common + 1);
        let (whole, news, doubted) = if common == job.committed.len() {
            let (news, doubted) = job.add(&rows.0[common..]);
            (true, news, doubted)
        } else {
            (false, Told::default(), None)
        };
        self.demand(TOLD_EARLY, copies >= 2, || {
            format!("host {} tells what {place} records of {name:?} say, {copies} disks have them", by.0)
        });
        let kind = if epoch < committed_in { OLD_EPOCH } else { COMMITTED_TWICE };
        self.demand(kind, whole, || {
            format!(
                "record {} of {name:?} was told in epoch {committed_in}, host {} tells another one of epoch {epoch}",
                common + 1,
                by.0
            )
        });
        let (kind, text) = doubted.unwrap_or((COMMITTED_TWICE, String::new()));
        self.demand(kind, text.is_empty(), || format!("{name:?}, host {}: {text}", by.0));
        news
    }

    /// A leader acknowledges outcomes to a worker: they may be forgotten there. The outcome of an attempt that was made again is
    /// in no record; that of the last one is, if the task ended with it.
    pub(crate) fn on_acknowledged(
        &mut self,
        hosts: &[SimHost],
        (by, worker): (HostId, PeerId),
        leases: &[LeaseId],
    ) {
        for LeaseId { job: name, index, epoch, attempt } in leases {
            let Some(job) = self.jobs.get(name).filter(|job| !job.verified && !job.is_over()) else {
                continue;
            };
            let written = Rows(hosts[by.0].disk.written(*name).0);
            let Some((place, end)) = written.ending(*index) else { continue };
            let rows = written.first(place);
            if (end.worker, end.attempts, rows.epoch_at(place)) != (Some(worker), *attempt, *epoch) {
                continue;
            }
            let safe = rows.begin_with_all(&job.committed) || job.copies(hosts, *name, &rows) >= 2;
            self.demand(TOLD_EARLY, safe, || {
                format!("host {} acknowledges task {index} of {name:?}, which is not on two disks", by.0)
            });
        }
    }
}

pub(crate) fn job_in(event: &Event) -> Option<JobId> {
    match event {
        Event::TaskEnded { job, .. }
        | Event::Printed { job, .. }
        | Event::JobEnded { job }
        | Event::Lost { job, .. }
        | Event::JobGivenUp { job, .. }
        | Event::Differed { job, .. }
        | Event::Refused { job, .. }
        | Event::DependenciesSatisfied { job }
        | Event::Accepted { job, .. }
        | Event::ExtensionRefused { job, .. }
        | Event::Grown { job, .. }
        | Event::RetryRefused { job, .. }
        | Event::Confirmed { job }
        | Event::Forgotten { job, .. }
        | Event::Leads { job }
        | Event::Follows { job, .. }
        | Event::Keepers { job, .. }
        | Event::Leased { job, .. } => Some(*job),
        Event::OwnerGone { .. } => None,
    }
}

impl MeshJob {
    /// More records count as committed. What a user learns, and what must not be.
    fn add(&mut self, records: &[Arc<LogRecord>]) -> (Told, Option<(&'static str, String)>) {
        let (mut news, mut doubted) = (Told::default(), None);
        for record in records {
            let was_cancelled = self.said.cancelled;
            let before: BTreeSet<u32> = self.said.ends.keys().copied().collect();
            let twice = self.said.add(record);
            let mut ended = self.said.ends.iter().filter(|(index, _)| !before.contains(index));
            let went_on = ended.any(|(_, end)| end.report.outcome != Outcome::Cancelled);
            if !twice.is_empty() {
                doubted = Some((COMMITTED_TWICE, format!("tasks {twice:?} end again by {record:?}")));
            }
            if was_cancelled && went_on && !matches!(record.as_ref(), LogRecord::Retried { .. }) {
                doubted = Some((CANCELLED, format!("it was cancelled, and goes on by {record:?}")));
            }
            if matches!(record.as_ref(), LogRecord::Retried { .. }) {
                // Its user wanted other ends.
                self.told.retain(|_, report| report.outcome == Outcome::Done);
                (self.told_end, news.again_tried) = (false, true);
            }
            news.cancelled = self.said.cancelled;
            self.committed.push(Arc::clone(record));
        }
        (news, doubted)
    }
}
