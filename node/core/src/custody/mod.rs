//! Custody: jobs at level `mesh`, each kept by a *trio* of nodes, so that it outlives any one of them. Part of the engine, and
//! pure like it.

mod message;
mod trio;

pub use message::CustodyMessage;
pub use trio::{Seat, Trio};

/// The epoch in which the owner of a job at level `mesh` leads it first: the first round, seat 0.
pub(crate) const FIRST_EPOCH: u32 = 3;
