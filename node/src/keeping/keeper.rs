//! The keeper's thread: takes orders, puts the blobs that a record names onto the disk, and then appends the record. It
//! waits for the disk, so that the loop need not. And the loop's side of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weft_blobs::Store;
use weft_core::durable::LogRecord;
use weft_core::{BlobId, Input, JobId, PeerId};
use weft_journal::{Entry, Error, Journal, Kind, Listing, Refused, State};

use super::orders::Order;
use super::shelf::count_ends;
use super::{JournalState, Kept};
use crate::jobs::{JobState, JobSummary};

/// Blobs that are put onto the disk at once: each waits for the disk most of the time.
const SYNCS: usize = 8;
/// How long the journal may take nothing before it counts as failed: a disk that hangs.
const STUCK: Duration = Duration::from_secs(600);
/// Longest record that says when a job was read, in bytes.
const READ_BYTES: usize = 8;

/// The loop's side.
#[derive(Debug)]
pub(crate) struct Keeper {
    me: PeerId,
    kept: Kept,
    /// None once it is closing.
    journal: Option<Arc<Journal>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(me: PeerId, journal: Journal, kept: Kept, store: Store) -> std::io::Result<Self> {
        let journal = Arc::new(journal);
        let worker = Worker { journal: Arc::clone(&journal), kept: kept.clone(), store, last: 0 };
        let news = kept.news.clone();
        let run = move || {
            let ended = weft_net::caught_call("the journal's keeper", || worker.run());
            ended.unwrap_or_else(|panicked| {
                news.fail(panicked.to_string());
                Ok(())
            })
        };
        let thread = std::thread::Builder::new().name(String::from("weft-keeper")).spawn(run)?;
        Ok(Self { me, kept, journal: Some(journal), thread: Some(thread) })
    }

    /// For those who only ask.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Adds an order. Never waits.
    pub(crate) fn add(&self, order: Order) {
        self.kept.orders.add(order);
    }

    /// Whether the loop must take in nothing more until there is news.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.orders.is_full()
    }

    /// What the engine does not know yet.
    pub(crate) fn news(&self) -> Vec<Input> {
        self.kept.news.take()
    }

    /// How the journal is.
    pub(crate) fn journal(&self) -> JournalState {
        self.kept.news.journal()
    }

    /// Looks whether the disk has room for a new job; if not, that is news.
    pub(crate) fn look_at_room(&self) {
        let probe = Entry::Append { job: JobId(0), seq: 1, kind: Kind::Accepted, ends: 0, bytes: Vec::new() };
        let looked = self.journal.as_ref().map(|journal| journal.check_room(&[probe]));
        if let Some(Err(Refused::DiskLow { .. })) = looked {
            self.kept.news.tell(weft_journal::Event::DiskLow(true));
        }
    }

    /// Has a job listed as it is now.
    pub(crate) fn list(&self, summary: &JobSummary) {
        self.add(Order::List { job: summary.job, listing: Box::new(self.line_of(summary)) });
    }

    /// The line of a job in the list.
    pub(crate) fn line_of(&self, summary: &JobSummary) -> Listing {
        let state = match summary.state() {
            JobState::Open | JobState::Running => State::Running,
            JobState::Done => State::Done,
            JobState::Failed => State::Failed,
            JobState::Cancelled => State::Cancelled,
        };
        let title = &summary.meta.title;
        Listing {
            owner: self.me,
            name: title.name.clone(),
            labels: title.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            state,
            since_ms: summary.meta.submitted_ms,
            ended_ms: summary.ended_ms,
            tasks: summary.tasks.into(),
            done: summary.done.into(),
            failed: summary.failed.into(),
        }
    }

    /// Writes what waits, and closes the journal. Blocks meanwhile.
    pub(crate) fn close(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        self.journal = None;
        self.kept.orders.close();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(closed)) => closed.map_err(|error| error.to_string()),
            Some(Err(panic)) => Err(weft_net::of_task("the journal's keeper", panic.as_ref()).to_string()),
        }
    }
}

/// A node that is dropped leaves its journal as a node that ends.
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the journal was not closed");
        }
    }
}

/// The thread.
struct Worker {
    journal: Arc<Journal>,
    kept: Kept,
    store: Store,
    /// The last append.
    last: u64,
}

impl Worker {
    fn run(mut self) -> Result<(), Error> {
        while let Some((orders, is_awaited)) = self.kept.orders.take() {
            if is_awaited {
                self.kept.news.wake();
            }
            if self.kept.news.has_failed() {
                continue;
            }
            if let Err(why) = self.put_blobs(&orders) {
                self.kept.news.fail(why);
                continue;
            }
            for order in orders {
                self.perform(order);
            }
        }
        // The loop has dropped its own before it closed the queue.
        Arc::into_inner(self.journal).map_or(Ok(()), Journal::close)
    }

