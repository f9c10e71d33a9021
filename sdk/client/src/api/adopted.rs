//! The answer of `POST /v1/jobs/{id}/adopt`.

use serde::{Deserialize, Serialize};

use super::Level;

/// A job that was made of another one, whose nodes are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Its id.
    pub job: String,
    /// The other one's id.
    pub from: String,
    /// What it survives.
    pub level: Level,
    /// Its tasks.
    pub tasks: u32,
    /// Those that have their results from the other one; the rest runs.
    pub outcomes: u32,
    /// Whether the other one had not got all of its inputs: then this one is cancelled, with the results that there are.
    pub cancelled: bool,
}
