//! What became of jobs and nodes, in the order in which this node learnt it: the last [`EVENTS_MAX`] events, for clients that watch.
//! In memory; what a client missed it is told that it missed, and reads the state of the jobs again. Nothing waits for a reader.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use weft_core::{Event, JobId, PeerId};

use super::entry::Entry;
use super::{Counts, JobMeta, JobTable, RestoredJob};

/// Events that are kept; the oldest one goes for a new one.
pub const EVENTS_MAX: usize = 65_536;
/// Events that one look passes, so that the lock is held for a short time whatever is looked for.
const LOOK_MAX: usize = 4096;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A job was submitted to this node.
    Submitted {
        /// The job.
        job: JobId,
        /// What is said of it.
        meta: Box<JobMeta>,
    },
    /// A job goes on here: after a restart of this node, or because it leads the job now.
    Led {
        /// The job.
        job: JobId,
        /// Its tasks, by how they ended.
        counts: Counts,
    },
    /// Another node leads a job that this one keeps.
    Moved {
        /// The job.
        job: JobId,
        /// The node, if it is known.
        leader: Option<PeerId>,
    },
    /// What of an ended job is not done runs again.
    Retried {
        /// The job.
        job: JobId,
    },
    /// A worker was awarded a task.
    Leased {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// The worker.
        worker: PeerId,
        /// The attempt's number, from 1.
        attempt: u32,
    },
    /// A lease ended without an outcome: the task waits again.
    LeaseLost {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// The worker that had it.
        worker: PeerId,
    },
    /// A task ended for good.
    TaskEnded {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// How, in a word.
        outcome: &'static str,
        /// The worker; `None` if nothing ran.
        worker: Option<PeerId>,
        /// How many attempts it took.
        attempts: u32,
    },
    /// All tasks of a job have ended.
    JobEnded {
        /// The job.
        job: JobId,
        /// Its tasks, by how they ended.
        counts: Counts,
        /// A user cancelled it.
        cancelled: bool,
    },
    /// A job is not known here any more, nor are its results.
    Forgotten {
        /// The job.
        job: JobId,
    },
    /// A node is connected.
    NodeUp {
        /// The node.
        peer: PeerId,
    },
    /// A node is connected no more.
    NodeDown {
        /// The node.
        peer: PeerId,
        /// Why, in words.
        reason: String,
    },
}

impl Happened {
    /// The job that it is about.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::Submitted { job, .. }
            | Self::Led { job, .. }
            | Self::Moved { job, .. }
            | Self::Retried { job }
            | Self::Leased { job, .. }
            | Self::LeaseLost { job, .. }
            | Self::TaskEnded { job, .. }
            | Self::JobEnded { job, .. }
            | Self::Forgotten { job } => Some(*job),
            Self::NodeUp { .. } | Self::NodeDown { .. } => None,
        }
    }
}

/// What an event of the engine is to who watches; but for the end of a job, which its entry counts.
pub(super) fn of(event: &Event) -> Option<Happened> {
    match event {
        Event::Leased { job, index, worker, attempt } => {
            Some(Happened::Leased { job: *job, index: *index, worker: *worker, attempt: *attempt })
        }
        Event::TaskEnded { job, index, report, worker, attempts, .. } => Some(Happened::TaskEnded {
            job: *job,
            index: *index,
            outcome: report.outcome.word(),
            worker: *worker,
            attempts: *attempts,
        }),
        Event::Lost { job, index, worker } => {
            Some(Happened::LeaseLost { job: *job, index: *index, worker: *worker })
        }
        Event::Follows { job, leader } => Some(Happened::Moved { job: *job, leader: *leader }),
        Event::Forgotten { job, .. } => Some(Happened::Forgotten { job: *job }),
        Event::Printed { .. }
        | Event::JobEnded { .. }
        | Event::JobGivenUp { .. }
        | Event::Differed { .. }
        | Event::Refused { .. }
        | Event::RetryRefused { .. }
        | Event::OwnerGone { .. }
        | Event::DependenciesSatisfied { .. }
        | Event::Accepted { .. }
        | Event::Grown { .. }
        | Event::ExtensionRefused { .. }
        | Event::Confirmed { .. }
        | Event::Leads { .. }
        | Event::Keepers { .. } => None,
    }
}

