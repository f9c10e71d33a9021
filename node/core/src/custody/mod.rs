//! Custody: jobs at level `mesh`, each kept by a *trio* of nodes, so that it outlives any one of them. Part of the engine, and
//! pure like it.

mod choice;
mod message;
mod trio;

pub(crate) use choice::{Candidate, choose};
pub use message::CustodyMessage;
pub use trio::{Seat, Trio};

use crate::ctx::Ctx;
use crate::durable::LogRecord;
use crate::id::JobId;
use crate::owner::MeshLog;

/// The jobs at level `mesh` that this node keeps. It leads none yet.
#[derive(Debug, Default)]
pub(crate) struct Custody {}

impl MeshLog for Custody {
    fn append(&mut self, ctx: &mut Ctx<'_>, _job: JobId, _record: LogRecord) -> Option<u32> {
        ctx.counters.dropped += 1;
        None
    }
}

/// The epoch in which the owner of a job at level `mesh` leads it first: the first round, seat 0.
pub(crate) const FIRST_EPOCH: u32 = 3;
