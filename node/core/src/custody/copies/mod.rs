//! Copies of jobs at level `disk`. Where exactly two nodes can keep jobs, the one that a job is not submitted to has a copy: the
//! owner's log, record by record, and all bytes that it names. Nothing waits for it. It never leads, is never asked to, and
//! answers no candidate; a person may make another job of it when the owner is gone for good (`durable/adopting.rs`).
//!
//! ```text
//!   owner --Keep { after, records }--> copy --Kept { upto }--> owner      the next page
//!   owner --Keep without records, when connected or not answered--> copy --Kept | Behind--> owner
//!   copy  --PreSeal, when connected--> owner --Keep | Forgotten--> copy
//! ```
//!
//! All of it is said in epoch 0, which no member of a trio has. The owner sends what is on its disk and the copy cuts nothing, so a
//! number alone says how far the two are equal. [`Copies`] are those of other nodes' jobs here, [`Senders`] the own jobs of
//! which other nodes have copies. Both belong to [`Custody`](super::Custody), which drives them (`jobs/copied.rs`).

mod copy;
mod means;
mod sender;

pub(super) use copy::{Copies, pair_of};
pub(super) use means::{EPOCH, Means};
pub(super) use sender::{Senders, Sending};
