//! Who hands in the inputs of an open job. It is one client's stream at a time; where that ended with an earlier life of the
//! node that led the job, its client is waited for, and goes on where the job's log ends.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use weft_core::JobId;

use super::{JobTable, Moved, NoSuchJob};

/// How long the client of an open job is waited for, from when this node leads the job. Clients look for their node as long
/// (`sdk/client/src/patience.rs`).
pub const CLIENT_WAIT_MAX: Duration = Duration::from_secs(120);

/// One stream of inputs: no two of a node's life have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed(u64);

impl Feed {
    pub(super) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// Who hands in a job's inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Feeding {
    /// No client does, or will.
    #[default]
    Over,
    /// This stream.
    By(Feed),
    /// The client whose stream broke with the life before, if it comes back until then.
    Awaited(Instant),
}

/// Why a client can't go on with a job's inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFed {
    /// The job is unknown.
    #[error(transparent)]
    Unknown(#[from] NoSuchJob),
    /// Another node leads it.
    #[error(transparent)]
    Moved(#[from] Moved),
    /// All of its inputs came, it was cancelled, or another stream brings them.
    #[error("job {0} takes no inputs: all of them came, it was cancelled, or they come already")]
    NotAwaited(JobId),
    /// It has another number of inputs than the client believes.
    #[error("job {job} has {tasks} inputs")]
    Otherwise {
        /// The job.
        job: JobId,
        /// How many inputs it has.
        tasks: u32,
    },
}

impl JobTable {
    /// A client's stream begins to bring the inputs of a new job.
    #[must_use]
    pub fn feed(&self, job: JobId) -> Feed {
        let mut table = self.lock();
        let feed = table.next_feed();
        table.change(job, |entry| entry.feeding = Feeding::By(feed));
        feed
    }

    /// Notes that a job's client is waited for.
    pub fn await_client(&self, job: JobId, until: Instant) {
        self.lock().change(job, |entry| entry.feeding = Feeding::Awaited(until));
    }

    /// A client is back, and goes on with the inputs behind the first `from`.
    ///
    /// # Errors
    /// [`NotFed`]; nothing is changed then.
    pub fn feed_on(&self, job: JobId, from: u32) -> Result<Feed, NotFed> {
        let mut table = self.lock();
        let entry = table.jobs.get(&job).ok_or(NoSuchJob)?;
        entry.here(job)?;
        let is_awaited = matches!(entry.feeding, Feeding::Awaited(_));
        if !is_awaited || entry.closed || entry.is_ended() {
            return Err(NotFed::NotAwaited(job));
        }
        let tasks = entry.counts.tasks;
        if tasks != from {
            return Err(NotFed::Otherwise { job, tasks });
        }
        let feed = table.next_feed();
        table.change(job, |entry| entry.feeding = Feeding::By(feed));
        Ok(feed)
    }

    /// Whether a stream brings a job's inputs. One of an earlier time, when this node led the job before, does not: what it
    /// brought may be void.
    #[must_use]
    pub fn is_fed_by(&self, job: JobId, feed: Feed) -> bool {
        self.lock().jobs.get(&job).is_some_and(|entry| entry.feeding == Feeding::By(feed))
    }

    /// The jobs whose clients did not come back in time; they are waited for no longer.
    pub fn give_up_clients(&self, now: Instant) -> Vec<JobId> {
        let mut given_up = Vec::new();
        for (job, entry) in &mut self.lock().jobs {
            if let Feeding::Awaited(until) = entry.feeding
                && until <= now
            {
                entry.feeding = Feeding::Over;
                // Another node that leads it by now waits for itself.
                given_up.extend((entry.is_here() && !entry.closed && !entry.is_ended()).then_some(*job));
            }
        }
        given_up
    }

    /// When the first of the clients that are waited for is given up.
    #[must_use]
    pub fn next_given_up(&self) -> Option<Instant> {
        let until = |feeding| if let Feeding::Awaited(until) = feeding { Some(until) } else { None };
        self.lock().jobs.values().filter_map(|entry| until(entry.feeding)).min()
    }

    /// Waits until at least that many of a job's inputs are kept; how many are.
    pub fn poll_kept(&self, cx: &Context<'_>, job: JobId, least: u32) -> Poll<u32> {
        let mut table = self.lock();
        let Some(entry) = table.jobs.get_mut(&job) else { return Poll::Pending };
        match entry.kept_tasks() {
            Some(tasks) if tasks >= least => Poll::Ready(tasks),
            Some(_) | None => {
                entry.wait(cx);
                Poll::Pending
            }
        }
    }
}
