//! What custody sees of a record. The rest of it is bytes.

use alloc::vec::Vec;

use super::trio::{Seat, Trio};
use crate::time::Time;

/// A record of a job's log, as far as custody is concerned.
pub trait Record: Sized {
    /// What it means to the log.
    fn mark(&self) -> Mark;

    /// Whether it names blobs, which a member must have before it may say that it keeps the record.
    fn names_blobs(&self) -> bool;

    /// The record with which a leader begins its epoch.
    fn led(epoch: u32, at: Time) -> Self;

    /// The one with which it begins an epoch in which the job is tried again.
    fn retried(epoch: u32, at: Time) -> Self;

    /// Another member sits on a seat from here on.
    fn replaced(seat: u8, by: Seat) -> Self;

    /// What it takes in memory, about, where it is this many bytes long.
    fn memory(&self, len: usize) -> usize {
        len
    }

    /// Its bytes.
    fn encode(&self) -> Vec<u8>;

    /// The record of bytes from a peer, if they are one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// What a record means to the log that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The first: it names the trio, and begins the first epoch.
    Accepted(Trio),
    /// It begins this epoch.
    Led(u32),
    /// It begins this epoch, and the job is tried again.
    Retried(u32),
    /// Another member sits on a seat.
    Replaced {
        /// The seat, 0 to 2.
        seat: u8,
        /// Who sits there.
        by: Seat,
    },
    /// All of the job ended.
    Ended,
    /// None of these.
    Other,
    /// It has no place in such a log.
    Foreign,
}
