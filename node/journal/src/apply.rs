//! Entries as rows: what the writer does with a group inside of one transaction.
//!
//! Logs that are forgotten and records that a snapshot covers are marked at once, in the job's head, and removed bit by
//! bit: each later transaction takes a few of their rows along, so that a large job holds up no other.

use std::collections::{BTreeMap, VecDeque};

use rusqlite::{Connection, params};
use weft_core::JobId;

use crate::check::{Checker, RecordRow};
use crate::head::Head;
use crate::heads::Op;
use crate::listing::Listing;
use crate::mark::Mark;
use crate::schema::{ends_upto, row_id, write_about, write_head, write_row};
use crate::shelves::Shelves;

/// Rows that one transaction removes of what no longer counts.
const SWEPT_MAX: usize = 64;

/// Rows that no longer count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage {
    no: u32,
    from: u32,
    /// The last one.
    to: u32,
    /// Whether the job's head goes with them.
    with_head: bool,
}

impl Garbage {
    /// All rows of a job, and its head.
    pub(crate) fn whole(no: u32) -> Self {
        Self { no, from: 0, to: u32::MAX, with_head: true }
    }

    /// Records before a snapshot.
    pub(crate) fn before(no: u32, first: u32) -> Self {
        Self { no, from: 1, to: first.saturating_sub(1), with_head: false }
    }
}

/// What the writer knows besides the database.
pub(crate) struct Applier {
    checker: Checker,
    shelves: Shelves,
    garbage: VecDeque<Garbage>,
    /// What the file says about itself while it is open.
    about: Mark,
}

/// What a transaction has gathered; it counts once that is on the disk.
#[derive(Default)]
pub(crate) struct Pending {
    heads: BTreeMap<u32, (JobId, Head, bool)>,
    garbage: Vec<Garbage>,
    /// Garbage of which nothing is left.
    swept: bool,
    shelves: Shelves,
    /// The next job's number, if this transaction has begun a job.
    next_no: Option<u32>,
}

impl Applier {
    pub(crate) fn new(checker: Checker, shelves: Shelves, garbage: Vec<Garbage>, about: Mark) -> Self {
        Self { checker, shelves, garbage: garbage.into(), about }
    }

    pub(crate) fn about(&self) -> Mark {
        self.about
    }

    pub(crate) fn set_about(&mut self, about: Mark) {
        self.about = about;
    }

