//! Which things by key there are besides jobs' logs, and their bounds.

use crate::error::Refused;

/// Longest key, in bytes; a longer one is refused.
pub const KEY_BYTES_MAX: usize = 256;
/// Longest thing, in bytes; a longer one is refused.
pub const THING_BYTES_MAX: usize = 1 << 20;
/// Things on the shelf of remembered results; the oldest goes.
const REMEMBERED_MAX: u64 = 1_000_000;
/// Things on each other shelf; the oldest goes. Who relies on it that none has gone keeps to a bound of its own that is not greater.
pub const THINGS_MAX: u64 = 65_536;

/// Which things. The numbers are in the file and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Shelf {
    /// Outcomes that a worker has not delivered.
    Undelivered = 1,
    /// Which results are known already, and where.
    Remembered = 2,
    /// When to submit what.
    Schedules = 3,
    /// Which program a name means.
    Functions = 4,
    /// Who may not give or get work.
    Bans = 5,
    /// When results were last read of jobs whose logs are other nodes' too, and so have no record of it.
    Reads = 6,
    /// The number of this node's disk.
    Disk = 7,
    /// Jobs that every node which kept them was to forget.
    Forgotten = 8,
    /// Jobs that this node left because another one keeps them in its place.
    Left = 9,
    /// When jobs were forgotten, for those who ask for them.
    Gone = 10,
}

/// How many there are, with the number that none has.
pub(crate) const SHELVES: usize = 11;

impl Shelf {
    pub(crate) const ALL: [Self; SHELVES - 1] = [
        Self::Undelivered,
        Self::Remembered,
        Self::Schedules,
        Self::Functions,
        Self::Bans,
        Self::Reads,
        Self::Disk,
        Self::Forgotten,
        Self::Left,
        Self::Gone,
    ];

    pub(crate) fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|shelf| shelf.number() == number)
    }

    pub(crate) fn number(self) -> i64 {
        i64::from(self as u8)
    }

    pub(crate) fn things_max(self) -> u64 {
        if self == Self::Remembered { REMEMBERED_MAX } else { THINGS_MAX }
    }

    /// Remembered results have a table of their own: there are many, and the other shelves stay small.
    pub(crate) fn table(self) -> &'static str {
        if self == Self::Remembered { TABLES[1] } else { TABLES[0] }
    }

    pub(crate) fn place(self) -> usize {
        usize::from(self as u8)
    }
}

/// The tables of things.
pub(crate) const TABLES: [&str; 2] = ["things", "remembered"];

/// Whether a thing and its key are within their bounds.
pub(crate) fn check_size(key: &[u8], bytes: &[u8]) -> Result<(), Refused> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Refused::TooLong { what: "a key", bytes: key.len(), max: KEY_BYTES_MAX });
    }
    if bytes.len() > THING_BYTES_MAX {
        return Err(Refused::TooLong {
            what: "a thing on a shelf",
            bytes: bytes.len(),
            max: THING_BYTES_MAX,
        });
    }
    Ok(())
}
