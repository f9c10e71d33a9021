//! The journal at a node's start: opened, read back job by job, and made into what the engine is told first and what the
//! job table shows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;
use weft_blobs::Store;
use weft_core::durable::{Figures, Fold, LogRecord, Restored, Unsound};
use weft_core::{BlobId, JobId, Join, Level, PeerId, Remembered, Time};
use weft_journal::{Damage, Error, Journal, Kind, Listing, Reader, Settings, Shelf as Thing, State};

use super::Kept;
use super::keeper::{Keeper, read_at_ms};
use super::news::News;
use super::orders::Order;
use super::shelf::{READERS_MAX, Shelf};
use super::tally::Tally;
use crate::jobs::{self, Counts, JobMeta, Restarted, RestoredJob, Title, now_ms};

/// Known results that the engine is told of: more than it takes.
const REMEMBERED_MAX: usize = 20_000;
/// Ended jobs that the engine is told of: as many as it remembers.
const ENDED_MAX: usize = 1000;

/// Where the journal is, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// This node.
    pub(crate) me: PeerId,
    /// Bytes of the disk that are set aside.
    pub(crate) reserve_bytes: u64,
}

/// An open journal, and what it brought back.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What keeps from now on.
    pub(crate) keeper: Keeper,
    /// For the engine, in the order in which they were accepted.
    pub(crate) restored: Vec<Restored>,
    /// Known results for the engine, before the jobs.
    pub(crate) remembered: Vec<Remembered>,
    /// For the job table.
    pub(crate) jobs: Vec<(JobId, RestoredJob)>,
    /// Jobs whose line in the list is missing, or an old one.
    pub(crate) unlisted: Vec<JobId>,
    /// The latest time that a record names: the engine's time goes on behind it.
    pub(crate) latest: Time,
    /// What is wrong with it, in sentences.
    pub(crate) troubles: Vec<String>,
}

/// Opens the journal, pins in the store what its jobs rest on, and starts its keeper. Blocks meanwhile.
pub(crate) fn open(place: &Place, store: &Store, wake: Arc<Notify>) -> Result<Opened, Error> {
    let settings =
        Settings { reserve_bytes: place.reserve_bytes, ..Settings::new(place.dir.clone(), place.me) };
    let news = News::new(wake);
    let mut back = Back::default();
    let told = news.clone();
    let (journal, opened) = Journal::open(&settings, &mut back, move |event| told.tell(event))?;
    let readers: Vec<Reader> = (0..READERS_MAX).map(|_| journal.reader()).collect::<Result<_, _>>()?;
    let mut troubles = Vec::new();
    if !opened.continuity.is_whole() {
        troubles.push(opened.continuity.to_string());
    }
    if let Some(rebuilt) = &opened.rebuilt {
        let (why, kept) = (&rebuilt.why, rebuilt.kept.display());
        troubles.push(format!("the journal's file was damaged ({why}); the damaged file is kept as {kept}"));
    }
    let shelf = Arc::new(Shelf::new(readers));
    back.read_again(&shelf);
    let mut unaccepted = Vec::new();
    for (job, why) in std::mem::take(&mut back.unusable) {
        match why {
            Unusable::NeverAccepted => unaccepted.push(job),
            Unusable::Damaged(why) => quarantine(&news, &mut troubles, job, why),
            Unusable::Unsound(why) => {
                journal.distrust(job);
                quarantine(&news, &mut troubles, job, why.to_string());
            }
        }
    }
    let kept = Kept { shelf: Arc::clone(&shelf), orders: Arc::default(), news };
    let keeper = Keeper::start(place.me, journal, kept.clone(), store.clone())
        .map_err(|source| Error::Io { doing: "start a thread for", path: place.dir.clone(), source })?;
    unaccepted.into_iter().for_each(|job| keeper.add(Order::Forget { ticket: None, job }));
    let mut restored = Vec::new();
    let mut unlisted = Vec::new();
    let mut jobs = Vec::new();
    for found in back.jobs {
        let Found { restored: engines, is_told, tally, read_ms, blobs } = found;
        let job = engines.job();
        blobs.iter().for_each(|blob| store.pin(*blob));
        if let Some(seq) = tally.retried {
            shelf.note_retried(job, seq);
        }
        if !engines.has_ended() {
            troubles.extend(missing(store, job, &blobs));
            troubles.extend(kept.lost_parent(&engines));
        }
        let line = back.lines.get(&job);
        let shown = shown(&engines, tally, line, read_ms);
        if line.is_none_or(|line| line.ended_ms != shown.ended_ms) {
            unlisted.push(job);
        }
        jobs.push((job, shown));
        if is_told {
            restored.push(engines);
        }
    }
    keeper.look_at_room();
    let remembered = back.remembered.into();
    Ok(Opened { keeper, restored, remembered, jobs, unlisted, latest: back.latest, troubles })
}

