//! The loop's side of the keeper's thread: what it gives to it, and what it hears.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weft_core::{JobId, PeerId};
use weft_journal::{Entry, Error, Journal, Kind, Listing, Refused, State};

use super::news::Word;
use super::orders::Order;
use super::worker::{Parts, Worker};
use super::{JournalState, Kept};
use crate::jobs::{JobState, JobSummary};

/// How long a node that is dropped waits for its journal; and between two looks.
const DROPPED_MAX: Duration = Duration::from_secs(5);
const DROPPED_LOOK: Duration = Duration::from_millis(2);

/// The loop's side.
#[derive(Debug)]
pub(crate) struct Keeper {
    me: PeerId,
    kept: Kept,
    /// None once it is closing.
    journal: Option<Arc<Journal>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(journal: Journal, kept: Kept, parts: Parts) -> std::io::Result<Self> {
        let journal = Arc::new(journal);
        let me = parts.me;
        let worker = Worker::new(Arc::clone(&journal), kept.clone(), parts)?;
        let news = kept.news.clone();
        let run = move || {
            let ended = weft_net::caught_call("the journal's keeper", || worker.run());
            ended.unwrap_or_else(|panicked| {
                news.fail(panicked.to_string());
                Ok(())
            })
        };
        let thread = std::thread::Builder::new().name(String::from("weft-keeper")).spawn(run)?;
        Ok(Self { me, kept, journal: Some(journal), thread: Some(thread) })
    }

    /// This node.
    pub(crate) fn me(&self) -> PeerId {
        self.me
    }

    /// For those who only ask.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Adds an order. Never waits. Nothing is kept or read once the journal has failed.
    pub(crate) fn add(&self, order: Order) {
        if !self.kept.news.has_failed() {
            self.kept.orders.add(order);
        } else if let Order::Ask(question) = order {
            self.kept.news.add(Word::Input(question.unread()));
        }
    }

    /// Whether the loop must take in nothing more until there is news.
    pub(crate) fn is_full(&self) -> bool {
        !self.kept.news.has_failed() && self.kept.orders.is_full()
    }

    /// What the loop does not know yet.
    pub(crate) fn news(&self) -> Vec<Word> {
        self.kept.news.take()
    }

    /// How the journal is.
    pub(crate) fn journal(&self) -> JournalState {
        self.kept.news.journal()
    }

    /// Looks whether the disk has room for a new job: if that changed, it is news.
    pub(crate) fn look_at_room(&self) {
        let probe = Entry::Append { job: JobId(0), seq: 1, kind: Kind::Accepted, ends: 0, bytes: Vec::new() };
        let looked = self.journal.as_ref().map(|journal| journal.check_room(&[probe]));
        let is_low = matches!(looked, Some(Err(Refused::DiskLow { .. })));
        let is_known = is_low || matches!(looked, Some(Ok(()) | Err(Refused::Busy { .. })));
        if is_known && self.kept.news.journal().is_disk_low != is_low {
            self.kept.news.tell(weft_journal::Event::DiskLow(is_low));
        }
    }

    /// Has a job listed as it is now.
    pub(crate) fn list(&self, summary: &JobSummary) {
        self.add(Order::List { job: summary.job, listing: Box::new(self.line_of(summary)) });
    }

    /// The line of a job in the list.
    pub(crate) fn line_of(&self, summary: &JobSummary) -> Listing {
        line_of(summary)
    }

    /// Writes what waits, and closes the journal. Blocks meanwhile.
    pub(crate) fn close(mut self) -> Result<(), String> {
        self.end()
    }

    /// Closes the journal of a node that did not start, unless the disk hangs. What goes wrong with that is not told: why the
    /// node did not start is, and most often it is the same disk.
    pub(crate) fn abandon(mut self) {
        if let Err(error) = self.end_soon() {
            tracing::debug!(error, "the journal was not closed");
        }
    }

    /// Asks the thread to write what waits, and to close the journal.
    fn ask_to_end(&mut self) {
        self.journal = None;
        self.kept.news.close();
        self.kept.orders.close();
    }

    /// The same as [`Keeper::close`]; a disk that hangs is not waited for.
    fn end_soon(&mut self) -> Result<(), String> {
        self.ask_to_end();
        let until = Instant::now() + DROPPED_MAX;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            if Instant::now() >= until {
                self.thread = None;
                return Err(String::from("its disk takes too long"));
            }
            std::thread::sleep(DROPPED_LOOK);
        }
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        self.ask_to_end();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(closed)) => closed.map_err(|error| error.to_string()),
            Some(Err(panic)) => Err(weft_net::of_task("the journal's keeper", panic.as_ref()).to_string()),
        }
    }
}

/// The line of a job in the list.
pub(super) fn line_of(summary: &JobSummary) -> Listing {
    let state = match summary.state() {
        JobState::Open | JobState::Running => State::Running,
        JobState::Done => State::Done,
        JobState::Failed => State::Failed,
        JobState::Cancelled => State::Cancelled,
    };
    let title = &summary.meta.title;
    Listing {
        owner: summary.owner(),
        name: title.name.clone(),
        labels: title.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        state,
        since_ms: summary.meta.submitted_ms,
        ended_ms: summary.ended_ms,
        tasks: summary.tasks.into(),
        done: summary.done.into(),
        failed: summary.failed.into(),
    }
}

/// A node that is dropped leaves its journal as a node that ends, unless the disk hangs.
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(error) = self.end_soon() {
            tracing::warn!(error, "the journal was not closed");
        }
    }
}
