//! What the journal tells while it is read back at a node's start, job by job.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use weft_core::durable::{Figures, Fold, LogRecord, Restored, Unsound};
use weft_core::{BlobId, JobId, Level, PeerId, Remembered, Retained, Time};
use weft_journal::{Damage, Kind, Listing, Shelf as Thing, State};

use super::disk;
use super::shelf::Shelf;
use super::tally::Tally;
use super::things::{at_ms_of, job_of, promised};
use crate::jobs::{Counts, now_ms};

/// Known results that the engine is told of: more than it takes.
const REMEMBERED_MAX: usize = 20_000;
/// How far a time in a log that other nodes write, too, may be ahead of this node's clock, in milliseconds: a day.
const AHEAD_MS: u64 = 86_400_000;
/// Ended jobs that the engine is told of: as many as it remembers.
const ENDED_MAX: usize = 1000;

/// All of it.
#[derive(Debug)]
pub(super) struct Back {
    me: PeerId,
    /// The lines of the list.
    pub(super) lines: BTreeMap<JobId, Listing>,
    current: Option<Current>,
    pub(super) jobs: Vec<Found>,
    /// Places of ended jobs in it, of which the engine is told; the oldest first.
    ended: VecDeque<usize>,
    pub(super) unusable: Vec<(JobId, Unusable)>,
    /// The latest time that this node noted.
    pub(super) latest: Time,
    /// When results were read of jobs whose logs don't say so, in milliseconds since 1970.
    reads: BTreeMap<JobId, u64>,
    /// When jobs were forgotten, the longest forgotten first.
    pub(super) gone: Vec<(JobId, u64)>,
    /// Jobs that are listed as ended, and are not by their logs.
    unended: Vec<JobId>,
    /// Known results, in the order in which they were kept.
    pub(super) remembered: VecDeque<Remembered>,
    /// Outcomes of this node's worker that were not acknowledged.
    pub(super) retained: Vec<Retained>,
    /// The number of this node's disk, and the jobs that went from it.
    pub(super) disk: disk::Found,
}

/// A job that can be used.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) restored: Restored,
    /// Whether the engine is told of it.
    pub(super) is_told: bool,
    pub(super) tally: Tally,
    /// The greatest epoch that this node promised.
    pub(super) promised: u32,
    pub(super) read_ms: Option<u64>,
    pub(super) blobs: Vec<BlobId>,
}

impl Found {
    /// Whether other nodes keep it, too.
    pub(super) fn is_shared(&self) -> bool {
        self.restored.trio().is_some() || self.restored.pair().is_some()
    }

    /// Whether it is another node's to lead, or may be.
    pub(super) fn is_followed(&self, me: PeerId) -> bool {
        self.restored.trio().is_some() || self.restored.pair().is_some_and(|pair| pair.is_copied_by(me))
    }
}

/// Why a job can't be.
#[derive(Debug)]
pub(super) enum Unusable {
    /// The end came before all of its inputs were there, and no client was told that it was accepted; or before its first
    /// record came from another node.
    NeverAccepted,
    /// Its records are not what was written.
    Damaged {
        why: String,
        /// Other nodes keep it, too, or that is not known.
        is_mesh: bool,
    },
    /// They make no job.
    Unsound {
        why: Unsound,
        /// Other nodes keep it, too, or that is not known.
        is_mesh: bool,
    },
}

/// The job whose records come.
#[derive(Debug, Default)]
struct Current {
    /// How it is listed, if that is as a job that has ended: then only what outlives its tasks is read.
    ended: Option<Counts>,
    fold: Fold,
    tally: Tally,
    /// What its first record says; none before that.
    level: Option<Level>,
    /// It is another node's, of which this one has a copy.
    is_copy: bool,
    records: u32,
    promised: Option<u32>,
    read_ms: Option<u64>,
    blobs: Vec<BlobId>,
    latest: Time,
    unsound: Option<Unsound>,
}

