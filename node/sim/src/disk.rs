//! The part of a simulated machine's disk that keeps jobs: records are written in order and are safe after a while. A
//! crash loses a suffix of what is not safe yet, a failed write ends all writing of a process, a lost disk loses
//! everything. The world drives it; what it should hold is in [`crate::kept`].

use std::collections::VecDeque;

use weft_core::JobId;
use weft_core::durable::{Fold, LogRecord, Restored, Unsound};

/// A record as bytes, or the word that a job's log is to go.
#[derive(Clone, Debug)]
struct Written {
    ticket: u64,
    job: JobId,
    record: Option<Vec<u8>>,
}

/// One job's log.
#[derive(Clone, Debug)]
struct Log {
    job: JobId,
    records: Vec<Vec<u8>>,
}

/// The logs of a machine's jobs.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What is safe, in the order in which the jobs came.
    logs: Vec<Log>,
    /// What is written and not safe yet.
    pending: VecDeque<Written>,
    /// A write of this process failed.
    pub(crate) failed: bool,
}

impl Disk {
    /// A process writes a record, or ends a log.
    pub(crate) fn write(&mut self, ticket: u64, job: JobId, record: Option<&LogRecord>) {
        if !self.failed {
            self.pending.push_back(Written { ticket, job, record: record.map(LogRecord::encode) });
        }
    }

    /// Everything up to that ticket is safe. The jobs whose logs are longer, each as often as it has new records.
    pub(crate) fn sync(&mut self, upto: u64) -> Vec<JobId> {
        let mut jobs = Vec::new();
        while let Some(written) = self.pending.pop_front_if(|written| written.ticket <= upto) {
            jobs.push(written.job);
            self.keep(written);
        }
        jobs
    }

    fn keep(&mut self, Written { job, record, .. }: Written) {
        let place = self.logs.iter().position(|log| log.job == job);
        match (record, place) {
            (Some(record), Some(place)) => self.logs[place].records.push(record),
            (Some(record), None) => self.logs.push(Log { job, records: vec![record] }),
            (None, Some(place)) => drop(self.logs.remove(place)),
            (None, None) => {}
        }
    }

    /// The number of records that are not safe yet.
    pub(crate) fn count_pending(&self) -> usize {
        self.pending.len()
    }

    /// A crash or a failed write: of what is not safe yet, the first `left` records are there by chance.
    pub(crate) fn lose(&mut self, left: usize) {
        for _ in 0..left {
            self.pending.pop_front().into_iter().for_each(|written| self.keep(written));
        }
        self.pending.clear();
    }

    /// Another disk takes its place.
    pub(crate) fn wipe(&mut self) {
        *self = Self::default();
    }

    /// The jobs that have logs, in the order in which they came.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.logs.iter().map(|log| log.job)
    }

    /// The records of a job that are safe; none if it has no log.
    pub(crate) fn log(&self, job: JobId) -> Vec<LogRecord> {
        let log = self.logs.iter().find(|log| log.job == job);
        let records = log.into_iter().flat_map(|log| &log.records);
        records.map(|bytes| LogRecord::decode(bytes).expect("an engine encoded it")).collect()
    }

    /// What a job's log says together, as a driver reads it.
    pub(crate) fn fold(&self, job: JobId) -> Result<Box<Restored>, Unsound> {
        let mut fold = Fold::new();
        self.log(job).into_iter().try_for_each(|record| fold.apply(record))?;
        fold.into_restored()
    }

    /// A log that says nothing goes.
    pub(crate) fn forget(&mut self, job: JobId) {
        self.logs.retain(|log| log.job != job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_a_suffix_and_nothing_before_it() {
        let (one, other) = (JobId(1), JobId(2));
        for left in 0..=3 {
            let mut disk = Disk::default();
            disk.write(1, one, Some(&LogRecord::Closed));
            assert_eq!(disk.sync(1), [one]);
            disk.write(2, other, Some(&LogRecord::Cancelled));
            disk.write(3, one, Some(&LogRecord::Ended));
            disk.write(4, other, None);
            disk.lose(left);
            let ended =
                if left >= 2 { vec![LogRecord::Closed, LogRecord::Ended] } else { vec![LogRecord::Closed] };
            assert_eq!(disk.log(one), ended, "{left}");
            assert_eq!(disk.jobs().any(|job| job == other), left == 1 || left == 2, "{left}");
            assert_eq!(disk.count_pending(), 0);
        }
    }
}
