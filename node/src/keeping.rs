//! Jobs at levels `disk` and `mesh`: what the engine wants kept goes into the journal, and what the journal says goes to the
//! engine.
//!
//! ```text
//!   loop --Order--> orders --> keeper's thread: blobs onto the disk, then append --> journal's thread: group, fsync
//!     ^            (bounded)             |                                                        |
//!     |                                  '-- question --> threads that read a log                 |
//!     |                                                              |                            |
//!     '---- news: Persisted { upto } | JournalFailed | DiskLow | LogRead | Recalled <-------------'
//!
//!   API --> shelf: pages of results, a job's whole log (blocking threads, readers of their own)
//! ```
//!
//! [`open`] comes before the engine: it reads everything back, and has the jobs that the engine is told first. Nothing
//! here decides about a job. While `orders` is full the loop takes in nothing more; nothing is dropped. A record that the
//! journal does not take, for any reason but a queue that is full, is a failure of the journal, and final.

mod adopting;
mod back;
mod blobs;
mod disk;
mod gather;
mod keeper;
mod lines;
mod news;
mod opening;
mod orders;
mod packing;
mod reading;
mod remembering;
mod shelf;
mod shown;
mod tally;
mod things;
mod worker;

use std::sync::Arc;

use weft_core::durable::{Adoption, NotAdoptable, Restored};
use weft_core::{JobId, Remains};

pub(crate) use adopting::{Cursor, Inherited};
pub(crate) use keeper::Keeper;
pub use news::JournalState;
use news::News;
pub(crate) use news::Word;
pub(crate) use opening::{Opened, Place, open};
pub(crate) use orders::Order;
use orders::Orders;
pub(crate) use reading::Question;
pub(crate) use shelf::Part;
use shelf::Shelf;
pub use shelf::Unreadable;
pub(crate) use shown::kept_for_another;

use crate::jobs::{JobSummary, Portion, RestoredJob};

/// What those have who only ask: the API and its clients.
#[derive(Clone, Debug)]
pub struct Kept {
    shelf: Arc<Shelf>,
    orders: Arc<Orders>,
    news: News,
}

impl Kept {
    /// How the journal is.
    #[must_use]
    pub fn journal(&self) -> JournalState {
        self.news.journal()
    }

    /// Whether a job's records can't be used.
    pub(crate) fn is_quarantined(&self, job: JobId) -> bool {
        self.news.is_quarantined(job)
    }

    /// Bytes of records that wait for the keeper's thread.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.orders.bytes()
    }

    /// Has it noted that a job's results were read.
    pub(crate) fn note_read(&self, job: JobId, at_ms: u64) {
        self.orders.add(Order::Read { job, at_ms });
    }

    /// Has a job's log removed that the engine does not know: it is in quarantine. Waits until the disk has forgotten it.
    pub(crate) async fn forget(&self, job: JobId) {
        self.orders.add(Order::Forget { ticket: None, job, remains: Remains::Nothing });
        self.news.forgotten(job).await;
    }

    /// Results of a job from the `cursor`-th on, read on a blocking thread.
    pub(crate) async fn results(
        &self,
        summary: &JobSummary,
        cursor: u64,
        portion: Portion,
    ) -> Result<Part, Unreadable> {
        let (shelf, job, program) = (Arc::clone(&self.shelf), summary.job, summary.meta.signed.clone());
        // What was not told is on this disk perhaps, and not on another one.
        let ends = cursor..summary.told;
        let read = move || shelf.results(job, ends, portion, program.as_deref());
        self.read(job, read).await
    }

    /// What goes over of a job to a new one.
    pub(crate) async fn adoption(&self, job: JobId) -> Result<Result<Adoption, NotAdoptable>, Unreadable> {
        let shelf = Arc::clone(&self.shelf);
        self.read(job, move || shelf.adoption(job)).await
    }

    /// The next tasks that go over, and where those behind them begin; nothing behind the last.
    pub(crate) async fn inherited(
        &self,
        job: JobId,
        adoption: &Arc<Adoption>,
        from: Cursor,
    ) -> Result<Option<(Inherited, Cursor)>, Unreadable> {
        let (shelf, adoption) = (Arc::clone(&self.shelf), Arc::clone(adoption));
        self.read(job, move || shelf.inherited(job, &adoption, from)).await
    }

    /// A job that ended, as its log says that it is, with what did not succeed open again.
    pub(crate) async fn reopened(
        &self,
        summary: &JobSummary,
    ) -> Result<(Box<Restored>, RestoredJob), Unreadable> {
        let (shelf, job) = (Arc::clone(&self.shelf), summary.job);
        let (restored, mut tally) = self.read(job, move || shelf.restored(job)).await?;
        tally.retry();
        let reopened = RestoredJob {
            meta: summary.meta.clone(),
            ended_ms: None,
            read_ms: None,
            closed: true,
            cancelled: false,
            given_up: false,
            counts: tally.counts,
            input_bytes: tally.input_bytes,
            told: tally.told,
            ended: tally.ended.0,
            accepted: false,
            restarted: None,
            refused_more: summary.refused_more.clone(),
            custody: summary.custody.clone(),
        };
        Ok((restored, reopened))
    }

    /// Reads a job's records; whether they can be read is in the node's status from then on.
    async fn read<T: Send + 'static>(
        &self,
        job: JobId,
        read: impl FnOnce() -> Result<T, Unreadable> + Send + 'static,
    ) -> Result<T, Unreadable> {
        let answer = on_blocking_thread(job, read).await;
        self.news.note_reading(job, answer.as_ref().err());
        answer
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    job: JobId,
    read: impl FnOnce() -> Result<T, Unreadable> + Send + 'static,
) -> Result<T, Unreadable> {
    match tokio::task::spawn_blocking(read).await {
        Ok(answer) => answer,
        Err(ended) => {
            crate::ports::report_panic("reading the journal", ended);
            Err(Unreadable::new(job, "reading it broke, which is a fault of weft"))
        }
    }
}

#[cfg(test)]
mod tests;
