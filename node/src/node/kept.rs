//! The loop's part of jobs that are kept on disk: what the journal brought back goes to the engine before anything else, what
//! it says later goes there too, what was not read for long is forgotten, and a journal that failed ends the node once
//! nothing in memory needs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use weft_core::durable::Restored;
use weft_core::message::Message;
use weft_core::{BlobId, Command, Input, JobId, PeerId, Refusal, Remembered, Retained, Time};

use super::start::StartError;
use super::{Node, Notice};
use crate::counts::{counted, kept_and_open};
use crate::handle::NodeHandle;
use crate::jobs::{JobTable, now_ms};
use crate::keeping::{self, JournalState, Keeper, Place};
use crate::ports::Ports;
use crate::settings::{JOURNAL_DIR, JOURNAL_MARK_FILE, Settings};

/// Between two looks for what may be forgotten, if results are kept for longer.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two looks whether a node that is to end can.
const END_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Jobs that are forgotten at one look; the next look goes on.
const FORGOTTEN_MAX: usize = 64;
/// What troubles of the journal are about, among a node's troubles.
const ABOUT: &str = "journal";

/// What the loop knows of kept jobs besides its ports.
pub(super) struct Keeping {
    /// The journal says something.
    pub(super) news: Arc<Notify>,
    pub(super) look_at: Instant,
    /// When the node started, in milliseconds since 1970.
    since_ms: u64,
    /// The number of this node's disk.
    pub(super) disk: u64,
    keep_results: Duration,
    /// How long the clients of open jobs are waited for.
    client_wait: Duration,
    /// For the engine, first of all: what is gone from the disk.
    gone: Option<Box<Input>>,
    mesh: Vec<(u32, Restored)>,
    restored: Vec<Restored>,
    unlisted: Vec<JobId>,
    latest: Time,
    troubles: Vec<String>,
    /// Why the journal does not have all that this node ever put into it, or why some of that can't be used.
    damage: Option<String>,
    failure: Option<String>,
    /// Why there is no journal, if it could not be opened.
    unopened: Option<String>,
    /// Known results for the engine.
    remembered: Vec<Remembered>,
    /// Outcomes of its worker that were not acknowledged.
    retained: Vec<Retained>,
}

impl Keeping {
    /// Opens the journal, and enters into the table what it brought back. Blocks meanwhile. Without one the node serves what
    /// needs none: what is on the disk is left as it is.
    pub(super) fn open(
        settings: &Settings,
        me: PeerId,
        store: &weft_blobs::Store,
        jobs: &Arc<JobTable>,
    ) -> Result<(Self, Option<Keeper>), StartError> {
        let news = Arc::new(Notify::new());
        let data_dir = &settings.data_dir;
        let (dir, mark) = (data_dir.join(JOURNAL_DIR), Some(data_dir.join(JOURNAL_MARK_FILE)));
        let place = Place { dir, me, mark, reserve_bytes: settings.reserve_bytes };
        let opened = match keeping::open(&place, store, jobs, Arc::clone(&news)) {
            Ok(opened) => opened,
            // Another process that has it goes on with its jobs.
            Err(error @ weft_journal::Error::InUse { .. }) => return Err(error.into()),
            Err(error) => {
                // What its jobs rest on is not known, so all stays.
                store.set_aside();
                return Ok((Self::without(settings, news, &StartError::from(error)), None));
            }
        };
        let keeping::Opened {
            keeper,
            restored,
            remembered,
            retained,
            mesh,
            forgotten,
            gone,
            left,
            knows_all,
            disk,
            jobs: shown,
            unlisted,
            latest,
            troubles,
            damage,
        } = opened;
        // Of some it is not known since when.
        jobs.note_forgotten(forgotten.iter().map(|job| (*job, None)));
        jobs.note_forgotten(gone.into_iter().map(|(job, at_ms)| (job, Some(at_ms))));
        shown.into_iter().for_each(|(job, shown)| jobs.restore(job, shown));
        let kept = Self {
            news,
            since_ms: now_ms(),
            look_at: Instant::now() + look_every(settings.keep_results),
            keep_results: settings.keep_results,
            client_wait: settings.client_wait,
            disk,
            gone: Some(Box::new(Input::RestoreGone { forgotten, left, knows_all })),
            mesh,
            restored,
            unlisted,
            latest,
            troubles,
            damage,
            failure: None,
            unopened: None,
            remembered,
            retained,
        };
        Ok((kept, Some(keeper)))
    }

