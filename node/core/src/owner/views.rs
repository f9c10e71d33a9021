//! What others may read of the owner; `explain.rs` makes it. Nothing here decides.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::dispatch::trust::may_give;
use super::{Owner, absent, explain, fetching};
use crate::audit::JobAudit;
use crate::id::{JobId, LeaseId, PeerId};
use crate::snapshot::{JobView, Note, ReputationView, SelfFencingView, TaskView, Why};
use crate::time::Time;
use explain::Viewpoint;

impl Owner {
    // ---- how others see it

    pub(crate) fn job_views(&self) -> Vec<JobView> {
        explain::job_views(&self.records, &self.history)
    }

    pub(crate) fn why(&self, from: Viewpoint<'_>, name: JobId, index: u32) -> Option<Why> {
        let keeping = &self.books.keeping;
        let mut why = match self.records.get(&name) {
            Some(record) => {
                let mut why = explain::why(from, &self.records, record, index)?;
                if record.job.is_kept() && matches!(why.state, TaskView::Queued { .. }) {
                    why.notes.extend(keeping.note(record.name(), record.job.begins_with));
                    why.notes.extend(record.holders.waits().then_some(Note::AskingHolders));
                }
                if matches!(why.state, TaskView::After { .. } | TaskView::AwaitsResult { .. }) {
                    why.notes.extend(absent::notes(&self.books, record));
                }
                why
            }
            None => {
                let tasks = self.history.tasks_of(name);
                tasks.filter(|tasks| index < *tasks).map(|_| explain::why_ended())?
            }
        };
        why.notes.extend(keeping.keeper_note(from.now, name));
        Some(why)
    }

    pub(crate) fn backlog(&self) -> u32 {
        explain::backlog(&self.records, &self.books, &self.credit)
    }

    pub(crate) fn leased_to(&self, peer: PeerId) -> u32 {
        explain::leased_to(&self.books, peer)
    }

    /// How many more short tasks a worker takes now, if it granted credit that has not ended.
    pub(crate) fn credit_of(&self, peer: PeerId, now: Time) -> Option<u32> {
        self.credit.room(peer, now)
    }

    pub(crate) fn reputation(&self, now: Time, peer: PeerId) -> ReputationView {
        self.books.reputation.view(peer, now)
    }

    pub(crate) fn may_give(&self, now: Time, job: JobId, worker: PeerId) -> bool {
        let record = self.records.get(&job);
        record.is_some_and(|record| may_give(&self.books, &record.dispatch, worker, now).is_some())
    }

    pub(crate) fn fencing(&self, now: Time) -> Option<SelfFencingView> {
        self.fencing.view(now)
    }

    pub(crate) fn starved(&self) -> u32 {
        fetching::starved(&self.books)
    }

    /// What peers are blamed for, over all jobs together.
    pub(crate) fn blamed(&self, now: Time) -> BTreeMap<PeerId, u64> {
        let mut blamed = BTreeMap::new();
        self.books.reputation.tally(now, &mut blamed);
        self.records.values().for_each(|record| record.dispatch.reputation.tally(now, &mut blamed));
        blamed
    }

    pub(crate) fn audits(&self) -> Vec<JobAudit> {
        self.records
            .values()
            .filter(|record| !record.job.ended)
            .map(|record| explain::audit(record, self.books.keeping.count_gathered(record.name())))
            .collect()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.books.calls.count()
    }

    pub(crate) fn issued(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.books.leases.iter()
    }

    /// Words that wait for the disk, and what they take in bytes.
    pub(crate) fn held_words(&self) -> (usize, usize) {
        self.books.keeping.held()
    }

    /// Words about one job at level mesh that wait for a second disk.
    pub(crate) fn held_words_about(&self, job: JobId) -> usize {
        self.books.keeping.lines.count(job)
    }

    pub(crate) fn lease_ends(&self) -> Option<(Time, Time)> {
        Some((self.books.leases.first_end()?, self.books.leases.last_end()?))
    }
}
