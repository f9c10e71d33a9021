//! The part of a simulated machine's disk that keeps jobs: records are written in order and are safe after a while. A
//! crash loses a suffix of what is not safe yet, a failed write ends all writing of a process, a lost disk loses
//! everything, and a disk may be replaced by an older copy of itself. The world drives it; what it should hold is in
//! [`crate::kept`] and [`crate::mesh`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use weft_core::durable::{Fold, LogRecord, Restored, Unsound};
use weft_core::{JobId, Left, Remains, Retained, RetainedKey};

/// What a process has its disk do.
#[derive(Clone, Debug)]
enum Change {
    /// One more record of a job's log.
    Append(Arc<LogRecord>),
    /// The records behind one go.
    Cut(usize),
    /// The node promised an epoch of a job.
    Promise(u32),
    /// A job's log goes; what is remembered of it.
    Forget(Remains),
}

#[derive(Clone, Debug)]
struct Written {
    ticket: u64,
    job: JobId,
    change: Change,
}

/// One job's log.
#[derive(Clone, Debug)]
struct Log {
    job: JobId,
    records: Vec<Arc<LogRecord>>,
}

/// What is safe.
#[derive(Clone, Debug, Default)]
struct Safe {
    /// The logs, in the order in which the jobs came.
    logs: Vec<Log>,
    promises: BTreeMap<JobId, u32>,
    /// What is remembered of jobs at level `mesh` whose logs went.
    gone: BTreeMap<JobId, Remains>,
    /// Outcomes that were not acknowledged.
    retained: BTreeMap<RetainedKey, Retained>,
}

/// The logs of a machine's jobs.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    safe: Safe,
    /// What is written and not safe yet.
    pending: VecDeque<Written>,
    /// A write of this process failed.
    pub(crate) failed: bool,
    /// Its number ([`weft_core::NodeConfig::disk`]); 0 if the next process draws one.
    pub(crate) number: u64,
    /// What was safe at an earlier moment.
    copy: Option<Safe>,
}

impl Disk {
    /// A process writes a record.
    pub(crate) fn write(&mut self, ticket: u64, job: JobId, record: &LogRecord) {
        self.append(ticket, job, Arc::new(stored(record)));
    }

    /// A process ends a log; what later ones are to know of it.
    pub(crate) fn remove(&mut self, ticket: u64, job: JobId, remains: Remains) {
        self.change(ticket, job, Change::Forget(remains));
    }

    /// A process writes a record, which is [`stored`].
    pub(crate) fn append(&mut self, ticket: u64, job: JobId, record: Arc<LogRecord>) {
        self.change(ticket, job, Change::Append(record));
    }

    /// A process removes the records behind the first `after`.
    pub(crate) fn cut(&mut self, ticket: u64, job: JobId, after: usize) {
        self.change(ticket, job, Change::Cut(after));
    }

    /// A process writes what it promised.
    pub(crate) fn promise(&mut self, ticket: u64, job: JobId, epoch: u32) {
        self.change(ticket, job, Change::Promise(epoch));
    }

    fn change(&mut self, ticket: u64, job: JobId, change: Change) {
        if !self.failed {
            self.pending.push_back(Written { ticket, job, change });
        }
    }

    /// Everything up to that ticket is safe. The jobs whose logs are longer, each as often as it has new records.
    pub(crate) fn sync(&mut self, upto: u64) -> Vec<JobId> {
        let mut jobs = Vec::new();
        while let Some(written) = self.pending.pop_front_if(|written| written.ticket <= upto) {
            jobs.push(written.job);
            self.safe.apply(written.job, written.change);
        }
        jobs
    }

    /// The number of changes that are not safe yet.
    pub(crate) fn count_pending(&self) -> usize {
        self.pending.len()
    }

    /// A crash or a failed write: of what is not safe yet, the first `left` changes are there by chance.
    pub(crate) fn lose(&mut self, left: usize) {
        for _ in 0..left {
            let written = self.pending.pop_front();
            written.into_iter().for_each(|written| self.safe.apply(written.job, written.change));
        }
        self.pending.clear();
    }

    /// Another disk takes its place.
    pub(crate) fn wipe(&mut self) {
        *self = Self::default();
    }

