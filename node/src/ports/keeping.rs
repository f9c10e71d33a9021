//! The engine's effects that are about the journal.

use weft_core::durable::LogRecord;
use weft_core::{Input, JobId, Remembered, TaskId};

use super::Ports;
use crate::keeping::{Keeper, Order};

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

    /// Whether the disk is so far behind that the loop must take in nothing more.
    pub(crate) fn is_full(&self) -> bool {
        self.keeper.as_ref().is_some_and(Keeper::is_full)
    }

    /// What the journal says that the engine does not know yet.
    pub(crate) fn news(&self) -> Vec<Input> {
        self.keeper.as_ref().map(Keeper::news).unwrap_or_default()
    }

    /// Has a record kept, and what it names in the store, until the job is forgotten.
    pub(super) fn persist(&self, ticket: u64, job: JobId, record: LogRecord) {
        let Some(keeper) = &self.keeper else { return };
        record.blobs().for_each(|blob| self.store.pin(blob));
        // Never listed as ended while its log says otherwise: of those less is read at the next start.
        let goes_on = matches!(record, LogRecord::Accepted(_) | LogRecord::Retried { .. });
        let summary = self.jobs.summary(job).filter(|_| goes_on);
        let listing = summary.map(|summary| Box::new(keeper.line_of(&summary)));
        keeper.add(Order::Keep { ticket, job, record: Box::new(record), listing });
    }

    /// Has known results kept for a later life.
    pub(super) fn remember(&self, known: Vec<Remembered>, gone: Vec<TaskId>) {
        if let Some(keeper) = &self.keeper {
            keeper.add(Order::Remember { known, gone });
        }
    }

    /// Has a log removed.
    pub(super) fn forget(&self, ticket: u64, job: JobId) {
        if let Some(keeper) = &self.keeper {
            keeper.add(Order::Forget { ticket: Some(ticket), job });
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
