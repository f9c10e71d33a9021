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
use crate::schema::{self, CHECKPOINT_PAGES, LOG_PAGES, checkpoint};
use crate::synced::Synced;

/// How long after a disk was found full it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// During a checkpoint further pages come to the log. When they are fewer than this and it is to begin anew, the writer puts them
/// into the file itself.
const FEW_PAGES: i64 = CHECKPOINT_PAGES / 8;
/// Pages of the log, 64 MiB, from which on the writer waits until what can be is in the file.
const LOG_PAGES_MAX: i64 = 16 * CHECKPOINT_PAGES;

/// The writer, before and while its thread runs.
pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) applier: Applier,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) synced: Option<Synced>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) room: Arc<Room>,
    pub(crate) files: Files,
    pub(crate) told: Box<dyn FnMut(Event) + Send>,
    pub(crate) is_low: bool,
    /// How long the log was when it was last counted.
    pub(crate) seen: Lengths,
    /// Pages that were written since the mark was last told of a checkpoint.
    pub(crate) uncounted_pages: i64,
    /// A checkpoint of the other thread ended, and nothing followed from it yet.
    pub(crate) has_ended: bool,
    /// What those of the other thread are for whose end was not noted yet.
    pub(crate) asked_for: Cause,
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
        let lengths = self.look_at_log()?;
        if let Some(last) = group.last() {
            (self.told)(Event::Persisted { upto: last.ticket });
        }
        self.look_at_room();
        self.checkpoint_if_due(lengths, Cause::Records)
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
        let lengths = self.look_at_log()?;
        self.checkpoint_if_due(lengths, Cause::Tidying)
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
    fn checkpoint_if_due(&mut self, lengths: Lengths, cause: Cause) -> Result<(), Failure> {
        self.count_pages(lengths)?;
        match Step::of(lengths, self.is_low, self.has_ended) {
            Step::Nothing => Ok(()),
            Step::Ask => {
                self.has_ended = false;
                self.asked_for = self.asked_for.max(cause);
                self.checkpoints.ask();
                Ok(())
            }
            Step::Own => {
                self.has_ended = false;
                self.put_into_file("PASSIVE", cause)
            }
            Step::Wait => {
                self.checkpoints.wait();
                self.note_checkpoint()?;
                self.put_into_file("PASSIVE", cause)
            }
        }
    }

    fn note_checkpoint(&mut self) -> Result<(), Failure> {
        let Some(ended) = self.checkpoints.ended() else { return Ok(()) };
        self.has_ended = true;
        let cause = std::mem::replace(&mut self.asked_for, Cause::Tidying);
        self.after(ended, cause)
    }

    /// How long the log is, which is on the disk, too; notes that.
    fn look_at_log(&mut self) -> Result<Lengths, Failure> {
        let (in_log, in_file) =
            checkpoint(&self.db, "NOOP").map_err(Failure::of("ask for the length of the log"))?;
        self.synced.iter().for_each(|synced| synced.note(in_log));
        Ok(Lengths { in_log, in_file })
    }

    /// Counts what was written since the last look.
    fn count_pages(&mut self, now: Lengths) -> Result<(), Failure> {
        let seen = std::mem::replace(&mut self.seen, now);
        let began_anew = now.in_log < seen.in_log || now.in_file < seen.in_file;
        self.uncounted_pages += if began_anew { now.in_log } else { now.in_log - seen.in_log };
        self.count_checkpoint()
    }

    /// Says in the file, and then in the mark, that enough for one checkpoint more was written: a copy from before is known as
    /// older. On a full disk the next one says it.
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

    fn put_into_file(&mut self, mode: &str, cause: Cause) -> Result<(), Failure> {
        self.after(Ended::of(checkpoint(&self.db, mode)), cause)
    }

    /// What is in the write-ahead log is safe there: that the file can't grow is no failure yet.
    fn after(&mut self, ended: Ended, cause: Cause) -> Result<(), Failure> {
        match (ended, cause) {
            (Ended::Done, _) => {}
            (Ended::Full, Cause::Records) => drop(self.room.give_up()),
            (Ended::Full, Cause::Tidying) => self.cramped_until = Some(Instant::now() + LOOK_AGAIN),
            (Ended::Failed(failure), _) => return Err(failure),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Mark, Failure> {
        self.checkpoints.end();
        self.note_checkpoint()?;
        // Pages go into the file by their numbers: together with the others, the one that says that it is closed could be the first.
        self.put_into_file("PASSIVE", Cause::Records)?;
        let closed = Mark { closed: true, ..self.applier.about() };
        let write = |db: &Connection| schema::write_about(db, &closed);
        match write(&self.db) {
            Err(error) if says_full(&error) && self.room.give_up() => write(&self.db),
            other => other,
        }
        .map_err(Failure::of("close the journal"))?;
        self.put_into_file("TRUNCATE", Cause::Records)?;
        Ok(closed)
    }
}

/// How long the write-ahead log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// Its pages.
    pub(crate) in_log: i64,
    /// How many of them are in the file.
    pub(crate) in_file: i64,
}

/// What a checkpoint is for, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// Rows were removed that no longer count. The reserve is not for that: on a full disk it is put off.
    #[default]
    Tidying,
    /// Records were written.
    Records,
}

/// What the writer does about the length of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// Has the other thread put it into the file.
    Ask,
    /// Puts the few pages there itself that came meanwhile.
    Own,
    /// Waits for the other thread, and does the rest itself.
    Wait,
}

impl Step {
    /// `has_ended`: a checkpoint of the other thread ended, and nothing followed from it yet.
    fn of(Lengths { in_log, in_file }: Lengths, is_low: bool, has_ended: bool) -> Self {
        let left = in_log - in_file;
        let begins_anew = in_log >= LOG_PAGES && has_ended;
        // On a disk that is nearly full the log stays short.
        if in_log >= LOG_PAGES_MAX || is_low && left >= CHECKPOINT_PAGES {
            Self::Wait
        } else if begins_anew && left < FEW_PAGES {
            Self::Own
        } else if begins_anew || left >= CHECKPOINT_PAGES {
            Self::Ask
        } else {
            Self::Nothing
        }
    }
}

/// Fails the queue if the thread panics.
struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fail(Failure::other("go on", String::from("the writer's thread panicked")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_waits_for_a_checkpoint_only_where_the_log_gets_too_long() {
        let few = FEW_PAGES - 1;
        for (in_log, in_file, is_low, has_ended, step) in [
            (CHECKPOINT_PAGES - 1, 0, false, true, Step::Nothing),
            (CHECKPOINT_PAGES - 1, 0, true, true, Step::Nothing),
            (CHECKPOINT_PAGES, 0, false, false, Step::Ask),
            (CHECKPOINT_PAGES, 0, true, false, Step::Wait),
            (LOG_PAGES - 1, LOG_PAGES - 1 - few, false, true, Step::Nothing),
            (LOG_PAGES, LOG_PAGES - few, false, true, Step::Own),
            (LOG_PAGES, LOG_PAGES - few, false, false, Step::Nothing),
            (LOG_PAGES, LOG_PAGES - FEW_PAGES, false, true, Step::Ask),
            (LOG_PAGES_MAX - 1, 0, false, false, Step::Ask),
            (LOG_PAGES_MAX, LOG_PAGES_MAX, false, false, Step::Wait),
        ] {
            let found = Step::of(Lengths { in_log, in_file }, is_low, has_ended);
            assert_eq!(found, step, "{in_file} of {in_log} pages, {is_low}, {has_ended}");
        }
    }
}
