//! Reading jobs' logs while the node runs: results in pages, again and again, and a whole log for a job that is tried again.
//! Everything here blocks on the disk; who calls it is on a thread that may.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Deref, Range};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use weft_core::durable::{Fold, Kept, LogRecord, Restored};
use weft_core::{BlobId, JobId, LogReader, Program};
use weft_journal::{Error, Kind, Listing, Reader, Record};

use super::tally::Tally;
use crate::jobs::{InputName, Portion, TaskEnd};

/// Readers of the journal: as many pages are read at once.
pub(super) const READERS_MAX: usize = 4;
/// Readers besides, of the keeper's thread and of the three that read for the engine: who reads results does not hold them up.
pub(super) const READERS_MORE: usize = 4;
/// Records read at once.
const RECORDS: usize = 256;
/// Bytes of records read at once; one record may be longer.
const BYTES: usize = 1 << 20;

/// Why a log can't be read; for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal can't give the records of job {job}: {why}")]
pub struct Unreadable {
    job: JobId,
    why: String,
}

impl Unreadable {
    pub(crate) fn new(job: JobId, why: impl ToString) -> Self {
        Self { job, why: why.to_string() }
    }

    pub(super) fn job(&self) -> JobId {
        self.job
    }
}

/// Results of one page.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) ends: Vec<TaskEnd>,
    /// Where the next page begins: an end that was tried again later is counted, and left out.
    pub(crate) next: u64,
}

/// What is known of logs besides what is in them.
#[derive(Debug, Default)]
struct Known {
    /// The last record of each job that says that what was not done is tried again.
    retried: BTreeMap<JobId, u32>,
    /// Names of one job's inputs.
    names: Option<Names>,
}

#[derive(Debug)]
struct Names {
    job: JobId,
    /// The last record that was looked at.
    upto: u32,
    of: Vec<InputName>,
}

/// The logs.
#[derive(Debug)]
pub(crate) struct Shelf {
    readers: Mutex<Vec<Reader>>,
    returned: Condvar,
    known: Mutex<Known>,
}

impl Shelf {
    pub(super) fn new(readers: Vec<Reader>) -> Self {
        Self { readers: Mutex::new(readers), returned: Condvar::new(), known: Mutex::default() }
    }