impl Back {
    pub(super) fn new(me: PeerId) -> Self {
        Self {
            me,
            lines: BTreeMap::new(),
            current: None,
            jobs: Vec::new(),
            ended: VecDeque::new(),
            unusable: Vec::new(),
            latest: Time::default(),
            reads: BTreeMap::new(),
            gone: Vec::new(),
            unended: Vec::new(),
            remembered: VecDeque::new(),
            retained: Vec::new(),
            disk: disk::Found::default(),
        }
    }

    /// When a job's results were last read, if that is known.
    pub(super) fn read_ms(&self, found: &Found) -> Option<u64> {
        found.read_ms.max(self.reads.get(&found.restored.job()).copied())
    }

    /// Adds a job. Of one that ended only the figures are of use, unless it is tried again: its log is read again then. So is
    /// that of a job that other nodes keep, too, before this node leads it.
    fn add(&mut self, mut found: Found) {
        if found.is_followed(self.me) {
            found.restored.forget_inputs();
            return self.jobs.push(found);
        }
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
    pub(super) fn read_again(&mut self, shelf: &Shelf) {
        let me = self.me;
        for job in std::mem::take(&mut self.unended) {
            let mut current = Current::default();
            let read = shelf.walk(job, 0, |seq, record| {
                current.unsound = current.take(me, seq, record).err();
                if current.unsound.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match read {
                Ok(()) => {
                    self.current = Some(current);
                    weft_journal::Fold::complete(self, job, 0);
                }
                Err(why) => {
                    self.unusable.push((job, Unusable::Damaged { why: why.to_string(), is_mesh: false }));
                }
            }
        }
    }
}

impl weft_journal::Fold for Back {
    fn listed(&mut self, job: JobId, line: Listing) {
        self.lines.insert(job, line);
    }

    /// What tasks of an ended job brought is of use to those who read it; what it names in the store is pinned.
    fn wants(&self, _job: JobId, kind: Kind) -> bool {
        let is_over = self.current.as_ref().is_some_and(|current| current.ended.is_some());
        !is_over || !matches!(kind, Kind::Outcomes | Kind::Extended)
    }

    fn own(&mut self, _job: JobId, bytes: &[u8]) {
        self.current.get_or_insert_default().promised = promised(bytes);
    }

    fn record(&mut self, job: JobId, seq: u32, kind: Kind, bytes: &[u8]) {
        let (me, line) = (self.me, self.lines.get(&job));
        let current = self.current.get_or_insert_default();
        if current.unsound.is_some() {
            return;
        }
        if kind == Kind::Read {
            current.read_ms = at_ms_of(bytes).max(current.read_ms);
            return;
        }
        let taken = LogRecord::decode(bytes).and_then(|record| {
            current.look_at(me, &record, line);
            current.take(me, seq, record)
        });
        current.unsound = taken.err();
    }

    fn complete(&mut self, job: JobId, ends: u64) {
        let current = self.current.take().unwrap_or_default();
        let is_mesh = current.is_mesh();
        let Current {
            ended,
            fold,
            mut tally,
            is_copy,
            records,
            promised,
            read_ms,
            blobs,
            latest,
            unsound,
            ..
        } = current;
        if let Some(counts) = ended {
            tally.set_ended(counts, ends);
        }
        if records == 0 && unsound.is_none() {
            return self.unusable.push((job, Unusable::NeverAccepted));
        }
        let fold = || if is_copy { fold.into_part() } else { fold.into_restored() };
        let restored = unsound.map_or_else(fold, Err);
        match restored {
            Ok(restored) if restored.job() == job => {
                self.latest = self.latest.max(latest);
                let promised = promised.unwrap_or(0);
                self.add(Found { restored: *restored, is_told: true, tally, promised, read_ms, blobs });
            }
            Ok(other) => {
                let why = format!("its records are those of job {}", other.job());
                self.unusable.push((job, Unusable::Damaged { why, is_mesh }));
            }
            Err(Unsound::NotEnded) => self.unended.push(job),
            Err(Unsound::Incomplete { .. }) => self.unusable.push((job, Unusable::NeverAccepted)),
            Err(why) => self.unusable.push((job, Unusable::Unsound { why, is_mesh })),
        }
    }

    fn quarantined(&mut self, job: JobId, why: &Damage) {
        let current = self.current.take().unwrap_or_default();
        let is_mesh = current.is_mesh();
        self.unusable.push((job, Unusable::Damaged { why: why.to_string(), is_mesh }));
    }

    fn shelved(&mut self, shelf: Thing, key: &[u8], bytes: &[u8]) {
        match shelf {
            Thing::Reads => self.reads.extend(job_of(key).zip(at_ms_of(bytes))),
            Thing::Disk => self.disk.note(key, bytes),
            Thing::Forgotten => self.disk.note_forgotten(key),
            Thing::Left => self.disk.note_left(key, bytes),
            Thing::Gone => self.gone.extend(job_of(key).zip(at_ms_of(bytes))),
            Thing::Remembered => self.remember(bytes),
            Thing::Undelivered => self.retained.extend(Retained::decode(bytes)),
            // Nothing of this node's is on the others yet.
            Thing::Schedules | Thing::Functions | Thing::Bans => {}
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
    /// Looks at the first record, before it is taken: of an ended job less is read. Of one that other nodes keep, too, all is:
    /// they may have led it since it was listed here.
    fn look_at(&mut self, me: PeerId, record: &LogRecord, line: Option<&Listing>) {
        if let LogRecord::Accepted(accepted) = record
            && accepted.spec.level == Level::Disk
            && !accepted.keepers.is_copied_by(me)
            && let Some(counts) = line.and_then(ended)
        {
            let Counts { tasks, done, failed, skipped: _, cancelled } = counts;
            self.ended = Some(counts);
            self.fold = Fold::of_ended(Figures { tasks, done, failed, cancelled });
        }
    }

    /// Whether other nodes keep the job, too; also if nothing says that they don't.
    fn is_mesh(&self) -> bool {
        self.is_copy || self.promised.is_some() || self.level.is_none_or(|level| level == Level::Mesh)
    }

    fn take(&mut self, me: PeerId, seq: u32, record: LogRecord) -> Result<(), Unsound> {
        self.records = seq;
        self.blobs.extend(record.blobs());
        self.tally.apply(seq, &record);
        match &record {
            LogRecord::Accepted(accepted) => {
                self.level = Some(accepted.spec.level);
                self.is_copy = accepted.keepers.is_copied_by(me);
                self.note_time(accepted.at, self.tally.leader(None), me);
            }
            LogRecord::Led { epoch, at } | LogRecord::Retried { epoch, at } => {
                self.note_time(*at, self.tally.leader(Some(*epoch)), me);
            }
            LogRecord::Restarted { at, .. } => self.note_time(*at, self.tally.leader(None), me),
            LogRecord::Extended { .. }
            | LogRecord::Closed
            | LogRecord::Outcomes(_)
            | LogRecord::Rest(_)
            | LogRecord::ParentEnded(_)
            | LogRecord::Cancelled
            | LogRecord::GivenUp { .. }
            | LogRecord::Ended { .. }
            | LogRecord::Replaced { .. }
            | LogRecord::NotTaken(_)
            | LogRecord::Given { .. }
            | LogRecord::Leased { .. }
            | LogRecord::Resolved { .. } => {}
        }
        self.fold.apply(record)
    }

    /// Another node's clock is no concern of this node's. In a log that other nodes write, too, what looks like this node's time
    /// may not be: one that is far ahead is none.
    fn note_time(&mut self, at: Time, leader: Option<PeerId>, me: PeerId) {
        let is_own = leader.is_none_or(|leader| leader == me);
        if is_own && (leader.is_none() || at.0 / 1000 <= now_ms().saturating_add(AHEAD_MS)) {
            self.latest = self.latest.max(at);
        }
    }
}
