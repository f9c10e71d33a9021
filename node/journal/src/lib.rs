//! The log of records that a node's jobs survive with, in one SQLite file. The only crate that names the database.
//!
//! A [`Journal`] keeps a log a job: records with a number (`seq`) that has no gaps, a [`Kind`], bytes, and a keyed hash
//! of all of it. It knows no jobs and decides nothing: what a record means is its writer's business, and state is the
//! fold over the log ([`Fold`]). It is no mirror of the engine's tables, and no calls, bids or leases are in it.
//!
//! ```text
//!   driver --append--> queue --group, after 2 ms at most--> writer thread --one transaction, one fsync--> journal.db
//!     ^                (bounded)                               |                                            |
//!     '--------- Event::Persisted { upto }, in order ----------'                     Reader: pages, counts, records
//!                                                                                    Fold: all of it, at open
//! ```
//!
//! - A failed write or sync is final: the journal takes nothing more and keeps the first reason ([`Failure`]).
//! - What is in the write-ahead log gets into the file on a thread of its own, so that the writer waits for little of it.
//! - A full disk is foreseen: what would begin new work is refused first, and a reserve lets the rest end.
//! - A flipped bit puts one job into quarantine. Where the structure of the file is hurt, its records are gathered from
//!   the raw pages into a new file, and the hurt one is kept.
//! - Next to the file, a *mark* says how often the journal was opened and checkpointed, and whether it was closed: an
//!   older copy of the file is known as such ([`Continuity`]), and so is a file that was not closed and whose log is
//!   gone. Next to the log, a line says how much of it is on the disk: a log that was cut, or an older copy of it, is known.
//!
//! [`Journal::open`] and [`Reader`] block on the disk; [`Journal::append`] never does.
//!
//! # How a driver uses it
//!
//! It opens the journal before its engine starts, and gives the engine what the [`Fold`] was told. Each record that the
//! engine wants kept becomes an [`Entry::Append`] of one append; the ticket that comes back is told to the engine as
//! persisted when [`Event::Persisted`] reaches it. While there is no room
//! ([`Journal::check_room`]) it keeps the entries, in order, and takes in nothing more. On [`Event::Failed`] it takes no more durable jobs,
//! ends what it holds in memory, and exits with a code of its own. A member of a job's trio that is not
//! [`Continuity::is_whole`], or whose [`Stamp`] is another one, vouches for nothing before it has caught up.

mod apply;
mod check;
mod checkpoints;
mod disk;
mod error;
mod event;
mod fold;
mod head;
mod heads;
mod journal;
mod kind;
mod listing;
mod mark;
mod open;
mod queue;
mod reader;
mod rebuild;
mod record;
mod room;
mod rows;
mod salvage;
mod schema;
mod shelf;
mod shelves;
mod synced;
mod wal;
mod writer;

pub use error::{Damage, DatabaseError, Error, Failure, Refused};
pub use event::Event;
pub use fold::Fold;
pub use journal::{Journal, Settings};
pub use kind::{Kind, RECORD_BYTES_MAX, SNAPSHOT_BYTES_MAX};
pub use listing::{
    Filter, LABEL_BYTES_MAX, LABELS_MAX, Listed, Listing, NAME_BYTES_MAX, PAGE_MAX, Page, Place, State,
};
pub use mark::{Continuity, Stamp};
pub use open::{Opened, Rebuilt};
pub use reader::{Reader, Record};
pub use record::{Entry, OWN_BYTES_MAX};
pub use room::lacking_in;
pub use shelf::{KEY_BYTES_MAX, Shelf, THING_BYTES_MAX, THINGS_MAX};

/// The version of SQLite that is compiled in.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}
