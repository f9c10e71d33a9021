//! What the journal tells its driver while it is open.

use crate::error::Failure;

/// What the writer tells, in order, on its own thread: pass it on and return, for the disk waits meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All appends up to this ticket are on the disk.
    Persisted {
        /// The ticket.
        upto: u64,
    },
    /// A write or sync failed: nothing more is taken, and what was not told as persisted may be lost.
    Failed(Failure),
    /// New work is refused for want of room from now on, or no longer.
    DiskLow(bool),
}
