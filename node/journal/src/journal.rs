//! The journal: the one public door to it.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use weft_core::{JobId, PeerId};

use crate::apply::Applier;
use crate::check::Checker;
use crate::checkpoints::Checkpoints;
use crate::disk::{self, Files};
use crate::error::{self, Error, Failure, Refused};
use crate::event::Event;
use crate::fold::{Fold, read_back};
use crate::heads::Heads;
use crate::mark::Mark;
use crate::open::{self, Opened};
use crate::queue::Queue;
use crate::reader::{Reader, remove_wrong_lines};
use crate::record::Entry;
use crate::room::{LOW_BYTES, RESERVE_BYTES, Room};
use crate::synced::Synced;
use crate::writer::{Cause, Lengths, Writer};

/// Where a journal is and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its directory; made where there is none.
    pub dir: PathBuf,
    /// The node that it belongs to.
    pub node: PeerId,
    /// A file outside of the directory for a second mark, if there is one: where the directory is gone, or is a copy from earlier
    /// with a mark of its own, that one knows.
    pub mark: Option<PathBuf>,
    /// Bytes that are set aside on the disk, to end jobs with when the rest is full.
    pub reserve_bytes: u64,
    /// Free bytes below which new work is refused.
    pub low_bytes: u64,
}

impl Settings {
    /// With the usual reserve.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, node: PeerId) -> Self {
        Self { dir: dir.into(), node, mark: None, reserve_bytes: RESERVE_BYTES, low_bytes: LOW_BYTES }
    }
}

/// The log of records, open. Dropping it writes what waits and closes it.
pub struct Journal {
    files: Files,
    checker: Checker,
    heads: Arc<Mutex<Heads>>,
    queue: Arc<Queue>,
    room: Arc<Room>,
    writer: Option<JoinHandle<Option<Mark>>>,
    /// Open until no connection is.
    file: Arc<File>,
    /// Given back last.
    _lock: File,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("db", &self.files.db).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the journal, or makes one; hands all that is in it to `fold`; then starts the writer, which tells `told`.
    ///
    /// # Errors
    /// If the file can't be opened, or is not this node's journal: each [`Error`] says what to do. Damage to single
    /// jobs is no error, see [`Fold::quarantined`]; nor is an older copy, see [`Opened::continuity`].
    pub fn open(
        settings: &Settings,
        fold: &mut dyn Fold,
        told: impl FnMut(Event) + Send + 'static,
    ) -> Result<(Self, Opened), Error> {
        let files = Files { outer_mark: settings.mark.clone(), ..Files::below(&settings.dir) };
        let lock = files.lock()?;
        let room = Arc::new(Room::new(files.clone(), settings.reserve_bytes, settings.low_bytes));
        let sound = open::open(&files, settings.node, &room)?;
        let checker = Checker::new(sound.about.journal, settings.node);
        let back = read_back(&sound.db, &checker, sound.about.next_no, fold);
        let back = back.inspect_err(|error| doubt(&files, error))?;
        let removed = tidy(&sound.db, &checker, &back.lost_things);
        room.set_aside()?;
        let opened = Opened {
            stamp: sound.stamp(),
            continuity: sound.continuity,
            records: back.records,
            quarantined: back.quarantined,
            removed: removed.map_err(Error::database("remove what is not what was written"))?,
            rebuilt: sound.rebuilt,
        };
        let queue = Arc::new(Queue::default());
        let file = Arc::new(File::open(&files.db).map_err(Error::io("open", &files.db))?);
        let checkpoints = Checkpoints::start(&files.db, Arc::clone(&file), Arc::clone(&queue))?;
        let writer = Writer {
            db: sound.db,
            applier: Applier::new(checker.clone(), back.shelves, back.garbage, sound.about),
            checkpoints,
            synced: Synced::begin(&files, opened.stamp.opens),
            queue: Arc::clone(&queue),
            room: Arc::clone(&room),
            files: files.clone(),
            told: Box::new(told),
            is_low: false,
            seen: Lengths::default(),
            uncounted_pages: 0,
            has_ended: false,
            asked_for: Cause::default(),
            cramped_until: None,
        };
        let thread = std::thread::Builder::new().name(String::from("journal"));
        let writer = thread.spawn(|| writer.run()).map_err(Error::io("start a thread for", &files.db))?;
        let heads = Arc::new(Mutex::new(Heads::new(back.heads, back.damages, back.next_no)));
        Ok((Self { files, checker, heads, queue, room, writer: Some(writer), file, _lock: lock }, opened))
    }

