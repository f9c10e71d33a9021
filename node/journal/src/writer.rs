//! The thread with the one connection that writes: takes groups from the queue, writes each in one transaction, tells
//! what is on the disk, and tidies up when nothing waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::apply::Applier;
use crate::checkpoints::{Checkpoints, Ended};
use crate::disk::{self, Files};
use crate::error::{Failure, says_full};
use crate::event::Event;
use crate::mark::Mark;
use crate::queue::{Batch, Queue, Turn};
use crate::room::Room;
use crate::schema::{self, checkpoint};

/// How long after a disk was found full it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pages of the write-ahead log that are put into the file together.
const CHECKPOINT_PAGES: i64 = 1024;
/// Pages of the log, 16 MiB, from which on it is to begin anew. It does so only once all of it is in the file, and during a
/// checkpoint further ones come: when those are few, the writer puts them there itself.
const LOG_PAGES: i64 = 4 * CHECKPOINT_PAGES;
/// Fewer pages are few.
const FEW_PAGES: i64 = CHECKPOINT_PAGES / 8;
/// Pages of the log, 64 MiB, from which on the writer waits until what can be is in the file.
const LOG_PAGES_MAX: i64 = 16 * CHECKPOINT_PAGES;

/// The writer, before and while its thread runs.
pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) applier: Applier,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) queue: Arc<Queue>,
    pub(crate) room: Arc<Room>,
    pub(crate) files: Files,
    pub(crate) told: Box<dyn FnMut(Event) + Send>,
    pub(crate) is_low: bool,
    /// Pages of the log when it was last looked at, and how many of them were in the file.
    pub(crate) seen_pages: (i64, i64),
    /// Pages that were written since the mark was last told of a checkpoint.
    pub(crate) uncounted_pages: i64,
    /// A checkpoint of the other thread ended, and nothing followed from it yet.
    pub(crate) has_ended: bool,
    /// Tidying up found no room, and is not tried again before.
    pub(crate) cramped_until: Option<Instant>,
}

impl Writer {
    /// Writes until the queue is closed or a write fails. Returns what the file says in the end; none after a failure.
    pub(crate) fn run(mut self) -> Option<Mark> {
        // A panic of the one who is told must not leave the others waiting for ever.
        let guard = Guard(Arc::clone(&self.queue));
        let ended = self.serve();
        std::mem::forget(guard);
        match ended {
            Ok(closed) => Some(closed),
            Err(failure) => {
                if failure.damaged {
                    // Where it can't be written, the check at the next open has to see the damage by itself.
                    let _noted = disk::replace(&self.files.doubt, &failure.why);
                }
                self.queue.fail(failure.clone());
                (self.told)(Event::Failed(failure));
                None
            }
        }
    }

    fn serve(&mut self) -> Result<Mark, Failure> {
        loop {
            // Removing rows takes room in the log first, which a full disk keeps for what was begun.
            let is_full = self.has_no_room_to_tidy();
            let has_chores = self.applier.has_garbage() && !is_full;
            let turn = self.queue.next(has_chores, is_full.then_some(LOOK_AGAIN));
            self.note_checkpoint()?;
            match turn {
                Turn::Write(group) => self.write(&group)?,
                Turn::Idle => self.tidy_up()?,
                Turn::Look => self.look_at_room(),
                Turn::End => return self.end(),
            }
        }
    }

    fn write(&mut self, group: &[Batch]) -> Result<(), Failure> {
        self.transact(group)?;
        if let Some(last) = group.last() {
            (self.told)(Event::Persisted { upto: last.ticket });
        }
        self.look_at_room();
        self.checkpoint_if_due()
    }

    fn has_no_room_to_tidy(&self) -> bool {
        self.is_low || self.cramped_until.is_some_and(|until| Instant::now() < until)
    }

