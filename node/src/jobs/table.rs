//! What is behind the lock of the job table: entries, how many may be unfinished, and which ended ones go first.

use std::collections::{BTreeMap, VecDeque};

use weft_core::{Event, JobId, Outcome, PeerId, Proof, Refusal, Remains, Report};

use super::entry::Entry;
use super::feeding::Feed;
use super::forgotten::Forgotten;
use super::lately::Lately;
use super::open::Open;
use super::{
    ATTACHED_JOBS_MAX, DETACHED_JOBS_MAX, KEPT_JOBS_MAX, Print, RESULT_BYTES_MAX, RESULTS_MAX, Shown,
    TableFull, TaskEnd, UNFINISHED_MAX, now_ms,
};

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) jobs: BTreeMap<JobId, Entry>,
    unfinished: usize,
    /// Jobs of the journal.
    journalled: usize,
    /// Ended jobs of this node's memory, longest ended first.
    pub(super) ended_detached: VecDeque<JobId>,
    pub(super) ended_attached: VecDeque<JobId>,
    /// What detached jobs keep.
    pub(super) kept: Kept,
    /// What detached jobs have that has not ended.
    pub(super) open: Open,
    /// What was told a moment ago of jobs in the journal.
    pub(super) lately: Lately,
    pub(super) forgotten: Forgotten,
    /// Why the disk takes nothing more, if that is so.
    pub(super) journal_failure: Option<String>,
    /// Streams of inputs that there were.
    feeds: u64,
}

/// Results kept for detached jobs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) results: u64,
    pub(super) bytes: u64,
}

impl Kept {
    pub(super) fn is_over(self) -> bool {
        self.results > RESULTS_MAX || self.bytes > RESULT_BYTES_MAX
    }
}

impl Table {
    /// Enters a job.
    pub(super) fn enter(&mut self, job: JobId, entry: Entry) -> Result<(), TableFull> {
        if self.unfinished >= UNFINISHED_MAX {
            return Err(TableFull::Unfinished);
        }
        if entry.is_journalled() && self.journalled >= KEPT_JOBS_MAX {
            return Err(TableFull::Kept);
        }
        self.insert(job, entry);
        Ok(())
    }

    /// Enters a job that the journal knows; its bounds held when it was accepted.
    pub(super) fn insert(&mut self, job: JobId, entry: Entry) {
        self.forget(job);
        self.forgotten.take_back(job);
        self.unfinished += usize::from(entry.is_unfinished());
        self.journalled += usize::from(entry.is_kept_here());
        self.jobs.insert(job, entry);
        self.recount(job);
    }