    /// Whether there is room for entries: in the queue, and on the disk if they begin new work. While one thread appends,
    /// what there was room for is not refused for want of it.
    ///
    /// # Errors
    /// [`Refused::Busy`], [`Refused::DiskLow`], [`Refused::Failed`] or [`Refused::Closing`].
    pub fn check_room(&self, entries: &[Entry]) -> Result<(), Refused> {
        if entries.iter().any(Entry::begins_work) {
            self.room.look();
            // So that the end of it is told, too.
            self.room.check().inspect_err(|_| self.queue.ask_to_look())?;
        }
        self.queue.check_room(cost_of(entries))
    }

    /// Takes entries for the next group. Never waits for the disk. They are on the disk, all together, once
    /// [`Event::Persisted`] has reached the ticket that is returned.
    ///
    /// # Errors
    /// [`Refused`]; then none of them was taken.
    pub fn append(&self, entries: Vec<Entry>) -> Result<u64, Refused> {
        let cost = cost_of(&entries);
        // Held until the entries are queued: their order is that of their numbers.
        let mut heads = self.heads();
        self.check_room(&entries)?;
        self.queue.push(cost, || heads.admit(entries))
    }

    /// As [`Journal::append`], but waits for room in the queue, at most until `deadline`.
    ///
    /// # Errors
    /// [`Refused`]; then none of them was taken.
    pub fn append_by(&self, entries: Vec<Entry>, deadline: Instant) -> Result<u64, Refused> {
        self.queue.wait_for_room(cost_of(&entries), deadline)?;
        self.append(entries)
    }

    /// As [`Journal::append_by`], for work that was admitted when [`Journal::check_room`] found room: if the disk got low
    /// since, it is not refused for that.
    ///
    /// # Errors
    /// [`Refused`]; then none of them was taken.
    pub fn append_admitted(&self, entries: Vec<Entry>, deadline: Instant) -> Result<u64, Refused> {
        let cost = cost_of(&entries);
        self.queue.wait_for_room(cost, deadline)?;
        let mut heads = self.heads();
        self.queue.push(cost, || heads.admit(entries))
    }

    /// Bytes that wait for the disk: a driver that sees them rise takes less in.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Why nothing more is taken, if a write has failed.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.queue.failure()
    }

    /// The number of the record that comes next in a job's log; none if there is no log, or one in quarantine.
    #[must_use]
    pub fn next_seq(&self, job: JobId) -> Option<u32> {
        self.heads().get(job).filter(|head| head.sound).map(|head| head.next)
    }

    /// Puts a job into quarantine whose records the caller can't make sense of.
    pub fn distrust(&self, job: JobId) {
        self.heads().distrust(job);
    }

    /// Asks questions; one for each thread that asks.
    ///
    /// # Errors
    /// [`Error::Database`] if the file can't be opened once more.
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::open(&self.files.db, &self.file, self.checker.clone(), Arc::clone(&self.heads))
    }

    /// Writes what waits, and closes the file so that the next open knows it is whole.
    ///
    /// # Errors
    /// [`Error::Failed`] with the first failed write; [`Error`] if the mark can't be written.
    pub fn close(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        self.queue.close();
        let closed = writer.join().ok().flatten();
        match (closed, self.queue.failure()) {
            (Some(closed), _) => {
                closed.write(&self.files.mark)?;
                closed.write_outside(&self.files);
                Ok(())
            }
            (None, Some(failure)) => Err(Error::Failed(failure)),
            (None, None) => Ok(()),
        }
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // What failed was told as an event.
        let _told = self.end();
    }
}

/// Has the next open rebuild a file that was found damaged where the check at open found nothing.
fn doubt(files: &Files, error: &Error) {
    if let Error::Database { source, .. } = error
        && error::says_damaged(&source.0)
    {
        // Where it can't be written, the next open ends as this one.
        let _noted = disk::replace(&files.doubt, &error.to_string());
    }
}

/// What entries count as in the queue.
fn cost_of(entries: &[Entry]) -> usize {
    entries.iter().map(Entry::cost).sum()
}

/// Removes things and lines that are not what was written. Returns how many.
fn tidy(db: &Connection, checker: &Checker, things: &[(&str, i64)]) -> rusqlite::Result<u64> {
    for (table, id) in things {
        db.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id])?;
    }
    let lines = remove_wrong_lines(db, checker)?;
    Ok(lines + u64::try_from(things.len()).unwrap_or(0))
}
