//! Why a run was ended from outside the guest's code: the host calls and the watch of the time limit say so, and
//! `outcome.rs` makes an outcome of it.

use weft_core::{Limit, Trap};

/// Why a run was ended from outside the guest's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody raised its `Stop`.
    Cancelled,
    /// It reached a bound.
    Limit(Limit),
    /// It called `proc_exit`.
    Exit(i32),
    /// It called the host as nobody may.
    Trap(Trap),
    /// The host could not give what it owes.
    Host(String),
}
