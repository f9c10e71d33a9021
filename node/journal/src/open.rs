//! Opening: whether the file is the journal of this node, whole, and of a version that is known here. A hurt one is
//! rebuilt once, and then must be sound.

use std::path::PathBuf;

use rusqlite::{Connection, ErrorCode};
use weft_core::PeerId;

use crate::check::Id;
use crate::disk::{self, Files};
use crate::error::{Error, code, says_full, says_locked};
use crate::mark::{Continuity, Log, Mark, Marks, Stamp};
use crate::rebuild;
use crate::room::Room;
use crate::schema::{self, checkpoint};
use crate::synced;
use crate::wal;

/// Bytes of the reason that a writer left for a rebuild; what is beyond is not read.
const DOUBT_BYTES_MAX: u64 = 1024;

/// What an open journal was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which journal, and which life of it.
    pub stamp: Stamp,
    /// Whether it is the one that this node had last.
    pub continuity: Continuity,
    /// Records that the fold was told.
    pub records: u64,
    /// Jobs in quarantine.
    pub quarantined: u64,
    /// Things of shelves and lines of lists that were not what was written; they were removed.
    pub removed: u64,
    /// If its file was hurt.
    pub rebuilt: Option<Rebuilt>,
}

/// A hurt file was read page by page, and what it holds is in a new one. Some that was forgotten may be back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What was wrong.
    pub why: String,
    /// Where the hurt file is now; the next hurt one takes its place.
    pub kept: PathBuf,
}

/// What the database said that was no answer.
enum Trouble {
    /// Nothing to be done here.
    Final(Error),
    /// The file is not what it was: rebuild it.
    Hurt(String),
    /// There is no room.
    Full,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        if error.is_disk_full() { Self::Full } else { Self::Final(error) }
    }
}

/// A database that can be written.
pub(crate) struct Sound {
    pub(crate) db: Connection,
    /// What it says about itself since this open.
    pub(crate) about: Mark,
    pub(crate) continuity: Continuity,
    pub(crate) rebuilt: Option<Rebuilt>,
}

impl Sound {
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { journal: self.about.journal, opens: self.about.opens }
    }
}

/// Finds, makes or rebuilds the database.
pub(crate) fn open(files: &Files, node: PeerId, room: &Room) -> Result<Sound, Error> {
    rebuild::finish(files)?;
    let marks = Marks::read(files, node);
    let mark = marks.newest();
    let mut rebuilt = None;
    let mut was_made = false;
    if disk::length(&files.db)?.unwrap_or(0) == 0 {
        rebuilt = from_log_alone(files, node, mark)?;
        if rebuilt.is_none() {
            make(files, node)?;
            was_made = true;
        }
    }
    let found = Found::look(files, mark)?;
    let log = found.log;
    let (db, before, why) = open_existing(files, node, room, found)?;
    rebuilt = rebuilt.or(why.map(|why| Rebuilt { why, kept: files.hurt.clone() }));
    let continuity = match marks.compare(&before, log) {
        _ if rebuilt.is_some() => Continuity::Rebuilt,
        Some(said) => said,
        None if was_made => Continuity::New,
        None if before.opens == 0 => Continuity::New,
        None => Continuity::Unmarked,
    };
    // Not the number of an earlier life or of one of its jobs, whatever the file says.
    let known = mark.filter(|mark| mark.journal == before.journal).unwrap_or(before);
    let about = Mark {
        opens: before.opens.max(known.opens) + 1,
        closed: false,
        checkpoints: before.checkpoints.max(known.checkpoints),
        next_no: before.next_no.max(known.next_no),
        ..before
    };
    begin_life(files, &db, &about, room)?;
    schema::wait_long_for_others(&db).map_err(Error::database("set up the journal"))?;
    Ok(Sound { db, about, continuity, rebuilt })
}

/// What was there before the database looked at it.
#[derive(Default)]
struct Found {
    mark: Option<Mark>,
    log: Log,
    /// The database takes some of it.
    has_records: bool,
    /// Why the log is not whole, if it is not.
    broken: Option<String>,
}

impl Found {
    fn look(files: &Files, mark: Option<Mark>) -> Result<Self, Error> {
        let wal = wal::read_log(&files.wal)?;
        let has_records = wal.right_frames().is_some_and(|(_, frames)| frames > 0);
        Ok(Self { mark, log: look_at_log(files, mark, &wal), has_records, broken: wal.broken() })
    }