    /// A person makes a copy of what is safe.
    pub(crate) fn copy(&mut self) {
        self.copy = Some(self.safe.clone());
    }

    /// The last copy takes its place; an empty disk if there is none. Only while no process writes to it.
    pub(crate) fn go_back(&mut self) {
        *self = Self { safe: self.copy.take().unwrap_or_default(), ..Self::default() };
    }

    /// A record of a job's log is not what was written, so nothing of it is used any more. Where other nodes rest on it, the next
    /// process draws another number. Only while no process writes.
    pub(crate) fn tear(&mut self, job: JobId, others_rest_on_it: bool) {
        self.forget(job);
        self.safe.promises.remove(&job);
        if others_rest_on_it {
            self.number = 0;
        }
    }

    /// The jobs that have logs, in the order in which they came.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.safe.logs.iter().map(|log| log.job)
    }

    /// The records of a job that are safe; none if it has no log.
    pub(crate) fn records(&self, job: JobId) -> &[Arc<LogRecord>] {
        self.safe.records(job)
    }

    /// The same as values.
    pub(crate) fn log(&self, job: JobId) -> Vec<LogRecord> {
        self.records(job).iter().map(|record| LogRecord::clone(record)).collect()
    }

    /// What a job's log says together, as a driver reads it.
    pub(crate) fn fold(&self, job: JobId) -> Result<Box<Restored>, Unsound> {
        fold(self.records(job))
    }

    /// The same of a copy, which may lack inputs.
    pub(crate) fn fold_part(&self, job: JobId) -> Result<Box<Restored>, Unsound> {
        read(self.records(job))?.into_part()
    }

    /// Whether something of a job was written and is not safe yet, and may be once.
    pub(crate) fn is_behind(&self, job: JobId) -> bool {
        !self.failed && self.pending.iter().any(|written| written.job == job)
    }

    /// A log that says nothing goes.
    pub(crate) fn forget(&mut self, job: JobId) {
        self.safe.logs.retain(|log| log.job != job);
    }

    // ---- jobs at level mesh

    pub(crate) fn is_at_mesh(&self, job: JobId) -> bool {
        is_at_mesh(self.records(job))
    }

    /// The epoch of a job that the disk knows to be promised; 0 if none.
    pub(crate) fn promised(&self, job: JobId) -> u32 {
        self.safe.promises.get(&job).copied().unwrap_or(0)
    }

    /// Jobs that were forgotten here.
    pub(crate) fn forgotten(&self) -> Vec<JobId> {
        self.safe.gone.keys().copied().filter(|job| self.has_forgotten(*job)).collect()
    }

    /// Jobs that were left here.
    pub(crate) fn left(&self) -> Vec<(JobId, Left)> {
        let left = |remains: &Remains| if let Remains::Left(left) = remains { Some(*left) } else { None };
        self.safe.gone.iter().filter_map(|(job, remains)| left(remains).map(|left| (*job, left))).collect()
    }

    /// Whether a job was forgotten here.
    pub(crate) fn has_forgotten(&self, job: JobId) -> bool {
        self.safe.gone.get(&job) == Some(&Remains::Forgotten)
    }

    /// A worker keeps outcomes, and keeps others no longer.
    pub(crate) fn retain(&mut self, outcomes: Vec<Retained>, gone: &[RetainedKey]) {
        let retained = &mut self.safe.retained;
        retained.retain(|key, _| !gone.contains(key));
        let read = |outcome: Retained| Retained::decode(&outcome.encode()).expect("a worker wrote it");
        retained.extend(outcomes.into_iter().map(|outcome| (outcome.key(), read(outcome))));
    }

    /// What was kept of them.
    pub(crate) fn retained(&self) -> Vec<Retained> {
        self.safe.retained.values().cloned().collect()
    }

    /// The records of a job as the process wrote them, whether they are safe or not; and what it promised.
    pub(crate) fn written(&self, job: JobId) -> (Vec<Arc<LogRecord>>, u32) {
        let log = Log { job, records: self.records(job).to_vec() };
        let promises = BTreeMap::from([(job, self.promised(job))]);
        let mut view = Safe { logs: vec![log], promises, ..Safe::default() };
        let of_job = self.pending.iter().filter(|written| written.job == job);
        of_job.for_each(|written| view.apply(job, written.change.clone()));
        let promised = view.promises.get(&job).copied().unwrap_or(0);
        (view.records(job).to_vec(), promised)
    }
}

