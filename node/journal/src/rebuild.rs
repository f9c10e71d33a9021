//! A new database in place of none or of a hurt one. It is made under another name, put onto the disk, and then moved
//! into its place, so that a crash at any moment leaves the old file or the new one.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use rusqlite::Connection;
use weft_core::{JobId, PeerId};

use crate::check::{Checker, RecordRow};
use crate::disk::{self, Files};
use crate::error::Error;
use crate::head::Head;
use crate::mark::Mark;
use crate::salvage::{Pages, Row, Value};
use crate::schema::{self, parts_of, row_id};
use crate::shelf::Shelf;

/// Makes a database with what `fill` puts into it. It returns the number that the next job has at least.
pub(crate) fn make(
    files: &Files,
    about: &Mark,
    fill: impl FnOnce(&Connection) -> Result<u32, Error>,
) -> Result<(), Error> {
    disk::remove(&files.fresh)?;
    let result = try_make(files, about, fill);
    if result.is_err() {
        // Nothing half-made is left to take room; why it failed is told already.
        let _gone = std::fs::remove_file(&files.fresh);
    }
    result
}

fn try_make(
    files: &Files,
    about: &Mark,
    fill: impl FnOnce(&Connection) -> Result<u32, Error>,
) -> Result<(), Error> {
    let said = |error: rusqlite::Error| match crate::error::code(&error) {
        Some(rusqlite::ErrorCode::DiskFull) => Error::Full { path: files.fresh.clone() },
        _ => Error::database("make a new journal")(error),
    };
    // The database makes its log with the mode of its file.
    disk::create(&files.fresh).map_err(Error::io("make", &files.fresh))?;
    let db = schema::create(&files.fresh).map_err(said)?;
    let transaction = db.unchecked_transaction().map_err(said)?;
    let next_no = fill(&transaction)?.max(about.next_no);
    schema::write_about(&transaction, &Mark { next_no, ..*about }).map_err(said)?;
    transaction.commit().map_err(said)?;
    db.close().map_err(|(_, error)| said(error))?;
    File::open(&files.fresh).and_then(|file| file.sync_all()).map_err(Error::io("sync", &files.fresh))?;
    disk::rename(&files.fresh, &files.db)
}

/// Gathers what can be recognised in a hurt file into a new one, and keeps the hurt one under another name.
pub(crate) fn rebuild(files: &Files, node: PeerId, mark: Option<Mark>, why: &str) -> Result<(), Error> {
    let pages = Pages::open(files)?;
    let read = |error| Error::io("read", &files.db)(error);
    let found = about_of(&pages).map_err(read)?;
    let Some(about) = found.or(mark) else { return Err(unrecognised(files, why)) };
    if about.node != node {
        return Err(Error::OtherNode { path: files.db.clone(), found: about.node, me: node });
    }
    let checker = Checker::new(about.journal, node);
    let fresh = Files { db: files.rebuilt.clone(), ..files.clone() };
    make(&fresh, &about, |db| {
        let gathered = gather(&pages, db, &checker, files)?;
        // Its mark alone does not make a file a journal.
        let is_none = found.is_none() && gathered.rows == 0;
        if is_none { Err(unrecognised(files, why)) } else { Ok(gathered.next_no()) }
    })?;
    move_aside(&files.db, &files.hurt)?;
    finish(files)
}

/// Puts a rebuilt file in the place that the hurt one left; also after a crash between the two. One that was made while
/// the hurt file is still there is made anew.
pub(crate) fn finish(files: &Files) -> Result<(), Error> {
    if disk::length(&files.rebuilt)?.is_none() {
        return Ok(());
    }
    if disk::length(&files.db)?.is_some() {
        return disk::remove(&files.rebuilt);
    }
    move_aside(&files.wal, &files.hurt_wal)?;
    disk::remove(&files.shm)?;
    // Should it end here, the next open must not take the rebuilt file for a whole one.
    disk::remove(&files.mark)?;
    disk::remove(&files.doubt)?;
    disk::rename(&files.rebuilt, &files.db)
}

fn move_aside(from: &Path, to: &Path) -> Result<(), Error> {
    disk::remove(to)?;
    if disk::length(from)?.is_some() { disk::rename(from, to) } else { Ok(()) }
}

fn unrecognised(files: &Files, why: &str) -> Error {
    let mut magic = [0; 16];
    let read = File::open(&files.db).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic));
    let path = files.db.clone();
    if read.is_err() || &magic != b"SQLite format 3\0" {
        return Error::NotAJournal { path, found: String::from("it does not begin like a database") };
    }
    Error::Damaged { path, why: why.to_owned() }
}

/// What the journal said about itself last, in one of its pages.
fn about_of(pages: &Pages) -> std::io::Result<Option<Mark>> {
    let mut newest: Option<Mark> = None;
    pages.each_row(9..=9, |row| {
        let found = about_in(&row);
        if let Some(about) = found
            && newest.is_none_or(|newest| age_of(&newest) < age_of(&about))
        {
            newest = Some(about);
        }
    })?;
    Ok(newest)
}

fn age_of(about: &Mark) -> ((u64, u64, bool), u32) {
    (about.age(), about.next_no)
}

fn about_in(row: &Row) -> Option<Mark> {
    use Value::{Blob, Integer, Null};
    let [Null, Blob(journal), Blob(node), numbers @ .., Blob(sum)] = row.values.as_slice() else {
        return None;
    };
    let numbers =
        numbers.iter().map(|number| if let Integer(number) = number { Some(*number) } else { None });
    let numbers: Vec<i64> = numbers.collect::<Option<_>>()?;
    let (about, version) = schema::about_of(journal, node, numbers.try_into().ok()?, sum)?;
    (version == schema::VERSION).then_some(about)
}