    /// Removes some of what no longer counts. On a full disk that is put off: the reserve is not for it.
    fn tidy_up(&mut self) -> Result<(), Failure> {
        self.look_at_room();
        if self.is_low {
            return Ok(());
        }
        match self.try_transact(&[], true) {
            Err(error) if says_full(&error) => {
                self.cramped_until = Some(Instant::now() + LOOK_AGAIN);
                return Ok(());
            }
            other => other.map_err(Failure::of("remove what was forgotten"))?,
        }
        let (in_log, in_file) = self.log_pages()?;
        if in_log - in_file >= CHECKPOINT_PAGES {
            self.count_checkpoint()?;
            match Ended::of(checkpoint(&self.db, "PASSIVE")) {
                Ended::Done => {}
                Ended::Full => self.cramped_until = Some(Instant::now() + LOOK_AGAIN),
                Ended::Failed(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// One transaction. If the disk is full, it is tried without removing anything, and then the reserve is given up, once:
    /// nothing of the failed one was written to the disk as valid, so it can be written again.
    fn transact(&mut self, group: &[Batch]) -> Result<(), Failure> {
        let sweeps = !self.has_no_room_to_tidy();
        let mut result = self.try_transact(group, sweeps);
        if sweeps && result.as_ref().is_err_and(says_full) {
            self.cramped_until = Some(Instant::now() + LOOK_AGAIN);
            result = self.try_transact(group, false);
        }
        if result.as_ref().is_err_and(says_full) && self.room.give_up() {
            result = self.try_transact(group, false);
        }
        result.map_err(Failure::of("write a group of records"))
    }

    fn try_transact(&mut self, group: &[Batch], sweeps: bool) -> rusqlite::Result<()> {
        let transaction = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
        let pending = self.applier.apply(&transaction, group.iter().flat_map(|batch| &batch.ops), sweeps)?;
        transaction.commit()?;
        self.applier.commit(pending);
        Ok(())
    }

    /// Tells when new work begins or ends to be refused for want of room.
    fn look_at_room(&mut self) {
        self.room.look();
        let is_low = self.room.check().is_err();
        if is_low != self.is_low {
            self.is_low = is_low;
            (self.told)(Event::DiskLow(is_low));
        }
    }

    /// Has the other thread put what is in the log into the file, once it is much.
    fn checkpoint_if_due(&mut self) -> Result<(), Failure> {
        let (in_log, in_file) = self.log_pages()?;
        let left = in_log - in_file;
        // On a disk that is nearly full the log stays short.
        if in_log >= LOG_PAGES_MAX || self.is_low && left >= CHECKPOINT_PAGES {
            self.count_checkpoint()?;
            self.checkpoints.wait();
            self.note_checkpoint()?;
            return self.put_into_file("PASSIVE");
        }
        let begins_anew = in_log >= LOG_PAGES && std::mem::take(&mut self.has_ended);
        if begins_anew && left < FEW_PAGES {
            return self.put_into_file("PASSIVE");
        }
        if begins_anew || left >= CHECKPOINT_PAGES {
            self.count_checkpoint()?;
            self.checkpoints.ask();
        }
        Ok(())
    }

    fn note_checkpoint(&mut self) -> Result<(), Failure> {
        let Some(ended) = self.checkpoints.ended() else { return Ok(()) };
        self.has_ended = true;
        self.after(ended)
    }

    /// How many pages are in the log, and how many of them in the file.
    fn log_pages(&mut self) -> Result<(i64, i64), Failure> {
        let (in_log, in_file) =
            checkpoint(&self.db, "NOOP").map_err(Failure::of("ask for the length of the log"))?;
        let (seen_in_log, seen_in_file) = std::mem::replace(&mut self.seen_pages, (in_log, in_file));
        let began_anew = in_log < seen_in_log || in_file < seen_in_file;
        self.uncounted_pages += if began_anew { in_log } else { in_log - seen_in_log };
        Ok((in_log, in_file))
    }

    /// Says in the file, and then in the mark, that there is one checkpoint more: a copy from before it is known as older.
    /// On a full disk the next one says it. One that a reader holds up, or that is under way, is due again and again, and counts
    /// once.
    fn count_checkpoint(&mut self) -> Result<(), Failure> {
        if self.uncounted_pages < CHECKPOINT_PAGES {
            return Ok(());
        }
        self.uncounted_pages = 0;
        let before = self.applier.about();
        let about = Mark { checkpoints: before.checkpoints + 1, ..before };
        match schema::write_about(&self.db, &about) {
            Err(error) if says_full(&error) => return Ok(()),
            other => other.map_err(Failure::of("count a checkpoint"))?,
        }
        self.applier.set_about(about);
        match about.write(&self.files.mark) {
            Err(error) if !error.is_disk_full() => {
                Err(Failure::other("write the journal's mark", error.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn put_into_file(&self, mode: &str) -> Result<(), Failure> {
        self.after(Ended::of(checkpoint(&self.db, mode)))
    }

    /// What is in the write-ahead log is safe there: that the file can't grow is no failure yet.
    fn after(&self, ended: Ended) -> Result<(), Failure> {
        match ended {
            Ended::Done => Ok(()),
            Ended::Full => {
                self.room.give_up();
                Ok(())
            }
            Ended::Failed(failure) => Err(failure),
        }
    }

    fn end(&mut self) -> Result<Mark, Failure> {
        self.checkpoints.end();
        self.note_checkpoint()?;
        let closed = Mark { closed: true, ..self.applier.about() };
        let write = |db: &Connection| schema::write_about(db, &closed);
        match write(&self.db) {
            Err(error) if says_full(&error) && self.room.give_up() => write(&self.db),
            other => other,
        }
        .map_err(Failure::of("close the journal"))?;
        self.put_into_file("TRUNCATE")?;
        Ok(closed)
    }
}

/// Fails the queue if the thread panics.
struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fail(Failure::other("go on", String::from("the writer's thread panicked")));
    }
}
