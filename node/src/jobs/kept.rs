//! Jobs that are kept: found by their names, watched, and forgotten.

use std::ops::RangeInclusive;
use std::task::{Context, Poll};

use weft_core::{JobId, PeerId, Refusal};

use super::entry::Entry;
use super::table::Table;
use super::{Happened, JobTable, Portion, Print, Results};

/// The job is unknown, or has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEnded {
    /// It never was in the table, or was forgotten.
    #[error("no such job")]
    Unknown,
    /// Tasks of it are open.
    #[error("the job has not ended")]
    Open,
}

impl JobTable {
    /// Takes what running tasks of a kept job printed; waits while there is nothing.
    pub fn poll_printed(&self, cx: &Context<'_>, job: JobId) -> Poll<Vec<Print>> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Pending };
        if let Some(prints) = entry.take_printed() {
            return Poll::Ready(prints);
        }
        entry.wait(cx);
        Poll::Pending
    }

    /// Results that are in memory, from the `cursor`-th on: copies of all of a job that keeps them there, or those of one in the
    /// journal that were told a moment ago, which the only one who listens is given once. None if a client took them, if they are
    /// in the journal alone, or if the job is unknown.
    #[must_use]
    pub fn results(&self, job: JobId, cursor: u64, portion: Portion) -> Option<Results> {
        let mut table = self.lock();
        let Table { jobs, lately, .. } = &mut *table;
        let entry = jobs.get(&job)?;
        if !entry.is_journalled() {
            return entry.results(job, cursor, portion);
        }
        if !entry.is_here() {
            return None;
        }
        let ends = lately.read(job, cursor, portion)?;
        let next = cursor + ends.len() as u64;
        let end = (entry.is_ended() && next >= entry.told()).then(|| entry.summary(job));
        Some(Results { ends, next, end })
    }

    /// Waits until tasks of a job were refused after its first ones.
    pub fn poll_refused_more(&self, cx: &Context<'_>, job: JobId) -> Poll<()> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Pending };
        if entry.refuses_more() {
            return Poll::Ready(());
        }
        entry.wait(cx);
        Poll::Pending
    }

    /// Whether a job's results are in the journal.
    pub(crate) fn is_journalled(&self, job: JobId) -> bool {
        self.lock().jobs.get(&job).is_some_and(Entry::is_journalled)
    }

    /// Refuses a job whose client does not know yet that it is accepted. False of another one, and then nothing happens.
    pub(crate) fn refuse_unaccepted(&self, job: JobId, reason: &Refusal) -> bool {
        let mut table = self.lock();
        let waits = table.jobs.get(&job).is_some_and(|entry| !entry.is_accepted());
        if waits {
            table.refuse(job, reason);
        }
        waits
    }

    /// Forgets a job that has ended, with its results.
    ///
    /// # Errors
    /// When it is unknown, or has not ended.
    pub fn forget(&self, job: JobId) -> Result<(), NotEnded> {
        let mut table = self.lock();
        let entry = table.jobs.get(&job).ok_or(NotEnded::Unknown)?;
        if !entry.is_ended() {
            return Err(NotEnded::Open);
        }
        table.forget_for_good(job);
        drop(table);
        self.events().note(Happened::Forgotten { job });
        Ok(())
    }

    /// The first job whose id begins with these lower-case digits and that was forgotten, and when: in milliseconds since 1970, if
    /// that is known.
    #[must_use]
    pub fn forgotten(&self, digits: &str) -> Option<(JobId, Option<u64>)> {
        self.lock().forgotten.first_of(ids_beginning(digits)?)
    }

    /// Jobs that were forgotten before the node started.
    pub fn note_forgotten(&self, jobs: impl IntoIterator<Item = (JobId, Option<u64>)>) {
        let mut table = self.lock();
        jobs.into_iter().for_each(|(job, at_ms)| table.forgotten.note(job, at_ms));
    }

    /// The jobs whose ids begin with these lower-case digits, at most `most` of them, by their ids.
    #[must_use]
    pub fn beginning(&self, digits: &str, most: usize) -> Vec<JobId> {
        let Some(ids) = ids_beginning(digits) else { return Vec::new() };
        self.lock().jobs.range(ids).map(|(job, _)| *job).take(most).collect()
    }

    /// A job with this label that was submitted on this node. What others call their jobs is theirs to choose.
    #[must_use]
    pub fn labelled(&self, label: &str, value: &str, owner: PeerId) -> Option<JobId> {
        let table = self.lock();
        let has = |entry: &Entry| {
            let found = entry.meta.title.labels.get(label);
            entry.meta.owner == owner && found.is_some_and(|found| found == value)
        };
        table.jobs.iter().find(|(_, entry)| has(entry)).map(|(job, _)| *job)
    }

    /// The jobs of that name, newest first, at most `most` of them.
    #[must_use]
    pub fn named(&self, name: &str, most: usize) -> Vec<JobId> {
        let table = self.lock();
        let fitting = table.jobs.iter().filter(|(_, entry)| entry.meta.title.name == name);
        let mut fitting: Vec<_> = fitting.map(|(job, entry)| (entry.meta.submitted_ms, *job)).collect();
        fitting.sort_unstable();
        fitting.into_iter().rev().take(most).map(|(_, job)| job).collect()
    }
}

/// Digits of an id as text: its number in hexadecimal, with zeros before it.
const ID_DIGITS: usize = 16;

/// The ids whose texts begin with these digits; none if no text can.
fn ids_beginning(digits: &str) -> Option<RangeInclusive<JobId>> {
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let is_sound = digits.len() <= ID_DIGITS && digits.bytes().all(is_digit);
    let filled = |with: &str| {
        let text = format!("{digits}{}", with.repeat(ID_DIGITS - digits.len()));
        u64::from_str_radix(&text, 16).ok().map(JobId)
    };
    if is_sound { Some(filled("0")?..=filled("f")?) } else { None }
}
