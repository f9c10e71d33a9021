//! What can go wrong between a program and its node, by who must act. No error leaves a job behind that its program was not told
//! of: a job that was not accepted is cancelled by the node. One that was goes on where its level keeps it.

use std::io;
use std::path::PathBuf;

use crate::result::TaskResult;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No node runs on that data directory.
    #[error(
        "no weft node runs on {}: start one with `weft node --data-dir {}`",
        data_dir.display(),
        data_dir.display()
    )]
    NoNode {
        /// The data directory that was looked at.
        data_dir: PathBuf,
    },
    /// The node's address is known, but no node answers there.
    #[error("the node at {address} can't be spoken to: {reason}")]
    Unreachable {
        /// The address, from the data directory.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The node does not take our token.
    #[error("the node refused our token; is {} the data directory of the node that runs?", data_dir.display())]
    Unauthorized {
        /// Where the token came from.
        data_dir: PathBuf,
    },
    /// The node knows nothing of that name.
    #[error("no {what} {name}{}", in_brackets(help.as_deref()))]
    NotFound {
        /// The kind of thing: "job", "blob".
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// Why it may not be known, or what to do about it, if the node says so.
        help: Option<String>,
    },
    /// The node, or this library, refused what was asked; asking again will not help, asking for less may.
    #[error("{what}{}{}", expected.as_ref().map(|text| format!("; expected {text}")).unwrap_or_default(),
        in_brackets(help.as_deref()))]
    Refused {
        /// What was refused, and why.
        what: String,
        /// What would have been taken.
        expected: Option<String>,
        /// What to do about it.
        help: Option<String>,
    },
    /// It can't be done now, and may be soon: another node is about to take the lead of the job.
    #[error("{what}{}", in_brackets(help.as_deref()))]
    NotNow {
        /// What can't be done, and why.
        what: String,
        /// What will change, or what to do about it.
        help: Option<String>,
    },
    /// A file of ours could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file can't be given to a task, or what a task left can't be taken: its archive breaks the rules.
    #[error("{}: {reason}", path.display())]
    BadFile {
        /// Which, here or in the task's world.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// An input could not be had, see [`crate::Input::Missing`].
    #[error("{reason}")]
    NoInput {
        /// The reason.
        reason: String,
    },
    /// The connection to the node broke before the answer was whole. An attached job is cancelled by that.
    #[error("the connection to the node broke: {reason}")]
    Broken {
        /// The reason.
        reason: String,
    },
    /// What came could not be written where the caller wanted it; the connection was good.
    #[error("what came can't be written: {source}")]
    Unwritten {
        /// The cause.
        source: io::Error,
    },
    /// The node's answer is not part of this protocol, or reports a fault of its own.
    #[error("the node's answer is not understood: {what}")]
    Protocol {
        /// What was wrong.
        what: String,
    },
    /// A task ended otherwise than done; from [`TaskResult::into_done`].
    #[error("task {} {}", .0.index, .0.outcome)]
    TaskFailed(Box<TaskResult>),
}

impl Error {
    /// Why one input can't be had, if that is what this says: the other inputs of its job may be good.
    pub(crate) fn of_an_input(&self) -> Option<String> {
        match self {
            // A full disk of ours is in the way of all of them.
            Self::File { path: _, source } if is_full(source) => None,
            Self::File { path, source } => Some(format!("cannot read {}: {source}", path.display())),
            Self::BadFile { .. } | Self::NoInput { .. } => Some(self.to_string()),
            Self::NoNode { .. }
            | Self::Unreachable { .. }
            | Self::Unauthorized { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::NotNow { .. }
            | Self::Broken { .. }
            | Self::Unwritten { .. }
            | Self::Protocol { .. }
            | Self::TaskFailed(_) => None,
        }
    }

    pub(crate) fn refused(what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), expected: Some(expected.into()), help: None }
    }

    pub(crate) fn not_found(what: &'static str, name: &str) -> Self {
        Self::NotFound { what, name: name.to_owned(), help: None }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol { what: what.into() }
    }
}

/// Advice, behind what it is about.
fn in_brackets(help: Option<&str>) -> String {
    help.map(|text| format!(" ({text})")).unwrap_or_default()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
