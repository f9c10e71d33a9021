//! Why a run was ended from outside the guest's code: the host calls and the watch of the time limit say so, and
//! `outcome.rs` makes an outcome of it.

use weft_core::{Limit, Trap};

/// Why a run was ended from outside the guest's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its `Stop` was raised.
    Cancelled,
    /// It reached a bound.
    Limit(Limit),
    /// It called `proc_exit`.
    Exit(i32),
    /// It called the host in a way that ends the run, such as with a pointer outside its memory.
    Trap(Trap),
    /// The host failed, for instance without memory or randomness: not the task's fault.
    Host(String),
}