/// The job that may have ended by it.
pub(super) fn may_end(event: &Event) -> Option<JobId> {
    if let Event::JobEnded { job } | Event::Refused { job, .. } | Event::RetryRefused { job, .. } = event {
        Some(*job)
    } else {
        None
    }
}

/// The events, each with its offset: the time when it was noted, in microseconds since 1970, or one more than the offset before.
/// So offsets grow, also over restarts, and those of two nodes are of about the same time.
#[derive(Debug)]
pub struct Events {
    ring: Mutex<Ring>,
    /// Told of each new event.
    changed: Notify,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<(u64, Happened)>,
    /// What has this offset or a lower one is not here.
    lost: u64,
}

impl Default for Events {
    fn default() -> Self {
        let ring = Mutex::new(Ring { events: VecDeque::new(), lost: now_us() });
        Self { ring, changed: Notify::new() }
    }
}

impl JobTable {
    /// What became of jobs and nodes.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Takes note of what happened. Never blocks for long: no I/O, and memory only for what it was given.
    pub fn record(&self, event: Event) {
        let happened = of(&event);
        let ended = may_end(&event);
        let mut table = self.lock();
        table.record(event);
        let entry = ended.and_then(|job| Some((job, table.jobs.get(&job)?)));
        let ended = entry.filter(|(_, entry)| entry.is_ended());
        let ended = ended.map(|(job, entry)| entry.ended_as(job));
        drop(table);
        self.events.note_all(happened.into_iter().chain(ended));
    }

    /// Enters a job that goes on here, if it has not ended.
    pub(super) fn insert_led(&self, job: JobId, restored: RestoredJob) {
        let entry = Entry::restored(restored);
        let (goes_on, counts) = (entry.is_unfinished(), entry.counts);
        self.lock().insert(job, entry);
        if goes_on {
            self.events.note(Happened::Led { job, counts });
        }
    }
}

/// What a reader finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Where events are missing before these: the offsets of the first and the last that may be.
    pub missed: Option<(u64, u64)>,
    /// Events, with their offsets.
    pub events: Vec<(u64, Happened)>,
    /// Where to read on.
    pub next: u64,
    /// There is nothing more now.
    pub is_all: bool,
}

impl Events {
    /// Notes what happened now.
    pub fn note(&self, happened: Happened) {
        self.note_all([happened]);
    }

    /// Notes what happened now, in this order.
    pub fn note_all(&self, happened: impl IntoIterator<Item = Happened>) {
        let mut happened = happened.into_iter().peekable();
        if happened.peek().is_none() {
            return;
        }
        let (now_us, mut ring) = (now_us(), self.lock());
        happened.for_each(|happened| ring.note(now_us, happened));
        drop(ring);
        self.changed.notify_waiters();
    }

    /// Events from an offset on, of one job or of all. 0 is the first that is here, without a word about those before.
    #[must_use]
    pub fn look(&self, from: u64, job: Option<JobId>) -> Look {
        self.lock().look(now_us(), from, job)
    }

