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
    /// The name of the node that owns the other one, if it is at level `disk` and the node that adopted it had a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
    /// Whether the other one had not got all of its inputs: then this one is cancelled, with the results that there are.
    pub cancelled: bool,
}
