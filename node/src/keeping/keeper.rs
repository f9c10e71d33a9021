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
use super::remembering::Remembering;
use super::{JournalState, Kept};
use crate::jobs::{JobState, JobSummary};

/// Blobs that are put onto the disk at once: each waits for the disk most of the time.
const SYNCS: usize = 8;
/// How long the journal may take nothing before it counts as failed: a disk that hangs.
const STUCK: Duration = Duration::from_secs(600);
/// How long a node that is dropped waits for its journal; and between two looks.
const DROPPED_MAX: Duration = Duration::from_secs(5);
const DROPPED_LOOK: Duration = Duration::from_millis(2);
/// How often the store is asked for a blob that it can't read, and the pause before: the system may be out of files.
const BLOB_TRIES: u32 = 20;
const BLOB_PAUSE: Duration = Duration::from_millis(500);
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
        let worker = Worker {
            journal: Arc::clone(&journal),
            kept: kept.clone(),
            store,
            last: 0,
            remembering: Remembering::default(),
        };
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

    /// Adds an order. Never waits. Nothing is kept once the journal has failed.
    pub(crate) fn add(&self, order: Order) {
        if !self.kept.news.has_failed() {
            self.kept.orders.add(order);
        }
    }

    /// Whether the loop must take in nothing more until there is news.
    pub(crate) fn is_full(&self) -> bool {
        !self.kept.news.has_failed() && self.kept.orders.is_full()
    }

    /// What the engine does not know yet.
    pub(crate) fn news(&self) -> Vec<Input> {
        self.kept.news.take()
    }

    /// How the journal is.
    pub(crate) fn journal(&self) -> JournalState {
        self.kept.news.journal()
    }

    /// Looks whether the disk has room for a new job: if that changed, it is news.
    pub(crate) fn look_at_room(&self) {
        let probe = Entry::Append { job: JobId(0), seq: 1, kind: Kind::Accepted, ends: 0, bytes: Vec::new() };
        let looked = self.journal.as_ref().map(|journal| journal.check_room(&[probe]));
        let is_low = matches!(looked, Some(Err(Refused::DiskLow { .. })));
        let is_known = is_low || matches!(looked, Some(Ok(()) | Err(Refused::Busy { .. })));
        if is_known && self.kept.news.journal().is_disk_low != is_low {
            self.kept.news.tell(weft_journal::Event::DiskLow(is_low));
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

    /// Asks the thread to write what waits, and to close the journal.
    fn ask_to_end(&mut self) {
        self.journal = None;
        self.kept.orders.close();
    }

    fn end(&mut self) -> Result<(), String> {
        self.ask_to_end();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(closed)) => closed.map_err(|error| error.to_string()),
            Some(Err(panic)) => Err(weft_net::of_task("the journal's keeper", panic.as_ref()).to_string()),
        }
    }
}

/// A node that is dropped leaves its journal as a node that ends, unless the disk hangs.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.ask_to_end();
        let until = Instant::now() + DROPPED_MAX;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            if Instant::now() >= until {
                tracing::warn!("the journal is not closed: its disk takes too long");
                return;
            }
            std::thread::sleep(DROPPED_LOOK);
        }
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
    remembering: Remembering,
}

impl Worker {
    fn run(mut self) -> Result<(), Error> {
        while let Some((orders, is_awaited)) = self.kept.orders.take(self.remembering.due()) {
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
            if self.remembering.due().is_some_and(|due| due <= Instant::now()) {
                self.remember();
            }
        }
        self.remember();
        // The loop has dropped its own before it closed the queue.
        Arc::into_inner(self.journal).map_or(Ok(()), Journal::close)
    }

