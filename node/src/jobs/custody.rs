//! Who keeps a job at level `mesh`, and who leads it, as this node knows it: plain data, and what those are told who ask
//! a node for a job that another one leads.

use weft_core::{JobId, PeerId};

use super::NoSuchJob;

/// A job at level `mesh` has this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custody {
    /// The nodes that keep it, by their seats, that of its owner first; none while the engine has not chosen them.
    pub keepers: Vec<PeerId>,
    /// Who leads it.
    pub led: Led,
    /// Whether every member of the mesh may cancel, retry and forget it; otherwise only its owner.
    pub shared: bool,
}

impl Custody {
    /// That of a job that was submitted here just now.
    pub(crate) fn new() -> Self {
        Self { keepers: Vec::new(), led: Led::Here, shared: false }
    }
}

/// Who leads a job at level `mesh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    /// This node: what it tells of the job is so.
    Here,
    /// Another node, or none for now. This node keeps the log, and tells those that ask for the job only who leads it; the
    /// figures of its summary are those of the log, some of which another leader may replace.
    Elsewhere {
        /// The node that leads it, if it is known.
        leader: Option<PeerId>,
    },
}

/// This node does not lead the job that it was asked for, or leads it no longer. Who asks goes on at the node that does: by
/// its id the job is the same there, and results have the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job {job} is kept here, and {}", led_by(leader.as_ref()))]
pub struct Moved {
    /// The job.
    pub job: JobId,
    /// The node that leads it, if it is known. While none does, one takes over within about 20 s.
    pub leader: Option<PeerId>,
}

fn led_by(leader: Option<&PeerId>) -> String {
    match leader {
        Some(leader) => format!("node {} leads it", leader.short()),
        None => String::from("no node leads it for now: ask again in some seconds"),
    }
}

/// Why this node tells nothing of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHere {
    /// It is unknown.
    #[error(transparent)]
    Unknown(#[from] NoSuchJob),
    /// Another node leads it.
    #[error(transparent)]
    Moved(#[from] Moved),
}