    /// Counts a job's open tasks anew.
    fn recount(&mut self, job: JobId) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            let now = Open::of(entry);
            self.open.change(entry.counted, now);
            entry.counted = now;
        }
    }

    /// Another node leads a job.
    pub(super) fn follow(&mut self, job: JobId, leader: Option<PeerId>) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        self.unfinished -= usize::from(entry.is_unfinished());
        self.journalled -= usize::from(entry.is_kept_here());
        entry.follow(leader);
        self.lately.clear(job);
        self.recount(job);
    }

    /// Shows a job that another node leads as its log is now.
    pub(super) fn show(&mut self, job: JobId, shown: Shown) {
        if let Some(entry) = self.jobs.get_mut(&job).filter(|entry| !entry.is_here()) {
            entry.show(shown);
        }
    }

    pub(super) fn record(&mut self, event: Event) {
        match event {
            Event::TaskEnded { job, index, report, worker, attempts, memo, proof, verified } => {
                let verified = verified.map(Box::new);
                let end =
                    TaskEnd { number: None, index, report, worker, attempts, memo, receipt: None, verified };
                self.task_ended(job, end, proof);
            }
            Event::Printed { job, index, attempt, stream, offset, bytes } => {
                self.change(job, |entry| entry.printed(Print { index, attempt, stream, offset, bytes }));
            }
            Event::JobEnded { job } => self.job_ended(job),
            Event::JobGivenUp { job, failed: _ } => self.change(job, |entry| entry.given_up = true),
            Event::OwnerGone { owner, tasks, closed, unheard_ms } => {
                let how = if closed { "its process has ended" } else { "it fell silent" };
                tracing::warn!(
                    "{tasks} tasks of node {} are stopped: {how}, and nothing was heard of it for {} s",
                    owner.short(),
                    unheard_ms / 1000
                );
            }
            Event::Follows { job, leader } => self.follow(job, leader),
            Event::Keepers { job, keepers } => self.change(job, |entry| entry.set_keepers(keepers)),
            // The one that has its log enters it anew: [`super::JobTable::lead`].
            Event::Leads { .. } | Event::Differed { .. } | Event::DependenciesSatisfied { .. } => {}
            // The engine's own view counts them.
            Event::Leased { .. } => {}
            Event::Accepted { job, tasks } => self.change(job, |entry| entry.accept(tasks)),
            Event::Grown { job, tasks, closed } => self.change(job, |entry| entry.grow(tasks, closed)),
            Event::ExtensionRefused { job, tasks, reason } => {
                self.change(job, |entry| entry.refuse_more(tasks, &reason));
            }
            Event::Confirmed { job } => self.change(job, Entry::confirm),
            Event::Forgotten { job, remains: Remains::Left(_) } => self.forget(job),
            Event::Forgotten { job, remains: Remains::Nothing | Remains::Forgotten } => {
                self.forget_for_good(job);
            }
            Event::Refused { job, reason } => self.refuse(job, &reason),
            Event::RetryRefused { job, reason } => self.retry_refused(job, reason),
            Event::Lost { job, index: _, worker: _ } => {
                self.change(job, |entry| entry.lost = entry.lost.saturating_add(1));
            }
        }
    }

    /// A stream of inputs that there was not before.
    pub(super) fn next_feed(&mut self) -> Feed {
        self.feeds += 1;
        Feed::of(self.feeds)
    }

    /// Changes an entry; nothing happens if the job is unknown.
    pub(super) fn change(&mut self, job: JobId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            change(entry);
            self.recount(job);
        }
    }

    fn task_ended(&mut self, job: JobId, end: TaskEnd, proof: Option<Box<Proof>>) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if entry.is_journalled() {
            return self.told(job, end);
        }
        let kept = entry.task_ended(end, proof);
        let is_detached = entry.meta.detached;
        self.recount(job);
        if is_detached {
            self.kept.results += kept.results;
            self.kept.bytes += kept.bytes;
            if self.kept.is_over() {
                self.forget_surplus();
            }
        }
    }

    /// An end is in the journal, as safe as the level of its job promises.
    fn told(&mut self, job: JobId, end: TaskEnd) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let Some(number) = entry.tell(&end) else { return };
        let has_receipts = entry.meta.signed.is_some();
        self.recount(job);
        if !has_receipts {
            self.lately.add(job, number, end);
        }
    }

    /// Nothing of it will ever run, and each of its tasks says why.
    pub(super) fn refuse(&mut self, job: JobId, reason: &Refusal) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        self.journalled -= usize::from(entry.is_kept_here());
        entry.refuse(reason.to_string());
        for index in 0..entry.counts.tasks {
            let report = Report::bare(Outcome::Invalid(reason.to_string()));
            let end = TaskEnd {
                number: None,
                index,
                report: report.into(),
                worker: None,
                attempts: 0,
                memo: None,
                receipt: None,
                verified: None,
            };
            self.task_ended(job, end, None);
        }
        self.job_ended(job);
    }

    /// It has ended as it had before it was to be tried again.
    fn retry_refused(&mut self, job: JobId, reason: Refusal) {
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.is_retried()) else { return };
        self.unfinished -= usize::from(entry.is_unfinished());
        entry.refuse_again(reason);
        self.recount(job);
    }

    fn job_ended(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if entry.is_ended() {
            return;
        }
        self.unfinished -= usize::from(entry.is_unfinished());
        entry.end();
        let (is_journalled, is_detached) = (entry.is_journalled(), entry.meta.detached);
        self.recount(job);
        if is_journalled {
            return;
        }
        let ended = if is_detached { &mut self.ended_detached } else { &mut self.ended_attached };
        ended.push_back(job);
        self.forget_surplus();
    }

    /// Forgets the longest ended jobs until the rest is within its bounds, or nothing ended is left.
    fn forget_surplus(&mut self) {
        while self.ended_detached.len() > DETACHED_JOBS_MAX || self.kept.is_over() {
            let Some(job) = self.ended_detached.pop_front() else { break };
            self.forgotten.note(job, Some(now_ms()));
            self.forget_unlisted(job);
        }
        // An ended job whose results still flow stays until they have; there is one per open stream at most.
        let mut left = self.ended_attached.len();
        while self.ended_attached.len() > ATTACHED_JOBS_MAX && left > 0 {
            left -= 1;
            let Some(job) = self.ended_attached.pop_front() else { break };
            if self.jobs.get(&job).is_some_and(Entry::is_wanted) {
                self.ended_attached.push_back(job);
            } else {
                self.forgotten.note(job, Some(now_ms()));
                self.forget_unlisted(job);
            }
        }
    }

    /// Forgets a job that is nowhere any more; who asks for it later is told.
    pub(super) fn forget_for_good(&mut self, job: JobId) {
        self.forgotten.note(job, Some(now_ms()));
        self.forget(job);
    }

    /// Forgets a job, whatever its state.
    pub(super) fn forget(&mut self, job: JobId) {
        // A new job is not there; the lists are long.
        if self.jobs.contains_key(&job) {
            self.ended_detached.retain(|ended| *ended != job);
            self.ended_attached.retain(|ended| *ended != job);
        }
        self.forget_unlisted(job);
    }

    /// Forgets a job that is in neither list of ended jobs: its caller has taken it out.
    fn forget_unlisted(&mut self, job: JobId) {
        self.lately.clear(job);
        let Some(mut entry) = self.jobs.remove(&job) else { return };
        self.unfinished -= usize::from(entry.is_unfinished());
        self.journalled -= usize::from(entry.is_kept_here());
        self.open.change(entry.counted, Open::default());
        let freed = entry.abandon();
        if entry.meta.detached {
            self.release(freed);
        }
        entry.wake();
    }

    pub(super) fn release(&mut self, freed: Kept) {
        self.kept.results -= freed.results;
        self.kept.bytes -= freed.bytes;
    }
}
