//! What kinds of records there are, and how long each may be.

/// Longest record except a snapshot, in bytes; a longer one is refused.
pub const RECORD_BYTES_MAX: usize = 4 << 20;
/// Longest snapshot, in bytes; a longer one is refused.
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// What a record says. The numbers are in the file and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The job was accepted: what it is, and who keeps it. The first record of a log, unless a snapshot is.
    Accepted = 1,
    /// It has more inputs.
    Extended = 2,
    /// It gets no more inputs.
    Closed = 3,
    /// Tasks ended: a batch of outcomes.
    Outcomes = 4,
    /// It was cancelled.
    Cancelled = 5,
    /// Another member leads it from here on.
    Epoch = 6,
    /// All of it ended.
    Ended = 7,
    /// Its results were read.
    Read = 8,
    /// It is forgotten: the log goes, this record included.
    Forgotten = 9,
    /// A schedule fired. Its log has the schedule's id in place of a job's.
    Fired = 10,
    /// The state at this place: all records before it go.
    Snapshot = 11,
    /// Something else that its bytes tell.
    Noted = 12,
    /// Tasks that failed are tried again.
    Retried = 13,
    /// Its owner restarted.
    Restarted = 14,
    /// As [`Kind::Outcomes`], and some of the outcomes name bytes that are kept elsewhere.
    NamingOutcomes = 15,
    /// As [`Kind::Extended`], and some of the inputs name bytes that are kept elsewhere.
    NamingExtended = 16,
    /// Tasks ended with their job.
    Rest = 17,
}

impl Kind {
    pub(crate) const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Extended,
        Self::Closed,
        Self::Outcomes,
        Self::Cancelled,
        Self::Epoch,
        Self::Ended,
        Self::Read,
        Self::Forgotten,
        Self::Fired,
        Self::Snapshot,
        Self::Noted,
        Self::Retried,
        Self::Restarted,
        Self::NamingOutcomes,
        Self::NamingExtended,
        Self::Rest,
    ];

    /// The kind of a number in the file.
    pub(crate) fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its number in the file.
    pub(crate) fn number(self) -> i64 {
        i64::from(self as u8)
    }

    /// True for records that begin new work: on a disk that is nearly full they are refused first.
    #[must_use]
    pub fn begins_work(self) -> bool {
        matches!(self, Self::Accepted | Self::Extended | Self::NamingExtended | Self::Fired)
    }

    pub(crate) fn bytes_max(self) -> usize {
        if self == Self::Snapshot { SNAPSHOT_BYTES_MAX } else { RECORD_BYTES_MAX }
    }
}