    /// For a node whose journal can't be opened.
    fn without(settings: &Settings, news: Arc<Notify>, why: &StartError) -> Self {
        let text = format!(
            "{why}. This node refuses jobs at level disk, does not go on with those that it has there, and serves all else"
        );
        Self {
            news,
            since_ms: now_ms(),
            look_at: Instant::now() + look_every(settings.keep_results),
            keep_results: settings.keep_results,
            client_wait: settings.client_wait,
            disk: 0,
            gone: None,
            mesh: Vec::new(),
            restored: Vec::new(),
            unlisted: Vec::new(),
            latest: Time::ZERO,
            troubles: vec![text],
            damage: None,
            failure: None,
            unopened: Some(why.to_string()),
            remembered: Vec::new(),
            retained: Vec::new(),
        }
    }

    /// Has jobs kept from now on, if the journal could be opened, and those who ask told why not otherwise.
    pub(super) fn begin(&self, keeper: Option<Keeper>, handle: NodeHandle, ports: &mut Ports) -> NodeHandle {
        let Some(keeper) = keeper else {
            return handle.without_journal(self.unopened().unwrap_or_default());
        };
        let handle = handle.with_kept(keeper.kept().clone());
        ports.keep_with(keeper);
        handle
    }

    /// Why there is no journal, if it could not be opened.
    pub(super) fn unopened(&self) -> Option<&str> {
        self.unopened.as_deref()
    }

    /// What was wrong with the journal when it was opened, if it was damaged.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The engine's time at this start: never before what an earlier life noted, even if the clock was set back.
    pub(super) fn base(&self) -> Time {
        Time(now_ms().saturating_mul(1000)).max(self.latest)
    }

    /// Why the journal failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// A message without what it says of logs of jobs that this node alone has. The engine refuses that, too, for the jobs that it
/// knows; those that ended long ago are in the table and the journal only.
pub(super) fn about_kept_by_others(jobs: &JobTable, message: Message) -> Message {
    let Message::Custody(mut all) = message else { return message };
    all.retain(|word| !jobs.is_of_this_node_alone(word.job()));
    Message::Custody(all)
}

fn look_every(keep_results: Duration) -> Duration {
    keep_results.clamp(END_LOOK_EVERY, LOOK_EVERY)
}

impl Node {
    /// Says what the journal brought back, and what is wrong with it.
    pub(super) fn tell_what_was_kept(&self) {
        let troubles = &self.kept.troubles;
        for (number, text) in troubles.iter().enumerate() {
            self.handle.info().set_trouble(format!("{ABOUT} {number}"), Some(text.clone()));
            self.notice(Notice::Trouble(text.clone()));
        }
        // They are no troubles of the node's own list: each is over once its job is forgotten.
        for text in self.ports.keeper().map(Keeper::journal).iter().flat_map(JournalState::troubles) {
            self.notice(Notice::Trouble(text));
        }
        for restored in self.kept.restored.iter().filter(|restored| !restored.has_ended()) {
            let Some(summary) = self.handle.jobs().summary(restored.job()) else { continue };
            let Some(restarted) = summary.restarted else { continue };
            let (job, kept, open) = (summary.job, restarted.kept, restarted.open);
            let text = if restored.awaits_client() {
                format!(
                    "job {job} waits {} s for its client: this node ended before all of its inputs had come; {}",
                    self.kept.client_wait.as_secs(),
                    kept_and_open(kept, open)
                )
            } else {
                format!("job {job} goes on: {}", kept_and_open(kept, open))
            };
            self.notice(Notice::Kept(text));
        }
        let unfinished = self.kept.mesh.iter().filter(|(_, job)| !job.has_ended());
        let (kept, copies): (Vec<_>, Vec<_>) = unfinished.partition(|(_, job)| job.trio().is_some());
        let (kept, copies) = (kept.len(), copies.len());
        if copies > 0 {
            let text = format!(
                "copies of {} are here: the nodes that own them lead them",
                counted(copies as u64, "unfinished job")
            );
            self.notice(Notice::Kept(text));
        }
        if kept > 0 {
            let text = format!(
                "kept here and on two other nodes each, one of which leads it: {}",
                counted(kept as u64, "unfinished job")
            );
            self.notice(Notice::Kept(text));
        }
    }

