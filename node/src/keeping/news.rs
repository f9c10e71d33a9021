//! What the journal has told and the loop has not taken yet. The journal counts appends and the engine its own tickets;
//! this is where one becomes the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use weft_core::durable::Restored;
use weft_core::{BlobId, Input, JobId};
use weft_journal::Event;

use super::shelf::Unreadable;
use crate::jobs::RestoredJob;

/// How long the journal may take nothing before it counts as failed: a disk that hangs.
pub(super) const STUCK: Duration = Duration::from_secs(600);
/// Answers that wait for the loop; a thread that has one more waits with it.
const ANSWERS_MAX: usize = 8;

/// Jobs of which it is told that their records could not be read; each reader of a further one is told alone.
const UNREADABLE_MAX: usize = 1000;

/// What the loop is told.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a word is handed over once, and lives no longer")]
pub(crate) enum Word {
    /// For the engine.
    Input(Input),
    /// A whole log, for the engine and for the table.
    Recalled {
        /// The job.
        job: JobId,
        /// What it says.
        restored: Box<Restored>,
        /// The same as the table shows it.
        shown: Box<RestoredJob>,
    },
    /// A job of this node rests on a blob that is not there, though it was when the job was handed in.
    Lost {
        /// The job.
        job: JobId,
        /// The blob.
        blob: BlobId,
    },
}

/// How the journal is, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalState {
    /// Why nothing more is kept, if it failed.
    pub failure: Option<String>,
    /// Why it does not have all that was put into it, if so: jobs may be missing.
    pub incomplete: Option<String>,
    /// Whether new jobs are refused for want of room on the disk.
    pub is_disk_low: bool,
    /// Jobs whose records can't be used, with the reason. They can only be forgotten.
    pub quarantined: Vec<(JobId, String)>,
    /// Jobs whose records could not be read when they were wanted last, with the reason in a sentence.
    pub unreadable: BTreeMap<JobId, String>,
}

impl JournalState {
    /// What is wrong with single jobs, in sentences.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = String> {
        let quarantined = self.quarantined.iter().map(|(job, why)| {
            format!("job {job} is in quarantine and does not go on: {why}; `weft forget {job}` removes it")
        });
        let unreadable = self.unreadable.iter().map(|(job, why)| {
            format!("{why}; put a backup of the journal in its place, or `weft forget {job}` removes it")
        });
        quarantined.chain(unreadable)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Appends that are not on the disk, as far as is known, with the engine's tickets for them.
    pairs: VecDeque<(u64, u64)>,
    /// The last append that is on the disk.
    written: u64,
    /// The engine's last ticket that is on the disk.
    upto: u64,
    seen: JournalState,
    /// What else the loop is told, in order.
    words: VecDeque<Word>,
    closing: bool,
    /// What the loop took last.
    told_upto: u64,
    told: Told,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    failed: bool,
    is_disk_low: bool,
}

/// Shared by the loop, the keeper's thread and the journal's.
#[derive(Clone, Debug)]
pub(super) struct News {
    state: Arc<Mutex<State>>,
    /// An append is on the disk, or none will be.
    wrote: Arc<Condvar>,
    wake: Arc<Notify>,
    /// A job in quarantine was forgotten.
    forgot: Arc<Notify>,
    /// The loop took words.
    took: Arc<Condvar>,
}

