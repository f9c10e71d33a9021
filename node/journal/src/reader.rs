//! Questions to the journal, on a connection of their own: pages and counts of jobs, and records of one. It sees what is
//! on the disk, which may be a little behind what was appended.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use weft_core::{JobId, PeerId};

use crate::apply::Line;
use crate::check::Checker;
use crate::error::{Damage, Error};
use crate::head::Head;
use crate::heads::Heads;
use crate::kind::Kind;
use crate::listing::{Filter, Listed, Listing, PAGE_MAX, Page, Place, State, label_text, labels_of};
use crate::rows::{blob, integer, right_row};
use crate::schema::{self, parts_of, row_id};

const COLUMNS: &str = "no, job, owner, name, labels, state, since_ms, ended_ms, tasks, done, failed, sum";

/// A record of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub seq: u32,
    /// What it says.
    pub kind: Kind,
    /// Ends of tasks that the log has told up to and with it.
    pub upto: u64,
    /// How it says it.
    pub bytes: Vec<u8>,
}

/// Asks; one for each thread that asks.
pub struct Reader {
    db: Connection,
    checker: Checker,
    heads: Arc<Mutex<Heads>>,
    /// Open until the connection is not: see [`crate::checkpoints`].
    _file: Arc<File>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn open(
        path: &Path,
        file: &Arc<File>,
        checker: Checker,
        heads: Arc<Mutex<Heads>>,
    ) -> Result<Self, Error> {
        let db = schema::open_reader(path).map_err(Error::database("open a reader"))?;
        Ok(Self { db, checker, heads, _file: Arc::clone(file) })
    }

    /// Jobs that pass a filter, newest first, behind a place; at most `most`.
    ///
    /// # Errors
    /// [`Error::PageTooLong`]; [`Error::Database`] if the file can't be read.
    pub fn jobs(&self, filter: &Filter, after: Option<Place>, most: usize) -> Result<Page, Error> {
        if most > PAGE_MAX {
            return Err(Error::PageTooLong { asked: most, most: PAGE_MAX });
        }
        self.try_jobs(filter, after, most).map_err(Error::database("list jobs"))
    }