/// What was recognised in raw pages.
#[derive(Default)]
struct Gathered {
    rows: usize,
    /// The newest head of each number.
    heads: BTreeMap<u32, (JobId, Head, bool)>,
    /// Which job has a number, as its head or one of its records says.
    jobs: BTreeMap<u32, JobId>,
    /// The newest of a member's own words of each job.
    owns: HashMap<i64, i64>,
}

impl Gathered {
    fn next_no(&self) -> u32 {
        self.jobs.last_key_value().map_or(0, |(no, _)| no.saturating_add(1))
    }

    /// Numbers of logs that were forgotten before the same job got another one.
    fn outlived(&self) -> Vec<u32> {
        let newest: HashMap<JobId, u32> = self.jobs.iter().map(|(no, job)| (*job, *no)).collect();
        self.jobs.iter().filter(|(no, job)| newest.get(job) != Some(no)).map(|(no, _)| *no).collect()
    }
}

/// Puts all rows that are what was written into the new file, and then the newest head of each job.
fn gather(pages: &Pages, db: &Connection, checker: &Checker, files: &Files) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    let mut failed = None;
    pages
        .each_row(5..=8, |row| {
            if let Some((job, head, is_gone)) = head_in(&row, checker) {
                gathered.jobs.insert(head.no, job);
                note_head(&mut gathered.heads, job, head, is_gone);
                gathered.rows += 1;
                return;
            }
            match put(&row, db, checker, &mut gathered) {
                Ok(was_right) => gathered.rows += usize::from(was_right),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        })
        .map_err(Error::io("read", &files.db))?;
    failed
        .map_or_else(|| put_heads(db, checker, &mut gathered), Err)
        .map_err(Error::database("put records into a new journal"))?;
    Ok(gathered)
}

fn put_heads(db: &Connection, checker: &Checker, gathered: &mut Gathered) -> rusqlite::Result<()> {
    for no in gathered.outlived() {
        gathered.heads.remove(&no);
        db.prepare_cached("DELETE FROM records WHERE id >= ?1 AND id <= ?2")?
            .execute([row_id(no, 0), row_id(no, u32::MAX)])?;
    }
    for (job, head, is_gone) in gathered.heads.values() {
        schema::write_head(db, checker, *job, head, *is_gone)?;
        if head.cuts > 0 && !is_gone {
            schema::write_head_in_doubt(db, head.no)?;
        }
    }
    Ok(())
}

/// Of several versions of a head, the one that was written last.
fn note_head(heads: &mut BTreeMap<u32, (JobId, Head, bool)>, job: JobId, head: Head, is_gone: bool) {
    let age = |head: &Head, is_gone: bool| (is_gone, head.cuts, head.next, head.owns, head.first);
    let known = heads.entry(head.no).or_insert((job, head, is_gone));
    if age(&known.1, known.2) < age(&head, is_gone) {
        *known = (job, head, is_gone);
    }
}

fn head_in(row: &Row, checker: &Checker) -> Option<(JobId, Head, bool)> {
    use Value::{Blob, Integer, Null};
    let [Null, Integer(job), numbers @ .., Blob(sum)] = row.values.as_slice() else { return None };
    let number = |place: usize| match numbers.get(place) {
        Some(Integer(number)) => u32::try_from(*number).ok(),
        _ => None,
    };
    let job = JobId(job.cast_unsigned());
    let no = u32::try_from(row.id).ok()?;
    let head =
        Head { no, first: number(0)?, next: number(1)?, cuts: number(2)?, owns: number(3)?, sound: true };
    let is_gone = number(4)? == 1;
    (checker.head(job, &head, is_gone) == sum.as_slice()).then_some((job, head, is_gone))
}

/// Puts a record or a thing into the new file. False if it is not what was written.
fn put(row: &Row, db: &Connection, checker: &Checker, gathered: &mut Gathered) -> rusqlite::Result<bool> {
    use Value::{Blob, Integer, Null};
    match row.values.as_slice() {
        [Null, Integer(job), Integer(kind), Integer(upto), Blob(bytes), Blob(sum)] => {
            let (no, seq) = parts_of(row.id);
            let job = JobId(job.cast_unsigned());
            let found = RecordRow { id: row.id, job, kind: *kind, upto: *upto, bytes };
            let is_right = checker.row(&found) == sum.as_slice();
            if is_right {
                gathered.jobs.insert(no, job);
            }
            if is_right && (seq > 0 || is_newest(&mut gathered.owns, row.id, *kind)) {
                schema::write_row(db, checker, &found)?;
            }
            Ok(is_right)
        }
        [Null, Integer(number), Blob(key), Blob(bytes), Blob(sum)] => {
            let Some(shelf) = Shelf::of(*number) else { return Ok(false) };
            let right = checker.shelved(*number, key, bytes);
            let is_right = right == sum.as_slice();
            if is_right {
                schema::write_thing(db, row.id, shelf, key, bytes, right)?;
            }
            Ok(is_right)
        }
        _ => Ok(false),
    }
}

/// A member's own word has many versions in old pages, with rising numbers. The head says which one counts.
fn is_newest(owns: &mut HashMap<i64, i64>, id: i64, number: i64) -> bool {
    let newest = owns.entry(id).or_insert(number);
    *newest = number.max(*newest);
    *newest == number
}
