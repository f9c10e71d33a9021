//! Tasks of detached jobs that have not ended, over all jobs, and the bytes of their inputs: the engine has each of them in
//! memory. Counted by the table after each change of a job; the API reads no further inputs while there are too many.

use super::entry::Entry;

/// Tasks of detached jobs that may be open at once, over all jobs, while a job has more than its own share of them.
pub(super) const OPEN_TASKS_MAX: u64 = 4_000_000;
/// Bytes of their inputs, those alone that are not in the blob store.
pub(super) const OPEN_BYTES_MAX: u64 = 1 << 30;

/// What is open of one job, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) tasks: u64,
    /// As if all inputs of a job were of the same length.
    pub(super) bytes: u64,
}

impl Open {
    /// Of one job that this node leads; nothing of an attached one, which has a bound of its own.
    pub(super) fn of(entry: &Entry) -> Self {
        if !entry.meta.detached || !entry.is_unfinished() {
            return Self::default();
        }
        let (all, open) = (u64::from(entry.counts.tasks), u64::from(entry.outstanding()));
        let bytes = u128::from(entry.input_bytes) * u128::from(open) / u128::from(all.max(1));
        Self { tasks: open, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) }
    }

    /// One job has `now`, and had `before`.
    pub(super) fn change(&mut self, before: Self, now: Self) {
        self.tasks = self.tasks - before.tasks + now.tasks;
        self.bytes = self.bytes - before.bytes + now.bytes;
    }

    pub(super) fn is_full(self) -> bool {
        self.tasks >= OPEN_TASKS_MAX || self.bytes >= OPEN_BYTES_MAX
    }
}
