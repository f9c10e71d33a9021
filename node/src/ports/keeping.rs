//! The engine's effects that are about the journal.

use std::sync::Arc;
use std::time::Instant;

use weft_core::durable::{Accepted, LogRecord};
use weft_core::{BlobId, Event, Input, JobId, Remains, Remembered, Retained, RetainedKey, TaskId};

use super::Ports;
use crate::counts::kept_and_open;
use crate::jobs::{CLIENT_WAIT_MAX, Led, now_ms};
use crate::keeping::{self, Keeper, Order, Question, Word};

/// Jobs of which a leader was told before their first record; of more, their owners are taken for the leaders at first.
const LEADERS_MAX: usize = 65_536;

/// What the loop hears of the journal.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an input is handed over once, and lives no longer")]
pub(crate) enum News {
    /// For the engine.
    Input(Input),
    /// A job rests on a blob that is gone.
    Lost {
        /// The job.
        job: JobId,
        /// The blob.
        blob: BlobId,
    },
}

impl Ports {
    /// Keeps jobs at level `disk` from now on.
    pub(crate) fn keep_with(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// What keeps them.
    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }

    /// What kept them, to be closed: nothing is kept from now on.
    pub(crate) fn take_keeper(&mut self) -> Option<Keeper> {
        self.keeper.take()
    }

    /// The node does not start.
    pub(crate) fn abandon_journal(&mut self) {
        self.keeper.take().into_iter().for_each(Keeper::abandon);
    }

    /// Whether the disk is so far behind that the loop must take in nothing more.
    pub(crate) fn is_full(&self) -> bool {
        self.keeper.as_ref().is_some_and(Keeper::is_full)
    }

    /// What the journal says that the loop does not know yet.
    pub(crate) fn news(&mut self) -> Vec<News> {
        let words = self.keeper.as_ref().map(Keeper::news).unwrap_or_default();
        words.into_iter().map(|word| self.heard(word)).collect()
    }

    /// What the engine is told of a word; what the table is to show of a log is kept until the engine leads the job.
    fn heard(&mut self, word: Word) -> News {
        match word {
            Word::Input(input) => News::Input(input),
            Word::Lost { job, blob } => News::Lost { job, blob },
            Word::Recalled { job, restored, shown } => {
                self.recalled.insert(job, *shown);
                News::Input(Input::Recalled { job, restored: Some(restored) })
            }
        }
    }

    /// A job whose log was read is not led here.
    pub(crate) fn drop_recalled(&mut self, job: JobId) {
        self.recalled.remove(&job);
    }