impl Kept {
    /// What becomes of an unfinished job that waits for one whose records can't be used, if it does.
    fn lost_parent(&self, restored: &Restored) -> Option<String> {
        let waits = |parent: &&JobId| restored.waits_for(**parent) && self.is_quarantined(**parent);
        let (job, parent) = (restored.job(), restored.spec().after.iter().find(waits)?);
        let fate = match restored.spec().join {
            Join::AllSucceeded => {
                format!("its tasks end as skipped, and `weft retry {job}` runs them without that one")
            }
            Join::AllEnded => String::from("it goes on without that one"),
        };
        Some(format!("job {job} comes after job {parent}, which can't be restored: {fate}"))
    }
}

/// What an unfinished job rests on and is not in the store, if that is so.
fn missing(store: &Store, job: JobId, blobs: &[BlobId]) -> Option<String> {
    let missing: BTreeSet<&BlobId> = blobs.iter().filter(|blob| !store.has(**blob)).collect();
    let (first, count) = (missing.first()?, missing.len());
    Some(format!(
        "blobs that job {job} rests on are not in the store ({count}, the first is {first}): another program removed them; \
         put them back (`weft put FILE`), or cancel the job and submit it again"
    ))
}

fn quarantine(news: &News, troubles: &mut Vec<String>, job: JobId, why: String) {
    troubles.push(format!(
        "job {job} is in quarantine and does not go on: {why}; `weft forget {job}` removes it"
    ));
    news.quarantine(job, why);
}

/// A job as the table shows it.
fn shown(restored: &Restored, tally: Tally, line: Option<&Listing>, read_ms: Option<u64>) -> RestoredJob {
    let spec = restored.spec();
    let program = &spec.program;
    let has_ended = restored.has_ended();
    let now = now_ms();
    let restarted = Restarted { at_ms: now, kept: tally.counts.ended(), open: tally.open() };
    let meta = JobMeta {
        module: program.module,
        class: spec.class,
        detached: true,
        level: spec.level,
        title: Arc::new(line.map(title_of).unwrap_or_default()),
        submitted_ms: line.map_or(restored.submitted_at().0 / 1000, |line| line.since_ms),
        streamed: false,
        signed: spec.terms.receipts.then(|| Arc::clone(program)),
        after: spec.after.clone().into(),
    };
    RestoredJob {
        meta,
        // Without its line it counts from now.
        ended_ms: has_ended.then(|| line.and_then(|line| line.ended_ms).unwrap_or(now)),
        read_ms,
        closed: !restored.is_open(),
        cancelled: restored.is_cancelled(),
        given_up: restored.is_given_up(),
        counts: tally.counts,
        told: tally.told,
        ended: if has_ended { Vec::new() } else { tally.ended.0 },
        accepted: true,
        restarted: (!has_ended).then_some(restarted),
        refused_more: restored.not_taken().map(|not_taken| jobs::not_taken(not_taken.tasks, &not_taken.why)),
        custody: None,
    }
}

fn title_of(line: &Listing) -> Title {
    Title { name: line.name.clone(), labels: line.labels.iter().cloned().collect() }
}

/// What the journal told while it was read back.
#[derive(Debug, Default)]
struct Back {
    /// The lines of the list.
    lines: BTreeMap<JobId, Listing>,
    current: Option<Current>,
    jobs: Vec<Found>,
    /// Places of ended jobs in it, of which the engine is told; the oldest first.
    ended: VecDeque<usize>,
    unusable: Vec<(JobId, Unusable)>,
    /// Jobs that are listed as ended, and are not by their logs.
    unended: Vec<JobId>,
    /// Known results, in the order in which they were kept.
    remembered: VecDeque<Remembered>,
    latest: Time,
}

/// A job that can be used.
#[derive(Debug)]
struct Found {
    restored: Restored,
    /// Whether the engine is told of it.
    is_told: bool,
    tally: Tally,
    read_ms: Option<u64>,
    blobs: Vec<BlobId>,
}

/// Why a job can't be.
#[derive(Debug)]
enum Unusable {
    /// The end came before all of its inputs were there: no client was told that it was accepted.
    NeverAccepted,
    /// Its records are not what was written.
    Damaged(String),
    /// They make no job.
    Unsound(Unsound),
}

/// The job whose records come.
#[derive(Debug, Default)]
struct Current {
    /// How it is listed, if that is as a job that has ended: then only what outlives its tasks is read.
    ended: Option<Counts>,
    fold: Fold,
    tally: Tally,
    read_ms: Option<u64>,
    blobs: Vec<BlobId>,
    latest: Time,
    unsound: Option<Unsound>,
}

impl Back {
    /// Adds a job. Of one that ended only the figures are of use, unless it is tried again: its log is read again then.
    fn add(&mut self, mut found: Found) {
        if found.restored.has_ended() {
            found.restored.forget_inputs();
            self.ended.push_back(self.jobs.len());
        }
        self.jobs.push(found);
        let oldest = if self.ended.len() > ENDED_MAX { self.ended.pop_front() } else { None };
        if let Some(oldest) = oldest.and_then(|oldest| self.jobs.get_mut(oldest)) {
            oldest.restored.forget_tasks();
            oldest.is_told = false;
        }
    }
}

