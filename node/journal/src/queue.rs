//! What waits for the disk: batches in order, bounded in bytes, given to the writer in groups.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Failure, Refused};
use crate::heads::Op;

/// How long after a large group was taken the next one is at the soonest, so that what comes meanwhile goes together. After a small
/// one it is for as long as that took to write, and not longer than this: there, one who waits for each record is more likely than
/// a stream of them, and the writer has half of a core at most. What comes after a pause waits for nothing.
const GROUP_WAIT_MAX: Duration = Duration::from_millis(2);
/// Bytes of a small group are fewer.
const SMALL_GROUP_BYTES: usize = 4 << 10;
/// Bytes that make a group ready at once.
const GROUP_BYTES: usize = 256 << 10;
/// Bytes of one group; what is beyond waits for the next one. A single longer batch is a group of its own.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Bytes that may wait; beyond it an append is refused. A longer batch fits while nothing waits.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Batches that may wait; beyond it an append is refused.
const QUEUE_BATCHES_MAX: usize = 65_536;

/// The entries of one append.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) ticket: u64,
    pub(crate) ops: Vec<Op>,
    cost: usize,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Write these in one transaction.
    Write(Vec<Batch>),
    /// Nothing waits: there is time to tidy up.
    Idle,
    /// Nothing waits: it is time to look how much room is left, and how a checkpoint ended.
    Look,
    /// Nothing waits and nothing more comes.
    End,
}

/// A group that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    at: Instant,
    is_large: bool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Batch>,
    bytes: usize,
    /// The last group, until it is written.
    last: Option<Taken>,
    /// No group is taken before.
    rests_until: Option<Instant>,
    last_ticket: u64,
    closing: bool,
    /// An append was refused for want of room on the disk, or a checkpoint ended.
    is_to_look: bool,
    failure: Option<Failure>,
}

