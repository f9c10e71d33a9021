//! The database: its tables, how a connection is set up, and what it says about itself.
//!
//! All rows of a job have ids in one range, its number in the upper half and the record's in the lower half, so that a
//! log is read in one sweep. Nothing here trusts an index with a record: they serve lists and shelves.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use weft_core::{JobId, PeerId};

use crate::check::{self, CHECK_BYTES, Checker, Id, RecordRow};
use crate::head::Head;
use crate::mark::Mark;
use crate::shelf::Shelf;

/// "weft" in ASCII: what the file's header says that it belongs to.
pub(crate) const APPLICATION: i64 = 0x7765_6674;
/// The format that this version writes, the newest that it reads.
pub(crate) const VERSION: i64 = 1;
/// Bytes of a page, which raw pages are read by.
pub(crate) const PAGE_BYTES: usize = 4096;
/// For how long a write waits for another process that reads or copies the file.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// For how long a step of an opening waits for another process. A node that starts says nothing meanwhile.
const LOCKED_MAX: Duration = Duration::from_secs(3);
/// Pages of the write-ahead log that are put into the file together.
pub(crate) const CHECKPOINT_PAGES: i64 = 1024;
/// Pages of the log, 16 MiB, from which on it is to begin anew. It does so only once all of it is in the file.
pub(crate) const LOG_PAGES: i64 = 4 * CHECKPOINT_PAGES;
/// A longer log is cut to this when it begins anew, in bytes.
const WAL_KEPT_BYTES: i64 = (LOG_PAGES + CHECKPOINT_PAGES) * PAGE_BYTES as i64;
/// Memory that a connection keeps pages in, in KiB.
const CACHE_KIB: i64 = 8 << 10;

/// In place of a head's hash: its log can't be told apart from an older one.
pub(crate) const IN_DOUBT: [u8; CHECK_BYTES] = *b"rewritten log...";

/// There must be no view in it: SQLite (3.54.1) counts one as a tree whose root is page 0, and takes a check whose first
/// root is 0 for one of some tables only, so that `quick_check` leaves out the list of free pages, and pages that are in
/// no tree.
const TABLES: &str = "
    CREATE TABLE about(id INTEGER PRIMARY KEY, journal BLOB, node BLOB, version INTEGER, opens INTEGER,
                       checkpoints INTEGER, closed INTEGER, next_no INTEGER, sum BLOB);
    CREATE TABLE jobs(no INTEGER PRIMARY KEY, job INTEGER, first INTEGER, next INTEGER, cuts INTEGER, owns INTEGER,
                      gone INTEGER, sum BLOB);
    CREATE TABLE records(id INTEGER PRIMARY KEY, job INTEGER, kind INTEGER, upto INTEGER, bytes BLOB, sum BLOB);
    CREATE TABLE listing(no INTEGER PRIMARY KEY, job INTEGER, owner BLOB, name TEXT, labels TEXT, state INTEGER,
                         since_ms INTEGER, ended_ms INTEGER, tasks INTEGER, done INTEGER, failed INTEGER, sum BLOB);
    CREATE INDEX listing_since ON listing(since_ms);
    CREATE TABLE things(id INTEGER PRIMARY KEY, shelf INTEGER, key BLOB, bytes BLOB, sum BLOB);
    CREATE INDEX things_key ON things(shelf, key);
    CREATE TABLE remembered(id INTEGER PRIMARY KEY, shelf INTEGER, key BLOB, bytes BLOB, sum BLOB);
    CREATE INDEX remembered_key ON remembered(shelf, key);";

/// The id of a record.
pub(crate) fn row_id(no: u32, seq: u32) -> i64 {
    i64::from(no) << 32 | i64::from(seq)
}

/// The job's number and the record's of an id.
pub(crate) fn parts_of(id: i64) -> (u32, u32) {
    let part = |half: i64| u32::try_from(half & 0xffff_ffff).unwrap_or(0);
    (part(id >> 32), part(id))
}

