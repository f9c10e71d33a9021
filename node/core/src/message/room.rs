//! Words about standing room for short tasks. Raw words: whoever receives one must doubt it.

use alloc::vec::Vec;

use super::{Call, Class, Grant};
use crate::id::{BidId, LeaseId};

/// A worker's standing bid to one owner, for tasks of whatever job of it as long as they are short. It reserves its
/// room until its ttl. Its counts run on over its life, so that a word that crosses another is understood rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Ahead {
    /// Its name.
    pub bid: BidId,
    /// How many tasks had come on it when this was said.
    pub taken: u64,
    /// How many more it takes.
    pub room: u32,
    /// Short tasks that the worker held then, of whomever.
    pub held: u32,
    /// Slots that were not taken by long tasks.
    pub slots: u32,
    /// How long it stands, in milliseconds.
    pub ttl_ms: u32,
    /// The lowest class that it takes.
    pub class_min: Class,
}

/// An owner binds tasks of one job to a standing bid.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Place {
    /// What a worker that was not called must know; its count is what waits behind these.
    pub call: Call,
    /// The standing bid.
    pub bid: BidId,
    /// How many tasks were bound to it so far, these included.
    pub placed: u64,
    /// How long each lease lasts unless renewed, in milliseconds. Workers don't read it.
    pub lease_ms: u32,
    /// Outcomes that are safe, as in [`super::Message::Ack`].
    pub acks: Vec<LeaseId>,
    /// The tasks.
    pub grants: Vec<Grant>,
}