/// The queue between the journal's users and its writer.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Something came, or it is closing.
    came: Condvar,
    /// Something was taken, or it failed.
    went: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a batch of that cost would be taken now.
    pub(crate) fn check_room(&self, cost: usize) -> Result<(), Refused> {
        self.lock().check_room(cost)
    }

    /// Adds a batch if there is room for it; batches have the order of these calls. Returns its ticket: none is given after
    /// a failure, so what the batch is made of is asked for only when nothing else can refuse it.
    pub(crate) fn push(
        &self,
        cost: usize,
        ops: impl FnOnce() -> Result<Vec<Op>, Refused>,
    ) -> Result<u64, Refused> {
        let mut state = self.lock();
        state.check_room(cost)?;
        let ops = ops()?;
        state.last_ticket += 1;
        let ticket = state.last_ticket;
        state.bytes += cost;
        state.waiting.push_back(Batch { ticket, ops, cost });
        drop(state);
        self.came.notify_one();
        Ok(ticket)
    }

    /// Waits until a batch of that cost would be taken, at most until `deadline`.
    pub(crate) fn wait_for_room(&self, cost: usize, deadline: Instant) -> Result<(), Refused> {
        let mut state = self.lock();
        loop {
            let refused = match state.check_room(cost) {
                Err(refused @ Refused::Busy { .. }) => refused,
                other => return other,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(refused);
            }
            state = self.went.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has the writer look how much room is left, and how a checkpoint ended.
    pub(crate) fn ask_to_look(&self) {
        self.lock().is_to_look = true;
        self.came.notify_one();
    }

    /// What the writer is to do next; waits for it, unless there is something to tidy up, and looks at the room again after
    /// `look_after`.
    pub(crate) fn next(&self, has_chores: bool, look_after: Option<Duration>) -> Turn {
        let now = Instant::now();
        let look_at = look_after.map(|after| now + after);
        let mut state = self.lock();
        state.note_written(now);
        loop {
            if state.waiting.is_empty() {
                if state.closing {
                    return Turn::End;
                }
                if has_chores {
                    return Turn::Idle;
                }
                let left = look_at.map(|at| at.saturating_duration_since(Instant::now()));
                if std::mem::take(&mut state.is_to_look) || left.is_some_and(|left| left.is_zero()) {
                    return Turn::Look;
                }
                state = match left {
                    Some(left) => {
                        self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.came.wait(state).unwrap_or_else(PoisonError::into_inner),
                };
                continue;
            }
            let now = Instant::now();
            let left = state.gathers_for(now);
            if left.is_zero() {
                let group = state.group(now);
                drop(state);
                self.went.notify_all();
                return Turn::Write(group);
            }
            state = self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What waits is still written, but nothing more is taken.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.came.notify_all();
        self.went.notify_all();
    }

    /// Nothing is written any more. The first reason stays.
    pub(crate) fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        state.failure.get_or_insert(failure);
        let dropped = std::mem::take(&mut state.waiting);
        state.bytes = 0;
        drop(state);
        drop(dropped);
        self.went.notify_all();
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl State {
    fn check_room(&self, cost: usize) -> Result<(), Refused> {
        if let Some(failure) = &self.failure {
            return Err(Refused::Failed(failure.clone()));
        }
        if self.closing {
            return Err(Refused::Closing);
        }
        let is_full = self.bytes + cost > QUEUE_BYTES_MAX || self.waiting.len() >= QUEUE_BATCHES_MAX;
        if is_full && !self.waiting.is_empty() {
            return Err(Refused::Busy { bytes: self.bytes });
        }
        Ok(())
    }

    /// The group that was taken last is written.
    fn note_written(&mut self, now: Instant) {
        let Some(Taken { at, is_large }) = self.last.take() else { return };
        let took = now.saturating_duration_since(at);
        self.rests_until = Some(if is_large { at + GROUP_WAIT_MAX } else { now + took.min(GROUP_WAIT_MAX) });
    }

    /// How long what waits is to wait for more.
    fn gathers_for(&self, now: Instant) -> Duration {
        if self.closing || self.bytes >= GROUP_BYTES {
            return Duration::ZERO;
        }
        self.rests_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Takes the batches of the next transaction.
    fn group(&mut self, now: Instant) -> Vec<Batch> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = self.waiting.front() {
            if !group.is_empty() && bytes + batch.cost > GROUP_BYTES_MAX {
                break;
            }
            bytes += batch.cost;
            group.extend(self.waiting.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.last = Some(Taken { at: now, is_large: bytes >= SMALL_GROUP_BYTES });
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "what makes a batch may refuse")]
    fn nothing() -> Result<Vec<Op>, Refused> {
        Ok(Vec::new())
    }

    #[test]
    fn what_came_together_is_one_group_in_order() {
        let queue = Queue::default();
        for ticket in 1..=3 {
            assert_eq!(queue.push(10, nothing), Ok(ticket));
        }
        let Turn::Write(group) = queue.next(true, None) else { panic!("nothing to write") };
        assert_eq!(group.iter().map(|batch| batch.ticket).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(queue.bytes(), 0);
        assert!(matches!(queue.next(true, None), Turn::Idle));
    }

    /// A queue from which a group of that many bytes was taken, which took that long to write.
    fn after_a_group(bytes: usize, taken: Instant, took: Duration) -> State {
        let mut state = State { bytes, ..State::default() };
        state.waiting.push_back(Batch { ticket: 1, ops: Vec::new(), cost: bytes });
        assert_eq!(state.group(taken).len(), 1);
        state.note_written(taken + took);
        state
    }

    #[test]
    fn what_comes_after_a_small_group_waits_as_long_as_that_took_to_write() {
        let (taken, took) = (Instant::now(), GROUP_WAIT_MAX / 8);
        assert_eq!(State::default().gathers_for(taken), Duration::ZERO, "nothing was before");
        let small = |took| after_a_group(SMALL_GROUP_BYTES - 1, taken, took);
        let written = taken + took;
        assert_eq!(small(took).gathers_for(written), took);
        assert_eq!(small(took).gathers_for(written + took), Duration::ZERO, "a pause");
        let long = GROUP_WAIT_MAX * 5;
        assert_eq!(small(long).gathers_for(taken + long), GROUP_WAIT_MAX, "a slow disk");
    }

    #[test]
    fn what_follows_a_large_group_goes_together() {
        let now = Instant::now();
        let mut state = after_a_group(SMALL_GROUP_BYTES, now, Duration::ZERO);
        let (half, whole) = (GROUP_WAIT_MAX / 2, GROUP_WAIT_MAX);
        assert_eq!(state.gathers_for(now + half), half);
        assert_eq!(state.gathers_for(now + whole), Duration::ZERO);
        state.bytes = GROUP_BYTES;
        assert_eq!(state.gathers_for(now), Duration::ZERO, "enough for a group");
        (state.bytes, state.closing) = (0, true);
        assert_eq!(state.gathers_for(now), Duration::ZERO, "nothing more comes");
    }

    #[test]
    fn what_has_no_room_is_refused_and_what_is_too_long_for_the_queue_goes_alone() {
        let queue = Queue::default();
        queue.check_room(QUEUE_BYTES_MAX + 1).unwrap();
        queue.push(QUEUE_BYTES_MAX + 1, nothing).unwrap();
        assert_eq!(queue.push(1, nothing), Err(Refused::Busy { bytes: QUEUE_BYTES_MAX + 1 }));
        assert_eq!(queue.check_room(1), Err(Refused::Busy { bytes: QUEUE_BYTES_MAX + 1 }));
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(matches!(queue.wait_for_room(1, soon), Err(Refused::Busy { .. })));
        assert!(matches!(queue.next(false, None), Turn::Write(_)));
        queue.wait_for_room(1, Instant::now()).unwrap();
    }

    #[test]
    fn the_first_failure_is_the_one_that_is_told() {
        let queue = Queue::default();
        let failure = |why: &str| Failure::other("write", why.into());
        queue.push(1, nothing).unwrap();
        queue.fail(failure("one"));
        queue.fail(failure("two"));
        assert_eq!(queue.check_room(1), Err(Refused::Failed(failure("one"))));
        let admitted = || panic!("no entry is let in after a failure");
        assert_eq!(queue.push(1, admitted), Err(Refused::Failed(failure("one"))));
        queue.close();
        assert!(matches!(queue.next(false, None), Turn::End));
    }
}
