//! A model of a node's disk: what is on it and what is written and not there yet.

use std::collections::BTreeMap;

use weft_core::durable::{Fold, LogRecord, Restored};
use weft_core::*;

/// A node's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Results that outlive their life.
    pub(crate) remembered: Vec<Remembered>,
    /// Outcomes that were not acknowledged.
    pub(crate) retained: BTreeMap<RetainedKey, Retained>,
    /// Results that were not to outlive it any more.
    pub(crate) forgotten: usize,
    /// What was written in this life, with its tickets.
    pub(crate) written: Vec<(u64, JobId, Written)>,
    /// The last ticket of this life that is on the disk.
    pub(crate) synced: u64,
    /// How often the node started again.
    pub(crate) lives: u64,
    /// All records of jobs, of earlier lives, too; in the order in which the jobs were accepted.
    pub(crate) logs: Vec<(JobId, Vec<Vec<u8>>)>,
    /// The greatest epoch of each job that was promised.
    pub(crate) promises: BTreeMap<JobId, u32>,
    /// Jobs that are known to be gone.
    pub(crate) tombstones: Vec<JobId>,
    /// Jobs that were left because another node has the seat.
    pub(crate) left: Vec<(JobId, Left)>,
}

/// One thing that a node wrote.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Record(Vec<u8>),
    Cut(u32),
    Promise(u32),
    Forget(Remains),
}

impl Written {
    /// The bytes of a record.
    pub(crate) fn record(&self) -> Option<&Vec<u8>> {
        match self {
            Self::Record(bytes) => Some(bytes),
            Self::Cut(_) | Self::Promise(_) | Self::Forget(_) => None,
        }
    }
}

impl Disk {
    /// All up to that ticket is on the disk.
    pub(crate) fn sync(&mut self, upto: u64) {
        let new = self.written.iter().filter(|(ticket, ..)| (self.synced + 1..=upto).contains(ticket));
        for (_, job, what) in new.cloned().collect::<Vec<_>>() {
            let place = self.logs.iter().position(|(name, _)| *name == job);
            match (what, place) {
                (Written::Record(bytes), Some(place)) => self.logs[place].1.push(bytes),
                (Written::Record(bytes), None) => self.logs.push((job, vec![bytes])),
                (Written::Cut(after), place) => {
                    let log = &mut self.logs[place.expect("what is cut has a log")].1;
                    assert!(log.len() > after as usize, "something is cut");
                    log.truncate(after as usize);
                }
                (Written::Promise(epoch), _) => drop(self.promises.insert(job, epoch)),
                (Written::Forget(remains), place) => {
                    self.promises.remove(&job);
                    self.tombstones.extend((remains == Remains::Forgotten).then_some(job));
                    if let Remains::Left(left) = remains {
                        self.left.push((job, left));
                    }
                    place.into_iter().for_each(|place| drop(self.logs.remove(place)));
                }
            }
        }
        self.synced = upto;
    }

    /// The records of a job that were written, whether they are on the disk or not.
    pub(crate) fn log(&self, job: JobId) -> Vec<LogRecord> {
        let mut all = Self {
            written: self.written.clone(),
            synced: self.synced,
            logs: self.logs.iter().filter(|(name, _)| *name == job).cloned().collect(),
            ..Self::default()
        };
        all.written.retain(|(_, name, _)| *name == job);
        all.sync(u64::MAX);
        let log = all.logs.pop().map(|(_, log)| log).unwrap_or_default();
        log.iter().map(|bytes| LogRecord::decode(bytes).expect("a member wrote it")).collect()
    }

    pub(super) fn retain(&mut self, outcomes: Vec<Retained>, gone: &[RetainedKey]) {
        self.retained.retain(|key, _| !gone.contains(key));
        let read = |outcome: Retained| Retained::decode(&outcome.encode()).expect("a worker wrote it");
        self.retained.extend(outcomes.into_iter().map(|outcome| (outcome.key(), read(outcome))));
    }

    /// Results that are kept, the last one last.
    pub(super) fn remember(&mut self, known: Vec<Remembered>, gone: &[TaskId]) {
        let is_new = |task: &TaskId| known.iter().any(|new| new.task == *task);
        self.remembered.retain(|old| !gone.contains(&old.task) && !is_new(&old.task));
        self.remembered.extend(known);
        self.forgotten += gone.len();
    }

    /// A job as its log says, which has all inputs of the submission.
    pub(crate) fn fold(&self, job: JobId) -> Box<Restored> {
        self.try_fold(job).expect("the submission was whole")
    }

    /// The same, if it has.
    pub(crate) fn try_fold(&self, job: JobId) -> Option<Box<Restored>> {
        self.read(job).into_restored().ok()
    }

    /// The same, for that node: a copy of another one's job may lack inputs.
    pub(super) fn try_fold_of(&self, me: PeerId, job: JobId) -> Option<Box<Restored>> {
        let part = self.read(job).into_part().ok()?;
        let is_copy = part.pair().is_some_and(|pair| pair.is_copied_by(me));
        if is_copy { Some(part) } else { self.try_fold(job) }
    }

    fn read(&self, job: JobId) -> Fold {
        let (_, log) = self.logs.iter().find(|(name, _)| *name == job).expect("the job has a log");
        fold(log.iter().map(|bytes| LogRecord::decode(bytes).expect("an owner wrote it")).collect())
    }
}

pub(super) fn fold(records: Vec<LogRecord>) -> Fold {
    let mut fold = Fold::new();
    records.into_iter().for_each(|record| fold.apply(record).expect("an owner wrote it"));
    fold
}
