//! What a job at level `disk` leaves in a log, so that it survives a restart of its owner: the records, and the fold that
//! makes a job of them again. Pure data and no decisions: the owner says what is to be kept
//! ([`Effect::Persist`](crate::Effect::Persist)), its driver writes it, and a later life gets it back
//! ([`Input::Restore`](crate::Input::Restore)).
//!
//! ```text
//!   owner --Persist { ticket, job, record }--> driver --> disk
//!     ^                                          |
//!     '---- Persisted { upto } ------------------'   only then: Accepted, TaskEnded, JobEnded, Ack to the worker
//!
//!   disk --LogRecord, in order--> Fold --Restored--> owner of the next life
//! ```
//!
//! Calls, bids, leases, attempts without a result and renewals are in no record, but which workers were given which tasks is. After
//! a restart the job goes on in a new *epoch*, so that an outcome of the life before is known as such, and these workers are asked
//! what they hold of it, and believed about the tasks that they were given.

mod adopting;
mod custody;
mod fold;
mod given;
mod kept;
mod packed;
mod record;
mod restored;
mod unsound;

pub use crate::submission::Level;
pub use adopting::{Adopting, Adoption, NotAdoptable};
pub use fold::Fold;
pub use given::{GIVEN_MAX, GIVEN_RANGES_MAX, GivenTasks, TaskRange};
pub use kept::Kept;
pub use record::{
    Accepted, Ends, LogRecord, NotTaken, ParentEnd, REASON_BYTES_MAX, RECORD_BYTES_MAX, RECORD_TASKS_MAX,
    Rest, RestTask,
};
pub use restored::{Figures, Restored};
pub use unsound::{LOG_VERSION, LOG_VERSION_OLDEST, Unsound};

pub(crate) use fold::FIRST_EPOCH;
pub(crate) use given::Given;
pub(crate) use record::{RECORD_BYTES_SOFT, input_cost};
pub(crate) use restored::{Fate, KeptEnd, KeptTask};