impl Safe {
    fn records(&self, job: JobId) -> &[Arc<LogRecord>] {
        let log = self.logs.iter().find(|log| log.job == job);
        log.map_or(&[], |log| &log.records)
    }

    fn apply(&mut self, job: JobId, change: Change) {
        let place = self.logs.iter().position(|log| log.job == job);
        match (change, place) {
            (Change::Append(record), Some(place)) => self.logs[place].records.push(record),
            (Change::Append(record), None) => self.logs.push(Log { job, records: vec![record] }),
            (Change::Cut(after), Some(place)) => self.logs[place].records.truncate(after),
            (Change::Promise(epoch), _) => drop(self.promises.insert(job, epoch)),
            (Change::Forget(remains), place) => {
                place.into_iter().for_each(|place| drop(self.logs.remove(place)));
                self.promises.remove(&job);
                if remains != Remains::Nothing {
                    self.gone.insert(job, remains);
                }
            }
            (Change::Cut(_), None) => {}
        }
    }
}

fn is_at_mesh(records: &[Arc<LogRecord>]) -> bool {
    let first = records.first().map(AsRef::as_ref);
    matches!(first, Some(LogRecord::Accepted(accepted)) if accepted.keepers.trio().is_some())
}

/// A record as it comes back from a disk.
pub(crate) fn stored(record: &LogRecord) -> LogRecord {
    LogRecord::decode(&record.encode()).expect("an engine encoded it")
}

/// What these records say together.
pub(crate) fn fold(records: &[Arc<LogRecord>]) -> Result<Box<Restored>, Unsound> {
    read(records)?.into_restored()
}

fn read(records: &[Arc<LogRecord>]) -> Result<Fold, Unsound> {
    let mut fold = Fold::new();
    records.iter().try_for_each(|record| fold.apply(LogRecord::clone(record)))?;
    Ok(fold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::Time;

    #[test]
    fn a_crash_loses_a_suffix_and_nothing_before_it() {
        let (one, other) = (JobId(1), JobId(2));
        for left in 0..=3 {
            let mut disk = Disk::default();
            disk.write(1, one, &LogRecord::Closed);
            assert_eq!(disk.sync(1), [one]);
            disk.write(2, other, &LogRecord::Cancelled);
            disk.write(3, one, &LogRecord::Ended { at: Time(9) });
            disk.remove(4, other, Remains::Nothing);
            disk.lose(left);
            let ended = if left >= 2 {
                vec![LogRecord::Closed, LogRecord::Ended { at: Time(9) }]
            } else {
                vec![LogRecord::Closed]
            };
            assert_eq!(disk.log(one), ended, "{left}");
            assert_eq!(disk.jobs().any(|job| job == other), left == 1 || left == 2, "{left}");
            assert_eq!(disk.count_pending(), 0);
        }
    }

    #[test]
    fn what_was_cut_and_promised_is_safe_when_the_disk_says_so() {
        let job = JobId(1);
        let mut disk = Disk::default();
        for (ticket, record) in
            (1..).zip([LogRecord::Closed, LogRecord::Cancelled, LogRecord::Ended { at: Time(9) }])
        {
            disk.write(ticket, job, &record);
        }
        disk.promise(4, job, 7);
        disk.cut(5, job, 1);
        disk.sync(3);
        assert_eq!((disk.log(job).len(), disk.promised(job)), (3, 0));
        let (written, promised) = disk.written(job);
        assert_eq!((written.len(), promised), (1, 7));
        disk.lose(1);
        assert_eq!((disk.log(job).len(), disk.promised(job)), (3, 7), "the cut was lost");
    }

    #[test]
    fn a_disk_that_is_replaced_draws_another_number() {
        let mut disk = Disk { number: 5, ..Disk::default() };
        disk.promise(1, JobId(1), 4);
        disk.sync(1);
        disk.copy();
        disk.promise(2, JobId(1), 8);
        disk.sync(2);
        disk.go_back();
        assert_eq!((disk.promised(JobId(1)), disk.number), (4, 0));
        disk.wipe();
        assert_eq!((disk.promised(JobId(1)), disk.number), (0, 0));
    }
}