    /// What a person is to be told of jobs that are led here since the last input.
    pub(crate) fn take_words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.words)
    }

    /// Jobs whose logs were read, as the table would show them.
    #[cfg(test)]
    pub(crate) fn count_recalled(&self) -> usize {
        self.recalled.len()
    }

    /// Has a record kept, and what it names in the store, until the job is forgotten.
    pub(super) fn persist(&mut self, ticket: u64, job: JobId, record: LogRecord, bytes: Option<Arc<[u8]>>) {
        if self.keeper.is_none() {
            return;
        }
        record.blobs().for_each(|blob| self.store.pin(blob));
        // Never listed as ended while its log says otherwise: of those less is read at the next start.
        let goes_on = matches!(record, LogRecord::Accepted(_) | LogRecord::Retried { .. });
        if let LogRecord::Accepted(accepted) = &record {
            self.enter(job, accepted);
        }
        if let Some(keeper) = &self.keeper {
            let summary = self.jobs.summary(job).filter(|_| goes_on);
            let listing = summary.map(|summary| Box::new(keeper.line_of(&summary)));
            keeper.add(Order::Keep { ticket, job, record: Box::new(record), bytes, listing });
        }
    }

    /// Has the table know who keeps a job that is not its owner's alone; also if it is another node's.
    fn enter(&mut self, job: JobId, accepted: &Accepted) {
        let keepers = accepted.keepers.peers();
        if keepers.is_empty() {
            return;
        }
        if let Some(kept) = keeping::kept_for_another(accepted) {
            self.jobs.keep(job, kept);
        }
        if let Some(leader) = self.leaders.remove(&job)
            && self.jobs.is_followed(job)
        {
            self.jobs.follow(job, Some(leader));
        }
        self.jobs.set_keepers(job, keepers);
        self.jobs.set_shared(job, accepted.spec.about.shared);
    }

    /// Has known results kept for a later life.
    pub(super) fn remember(&self, known: Vec<Remembered>, gone: Vec<TaskId>) {
        if let Some(keeper) = &self.keeper {
            keeper.add(Order::Remember { known, gone });
        }
    }

    /// Has outcomes kept for a later life that are not acknowledged, and others forgotten.
    pub(super) fn retain(&self, outcomes: Vec<Retained>, gone: Vec<RetainedKey>) {
        if let Some(keeper) = &self.keeper {
            keeper.add(Order::Retain { outcomes, gone });
        }
    }

    /// Has the records behind one removed.
    pub(super) fn cut(&self, ticket: u64, job: JobId, after: u32) {
        if let Some(keeper) = &self.keeper {
            keeper.add(Order::Cut { ticket, job, after });
        }
    }

    /// Has a promise written.
    pub(super) fn promise(&self, ticket: u64, job: JobId, epoch: u32) {
        if let Some(keeper) = &self.keeper {
            keeper.add(Order::Promise { ticket, job, epoch });
        }
    }

    /// Has a log read; the answer is news. Once there is no journal it can't be read.
    pub(super) fn ask(&mut self, question: Question) {
        match &self.keeper {
            Some(keeper) => keeper.add(Order::Ask(question)),
            None => self.answered.push_back(question.unread()),
        }
    }

    /// Has a log removed. A job that another node led is unknown at once: no client is told of it.
    pub(super) fn forget(&mut self, ticket: u64, job: JobId, remains: Remains) {
        self.recalled.remove(&job);
        self.leaders.remove(&job);
        self.jobs.forget_followed(job);
        if let Some(keeper) = &self.keeper {
            keeper.add(Order::Forget { ticket: Some(ticket), job, remains });
        }
    }

    /// The table takes note of an event; one that changes who leads a job changes what it shows.
    pub(super) fn note(&mut self, event: Event) {
        let ended = if let Event::JobEnded { job } = &event { Some(*job) } else { None };
        if let Event::Leads { job } = &event {
            self.lead(*job);
        }
        if let Event::Follows { job, .. } | Event::Forgotten { job, .. } = &event {
            self.recalled.remove(job);
        }
        if let Event::Follows { job, leader: Some(leader) } = &event
            && self.leaders.len() < LEADERS_MAX
            && !self.jobs.is_known(*job)
        {
            self.leaders.insert(*job, *leader);
        }
        self.jobs.record(event);
        ended.into_iter().for_each(|job| self.list(job));
    }

    /// This node leads a job that was recalled: the table shows what its log says. Not all of its inputs had come, if it is open:
    /// their stream ended with the leader before, and its client may come back.
    fn lead(&mut self, job: JobId) {
        let Some(mut shown) = self.recalled.remove(&job) else {
            return tracing::warn!("job {job} is led here, and its log was not read: it is shown as before");
        };
        let (kept, left) = (shown.counts.ended(), shown.counts.tasks.saturating_sub(shown.counts.ended()));
        self.words.push(format!("job {job} is led here from now on: {}", kept_and_open(kept, left)));
        let is_open = !shown.closed && shown.ended_ms.is_none() && !shown.meta.takes_results;
        if let Some(custody) = &mut shown.custody {
            custody.led = Led::Here;
        }
        // Its results are kept from now on as long as if they were read now: the leader before knew when they were.
        shown.read_ms = Some(now_ms());
        self.jobs.lead(job, shown);
        self.list(job);
        if is_open {
            self.jobs.await_client(job, Instant::now() + CLIENT_WAIT_MAX);
        }
    }

    /// Has a job of the journal listed as it is now.
    pub(crate) fn list(&self, job: JobId) {
        let summary = self.jobs.summary(job).filter(|summary| summary.journalled);
        if let (Some(keeper), Some(summary)) = (&self.keeper, summary) {
            keeper.list(&summary);
        }
    }
}
