//! The keeper's thread: takes orders, puts the blobs that a record names onto the disk, and then appends the record. It
//! waits for the disk, so that the loop need not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use weft_blobs::Store;
use weft_core::durable::LogRecord;
use weft_core::{JobId, PeerId, Remains, Retained, RetainedKey};
use weft_journal::{Entry, Error, Journal, Kind, Listing, Refused, Shelf as Thing};

use super::keeper::line_of;
use super::lines::Lines;
use super::news::{STUCK, Word};
use super::orders::Order;
use super::reading::Readings;
use super::remembering::Remembering;
use super::shelf::Shelf;
use super::tally::Tally;
use super::things::{encode_left, key_of};
use super::{Kept, blobs, disk};
use crate::jobs::{JobTable, now_ms};

/// What the thread has besides the journal.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) me: PeerId,
    pub(super) store: Store,
    /// Where files are for a moment.
    pub(super) spool: PathBuf,
    pub(super) jobs: Arc<JobTable>,
    /// Readers of its own.
    pub(super) shelf: Arc<Shelf>,
    /// Jobs in the journal that other nodes keep, too, as their logs are.
    pub(super) mesh: BTreeMap<JobId, Tally>,
    /// Jobs in quarantine that give way to what other nodes have of them.
    pub(super) given_up: BTreeSet<JobId>,
}

/// A record that is to be kept, and its bytes.
#[derive(Debug)]
struct Record<'a> {
    job: JobId,
    record: &'a LogRecord,
    bytes: Vec<u8>,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Worker {
    journal: Arc<Journal>,
    kept: Kept,
    parts: Parts,
    readings: Readings,
    /// The last append.
    last: u64,
    remembering: Remembering,
    lines: Lines,
}

impl Worker {
    pub(super) fn new(journal: Arc<Journal>, kept: Kept, parts: Parts) -> std::io::Result<Self> {
        let readings = Readings::start(&parts, &kept.news)?;
        let (remembering, lines) = (Remembering::default(), Lines::default());
        Ok(Self { journal, kept, parts, readings, last: 0, remembering, lines })
    }

    pub(super) fn run(mut self) -> Result<(), Error> {
        while let Some((orders, is_awaited)) = self.kept.orders.take(self.due()) {
            if is_awaited {
                self.kept.news.wake();
            }
            self.perform_all(orders);
            if self.due().is_some_and(|due| due <= Instant::now()) {
                self.write_waiting();
            }
        }
        self.write_waiting();
        drop(self.readings);
        // The loop has dropped its own before it closed the queue.
        Arc::into_inner(self.journal).map_or(Ok(()), Journal::close)
    }

    fn perform_all(&mut self, orders: VecDeque<Order>) {
        if !self.kept.news.has_failed() {
            let records = orders.iter().filter_map(Order::record);
            match blobs::put(&self.parts.store, records) {
                Ok(lost) => lost.into_iter().for_each(|(job, blob)| {
                    self.kept.news.add(Word::Lost { job, blob });
                }),
                Err(why) => self.kept.news.fail(why),
            }
        }
        for order in orders {
            if !self.kept.news.has_failed() {
                self.perform(order);
            } else if let Order::Ask(question) = order {
                self.kept.news.add(Word::Input(question.unread()));
            }
        }
    }

    fn perform(&mut self, order: Order) {
        match order {
            Order::Keep { ticket, job, record, bytes, listing } => {
                let bytes = bytes.map_or_else(|| record.encode(), |bytes| bytes.to_vec());
                self.keep(ticket, Record { job, record: &record, bytes }, listing);
            }
            Order::List { job, listing } => self.lines.note(job, *listing),
            Order::Read { job, at_ms } => self.note_read(job, at_ms),
            Order::Cut { ticket, job, after } => self.cut(ticket, job, after),
            Order::Promise { ticket, job, epoch } => self.promise(ticket, job, epoch),
            Order::Remember { known, gone } => self.remembering.note(known, gone),
            Order::Retain { outcomes, gone } => self.retain(outcomes, gone),
            Order::Ask(question) => self.readings.ask(question, self.last),
            Order::Forget { ticket, job, remains } => self.forget(ticket, job, remains),
        }
    }

    /// When what waits for other writes is written without them.
    fn due(&self) -> Option<Instant> {
        self.remembering.due().into_iter().chain(self.lines.due()).min()
    }

    fn write_waiting(&mut self) {
        if self.due().is_some() && !self.kept.news.has_failed() {
            let entries = self.remembering.take();
            self.append(entries);
        }
    }