/// Makes a new database at a path where nothing is: not safe against crashes before it is synced.
pub(crate) fn create(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.pragma_update(None, "page_size", i64::try_from(PAGE_BYTES).unwrap_or(0))?;
    db.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "OFF")?;
    db.pragma_update(None, "application_id", APPLICATION)?;
    db.pragma_update(None, "user_version", VERSION)?;
    db.execute_batch(TABLES)?;
    Ok(db)
}

/// Whether the tables are those of this version, letter by letter.
pub(crate) fn has_right_tables(db: &Connection) -> rusqlite::Result<bool> {
    let right = Connection::open_in_memory()?;
    right.execute_batch(TABLES)?;
    Ok(tables_of(db)? == tables_of(&right)?)
}

fn tables_of(db: &Connection) -> rusqlite::Result<Vec<(String, String, String, String)>> {
    let mut statement =
        db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.collect()
}

/// Opens a connection that writes: the one of the writer, or that of checkpoints.
pub(crate) fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    set_up(&db)?;
    // What is durable is decided by our own checkpoints; closing after a failed write must not try another.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(db)
}

/// Sets up a writer whose file was looked at. False if the file system can't share memory between processes.
pub(crate) fn begin_wal(db: &Connection) -> rusqlite::Result<bool> {
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    wait_for_disk(db)?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    db.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    Ok(mode.eq_ignore_ascii_case("wal"))
}

/// Whether no other process holds the lock of a writer: with one that does, each later step of an opening would wait for nothing.
pub(crate) fn find_unlocked(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
}

/// While the journal is opened.
pub(crate) fn wait_briefly_for_others(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(LOCKED_MAX)
}

/// While it is written.
pub(crate) fn wait_long_for_others(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_MAX)
}

/// Opens the connection that puts what another one wrote into the file.
pub(crate) fn open_checkpoints(path: &Path) -> rusqlite::Result<Connection> {
    let db = open_writer(path)?;
    wait_for_disk(&db)?;
    Ok(db)
}

/// Whatever is said to be written is on the disk.
fn wait_for_disk(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)
}

/// Puts pages of the write-ahead log into the file. Returns how many are in the log, and how many of them in the file.
pub(crate) fn checkpoint(db: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    let mut statement = db.prepare_cached(match mode {
        "NOOP" => "PRAGMA wal_checkpoint(NOOP)",
        "PASSIVE" => "PRAGMA wal_checkpoint(PASSIVE)",
        _ => "PRAGMA wal_checkpoint(TRUNCATE)",
    })?;
    statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// Opens a connection that reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    // A reader of a write-ahead log writes the index of it, so the file is opened for both.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    set_up(&db)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

fn set_up(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_MAX)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// What the file says about itself; none if that is not what was written.
pub(crate) fn read_about(db: &Connection) -> rusqlite::Result<Option<(Mark, i64)>> {
    let sql =
        "SELECT journal, node, version, opens, checkpoints, closed, next_no, sum FROM about WHERE id = 1";
    db.query_row(sql, [], |row| {
        let (journal, node): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let numbers = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
        Ok(about_of(&journal, &node, numbers, &row.get::<_, Vec<u8>>(7)?))
    })
}

/// The same from its parts.
pub(crate) fn about_of(journal: &[u8], node: &[u8], numbers: [i64; 5], sum: &[u8]) -> Option<(Mark, i64)> {
    let (journal, node): (Id, [u8; 32]) = (journal.try_into().ok()?, node.try_into().ok()?);
    let node = PeerId(node);
    let [version, opens, checkpoints, closed, next_no] = numbers;
    let checkpoints = u64::try_from(checkpoints).ok()?;
    let next_no = u32::try_from(next_no).ok()?;
    let opens = u64::try_from(opens).ok()?;
    let is_right = check::about(journal, node, numbers) == sum;
    is_right.then_some((Mark { journal, node, opens, checkpoints, closed: closed != 0, next_no }, version))
}

pub(crate) fn write_about(db: &Connection, about: &Mark) -> rusqlite::Result<()> {
    let numbers = [
        VERSION,
        about.opens.cast_signed(),
        about.checkpoints.cast_signed(),
        i64::from(about.closed),
        i64::from(about.next_no),
    ];
    let sum = check::about(about.journal, about.node, numbers);
    let [version, opens, checkpoints, closed, next_no] = numbers;
    db.execute(
        "INSERT OR REPLACE INTO about(id, journal, node, version, opens, checkpoints, closed, next_no, sum)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![about.journal, about.node.0, version, opens, checkpoints, closed, next_no, sum],
    )?;
    Ok(())
}

pub(crate) fn write_head(
    db: &Connection,
    checker: &Checker,
    job: JobId,
    head: &Head,
    is_gone: bool,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO jobs(no, job, first, next, cuts, owns, gone, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        head.no,
        job.0.cast_signed(),
        head.first,
        head.next,
        head.cuts,
        head.owns,
        is_gone,
        checker.head(job, head, is_gone)
    ])?;
    Ok(())
}