    /// Puts what the records name onto the disk, before the records.
    fn put_blobs(&self, orders: &VecDeque<Order>) -> Result<(), String> {
        let records = orders.iter().filter_map(|order| match order {
            Order::Keep { record, .. } => Some(record),
            Order::List { .. } | Order::Read { .. } | Order::Remember { .. } | Order::Forget { .. } => None,
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
        std::thread::scope(|scope| {
            for _ in 1..SYNCS.min(blobs.len()) {
                // Without a thread more it takes longer.
                drop(std::thread::Builder::new().spawn_scoped(scope, put));
            }
            put();
        });
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
            Order::Remember { known, gone } => self.remembering.note(known, gone),
            Order::Forget { ticket, job } => self.forget(ticket, job),
        }
    }

    /// Writes the results that wait for others.
    fn remember(&mut self) {
        let entries = self.remembering.take();
        if !entries.is_empty() && !self.kept.news.has_failed() {
            self.append(entries);
        }
    }

    fn keep(&mut self, ticket: u64, job: JobId, record: &LogRecord, listing: Option<Box<Listing>>) {
        let is_first = matches!(record, LogRecord::Accepted(_));
        let Some(seq) = self.journal.next_seq(job).or(is_first.then_some(1)) else {
            tracing::warn!("a record of job {job} is not kept: it was forgotten");
            return self.kept.news.pair(self.last, ticket);
        };
        let (kind, bytes) = (kind_of(record), record.encode());
        let ends = u32::try_from(record.ends().count()).unwrap_or(u32::MAX);
        let mut entries = vec![Entry::Append { job, seq, kind, ends, bytes }];
        entries.extend(listing.map(|listing| Entry::List { job, listing: *listing }));
        let is_kept = self.append_for(ticket, entries);
        if is_kept && matches!(record, LogRecord::Retried { .. }) {
            self.kept.shelf.note_retried(job, seq);
        }
    }

    /// What the log names in the store is wanted no longer. It can be read once all of it is on the disk.
    fn forget(&mut self, ticket: Option<u64>, job: JobId) {
        if !self.is_written() {
            return;
        }
        let mut named = Vec::new();
        // All of them or none: of a log that was hurt meanwhile, they stay pinned until the node is started again.
        match self.kept.shelf.blobs(job, |blob| named.push(blob)) {
            Ok(()) if ticket.is_some() => named.into_iter().for_each(|blob| self.store.unpin(blob)),
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "what a forgotten job kept in the store was not read"),
        }
        self.kept.shelf.note_forgotten(job);
        let entries = vec![Entry::Forget { job }];
        if let Some(ticket) = ticket {
            self.append_for(ticket, entries);
        } else if self.append(entries).is_some() && self.is_written() {
            self.kept.news.forget_quarantined(job);
        }
    }

    /// Waits until all that was appended is on the disk.
    fn is_written(&self) -> bool {
        let is_written = self.kept.news.wait_written(self.last, Instant::now() + STUCK);
        if !is_written {
            let why = self.journal.failure().map(|failure| failure.to_string());
            let stuck = || format!("the journal wrote nothing for {} s; check the disk", STUCK.as_secs());
            self.kept.news.fail(why.unwrap_or_else(stuck));
        }
        is_written
    }

    /// True if it was taken.
    fn append_for(&mut self, ticket: u64, entries: Vec<Entry>) -> bool {
        let append = self.append(entries);
        if let Some(append) = append {
            self.kept.news.pair(append, ticket);
        }
        append.is_some()
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

/// Puts a blob onto the disk. One that is missing is told, and is no failure of the disk. A sync that failed is final; that it
/// could not be read may pass.
fn put_blob(store: &Store, blob: BlobId) -> Result<(), String> {
    let mut tries = 1;
    loop {
        match store.make_durable(blob) {
            Ok(true) => return Ok(()),
            Ok(false) => {
                tracing::warn!(%blob, "a blob that a kept job rests on is not in the store");
                return Ok(());
            }
            Err(error) if error.is_sync() || tries >= BLOB_TRIES => {
                return Err(format!("a blob that a kept job rests on can't be put onto the disk: {error}"));
            }
            Err(error) => {
                tracing::warn!(%blob, %error, "a blob that a kept job rests on can't be read, and is tried again");
                tries += 1;
                std::thread::sleep(BLOB_PAUSE);
            }
        }
    }
}

/// The journal's word for a record.
fn kind_of(record: &LogRecord) -> Kind {
    let names_blobs = record.blobs().next().is_some();
    match record {
        LogRecord::Accepted(_) => Kind::Accepted,
        LogRecord::Extended { .. } if names_blobs => Kind::NamingExtended,
        LogRecord::Extended { .. } => Kind::Extended,
        LogRecord::Closed => Kind::Closed,
        LogRecord::Outcomes(_) if names_blobs => Kind::NamingOutcomes,
        LogRecord::Outcomes(_) => Kind::Outcomes,
        LogRecord::Rest(_) => Kind::Rest,
        LogRecord::Cancelled => Kind::Cancelled,
        LogRecord::Restarted { .. } => Kind::Restarted,
        LogRecord::Ended => Kind::Ended,
        LogRecord::Retried { .. } => Kind::Retried,
        LogRecord::Led { .. } | LogRecord::Replaced { .. } => Kind::Epoch,
        LogRecord::ParentEnded(_) | LogRecord::GivenUp { .. } | LogRecord::NotTaken(_) => Kind::Noted,
    }
}

/// When a job was read, by the record of it.
pub(super) fn read_at_ms(bytes: &[u8]) -> Option<u64> {
    <[u8; READ_BYTES]>::try_from(bytes).ok().map(u64::from_le_bytes)
}
