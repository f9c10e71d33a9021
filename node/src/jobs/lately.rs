//! Ends of tasks that were told a moment ago, of jobs in the journal that a client reads as they come: it need not wait for
//! the disk to give them back. `table.rs` adds an end when it is told, never before, with its number in the journal; the
//! API's streams say that they listen.
//!
//! All of it is a copy: what is not here, or not here any more, is read in the journal. A job without listeners has nothing
//! here, nor one whose ends have receipts, which are put together with what the journal says of the inputs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use weft_core::JobId;

use super::entry::portion_of;
use super::{JobTable, Portion, TaskEnd};

/// Bytes of one job's ends that wait for those who listen; beyond it, the oldest is dropped.
const JOB_BYTES_MAX: u64 = 4 << 20;
/// The same of all jobs; beyond it, the oldest of the job that has one more is dropped.
const ALL_BYTES_MAX: u64 = 32 << 20;
/// What an end takes besides what it carries, in bytes.
const END_BYTES: u64 = 512;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Lately {
    of: BTreeMap<JobId, Told>,
    /// What all ends take, in bytes.
    bytes: u64,
}

/// One job's.
#[derive(Debug, Default)]
struct Told {
    /// Who reads its ends as they come; one at least.
    listeners: usize,
    /// The number of the first end.
    first: u64,
    /// In order, none left out.
    ends: VecDeque<TaskEnd>,
    /// What these take, in bytes.
    bytes: u64,
}

impl Lately {
    fn listen(&mut self, job: JobId) {
        self.of.entry(job).or_default().listeners += 1;
    }

    fn leave(&mut self, job: JobId) {
        let Some(told) = self.of.get_mut(&job) else { return };
        told.listeners -= 1;
        if told.listeners == 0 {
            self.bytes -= told.bytes;
            self.of.remove(&job);
        }
    }

    /// Adds an end that was told just now, and has this number in the journal.
    pub(super) fn add(&mut self, job: JobId, number: u64, end: TaskEnd) {
        let Some(told) = self.of.get_mut(&job) else { return };
        if number != told.first + told.ends.len() as u64 {
            self.bytes -= told.clear();
            told.first = number;
        }
        let bytes = bytes_of(&end);
        told.ends.push_back(TaskEnd { number: Some(number), ..end });
        told.bytes += bytes;
        self.bytes += bytes;
        while (told.bytes > JOB_BYTES_MAX || self.bytes > ALL_BYTES_MAX) && !told.ends.is_empty() {
            self.bytes -= told.drop_first();
        }
    }

    /// Ends of a job from that number on; none if that one is not here. Who asks has those before it: they are dropped, unless
    /// others listen, too, and so are those that are given, which can be read in the journal once more.
    pub(super) fn read(&mut self, job: JobId, from: u64, portion: Portion) -> Option<Vec<TaskEnd>> {
        let told = self.of.get_mut(&job)?;
        let skipped = usize::try_from(from.checked_sub(told.first)?).ok()?;
        if skipped >= told.ends.len() {
            return None;
        }
        let count = portion_of(told.ends.iter().skip(skipped), portion);
        if told.listeners > 1 {
            return Some(told.ends.iter().skip(skipped).take(count).cloned().collect());
        }
        let before = told.bytes;
        told.take(skipped);
        let taken = told.take(count);
        self.bytes -= before - told.bytes;
        Some(taken)
    }

    /// What all of them take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the journal has of a job may have changed.
    pub(super) fn clear(&mut self, job: JobId) {
        if let Some(told) = self.of.get_mut(&job) {
            self.bytes -= told.clear();
        }
    }
}

impl Told {
    /// What that frees, in bytes.
    fn drop_first(&mut self) -> u64 {
        let Some(end) = self.ends.pop_front() else { return 0 };
        let freed = bytes_of(&end);
        self.first += 1;
        self.bytes -= freed;
        freed
    }

    /// Takes the first ends, this many.
    fn take(&mut self, count: usize) -> Vec<TaskEnd> {
        let taken: Vec<TaskEnd> = self.ends.drain(..count).collect();
        self.first += taken.len() as u64;
        self.bytes -= taken.iter().map(bytes_of).sum::<u64>();
        taken
    }

    /// What that frees, in bytes.
    fn clear(&mut self) -> u64 {
        self.ends = VecDeque::new();
        std::mem::take(&mut self.bytes)
    }
}

fn bytes_of(end: &TaskEnd) -> u64 {
    END_BYTES + end.carried()
}

/// A client that reads a job's results as they come, until this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    jobs: Arc<JobTable>,
    job: JobId,
}

impl Listener {
    /// From now on, ends of the job that are told are here for it, as far as there is room.
    pub(crate) fn new(jobs: &Arc<JobTable>, job: JobId) -> Self {
        jobs.lock().lately.listen(job);
        Self { jobs: Arc::clone(jobs), job }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.jobs.lock().lately.leave(self.job);
    }
}

#[cfg(test)]
mod tests;
