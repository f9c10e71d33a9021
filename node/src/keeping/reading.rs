//! Reading jobs' logs for the engine: pages of one for another node that keeps the job or for a job that takes its results, a whole
//! one for a job that this node takes the lead of, and all results of some for a job that gathers them. Each is read once all that the
//! engine had written before is on the disk, on a thread that may wait for that. There is a thread for each of the three, so that no
//! long log, and no large input, holds up the others.
//!
//! Bounded in both directions: a question that finds no room is answered at once as a log that can't be read, and a thread
//! waits with its answer while the loop has not taken those before.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use weft_blobs::Store;
use weft_core::{Gathered, Input, JobId, LogReader, PeerId};

use super::gather::gather;
use super::news::{News, Word};
use super::shelf::{Shelf, Unreadable};
use super::shown;
use super::worker::Parts;

/// Questions of one kind that wait; one beyond it is answered as a log that can't be read, and is asked again.
const QUESTIONS_MAX: usize = 4096;

/// What the engine wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Some records.
    Page {
        /// Who wants them.
        reader: LogReader,
        /// The job.
        job: JobId,
        /// The number of the first.
        from: u32,
        /// Bytes after which none is read any more.
        bytes_max: u32,
    },
    /// All of a log.
    Whole {
        /// The job.
        job: JobId,
    },
    /// All results of other jobs, as one input.
    Gather {
        /// The job that gathers.
        job: JobId,
        /// Its epoch.
        epoch: u32,
        /// These jobs, each with the last record of its log that counts.
        parents: Vec<(JobId, u32)>,
    },
}

impl Question {
    fn job(&self) -> JobId {
        let (Self::Page { job, .. } | Self::Whole { job } | Self::Gather { job, .. }) = self;
        *job
    }

    /// The answer where the log can't be read.
    pub(crate) fn unread(&self) -> Input {
        match *self {
            Self::Page { reader, job, from, .. } => Input::LogRead { reader, job, from, records: None },
            Self::Whole { job } => Input::Recalled { job, restored: None },
            Self::Gather { job, epoch, .. } => Input::Gathered { job, epoch, gathered: Gathered::NotNow },
        }
    }
}

/// One of them, with the last append that must be on the disk before.
#[derive(Clone, Debug)]
struct Asked {
    question: Question,
    append: u64,
}

/// Questions of one kind.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Asked>,
    closing: bool,
}

impl Queue {
    /// False if there is no room.
    fn add(&self, asked: Asked) -> bool {
        let mut state = self.lock();
        let has_room = state.waiting.len() < QUESTIONS_MAX;
        if has_room {
            state.waiting.push_back(asked);
        }
        drop(state);
        self.came.notify_one();
        has_room
    }

    /// Waits for the next; none once it is closed: what waits then is not answered.
    fn take(&self) -> Option<Asked> {
        let mut state = self.lock();
        loop {
            if state.closing {
                return None;
            }
            if let Some(asked) = state.waiting.pop_front() {
                return Some(asked);
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.lock().closing = true;
        self.came.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads that read.
#[derive(Debug)]
pub(super) struct Readings {
    news: News,
    pages: Arc<Queue>,
    whole: Arc<Queue>,
    gathers: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Readings {
    /// Starts the threads.
    pub(super) fn start(parts: &Parts, news: &News) -> std::io::Result<Self> {
        let mut readings = Self {
            news: news.clone(),
            pages: Arc::default(),
            whole: Arc::default(),
            gathers: Arc::default(),
            threads: Vec::new(),
        };
        let queues = [
            ("weft-log-pages", &readings.pages),
            ("weft-log-whole", &readings.whole),
            ("weft-gather", &readings.gathers),
        ];
        for (name, queue) in queues {
            let (queue, shelf) = (Arc::clone(queue), Arc::clone(&parts.shelf));
            let (me, store, spool) = (parts.me, parts.store.clone(), parts.spool.clone());
            let thread = Thread { me, queue, shelf, store, spool, news: news.clone() };
            let started = std::thread::Builder::new().name(String::from(name)).spawn(move || thread.run())?;
            readings.threads.push(started);
        }
        Ok(readings)
    }

    /// Has a question answered once that append is on the disk. Never waits.
    pub(super) fn ask(&self, question: Question, append: u64) {
        let queue = match question {
            Question::Page { .. } => &self.pages,
            Question::Whole { .. } => &self.whole,
            Question::Gather { .. } => &self.gathers,
        };
        let unread = question.unread();
        if !queue.add(Asked { question, append }) {
            self.news.add(Word::Input(unread));
        }
    }
}

/// Ends the threads. The news must be closed before, or be taken still: a thread may wait with its answer.
impl Drop for Readings {
    fn drop(&mut self) {
        self.pages.close();
        self.whole.close();
        self.gathers.close();
        for thread in self.threads.drain(..) {
            // Its panic is logged already.
            drop(thread.join());
        }
    }
}

/// One of them.
struct Thread {
    me: PeerId,
    queue: Arc<Queue>,
    shelf: Arc<Shelf>,
    store: Store,
    spool: PathBuf,
    news: News,
}

impl Thread {
    fn run(self) {
        while let Some(Asked { question, append }) = self.queue.take() {
            let is_written = self.news.wait_written(append);
            let unread = || Word::Input(question.unread());
            // A panic is logged where it is caught, and costs this answer alone.
            let read = || if is_written { self.read_and_note(&question) } else { Ok(unread()) };
            let answer = weft_net::caught_call("reading a log", read).unwrap_or_else(|_| Ok(unread()));
            let answer = answer.unwrap_or_else(|error| {
                tracing::warn!(%error, "a log that another node or this one needs was not read");
                unread()
            });
            self.news.add_in_turn(answer);
        }
    }

    /// Reads; whether that can be done is in the node's status from then on.
    fn read_and_note(&self, question: &Question) -> Result<Word, Unreadable> {
        let answer = self.read(question);
        self.news.note_reading(question.job(), answer.as_ref().err());
        answer
    }

    fn read(&self, question: &Question) -> Result<Word, Unreadable> {
        match *question {
            Question::Gather { job, epoch, ref parents } => {
                let gathered = self.gather(parents);
                Ok(Word::Input(Input::Gathered { job, epoch, gathered }))
            }
            Question::Page { reader, job, from, bytes_max } => {
                let bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX);
                let records = self.shelf.page(reader, job, from, bytes)?;
                Ok(Word::Input(Input::LogRead { reader, job, from, records: Some(records) }))
            }
            Question::Whole { job } => {
                let (restored, tally) = self.shelf.restored(job)?;
                let line = self.shelf.line(job)?;
                let shown = shown::of(self.me, &restored, &tally, line.as_ref());
                Ok(Word::Recalled { job, restored, shown: Box::new(shown) })
            }
        }
    }

    /// A log that can't be read now may never be: it is asked for a bounded number of times.
    fn gather(&self, parents: &[(JobId, u32)]) -> Gathered {
        match gather(&self.shelf, &self.store, &self.spool, parents) {
            Ok(gathered) => {
                if let Gathered::Input(_) = &gathered {
                    parents.iter().for_each(|(job, _)| self.news.note_reading(*job, None));
                }
                gathered
            }
            Err(error) => {
                tracing::warn!(%error, "a log whose results another job gathers was not read");
                self.news.note_reading(error.job(), Some(&error));
                Gathered::Missing(error.job())
            }
        }
    }
}