    /// Puts what the records name onto the disk, before the records.
    fn put_blobs(&self, orders: &VecDeque<Order>) -> Result<(), String> {
        let records = orders.iter().filter_map(|order| match order {
            Order::Keep { record, .. } => Some(record),
            Order::List { .. } | Order::Read { .. } | Order::Forget { .. } => None,
        });
        let blobs: BTreeSet<BlobId> = records.flat_map(|record| record.blobs()).collect();
        let blobs: Vec<BlobId> = blobs.into_iter().collect();
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let put = || {
            while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = put_blob(&self.store, *blob) {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        if blobs.len() < 2 {
            put();
        } else {
            std::thread::scope(|scope| (0..SYNCS.min(blobs.len())).for_each(|_| drop(scope.spawn(put))));
        }
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn perform(&mut self, order: Order) {
        match order {
            Order::Keep { ticket, job, record, listing } => self.keep(ticket, job, &record, listing),
            Order::List { job, listing } => {
                self.append(vec![Entry::List { job, listing: *listing }]);
            }
            Order::Read { job, at_ms } => {
                let Some(seq) = self.journal.next_seq(job) else { return };
                let bytes = at_ms.to_le_bytes().to_vec();
                self.append(vec![Entry::Append { job, seq, kind: Kind::Read, ends: 0, bytes }]);
            }
            Order::Forget { ticket, job } => self.forget(ticket, job),
        }
    }

    fn keep(&mut self, ticket: u64, job: JobId, record: &LogRecord, listing: Option<Box<Listing>>) {
        let seq = self.journal.next_seq(job).unwrap_or(1);
        let (kind, ends, bytes) = (kind_of(record), count_ends(record), record.encode());
        let mut entries = vec![Entry::Append { job, seq, kind, ends, bytes }];
        entries.extend(listing.map(|listing| Entry::List { job, listing: *listing }));
        if matches!(record, LogRecord::Retried { .. }) {
            self.kept.shelf.note_retried(job, seq);
        }
        self.append_for(ticket, entries);
    }

    /// What the log names in the store is wanted no longer. It can be read once all of it is on the disk.
    fn forget(&mut self, ticket: Option<u64>, job: JobId) {
        if !self.kept.news.wait_written(self.last) {
            return;
        }
        if let Err(error) = self.kept.shelf.blobs(job, |blob| self.store.unpin(blob)) {
            // In quarantine: nothing of it was pinned.
            tracing::debug!(%error, "what a forgotten job kept in the store was not read");
        }
        self.kept.shelf.note_forgotten(job);
        let entries = vec![Entry::Forget { job }];
        match ticket {
            Some(ticket) => self.append_for(ticket, entries),
            None => {
                self.append(entries);
            }
        }
    }

    fn append_for(&mut self, ticket: u64, entries: Vec<Entry>) {
        if let Some(append) = self.append(entries) {
            self.kept.news.pair(append, ticket);
        }
    }

    /// Appends, and waits for room in the journal's queue. What else the journal refuses, this node did wrong.
    fn append(&mut self, entries: Vec<Entry>) -> Option<u64> {
        match self.journal.append_admitted(entries, Instant::now() + STUCK) {
            Ok(append) => {
                self.last = append;
                Some(append)
            }
            // A line or a reading of a job that was forgotten meanwhile.
            Err(Refused::Unknown { .. }) => None,
            Err(Refused::Failed(failure)) => {
                self.kept.news.fail(failure.to_string());
                None
            }
            Err(refused) => {
                self.kept.news.fail(format!("the journal did not take a record: {refused}"));
                None
            }
        }
    }
}

/// Puts a blob onto the disk. One that is missing is told, and is no failure of the disk.
fn put_blob(store: &Store, blob: BlobId) -> Result<(), String> {
    match store.make_durable(blob) {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::warn!(%blob, "a blob that a kept job rests on is not in the store");
            Ok(())
        }
        Err(error) => Err(format!("a blob that a kept job rests on can't be put onto the disk: {error}")),
    }
}

/// The journal's word for a record.
fn kind_of(record: &LogRecord) -> Kind {
    match record {
        LogRecord::Accepted(_) => Kind::Accepted,
        LogRecord::Extended { .. } => Kind::Extended,
        LogRecord::Closed => Kind::Closed,
        LogRecord::Outcomes(_) | LogRecord::Rest(_) => Kind::Outcomes,
        LogRecord::Cancelled => Kind::Cancelled,
        LogRecord::Restarted { .. } => Kind::Restarted,
        LogRecord::Ended => Kind::Ended,
        LogRecord::Retried { .. } => Kind::Retried,
        LogRecord::ParentEnded(_) | LogRecord::GivenUp { .. } => Kind::Noted,
    }
}

/// When a job was read, by the record of it.
pub(super) fn read_at_ms(bytes: &[u8]) -> Option<u64> {
    <[u8; READ_BYTES]>::try_from(bytes).ok().map(u64::from_le_bytes)
}
