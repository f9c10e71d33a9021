//! What the journal tells while it is read back at a node's start, job by job.

use std::collections::{BTreeMap, VecDeque};

use weft_core::durable::{Fold, LogRecord, Restored, Unsound};
use weft_core::{BlobId, JobId, Level, PeerId, Time};
use weft_journal::{Damage, Kind, Shelf as Thing};

use super::disk;
use super::tally::Tally;
use super::worker::{job_of, promised, read_at_ms};

/// Ended jobs that the engine is told of: as many as it remembers.
const ENDED_MAX: usize = 1000;

/// All of it.
#[derive(Debug)]
pub(super) struct Back {
    me: PeerId,
    current: Option<Current>,
    pub(super) jobs: Vec<Found>,
    /// Places of ended jobs in it, of which the engine is told; the oldest first.
    ended: VecDeque<usize>,
    pub(super) unusable: Vec<(JobId, Unusable)>,
    /// The latest time that this node noted.
    pub(super) latest: Time,
    /// When results were read of jobs whose logs don't say so, in milliseconds since 1970.
    reads: BTreeMap<JobId, u64>,
    /// Jobs that every node which kept them was to forget.
    pub(super) forgotten: Vec<JobId>,
    /// The number of this node's disk.
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
    pub(super) fn is_mesh(&self) -> bool {
        self.restored.spec().level == Level::Mesh
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
    fold: Fold,
    tally: Tally,
    /// What its first record says; none before that.
    level: Option<Level>,
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
            current: None,
            jobs: Vec::new(),
            ended: VecDeque::new(),
            unusable: Vec::new(),
            latest: Time::default(),
            reads: BTreeMap::new(),
            forgotten: Vec::new(),
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
        if found.is_mesh() {
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

impl weft_journal::Fold for Back {
    fn own(&mut self, _job: JobId, bytes: &[u8]) {
        self.current.get_or_insert_default().promised = promised(bytes);
    }

    fn record(&mut self, _job: JobId, seq: u32, kind: Kind, bytes: &[u8]) {
        let me = self.me;
        let current = self.current.get_or_insert_default();
        if current.unsound.is_some() {
            return;
        }
        if kind == Kind::Read {
            current.read_ms = read_at_ms(bytes).max(current.read_ms);
            return;
        }
        let taken = LogRecord::decode(bytes).and_then(|record| current.take(me, seq, record));
        current.unsound = taken.err();
    }

    fn complete(&mut self, job: JobId) {
        let current = self.current.take().unwrap_or_default();
        let is_mesh = current.is_mesh();
        let Current { fold, tally, level: _, records, promised, read_ms, blobs, latest, unsound } = current;
        if records == 0 && unsound.is_none() {
            return self.unusable.push((job, Unusable::NeverAccepted));
        }
        let restored = unsound.map_or_else(|| fold.into_restored(), Err);
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
            Thing::Reads => self.reads.extend(job_of(key).zip(read_at_ms(bytes))),
            Thing::Forgotten => self.forgotten.extend(job_of(key)),
            Thing::Disk => self.disk.note(key, bytes),
            // Nothing of this node's is on the others yet.
            Thing::Undelivered | Thing::Remembered | Thing::Schedules | Thing::Functions | Thing::Bans => {}
        }
    }
}

impl Current {
    /// Whether other nodes keep the job, too; also if nothing says that they don't.
    fn is_mesh(&self) -> bool {
        self.promised.is_some() || self.level.is_none_or(|level| level == Level::Mesh)
    }

    fn take(&mut self, me: PeerId, seq: u32, record: LogRecord) -> Result<(), Unsound> {
        self.records = seq;
        self.blobs.extend(record.blobs());
        self.tally.apply(seq, &record);
        match &record {
            LogRecord::Accepted(accepted) => {
                self.level = Some(accepted.spec.level);
                self.note_time(accepted.at, self.tally.leader(None), me);
            }
            LogRecord::Led { epoch, at } | LogRecord::Retried { epoch, at } => {
                self.note_time(*at, self.tally.leader(Some(*epoch)), me);
            }
            LogRecord::Restarted { at, .. } => self.latest = self.latest.max(*at),
            LogRecord::Extended { .. }
            | LogRecord::Closed
            | LogRecord::Outcomes(_)
            | LogRecord::Rest(_)
            | LogRecord::ParentEnded(_)
            | LogRecord::Cancelled
            | LogRecord::GivenUp { .. }
            | LogRecord::Ended
            | LogRecord::Replaced { .. } => {}
        }
        self.fold.apply(record)
    }

    /// Another node's clock is no concern of this node's.
    fn note_time(&mut self, at: Time, leader: Option<PeerId>, me: PeerId) {
        if leader.is_none_or(|leader| leader == me) {
            self.latest = self.latest.max(at);
        }
    }
}
