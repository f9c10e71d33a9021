//! The thread that puts records from the write-ahead log into the journal's file, with a connection of its own: the one that
//! writes waits for little of it. It decides nothing; the writer says when, and what an error means.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::error::{Error, Failure, says_full};
use crate::queue::Queue;
use crate::schema::{self, checkpoint};

/// How one ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// What was in the log when it began, and no reader holds back, is in the file; or another one was under way.
    Done,
    /// The file could not grow. What is in the log is safe there.
    Full,
    /// It went wrong.
    Failed(Failure),
}

impl Ended {
    pub(crate) fn of(result: rusqlite::Result<(i64, i64)>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) if says_full(&error) => Self::Full,
            Err(error) => Self::Failed(Failure::of("put records into the journal's file")(error)),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// One is to be done, or under way.
    asked: bool,
    ended: Option<Ended>,
    closing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// It was asked, or is closing.
    came: Condvar,
    /// One ended.
    went: Condvar,
}

/// What the writer has of the thread.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the thread. It has the writer look when one ended. `file` is the journal's, and must stay open until no connection
    /// of this process is: to close it takes their locks away.
    pub(crate) fn start(path: &Path, file: Arc<File>, queue: Arc<Queue>) -> Result<Self, Error> {
        let db = schema::open_checkpoints(path).map_err(Error::database("open the journal once more"))?;
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(String::from("checkpoints"));
        let thread = thread.spawn(move || of_thread.serve(&db, &file, &queue));
        Ok(Self { shared, thread: Some(thread.map_err(Error::io("start a thread for", path))?) })
    }

    /// Has one done, unless one is under way.
    pub(crate) fn ask(&self) {
        let mut state = self.shared.lock();
        if state.ended.is_none() {
            state.asked = true;
            drop(state);
            self.shared.came.notify_one();
        }
    }

    /// How the last one ended; each is told once.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.shared.lock().ended.take()
    }

    /// Waits for the one that was asked for.
    pub(crate) fn wait(&self) {
        let mut state = self.shared.lock();
        while state.asked {
            state = self.shared.went.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the one under way, and for the thread. None begins any more.
    pub(crate) fn end(&mut self) {
        self.shared.lock().closing = true;
        self.shared.came.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panic was told as the end of a checkpoint.
            let _ended = thread.join();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, db: &Connection, file: &File, queue: &Queue) {
        let guard = Guard(self, queue);
        while self.next() {
            self.tell(put_into_file(db, file), queue);
        }
        std::mem::forget(guard);
    }

    /// Waits until one is to be done; false if none will be.
    fn next(&self) -> bool {
        let mut state = self.lock();
        while !state.asked && !state.closing {
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asked && !state.closing
    }

    fn tell(&self, ended: Ended, queue: &Queue) {
        let mut state = self.lock();
        (state.asked, state.ended) = (false, Some(ended));
        drop(state);
        self.went.notify_one();
        queue.ask_to_look();
    }
}

/// SQLite waits for the disk only where nothing came meanwhile. What it did not wait for, the writer would have to.
fn put_into_file(db: &Connection, file: &File) -> Ended {
    match Ended::of(checkpoint(db, "PASSIVE")) {
        Ended::Done => match file.sync_data() {
            Ok(()) => Ended::Done,
            // On a full disk, too: the log may begin anew over what is not known to be on the disk.
            Err(error) => Ended::Failed(Failure::other("sync the journal's file", error.to_string())),
        },
        other @ (Ended::Full | Ended::Failed(_)) => other,
    }
}

/// Tells of a panic.
struct Guard<'a>(&'a Shared, &'a Queue);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let why = String::from("the thread of checkpoints panicked");
        self.0.tell(Ended::Failed(Failure::other("put records into the journal's file", why)), self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(db: &Connection, name: &str) -> i64 {
        db.pragma_query_value(None, name, |row| row.get(0)).expect("a number")
    }

    #[test]
    fn what_the_writer_wrote_gets_into_the_file_and_both_wait_for_the_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal.db");
        let db = Connection::open(&path).expect("a file");
        assert!(schema::begin_wal(&db).expect("a log"));
        db.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").expect("a row");
        let (in_log, in_file) = checkpoint(&db, "NOOP").expect("lengths");
        assert!(in_log > 0 && in_file == 0, "{in_log} {in_file}");

        let (file, queue) = (Arc::new(File::open(&path).expect("it is there")), Arc::<Queue>::default());
        let mut checkpoints =
            Checkpoints::start(&path, Arc::clone(&file), Arc::clone(&queue)).expect("a thread");
        assert!(checkpoints.ended().is_none());
        checkpoints.ask();
        checkpoints.wait();
        assert!(matches!(checkpoints.ended(), Some(Ended::Done)));
        assert!(checkpoints.ended().is_none(), "told once");
        assert_eq!(checkpoint(&db, "NOOP").expect("lengths"), (in_log, in_log));
        checkpoints.end();

        let other = schema::open_checkpoints(&path).expect("a connection");
        for name in ["synchronous", "fullfsync", "checkpoint_fullfsync"] {
            assert_eq!((name, pragma(&other, name)), (name, if name == "synchronous" { 2 } else { 1 }));
            assert_eq!(pragma(&other, name), pragma(&db, name));
        }
        drop((db, other, file));
    }
}