impl News {
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        Self {
            state: Arc::default(),
            wrote: Arc::default(),
            wake,
            forgot: Arc::default(),
            took: Arc::default(),
        }
    }

    /// What the journal says, on its own thread.
    pub(super) fn tell(&self, event: Event) {
        let mut state = self.lock();
        match event {
            Event::Persisted { upto } => {
                state.written = upto;
                state.settle();
            }
            Event::Failed(failure) => {
                state.seen.failure.get_or_insert(failure.to_string());
            }
            Event::DiskLow(is_low) => state.seen.is_disk_low = is_low,
        }
        drop(state);
        self.wrote.notify_all();
        self.wake.notify_one();
    }

    /// Notes which append is which ticket of the engine.
    pub(super) fn pair(&self, append: u64, ticket: u64) {
        let mut state = self.lock();
        state.pairs.push_back((append, ticket));
        let settled = state.settle();
        drop(state);
        if settled {
            self.wake.notify_one();
        }
    }

    /// Nothing more is kept; the first reason stays.
    pub(super) fn fail(&self, why: String) {
        self.lock().seen.failure.get_or_insert(why);
        self.wrote.notify_all();
        self.wake.notify_one();
    }

    /// Whether nothing more is kept.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().seen.failure.is_some()
    }

    /// Waits until an append is on the disk. False if none will be any more, or the disk hangs.
    pub(super) fn wait_written(&self, append: u64) -> bool {
        let deadline = Instant::now() + STUCK;
        let mut state = self.lock();
        while state.seen.failure.is_none() && state.written < append {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wrote.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.seen.failure.is_none()
    }

    /// Notes why the journal does not have all that was put into it, if so.
    pub(super) fn note_incomplete(&self, why: Option<String>) {
        self.lock().seen.incomplete = why;
    }

    /// Notes that a job's records can't be used.
    pub(super) fn quarantine(&self, job: JobId, why: String) {
        self.lock().seen.quarantined.push((job, why));
    }

    /// A job's records were read, or could not be.
    pub(super) fn note_reading(&self, job: JobId, error: Option<&Unreadable>) {
        let mut state = self.lock();
        let unreadable = &mut state.seen.unreadable;
        match error {
            None => {
                unreadable.remove(&job);
            }
            Some(error) if unreadable.len() < UNREADABLE_MAX || unreadable.contains_key(&job) => {
                unreadable.insert(job, error.to_string());
            }
            Some(_) => {}
        }
    }

    /// Whether a job's records can't be used.
    pub(super) fn is_quarantined(&self, job: JobId) -> bool {
        self.lock().seen.quarantined.iter().any(|(other, _)| *other == job)
    }

    /// A job in quarantine is forgotten, on the disk, too.
    pub(super) fn forget_quarantined(&self, job: JobId) {
        self.lock().seen.quarantined.retain(|(other, _)| *other != job);
        self.forgot.notify_waiters();
    }

    /// Waits until a job is not in quarantine any more.
    pub(super) async fn forgotten(&self, job: JobId) {
        loop {
            // Before the look: what happens behind it is not missed.
            let forgot = self.forgot.notified();
            if !self.is_quarantined(job) {
                return;
            }
            forgot.await;
        }
    }

    /// Tells the loop something, at once.
    pub(super) fn add(&self, word: Word) {
        self.lock().words.push_back(word);
        self.wake.notify_one();
    }

    /// The same, once the loop has taken what waits, if that is much.
    pub(super) fn add_in_turn(&self, word: Word) {
        let mut state = self.lock();
        while state.words.len() >= ANSWERS_MAX && !state.closing {
            state = self.took.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.words.push_back(word);
        drop(state);
        self.wake.notify_one();
    }

    /// The loop takes nothing more: no thread waits for it.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.took.notify_all();
    }

    /// Something else changed that the loop waits for.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// What the loop does not know yet. What a record rests on that is lost comes before the word that the record is kept, and
    /// that comes before what was read behind it.
    pub(super) fn take(&self) -> Vec<Word> {
        let mut state = self.lock();
        let (mut words, others): (Vec<Word>, Vec<Word>) =
            std::mem::take(&mut state.words).into_iter().partition(|word| matches!(word, Word::Lost { .. }));
        if state.upto > state.told_upto {
            state.told_upto = state.upto;
            words.push(Word::Input(Input::Persisted { upto: state.upto }));
        }
        words.extend(others);
        if state.seen.failure.is_some() && !state.told.failed {
            words.push(Word::Input(Input::JournalFailed));
        }
        if state.seen.is_disk_low != state.told.is_disk_low {
            log_room(state.seen.is_disk_low);
            words.push(Word::Input(Input::DiskLow(state.seen.is_disk_low)));
        }
        state.told = Told { failed: state.seen.failure.is_some(), is_disk_low: state.seen.is_disk_low };
        drop(state);
        self.took.notify_all();
        words
    }

    /// How the journal is.
    pub(super) fn journal(&self) -> JournalState {
        self.lock().seen.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the engine's last ticket on the disk is another one now.
    fn settle(&mut self) -> bool {
        let before = self.upto;
        while let Some((_, ticket)) = self.pairs.pop_front_if(|(append, _)| *append <= self.written) {
            self.upto = ticket;
        }
        self.upto > before
    }
}

/// Says that the disk refuses new jobs from now on, or does not any more.
fn log_room(is_low: bool) {
    if is_low {
        tracing::warn!(
            "the disk has too little room: new jobs at level disk and mesh are refused, and those that are kept go on; make room"
        );
    } else {
        tracing::warn!("the disk has room again for jobs at level disk and mesh");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news() -> News {
        News::new(Arc::new(Notify::new()))
    }

    fn inputs(news: &News) -> Vec<Input> {
        let input = |word| match word {
            Word::Input(input) => Some(input),
            Word::Recalled { .. } | Word::Lost { .. } => None,
        };
        news.take().into_iter().filter_map(input).collect()
    }

    #[test]
    fn a_ticket_is_told_once_it_is_written_whichever_is_known_first() {
        let news = news();
        news.pair(1, 10);
        assert_eq!(inputs(&news), []);
        news.tell(Event::Persisted { upto: 2 });
        assert_eq!(inputs(&news), [Input::Persisted { upto: 10 }]);
        // Append 2 was on the disk before this thread could say whose it is.
        news.pair(2, 11);
        // Append 3 is none of the engine's.
        news.pair(4, 12);
        assert_eq!(inputs(&news), [Input::Persisted { upto: 11 }]);
        news.tell(Event::Persisted { upto: 4 });
        assert_eq!(inputs(&news), [Input::Persisted { upto: 12 }]);
        assert_eq!(inputs(&news), []);
    }

    #[test]
    fn a_failure_is_told_once_and_keeps_its_first_reason() {
        let news = news();
        news.fail(String::from("first"));
        news.fail(String::from("second"));
        assert_eq!(inputs(&news), [Input::JournalFailed]);
        assert_eq!(inputs(&news), []);
        assert_eq!(news.journal().failure.as_deref(), Some("first"));
    }

    #[test]
    fn a_disk_that_gets_low_and_has_room_again_between_two_looks_is_not_told() {
        let news = news();
        news.tell(Event::DiskLow(true));
        assert_eq!(inputs(&news), [Input::DiskLow(true)]);
        news.tell(Event::DiskLow(false));
        news.tell(Event::DiskLow(true));
        assert_eq!(inputs(&news), []);
    }

    #[test]
    fn what_a_record_rests_on_and_what_was_read_behind_it_are_told_around_it() {
        let news = news();
        let job = JobId(1);
        news.add_in_turn(Word::Input(Input::Recalled { job, restored: None }));
        news.add(Word::Lost { job, blob: BlobId([1; 32]) });
        news.pair(1, 10);
        news.tell(Event::Persisted { upto: 1 });
        let told = news.take();
        assert!(matches!(
            told.as_slice(),
            [
                Word::Lost { .. },
                Word::Input(Input::Persisted { upto: 10 }),
                Word::Input(Input::Recalled { .. })
            ]
        ));
    }

    #[test]
    fn a_thread_with_an_answer_waits_until_the_loop_has_taken_those_before_or_takes_none_any_more() {
        let news = news();
        let answer = || Word::Input(Input::Recalled { job: JobId(1), restored: None });
        (0..ANSWERS_MAX).for_each(|_| news.add_in_turn(answer()));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| news.add_in_turn(answer()));
            let mut told = 0;
            while told <= ANSWERS_MAX {
                told += news.take().len();
                std::thread::yield_now();
            }
            waits.join().unwrap();
            (0..ANSWERS_MAX).for_each(|_| news.add_in_turn(answer()));
            let waits = scope.spawn(|| news.add_in_turn(answer()));
            news.close();
            waits.join().unwrap();
        });
    }
}