    /// Writes outcomes of this node's worker, behind the blobs that they name, with whatever else is written now.
    fn retain(&mut self, mut outcomes: Vec<Retained>, gone: Vec<RetainedKey>) {
        let shelf = Thing::Undelivered;
        let blobs = outcomes.iter().flat_map(|kept| kept.delivery.report.blobs()).collect();
        match blobs::put_all(&self.parts.store, blobs) {
            Ok(missing) => {
                outcomes.retain(|kept| !kept.delivery.report.blobs().any(|blob| missing.contains(&blob)));
            }
            Err(why) => return self.kept.news.fail(why),
        }
        let taken = gone.into_iter().map(|key| Entry::Take { shelf, key: key.encode() });
        let put = outcomes.into_iter().map(|kept| Entry::Put {
            shelf,
            key: kept.key().encode(),
            bytes: kept.encode(),
        });
        self.append(taken.chain(put).collect());
    }

    fn keep(&mut self, ticket: u64, kept: Record<'_>, listing: Option<Box<Listing>>) {
        let Record { job, record, bytes } = kept;
        let is_first = matches!(record, LogRecord::Accepted(_));
        let mut entries = self.give_way(job);
        let is_new = is_first && (!entries.is_empty() || !self.kept.news.is_quarantined(job));
        let Some(seq) = self.journal.next_seq(job).or(is_new.then_some(1)) else {
            tracing::warn!("a record of job {job} is not kept: it was forgotten, or is in quarantine");
            return self.kept.news.pair(self.last, ticket);
        };
        let kind = kind_of(record);
        let ends = u32::try_from(record.ends().count()).unwrap_or(u32::MAX);
        entries.push(Entry::Append { job, seq, kind, ends, bytes });
        if let Some(listing) = listing {
            self.lines.forget(job);
            entries.push(Entry::List { job, listing: *listing });
        }
        if self.append_for(ticket, entries) {
            self.note_kept(job, seq, record);
        }
    }

    /// Takes note of a record that was appended.
    fn note_kept(&mut self, job: JobId, seq: u32, record: &LogRecord) {
        if matches!(record, LogRecord::Retried { .. }) {
            self.kept.shelf.note_retried(job, seq);
        }
        if matches!(record, LogRecord::Accepted(accepted) if !accepted.keepers.peers().is_empty()) {
            self.parts.mesh.entry(job).or_default();
        }
        let Some(tally) = self.parts.mesh.get_mut(&job) else { return };
        tally.apply(seq, record);
        self.parts.jobs.show(job, tally.shown());
        if matches!(record, LogRecord::Ended { .. } | LogRecord::Retried { .. }) {
            self.list_followed(job);
        }
    }

    /// Has a job listed as it is shown that another node leads: the loop is told nothing of it.
    fn list_followed(&mut self, job: JobId) {
        let summary = self.parts.jobs.summary(job).filter(|summary| summary.here().is_err());
        if let Some(summary) = summary {
            self.lines.note(job, line_of(&summary));
        }
    }

    /// Makes room for what other nodes have of a job whose log is in quarantine here. This node's disk has another number since
    /// that was found, so no node counts on what was in it.
    fn give_way(&mut self, job: JobId) -> Vec<Entry> {
        if !self.parts.given_up.remove(&job) {
            return Vec::new();
        }
        tracing::warn!(
            "the log of job {job}, which is in quarantine, gives way to that of its other keepers"
        );
        self.kept.news.forget_quarantined(job);
        self.lines.forget(job);
        vec![Entry::Forget { job }, disk::no_longer_lost(job)]
    }

    /// In a log that is other nodes' too, nothing but their records takes a number.
    fn note_read(&mut self, job: JobId, at_ms: u64) {
        let bytes = at_ms.to_le_bytes().to_vec();
        if self.parts.mesh.contains_key(&job) {
            self.append(vec![Entry::Put { shelf: Thing::Reads, key: key_of(job), bytes }]);
        } else if let Some(seq) = self.journal.next_seq(job) {
            self.append(vec![Entry::Append { job, seq, kind: Kind::Read, ends: 0, bytes }]);
        }
    }

    fn promise(&mut self, ticket: u64, job: JobId, epoch: u32) {
        let mut entries = self.give_way(job);
        if entries.is_empty() && self.kept.news.is_quarantined(job) {
            tracing::warn!("a promise about job {job} is not kept: what is here of it is in quarantine");
            return self.kept.news.pair(self.last, ticket);
        }
        entries.push(Entry::Own { job, bytes: epoch.to_le_bytes().to_vec() });
        self.append_for(ticket, entries);
    }

