//! A job's tasks, a million of them in bounded memory: they are kept in chunks, and of a chunk whose tasks have all
//! ended nothing stays but eight bytes a task, by which a late outcome is told from a forged one. Plain bookkeeping.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::task::{Task, TaskState};

/// Tasks in a chunk. A larger one keeps more of what has ended next to one task that has not, a smaller one costs more
/// per task.
const CHUNK: usize = 256;

/// The tasks of a job, by index.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    chunks: Vec<Chunk>,
    /// Tasks in all; stays when they are forgotten.
    total: u32,
}

/// [`CHUNK`] tasks, or fewer in the last one.
#[derive(Debug)]
enum Chunk {
    /// Some have not ended.
    Live { tasks: Vec<Task>, ended: usize },
    /// All have, with these numbers, after at most that number of attempts each.
    Over { digests: Box<[u64]>, attempts: u32 },
}

/// The number of a task that was cancelled, and that of one whose time was over; no other has them.
const CANCELLED: u64 = 0;
const EXPIRED: u64 = 1;

impl Tasks {
    /// One more at the end; its index.
    pub(super) fn push(&mut self, task: Task) -> u32 {
        let index = self.total;
        self.total += 1;
        self.push_last(task);
        index
    }

    /// Tasks in all so far, forgotten ones included.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Forgets all but their number.
    pub(super) fn forget(&mut self) {
        self.chunks = Vec::new();
    }

    fn push_last(&mut self, task: Task) {
        if let Some(Chunk::Live { tasks, .. }) = self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            tasks.push(task);
            return;
        }
        // The first one grows as it needs to: most jobs are small.
        let mut tasks = Vec::with_capacity(if self.chunks.is_empty() { 1 } else { CHUNK });
        tasks.push(task);
        self.chunks.push(Chunk::Live { tasks, ended: 0 });
    }

    /// A task, unless it and all others of its chunk have ended.
    pub(super) fn get(&self, index: u32) -> Option<&Task> {
        let (chunk, place) = split(index);
        match self.chunks.get(chunk)? {
            Chunk::Live { tasks, .. } => tasks.get(place),
            Chunk::Over { .. } => None,
        }
    }

    /// The same.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Task> {
        let (chunk, place) = split(index);
        match self.chunks.get_mut(chunk)? {
            Chunk::Live { tasks, .. } => tasks.get_mut(place),
            Chunk::Over { .. } => None,
        }
    }

    /// Where a task is, and how many attempts of it were issued at most.
    pub(super) fn fate(&self, index: u32) -> Option<(TaskState, u32)> {
        let (chunk, place) = split(index);
        match self.chunks.get(chunk)? {
            Chunk::Live { tasks, .. } => tasks.get(place).map(|task| (task.state(), task.attempts)),
            Chunk::Over { digests, attempts } => {
                digests.get(place).map(|digest| (state_of(*digest), *attempts))
            }
        }
    }

    /// A task's state was set to one that is never left; told once per task. Forgets its chunk if it was the last.
    pub(super) fn on_ended(&mut self, index: u32) {
        let chunk = self.chunks.get_mut(split(index).0).expect("a task that ends is there");
        let Chunk::Live { tasks, ended } = chunk else {
            debug_assert!(false, "a chunk is forgotten with its last end");
            return;
        };
        *ended += 1;
        // A chunk that may still grow stays.
        if *ended == CHUNK {
            let digests = tasks.iter().map(|task| digest_of(task.state())).collect();
            let attempts = tasks.iter().map(|task| task.attempts).max().unwrap_or(0);
            *chunk = Chunk::Over { digests, attempts };
        }
    }

    /// Those of chunks of which some have not ended, in order.
    pub(super) fn live(&self) -> impl Iterator<Item = &Task> {
        self.chunks.iter().flat_map(|chunk| match chunk {
            Chunk::Live { tasks, .. } => tasks.as_slice(),
            Chunk::Over { .. } => &[],
        })
    }

    /// The states of all, in order.
    pub(super) fn states(&self) -> impl Iterator<Item = TaskState> + '_ {
        let count: usize = self.chunks.iter().map(Chunk::len).sum();
        (0..u32::try_from(count).unwrap_or(u32::MAX)).filter_map(|index| Some(self.fate(index)?.0))
    }
}

impl Chunk {
    fn len(&self) -> usize {
        match self {
            Self::Live { tasks, .. } => tasks.len(),
            Self::Over { digests, .. } => digests.len(),
        }
    }
}

fn split(index: u32) -> (usize, usize) {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    (index / CHUNK, index % CHUNK)
}

/// Set in the number of a task that was done: [`crate::digest::Digest::short`] leaves that bit free.
const DONE: u64 = 1;

fn digest_of(state: TaskState) -> u64 {
    match state {
        TaskState::Done(digest) => digest | DONE,
        TaskState::Failed(digest) => digest,
        TaskState::Cancelled => CANCELLED,
        TaskState::Expired => EXPIRED,
        TaskState::Awaiting | TaskState::Queued | TaskState::Leased | TaskState::Delayed(_) => {
            debug_assert!(false, "a chunk is forgotten when all of its tasks have ended");
            CANCELLED
        }
    }
}

fn state_of(digest: u64) -> TaskState {
    match digest {
        CANCELLED => TaskState::Cancelled,
        EXPIRED => TaskState::Expired,
        _ if digest & DONE == DONE => TaskState::Done(digest & !DONE),
        _ => TaskState::Failed(digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::task::Counts;
    use crate::task::Payload;

    fn expected(index: u32) -> TaskState {
        let digest = 2 * u64::from(index) + 2;
        match index % 5 {
            0 => TaskState::Cancelled,
            1 => TaskState::Expired,
            2 => TaskState::Failed(digest),
            _ => TaskState::Done(digest),
        }
    }

    #[test]
    fn a_chunk_is_forgotten_with_its_last_task_and_its_fates_stay() {
        let mut tasks = Tasks::default();
        let count = u32::try_from(2 * CHUNK + 10).unwrap_or(0);
        for _ in 0..count {
            tasks.push(Task::new(Payload::empty()));
        }
        for index in (0..count).rev() {
            assert!(tasks.get(index).is_some());
            let task = tasks.get_mut(index).expect("it has not ended");
            task.attempts = index % 3;
            task.transition(expected(index), &mut Counts::default());
            tasks.on_ended(index);
        }
        let last = u32::try_from(2 * CHUNK).unwrap_or(0);
        assert!(tasks.get(last).is_some(), "the last chunk may still grow");
        assert!((0..last).all(|index| tasks.get(index).is_none() && tasks.get_mut(index).is_none()));
        for index in 0..count {
            let (state, attempts) = tasks.fate(index).expect("it was there");
            assert_eq!(state, expected(index));
            assert!(attempts >= index % 3);
        }
        assert_eq!((tasks.fate(count), tasks.states().count()), (None, 2 * CHUNK + 10));
        tasks.push(Task::new(Payload::empty()));
        assert_eq!(tasks.fate(count).map(|(state, _)| state), Some(TaskState::Queued));
    }
}
