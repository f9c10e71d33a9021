//! Reading all of it back at open: each job's records in order, checked, streamed, and what is wrong with a job told as
//! that job's affair.

use std::collections::HashMap;

use rusqlite::{Connection, Row};
use weft_core::JobId;

use crate::apply::Garbage;
use crate::check::{Checker, RecordRow};
use crate::error::{Damage, Error};
use crate::head::Head;
use crate::kind::Kind;
use crate::listing::Listing;
use crate::reader;
use crate::rows::{blob, integer, right_row};
use crate::schema::{self, parts_of, row_id};
use crate::shelf::{Shelf, TABLES};
use crate::shelves::Shelves;

/// Numbers of jobs that later ones are counted on from; half of what there are.
const NUMBERS_TRUSTED: u32 = 1 << 31;

/// Who gets what was read back. The lines of the list come first. Then jobs come one after another: a member's own word, its
/// records in order, and then either `complete` or `quarantined`.
pub trait Fold {
    /// How a job is shown in lists.
    fn listed(&mut self, _job: JobId, _line: Listing) {}
    /// Whether it wants the records of that kind of that job. Those that it does not want are not read, so that a flipped bit
    /// in them is not found now.
    fn wants(&self, _job: JobId, _kind: Kind) -> bool {
        true
    }
    /// What this member promised about a job.
    fn own(&mut self, job: JobId, bytes: &[u8]);
    /// The next record of a job.
    fn record(&mut self, job: JobId, seq: u32, kind: Kind, bytes: &[u8]);
    /// That was all of this job: this many ends of tasks its log has told.
    fn complete(&mut self, job: JobId, ends: u64);
    /// What was told of this job is not to be used. It stays in the file until it is forgotten.
    fn quarantined(&mut self, job: JobId, why: &Damage);
    /// A thing on a shelf; of two with one key the later one counts.
    fn shelved(&mut self, shelf: Shelf, key: &[u8], bytes: &[u8]);
}

/// What reading back found besides what the fold was told.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    pub(crate) heads: HashMap<JobId, Head>,
    /// What is wrong with those that are not sound.
    pub(crate) damages: HashMap<JobId, Damage>,
    pub(crate) next_no: u32,
    pub(crate) garbage: Vec<Garbage>,
    pub(crate) shelves: Shelves,
    pub(crate) records: u64,
    pub(crate) quarantined: u64,
    /// Things of shelves that are not what was written.
    pub(crate) lost_things: Vec<(&'static str, i64)>,
}

/// A job's head as it was found.
struct Found {
    job: JobId,
    head: Head,
    is_gone: bool,
    damage: Option<Damage>,
}

/// Reads everything back. The next job's number is at least `next_no`: the rows of those that had the ones before may be
/// gone.
pub(crate) fn read_back(
    db: &Connection,
    checker: &Checker,
    next_no: u32,
    fold: &mut dyn Fold,
) -> Result<ReadBack, Error> {
    let mut back = ReadBack { next_no, ..ReadBack::default() };
    let heads = read_heads(db, checker).map_err(Error::database("read the list of logs"))?;
    let lines = reader::read_lines(db, checker, |listed| fold.listed(listed.job, listed.listing));
    lines.map_err(Error::database("read the list of jobs"))?;
    read_records(db, checker, heads, &mut back, fold).map_err(Error::database("read records"))?;
    for table in TABLES {
        read_things(db, checker, table, &mut back, fold).map_err(Error::database("read the shelves"))?;
    }
    Ok(back)
}

fn read_heads(db: &Connection, checker: &Checker) -> rusqlite::Result<Vec<Found>> {
    let mut statement =
        db.prepare("SELECT no, job, first, next, cuts, owns, gone, sum FROM jobs ORDER BY no")?;
    let mut rows = statement.query([])?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next()? {
        heads.extend(head_of(row, checker));
    }
    Ok(heads)
}