impl Back {
    /// Takes a known result; of too many the newest.
    fn remember(&mut self, bytes: &[u8]) {
        self.remembered.extend(Remembered::decode(bytes));
        if self.remembered.len() > REMEMBERED_MAX {
            self.remembered.pop_front();
        }
    }

    /// Reads the whole logs of jobs of which not all was read because of their lines.
    fn read_again(&mut self, shelf: &Shelf) {
        for job in std::mem::take(&mut self.unended) {
            let mut current = Current::default();
            let read = shelf.walk(job, 0, |seq, record| {
                current.unsound = current.take(seq, record).err();
                if current.unsound.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match read {
                Ok(()) => {
                    self.current = Some(current);
                    weft_journal::Fold::complete(self, job, 0);
                }
                Err(why) => self.unusable.push((job, Unusable::Damaged(why.to_string()))),
            }
        }
    }
}

impl weft_journal::Fold for Back {
    fn listed(&mut self, job: JobId, line: Listing) {
        self.lines.insert(job, line);
    }

    /// What tasks of an ended job brought is of use to those who read it; what it names in the store is pinned.
    fn wants(&self, job: JobId, kind: Kind) -> bool {
        !matches!(kind, Kind::Outcomes | Kind::Extended) || self.lines.get(&job).and_then(ended).is_none()
    }

    /// What a member of a trio promised; there are none yet.
    fn own(&mut self, _job: JobId, _bytes: &[u8]) {}

    fn record(&mut self, job: JobId, seq: u32, kind: Kind, bytes: &[u8]) {
        let ended = self.lines.get(&job).and_then(ended);
        let current = self.current.get_or_insert_with(|| Current::of(ended));
        if current.unsound.is_some() {
            return;
        }
        if kind == Kind::Read {
            current.read_ms = read_at_ms(bytes).max(current.read_ms);
            return;
        }
        let taken = LogRecord::decode(bytes).and_then(|record| current.take(seq, record));
        current.unsound = taken.err();
    }

    fn complete(&mut self, job: JobId, ends: u64) {
        let Current { ended, fold, mut tally, read_ms, blobs, latest, unsound } =
            self.current.take().unwrap_or_default();
        if let Some(counts) = ended {
            tally.set_ended(counts, ends);
        }
        let restored = unsound.map_or_else(|| fold.into_restored(), Err);
        match restored {
            Ok(restored) if restored.job() == job => {
                self.latest = self.latest.max(latest);
                self.add(Found { restored: *restored, is_told: true, tally, read_ms, blobs });
            }
            Ok(other) => {
                let why = format!("its records are those of job {}", other.job());
                self.unusable.push((job, Unusable::Damaged(why)));
            }
            Err(Unsound::NotEnded) => self.unended.push(job),
            Err(Unsound::Incomplete { .. }) => self.unusable.push((job, Unusable::NeverAccepted)),
            Err(unsound) => self.unusable.push((job, Unusable::Unsound(unsound))),
        }
    }

    fn quarantined(&mut self, job: JobId, why: &Damage) {
        self.current = None;
        self.unusable.push((job, Unusable::Damaged(why.to_string())));
    }

    fn shelved(&mut self, shelf: Thing, _key: &[u8], bytes: &[u8]) {
        if shelf == Thing::Remembered {
            self.remember(bytes);
        }
    }
}

/// How a job ended, if it is listed as one that has.
fn ended(line: &Listing) -> Option<Counts> {
    let count = |number: u64| u32::try_from(number).ok();
    let is_over = matches!(line.state, State::Done | State::Failed | State::Cancelled);
    let (tasks, done, failed) = (count(line.tasks)?, count(line.done)?, count(line.failed)?);
    let cancelled = tasks.checked_sub(done)?.checked_sub(failed)?;
    is_over.then_some(Counts { tasks, done, failed, skipped: 0, cancelled })
}

impl Current {
    fn of(ended: Option<Counts>) -> Self {
        let figures = |counts: Counts| {
            let Counts { tasks, done, failed, skipped: _, cancelled } = counts;
            Figures { tasks, done, failed, cancelled }
        };
        let fold = ended.map(figures).map_or_else(Fold::new, Fold::of_ended);
        Self { ended, fold, ..Self::default() }
    }

    fn take(&mut self, seq: u32, record: LogRecord) -> Result<(), Unsound> {
        self.blobs.extend(record.blobs());
        self.tally.apply(seq, &record);
        if let LogRecord::Restarted { at, .. } | LogRecord::Retried { at, .. } = &record {
            self.latest = self.latest.max(*at);
        }
        if let LogRecord::Accepted(accepted) = &record {
            self.latest = self.latest.max(accepted.at);
            // Other nodes may have led it since it was listed here.
            if self.ended.is_some() && accepted.spec.level == Level::Mesh {
                return Err(Unsound::NotEnded);
            }
        }
        self.fold.apply(record)
    }
}