    /// Whether a file that says this is the one that this node had last, with a log that was not put into it.
    fn goes_on(&self, about: &Mark) -> bool {
        let is_same = |mark: Mark| mark.compare(about, self.log) == Continuity::Same;
        self.has_records && !about.closed && self.mark.is_some_and(is_same)
    }
}

/// What the write-ahead log is, by the mark and by what is known to have been on the disk.
fn look_at_log(files: &Files, mark: Option<Mark>, wal: &wal::Log) -> Log {
    if !wal.has_frame {
        return Log::Empty;
    }
    let life = mark.filter(|mark| !mark.closed).map(|mark| mark.opens);
    let is_cut = life.is_some_and(|opens| synced::is_cut(files, opens, wal));
    if is_cut { Log::Cut } else { Log::AsKnown }
}

/// A write-ahead log without its file: what is in it is all there is.
fn from_log_alone(files: &Files, node: PeerId, mark: Option<Mark>) -> Result<Option<Rebuilt>, Error> {
    if disk::length(&files.wal)?.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let why = String::from("its file is gone, and its write-ahead log is there");
    match rebuild::rebuild(files, node, mark, &why) {
        Ok(()) => Ok(Some(Rebuilt { why, kept: files.hurt.clone() })),
        Err(Error::Damaged { .. } | Error::NotAJournal { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Makes an empty one.
fn make(files: &Files, node: PeerId) -> Result<(), Error> {
    let mut journal: Id = [0; 16];
    getrandom::fill(&mut journal)
        .map_err(|error| Error::io("draw an id for", &files.db)(std::io::Error::other(error.to_string())))?;
    let about = Mark { journal, node, opens: 0, checkpoints: 0, closed: true, next_no: 1 };
    // Logs of a file that is gone must not be taken for the new one's.
    for leftover in [&files.wal, &files.shm, &files.doubt] {
        disk::remove(leftover)?;
    }
    rebuild::make(files, &about, |_| Ok(0))
}

/// Opens the file that is there. Says why, if it had to be rebuilt.
fn open_existing(
    files: &Files,
    node: PeerId,
    room: &Room,
    mut found: Found,
) -> Result<(Connection, Mark, Option<String>), Error> {
    check_writable(files)?;
    let mut rebuilt = None;
    let mut has_room_been_made = false;
    loop {
        match try_open(files, node, &found) {
            Ok((db, about)) => return Ok((db, about, rebuilt)),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Full) if !has_room_been_made && room.give_up() => has_room_been_made = true,
            Err(Trouble::Full) => return Err(Error::Full { path: files.db.clone() }),
            Err(Trouble::Hurt(why)) if rebuilt.is_none() => {
                rebuild::rebuild(files, node, found.mark, &why)?;
                // A rebuilt file has no log.
                found = Found { mark: found.mark, ..Found::default() };
                rebuilt = Some(why);
            }
            Err(Trouble::Hurt(why)) => return Err(Error::Damaged { path: files.db.clone(), why }),
        }
    }
}

/// The system's own word on whether the file can be written, before the database's, which is less clear.
fn check_writable(files: &Files) -> Result<(), Error> {
    for path in [&files.db, &files.wal, &files.shm] {
        let mut options = std::fs::OpenOptions::new();
        match options.read(true).write(true).open(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("open", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn try_open(files: &Files, node: PeerId, found: &Found) -> Result<(Connection, Mark), Trouble> {
    if let Some(why) = &found.broken {
        return Err(Trouble::Hurt(why.clone()));
    }
    let said = |error: rusqlite::Error| trouble(files, error);
    let db = schema::open_writer(&files.db).map_err(said)?;
    schema::wait_briefly_for_others(&db).map_err(said)?;
    let about = identify(files, &db, node)?;
    if !schema::begin_wal(&db).map_err(said)? {
        let why = String::from("no memory can be shared between processes there");
        return Err(Error::NoLocks { path: files.db.clone(), why }.into());
    }
    schema::find_unlocked(&db).map_err(said)?;
    if let Some(why) = disk::read_text(&files.doubt, DOUBT_BYTES_MAX)? {
        return Err(Trouble::Hurt(format!("a write found it damaged: {}", one_line(&why))));
    }
    examine(&db).map_err(said)?.map_or(Ok(()), |why| Err(Trouble::Hurt(why)))?;
    if found.goes_on(&about) {
        close_life(&db, about).map_err(said)?;
    }
    // A log that begins anew: what a torn write left behind the last record is not looked at again.
    checkpoint(&db, "TRUNCATE").map_err(said)?;
    Ok((db, about))
}

/// The life before is over. Once all of its log is in the file that is said there, so that an open which ends before the next life
/// begins is not taken for one that lost its log; not before, for then half of it could pass for all.
fn close_life(db: &Connection, about: Mark) -> rusqlite::Result<()> {
    let (in_log, in_file) = checkpoint(db, "PASSIVE")?;
    if in_log != in_file {
        return Ok(());
    }
    match schema::write_about(db, &Mark { closed: true, ..about }) {
        // It prevents a false alarm, and no start.
        Err(error) if says_full(&error) => Ok(()),
        other => other,
    }
}

/// Whose it is, and of what version.
fn identify(files: &Files, db: &Connection, node: PeerId) -> Result<Mark, Trouble> {
    let header = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let about = schema::read_about(db);
    let path = files.db.clone();
    let application = header("application_id").map_err(|error| trouble(files, error))?;
    let version = header("user_version").map_err(|error| trouble(files, error))?;
    match about {
        Ok(Some((_, found))) if found > schema::VERSION => {
            Err(Error::Newer { path, found, known: schema::VERSION }.into())
        }
        Ok(Some((about, _))) if about.node != node => {
            Err(Error::OtherNode { path, found: about.node, me: node }.into())
        }
        Ok(Some(_)) if application != schema::APPLICATION || version != schema::VERSION => {
            Err(Trouble::Hurt(String::from("its header is not what was written")))
        }
        Ok(Some((about, _))) => Ok(about),
        _ if application != schema::APPLICATION => {
            Err(Error::NotAJournal { path, found: String::from("a database of another program") }.into())
        }
        _ if version > schema::VERSION => {
            Err(Error::Newer { path, found: version, known: schema::VERSION }.into())
        }
        Ok(None) => Err(Trouble::Hurt(String::from("what it says about itself is not what was written"))),
        Err(error) => Err(trouble(files, error)),
    }
}

/// Whether the structure of the file is whole; its records are checked one by one later.
fn examine(db: &Connection) -> rusqlite::Result<Option<String>> {
    if db.is_readonly("main")? {
        // The system lets us write it.
        return Ok(Some(String::from("its header says that it must not be written")));
    }
    if !schema::has_right_tables(db)? {
        return Ok(Some(String::from("its tables are not those that were made")));
    }
    // The index of a table, too: where it differs from the table, a later write would fail.
    for question in [
        "PRAGMA quick_check(1)",
        "PRAGMA integrity_check(listing)",
        "PRAGMA integrity_check(things)",
        "PRAGMA integrity_check(remembered)",
    ] {
        let answer: String = db.query_row(question, [], |row| row.get(0))?;
        if answer != "ok" {
            return Ok(Some(one_line(&answer)));
        }
    }
    Ok(None)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect::<Vec<_>>().join(": ")
}

/// What an error of the database means for a file that the system lets us write.
fn trouble(files: &Files, error: rusqlite::Error) -> Trouble {
    let path = files.db.clone();
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    match code(&error) {
        Some(ErrorCode::DiskFull) => Trouble::Full,
        _ if says_locked(&error) => Error::InUse { path }.into(),
        Some(ErrorCode::FileLockingProtocolFailed) => Error::NoLocks { path, why: error.to_string() }.into(),
        Some(ErrorCode::SystemIoFailure) if is_about_locks(extended) => {
            Error::NoLocks { path, why: error.to_string() }.into()
        }
        // Beyond the end of a file that was cut.
        Some(ErrorCode::SystemIoFailure) if extended != rusqlite::ffi::SQLITE_IOERR_SHORT_READ => {
            Error::database("open the journal")(error).into()
        }
        Some(ErrorCode::CannotOpen | ErrorCode::OutOfMemory) => {
            Error::database("open the journal")(error).into()
        }
        _ => Trouble::Hurt(error.to_string()),
    }
}

fn is_about_locks(extended: i32) -> bool {
    use rusqlite::ffi;
    [
        ffi::SQLITE_IOERR_LOCK,
        ffi::SQLITE_IOERR_RDLOCK,
        ffi::SQLITE_IOERR_UNLOCK,
        ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMLOCK,
        ffi::SQLITE_IOERR_SHMMAP,
    ]
    .contains(&extended)
}

/// Says in the file, and then in the mark, that a new life has begun.
fn begin_life(files: &Files, db: &Connection, about: &Mark, room: &Room) -> Result<(), Error> {
    // It is about the log of the life before.
    disk::remove(&files.synced)?;
    match schema::write_about(db, about) {
        Err(error) if says_full(&error) && room.give_up() => schema::write_about(db, about),
        other => other,
    }
    .map_err(|error| {
        let path = files.db.clone();
        match error {
            error if says_full(&error) => Error::Full { path },
            error if says_locked(&error) => Error::InUse { path },
            error => Error::database("write to the journal")(error),
        }
    })?;
    match about.write(&files.mark) {
        Err(error) if error.is_disk_full() && room.give_up() => about.write(&files.mark),
        other => other,
    }?;
    about.write_outside(files);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: PeerId = PeerId([7; 32]);

    /// A journal that was opened once and not closed, and room for the next open.
    fn unclosed(dir: &tempfile::TempDir) -> (Files, Room) {
        let files = Files::below(dir.path());
        let room = Room::new(files.clone(), 0, 0);
        drop(open(&files, ME, &room).unwrap());
        (files, room)
    }

    /// An open that ends before its life begins.
    fn open_in_vain(files: &Files) {
        let found = Found::look(files, Mark::read(&files.mark)).unwrap();
        assert_eq!(found.log, Log::AsKnown);
        drop(try_open(files, ME, &found).unwrap_or_else(|_| unreachable!("it is sound")));
        assert_eq!(disk::length(&files.wal).unwrap().unwrap_or(0), 0, "the log is in the file");
    }

    #[test]
    fn an_open_that_ends_before_its_life_begins_is_not_taken_for_a_lost_log() {
        let dir = tempfile::tempdir().unwrap();
        let (files, room) = unclosed(&dir);
        open_in_vain(&files);
        let next = open(&files, ME, &room).unwrap();
        assert_eq!((next.continuity, next.about.opens), (Continuity::Same, 2));
        drop(next);
        // And a log that is gone is still noticed.
        disk::remove(&files.wal).unwrap();
        disk::remove(&files.shm).unwrap();
        let lost = open(&files, ME, &room).unwrap();
        assert_eq!(lost.continuity, Continuity::OlderOrLogLost { file: 1, mark: 2 });
    }

    #[test]
    fn an_older_copy_is_one_also_after_an_open_that_ended_before_its_life_began() {
        let dir = tempfile::tempdir().unwrap();
        let (files, room) = unclosed(&dir);
        // The life was closed after the copy had been made.
        let mark = Mark { closed: true, ..Mark::read(&files.mark).unwrap() };
        mark.write(&files.mark).unwrap();
        open_in_vain(&files);
        let next = open(&files, ME, &room).unwrap();
        assert_eq!(next.continuity, Continuity::Older { file: 1, mark: 1 });
    }

    #[test]
    fn a_life_is_closed_only_once_all_of_its_log_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (files, _) = unclosed(&dir);
        let db = schema::open_writer(&files.db).unwrap();
        let about = || schema::read_about(&db).unwrap().unwrap().0;
        // What comes behind a reader's look stays in the log.
        let reader = schema::open_reader(&files.db).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM about").unwrap();
        schema::write_about(&db, &Mark { next_no: 9, ..about() }).unwrap();
        close_life(&db, about()).unwrap();
        assert!(!about().closed);
        reader.execute_batch("COMMIT").unwrap();
        close_life(&db, about()).unwrap();
        assert!(about().closed);
    }

    #[test]
    fn a_log_of_zeros_closes_no_life() {
        let dir = tempfile::tempdir().unwrap();
        let (files, _) = unclosed(&dir);
        let bytes = disk::length(&files.wal).unwrap().unwrap();
        std::fs::write(&files.wal, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
        let mark = Mark::read(&files.mark).unwrap();
        let found = Found::look(&files, Some(mark)).unwrap();
        assert!(!found.has_records && !found.goes_on(&mark));
    }
}