    /// Removes the end of a log, and then counts anew what is left: it is rare, and short of a lost leader it never happens.
    fn cut(&mut self, ticket: u64, job: JobId, after: u32) {
        let ends_there = self.journal.next_seq(job).is_none_or(|next| next <= after.saturating_add(1));
        if ends_there {
            return self.kept.news.pair(self.last, ticket);
        }
        if !self.is_written() {
            return;
        }
        let mut named = Vec::new();
        // All of them or none, as for a log that is forgotten.
        if let Err(error) = self.parts.shelf.blobs(job, after, |blob| named.push(blob)) {
            tracing::warn!(%error, "what the end of a log keeps in the store was not read, and stays");
            named.clear();
        }
        if !self.append_for(ticket, vec![Entry::Cut { job, after }]) || !self.is_written() {
            return;
        }
        named.into_iter().for_each(|blob| self.parts.store.unpin(blob));
        match self.parts.shelf.tally(job) {
            Ok(tally) => {
                self.kept.shelf.note_cut(job, tally.retried);
                self.parts.jobs.show(job, tally.shown());
                self.parts.mesh.insert(job, tally);
                self.list_followed(job);
            }
            Err(error) => tracing::warn!(%error, "a log whose end was cut off was not counted anew"),
        }
    }

    /// What the log names in the store is wanted no longer. It can be read once all of it is on the disk.
    fn forget(&mut self, ticket: Option<u64>, job: JobId, remains: Remains) {
        if !self.is_written() {
            return;
        }
        let mut named = Vec::new();
        // All of them or none: of a log that was hurt meanwhile, they stay pinned until the node is started again.
        match self.parts.shelf.blobs(job, 0, |blob| named.push(blob)) {
            Ok(()) if ticket.is_some() => named.into_iter().for_each(|blob| self.parts.store.unpin(blob)),
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "what a forgotten job kept in the store was not read"),
        }
        self.kept.shelf.note_forgotten(job);
        self.lines.forget(job);
        let mut entries = vec![Entry::Forget { job }];
        if self.parts.mesh.remove(&job).is_some() {
            entries.push(Entry::Take { shelf: Thing::Reads, key: key_of(job) });
        }
        let put = |shelf, bytes| Entry::Put { shelf, key: key_of(job), bytes };
        self.kept.news.note_reading(job, None);
        match remains {
            Remains::Left(left) => entries.push(put(Thing::Left, encode_left(left))),
            Remains::Forgotten => entries.push(put(Thing::Forgotten, Vec::new())),
            Remains::Nothing => {}
        }
        if ticket.is_none() {
            entries.push(disk::no_longer_lost(job));
        }
        // One that never was accepted is not told apart from one that never was.
        let was_here = ticket.is_some() || self.kept.news.is_quarantined(job);
        if was_here && matches!(remains, Remains::Forgotten | Remains::Nothing) {
            entries.push(put(Thing::Gone, now_ms().to_le_bytes().to_vec()));
        }
        if let Some(ticket) = ticket {
            self.append_for(ticket, entries);
        } else if self.append(entries).is_some() && self.is_written() {
            self.kept.news.forget_quarantined(job);
        }
    }

    /// Waits until all that was appended is on the disk.
    fn is_written(&self) -> bool {
        let is_written = self.kept.news.wait_written(self.last);
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
    fn append(&mut self, mut entries: Vec<Entry>) -> Option<u64> {
        // Behind what is written for it: of a job that comes with these, the line would be left out.
        entries.extend(self.lines.take());
        match self.journal.append_admitted(entries, Instant::now() + STUCK) {
            Ok(append) => {
                self.last = append;
                Some(append)
            }
            // A reading of a job that was forgotten meanwhile.
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

/// The journal's word for a record.
fn kind_of(record: &LogRecord) -> Kind {
    let names_blobs = record.blobs().next().is_some();
    match record {
        LogRecord::Accepted(_) => Kind::Accepted,
        LogRecord::Extended { .. } | LogRecord::Resolved { .. } if names_blobs => Kind::NamingExtended,
        LogRecord::Extended { .. } | LogRecord::Resolved { .. } => Kind::Extended,
        LogRecord::Closed => Kind::Closed,
        LogRecord::Outcomes(_) if names_blobs => Kind::NamingOutcomes,
        LogRecord::Outcomes(_) => Kind::Outcomes,
        LogRecord::Rest(_) => Kind::Rest,
        LogRecord::Cancelled => Kind::Cancelled,
        LogRecord::Restarted { .. } => Kind::Restarted,
        LogRecord::Ended { .. } => Kind::Ended,
        LogRecord::Retried { .. } => Kind::Retried,
        LogRecord::Led { .. } | LogRecord::Replaced { .. } => Kind::Epoch,
        LogRecord::ParentEnded(_)
        | LogRecord::GivenUp { .. }
        | LogRecord::NotTaken(_)
        | LogRecord::Given { .. }
        | LogRecord::Leased { .. } => Kind::Noted,
    }
}