    /// The same; waits where there are none.
    pub async fn look_or_wait(&self, from: u64, job: Option<JobId>) -> Look {
        let mut next = from;
        loop {
            // Before the look, so that no event comes between the two.
            let changed = self.changed.notified();
            let look = self.look(next, job);
            if !look.events.is_empty() || look.missed.is_some() || !look.is_all {
                return look;
            }
            next = look.next;
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn note(&mut self, now_us: u64, happened: Happened) {
        self.events.push_back((now_us.max(self.last() + 1), happened));
        while self.events.len() > EVENTS_MAX {
            if let Some((offset, _)) = self.events.pop_front() {
                self.lost = offset;
            }
        }
    }

    fn look(&self, now_us: u64, from: u64, job: Option<JobId>) -> Look {
        // An offset that is still to come is of an earlier process, whose clock was ahead.
        let is_ahead = from > now_us.max(self.last() + 1);
        let missed = match from {
            0 => None,
            _ if is_ahead => Some((from, from)),
            _ => (from <= self.lost).then_some((from, self.lost)),
        };
        let from = if is_ahead { 0 } else { from };
        let first = self.events.partition_point(|(offset, _)| *offset < from);
        let passed = self.events.range(first..).take(LOOK_MAX);
        let next = passed.clone().next_back().map_or(from.max(self.lost + 1), |(offset, _)| offset + 1);
        let wanted = passed.filter(|(_, happened)| job.is_none_or(|job| happened.job() == Some(job)));
        let is_all = self.events.len() - first <= LOOK_MAX;
        Look { missed, events: wanted.cloned().collect(), next, is_all }
    }

    /// The offset of the last event.
    fn last(&self) -> u64 {
        self.events.back().map_or(self.lost, |(offset, _)| *offset)
    }
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        Ring { events: VecDeque::new(), lost: 10 }
    }

    fn retried(job: u64) -> Happened {
        Happened::Retried { job: JobId(job) }
    }

    fn offsets(look: &Look) -> Vec<u64> {
        look.events.iter().map(|(offset, _)| *offset).collect()
    }

    #[test]
    fn offsets_grow_whatever_the_clock_says() {
        let mut ring = ring();
        for now in [5, 20, 20, 7] {
            ring.note(now, retried(1));
        }
        assert_eq!(offsets(&ring.look(30, 0, None)), [11, 20, 21, 22]);
        let look = ring.look(30, 20, None);
        assert_eq!((offsets(&look), look.next, look.is_all, look.missed), (vec![20, 21, 22], 23, true, None));
        let look = ring.look(30, 25, None);
        assert_eq!((offsets(&look), look.next, look.missed), (vec![], 25, None), "a time that was");
    }

    #[test]
    fn who_reads_from_what_is_gone_is_told() {
        let mut ring = ring();
        assert_eq!(ring.look(30, 0, None).missed, None);
        assert_eq!(ring.look(30, 10, None).missed, Some((10, 10)), "before this process");
        assert_eq!(ring.look(30, 11, None).missed, None);
        for _ in 0..=EVENTS_MAX {
            ring.note(0, retried(1));
        }
        assert_eq!(ring.events.len(), EVENTS_MAX);
        let look = ring.look(30, 11, None);
        assert_eq!((look.missed, offsets(&look)[0]), (Some((11, 11)), 12));
    }

    #[test]
    fn an_offset_of_a_clock_that_was_ahead_does_not_hide_what_comes() {
        let mut ring = ring();
        ring.note(20, retried(1));
        let look = ring.look(30, 1000, None);
        assert_eq!((look.missed, offsets(&look), look.next), (Some((1000, 1000)), vec![20], 21));
    }

    #[test]
    fn one_job_is_found_among_others_a_part_at_a_time() {
        let mut ring = ring();
        for _ in 0..LOOK_MAX {
            ring.note(0, retried(1));
        }
        ring.note(0, retried(2));
        let look = ring.look(30, 0, Some(JobId(2)));
        assert!(look.events.is_empty() && !look.is_all);
        let look = ring.look(30, look.next, Some(JobId(2)));
        assert_eq!((look.events.len(), look.is_all), (1, true));
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_told() {
        let events = Events::default();
        let next = events.look(0, None).next;
        let noted = async {
            tokio::task::yield_now().await;
            events.note(retried(1));
            events.note(retried(2));
        };
        let (look, ()) = futures::join!(events.look_or_wait(next, Some(JobId(2))), noted);
        assert_eq!(look.events.len(), 1);
    }
}