    fn try_jobs(&self, filter: &Filter, after: Option<Place>, most: usize) -> rusqlite::Result<Page> {
        let mut wanted = Wanted::of(filter);
        if let Some(place) = after {
            wanted.add("(since_ms, no) < (?, ?)", [Value::Integer(place.since_ms), Value::Integer(place.no)]);
        }
        let sql =
            format!("SELECT {COLUMNS} FROM listing {} ORDER BY since_ms DESC, no DESC", wanted.clause());
        let mut statement = self.db.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(wanted.values))?;
        let mut page = Page { jobs: Vec::new(), next: None };
        let mut last = None;
        while let Some(row) = rows.next()? {
            // One that is not what was written is removed at the next open, and listed anew from its log.
            let Some((listed, place)) = listed_of(row, &self.checker) else { continue };
            if page.jobs.len() == most {
                page.next = last;
                break;
            }
            page.jobs.push(listed);
            last = Some(place);
        }
        Ok(page)
    }

    /// How many jobs pass a filter.
    ///
    /// # Errors
    /// [`Error::Database`] if the file can't be read.
    pub fn count(&self, filter: &Filter) -> Result<u64, Error> {
        let wanted = Wanted::of(filter);
        let sql = format!("SELECT count(*) FROM listing {}", wanted.clause());
        let count = self.db.query_row(&sql, params_from_iter(wanted.values), |row| row.get::<_, i64>(0));
        count.map(i64::cast_unsigned).map_err(Error::database("count jobs"))
    }

    /// One job as it is listed.
    ///
    /// # Errors
    /// [`Error::Database`] if the file can't be read.
    pub fn job(&self, job: JobId) -> Result<Option<Listed>, Error> {
        let Some(head) = self.head(job) else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} FROM listing WHERE no = ?1");
        let find = || {
            let mut statement = self.db.prepare_cached(&sql)?;
            let mut rows = statement.query([head.no])?;
            Ok(rows.next()?.and_then(|row| listed_of(row, &self.checker)).map(|(listed, _)| listed))
        };
        find().map_err(Error::database("read a job's line"))
    }

    /// Records of a job behind one, in order, at most `most`, and at most about `bytes_max` bytes of them, but one at
    /// least. Those that a snapshot covers are not there.
    ///
    /// # Errors
    /// [`Error::Quarantined`] if the job is in quarantine, or if one of them is not what was written; [`Error::Database`] if the file can't be read.
    pub fn records(
        &self,
        job: JobId,
        after: u32,
        most: usize,
        bytes_max: usize,
    ) -> Result<Vec<Record>, Error> {
        let Some(head) = self.head(job) else { return Ok(Vec::new()) };
        if let Some(why) = self.heads().damage(job) {
            return Err(Error::Quarantined { job, why });
        }
        let from = after.saturating_add(1).max(head.first);
        let found = self.try_records(job, &head, from, most, bytes_max);
        found.map_err(Error::database("read records"))?.map_err(|why| Error::Quarantined { job, why })
    }

    /// Records of a job in order from the one on that tells the `end`-th end of a task, counted from 0; bounded as in
    /// [`Reader::records`]. None if there are not as many ends yet. It looks at about as many
    /// rows besides as the number of the log's records has binary digits.
    ///
    /// # Errors
    /// As [`Reader::records`].
    pub fn records_at(
        &self,
        job: JobId,
        end: u64,
        most: usize,
        bytes_max: usize,
    ) -> Result<Vec<Record>, Error> {
        loop {
            let Some(head) = self.head(job) else { return Ok(Vec::new()) };
            let seq = self.find_end(&head, end).map_err(Error::database("find a record"))?;
            let Some(seq) = seq else { return Ok(Vec::new()) };
            // The counts were believed so far: that of the record and that before it must be what was written.
            let before = if seq > head.first { self.records(job, seq - 2, 1, 0)? } else { Vec::new() };
            let found = self.records(job, seq - 1, most, bytes_max)?;
            let is_before = seq == head.first
                || before.first().is_some_and(|before| before.seq == seq - 1 && before.upto <= end);
            if is_before && found.first().is_some_and(|first| first.seq == seq && first.upto > end) {
                return Ok(found);
            }
            // A snapshot took the place of records meanwhile, or another log that of this one.
            if self.head(job).is_some_and(|now| (now.no, now.first) == (head.no, head.first)) {
                return Err(Error::Quarantined { job, why: Damage::Altered { seq } });
            }
        }
    }

    /// The first record on the disk that tells more than `end` ends with those before it, by halves.
    fn find_end(&self, head: &Head, end: u64) -> rusqlite::Result<Option<u32>> {
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        let mut statement = self.db.prepare_cached(
            "SELECT id, upto FROM records WHERE id >= ?1 AND id <= ?2 ORDER BY id DESC LIMIT 1",
        )?;
        let range = params![row_id(head.no, head.first), row_id(head.no, u32::MAX)];
        let last = statement.query_row(range, |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).optional()?;
        let Some((_, last)) = last.filter(|(_, upto)| *upto > end).map(|(id, _)| parts_of(id)) else {
            return Ok(None);
        };
        let (mut from, mut to) = (head.first, last);
        while from < to {
            let middle = from + (to - from) / 2;
            // One that is missing is told when the records are read.
            match schema::ends_upto(&self.db, row_id(head.no, middle))? {
                Some(upto) if upto > end => to = middle,
                _ => from = middle + 1,
            }
        }
        Ok(Some(from))
    }

    fn try_records(
        &self,
        job: JobId,
        head: &Head,
        from: u32,
        most: usize,
        bytes_max: usize,
    ) -> rusqlite::Result<Result<Vec<Record>, Damage>> {
        let mut statement = self.db.prepare_cached(
            "SELECT id, job, kind, upto, bytes, sum FROM records WHERE id >= ?1 AND id <= ?2 ORDER BY id",
        )?;
        let mut rows = statement.query(params![row_id(head.no, from), row_id(head.no, u32::MAX)])?;
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut expected = from;
        while let Some(row) = rows.next()? {
            if records.len() == most || (bytes >= bytes_max && !records.is_empty()) {
                break;
            }
            match record_of(row, job, expected, &self.checker) {
                Ok(record) => {
                    bytes += record.bytes.len();
                    records.push(record);
                }
                // A snapshot was appended since the head was looked at.
                Err(Damage::Gap { .. }) if records.is_empty() && self.head(job) != Some(*head) => break,
                Err(why) => return Ok(Err(why)),
            }
            expected = expected.saturating_add(1);
        }
        Ok(Ok(records))
    }

    fn head(&self, job: JobId) -> Option<Head> {
        self.heads().get(job)
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record_of(row: &Row<'_>, job: JobId, expected: u32, checker: &Checker) -> Result<Record, Damage> {
    let id = integer(row, 0).unwrap_or(0);
    let (_, seq) = parts_of(id);
    if seq != expected {
        return Err(Damage::Gap { expected, found: seq });
    }
    let found = right_row(row, id, checker).filter(|found| found.job == job);
    let found = found.ok_or(Damage::Altered { seq })?;
    let kind = Kind::of(found.kind).ok_or(Damage::Altered { seq })?;
    Ok(Record { seq, kind, upto: found.upto.cast_unsigned(), bytes: found.bytes.to_vec() })
}

/// A line and its place; none if it is not what was written.
pub(crate) fn listed_of(row: &Row<'_>, checker: &Checker) -> Option<(Listed, Place)> {
    let line = Line {
        job: integer(row, 1)?,
        owner: blob(row, 2)?.to_vec(),
        name: row.get(3).ok()?,
        labels: row.get(4).ok()?,
        state: integer(row, 5)?,
        since_ms: integer(row, 6)?,
        ended_ms: row.get(7).ok()?,
        tasks: integer(row, 8)?,
        done: integer(row, 9)?,
        failed: integer(row, 10)?,
    };
    if blob(row, 11)? != line.sum(checker) {
        return None;
    }
    let listing = Listing {
        owner: PeerId(line.owner.as_slice().try_into().ok()?),
        labels: labels_of(&line.labels)?,
        name: line.name,
        state: State::of(line.state)?,
        since_ms: line.since_ms.cast_unsigned(),
        ended_ms: line.ended_ms.map(i64::cast_unsigned),
        tasks: line.tasks.cast_unsigned(),
        done: line.done.cast_unsigned(),
        failed: line.failed.cast_unsigned(),
    };
    let place = Place { since_ms: line.since_ms, no: integer(row, 0)? };
    Some((Listed { job: JobId(line.job.cast_unsigned()), listing }, place))
}

/// Hands over all lines that are what was written.
pub(crate) fn read_lines(
    db: &Connection,
    checker: &Checker,
    mut act: impl FnMut(Listed),
) -> rusqlite::Result<()> {
    let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM listing"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        listed_of(row, checker).into_iter().for_each(|(listed, _)| act(listed));
    }
    Ok(())
}