pub(crate) fn write_row(db: &Connection, checker: &Checker, row: &RecordRow<'_>) -> rusqlite::Result<()> {
    let RecordRow { id, job, kind, upto, bytes } = row;
    db.prepare_cached(
        "INSERT OR REPLACE INTO records(id, job, kind, upto, bytes, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![id, job.0.cast_signed(), kind, upto, bytes, checker.row(row)])?;
    Ok(())
}

/// Ends of tasks that a log has told up to and with the row of this id; none if there is no such row.
pub(crate) fn ends_upto(db: &Connection, id: i64) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT upto FROM records WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

/// Marks a head so that its job is in quarantine from now on.
pub(crate) fn write_head_in_doubt(db: &Connection, no: u32) -> rusqlite::Result<()> {
    db.execute("UPDATE jobs SET sum = ?2 WHERE no = ?1", params![no, IN_DOUBT])?;
    Ok(())
}

pub(crate) fn write_thing(
    db: &Connection,
    id: i64,
    shelf: Shelf,
    key: &[u8],
    bytes: &[u8],
    sum: [u8; CHECK_BYTES],
) -> rusqlite::Result<()> {
    let table = shelf.table();
    db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO {table}(id, shelf, key, bytes, sum) VALUES (?1, ?2, ?3, ?4, ?5)"
    ))?
    .execute(params![id, shelf.number(), key, bytes, sum])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_of_the_writer_waits_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        create(&path).unwrap().close().unwrap();
        let db = open_writer(&path).unwrap();
        assert!(begin_wal(&db).unwrap());
        let text = |name| db.pragma_query_value(None, name, |row| row.get::<_, String>(0)).unwrap();
        let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        // No test can cut the power: these are what SQLite promises durability for.
        assert_eq!((text("journal_mode").as_str(), number("synchronous")), ("wal", 2));
        assert_eq!((number("wal_autocheckpoint"), number("fullfsync")), (0, 1));
        assert_eq!(number("page_size"), i64::try_from(PAGE_BYTES).unwrap());
        assert!(db.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).unwrap());
    }

    #[test]
    fn the_check_at_open_covers_the_list_of_free_pages() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        create(&path).unwrap().close().unwrap();
        let check = || -> String {
            let db = Connection::open(&path).unwrap();
            db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(check(), "ok");
        let mut bytes = std::fs::read(&path).unwrap();
        // The number of free pages, in the file's header.
        bytes[39] = 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(check().contains("size is 0 but should be 1"), "{}", check());
    }

    #[test]
    fn ids_hold_the_numbers_of_job_and_record() {
        for parts in [(0, 0), (1, 2), (u32::MAX >> 1, u32::MAX), (7, 0)] {
            assert_eq!(parts_of(row_id(parts.0, parts.1)), parts);
        }
    }
}
