//! What waits for the keeper's thread: the loop adds, the thread takes all there is. Bounded: while it is full the loop
//! takes in nothing more, so that what one input adds is the most by which the bound is passed.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weft_core::durable::{Ends, LogRecord, RestTask};
use weft_core::{JobId, Remains, Remembered, Retained, RetainedKey, TaskId};
use weft_journal::Listing;

use super::reading::Question;

/// Bytes of records that wait; from there on the loop takes in nothing more.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Orders that wait; from there on the loop takes in nothing more.
const WAITING_MAX: usize = 16_384;
/// What an order counts as besides the bytes that it carries.
const ORDER_BYTES: usize = 256;
/// What an input counts as besides the bytes that it carries.
const PART_BYTES: usize = 48;

/// One thing to be done with the journal.
#[derive(Debug)]
pub(crate) enum Order {
    /// The engine wants this record kept, and to be told.
    Keep {
        /// The engine's number for it.
        ticket: u64,
        /// The job.
        job: JobId,
        /// What is kept.
        record: Box<LogRecord>,
        /// Its bytes, where they were made already.
        bytes: Option<Arc<[u8]>>,
        /// How the job is listed from now on, if that changes.
        listing: Option<Box<Listing>>,
    },
    /// How a job is listed from now on.
    List {
        /// The job.
        job: JobId,
        /// The line.
        listing: Box<Listing>,
    },
    /// Its results were read.
    Read {
        /// The job.
        job: JobId,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// These results outlive this life, in place of what was known of their tasks, and of those tasks nothing is known.
    Remember {
        /// The results.
        known: Vec<Remembered>,
        /// The tasks.
        gone: Vec<TaskId>,
    },
    /// These outcomes, which are not acknowledged, outlive this life, and those do not any more.
    Retain {
        /// The outcomes.
        outcomes: Vec<Retained>,
        /// The others.
        gone: Vec<RetainedKey>,
    },
    /// The records behind one go, and what only they name in the store is no longer wanted.
    Cut {
        /// The engine's number for it.
        ticket: u64,
        /// The job.
        job: JobId,
        /// The last record that stays.
        after: u32,
    },
    /// This node promised an epoch of a job.
    Promise {
        /// The engine's number for it.
        ticket: u64,
        /// The job.
        job: JobId,
        /// The epoch.
        epoch: u32,
    },
    /// The engine wants to read a log, as it is once all orders before this one are on the disk.
    Ask(Question),
    /// The log goes, and what it names in the store is no longer wanted.
    Forget {
        /// The engine's number for it, if the engine waits: only then is something of it pinned.
        ticket: Option<u64>,
        /// The job.
        job: JobId,
        /// What later lives are to know of it.
        remains: Remains,
    },
}

impl Order {
    /// The record that is to be kept, if it is one.
    pub(super) fn record(&self) -> Option<(JobId, &LogRecord)> {
        match self {
            Self::Keep { job, record, .. } => Some((*job, record)),
            Self::List { .. }
            | Self::Read { .. }
            | Self::Cut { .. }
            | Self::Promise { .. }
            | Self::Ask(_)
            | Self::Remember { .. }
            | Self::Retain { .. }
            | Self::Forget { .. } => None,
        }
    }

    fn cost(&self) -> usize {
        ORDER_BYTES
            + match self {
                Self::Keep { record, bytes, .. } => {
                    cost_of(record) + bytes.as_ref().map_or(0, |bytes| bytes.len())
                }
                Self::Remember { known, gone } => {
                    let carried = |known: &Remembered| {
                        usize::try_from(known.report.carried_len()).unwrap_or(usize::MAX)
                    };
                    known.iter().map(|known| ORDER_BYTES.saturating_add(carried(known))).sum::<usize>()
                        + gone.len() * size_of::<TaskId>()
                }
                Self::Retain { outcomes, gone } => {
                    let carried = |kept: &Retained| {
                        usize::try_from(kept.delivery.report.carried_len()).unwrap_or(usize::MAX)
                    };
                    outcomes.iter().map(|kept| ORDER_BYTES.saturating_add(carried(kept))).sum::<usize>()
                        + gone.len() * size_of::<RetainedKey>()
                }
                Self::List { .. }
                | Self::Read { .. }
                | Self::Cut { .. }
                | Self::Promise { .. }
                | Self::Ask(_)
                | Self::Forget { .. } => 0,
            }
    }
}

/// About what a record takes in memory.
fn cost_of(record: &LogRecord) -> usize {
    let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let inputs: usize = record.inputs().iter().map(|input| PART_BYTES + bytes(input.inline_len())).sum();
    let ends = match record.ends() {
        Ends::None => 0,
        Ends::Outcomes(all) => all.iter().map(|kept| ORDER_BYTES + bytes(kept.report.carried_len())).sum(),
        Ends::Rest(rest) => rest.tasks.len() * size_of::<RestTask>(),
    };
    inputs + ends
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Order>,
    bytes: usize,
    closing: bool,
    /// The loop waits for room.
    is_awaited: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Orders {
    state: Mutex<State>,
    came: Condvar,
}

impl Orders {
    /// Adds an order. Never waits, and never refuses.
    pub(super) fn add(&self, order: Order) {
        let mut state = self.lock();
        state.bytes += order.cost();
        state.waiting.push_back(order);
        drop(state);
        self.came.notify_one();
    }

    /// Whether the loop must wait. If so, the next take says that there is room.
    pub(super) fn is_full(&self) -> bool {
        let mut state = self.lock();
        state.is_awaited = state.bytes >= WAITING_BYTES_MAX || state.waiting.len() >= WAITING_MAX;
        state.is_awaited
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Takes all there is; waits while there is nothing, at most until then, and ends when nothing more comes. True if the loop
    /// waits for room.
    pub(super) fn take(&self, until: Option<Instant>) -> Option<(VecDeque<Order>, bool)> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closing {
                return None;
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.came.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Some((VecDeque::new(), false)),
                Some(left) => self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.bytes = 0;
        Some((std::mem::take(&mut state.waiting), std::mem::take(&mut state.is_awaited)))
    }

    /// What waits is still taken, and then the end comes.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.came.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use weft_core::Payload;

    use super::*;

    fn record(bytes: usize) -> Order {
        let inputs = vec![Payload::Inline(vec![0; bytes].into())];
        let record = Box::new(LogRecord::Extended { inputs });
        Order::Keep { ticket: 1, job: JobId(1), record, bytes: None, listing: None }
    }

    #[test]
    fn what_is_full_has_room_again_when_it_was_taken_and_says_so_to_those_who_asked() {
        let orders = Orders::default();
        orders.add(record(1));
        assert!(!orders.is_full());
        let (taken, is_awaited) = orders.take(None).unwrap();
        assert_eq!((taken.len(), is_awaited, orders.bytes()), (1, false, 0));
        while !orders.is_full() {
            orders.add(record(1 << 20));
        }
        assert!(orders.bytes() < WAITING_BYTES_MAX + (2 << 20), "one order too many at most");
        let (_, is_awaited) = orders.take(None).unwrap();
        assert!(is_awaited);
        assert!(!orders.is_full());
    }

    #[test]
    fn what_waits_is_taken_before_the_end() {
        let orders = Arc::new(Orders::default());
        orders.add(record(1));
        orders.close();
        assert_eq!(orders.take(None).map(|(orders, _)| orders.len()), Some(1));
        assert!(orders.take(None).is_none());
    }
}