/// Removes lines that are not what was written. Returns how many.
pub(crate) fn remove_wrong_lines(db: &Connection, checker: &Checker) -> rusqlite::Result<u64> {
    let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM listing"))?;
    let mut rows = statement.query([])?;
    let mut wrong = Vec::new();
    while let Some(row) = rows.next()? {
        if listed_of(row, checker).is_none() {
            wrong.push(row.get::<_, i64>(0)?);
        }
    }
    let mut removed = 0;
    for no in wrong {
        db.execute("DELETE FROM listing WHERE no = ?1", [no])?;
        removed += 1;
    }
    Ok(removed)
}

/// Conditions of a question, and the values for their question marks.
#[derive(Default)]
struct Wanted {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Wanted {
    fn of(filter: &Filter) -> Self {
        let mut wanted = Self::default();
        if !filter.states.is_empty() {
            let marks = vec!["?"; filter.states.len()].join(", ");
            let states = filter.states.iter().map(|state| Value::Integer(state.number()));
            wanted.add(&format!("state IN ({marks})"), states);
        }
        for (name, value) in &filter.labels {
            wanted.add("instr(labels, ?) > 0", [Value::Text(label_text(name, value))]);
        }
        if let Some(since_ms) = filter.since_ms {
            wanted
                .add("since_ms >= ?", [Value::Integer(since_ms.min(i64::MAX.cast_unsigned()).cast_signed())]);
        }
        if let Some(owner) = filter.owner {
            wanted.add("owner = ?", [Value::Blob(owner.0.to_vec())]);
        }
        if let Some(name) = &filter.name {
            wanted.add("name = ?", [Value::Text(name.clone())]);
        }
        wanted
    }

    fn add(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }

    fn clause(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }
}