    /// Tells the engine of the jobs of earlier lives, before anything else.
    pub(super) fn restore(&mut self) {
        if self.kept.unopened.is_some() {
            self.apply(Input::JournalFailed);
        }
        let remembered = std::mem::take(&mut self.kept.remembered);
        if !remembered.is_empty() {
            self.apply(Input::Remembered(remembered));
        }
        let retained = std::mem::take(&mut self.kept.retained);
        if !retained.is_empty() {
            self.apply(Input::Retained(retained));
        }
        for job in std::mem::take(&mut self.kept.unlisted) {
            self.ports.list(job);
        }
        if let Some(gone) = self.kept.gone.take() {
            self.apply(*gone);
        }
        for (promised, job) in std::mem::take(&mut self.kept.mesh) {
            self.apply(Input::RestoreKept { promised, job: Box::new(job) });
        }
        for restored in std::mem::take(&mut self.kept.restored) {
            let (job, is_open) = (restored.job(), restored.awaits_client());
            self.apply(Input::Restore(Box::new(restored)));
            if is_open {
                // The stream that brought its inputs ended with the life before: its client may bring the rest.
                let until = Instant::now() + self.kept.client_wait;
                self.handle.jobs().await_client(job, until);
                self.kept.look_at = self.kept.look_at.min(until);
            }
        }
    }

    /// Cancels jobs that were open when their leader ended and whose clients did not come back: half a job must not pass for a
    /// whole one.
    fn give_up_clients(&mut self) {
        for job in self.handle.jobs().give_up_clients(Instant::now()) {
            let text = format!(
                "job {job} is cancelled: its client did not come back with the rest of its inputs; `weft retry {job}` runs the \
                 other tasks that it has"
            );
            self.notice(Notice::Trouble(text));
            self.handle.jobs().cancel(job);
            self.apply(Input::Command(Command::Cancel { job }));
        }
    }

    /// A job rests on a blob that was here when it was handed in, and is gone. It is refused if its client waits still, and in any
    /// case it ends: its tasks can't run.
    pub(super) fn on_lost(&mut self, job: JobId, blob: BlobId) {
        let text = format!(
            "blob {blob}, which job {job} rests on, is gone from this node's store: another program removed it, or its bytes went bad"
        );
        if self.handle.jobs().is_followed(job) {
            self.notice(Notice::Trouble(text));
            return self.apply(Input::BlobLost { job, blob });
        }
        self.notice(Notice::Trouble(format!("{text}; the job is cancelled")));
        let is_refused = self.handle.jobs().refuse_unaccepted(job, &Refusal::BlobMissing { blob });
        self.apply(Input::Command(Command::Cancel { job }));
        if is_refused {
            // No table knows it: its log, too, goes if none of its tasks runs.
            self.apply(Input::Command(Command::ForgetJob { job }));
        }
    }

    /// No job is kept any more. The node ends when what it holds in memory has ended.
    pub(super) fn on_journal_failed(&mut self) {
        let why = self.ports.keeper().and_then(|keeper| keeper.journal().failure).unwrap_or_default();
        let text = format!(
            "{why}; no job is kept on disk any more, and this node ends as soon as all that is in its memory has ended"
        );
        self.handle.info().set_trouble(String::from(ABOUT), Some(text.clone()));
        self.notice(Notice::Trouble(text));
        self.handle.jobs().note_journal_failed(&why);
        self.kept.failure = Some(why);
        self.kept.look_at = Instant::now() + END_LOOK_EVERY;
    }

    /// Forgets what was not read for long. True if the node is to end now.
    pub(super) fn look(&mut self) -> bool {
        if self.kept.failure.is_some() {
            self.kept.look_at = Instant::now() + END_LOOK_EVERY;
            // One that leaves waits for the others' work.
            return !self.handle.is_stopping() && !self.handle.jobs().is_awaited();
        }
        self.give_up_clients();
        let look_at = Instant::now() + look_every(self.kept.keep_results);
        self.kept.look_at = self.handle.jobs().next_given_up().map_or(look_at, |next| next.min(look_at));
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // A clock that is set ahead while the node runs makes nothing older.
        let now = now_ms().min(self.kept.since_ms.saturating_add(millis(self.started.elapsed())));
        let before = now.saturating_sub(millis(self.kept.keep_results));
        for job in self.handle.jobs().unread_since(before, FORGOTTEN_MAX) {
            let text = format!(
                "job {job} is forgotten: its results were not read for {} s (--keep-results)",
                self.kept.keep_results.as_secs()
            );
            self.notice(Notice::Trouble(text));
            self.apply(Input::Command(Command::ForgetJob { job }));
        }
        false
    }
}