    /// Results of a job among these ends of tasks; with receipts if they have them and `program` is given.
    pub(crate) fn results(
        &self,
        job: JobId,
        ends: Range<u64>,
        portion: Portion,
        program: Option<&Program>,
    ) -> Result<Part, Unreadable> {
        let cursor = ends.start;
        let retried = self.known().retried.get(&job).copied().unwrap_or(0);
        let mut page =
            Page { part: Part { ends: Vec::new(), next: cursor }, portion, bytes: 0, proofs: Vec::new() };
        self.walk_from_end(job, cursor, |seq, upto, record| {
            let told = record.ends();
            let first = upto.saturating_sub(told.count() as u64);
            let skipped = usize::try_from(page.part.next.saturating_sub(first)).unwrap_or(usize::MAX);
            for kept in told.kept().skip(skipped) {
                if page.part.next >= ends.end {
                    return ControlFlow::Break(());
                }
                let is_retried = seq < retried && kept.report.outcome != weft_core::Outcome::Done;
                page.add(kept, is_retried);
                if page.is_full() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        let Page { mut part, proofs, .. } = page;
        if let Some(program) = program {
            let names = self.names(job, part.ends.iter().map(|end| end.index))?;
            for ((end, proof), name) in part.ends.iter_mut().zip(proofs).zip(names) {
                if let Some(name) = name {
                    end.sign(program, name, proof);
                }
            }
        }
        Ok(part)
    }

    /// A job as its log says that it is.
    pub(super) fn restored(&self, job: JobId) -> Result<(Box<Restored>, Tally), Unreadable> {
        let mut fold = Fold::new();
        let mut tally = Tally::default();
        let mut unsound = None;
        self.walk(job, 0, |seq, record| {
            tally.apply(seq, &record);
            match fold.apply(record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    unsound = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        let restored = unsound.map_or_else(|| fold.into_restored(), Err);
        restored.map(|restored| (restored, tally)).map_err(|error| Unreadable::new(job, error))
    }

    /// What a log says of its tasks.
    pub(super) fn tally(&self, job: JobId) -> Result<Tally, Unreadable> {
        let mut tally = Tally::default();
        self.walk(job, 0, |seq, record| {
            tally.apply(seq, &record);
            ControlFlow::Continue(())
        })?;
        Ok(tally)
    }

    /// Records of a job from one on: none behind those that fill `bytes_max`. That its results were read has a number in a log that
    /// is this node's alone; it says nothing to a job that takes these results, and can't be in a log that others keep, too.
    pub(super) fn page(
        &self,
        reader: LogReader,
        job: JobId,
        from: u32,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, Unreadable> {
        let records = self.reader().records(job, from.saturating_sub(1), RECORDS, bytes_max.min(BYTES));
        let records = records.map_err(|error| Unreadable::new(job, error))?;
        let read = |record: Record| {
            let is_note = record.kind == Kind::Read && reader == LogReader::Child;
            if is_note {
                Ok(LogRecord::Extended { inputs: Vec::new() })
            } else {
                LogRecord::decode(&record.bytes)
            }
        };
        let read: Result<_, _> = records.into_iter().map(read).collect();
        read.map_err(|error| Unreadable::new(job, error))
    }

    /// A job's line in the list.
    pub(super) fn line(&self, job: JobId) -> Result<Option<Listing>, Unreadable> {
        let listed = self.reader().job(job).map_err(|error| Unreadable::new(job, error))?;
        Ok(listed.map(|listed| listed.listing))
    }

    /// The blobs that a log names behind a record, some more than once.
    pub(super) fn blobs(
        &self,
        job: JobId,
        after: u32,
        mut act: impl FnMut(BlobId),
    ) -> Result<(), Unreadable> {
        self.walk(job, after, |_, record| {
            record.blobs().for_each(&mut act);
            ControlFlow::Continue(())
        })
    }

    /// Notes that what was not done before this record is tried again.
    pub(super) fn note_retried(&self, job: JobId, seq: u32) {
        self.known().retried.insert(job, seq);
    }

    /// Notes that the end of a log was cut off, and which of its records is the last one now that says that what was not done is
    /// tried again.
    pub(super) fn note_cut(&self, job: JobId, retried: Option<u32>) {
        let mut known = self.known();
        match retried {
            Some(seq) => known.retried.insert(job, seq),
            None => known.retried.remove(&job),
        };
        known.names = known.names.take().filter(|names| names.job != job);
    }

    /// Notes that a log is gone.
    pub(super) fn note_forgotten(&self, job: JobId) {
        let mut known = self.known();
        known.retried.remove(&job);
        known.names = known.names.take().filter(|names| names.job != job);
    }

    /// Reads a log's records behind one, except those that are the driver's own.
    pub(super) fn walk(
        &self,
        job: JobId,
        after: u32,
        mut act: impl FnMut(u32, LogRecord) -> ControlFlow<()>,
    ) -> Result<(), Unreadable> {
        let reader = self.reader();
        let records = reader.records(job, after, RECORDS, BYTES);
        follow(&reader, job, records, |seq, _, record| act(seq, record))
    }

    /// The same from the record on that tells the `end`-th end of a task; `act` is told how many the log has told up to and
    /// with each record. Nothing if there are not as many yet.
    fn walk_from_end(
        &self,
        job: JobId,
        end: u64,
        act: impl FnMut(u32, u64, LogRecord) -> ControlFlow<()>,
    ) -> Result<(), Unreadable> {
        let reader = self.reader();
        let records = reader.records_at(job, end, RECORDS, BYTES);
        follow(&reader, job, records, act)
    }

    /// Names of the inputs of these tasks. Those of the job that was asked for last are remembered.
    fn names(
        &self,
        job: JobId,
        indexes: impl Iterator<Item = u32>,
    ) -> Result<Vec<Option<InputName>>, Unreadable> {
        let known = self.known().names.take().filter(|names| names.job == job);
        let mut names = known.unwrap_or(Names { job, upto: 0, of: Vec::new() });
        self.walk(job, names.upto, |seq, record| {
            names.upto = seq;
            names.of.extend(record.inputs().iter().map(InputName::of));
            if let LogRecord::Resolved { inputs } = &record {
                for (index, input) in inputs {
                    let name = usize::try_from(*index).ok().and_then(|index| names.of.get_mut(index));
                    name.into_iter().for_each(|name| *name = InputName::of(input));
                }
            }
            ControlFlow::Continue(())
        })?;
        let name = |index| usize::try_from(index).ok().and_then(|index| names.of.get(index).copied());
        let found = indexes.map(name).collect();
        self.known().names = Some(names);
        Ok(found)
    }

    pub(super) fn reader(&self) -> Lent<'_> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(reader) = readers.pop() {
                return Lent { shelf: self, reader: Some(reader) };
            }
            readers = self.returned.wait(readers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page while it is made.
struct Page {
    part: Part,
    portion: Portion,
    bytes: u64,
    /// What the workers signed, by the page's ends.
    proofs: Vec<Option<Box<weft_core::Proof>>>,
}

impl Page {
    fn add(&mut self, kept: Kept, is_retried: bool) {
        let number = Some(self.part.next);
        self.part.next += 1;
        if is_retried {
            return;
        }
        let Kept { index, report, worker, attempts, memo, proof, verified } = kept;
        let verified = verified.map(Box::new);
        let end = TaskEnd { number, index, report, worker, attempts, memo, receipt: None, verified };
        self.bytes += end.carried();
        self.part.ends.push(end);
        self.proofs.push(proof);
    }

    fn is_full(&self) -> bool {
        self.part.ends.len() >= self.portion.results_max || self.bytes >= self.portion.bytes as u64
    }
}

/// Hands over these records of a log, and those behind them.
fn follow(
    reader: &Reader,
    job: JobId,
    mut records: Result<Vec<Record>, Error>,
    mut act: impl FnMut(u32, u64, LogRecord) -> ControlFlow<()>,
) -> Result<(), Unreadable> {
    loop {
        let read = records.map_err(|error| Unreadable::new(job, error))?;
        let Some(after) = read.last().map(|last| last.seq) else { return Ok(()) };
        for record in read.into_iter().filter(|record| record.kind != Kind::Read) {
            let said = LogRecord::decode(&record.bytes).map_err(|error| Unreadable::new(job, error))?;
            if act(record.seq, record.upto, said).is_break() {
                return Ok(());
            }
        }
        records = reader.records(job, after, RECORDS, BYTES);
    }
}

/// A reader that goes back when it is no longer used.
pub(super) struct Lent<'a> {
    shelf: &'a Shelf,
    reader: Option<Reader>,
}

impl Deref for Lent<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader.as_ref().expect("it is taken when this is dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.shelf.readers.lock().unwrap_or_else(PoisonError::into_inner).extend(self.reader.take());
        self.shelf.returned.notify_one();
    }
}