/// A head; one that is not what was written is not sound. None if not even its number makes sense.
fn head_of(row: &Row<'_>, checker: &Checker) -> Option<Found> {
    let number = |place| integer(row, place).and_then(|number| u32::try_from(number).ok());
    let no = number(0)?;
    let job = JobId(integer(row, 1).unwrap_or(0).cast_unsigned());
    let is_gone = integer(row, 6) == Some(1);
    let parts = (number(2), number(3), number(4), number(5));
    let (Some(first), Some(next), Some(cuts), Some(owns)) = parts else {
        let head = Head { no, first: 1, next: 1, cuts: 0, owns: 0, sound: false };
        return Some(Found { job, head, is_gone: false, damage: Some(Damage::Head) });
    };
    let mut head = Head { no, first, next, cuts, owns, sound: true };
    head.sound = blob(row, 7) == Some(&checker.head(job, &head, is_gone)) && first <= next;
    let in_doubt = blob(row, 7) == Some(&schema::IN_DOUBT);
    let damage = (!head.sound).then_some(if in_doubt { Damage::Rewritten } else { Damage::Head });
    Some(Found { job, head, is_gone: is_gone && head.sound, damage })
}

fn read_records(
    db: &Connection,
    checker: &Checker,
    heads: Vec<Found>,
    back: &mut ReadBack,
    fold: &mut dyn Fold,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare("SELECT id, job, kind, upto, bytes, sum FROM records ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut heads = heads.into_iter().peekable();
    let mut current: Option<Log> = None;
    while let Some(row) = rows.next()? {
        let (no, seq) = parts_of(row.get(0)?);
        if current.as_ref().is_none_or(|log| log.head.no != no) {
            if let Some(log) = current.take() {
                log.end(back, fold);
            }
            // Heads without a row come before the head of this row.
            while let Some(found) = heads.next_if(|found| found.head.no < no) {
                Log::of(found).end(back, fold);
            }
            let found = heads.next_if(|found| found.head.no == no).unwrap_or_else(|| orphan(row, no));
            current = Some(Log::of(found));
        }
        if let Some(log) = &mut current {
            log.read(row, seq, checker, back, fold);
        }
    }
    if let Some(log) = current {
        log.end(back, fold);
    }
    for found in heads {
        Log::of(found).end(back, fold);
    }
    Ok(())
}

/// The head of rows that have none.
fn orphan(row: &Row<'_>, no: u32) -> Found {
    let job = JobId(integer(row, 1).unwrap_or(0).cast_unsigned());
    let head = Head { no, first: 1, next: 1, cuts: 0, owns: 0, sound: false };
    Found { job, head, is_gone: false, damage: Some(Damage::Head) }
}

/// The log of one job while it is read.
struct Log {
    job: JobId,
    head: Head,
    is_gone: bool,
    /// The record that comes next.
    expected: u32,
    /// Ends of tasks that its records have told so far.
    ends: u64,
    /// Whether the member's own word was read.
    has_own: bool,
    has_garbage: bool,
    damage: Option<Damage>,
}

impl Log {
    fn of(found: Found) -> Self {
        let Found { job, head, is_gone, damage } = found;
        let expected = head.first;
        Self { job, head, is_gone, expected, ends: 0, has_own: false, has_garbage: false, damage }
    }

    fn read(&mut self, row: &Row<'_>, seq: u32, checker: &Checker, back: &mut ReadBack, fold: &mut dyn Fold) {
        if !self.head.sound {
            self.name_by(row, seq, checker);
        }
        if seq > 0 && seq < self.head.first {
            self.has_garbage = true;
        }
        if self.is_gone || self.damage.is_some() || (seq > 0 && seq < self.head.first) {
            return;
        }
        if seq > 0
            && let Some(kind) = self.unwanted(row, fold)
        {
            self.damage = self.take(seq, Some(kind));
            self.note_ends(row);
            return;
        }
        let Some(RecordRow { kind, bytes, .. }) =
            right_row(row, row_id(self.head.no, seq), checker).filter(|found| found.job == self.job)
        else {
            return self.distrust(seq);
        };
        if seq == 0 {
            // Another one than the head speaks of is missed at the end.
            if kind == i64::from(self.head.owns) {
                self.has_own = true;
                fold.own(self.job, bytes);
            }
            return;
        }
        self.damage = self.take(seq, Kind::of(kind));
        self.note_ends(row);
        if let (None, Some(kind)) = (&self.damage, Kind::of(kind)) {
            back.records += 1;
            fold.record(self.job, seq, kind, bytes);
        }
    }

    /// The kind of a record of this job that the fold does not want.
    fn unwanted(&self, row: &Row<'_>, fold: &dyn Fold) -> Option<Kind> {
        let is_of_job = integer(row, 1) == Some(self.job.0.cast_signed());
        integer(row, 2).and_then(Kind::of).filter(|kind| is_of_job && !fold.wants(self.job, *kind))
    }

    fn note_ends(&mut self, row: &Row<'_>) {
        self.ends = integer(row, 3).map_or(self.ends, i64::cast_unsigned);
    }

    /// A head that is not what was written may have another job's name: a record that is right knows whose it is.
    fn name_by(&mut self, row: &Row<'_>, seq: u32, checker: &Checker) {
        if let Some(found) = right_row(row, row_id(self.head.no, seq), checker) {
            self.job = found.job;
        }
    }

    /// A row that is not what was written. Where it is no record of this log, it strayed here by a flipped number.
    fn distrust(&mut self, seq: u32) {
        if seq == self.expected && seq < self.head.next {
            self.damage = Some(Damage::Altered { seq });
        }
    }

    fn take(&mut self, seq: u32, kind: Option<Kind>) -> Option<Damage> {
        let Some(kind) = kind else {
            return Some(Damage::Meaning(format!(
                "record {seq} is of a kind that this version does not know"
            )));
        };
        if seq >= self.head.next {
            return Some(Damage::Beyond { last: self.head.next.saturating_sub(1), found: seq });
        }
        if seq != self.expected {
            return Some(Damage::Gap { expected: self.expected, found: seq });
        }
        let begins = matches!(kind, Kind::Accepted | Kind::Snapshot | Kind::Fired);
        if seq == self.head.first && !begins {
            return Some(Damage::Beginning);
        }
        self.expected = seq.saturating_add(1);
        None
    }

    fn end(mut self, back: &mut ReadBack, fold: &mut dyn Fold) {
        // A flipped bit can make a number that leaves no room for others.
        if self.head.no < NUMBERS_TRUSTED {
            back.next_no = back.next_no.max(self.head.no + 1);
        }
        if self.is_gone {
            return back.garbage.push(Garbage::whole(self.head.no));
        }
        if self.damage.is_none() && self.expected < self.head.next {
            self.damage = Some(Damage::Cut { from: self.expected, to: self.head.next - 1 });
        }
        if self.damage.is_none() && self.head.owns > 0 && !self.has_own {
            self.damage = Some(Damage::Own);
        }
        self.head.sound = self.damage.is_none();
        // Of two with one name, which only a flipped bit makes, the sound one has it.
        if back.heads.get(&self.job).is_none_or(|other| !other.sound) {
            back.heads.insert(self.job, self.head);
        }
        if let Some(damage) = self.damage {
            back.quarantined += 1;
            fold.quarantined(self.job, &damage);
            back.damages.insert(self.job, damage);
            return;
        }
        if self.has_garbage {
            back.garbage.push(Garbage::before(self.head.no, self.head.first));
        }
        fold.complete(self.job, self.ends);
    }
}

fn read_things(
    db: &Connection,
    checker: &Checker,
    table: &'static str,
    back: &mut ReadBack,
    fold: &mut dyn Fold,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare(&format!("SELECT id, shelf, key, bytes, sum FROM {table} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let shelf = integer(row, 1).and_then(Shelf::of);
        match (shelf, blob(row, 2), blob(row, 3), blob(row, 4)) {
            (Some(shelf), Some(key), Some(bytes), Some(sum))
                if shelf.table() == table && checker.shelved(shelf.number(), key, bytes) == sum =>
            {
                back.shelves.note(shelf, id);
                fold.shelved(shelf, key, bytes);
            }
            _ => back.lost_things.push((table, id)),
        }
    }
    Ok(())
}
