//! Custody: jobs at level `mesh`, each kept by a *trio* of nodes, so that it outlives any one of them. Part of the engine, and
//! pure like it.
//!
//! Each member of a trio has the job's log on its disk, and runs a [`Member`]: one of them leads and appends, the others
//! follow. A record is *committed* once it is on two disks of the trio. Leaders are numbered by *epochs*: a member that takes
//! over promises the next epoch of its own, has another member promise it, too (a *seal*), and goes on with the further of
//! their two logs.
//!
//! ```text
//!   leader --Keep--> follower --Kept--> leader                    a record is committed
//!   candidate --Seal--> others --Sealed--> candidate              no lower epoch can commit any more
//!   candidate --Want--> the further log --Have--> candidate       then it leads, with `Led` as its first record
//! ```
//!
//! [`Custody`] has the members of all jobs that this node keeps: it routes what happens to them, and does what they want done
//! (`writes.rs`, `blobs.rs`, `post.rs`). `choice.rs` says who keeps a new job.

mod action;
mod blobs;
pub(crate) mod choice;
mod copies;
mod farewells;
mod jobs;
pub(crate) mod log;
mod lookout;
mod member;
pub(crate) mod message;
pub(crate) mod news;
pub(crate) mod outline;
pub(crate) mod position;
mod post;
pub(crate) mod record;
mod shares;
mod tombstones;
pub(crate) mod trio;
mod unwritten;
mod waiting;
mod writes;

pub use action::Action;
pub(crate) use jobs::{Custody, Wish};
pub(crate) use lookout::Known;
pub use member::{Member, Moment, Restored, Role};
pub use message::CustodyMessage;
pub use outline::{Outline, Replacement};
pub use position::{Position, SPANS_MAX, Span, Spans};
pub use record::{Mark, Record};
pub use tombstones::{TOMBSTONES_MAX, Tombstones, remains_of};
pub use trio::{Keepers, Pair, Seat, Trio};