    pub(crate) fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// Writes entries, and removes some garbage if it `sweeps`.
    pub(crate) fn apply<'a>(
        &self,
        db: &Connection,
        ops: impl Iterator<Item = &'a Op>,
        sweeps: bool,
    ) -> rusqlite::Result<Pending> {
        let mut pending = Pending { shelves: self.shelves.clone(), ..Pending::default() };
        for op in ops {
            self.apply_one(db, op, &mut pending)?;
        }
        for (job, head, is_gone) in pending.heads.values() {
            write_head(db, &self.checker, *job, head, *is_gone)?;
        }
        let next_no = pending.heads.last_key_value().map_or(0, |(no, _)| no.saturating_add(1));
        if next_no > self.about.next_no {
            // With the job itself: its number must not be given again once its rows are gone.
            write_about(db, &Mark { next_no, ..self.about })?;
            pending.next_no = Some(next_no);
        }
        if let Some(garbage) = self.garbage.front().filter(|_| sweeps) {
            pending.swept = sweep(db, *garbage)?;
        }
        Ok(pending)
    }

    /// The transaction is on the disk.
    pub(crate) fn commit(&mut self, pending: Pending) {
        self.shelves = pending.shelves;
        self.about.next_no = pending.next_no.unwrap_or(self.about.next_no);
        if pending.swept {
            self.garbage.pop_front();
        }
        self.garbage.extend(pending.garbage);
    }

    fn apply_one(&self, db: &Connection, op: &Op, pending: &mut Pending) -> rusqlite::Result<()> {
        match op {
            Op::Row { job, head, seq, kind, ends, bytes } => {
                let id = row_id(head.no, *seq);
                let before = if *seq > head.first { ends_upto(db, id - 1)?.unwrap_or(0) } else { 0 };
                let upto = before.saturating_add(i64::from(*ends));
                write_row(db, &self.checker, &RecordRow { id, job: *job, kind: *kind, upto, bytes })?;
                pending.heads.insert(head.no, (*job, *head, false));
                if *seq > 1 && head.first == *seq {
                    pending.garbage.push(Garbage::before(head.no, head.first));
                }
            }
            Op::Cut { job, head, after } => {
                db.prepare_cached("DELETE FROM records WHERE id > ?1 AND id <= ?2")?
                    .execute(params![row_id(head.no, *after), row_id(head.no, u32::MAX)])?;
                pending.heads.insert(head.no, (*job, *head, false));
            }
            Op::Forget { job, head } => {
                db.prepare_cached("DELETE FROM listing WHERE no = ?1")?.execute([head.no])?;
                pending.heads.insert(head.no, (*job, *head, true));
                pending.garbage.push(Garbage::whole(head.no));
            }
            Op::List { job, no, listing } => self.list(db, *job, *no, listing)?,
            Op::Put { shelf, key, bytes } => pending.shelves.put(db, &self.checker, *shelf, key, bytes)?,
            Op::Take { shelf, key } => pending.shelves.take(db, *shelf, key)?,
        }
        Ok(())
    }

    fn list(&self, db: &Connection, job: JobId, no: u32, listing: &Listing) -> rusqlite::Result<()> {
        let line = Line::of(job, listing);
        db.prepare_cached(
            "INSERT OR REPLACE INTO listing(no, job, owner, name, labels, state, since_ms, ended_ms, tasks, done,
                                            failed, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            no,
            line.job,
            line.owner,
            line.name,
            line.labels,
            line.state,
            line.since_ms,
            line.ended_ms,
            line.tasks,
            line.done,
            line.failed,
            line.sum(&self.checker)
        ])?;
        Ok(())
    }
}

/// A line of the list as columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) job: i64,
    pub(crate) owner: Vec<u8>,
    pub(crate) name: String,
    pub(crate) labels: String,
    pub(crate) state: i64,
    pub(crate) since_ms: i64,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) tasks: i64,
    pub(crate) done: i64,
    pub(crate) failed: i64,
}

impl Line {
    fn of(job: JobId, listing: &Listing) -> Self {
        Self {
            job: job.0.cast_signed(),
            owner: listing.owner.0.to_vec(),
            name: listing.name.clone(),
            labels: listing.labels_text(),
            state: listing.state.number(),
            since_ms: listing.since_ms.cast_signed(),
            ended_ms: listing.ended_ms.map(u64::cast_signed),
            tasks: listing.tasks.cast_signed(),
            done: listing.done.cast_signed(),
            failed: listing.failed.cast_signed(),
        }
    }

    pub(crate) fn sum(&self, checker: &Checker) -> crate::check::Check {
        let (has_ended, ended_ms) = (i64::from(self.ended_ms.is_some()), self.ended_ms.unwrap_or(0));
        checker.listing(
            &[self.job, self.state, self.since_ms, has_ended, ended_ms, self.tasks, self.done, self.failed],
            &[&self.owner, self.name.as_bytes(), self.labels.as_bytes()],
        )
    }
}

/// Removes some rows that no longer count. True once none is left.
fn sweep(db: &Connection, garbage: Garbage) -> rusqlite::Result<bool> {
    let gone = db
        .prepare_cached(
            "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE id >= ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        )?
        .execute(params![
            row_id(garbage.no, garbage.from),
            row_id(garbage.no, garbage.to),
            i64::try_from(SWEPT_MAX).unwrap_or(1)
        ])?;
    let is_done = gone < SWEPT_MAX;
    if is_done && garbage.with_head {
        db.prepare_cached("DELETE FROM jobs WHERE no = ?1")?.execute([garbage.no])?;
    }
    Ok(is_done)
}
